"""Many that come and go: forks, spawned processes, threads. The danger is what each leaves, once in a thousand times: a place that
stays taken, a release that is put off for ever, a lock of somebody who is gone. After each storm all places are free again.
"""

import os
import random
import resource
import signal
import sys
import threading
import time

import children
import pso
import pytest

FORKS = 500
AT_ONCE = 20
SPAWNED = 30
THREADS = 10_000


def settled(space):
    """What is taken, once the dead are cleared up."""
    assert space.fsck() == []
    stats = space.stats()
    return {name: stats[name] for name in ["processes", "participants", "held"]}


def fork(body):
    """A child of the body; its number. Ends as abruptly as processes do."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = body() or 0
        finally:
            os._exit(code)
    return child


@pytest.mark.seconds(180)
def test_a_storm_of_forks_leaves_nothing(any_space):
    """Some are killed at once, before they have joined; some in their work; the rest end by themselves."""
    space = any_space
    space.root["counts"] = [0] * 8
    counts = space.root["counts"]
    kept = space.List(["the parent's"])
    chance = random.Random(5)
    before = settled(space)

    def work(number):
        def add():
            counts[number % 8] += 1
            space.root[f"made {number % 8}"] = [number, kept]

        space.run(add)
        return 7

    running, killed = [], set()
    ended = 0
    for number in range(FORKS):
        child = fork(lambda number=number: work(number))
        running.append(child)
        # What the parent lets go of beside is let go of in the end.
        dropped = [space.List([number]) for _ in range(3)]
        dropped.clear()
        if chance.random() < 0.4:
            time.sleep(chance.choice([0, 0, 0.0005, 0.002]))
            os.kill(child, signal.SIGKILL)
            killed.add(child)
        while len(running) >= AT_ONCE or (number == FORKS - 1 and running):
            _, status = os.waitpid(running[0], 0)
            code = os.waitstatus_to_exitcode(status)
            assert code == 7 or (running[0] in killed and code == -signal.SIGKILL), code
            ended += code == 7
            del running[0]
    assert FORKS - len(killed) <= ended <= sum(counts) <= FORKS
    for number in range(8):
        space.root.pop(f"made {number}", None)
    assert settled(space) == before
    # Releases are not put off any more.
    held = space.stats()["held"]
    some = [space.List() for _ in range(100)]
    assert space.stats()["held"] == held + 100
    some.clear()
    assert space.stats()["held"] == held


@pytest.mark.parametrize("moment", ["before it has joined", "it joins"])
def test_a_child_that_is_killed_puts_off_no_release_for_long(space, moment):
    """Found by reading: the parent counts the children that have still to copy what it holds, and a killed one was counted for ever."""
    before = space.stats()["held"]
    objects = [space.List() for _ in range(50)]
    for delay in [0] * 20 if moment == "before it has joined" else [number * 1e-4 for number in range(20)]:
        child = fork(lambda: time.sleep(60))
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    objects.clear()
    assert space.fsck() == [] and space.stats()["held"] == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that may have no more processes")
def test_a_fork_that_fails_puts_off_no_release(names):
    space = pso.create(names(), size="8M")
    os.chmod(f"/dev/shm/pso.{space.name}", 0o755)

    def limited():
        before = space.stats()["held"]
        objects = [space.List() for _ in range(50)]
        # Root is not limited; whoever was root and has opened the space goes on with it.
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        os.setuid(65534)
        for _ in range(3):
            with pytest.raises(OSError):
                os.fork()
        assert space.stats()["held"] == before + 50
        objects.clear()
        assert space.stats()["held"] == before

    assert children.in_child(limited) == 0
    assert settled(space)["processes"] == 1
    space.close()


def test_a_child_that_starts_another_program_puts_off_no_release(space):
    before = space.stats()["held"]
    some = [space.List() for _ in range(10)]
    child = fork(lambda: os.execv(sys.executable, [sys.executable, "-c", ""]))
    os.waitpid(child, 0)
    some.clear()
    # It had joined before: what it held goes with it.
    assert space.fsck() == [] and space.stats()["held"] == before


@pytest.mark.seconds(180)
def test_a_storm_of_spawned_processes_leaves_nothing(named_space, start):
    space = named_space
    space.root["shared"] = {"sum": 0}
    shared = space.root["shared"]
    before = settled(space)
    chance = random.Random(3)
    for _ in range(0, SPAWNED, 6):
        started = [start(children.count, space, shared, "sum", 200) for _ in range(6)]
        for number, child in enumerate(started):
            child.ready(60)
            if number % 3 == 0:
                time.sleep(chance.random() * 0.01)
                child.kill()
            else:
                child.finish(60)
            child.end()
    assert shared["sum"] >= SPAWNED * 2 // 3 * 200
    del started, child
    after = settled(space)
    # A pickle that a killed child has not loaded is held until its sender ends: there is none here, all were ready.
    assert after == before


@pytest.mark.seconds(180)
def test_a_storm_of_threads_leaves_nothing(named_space):
    space = named_space
    before = settled(space)

    def storm():
        space.root["counts"] = [0] * 4
        counts = space.root["counts"]

        def one(number):
            def add():
                counts[number % 4] += 1

            space.run(add)

        alive = []
        for number in range(THREADS):
            thread = threading.Thread(target=one, args=(number,))
            thread.start()
            alive.append(thread)
            if len(alive) == 16:
                alive.pop(0).join()
        for thread in alive:
            thread.join()
        assert sum(counts) == THREADS
        # Places are for those at work, and those few that are kept for the next.
        assert space.stats()["participants"] <= before["participants"] + 9

    storm()
    assert children.in_child(storm) == 0
    assert settled(space)["processes"] == before["processes"]
    assert settled(space)["participants"] <= before["participants"] + 8


def test_a_burst_of_threads_gives_its_places_back(named_space):
    """Threads that sleep in an attempt have a place each. Found by reading: those were kept for the next ones, all of them."""
    space = named_space
    space.root["go"] = False
    before = settled(space)["participants"]

    def wait():
        if not space.root["go"]:
            pso.retry()

    threads = [threading.Thread(target=space.run, args=(wait,)) for _ in range(100)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while space.stats()["participants"] < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert space.stats()["participants"] >= 100
    space.root["go"] = True
    for thread in threads:
        thread.join()
    assert settled(space)["participants"] <= before + 8
