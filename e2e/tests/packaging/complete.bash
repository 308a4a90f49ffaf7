# Prints what bash would offer after the line `$1`, whose last word is not finished.
source /usr/share/bash-completion/bash_completion
_completion_loader jotgate
COMP_LINE=$1 COMP_POINT=${#1}
read -ra COMP_WORDS <<< "$1"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
function=$(complete -p jotgate | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" jotgate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
