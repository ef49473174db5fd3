#!/usr/bin/env bash
# fuzz.sh [SECONDS]: searches for space files that make who opens, checks or repairs them panic, hang or touch memory outside.
#
# Needs a nightly compiler and cargo-fuzz. Where they are not found it says so; the same entry is called with random inputs by the
# test `native_fuzz` in any case. The inputs to begin with are made by code; what is found is below engine/fuzz/.
set -euo pipefail
cd "$(dirname "$0")/../engine"

seconds=${1:-60}
if ! cargo +nightly --version >/dev/null 2>&1 || ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "NOT RUN: no nightly compiler with cargo-fuzz on this machine: no search for wrong space files (the test native_fuzz draws some)"
    exit 0
fi
# A target of its own: another compiler.
export CARGO_TARGET_DIR=fuzz/target
cargo +nightly run --quiet --manifest-path fuzz/Cargo.toml --bin seeds -- fuzz/corpus/space
cargo +nightly fuzz run space -- -max_total_time="$seconds" -timeout=30 -max_len=65536
