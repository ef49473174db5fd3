"""Forks at odd moments: by a C library, which runs no handlers, and by a signal handler in the middle of something. The dangers: a
child that takes its own threads for its parent's, and one that goes on in its parent's name."""

import contextlib
import ctypes
import gc
import os
import signal
import threading

import children
import pso
import pytest


def in_child_without_handlers(function):
    """Forks as a C library does; runs the function in the child, with the interpreter's lock; gives its exit code."""
    return children.in_child(function, ctypes.PyDLL(None).fork)


@contextlib.contextmanager
def a_handler_that_forks(in_the_child=lambda: None, after=0.2):
    """The handler of a signal that comes after a moment forks, and the child goes on where it was. Gives the numbers of the children."""
    pids = []

    def fork(*_):
        pids.append(os.fork())
        if pids == [0]:
            in_the_child()

    before = signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield pids
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Inside:
    """A thread that is in a transaction until it is told to fail in it."""

    def __init__(self, space):
        self.space, self.inside, self.told = space, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.inside.wait(20)

    def run(self):
        with contextlib.suppress(ZeroDivisionError):
            self.space.run(self.body)

    def body(self):
        self.inside.set()
        assert self.told.wait(20)
        self.space.root["undone"] = True
        raise ZeroDivisionError

    def fail(self):
        self.told.set()
        self.thread.join(20)
        return "undone" not in self.space.root


def test_a_space_that_joins_late_leaves_the_transactions_of_others_alone(space):
    with pso.create(size="2M") as another:

        def child():
            inside = Inside(space)
            another.root["x"] = 1
            return 0 if inside.fail() else 2

        assert in_child_without_handlers(child) == 0
        assert another.root == {"x": 1} and space.root == {}


def test_a_space_that_is_opened_late_leaves_the_transactions_of_others_alone(space):
    def child():
        with pso.create(size="2M") as new:
            inside = Inside(new)
            space.root["x"] = 1
            return 0 if inside.fail() else 2

    assert in_child_without_handlers(child) == 0
    assert space.root == {"x": 1}


@pytest.mark.parametrize("fork", [os.fork, lambda: ctypes.PyDLL(None).fork()], ids=["handlers", "none"])
def test_a_child_that_ends_a_block_of_its_parent_runs_none_of_its_hooks(space, fork):
    """The danger: what is to be put right where a transaction has failed is put right in the child, and the parent commits."""
    ran, opened, told = [], threading.Event(), threading.Event()
    block = space.transaction()

    def open_and_wait():
        with block:
            pso.current().on_abort(lambda: ran.append("abort"))
            pso.current().on_commit(lambda: ran.append("commit"))
            space.root["n"] = 1
            opened.set()
            assert told.wait(20)

    thread = threading.Thread(target=open_and_wait)
    thread.start()
    assert opened.wait(20)
    child = fork()
    if child == 0:
        code = 1
        try:
            space.root.get("n")
            with contextlib.suppress(RuntimeError):
                block.__exit__(None, None, None)
            del block
            gc.collect()
            code = 2 if ran else 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    told.set()
    thread.join()
    assert ran == ["commit"] and space.root == {"n": 1}


def test_who_has_slept_through_a_fork_leaves_the_transactions_of_others_alone(space):
    queue, inside = space.Queue(), []
    threading.Timer(1, lambda: (queue.put(1), queue.put(2))).start()
    with a_handler_that_forks(lambda: inside.append(Inside(space))) as pids:
        code = 1
        try:
            assert queue.get(timeout=20) in (1, 2)
            code = 0 if not inside or inside[0].fail() else 2
        finally:
            if pids == [0]:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0


def test_a_transaction_of_a_child_that_no_handler_has_told_is_its_own(space):
    space.root["n"] = 0

    def child():
        space.run(lambda: space.root.update(n=1))
        with space.transaction():
            space.root["n"] += 1

    assert in_child_without_handlers(child) == 0
    assert space.root == {"n": 2}


def loop(space):
    """Two lists that nothing names but each other."""
    one = space.List()
    one.append(space.List([one]))


def test_the_child_of_a_signal_handler_in_a_collection_collects_by_itself(space):
    # With so little of a processor it takes most of a second.
    space.root["kept"] = [[] for _ in range(100_000)]
    places = space.stats()["participants"]
    with a_handler_that_forks(after=0.05) as pids:
        code = 1
        try:
            space.collect(share=0.01)
            # It has a place of its own beside those of its parent.
            code = 0 if pids != [0] or space.stats()["participants"] > places else 2
            space.root["n"] = 1
        finally:
            if pids == [0]:
                os._exit(code)
    assert len(pids) == 1, "the collection was over too soon"
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0


def test_a_child_that_no_handler_has_told_collects_and_closes_by_itself(space):
    places = space.stats()["participants"]

    def collect():
        loop(space)
        return 0 if space.collect() > 0 and space.stats()["participants"] > places else 2

    for child in (lambda: 0 if space.collect() >= 0 and space.stats()["participants"] > places else 2, collect):
        assert in_child_without_handlers(child) == 0
    assert in_child_without_handlers(space.close) == 0
    loop(space)
    assert space.collect() > 0


def test_a_child_that_could_not_hold_what_its_parent_did_holds_what_it_works_with():
    """The danger: its proxies hold nothing for good, and what it takes out of an object that its parent has dropped is freed under its hands."""
    space = pso.create(size="4M")
    kept, filling = [space.List([space.List([1])])], space.List()
    (told, tell), (heard, say) = os.pipe(), os.pipe()

    def wait_for_the_other(write, read):
        assert os.write(write, b"1") and os.read(read, 1)

    def fork():
        pid = os.fork()
        if pid:
            assert os.read(told, 1)
            filling.clear()
            space.collect()
            wait_for_the_other(say, told)
            kept.clear()
            gc.collect()
            space.collect()
            os.write(say, b"1")
        return pid

    def child():
        with pytest.raises(pso.ArenaFull):
            len(kept[0])
        wait_for_the_other(tell, heard)
        assert len(kept[0]) == 1
        wait_for_the_other(tell, heard)
        inner = kept[0][0]
        space.root["inner"] = inner
        assert inner == [1] and kept == [[[1]]] and space.fsck() == []

    # There is no room for what the child needs to come.
    with pytest.raises(pso.ArenaFull):
        while True:
            filling.append(bytes(50_000))
    assert children.in_child(child, fork) == 0
    space.collect()
    assert space.root == {"inner": [1]} and space.fsck() == []
    space.close()
