"""Two interpreters of one process, each with a GIL of its own, on one space at once; and interpreters that come and go.

The danger: what an extension keeps process-wide (type objects, interned names, a pool of references) is used by two interpreters
at the same moment, and crashes rarely. So this runs long enough for thousands of collisions, and many interpreters are
made and destroyed with the package in use.

    python own_gil.py        needs 3.12 or later; prints a line for each part; exit code 0 if all hold

A script and no pytest test: the interpreters that it needs are others than the suite's, and have no pytest.
`PYTHONMALLOC=debug` makes it find what is freed twice or written behind its end.
"""

import os
import sys
import threading
import time

import pso

if sys.version_info < (3, 12):
    sys.exit("interpreters with a GIL of their own need Python 3.12")
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

INCREMENTS = 4_000
CHURN = 80
TOGETHER_SECONDS = 60


def run(interpreter, source):
    """Runs `source` in it; an exception there is one here."""
    failed = interpreters.run_string(interpreter, source)
    if failed is not None:
        raise AssertionError(f"an interpreter failed: {failed}")


def has_own_gil(interpreter):
    """Asked where it can be asked; on 3.12 an isolated interpreter has one by definition."""
    return not hasattr(interpreters, "get_config") or interpreters.get_config(interpreter).gil == "own"


# Two meet in a transaction of each, then both count in the same cell, in cells of their own, and pass objects on.
WORKER = """
import pso
space = pso.attach({name!r})
root = space.root

@space.transactional
def arrive():
    root["arrived"] += 1

@space.transactional
def both_are_here():
    if root["arrived"] < 2:
        pso.retry()

@space.transactional
def count(number):
    root["shared"] += 1
    root["of each"][{me}] += 1
    root["log"].append(({me}, number, "a text that has a block of its own"))

arrive()
both_are_here()
for number in range({increments}):
    count(number)
    assert root["of each"][{me}] == number + 1
    if number % 100 == 0:
        root["jobs"].put(("job of", {me}, number))
        try:
            root["list"].append(object())
        except pso.NotShareableError as error:
            assert "object" in str(error)
        else:
            raise AssertionError("an object was shared")
space.close()
"""


def two_at_once(name, space):
    """Both interpreters work at the same time, and this one beside them."""
    root = space.root
    root.update({"arrived": 0, "shared": 0, "of each": {1: 0, 2: 0}, "log": [], "list": [], "jobs": space.Queue(1000)})
    both = [interpreters.create(), interpreters.create()]
    assert all(has_own_gil(each) for each in both)
    for each in both:
        # Here, by the thread that destroys them: 3.12 waits at an interpreter's end for the thread that imported `threading`.
        run(each, "import threading, pso")
    failures = []

    def work(me, interpreter):
        try:
            run(interpreter, WORKER.format(name=name, me=me, increments=INCREMENTS))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(me, each), daemon=True) for me, each in enumerate(both, 1)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TOGETHER_SECONDS
    while any(thread.is_alive() for thread in threads):
        assert time.monotonic() < deadline, "the two are stuck"
        space.run(lambda: root.__setitem__("main", root.get("main", 0) + root["shared"]))
        threads[0].join(0.001)
    assert not failures, failures
    for each in both:
        interpreters.destroy(each)
    assert root["shared"] == 2 * INCREMENTS and root["of each"] == {1: INCREMENTS, 2: INCREMENTS}
    log = root["log"].to_python()
    for me in (1, 2):
        assert [number for who, number, _ in log if who == me] == list(range(INCREMENTS))
    assert sorted(log) != log, "one worked after the other: nothing was at once"
    assert len(root["list"]) == 0 and root["jobs"].qsize() == 2 * INCREMENTS // 100
    assert space.fsck() == []


CHURNING = """
import pso
space = pso.attach({name!r})
space.root["churn"] = space.root.get("churn", 0) + 1
held = [space.root, space.List([1, [2]]), space.Dict(a=1), iter(space.Dict(b=2)), pso.retry]
try:
    space.root["nobody"]
except KeyError:
    pass
{end}
"""


def come_and_go(name, space):
    """Interpreters end with objects alive and with the space open or closed."""
    for number in range(CHURN):
        each = interpreters.create()
        run(each, CHURNING.format(name=name, end="space.close()" if number % 2 else "del space"))
        interpreters.destroy(each)
    assert space.root["churn"] == CHURN
    assert space.fsck() == []


def main():
    name = f"own-gil-{os.getpid()}"
    space = pso.create(name, size="64M")
    try:
        for part in (two_at_once, come_and_go):
            started = time.monotonic()
            part(name, space)
            print(
                f"{part.__name__}: ok, {time.monotonic() - started:.1f} s, Python {sys.version.split()[0]}", flush=True
            )
    finally:
        space.close()
        pso.unlink(name)


if __name__ == "__main__":
    main()
