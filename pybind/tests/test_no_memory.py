"""A process whose own memory runs out. The danger: what users give makes a buffer of ours grow, and the process ends where CPython would say
MemoryError."""

import subprocess
import sys

import pytest

# What takes more than there is: each is given `grows`, which never ends, or `many`, a long list in the space.
GREEDY = {
    "extend": "space.List().extend(grows())",
    "List": "space.List(grows())",
    "Dict": "space.Dict((number, 1) for number in itertools.count())",
    "update": "space.root.update((number, 1) for number in itertools.count())",
    "a slice": "space.List()[:] = grows()",
    "all items": "keep.append(many[:]) or [keep.append(many[:]) for _ in grows()]",
    "+": "[keep.append(many + many) for _ in grows()]",
    "to_python": "[keep.append(many.to_python()) for _ in grows()]",
}


@pytest.mark.parametrize("what", GREEDY)
def test_it_is_a_memory_error_and_all_goes_on(what):
    program = f"""import itertools, resource, pso
space = pso.create(size="64M")
many = space.List(range(100_000))
keep = []
def grows():
    # Nothing that it gives takes memory of its own.
    return itertools.repeat(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
try:
    {GREEDY[what]}
except MemoryError:
    keep.clear()
    many.append(7)
    print(len(many), many[-1], space.fsck())"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "100001 7 []\n", "")
