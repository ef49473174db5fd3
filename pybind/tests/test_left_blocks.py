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
