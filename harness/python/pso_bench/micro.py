"""Nanoseconds of single operations on pso, beside the same on builtins, in one run of pyperf.

Run by `pso bench micro`; by hand: `python -m pso_bench micro -o FILE [--fast]`. A round: each operation right after its builtin.
"""

from typing import Any

import pso
import pyperf

# What each operation of pso is measured against: (name, statement, builtin's statement or None).
OPERATIONS = [
    ("d['key'] to int", "shared['key']", "builtin['key']"),
    ("d['key'] = int", "shared['key'] = 5", "builtin['key'] = 5"),
    ("'key' in d", "'key' in shared", "'key' in builtin"),
    ("len(d)", "len(shared)", "len(builtin)"),
    ("l[3]", "shared_list[3]", "builtin_list[3]"),
    ("l[3] = int", "shared_list[3] = 5", "builtin_list[3] = 5"),
    ("decorated transfer", "transfer(1)", "plain_transfer(1)"),
    ("empty transaction", "empty()", "plain_empty()"),
]


def main(arguments: list[str]) -> None:
    import sys

    sys.argv[1:] = arguments
    runner = pyperf.Runner(program_args=("-m", "pso_bench", "micro"))
    runner.metadata["description"] = "pso beside builtins"
    names = namespace()
    for name, shared, builtin in OPERATIONS:
        runner.timeit(f"builtin: {name}", builtin, globals=names)
        runner.timeit(f"pso: {name}", shared, globals=names)


def namespace() -> dict[str, Any]:
    """What the statements name. The space is anonymous: each of pyperf's processes has its own, and none is left behind."""
    space = pso.create(size="64M")
    root = space.root
    numbers = {f"k{number}": number for number in range(100)} | {"key": 7}
    root["dict"], root["list"], root["bank"] = dict(numbers), list(range(100)), {"a": 10**6, "b": 10**6}
    shared, shared_bank = root["dict"], root["bank"]
    builtin_bank = {"a": 10**6, "b": 10**6}

    @space.transactional
    def transfer(amount: int) -> None:
        shared_bank["a"] -= amount
        shared_bank["b"] += amount

    def plain_transfer(amount: int) -> None:
        builtin_bank["a"] -= amount
        builtin_bank["b"] += amount

    @space.transactional
    def empty() -> None:
        pass

    def plain_empty() -> None:
        pass

    return {
        "space": space,
        "shared": shared,
        "builtin": numbers,
        "shared_list": root["list"],
        "builtin_list": list(range(100)),
        "transfer": transfer,
        "plain_transfer": plain_transfer,
        "empty": empty,
        "plain_empty": plain_empty,
    }
