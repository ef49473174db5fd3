"""kill -9 in the middle of everything. The danger is for the others: somebody who sleeps for ever, money that is gone, a lock
that nobody can open. After each kill the survivors go on, the sums are kept and `fsck` finds nothing."""

import os
import random
import signal
import threading
import time

import children
import pytest

# The first waiter is to go on within 5 ms of a kill. Python, two shared cores and a CI in mind, this is what we insist on.
SOON_SECONDS = 3


def soon(function):
    """Runs it, and asks that it does not take long."""
    begun = time.monotonic()
    result = function()
    assert time.monotonic() - begun < SOON_SECONDS
    return result


# --- Killed in its sleep ---------------------------------------------------------------------------------------------


def test_a_process_killed_in_queue_get_takes_no_item_with_it(any_space, start):
    queue = any_space.Queue(5)
    sleepers = [start(children.get, queue) for _ in range(3)]
    for child in sleepers:
        child.asleep()
    sleepers[0].kill()
    queue.put("one")
    queue.put("two")
    assert {sleepers[1].receive(SOON_SECONDS), sleepers[2].receive(SOON_SECONDS)} == {"one", "two"}
    queue.put("three")
    assert soon(queue.get) == "three"


def test_the_only_sleeper_killed_leaves_the_item_to_us(any_space, start):
    queue = any_space.Queue(1)
    start(children.get, queue).asleep().kill()
    queue.put("left")
    assert soon(queue.get) == "left"


def test_a_process_killed_in_queue_put_leaves_the_room_to_others(any_space, start):
    queue = any_space.Queue(1)
    queue.put("first")
    sleepers = [start(children.put, queue, [f"of {number}"]) for number in range(2)]
    for child in sleepers:
        child.asleep()
    sleepers[0].kill()
    assert soon(queue.get) == "first"
    assert sleepers[1].receive(SOON_SECONDS) == "done"
    assert soon(queue.get) == "of 1" and queue.empty()


@pytest.mark.parametrize("killed", [(0,), (1,), (0, 2), (2, 1)])
def test_a_process_killed_in_retry_strands_none_of_the_others(any_space, start, killed):
    root = any_space.root
    sleepers = [start(children.wait_for, any_space, root, "flag") for _ in range(4)]
    for child in sleepers:
        child.asleep()
    for number in killed:
        sleepers[number].kill()
    root["flag"] = "up"
    for number, child in enumerate(sleepers):
        if number not in killed:
            assert child.receive(SOON_SECONDS) == "up"
            child.finish()


def test_a_process_killed_just_as_it_is_woken(any_space, start):
    queue = any_space.Queue(50)
    for turn in range(8):
        sleepers = [start(children.get, queue, method="fork") for _ in range(3)]
        for child in sleepers:
            child.asleep()
        queue.put(turn)
        sleepers[turn % 3].kill()
        queue.put(turn)
        queue.put(turn)
        # Two survivors take two items. The third is in the queue, or went with the killed one.
        for number, child in enumerate(sleepers):
            if number != turn % 3:
                assert child.receive(SOON_SECONDS) == turn
                child.finish()
        assert queue.qsize() <= 1
        while not queue.empty():
            queue.get()


# --- Killed in the middle of a transaction ---------------------------------------------------------------------------


def test_the_locks_of_a_killed_process_are_nobodys(any_space, start):
    root = any_space.root
    root.update({f"key {number}": number for number in range(100)})
    before = root.to_python()
    child = start(children.hold_locks, any_space, root, list(before)).ready()
    child.kill()
    assert soon(root.to_python) == before
    soon(lambda: root.update({key: -1 for key in before}))
    assert root == dict.fromkeys(before, -1)


def test_who_waits_for_a_lock_goes_on_when_its_holder_is_killed(any_space, start):
    root = any_space.root
    root["x"] = 0
    holder = start(children.hold_locks, any_space, root, ["x"]).ready()
    waiting = start(children.count, any_space, root, "x", 1).ready()
    time.sleep(0.05)
    holder.kill()
    waiting.finish(SOON_SECONDS)
    assert root["x"] == 1


def test_a_held_lock_keeps_nobody_from_reading(any_space, start):
    root = any_space.root
    root["x"] = "as it was"
    child = start(children.hold_locks, any_space, root, ["x"]).ready()
    for _ in range(100):
        assert soon(lambda: root["x"]) == "as it was"
    child.kill()


def test_a_stopped_process_is_passed_and_does_its_part_later(any_space, start):
    root = any_space.root
    root["x"] = 0
    child = start(children.stop_in_transaction, any_space, root, "x").ready()
    for _ in range(3):
        soon(lambda: root.__setitem__("x", root["x"] + 1))
    assert root["x"] == 3
    os.kill(child.process.pid, signal.SIGCONT)
    assert child.receive() >= 2
    child.finish()
    assert root["x"] == 4


def test_a_stopped_sleeper_keeps_nobody(any_space, start):
    queue = any_space.Queue(5)
    sleeper = start(children.get, queue).asleep()
    os.kill(sleeper.process.pid, signal.SIGSTOP)
    queue.put("one")
    assert soon(queue.get) == "one"
    queue.put("two")
    os.kill(sleeper.process.pid, signal.SIGCONT)
    assert sleeper.receive() == "two"


# --- Killed at random ------------------------------------------------------------------------------------------------


@pytest.mark.seconds(60)
def test_money_is_kept_whoever_is_killed(any_space, start):
    chance = random.Random(any_space.name is None)
    accounts = any_space.List([1000] * 10)

    def transfer():
        source, target = chance.sample(range(10), 2)
        accounts[source] -= 1
        accounts[target] += 1

    workers = [start(children.transfer_for_ever, any_space, accounts, seed, method="fork") for seed in range(2)]
    for child in workers:
        child.ready()
    for kill in range(20):
        time.sleep(chance.uniform(0.001, 0.02))
        workers.pop(0).kill()
        soon(lambda: any_space.run(transfer))
        assert sum(any_space.run(lambda: list(accounts))) == 10_000
        assert any_space.fsck() == []
        workers.append(start(children.transfer_for_ever, any_space, accounts, 100 + kill, method="fork").ready())
    for child in workers:
        child.kill()
    assert sum(accounts) == 10_000 and list(accounts) != [1000] * 10


@pytest.mark.seconds(60)
def test_growing_and_shrinking_structures_stay_whole(any_space, start):
    chance = random.Random(3)
    shared = any_space.root["shared"] = {"words": {}, "list": [], "total": 0}
    shared = any_space.root["shared"]
    workers = [start(children.grow_for_ever, any_space, shared, seed, method="fork").ready() for seed in range(2)]
    for kill in range(20):
        time.sleep(chance.uniform(0.001, 0.03))
        workers.pop(0).kill()
        content = shared.to_python()
        assert sum(content["words"].values()) == content["total"] == len(content["list"])
        assert any_space.fsck() == []
        workers.append(start(children.grow_for_ever, any_space, shared, 100 + kill, method="fork").ready())
    assert shared["total"] > 20
    for child in workers:
        child.kill()


@pytest.mark.seconds(60)
def test_each_task_is_done_exactly_once_whoever_is_killed(any_space, start):
    chance = random.Random(4)
    tasks, done = any_space.Queue(16), any_space.List()
    workers = [start(children.work_off, any_space, tasks, done, method="fork").ready() for _ in range(3)]

    def give():
        for number in range(600):
            tasks.put(number)

    giver = threading.Thread(target=give, daemon=True)
    giver.start()
    while giver.is_alive():
        time.sleep(chance.uniform(0.001, 0.02))
        workers.pop(0).kill()
        workers.append(start(children.work_off, any_space, tasks, done, method="fork").ready())
    for _ in workers:
        tasks.put(None)
    for child in workers:
        child.finish()
    # Who was killed may have left a None of nobody's; tasks never.
    assert sorted(done) == list(range(600)) and tasks.qsize() == 0
