#!/usr/bin/env bash
# python.sh [PYTHON]: prints the interpreter to build with: the given one, else the first of those that work, in the order of the list below.
set -euo pipefail

if [ -n "${1:-}" ]; then
    echo "$1"
    exit 0
fi
for each in python3.11 python3 python3.13 python3.12 python; do
    if command -v "$each" >/dev/null && "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        command -v "$each"
        exit 0
    fi
done
echo "no Python 3.11 or later found; name one: make PYTHON=/path/to/python3.11" >&2
exit 1
