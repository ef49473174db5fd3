"""Hooks of blocks that somebody else ends than whoever entered them. The dangers: they are forgotten, they run inside of a transaction that
has nothing to do with them, or when the collector has taken apart what they need."""

import gc
import sys
import threading

import pso
import pytest


@pytest.fixture
def notes(space):
    """What hooks have noted: whether they ran in a transaction, and what they saw of the block."""
    return []


def enter(space, notes, hook=None):
    """A block that is open, and not the caller's to end in any hurry."""
    block = space.transaction()
    transaction = block.__enter__()
    transaction.on_commit(lambda: notes.append("committed"))
    transaction.on_abort(lambda: notes.append((pso.current(), space.root.get("x"))))
    if hook is not None:
        transaction.on_abort(hook)
    space.root["x"] = 1
    return block


def in_thread(function, *arguments):
    """What it gives there."""
    given = []
    thread = threading.Thread(target=lambda: given.append(function(*arguments)))
    thread.start()
    thread.join(20)
    return given[0]


def test_hooks_of_a_dropped_block_run(space, notes, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))
    block = enter(space, notes, sys.exit)
    del block
    assert notes == [(None, None)] and reported == [SystemExit] and space.root == {}


def test_hooks_of_a_block_in_a_ring_run_before_the_ring_is_taken_apart(space, notes, without_collection):
    class Ring:
        def __init__(self):
            self.name = "whole"
            self.block = enter(space, notes, lambda: notes.append(self.name))

    Ring()
    assert notes == []
    gc.collect()
    assert notes == [(None, None), "whole"] and space.root == {}


def test_hooks_of_a_block_whose_thread_has_ended_run(space, notes):
    block = in_thread(enter, space, notes)
    with pytest.raises(RuntimeError, match="entered by another thread"):
        block.__exit__(None, None, None)
    assert notes == [(None, None)]
    del block
    assert len(notes) == 1


def test_a_thread_that_was_joined_has_ended_at_once_for_its_blocks(space, notes):
    """Its life is that of the interpreter's thread, not of the system's, which goes on for a moment."""
    for n in range(300):
        block = in_thread(enter, space, notes)
        with pytest.raises(RuntimeError, match="which has ended: nothing of it exists"):
            block.__exit__(None, None, None)
        assert len(notes) == n + 1


@pytest.mark.parametrize("way", ["run", "block", "raises"])
def test_hooks_of_a_block_that_is_dropped_in_a_transaction_wait_for_its_end(space, notes, way):
    with pso.create(size="2M") as another:
        blocks = [in_thread(enter, another, notes)]

        def body():
            blocks.clear()
            assert notes == [] and pso.current() is not None
            if way == "raises":
                raise LookupError

        if way == "block":
            with space.transaction():
                body()
        elif way == "run":
            space.run(body)
        else:
            with pytest.raises(LookupError):
                space.run(body)
        assert notes == [(None, None)]


@pytest.mark.parametrize("way", ["dropped", "in a ring", "thread ended", "operation", "transaction", "block"])
def test_hooks_that_a_block_was_left_with_run_when_that_is_dropped_itself(space, notes, way, without_collection):
    """The danger: they wait for a transaction that may never come, and run as if they were its own."""
    with pso.create(size="2M") as another:
        blocks = [in_thread(enter, another, notes)]
        outer = space.transaction()
        if way in ("dropped", "in a ring"):
            outer.__enter__()
            blocks.clear()
            ring = [outer, notes]
            ring.append(ring if way == "in a ring" else None)
            assert notes == []
            del outer, ring
            gc.collect()
        else:
            in_thread(lambda: (outer.__enter__(), blocks.clear()))
            assert notes == []
            if way == "thread ended":
                with pytest.raises(RuntimeError, match="which has ended"):
                    outer.__exit__(None, None, None)
            elif way == "operation":
                assert len(another.root) == 0
            elif way == "transaction":
                another.run(lambda: notes.append("in it"))
                assert notes.pop() == "in it"
            else:
                with another.transaction():
                    notes.append("in it")
                assert notes.pop() == "in it"
        assert notes == [(None, None)]
        with another.transaction():
            pass
        assert len(another.root) == 0 and notes == [(None, None)]


def leave_hooks(space, another, *hooks):
    """Leaves hooks of a block of `another`, which was dropped in one of `space`, in a thread that is no more."""
    blocks = [another.transaction()]
    in_thread(lambda: [blocks[0].__enter__().on_abort(hook) for hook in hooks])
    outer = space.transaction()
    in_thread(lambda: (outer.__enter__(), blocks.clear()))
    return outer


OCCASIONS = {
    "operation": lambda space: space.root.update(y=2),
    "queue": lambda space: space.root["queue"].put(2, timeout=5),
    "transaction": lambda space: space.run(space.root.update, {"y": 2}),
    "alternative": lambda space: pso.or_else(lambda: space.root.update(y=2), list),
    "block": lambda space: space.transaction().__enter__(),
}


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_what_left_hooks_raise_that_is_no_exception_passes_before_anything_is_done(space, occasion):
    """The danger: a Ctrl-C or an exit is lost, or half of a call is done."""
    ran = []

    def interrupt():
        ran.append("interrupt")
        raise KeyboardInterrupt

    with pso.create(size="2M") as another:
        another.root["queue"] = another.Queue(3)
        outer = leave_hooks(space, another, interrupt, lambda: ran.append("last"))
        with pytest.raises(KeyboardInterrupt):
            OCCASIONS[occasion](another)
        assert sorted(ran) == ["interrupt", "last"]
        assert pso.current() is None and set(another.root) == {"queue"} and another.root["queue"].empty()
        another.root["y"] = 3
        assert len(ran) == 2
        with pytest.raises(RuntimeError, match="which has ended"):
            outer.__exit__(None, None, None)


@pytest.mark.parametrize("occasion", ["operation", "transaction", "block"])
def test_a_call_joins_a_block_that_a_left_hook_has_begun(space, occasion):
    """The danger: it is decided before the hooks run that the thread is in none, and then it is in two."""
    with pso.create(size="2M") as another:
        opened = another.transaction()
        outer = leave_hooks(space, another, opened.__enter__)
        block = another.transaction()
        if occasion == "block":
            with block:
                another.root["y"] = 2
        else:
            OCCASIONS[occasion](another)
        assert pso.current() is not None
        opened.__exit__(KeyError, KeyError(), None)
        assert pso.current() is None and another.root == {}
        with pytest.raises(RuntimeError, match="which has ended"):
            outer.__exit__(None, None, None)


def test_a_generator_with_nothing_to_do_whose_block_the_collector_has_dropped_is_silent(
    space, monkeypatch, without_collection
):
    """A block in a ring that is older than the generator is finalized before it."""
    reported, seen = [], []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    class Ring:
        def __init__(self):
            self.block = space.transaction()
            self.steps = self.run()
            next(self.steps)

        def run(self):
            with self.block:
                try:
                    space.root["x"] = 1
                    yield
                finally:
                    seen.append(pso.current())

    Ring()
    gc.collect()
    assert seen == [None] and reported == [] and space.root == {}
