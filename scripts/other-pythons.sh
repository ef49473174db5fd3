#!/usr/bin/env bash
# other-pythons.sh: interpreters with a GIL of their own, with each Python 3.12 and 3.13 that is found on this machine.
#
# The suite's own Python may be 3.11, which has none. The package is built for each of the others, unpacked below target/,
# and used by a script that needs no package of theirs. A Python that is not found is said to be so.
set -euo pipefail
cd "$(dirname "$0")/.."

# A working interpreter of that version: on the path, or one of pyenv's.
find_python() {
    local candidate
    for candidate in "python$1" "$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python3 2>/dev/null | tail -n 1)"; do
        if [ -n "$candidate" ] && "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

for version in 3.12 3.13; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "NOT RUN: no Python $version on this machine: its interpreters with a GIL of their own are not tested"
        continue
    fi
    wheels=target/wheels-$version
    package=target/python-$version
    rm -rf "$wheels" "$package"
    .venv/bin/maturin build --locked --quiet -m pybind/Cargo.toml -i "$python" -o "$wheels"
    "$python" -m zipfile -e "$wheels"/*.whl "$package"
    PYTHONPATH=$package PYTHONMALLOC=debug timeout 300 "$python" pybind/tests/own_gil.py
done
