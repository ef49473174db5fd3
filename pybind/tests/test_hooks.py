"""What surrounds a transaction: hooks after it, deadlines and Ctrl-C before its end. The dangers: a hook for what never
happened, a wait that nothing ends, a lock that stays."""

import gc
import os
import signal
import sys
import threading
import time

import children
import pso
import pytest
from test_transactions import commit_elsewhere

# --- Hooks -----------------------------------------------------------------------------------------------------------


def test_hooks_run_after_the_commit_outside_of_the_transaction(space):
    root, notes = space.root, []

    def note(name):
        def hook():
            assert pso.current() is None
            with pytest.raises(RuntimeError):
                pso.retry()
            notes.append((name, root["x"]))
            root["x"] += 1

        return hook

    def body():
        pso.current().on_commit(note("one"))
        pso.current().on_abort(note("aborted"))
        root["x"] = 1
        space.run(lambda: pso.current().on_commit(note("two")))
        assert notes == []
        return "value"

    assert space.run(body) == "value"
    assert notes == [("one", 1), ("two", 2)] and root["x"] == 3


def test_hooks_of_an_attempt_that_is_run_again_are_forgotten(space):
    root, notes = space.root, []
    root.update(x=0, y=0, flag=False)

    def body():
        transaction = pso.current()
        transaction.on_commit(lambda attempt=transaction.attempt: notes.append(attempt))
        transaction.on_abort(lambda: notes.append("aborted"))
        if root["x"] == 0:
            commit_elsewhere(lambda: root.update(x=10, y=10))
        root["y"] += 1
        if not root["flag"]:
            threading.Timer(0.1, root.__setitem__, ["flag", True]).start()
            pso.retry()

    space.run(body)
    assert notes == [3]


@pytest.mark.parametrize("ending", ["exception", "timeout", "retries", "interrupt", "readonly"])
def test_hooks_of_an_abort_run_when_the_transaction_ends_without_a_commit(space, ending):
    root, notes = space.root, []
    root["x"] = 0

    def body():
        pso.current().on_commit(lambda: notes.append("committed"))
        pso.current().on_abort(lambda: notes.append((ending, root["x"])))
        if ending == "exception":
            root["x"] = 1
            raise LookupError
        if ending == "retries":
            raise pso.ConflictError
        if ending == "readonly":
            root["x"] = 1
        if ending == "interrupt":
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        root["x"]
        pso.retry()

    raised = {"exception": LookupError, "interrupt": KeyboardInterrupt, "readonly": pso.ReadOnlyError}
    with pytest.raises(raised.get(ending, pso.TransactionTimeout)):
        limits = {"timeout": {"timeout": 0.1}, "retries": {"retries": 2}, "readonly": {"readonly": True}}
        space.run(body, **limits.get(ending, {}))
    assert notes == [(ending, 0)]


def test_the_hooks_of_an_undone_alternative_go_with_it(space):
    notes = []

    def note(name):
        pso.current().on_commit(lambda: notes.append(name))

    def body():
        note("before")
        pso.or_else(lambda: (note("undone"), pso.retry()), lambda: note("taken"))

    space.run(body)
    assert notes == ["before", "taken"]


def test_an_exception_in_a_hook_is_reported_and_the_transaction_stays_committed(space, monkeypatch):
    root, reported, notes = space.root, [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append((what.exc_type, what.object)))

    def fails():
        raise LookupError("of a hook")

    def body():
        pso.current().on_commit(fails)
        pso.current().on_commit(lambda: notes.append("the next"))
        root["x"] = 1
        return "value"

    assert space.run(body) == "value" and root["x"] == 1
    assert reported == [(LookupError, fails)] and notes == ["the next"]

    def aborts():
        pso.current().on_abort(fails)
        raise KeyError("of the body")

    with pytest.raises(KeyError, match="of the body"):
        space.run(aborts)
    assert reported[1:] == [(LookupError, fails)]

    def exits():
        pso.current().on_commit(sys.exit)
        root["x"] = 2

    with pytest.raises(SystemExit):
        space.run(exits)
    assert root["x"] == 2


def test_an_exit_in_a_hook_comes_through_when_all_have_run(space, monkeypatch):
    reported, notes = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append((what.exc_type, what.exc_value.args)))

    def body(*codes, raises):
        for code in codes:
            pso.current().on_abort(lambda code=code: sys.exit(code))
        pso.current().on_abort(lambda: notes.append("the last"))
        raise raises

    with pytest.raises(SystemExit) as caught:
        space.run(body, 1, 2, raises=LookupError("of the body"))
    assert caught.value.code == 1 and reported == [(SystemExit, (2,))] and notes == ["the last"]
    # What it came after is shown with it.
    assert isinstance(caught.value.__context__, LookupError)

    # Of two that would pass the first does.
    with pytest.raises(KeyboardInterrupt):
        space.run(body, 3, raises=KeyboardInterrupt)
    assert reported[1:] == [(SystemExit, (3,))] and notes == ["the last"] * 2

    # As after a block, whose exception Python has.
    with pytest.raises(SystemExit) as caught, space.transaction() as transaction:
        transaction.on_abort(sys.exit)
        raise LookupError
    assert isinstance(caught.value.__context__, LookupError)


@pytest.mark.parametrize("way", ["on_commit", "on_abort", "block", "anywhere"])
def test_hooks_of_hooks_end_before_the_stack_does(space, monkeypatch, way):
    # The danger: a decorated function as a hook, which has itself as a hook, goes on without a frame that Python counts.
    reported, root = [], space.root
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append((what.exc_type, what.object)))
    root["n"] = 100_000

    @space.transactional
    def commits():
        root["n"] -= 1
        pso.current().on_commit(commits)

    @space.transactional
    def aborts():
        count.append(1)
        pso.current().on_abort(aborts)
        raise LookupError

    def block():
        with space.transaction() as transaction:
            root["n"] -= 1
            transaction.on_commit(block)

    def leaves_a_block():
        left = space.transaction()
        left.__enter__().on_abort(commits)

    count = []
    if way == "on_abort":
        with pytest.raises(LookupError):
            aborts()
        # What the others raised is reported on the way back.
        assert len(count) > 10 and {LookupError} == {kind for kind, _ in reported[1:]}
        assert len(reported) == len(count)
    else:
        {"on_commit": commits, "block": block, "anywhere": leaves_a_block}[way]()
        assert 0 < root["n"] < 100_000 - 10 and len(reported) == 1
    hook = {"on_abort": aborts, "block": block}.get(way, commits)
    assert reported[0] == (RecursionError, hook)
    assert pso.current() is None


def test_a_hook_is_called_where_few_levels_are_left(space):
    notes = []

    def leave(levels):
        if levels:
            leave(levels - 1)

    def descend():
        try:
            leave(20)
        except RecursionError:
            space.run(lambda: pso.current().on_commit(lambda: notes.append("called")))
        else:
            descend()

    descend()
    assert notes == ["called"]


def test_a_transaction_object_is_good_in_its_transaction_only(space):
    kept = []

    def body():
        kept.append(pso.current())
        assert pso.current().attempt == 1

    assert pso.current() is None
    space.run(body)
    space.run(body)
    assert kept[0] is not kept[1]
    for transaction in kept:
        with pytest.raises(RuntimeError, match="over"):
            transaction.on_commit(print)
    with pytest.raises(TypeError):
        space.run(lambda: pso.current().on_commit(5))
    with pytest.raises(TypeError):
        pso.Transaction()


def test_hooks_that_are_dropped_may_do_anything(space):
    # The danger: a hook is dropped while the list of hooks is looked at, and its end looks at it again.
    class Guard:
        def __del__(self):
            if pso.current() is not None:
                pso.current().on_commit(lambda: None)

    root = space.root
    root["turns"] = 0

    def body():
        pso.current().on_commit(lambda guard=Guard(): guard)  # noqa: B008
        gc.collect()
        if pso.current().attempt < 4:
            raise pso.ConflictError
        pso.or_else(lambda: (pso.current().on_commit(Guard), pso.retry()), lambda: None)
        root["turns"] += 1

    space.run(body)
    assert root["turns"] == 1


# --- Ends of waits ---------------------------------------------------------------------------------------------------


def interrupt_after(seconds):
    """A real signal, by another process, so that no thread of this one is in its way."""
    return os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", f"sleep {seconds}; kill -INT {os.getpid()}")


WAITS = ["retry", "alternatives", "lock", "queue in a transaction"]


@pytest.mark.parametrize("what", WAITS)
def test_control_c_ends_any_wait_soon_and_leaves_nothing_locked(space, start, what):
    root, queue = space.root, space.Queue(1)
    root.update(mine=0, theirs=0, at=None)
    holder = start(children.hold_locks, space, root, ["theirs"]).ready() if what == "lock" else None
    steps = {
        "retry": pso.retry,
        "alternatives": lambda: pso.or_else(queue.get, pso.retry, queue.get),
        "lock": lambda: root.__setitem__("theirs", 2),
        "queue in a transaction": queue.get,
    }
    late = []
    before = signal.signal(signal.SIGINT, lambda *_: (late.append(time.monotonic()), signal.default_int_handler(*_)))

    def body():
        root["mine"] = 1
        steps[what]()

    # A holder that shows no sign of life is stopped after 100 ms: interrupt earlier than that.
    child = interrupt_after(0.06)
    with pytest.raises(KeyboardInterrupt):
        space.run(body)
    passed = time.monotonic() - late[0]
    signal.signal(signal.SIGINT, before)
    os.waitpid(child, 0)
    assert passed < 0.1 and pso.current() is None
    other = start(children.change, root, "mine", "free")
    other.finish(5)
    if holder:
        holder.kill()
    assert root["mine"] == "free" and root["theirs"] == 0 and space.fsck() == []


@pytest.mark.parametrize("what", WAITS)
def test_a_deadline_ends_any_wait_and_leaves_nothing_locked(space, start, what):
    root, queue = space.root, space.Queue(1)
    root.update(mine=0, theirs=0)
    holder = start(children.hold_locks, space, root, ["theirs"]).ready() if what == "lock" else None
    steps = {
        "retry": pso.retry,
        "alternatives": lambda: pso.or_else(queue.get, pso.retry, queue.get),
        "lock": lambda: root.__setitem__("theirs", 2),
        "queue in a transaction": queue.get,
    }

    def body():
        root["mine"] = 1
        steps[what]()

    begun = time.monotonic()
    with pytest.raises(pso.TransactionTimeout) as raised:
        space.run(body, timeout=0.06)
    assert 0.05 < time.monotonic() - begun < 0.5 and isinstance(raised.value, TimeoutError)
    start(children.change, root, "mine", "free").finish(5)
    if holder:
        holder.kill()
    assert root["mine"] == "free" and root["theirs"] == 0


def test_on_abort_runs_where_a_transaction_ends_in_the_pause_before_its_next_attempt(space):
    root = space.root
    root["x"] = 0
    inside, over, notes = threading.Event(), threading.Event(), []

    def block():
        with space.transaction():
            root["x"] = 1
            inside.set()
            over.wait(20)

    thread = threading.Thread(target=block)

    def body():
        pso.current().on_abort(lambda: notes.append("aborted"))
        root["x"] = 2
        thread.start()
        inside.wait(20)
        return root["x"]

    with pytest.raises(pso.TransactionTimeout):
        space.run(body, timeout=0.3)
    over.set()
    thread.join(20)
    assert notes == ["aborted"] and root["x"] == 1


def test_a_hook_that_uses_the_space_as_it_is_dropped_keeps_nobody_from_going_on(space, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda what: None)
    root = space.root
    root["x"] = 0

    class Noisy:
        def __del__(self):
            len(root)

    def body():
        noisy = Noisy()
        pso.current().on_commit(lambda: noisy)
        if pso.current().attempt == 1:
            raise pso.ConflictError
        root["x"] = 1
        return pso.current().attempt

    assert space.run(body, retries=20) == 2
