"""Blocks that run once: `with space.transaction()`. The dangers: a block that is stopped and cannot be run again, two at once, a
privilege that dies with its holder, a wait for it that nothing ends."""

import gc
import os
import signal
import threading
import time

import children
import pso
import pytest

SOON_SECONDS = 3


def test_a_block_is_one_transaction(space):
    root, seen = space.root, []
    root["x"] = 1
    with space.transaction() as transaction:
        root["x"] += 1
        root["new"] = [1]
        root["new"].append(2)
        assert (transaction.attempt, pso.current().attempt) == (1, 1)
        other = threading.Thread(target=lambda: seen.append(root.to_python()))
        other.start()
        other.join(10)
    assert pso.current() is None
    assert seen == [{"x": 1}] and root == {"x": 2, "new": [1, 2]}


def test_blocks_in_which_nothing_happens_leave_no_trace(named_space):
    named_space.root["x"] = 1
    for _ in range(600):
        with named_space.transaction():
            pass
    assert pso.attach(named_space.name).root == {"x": 1}


def test_an_exception_rolls_a_block_back_and_passes(space):
    root = space.root
    for exception in [LookupError, KeyboardInterrupt, GeneratorExit]:
        with pytest.raises(exception):
            with space.transaction():
                root["x"] = 1
                raise exception
    assert root == {} and pso.current() is None
    with space.transaction():
        root["works"] = True
    assert root == {"works": True}


def test_functions_and_blocks_inside_join(space):
    root = space.root

    @space.transactional
    def inner():
        root["inner"] = 1

    with pytest.raises(LookupError):
        with space.transaction():
            inner()
            with space.transaction() as joined:
                root["block"] = 1
                assert joined.attempt == 1
            raise LookupError
    assert root == {}

    attempts = []

    def body():
        # Joins, and so is run again with what it is a part of.
        with space.transaction() as transaction:
            attempts.append(transaction.attempt)
            root["x"] = transaction.attempt
        if len(attempts) == 1:
            raise pso.ConflictError

    space.run(body)
    assert attempts == [1, 2] and root == {"x": 2}


def test_nothing_can_be_waited_for_in_a_block(space):
    root, queue = space.root, space.Queue(1)
    with space.transaction():
        root["x"] = 1
        for wait in [pso.retry, queue.get, lambda: space.run(pso.retry), lambda: pso.or_else(queue.get, pso.retry)]:
            with pytest.raises(RuntimeError, match="cannot wait"):
                wait()
        # Alternatives are no wait.
        assert pso.or_else(queue.get, lambda: root["x"]) == 1
        queue.put("item")
        assert pso.or_else(queue.get, lambda: None) == "item"
    assert root == {"x": 1} and queue.empty()


def test_a_block_runs_once_whatever_others_do(any_space, start):
    root = any_space.root
    root.update(x=0, y=0)
    others = [
        start(children.count, any_space, root, "x", 300),
        start(children.count_in_blocks, any_space, root, "x", 200),
        start(children.count_in_blocks, any_space, root, "x", 200, method="fork"),
    ]
    for child in others:
        child.ready()
    for turn in range(200):
        with any_space.transaction():
            seen = root["x"]
            root["y"] += 1
            time.sleep(0.0002 * (turn % 3))
            assert root["x"] == seen
            root["x"] = seen + 1
    assert [child.receive() for child in others[1:]] == [200, 200]
    for child in others:
        child.finish()
    assert root == {"x": 900, "y": 200} and any_space.fsck() == []


def test_a_block_keeps_others_from_what_it_has_read_and_not_from_the_rest(space, start):
    root, other = space.root, space.Dict(z=0)
    root["x"] = 1
    with space.transaction():
        assert root["x"] == 1
        child = start(children.change, root, "x", 2)
        start(children.change, other, "z", 5).finish(SOON_SECONDS)
        time.sleep(0.3)  # Longer than the 100 ms after which any other owner would count as hung.
        assert root["x"] == 1 and child.process.is_alive()
    child.finish(SOON_SECONDS)
    assert root["x"] == 2 and other == {"z": 5}


@pytest.mark.parametrize("then", ["function", "block"])
def test_a_killed_block_leaves_nothing_and_its_privilege_to_others(any_space, start, then):
    root = any_space.root
    root["x"] = "as it was"
    start(children.hold_block, any_space, root, "x").ready().kill()
    begun = time.monotonic()
    if then == "block":
        with any_space.transaction(timeout=SOON_SECONDS):
            assert root["x"] == "as it was"
            root["x"] = "mine"
    else:
        any_space.run(lambda: root.__setitem__("x", "mine"), timeout=SOON_SECONDS)
    assert time.monotonic() - begun < SOON_SECONDS and root["x"] == "mine"


def test_whoever_waits_for_a_block_goes_on_when_its_process_is_killed(any_space, start):
    root = any_space.root
    root.update(x=0, at=0)
    holder = start(children.hold_block, any_space, root, "x").ready()
    waiting = [
        start(children.count, any_space, root, "at", 1),
        start(children.count_in_blocks, any_space, root, "at", 1),
    ]
    for child in waiting:
        child.ready()
    time.sleep(0.1)
    holder.kill()
    assert waiting[1].receive(SOON_SECONDS) == 1
    for child in waiting:
        child.finish(SOON_SECONDS)
    assert root == {"x": 0, "at": 2}


def test_a_stopped_block_is_waited_for_and_does_its_part_later(any_space, start):
    root = any_space.root
    root["x"] = 0
    child = start(children.stop_in_block, any_space, root, "x").ready()
    time.sleep(0.05)
    with pytest.raises(pso.TransactionTimeout):
        any_space.run(lambda: root.__setitem__("x", 9), timeout=0.3)
    with pytest.raises(pso.TransactionTimeout):
        with any_space.transaction(timeout=0.1):
            raise AssertionError("two at once")
    assert root["x"] == 0  # Readers are never kept.
    os.kill(child.process.pid, signal.SIGCONT)
    assert child.receive() == "done"
    child.finish()
    assert root["x"] == 2


def test_control_c_ends_the_wait_for_a_block(space, start):
    holder = start(children.hold_block, space, space.root, "x").ready()
    late = []
    before = signal.signal(signal.SIGINT, lambda *_: (late.append(time.monotonic()), signal.default_int_handler(*_)))
    child = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", f"sleep 0.2; kill -INT {os.getpid()}")
    with pytest.raises(KeyboardInterrupt):
        with space.transaction():
            raise AssertionError("two at once")
    assert time.monotonic() - late[0] < 0.1 and pso.current() is None
    signal.signal(signal.SIGINT, before)
    os.waitpid(child, 0)
    holder.kill()
    with space.transaction(timeout=SOON_SECONDS):
        space.root["x"] = 1
    assert space.root == {"x": 1}


def test_threads_take_turns(space):
    root, inside, most = space.root, [], []
    root["x"] = 0

    def work():
        for _ in range(20):
            with space.transaction():
                inside.append(1)
                most.append(len(inside))
                seen = root["x"]
                time.sleep(0.001)
                root["x"] = seen + 1
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert root["x"] == 60 and max(most) == 1


def test_hooks_of_a_block_run_after_it(space):
    notes = []
    with space.transaction() as transaction:
        transaction.on_commit(lambda: notes.append((pso.current(), space.root["x"])))
        transaction.on_abort(lambda: notes.append("aborted"))
        space.root["x"] = 1
    assert notes == [(None, 1)]
    with pytest.raises(LookupError):
        with space.transaction() as transaction:
            transaction.on_abort(lambda: notes.append("aborted"))
            raise LookupError
    assert notes == [(None, 1), "aborted"]


def test_what_a_block_must_not_catch_ends_it(space):
    root = space.root
    with pytest.raises(pso.ArenaFull):
        with space.transaction():
            root["x"] = 1
            try:
                root["large"] = [b"x" * (40 << 20), b"y" * (40 << 20)]
            except pso.ArenaFull:
                pass
    assert root == {}


def test_a_block_of_another_space_is_refused(space):
    with pso.create(size="2M") as other:
        with pytest.raises(pso.CrossSpaceError):
            with space.transaction():
                with other.transaction():
                    pass
        with other.transaction():
            other.root["x"] = 1
        with pytest.raises(RuntimeError):
            other.transaction().__exit__(None, None, None)
        with pytest.raises(ValueError):
            with other.transaction(timeout=-1):
                pass


# --- Blocks that nobody ends -----------------------------------------------------------------------------------------


def test_a_block_that_is_dropped_is_rolled_back(space):
    root = space.root
    space.transaction().__enter__()
    gc.collect()
    assert pso.current() is None
    block = space.transaction()
    block.__enter__()
    root["x"] = 1
    del block
    gc.collect()
    assert root == {} and pso.current() is None
    with space.transaction(timeout=SOON_SECONDS):
        root["works"] = True
    assert root == {"works": True}


def test_a_block_that_is_dropped_is_rolled_back_though_a_hook_leads_to_it(space):
    """The danger: the hook keeps the generator, the generator the block, and the block the hook."""
    root = space.root

    class Job:
        def __init__(self):
            self.steps = self.run()
            next(self.steps)

        def done(self):
            pass

        def run(self):
            with space.transaction() as transaction:
                transaction.on_commit(self.done)
                root["x"] = 1
                yield

    job = Job()
    gc.collect()
    assert pso.current() is not None and root == {"x": 1}
    del job
    gc.collect()
    assert pso.current() is None and root == {}
    with space.transaction(timeout=SOON_SECONDS):
        root["works"] = True
    assert root == {"works": True}


def test_a_dropped_block_leaves_nothing_of_its_space_behind():
    first = pso.create(size="2M")
    first.transaction().__enter__()
    del first
    gc.collect()
    for _ in range(20):
        with pso.create(size="2M") as other:
            other.root["x"] = [1]
            assert other.root == {"x": [1]}


def test_a_block_of_a_thread_that_is_gone_ends_with_its_generator(space):
    root = space.root

    def inside():
        with space.transaction():
            root["x"] = 1
            yield

    for _ in range(3):
        generator = inside()
        thread = threading.Thread(target=next, args=(generator,))
        thread.start()
        thread.join(10)
        # A thread that comes later has nothing to do with it, whatever memory it gets.
        seen = []
        thread = threading.Thread(target=lambda seen=seen: seen.append(pso.current()))
        thread.start()
        thread.join(10)
        assert seen == [None] and pso.current() is None
        with pytest.raises(RuntimeError, match="entered by another thread"):
            generator.close()
        del generator
        gc.collect()
        with space.transaction(timeout=SOON_SECONDS):
            assert root == {}


def test_a_block_whose_thread_has_ended_is_rolled_back_by_whoever_leaves_it(space):
    """The danger: the block object is kept, nobody can end it, and all writers wait for ever."""
    root, block = space.root, space.transaction()

    def start():
        block.__enter__()
        root["x"] = 1

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(10)
    # Joined, and not quite gone: for that long it is another thread as any.
    for _ in range(1_000):
        with pytest.raises(RuntimeError, match="entered by another thread") as raised:
            block.__exit__(None, None, None)
        if "which has ended: nothing of it exists" in str(raised.value):
            break
        time.sleep(0.01)
    with space.transaction(timeout=SOON_SECONDS):
        root["y"] = 1
    assert root == {"y": 1}
    with pytest.raises(RuntimeError, match="not entered"):
        block.__exit__(None, None, None)


def test_a_block_object_that_two_threads_share_is_each_ones_own(space):
    root, block = space.root, space.transaction()
    entered, go_on = threading.Event(), threading.Event()

    def other():
        with block:
            root["x"] = 1
            entered.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    with pytest.raises(RuntimeError, match="entered by another thread"):
        block.__exit__(None, None, None)

    def joined():
        with block:
            go_on.set()
            thread.join(10)

    space.run(joined)
    assert root == {"x": 1}
    with pytest.raises(RuntimeError, match="not entered"):
        block.__exit__(None, None, None)


# --- Blocks that outlive what they are a part of ---------------------------------------------------------------------


def kept_block(space, shared):
    """A generator with a block in it, suspended in the block."""
    with space.transaction():
        shared["first"] = 1
        yield
        shared["second"] = 2


def test_a_block_that_outlives_the_transaction_that_it_is_a_part_of_is_told(space):
    """The danger: it goes on in no transaction, or in one that came later, and nobody hears of it."""
    blocks = []

    def begin(another=None):
        blocks.append(kept_block(space, space.root))
        next(blocks[-1])

    space.run(begin)
    with pytest.raises(RuntimeError, match="has ended before it"):
        next(blocks.pop())
    assert space.root == {"first": 1, "second": 2}

    # In a later transaction it is not at home either; that one is rolled back, as it does not catch what is raised.
    space.root.clear()
    space.run(begin)
    with pytest.raises(RuntimeError, match="has ended before it"):
        space.run(lambda: next(blocks.pop()))
    assert space.root == {"first": 1}

    # Nor in a block that came later.
    space.run(begin)
    with pytest.raises(RuntimeError, match="has ended before it"), space.transaction():
        next(blocks.pop())
    assert space.root == {"first": 1}

    # With an exception of its own it is told, too: what it did since the end was not rolled back.
    space.run(begin)
    with pytest.raises(RuntimeError, match="has ended before it") as caught:
        blocks.pop().throw(KeyError("x"))
    assert isinstance(caught.value.__context__, KeyError)

    # One that is dropped has done nothing since.
    space.run(begin)
    blocks.pop().close()
    space.run(lambda: None)


def test_a_block_of_an_attempt_that_was_run_again_is_no_part_of_the_next(space):
    blocks, attempts = [], []
    other = threading.Thread(target=lambda: space.root.__setitem__("seen", 1))

    def body():
        attempts.append(space.root.get("seen"))
        if not blocks:
            blocks.append(kept_block(space, space.root))
            next(blocks[0])
            other.start()
            pso.retry()
        next(blocks.pop())

    with pytest.raises(RuntimeError, match="has ended before it"):
        space.run(body)
    other.join()
    assert attempts == [None, 1] and space.root == {"seen": 1}


def test_a_block_that_ends_in_its_transaction_is_a_part_of_it(space):
    def body():
        block = kept_block(space, space.root)
        next(block)
        with space.transaction():
            space.root["between"] = 0
        with pytest.raises(StopIteration):
            next(block)

    space.run(body)
    with space.transaction():
        body()
    assert space.root == {"first": 1, "between": 0, "second": 2}


def test_a_block_that_found_the_space_full_of_garbage_makes_room_for_the_next():
    space = pso.create(size="8M")
    in_a_row = most = 0
    for _ in range(60):
        try:
            with space.transaction():
                space.root["x"] = [0] * 20_000
            in_a_row = 0
        except pso.ArenaFull:
            in_a_row += 1
            most = max(most, in_a_row)
    assert most == 1
    assert list(space.root["x"]) == [0] * 20_000
    assert space.fsck() == []
    space.close()
