# Types each line that is named on standard input, and TAB, into an interactive zsh; what must then stand there is
# behind the bar.
zmodload zsh/zpty
zpty -b shell 'zsh -f -i'
until_seen() {
  for try in {1..400}; do
    while zpty -r -t shell more; do seen+=$more; done
    [[ $seen == *$1* ]] && return
    sleep 0.05
  done
  print -r -- "not seen: $1"
  print -r -- "$seen"
  exit 1
}
zpty -w shell 'PS1="<$((6 * 7))>"; autoload -U compinit; compinit -u -D'
until_seen '<42>'
while IFS='|' read -r typed completed; do
  seen=
  zpty -n -w shell "$typed"
  until_seen "$typed"
  zpty -n -w shell $'\t'
  until_seen "$completed"
  zpty -n -w shell $'\x15' # takes the line away
done
