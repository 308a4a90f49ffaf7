#!/bin/sh
# Builds the proxies that Debian does not have, or not as they are now, from the Go module proxy: target/e2e/proxies/NAME.
# What is there is kept while the module's files are the same.
#
#   e2e/proxies/build.sh NAME...
set -eu
cd "$(dirname "$0")"
target=$(cd ../.. && pwd)/target/e2e
mkdir -p "$target/proxies"

# Traefik knows 180 providers of DNS for certificates that no test asks for; some of their modules are not on the
# module proxy. Its copy of lego is without them.
lego() {
    version=$(sed -n 's,^.*github.com/go-acme/lego/v5 \(v[0-9.]*\).*,\1,p' traefik/go.mod | head -n 1)
    [ "$(cat "$target/lego/version" 2>/dev/null)" != "$version" ] || return 0
    source=$(cd /tmp && go mod download -json "github.com/go-acme/lego/v5@$version" | sed -n 's/^.*"Dir": "\(.*\)".*/\1/p')
    rm -rf "$target/lego"
    cp -R "$source" "$target/lego"
    chmod -R u+w "$target/lego"
    rm "$target"/lego/providers/dns/*.go
    cp traefik/no_dns.go.txt "$target/lego/providers/dns/none.go"
    echo "$version" >"$target/lego/version"
}

for name in "$@"; do
    [ "$name" != traefik ] || lego
    mark=$(cat "$name/go.mod" "$name/go.sum")
    if [ -x "$target/proxies/$name" ] && [ "$(cat "$target/proxies/$name.built" 2>/dev/null)" = "$mark" ]; then
        continue
    fi
    package=$(sed -n 's/^tool //p' "$name/go.mod")
    (cd "$name" && go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$target/proxies/$name" "$package")
    echo "$mark" >"$target/proxies/$name.built"
done
