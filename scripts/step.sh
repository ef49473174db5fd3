#!/usr/bin/env bash
# step.sh NAME COMMAND...: runs a step of `make`, says its name before and its time after.
set -euo pipefail

name=$1
shift
printf '\n==> %s\n    %s\n' "$name" "$*"
start=$SECONDS
if "$@" </dev/null; then
    printf '<== %s: ok, %s s\n' "$name" "$((SECONDS - start))"
else
    code=$?
    printf '<== %s: FAILED (exit %s), %s s\n' "$name" "$code" "$((SECONDS - start))" >&2
    exit "$code"
fi
