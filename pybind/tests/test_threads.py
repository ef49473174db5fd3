"""Threads, finalizers, signal handlers and user code in the middle of operations. The dangers: a lock of the interpreter kept
over a sleep, an engine entered twice by one thread, an attempt that goes on after somebody's exception."""

import gc
import os
import queue as standard_queue
import signal
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pso
import pytest


class Boom(Exception):
    """Raised by user code in the middle of things."""


# --- Threads ---------------------------------------------------------------------------------------------------------


def test_threads_that_contend_lose_no_update(space):
    root = space.root
    root.update(n=0, list=[])

    def add(thread):
        for _ in range(400):
            space.run(body, thread)

    def body(thread):
        root["n"] += 1
        root["list"].append(thread)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert root["n"] == 1600 and sorted(root["list"]) == [thread for thread in range(4) for _ in range(400)]


def test_single_operations_of_threads_are_atomic(space):
    shared = space.List()
    mapped = space.Dict()

    def work(thread):
        for number in range(200):
            shared.extend([thread] * 3)
            mapped.update({f"{thread} a": number, f"{thread} b": number})
            assert mapped.setdefault("once", thread) == mapped["once"]

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    content = list(shared)
    assert len(content) == 1800
    for start in range(0, 1800, 3):
        assert len(set(content[start : start + 3])) == 1


def test_a_transaction_belongs_to_its_thread(space):
    root, seen = space.root, []
    root["x"] = 0

    def body():
        root["x"] = 1
        thread = threading.Thread(target=lambda: seen.append(root["x"]))
        thread.start()
        thread.join()

    space.run(body)
    assert seen[0] == 0 and root["x"] == 1


def test_waits_give_the_interpreter_up(space):
    queue = space.Queue(1)
    waiting = [threading.Thread(target=queue.get) for _ in range(2)]
    waiting.append(threading.Thread(target=lambda: space.run(lambda: space.root.get("go") or pso.retry())))
    for thread in waiting:
        thread.start()
    begun = time.monotonic()
    assert sum(range(10**6)) and time.monotonic() - begun < 5
    queue.put(1)
    queue.put(2)
    space.root["go"] = True
    for thread in waiting:
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize("look", ["fsck", "census"])
def test_long_looks_leave_the_interpreter_to_others(space, look):
    space.root["kept"] = [[] for _ in range(1_000)]
    came, interval = [], sys.getswitchinterval()
    begin = threading.Event()
    thread = threading.Thread(target=lambda: (begin.wait(20), came.append(True)))
    thread.start()
    # Nobody is made to give it up.
    sys.setswitchinterval(1_000)
    try:
        begin.set()
        for _ in range(1_000):
            if came:
                break
            getattr(space, look)()
        assert came
    finally:
        sys.setswitchinterval(interval)
        thread.join(20)


def test_one_thread_waits_for_the_lock_of_another(space):
    root, inside, done = space.root, threading.Event(), threading.Event()
    root["x"] = 0

    def hold():
        root["x"] += 1
        inside.set()
        done.wait(0.3)

    def add():
        root["x"] += 1

    thread = threading.Thread(target=lambda: space.run(hold))
    thread.start()
    inside.wait(10)
    space.run(add)
    done.set()
    thread.join(10)
    assert root["x"] == 2


def test_threads_that_end_give_their_places_back(names):
    # Room for 64 participants at a time.
    with pso.create(names(), size="4M") as space:
        space.root["n"] = 0

        def add():
            space.root["n"] += 1

        for _ in range(150):
            thread = threading.Thread(target=space.run, args=(add,))
            thread.start()
            thread.join()
        assert space.root["n"] == 150


def test_iterators_of_one_thread_stand_the_changes_of_another(space):
    shared, listed = space.Dict({number: 0 for number in range(200)}), space.List(range(200))
    stop = threading.Event()

    def change():
        number = 0
        while not stop.is_set():
            shared[number % 200] = number
            listed[number % 200] = number
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(50):
        assert list(shared) == list(range(200))
        assert len(list(listed)) == 200 and len(list(shared.items())) == 200
    stop.set()
    thread.join()


# --- Finalizers, collections, handlers -------------------------------------------------------------------------------


def test_a_finalizer_inside_a_transaction_is_part_of_it(space, without_collection):
    root = space.root
    root["log"] = []

    class Finalized:
        def __del__(self):
            root["log"].append("finalized")

    def body(fails):
        root["x"] = 1
        local = Finalized()
        del local
        if fails:
            raise Boom

    with pytest.raises(Boom):
        space.run(body, True)
    assert root == {"log": []}
    space.run(body, False)
    assert root == {"log": ["finalized"], "x": 1}


def test_a_collection_in_the_middle_of_anything(space):
    root, finalized = space.root, []
    root["n"] = 0

    class Cycle:
        def __init__(self):
            self.me = self
            self.proxy = space.List([1])

        def __del__(self):
            finalized.append(1)
            root["n"] += len(self.proxy)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(30):
            Cycle()
            root[f"key {number}"] = [number, {"deep": (number, [])}]
            assert root[f"key {number}"].to_python() == [number, {"deep": (number, [])}]
            space.run(lambda number=number: (Cycle(), root.__setitem__("last", [number]), gc.collect()))
            assert list(root.items())[-1][0] in root and repr(root)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert len(finalized) >= 60 and root["n"] == len(finalized)


def test_proxies_are_freed_and_found_again(space, without_collection):
    root = space.root
    root["l"] = [1]
    proxy = root["l"]
    gone = weakref.ref(proxy)
    assert gone() is root["l"]
    del proxy
    assert gone() is None and root["l"] == [1]
    callbacks = []
    proxy = root["l"]
    watched = weakref.ref(proxy, lambda _: callbacks.append(root["l"]))
    del proxy
    assert callbacks == [[1]] and watched() is None and root["l"] is callbacks[0]


def test_a_cycle_through_decorated_functions_is_collected(space, without_collection):
    class Holder:
        pass

    holder = Holder()
    holder.function = space.transactional(lambda me=holder: me)
    gone = weakref.ref(holder)
    del holder
    gc.collect()
    assert gone() is None


def test_signal_handlers_inside_a_transaction_are_part_of_it(space):
    root, handled = space.root, []
    root["n"] = 0

    def handler(number, frame):
        handled.append(root["n"])
        root["n"] += 1

    before = signal.signal(signal.SIGUSR2, handler)

    def body():
        root["n"] += 10
        os.kill(os.getpid(), signal.SIGUSR2)
        for _ in range(100):
            pass
        return root["n"]

    try:
        assert space.run(body) == 11 and handled == [10] and root["n"] == 11
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_signal_handler_that_uses_the_space_during_a_wait(space):
    root, queue, refused = space.root, space.Queue(1), []
    root["n"] = 0

    def handler(number, frame):
        try:
            root["n"] += 1
        except RuntimeError as error:
            refused.append(str(error))
        threading.Timer(0.1, queue.put, ["came"]).start()

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        for wait in [queue.get, lambda: space.run(queue.get)]:
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGUSR2]).start()
            assert wait() == "came"
    finally:
        signal.signal(signal.SIGUSR2, before)
    # In both cases it is let in or told why not; in no case does anything hang, or count twice.
    assert root["n"] + len(refused) == 2 and all("asleep" in text for text in refused)


def test_a_signal_handler_that_raises_rolls_back(space):
    root = space.root

    def handler(number, frame):
        raise Boom

    before = signal.signal(signal.SIGUSR2, handler)

    def body(wait):
        root["x"] = 1
        os.kill(os.getpid(), signal.SIGUSR2)
        wait()

    try:
        for wait in [lambda: None, pso.retry, lambda: time.sleep(0.1), space.Queue(1).get]:
            with pytest.raises(Boom):
                space.run(body, wait)
            assert root == {}
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_storm_of_signals_harms_nobody(space):
    root, queue = space.root, space.Queue(2)
    root["n"] = 0
    handled, number = [], 0
    before = signal.signal(signal.SIGVTALRM, lambda number, frame: handled.append(len(root)))
    # The kernel counts this timer in steps of some ms: so much work is done as it takes to be interrupted often.
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        while len(handled) < 100:
            space.run(lambda: root.__setitem__("n", root["n"] + 1))
            root[f"key {number % 50}"] = [number]
            queue.put(number)
            assert queue.get() == number
            number += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert root["n"] == number > 100


# --- User code in the middle of operations ---------------------------------------------------------------------------


class Weird:
    """Its comparison does what it is told to."""

    def __init__(self, action):
        self.action = action

    def __eq__(self, other):
        return self.action()

    def __hash__(self):
        return self.action()

    def __index__(self):
        return self.action()

    def __lt__(self, other):
        return self.action()


def boom():
    raise Boom


def test_an_exception_of_user_code_passes_and_changes_nothing(space):
    shared, mapped = space.List([3, 1, 2]), space.Dict(a=1)
    weird = Weird(boom)
    uses = [
        lambda: weird in shared,
        lambda: shared.index(weird),
        lambda: shared.count(weird),
        lambda: shared.remove(weird),
        lambda: shared == [weird, 1, 2],
        lambda: shared.sort(key=lambda item: weird),
        lambda: shared[weird],
        lambda: shared.insert(weird, 1),
        lambda: shared[weird:],
        lambda: weird in mapped,
        lambda: mapped[weird],
        lambda: mapped.get(weird),
        lambda: mapped.pop(weird, None),
        lambda: mapped == {"a": weird},
        lambda: weird in mapped.values(),
        lambda: space.Queue(weird),
    ]
    for use in uses:
        for run in [lambda use=use: use(), lambda use=use: space.run(use)]:
            with pytest.raises(Boom):
                run()
            assert shared == [3, 1, 2] and mapped == {"a": 1}


@pytest.mark.parametrize("inside", [False, True])
def test_user_code_that_changes_the_very_object(space, inside):
    shared, mapped = space.List(range(10)), space.Dict({number: number for number in range(10)})
    actions = {
        "clears": lambda: (shared.clear(), mapped.clear()),
        "grows": lambda: (shared.append(1), mapped.update({len(mapped) + 100: 1})),
        "collects": gc.collect,
    }

    def fill():
        shared[:] = range(10)
        mapped.clear()
        mapped.update({number: number for number in range(10)})

    uses = [
        lambda weird: weird in shared,
        lambda weird: shared.count(weird),
        lambda weird: shared.remove(weird),
        lambda weird: shared.index(weird),
        lambda weird: shared == [weird] * 10,
        lambda weird: mapped == {number: weird for number in range(10)},
        lambda weird: weird in mapped.values(),
        lambda weird: shared[weird],
        lambda weird: shared.__setitem__(weird, 5),
        lambda weird: shared.insert(weird, 5),
        lambda weird: mapped.get(weird),
        lambda weird: shared.sort(key=lambda item: weird),
    ]
    for action in actions.values():
        for use in uses:
            space.run(fill)
            calls = []

            def act(action=action, calls=calls):
                calls.append(1)
                if len(calls) < 30:
                    action()
                return 0

            def run(use=use, act=act):
                try:
                    use(Weird(act))
                except (ValueError, IndexError, RuntimeError):
                    pass

            space.run(run) if inside else run()
            assert isinstance(shared.to_python(), list) and isinstance(mapped.to_python(), dict)
            assert len(shared) == len(list(shared)) and len(mapped) == len(list(mapped))


def test_a_thread_that_is_interrupted_while_it_waits_for_a_lock(space):
    root, inside, done = space.root, threading.Event(), threading.Event()
    root["x"] = 0

    def hold():
        root["x"] = 1
        inside.set()
        done.wait(5)

    thread = threading.Thread(target=lambda: space.run(hold))
    thread.start()
    inside.wait(10)
    threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
    begun = time.monotonic()
    try:
        # The younger waits; it is told of the signal, or it was through before.
        for _ in range(100_000):
            root["x"] += 10
        pytest.fail("Ctrl-C was lost")
    except KeyboardInterrupt:
        pass
    assert time.monotonic() - begun < 3
    done.set()
    thread.join(10)
    assert root["x"] % 10 in (0, 1)


def test_empty_is_the_standard_librarys_in_every_thread(space):
    queue = space.Queue(1)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(queue.get, True, 0.05) for _ in range(4)]:
            with pytest.raises(standard_queue.Empty):
                future.result()
