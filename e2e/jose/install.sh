#!/bin/sh
# Installs what jotgate-jose is held against, below target/ and nowhere else.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p target/e2e/jose
cp e2e/jose/package.json e2e/jose/package-lock.json target/e2e/jose/
(cd target/e2e/jose && npm ci --ignore-scripts --no-audit --no-fund)
python3 -m pip install --quiet --disable-pip-version-check --target target/e2e/jose-python --upgrade -r e2e/jose/requirements.txt
