#!/usr/bin/env bash
# venv.sh PYTHON: makes .venv with the pinned tools in it. Does nothing, and needs no network, when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
requirements=scripts/requirements-dev.txt
stamp=.venv/.requirements-installed

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or later is needed; '$python' is not one. Name another: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if [ -f "$stamp" ] && cmp -s "$stamp" "$requirements" && .venv/bin/python -c '' 2>/dev/null; then
    echo ".venv is there, with the pinned tools"
    exit 0
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "'$python' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
fi
"$python" -m venv --clear .venv
# The wheels that pip has kept or finds locally serve without a network.
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
cp "$requirements" "$stamp"
