#!/usr/bin/env bash
# Makes the Debian package of this checkout, in target/debian. Needs dpkg-dev, and `cargo install cargo-deb`.
#
#   packaging/debian/build.sh [--no-build] [OPTIONS OF cargo deb]
#
# With --no-build of the release binary that is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${1-}" = --no-build ]; then
  shift
else
  cargo build --release --locked --package jotgate --bin jotgate
fi
# The binary that is packaged prints its own completions.
release=${CARGO_TARGET_DIR:-target}/release
mkdir -p "$release/completions"
"$release/jotgate" completions bash > "$release/completions/jotgate"
"$release/jotgate" completions zsh > "$release/completions/_jotgate"
"$release/jotgate" completions fish > "$release/completions/jotgate.fish"
exec cargo deb --package jotgate --no-build --locked "$@"
