#!/usr/bin/env bash
# rust-tests.sh all|unit [ARGUMENTS...]: the Rust tests, with cargo-nextest where it is installed, else with cargo test.
#
# nextest runs each test in a process of its own, several at a time; cargo test a binary after the other.
set -euo pipefail
cd "$(dirname "$0")/.."

part=$1
shift
case $part in
all) selection=(--workspace) ;;
unit) selection=(--workspace --lib --bins) ;;
*) echo "usage: rust-tests.sh all|unit" >&2 && exit 2 ;;
esac
if cargo nextest --version >/dev/null 2>&1; then
    echo "with cargo nextest"
    cargo nextest run --locked "${selection[@]}" "$@"
    if [ "$part" = all ]; then
        # nextest runs no documentation tests.
        cargo test --quiet --doc --workspace --locked
    fi
else
    echo "with cargo test (cargo-nextest is not installed)"
    cargo test --locked "${selection[@]}" "$@"
fi
