#!/bin/sh
# Runs every fuzz target over its corpus and then for some seconds (10 by default) on new inputs, on stable Rust.
#
#   fuzz/run.sh [SECONDS [TARGET...]]
#
# `cargo fuzz run --sanitizer none TARGET` does the same for one target, with the flags below; the code is safe Rust,
# so a sanitizer would find nothing that coverage does not. What is found lies in target/fuzz/artifacts; new inputs
# that reach new code in target/fuzz/corpus. A finding becomes a test, and its input joins fuzz/corpus.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-10}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- token header claims jwk jwk_set pem access
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target "$host" --release --locked
for target in "$@"; do
    mkdir -p "target/fuzz/corpus/$target" "target/fuzz/artifacts/$target"
    log="target/fuzz/$target.log"
    if ! "target/fuzz/$host/release/$target" "target/fuzz/corpus/$target" "fuzz/corpus/$target" \
        -artifact_prefix="target/fuzz/artifacts/$target/" -dict=fuzz/json.dict -max_len=4096 -timeout=10 \
        -max_total_time="$seconds" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "fuzz: $target: FAILED"
        exit 1
    fi
    echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
done
