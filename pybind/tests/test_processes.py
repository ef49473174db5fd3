"""Several processes and one space. The dangers: a handle that comes out as a copy or as another object, a child that shares
its parent's place in the space, places that are never given back."""

import concurrent.futures
import contextlib
import ctypes
import multiprocessing
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading

import children
import pso
import pytest

METHODS = ["spawn", "fork", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
def test_a_child_changes_what_its_parent_sees(any_space, start, method):
    shared = any_space.root["shared"] = {"list": [1]}
    shared = any_space.root["shared"]
    child = start(children.change, shared, "from the child", {"nested": [1, 2]}, method=method)
    child.finish()
    assert shared == {"list": [1], "from the child": {"nested": [1, 2]}}
    shared["list"].append("from the parent")
    assert start(children.describe, shared, method=method).receive() == shared.to_python()


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_back_from_a_child_is_the_object_itself(any_space, start, method):
    listed, mapped, queue = any_space.List([1]), any_space.Dict(a=1), any_space.Queue(3)
    child = start(children.echo, {"handles": [listed, (mapped, queue)], "space": any_space}, method=method)
    back = child.receive()
    assert back["handles"][0] is listed and back["handles"][1][0] is mapped and back["handles"][1][1] is queue
    assert back["space"] is any_space


def test_what_a_child_made_outlives_it(any_space, start):
    child = start(children.make_and_send, any_space)
    made = child.receive()
    child.pipe.send("go")
    child.finish()
    assert made == [1, [2, "made by a child"]]
    made[1].append("kept")
    any_space.root["made"] = made
    assert any_space.root == {"made": [1, [2, "made by a child", "kept"]]}


@pytest.mark.parametrize("method", METHODS)
def test_processes_that_contend_lose_no_update(any_space, start, method):
    counters = any_space.root
    counters["all"] = 0
    counting = [start(children.count, any_space, counters, "all", 300, method=method) for _ in range(3)]
    for _ in range(300):
        any_space.run(lambda: counters.__setitem__("all", counters["all"] + 1))
    for child in counting:
        child.finish()
    assert counters["all"] == 1200


@pytest.mark.parametrize("method", METHODS)
def test_pools_take_handles(any_space, method):
    shared = any_space.Dict()
    with multiprocessing.get_context(method).Pool(2) as pool:
        given = pool.starmap(children.square_into, [(shared, number) for number in range(40)])
        assert all(each is shared for each in given)
    assert shared == {number: number * number for number in range(40)}


def test_executors_take_handles_and_give_live_objects(any_space):
    shared = any_space.List()
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for made in pool.map(children.append_and_wrap, [shared] * 10, range(10)):
            assert isinstance(made, pso.List) and made[0] is shared
    assert sorted(shared) == list(range(10))


def test_keys_are_found_by_processes_that_hash_differently(named_space):
    keys = ["a", "a longer key", 7, 2**70, 1.5, b"bytes", ("a", 1), None, True]
    named_space.root["keyed"] = {key: position for position, key in enumerate(keys)}
    program = f"""import pso
keyed = pso.attach({named_space.name!r}).root["keyed"]
print([keyed[key] for key in {keys!r}], hash("a"))"""
    printed = set()
    for seed in "123":
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.stdout.startswith(str(list(range(len(keys))))), done.stderr
        printed.add(done.stdout)
    assert len(printed) == 3


# --- Handles ---------------------------------------------------------------------------------------------------------


def test_a_handle_is_small_and_says_nothing_of_the_content(space):
    shared = space.List(["secret" * 1000])
    pickled = pickle.dumps(shared)
    assert len(pickled) < 300 and b"secret" not in pickled


def test_a_handle_of_an_anonymous_space_that_is_gone_is_refused(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import pso,pickle,sys; sys.stdout.buffer.write(pickle.dumps(pso.create(size='2M').List([1])))",
        ],
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    with pytest.raises((pso.Error, OSError)):
        pickle.loads(done.stdout)


def test_a_handle_of_a_space_that_was_made_anew_names_nothing(names):
    name = names()
    with pso.create(name, size="2M") as space:
        made = [space.List([number]) for number in range(50)]
        pickled = [pickle.dumps(each) for each in made]
    pso.unlink(name)
    with pso.create(name, size="2M") as space:
        for each in pickled:
            with pytest.raises(pso.Error):
                pickle.loads(each)
        assert space.root == {}


@pytest.mark.parametrize("damage", range(16))
def test_a_damaged_pickle_is_an_error_and_no_crash(space, damage):
    shared = space.List([1])
    function, (address, kind, handle, export) = shared.__reduce__()
    wrong = [
        (address, kind, "0"),
        (address, kind, str(int(handle) + 16)),
        (address, kind, str(int(handle) ^ 1 << 40)),
        (address, kind, str(2**64 - 1)),
        (address, kind, "x"),
        (address, kind, 5),
        (address, kind + 1, handle),
        (address, 99, handle),
        (address, -1, handle),
        (address[:1], kind, handle),
        (("anonymous", b"x" * 16, 1, 1), kind, handle),
        (address, kind, handle, "x"),
        (address, kind, handle, export[:2]),
        (address, kind, handle, (1 << 16, 0, 1)),
        (address, kind, handle, (0, -1, 1)),
        (address, kind, handle, (0, 1 << 32, 1)),
    ]
    with pytest.raises((pso.Error, ValueError, TypeError, OSError)):
        function(*wrong[damage])
    assert shared == [1]


# --- fork ------------------------------------------------------------------------------------------------------------


def test_a_forked_child_takes_part_by_itself(any_space):
    root = any_space.root
    root["n"] = 0
    add = any_space.transactional(lambda: root.__setitem__("n", root["n"] + 1))

    def child():
        for _ in range(100):
            add()

    for _ in range(5):
        assert children.in_child(child) == 0
        add()
    assert root["n"] == 505


def test_a_child_of_a_child_takes_part_too(any_space):
    root = any_space.root

    def grandchild():
        root["grandchild"] = [1]

    def child():
        root["child"] = [1]
        return children.in_child(grandchild)

    assert children.in_child(child) == 0 and root == {"child": [1], "grandchild": [1]}


def test_a_fork_while_another_thread_is_in_a_transaction(space):
    root = space.root
    root["n"] = 0
    inside, forked = threading.Event(), threading.Event()

    def body():
        root["n"] += 1
        inside.set()
        forked.wait(20)

    thread = threading.Thread(target=lambda: space.run(body))
    thread.start()
    inside.wait(20)

    def child():
        root["of the child"] = True

    code = children.in_child(child)
    forked.set()
    thread.join(20)
    assert code == 0 and root == {"n": 1, "of the child": True}


def test_a_fork_while_other_threads_sleep_and_work(space):
    root, queue = space.root, space.Queue(1)
    root["n"] = 0
    stop = threading.Event()

    def work():
        while not stop.is_set():
            root["n"] = 1

    threads = [threading.Thread(target=queue.get), threading.Thread(target=work), threading.Thread(target=work)]
    for thread in threads:
        thread.start()

    def child():
        root["child"] = root.get("child", 0) + 1

    codes = [children.in_child(child) for _ in range(20)]
    stop.set()
    queue.put(1)
    for thread in threads:
        thread.join(10)
    assert codes == [0] * 20 and root["child"] == 20


@contextlib.contextmanager
def a_fork_in_a_sleep():
    """The handler of a signal that comes after a moment forks, and the child goes on where it was. Gives the numbers of the children."""
    pids = []
    before = signal.signal(signal.SIGALRM, lambda *_: pids.append(os.fork()))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        yield pids
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_child_of_a_signal_handler_in_a_wait_waits_by_itself(any_space):
    queue, done = any_space.Queue(), any_space.Queue()
    threading.Timer(1, lambda: (queue.put(1), queue.put(2))).start()
    with a_fork_in_a_sleep() as pids:
        try:
            got = queue.get(timeout=20)
            done.put(got)
        finally:
            if pids == [0]:
                os._exit(0)
    assert os.waitpid(pids[0], 0)[1] == 0
    assert {done.get(timeout=20), done.get(timeout=20)} == {1, 2}
    assert any_space.fsck() == []


def test_the_child_of_a_signal_handler_in_the_wait_of_a_transaction_is_in_none(any_space):
    root = any_space.root
    root["n"] = 0
    inside, over = threading.Event(), threading.Event()

    def hold():
        with any_space.transaction():
            root["n"] += 1
            inside.set()
            over.wait(20)

    def block():
        with any_space.transaction():
            root["n"] += 1

    def body():
        root["n"] += 1

    for wait in (block, lambda: any_space.run(body)):
        inside.clear(), over.clear()
        holder = threading.Thread(target=hold)
        holder.start()
        assert inside.wait(20)
        threading.Timer(1, over.set).start()
        with a_fork_in_a_sleep() as pids:
            code = 0
            try:
                wait()
            except pso.ForkedInTransactionError:
                code = 7
            finally:
                if pids == [0]:
                    os._exit(code)
        holder.join(20)
        assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 7
    assert root["n"] == 4 and any_space.fsck() == []


def test_iterators_and_proxies_of_the_parent_work_in_a_forked_child(space):
    shared = space.List(range(10))
    iterator = iter(shared)
    next(iterator)

    def child():
        return 0 if list(iterator) == list(range(1, 10)) and shared[3] == 3 else 2

    assert children.in_child(child) == 0 and next(iterator) == 1


def test_a_child_that_closes_the_space_does_not_close_it_for_its_parent(any_space):
    any_space.root["x"] = 1

    def child():
        any_space.close()

    assert children.in_child(child) == 0
    any_space.root["x"] += 1
    assert any_space.root == {"x": 2}


# --- Places ----------------------------------------------------------------------------------------------------------


def test_a_child_of_a_fork_that_runs_no_handlers_holds_what_it_meets(space):
    space.root["kept"] = [1, 2]
    proxies = [space.root["kept"]]
    # A child that has come, of which nothing may be left for the next one.
    assert children.in_child(lambda: len(proxies[0]) - 2) == 0
    reading, writing = os.pipe()
    # With the interpreter's lock: the child runs Python.
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        code = 1
        try:
            os.read(reading, 1)
            assert len(proxies[0]) == 2
            del space.root["kept"]
            space.collect()
            assert list(proxies[0]) == [1, 2]
            code = 0
        finally:
            os._exit(code)
    proxies.clear()
    os.write(writing, b"x")
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert space.fsck() == [] and "kept" not in space.root


@pytest.mark.seconds(60)
def test_places_of_processes_are_given_back(names):
    # A space of this size has room for 32 processes and 64 participants at a time.
    with pso.create(names(), size="2M") as space:
        space.root["n"] = 0

        def child():
            space.root["n"] += 1

        for _ in range(120):
            assert children.in_child(child) == 0
        assert space.root["n"] == 120 and space.stats()["participants"] < 64


def test_more_processes_than_there_is_room_for_are_refused_and_come_in_later(names):
    with pso.create(names(), size="24M") as space:
        space.root["n"] = 0
        pids = []
        reader, writer = os.pipe()
        for _ in range(40):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    space.root["n"] += 1
                    code = 0
                except pso.Error:
                    code = 7
                except RuntimeError:
                    code = 8
                finally:
                    if code == 0:
                        os.close(writer)
                        os.read(reader, 1)
                    os._exit(code)
            pids.append(pid)
        os.close(reader)
        # The children that got in hold their places until the last writing end is closed.
        os.close(writer)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        assert set(codes) <= {0, 7}, codes

        def child():
            space.root["later"] = True

        assert children.in_child(child) == 0 and space.root["later"] is True
        assert space.root["n"] <= codes.count(0)


def test_the_mapping_is_one_for_a_process(names):
    name = names()
    with pso.create(name, size="2M") as space:
        for _ in range(5):
            pickle.loads(pickle.dumps(space.List([1])))
            pso.attach(name)
        maps = pathlib.Path("/proc/self/maps").read_text()
        assert maps.count(f"pso.{name}/arena") <= 2
