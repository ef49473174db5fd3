"""Transactions from Python. The dangers: a half that stays, a conflict that a body swallows, a sleeper that nobody wakes,
a wait that Ctrl-C does not end."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time

import children
import pso
import pytest


def commit_elsewhere(function):
    """Runs it in another thread, in a transaction of its own, and waits until it is committed."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


# --- All or nothing --------------------------------------------------------------------------------------------------


def test_a_transaction_gives_what_its_function_gives(space):
    def body(*positional, **named):
        space.root["x"] = len(positional)
        return positional, named

    assert space.run(body, 1, 2, three=3) == ((1, 2), {"three": 3})
    live = space.run(lambda: space.List([1]))
    assert live == [1] and space.root == {"x": 2}


def test_an_exception_rolls_everything_back_and_passes(space):
    root = space.root
    root.update(number=1, list=[1, 2], dict={"a": 1}, queue=space.Queue(3))
    root["queue"].put("item")
    before = root.to_python()
    listed = root["list"]

    def body():
        root["number"] += 1
        root["new"] = {"deep": [1]}
        listed.extend(range(100))
        listed.sort(reverse=True)
        del root["dict"]["a"]
        root["dict"].update({str(number): number for number in range(100)})
        root["queue"].get()
        root["queue"].put("other")
        root["list"] = "replaced"
        assert root["list"] == "replaced" and root["number"] == 2 and len(listed) == 102
        raise LookupError("rolled back")

    with pytest.raises(LookupError, match="rolled back"):
        space.run(body)
    after = root.to_python()
    assert after.pop("queue") is not None and before.pop("queue") is not None
    assert after == before and root["list"] is listed and root["queue"].qsize() == 1 and root["queue"].get() == "item"


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, RecursionError])
def test_whatever_ends_a_body_rolls_it_back(space, exception):
    def body():
        space.root["x"] = 1
        raise exception

    with pytest.raises(exception):
        space.run(body)
    assert space.root == {}


def test_nobody_sees_what_is_not_committed(space):
    root, seen = space.root, []
    root["x"] = [0]

    def body():
        root["x"].append(1)
        root["y"] = 1
        commit_elsewhere(lambda: seen.append(root.to_python()))

    space.run(body)
    assert seen[0] == {"x": [0]} and root == {"x": [0, 1], "y": 1}


def test_a_body_sees_one_moment(space, start):
    root = space.root
    root["left"], root["right"] = 500, 500
    movers = [start(children.move, space, root, seed) for seed in range(2)]
    for mover in movers:
        mover.ready()
    sums = []

    def body():
        left = root["left"]
        total = left + root["right"]
        # Kept from attempts that fail, too: those must not see two moments either.
        sums.append(total)

    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        space.run(body)
    assert set(sums) == {1000} and len(sums) > 100
    for mover in movers:
        mover.pipe.send("enough")
        mover.finish()
    assert root["left"] + root["right"] == 1000


def test_iteration_in_a_transaction_sees_one_moment(space, start):
    accounts = space.root["accounts"] = {f"account number {number}": 10 for number in range(40)}
    accounts = space.root["accounts"]
    mover = start(children.shuffle_money, space, accounts, 1).ready()
    for _ in range(100):
        assert space.run(lambda: sum(accounts.values())) == 400
        assert space.run(lambda: sum(value for _, value in accounts.items())) == 400
        assert sum(accounts.to_python().values()) == 400
    mover.pipe.send("enough")
    mover.finish()


# --- Decorated, nested -----------------------------------------------------------------------------------------------


def test_a_decorated_function_keeps_its_name_and_binds_as_a_method(space):
    class Bank:
        def __init__(self, accounts):
            self.accounts = accounts

        @space.transactional
        def move(self, source, target, amount=1):
            """Moves money."""
            self.accounts[source] -= amount
            self.accounts[target] += amount
            return self.accounts[source]

    bank = Bank(space.Dict(a=5, b=0))
    assert bank.move("a", "b", amount=2) == 3 and Bank.move(bank, "a", "b") == 2
    assert bank.accounts == {"a": 2, "b": 3}
    with pytest.raises(KeyError):
        bank.move("a", "nowhere")
    assert bank.accounts == {"a": 2, "b": 3}
    assert (Bank.move.__name__, Bank.move.__doc__) == ("move", "Moves money.")
    assert functools.partial(bank.move, "a")("b") == 1


def test_the_space_is_found_from_the_arguments(space):
    with pso.create(size="2M") as other:

        @pso.transactional
        def fill(target, *, how=1):
            target["x"] = how
            raise LookupError

        for target in [space.root, other.root]:
            with pytest.raises(LookupError):
                fill(target)
            with pytest.raises(LookupError):
                fill(target=target, how=2)
            assert target == {}


def test_nested_calls_join(space):
    root = space.root

    @space.transactional
    def inner(value):
        root["inner"] = value
        return value

    @space.transactional
    def outer(fails):
        root["outer"] = 1
        assert space.run(inner, 5) == 5 == root["inner"]
        if fails:
            raise LookupError

    with pytest.raises(LookupError):
        outer(True)
    assert root == {}
    outer(False)
    assert root == {"outer": 1, "inner": 5}


def test_a_coroutine_function_is_refused(space):
    # Its body would run when the transaction is over.
    async def coroutine():
        space.root["x"] = 1

    for take in [
        lambda: space.run(coroutine),
        lambda: space.transactional(coroutine),
        lambda: pso.transactional(coroutine),
    ]:
        with pytest.raises(TypeError, match="coroutine|async"):
            take()
    assert space.root == {}


# --- Conflicts -------------------------------------------------------------------------------------------------------


def test_a_conflict_runs_the_body_again_and_no_handler_swallows_it(space):
    root, attempts, swallowed = space.root, [], []
    root.update(x=0, y=0)

    def body():
        attempts.append(root["x"])
        if len(attempts) == 1:
            commit_elsewhere(lambda: root.update(x=10, y=10))
        try:
            root["y"] += 1
            root["x"] += 1
        except Exception as error:
            swallowed.append(error)

    space.run(body)
    assert attempts == [0, 10] and swallowed == [] and root == {"x": 11, "y": 11}


def test_after_a_conflict_every_access_raises_again_and_nothing_commits(space):
    root, raised, attempts = space.root, [], []
    root.update(x=0, y=0)

    def body():
        attempts.append(root["x"])
        if len(attempts) > 1:
            return "done"
        commit_elsewhere(lambda: root.update(x=10, y=10))
        for access in [
            lambda: root["y"],
            lambda: root.__setitem__("z", "never"),
            lambda: len(root),
            lambda: space.List([1]),
            lambda: pso.retry(),
        ]:
            try:
                access()
            except BaseException as error:
                raised.append(type(error))
        return "as if nothing had happened"

    assert space.run(body) == "done"
    assert raised == [pso.ConflictError] * 5 and root == {"x": 10, "y": 10}


def test_an_exception_that_hides_a_conflict_does_not_count(space):
    root, attempts = space.root, []
    root.update(x=0, y=0)

    def body():
        attempts.append(root["x"])
        if len(attempts) == 1:
            commit_elsewhere(lambda: root.update(x=10, y=10))
        try:
            return root["y"]
        except pso.ConflictError as error:
            raise ValueError("the body's own") from error

    assert space.run(body) == 10 and len(attempts) == 2


def test_retries_are_counted(space):
    root, attempts = space.root, []
    root.update(x=0, y=0)

    def body():
        attempts.append(root["x"])
        commit_elsewhere(lambda: root.update(x=root["x"] + 1, y=1))
        root["y"] += 1

    with pytest.raises(pso.TransactionTimeout, match="attempts"):
        space.run(body, retries=3)
    assert attempts == [0, 1, 2, 3] and root["y"] == 1
    with pytest.raises(pso.TransactionTimeout):
        space.run(body, timeout=0.1)
    assert root["y"] == 1
    with pytest.raises(ValueError):
        space.run(body, retries=-1)


def test_waits_are_no_retries(space):
    root = space.root
    root["x"] = 0

    def body():
        if root["x"] < 3:
            commit_elsewhere(lambda: root.update(x=root["x"] + 1))
            pso.retry()
        return root["x"]

    assert space.run(body, retries=0) == 3
    for function in (pso.Space.run, pso.Space.transactional, pso.Space.atomically):
        assert "pso.retry()" in function.__doc__ or "options of run()" in function.__doc__


# --- Waiting ---------------------------------------------------------------------------------------------------------


def test_retry_sleeps_until_another_process_changes_what_was_read(any_space, start):
    root = any_space.root
    waiting = [start(children.wait_for, any_space, root, "flag") for _ in range(2)]
    for child in waiting:
        child.asleep()
    root["something else"] = 1
    root["flag"] = "now"
    for child in waiting:
        assert child.receive(5) == "now"
        child.finish()


def test_retry_undoes_what_the_attempt_did(space):
    root, attempts = space.root, []
    root["tokens"] = 0

    def take():
        attempts.append(1)
        root["tokens"] -= 1
        root["taken"] = root.get("taken", 0) + 1
        if root["tokens"] < 0:
            pso.retry()

    timer = threading.Timer(0.2, root.__setitem__, ["tokens", 1])
    timer.start()
    space.run(take)
    timer.join()
    assert root == {"tokens": 0, "taken": 1} and 2 <= len(attempts) < 10


def test_a_waiting_transaction_sleeps_and_does_not_spin(space, start):
    child = start(children.wait_for, space, space.root, "flag").asleep()

    def ticks():
        with open(f"/proc/{child.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(1)
    assert ticks() - before <= 0.1 * os.sysconf("SC_CLK_TCK")
    space.root["flag"] = 1
    child.finish()


def test_a_timeout_ends_a_wait_and_nothing_of_it_stays(space):
    root = space.root

    def body():
        root["x"] = 1
        pso.retry()

    begun = time.monotonic()
    with pytest.raises(pso.TransactionTimeout):
        space.run(body, timeout=0.2)
    assert 0.19 < time.monotonic() - begun < 2 and root == {}
    for timeout in [-1, float("nan")]:
        with pytest.raises(ValueError):
            space.run(body, timeout=timeout)


def test_retry_outside_a_transaction_is_an_error(space):
    with pytest.raises(RuntimeError, match="outside"):
        pso.retry()


@pytest.mark.parametrize("what", ["retry", "get", "put", "get in a transaction"])
@pytest.mark.parametrize("timeout", [None, 20])
def test_control_c_ends_a_wait(space, what, timeout):
    root, queue = space.root, space.Queue(1)

    def body(step):
        root["x"] = 1
        step()

    waits = {
        "retry": lambda: space.run(body, pso.retry, timeout=timeout),
        "get": lambda: queue.get(timeout=timeout),
        "put": lambda: queue.put(2, timeout=timeout),
        "get in a transaction": lambda: space.run(body, queue.get, timeout=timeout),
    }
    if what == "put":
        queue.put(1)
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        waits[what]()
    assert time.monotonic() - begun < 2
    timer.join()
    assert root == {} and queue.qsize() == (1 if what == "put" else 0)
    root["works"] = True
    assert space.run(lambda: root["works"])


def test_a_signal_whose_handler_returns_does_not_end_a_wait(space):
    queue, handled = space.Queue(1), []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: handled.append(number))
    timers = [threading.Timer(0.1 * turn, os.kill, [os.getpid(), signal.SIGUSR2]) for turn in (1, 2)]
    timers.append(threading.Timer(0.4, queue.put, ["came"]))
    for timer in timers:
        timer.start()
    assert queue.get(timeout=10) == "came" and handled == [signal.SIGUSR2] * 2
    for timer in timers:
        timer.join()
    signal.signal(signal.SIGUSR2, before)


def test_control_c_in_a_busy_body_rolls_back(space):
    def body():
        space.root["x"] = 1
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            space.root["x"] += 1

    with pytest.raises(KeyboardInterrupt):
        space.run(body)
    assert space.root == {}


def test_a_function_is_decorated_a_hundred_times_and_no_more(space):
    def body():
        return "done"

    function = body
    with pytest.raises(RecursionError):
        for _ in range(200_000):
            function = space.transactional(function)
    assert function() == "done"


def test_functions_that_are_decorated_again_and_again_with_something_between_them_are_an_error_and_no_crash():
    program = """
import functools, sys, pso

def shapes():
    yield functools.partial
    yield functools.lru_cache(maxsize=2)
    yield lambda function: functools.partial(functools.partial(function))

with pso.create(size="2M") as space:
    for wrap in shapes():
        for strip in [False, True]:
            ran = []
            for depth in [90, 100_000]:
                function = lambda: ran.append(depth)
                for number in range(depth):
                    function = pso.transactional(wrap(function))
                    if strip:
                        del function.__wrapped__
                try:
                    function()
                except RecursionError:
                    ran.append("too deep")
                del function
            assert ran == [90, "too deep"], ran
    for make in [pso.transactional(timeout=1), space.atomically(timeout=1)]:
        function = lambda: None
        for _ in range(100_000):
            function = functools.partial(make, function)
        try:
            function()
        except RecursionError:
            space.root["deep"] = space.root.get("deep", 0) + 1
        del function
    assert space.root.pop("deep") > 0
    space.root["x"] = 1
    print(space.root, space.fsck())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "{'x': 1} []\n"), done


def test_a_decorator_may_be_called_without_options(space):
    @space.transactional()
    def one():
        return pso.current().attempt

    @pso.transactional()
    def two(root):
        return one() + len(root)

    @space.atomically()
    def three():
        return two(space.root) + 2

    assert (one(), two(space.root), three) == (1, 1, 3)
    with pytest.raises(TypeError):
        space.transactional()(5)
