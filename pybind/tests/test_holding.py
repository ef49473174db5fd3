"""What processes hold of a space is written down in it. The dangers: an object that somebody can still name and nobody holds, which a
collector would free under him; and one that is held for ever though nobody can name it any more.

`stats()["held"]` counts what all processes hold, objects that were pickled and not loaded yet included.
"""

import copy
import gc
import multiprocessing
import os
import pickle
import random
import threading
import weakref

import children
import pso
import pytest


def held(space):
    """How many entries there are."""
    return space.stats()["held"]


# --- Proxies ---------------------------------------------------------------------------------------------------------


def test_an_object_is_held_once_for_as_long_as_its_proxy_lives(any_space):
    any_space.root["list"] = []
    assert held(any_space) == 0
    first = any_space.root["list"]
    second = any_space.root["list"]
    assert first is second and held(any_space) == 1
    del first
    assert held(any_space) == 1
    del second
    assert held(any_space) == 0


def test_the_root_needs_nobody(any_space):
    root = any_space.root
    root["self"] = root
    assert root["self"] is root and held(any_space) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda space: space.List([1, 2]),
        lambda space: space.Dict(a=1),
        lambda space: space.Queue(3),
        lambda space: pso.Dict.fromkeys("ab"),
        lambda space: space.List([1]).copy(),
        lambda space: space.Dict(a=1).copy(),
        lambda space: copy.copy(space.List([1])),
        lambda space: copy.deepcopy(space.List([1, [2]])),
        lambda space: copy.deepcopy(space.Dict(a={"b": 1})),
    ],
)
def test_what_is_made_is_held_from_the_start(space, make):
    made = make(space)
    assert held(space) == 1
    del made
    assert held(space) == 0


def test_all_ways_out_of_a_container_hold_what_comes_out(space):
    def filled():
        space.root["dict"] = {number: [number] for number in range(6)}
        space.root["list"] = [{}, {}, {}]
        space.root["tuple"] = ([], ({},))
        queue = space.root["queue"] = space.Queue(3)
        queue.put([])

    filled()
    dict_, list_, queue = space.root["dict"], space.root["list"], space.root["queue"]
    assert held(space) == 3
    ways = [
        (1, lambda: dict_[1]),
        (1, lambda: dict_.get(1)),
        (1, lambda: dict_.setdefault(1, [])),
        (1, lambda: dict_.setdefault("new", [])),
        (1, lambda: dict_.pop(0)),
        (1, dict_.popitem),
        (1, lambda: next(iter(dict_.values()))),
        (1, lambda: list_[0]),
        (1, lambda: list_[-1]),
        (2, lambda: list_[:2]),
        (3, lambda: list(list_)),
        (3, lambda: sorted(list_, key=id)),
        (1, list_.pop),
        (2, lambda: space.root["tuple"]),
        (1, queue.get),
    ]
    for number, (count, way) in enumerate(ways):
        out = way()
        gc.collect()
        assert held(space) >= 3 + count, f"way {number}"
        del out
        gc.collect()
        assert held(space) == 3, f"way {number}"


def test_what_is_only_looked_at_is_not_held(space):
    space.root["tree"] = {"a": [{}, {"b": [1]}], "c": {}}
    tree = space.root["tree"]
    plain = tree.to_python()
    assert plain == {"a": [{}, {"b": [1]}], "c": {}} and tree == plain and repr(tree) == repr(plain)
    assert "a" in tree and len(tree) == 2
    assert held(space) == 1


def test_cycles_that_the_garbage_collector_breaks_let_go(space):
    class Node:
        pass

    node = Node()
    node.me, node.list = node, space.List([1])
    del node
    gc.collect()
    assert held(space) == 0


def test_a_proxy_with_a_weak_reference_lets_go(space):
    proxy = space.List()
    gone = []
    reference = weakref.ref(proxy, gone.append)
    del proxy
    assert gone == [reference] and held(space) == 0


def test_an_attempt_that_is_run_again_or_fails_holds_nothing(space):
    space.root["list"] = []

    def body():
        space.root["list"].append([])
        space.List([1])
        if pso.current().attempt < 3:
            raise pso.ConflictError
        return "done"

    assert space.run(body) == "done"
    assert held(space) == 0

    def fails():
        space.root["new"] = []
        kept.append(space.root["new"])
        raise ValueError

    kept = []
    with pytest.raises(ValueError):
        space.run(fails)
    assert held(space) == 1, "the proxy of what was rolled back"
    kept.clear()
    assert held(space) == 0


def test_iterators_hold_what_they_have_read_ahead(space):
    space.root["lists"] = [[] for _ in range(100)]
    iterator = iter(space.root["lists"])
    first = next(iterator)
    assert held(space) >= 2
    del iterator, first
    gc.collect()
    assert held(space) == 0


def test_more_than_a_table_starts_with(space):
    space.root["lists"] = [[number] for number in range(5000)]
    lists = list(space.root["lists"])
    assert held(space) == 5000
    random.Random(7).shuffle(lists)
    while lists:
        lists.pop()
        if len(lists) % 1000 == 0:
            assert held(space) == len(lists)


def test_threads_hold_and_let_go(space):
    space.root["lists"] = [[number] for number in range(50)]
    lists = space.root["lists"]

    def work(seed):
        chooser = random.Random(seed)
        kept = []
        for _ in range(2000):
            item = lists[chooser.randrange(50)]
            assert len(item) == 1
            kept.append(item)
            if len(kept) > 10:
                kept.pop(chooser.randrange(len(kept)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(space) == 1


# --- Closed spaces ---------------------------------------------------------------------------------------------------


def test_what_is_held_begins_anew_when_a_space_is_opened_again(names):
    name = names()
    witness = pso.create(name, size="4M")
    proxies = [witness.List([number]) for number in range(10)]
    assert held(witness) == 10
    witness.close()
    again = pso.attach(name)
    assert held(again) == 10
    fresh = [again.List() for _ in range(10)]
    assert held(again) == 20
    proxies.clear()
    assert held(again) == 10
    fresh.clear()
    assert held(again) == 0
    again.close()


def test_a_proxy_from_before_a_space_was_closed_holds_its_object_again(names):
    name = names()
    space = pso.create(name, size="4M")
    space.root["list"] = [1]
    proxy = space.root["list"]
    space.close()
    space = pso.attach(name)
    assert held(space) == 1
    assert space.root["list"] is proxy and held(space) == 1
    del proxy
    assert held(space) == 0
    space.close()


# --- Pickles ---------------------------------------------------------------------------------------------------------


def test_a_space_that_cannot_hold_its_proxies_anew_is_not_opened(names, space):
    """The danger: an error that says nothing of the object is forgotten, and the proxy of an object that is there holds nothing."""
    name = names()
    other = pso.create(name, size="2M")
    other.root["list"] = [1]
    proxy = other.root["list"]
    other.close()
    with pytest.raises(pso.CrossSpaceError):
        space.run(lambda: pso.attach(name))
    assert other.closed
    with pytest.raises(pso.SpaceClosedError):
        proxy.append(2)
    assert pso.attach(name) is other and held(other) == 1
    other.root["again"] = proxy
    assert proxy == [1] and other.fsck() == []
    other.close()


def test_a_pickled_object_is_held_until_it_is_loaded(any_space):
    made = any_space.List([1])
    pickled = pickle.dumps(made)
    del made
    assert held(any_space) == 1
    loaded = pickle.loads(pickled)
    assert loaded == [1] and held(any_space) == 1
    again = pickle.loads(pickled)
    assert again is loaded and held(any_space) == 1
    del loaded, again
    assert held(any_space) == 0


def test_a_pickle_that_is_loaded_twice_takes_out_no_other(space):
    made = space.List([1])
    first, second = pickle.dumps(made), pickle.dumps(made)
    for _ in range(3):
        assert pickle.loads(first) is made
    assert held(space) == 2, "the proxy and the second pickle"
    del made
    assert pickle.loads(second) == [1]
    assert held(space) == 0


def test_many_pickles_do_not_fill_a_table(space):
    made = space.List([1])
    for _ in range(3000):
        pickle.loads(pickle.dumps(made))
    assert held(space) == 1


def test_a_pickle_of_an_earlier_release_loads(space):
    space.root["list"] = [1]
    function, (address, kind, handle, _export) = space.root["list"].__reduce__()
    assert function(address, kind, handle) == [1]


@pytest.mark.parametrize("export", [(0, 0, 0), (0, 10**9, 1), (65535, 0, 1), (200, 3, 7), None])
def test_an_export_that_is_none_is_taken_out_by_nobody(space, export):
    made = space.List([1])
    function, (address, kind, handle, real) = made.__reduce__()
    assert function(address, kind, handle, export) is made and held(space) == 2
    assert function(address, kind, handle, real) is made and held(space) == 1


def test_a_stale_pickle_ends_no_transaction(space):
    function, (address, kind, handle, export) = space.List([1]).__reduce__()

    def body():
        with pytest.raises(pso.StaleHandleError):
            function(address, kind, str(int(handle) + (1 << 40)), export)
        space.root["went on"] = True

    space.run(body)
    assert space.root["went on"]


def test_an_old_pickle_loads_in_a_transaction_while_a_collection_rests(space):
    """The danger: what the collection has not come to yet is taken for garbage, though the root leads to it, by a long way."""
    chain = space.List([1])
    pickled = pickle.dumps(chain)
    for _ in range(4000):
        chain = space.List([chain])
    space.root["chain"] = chain
    del chain
    assert pickle.loads(pickled) == [1]
    for _ in range(300):
        # With one of them a collection begins, with each of the next it goes a little further.
        space.List()
        assert space.run(lambda: pickle.loads(pickled) == [1])
        with space.transaction():
            assert pickle.loads(pickled) == [1]


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_child_holds_what_it_was_given(any_space, start, method):
    objects = [any_space.List([number]) for number in range(5)]
    child = start(children.hold, *objects, method=method).ready()
    assert held(any_space) == 10
    objects.clear()
    # The process object keeps the arguments in the parent.
    child.process._args = ()
    gc.collect()
    assert held(any_space) == 5
    child.pipe.send("end")
    child.finish()
    assert any_space.fsck() == []
    assert held(any_space) == 0


# --- Ends ------------------------------------------------------------------------------------------------------------


def test_what_a_killed_process_held_is_let_go(any_space, start):
    any_space.root["lists"] = [[number] for number in range(20)]
    child = start(children.hold, *any_space.root["lists"]).ready()
    gc.collect()
    assert held(any_space) >= 20
    child.kill()
    child.process._args = ()
    del child
    # Clears up after the dead.
    assert any_space.fsck() == []
    gc.collect()
    assert held(any_space) == 0


def test_what_a_killed_process_had_pickled_is_let_go(space):
    def pickles():
        kept = [pickle.dumps(space.List([number])) for number in range(10)]
        os.kill(os.getpid(), 9)
        return len(kept)

    assert children.in_child(pickles) == -9
    assert space.fsck() == []
    assert held(space) == 0


# --- fork ------------------------------------------------------------------------------------------------------------


def test_a_forked_child_holds_what_its_parent_did(any_space):
    proxies = [any_space.List([number]) for number in range(300)]

    def child():
        assert held(any_space) == 600
        proxies[:] = proxies[:100]
        assert held(any_space) == 400
        proxies.append(any_space.List())
        assert held(any_space) == 401
        proxies.clear()
        assert held(any_space) == 300
        any_space.close()

    assert children.in_child(child) == 0
    assert held(any_space) == 300
    proxies.clear()
    assert held(any_space) == 0


def test_what_a_parent_lets_go_beside_a_fork_is_let_go_in_the_end(any_space):
    for _ in range(5):
        proxies = [any_space.List([number]) for number in range(50)]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(reading, 1)
            os._exit(0 if all(len(proxy) == 1 for proxy in proxies) else 1)
        # The child may not have come yet.
        proxies.clear()
        assert held(any_space) >= 50
        os.write(writing, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(reading)
        os.close(writing)
        # The next one to be let go takes with it what was put off.
        del any_space.List()[:]
        assert any_space.fsck() == []
        assert held(any_space) == 0


def test_a_child_of_a_child_holds_too(space):
    proxies = [space.List([number]) for number in range(10)]

    def grandchild():
        assert held(space) == 30
        proxies.clear()
        assert held(space) == 20

    def child():
        assert held(space) == 20
        code = children.in_child(grandchild)
        proxies.clear()
        return code

    assert children.in_child(child) == 0
    assert space.fsck() == []
    assert held(space) == 10


def take_all_places(pipe, space):
    """Sleeps in a transaction in as many threads as the space has places for, until it is told to end."""
    go = threading.Event()
    refused = threading.Event()

    def one():
        try:
            space.run(go.wait)
        except pso.NoPlaceError:
            refused.set()

    threads = []
    while not refused.is_set():
        threads.append(threading.Thread(target=one))
        threads[-1].start()
        refused.wait(0.001)
    pipe.send("ready")
    pipe.recv()
    go.set()
    for thread in threads:
        thread.join()
    pipe.send("done")


def test_a_forked_child_that_could_not_copy_what_its_parent_holds_has_nothing_in_hand(names, start):
    """It has a place for a process, and none for who would copy. The danger: it puts the name of what it does not hold into the space."""
    space = pso.create(names(), size="16M")
    named, unnamed = space.List([1]), space.List([2])
    space.root["named"] = named
    peer = start(take_all_places, space).ready()
    full, ask = multiprocessing.Pipe()

    def child():
        with pytest.raises(pso.NoPlaceError, match="participant slots"):
            named.append(2)
        # It would have to take hold of it first.
        with pytest.raises(pso.NoPlaceError, match="participant slots"):
            space.root["unnamed"] = unnamed
        ask.send("full")
        ask.recv()
        # There is room: it takes part. What it meets it holds, and what it stores.
        before = held(space)
        space.root["unnamed"] = [unnamed]
        assert held(space) == before + 1 and space.root["unnamed"] == [[2]]
        assert space.root["named"] is named
        space.root["again"] = named
        named.append(3)

    code = []
    forked = threading.Thread(target=lambda: code.append(children.in_child(child)))
    forked.start()
    assert full.poll(20) and full.recv() == "full"
    assert peer.ask("end") == "done"
    full.send("room")
    forked.join()
    assert code == [0]
    assert dict(space.root) == {"named": [1, 3], "again": [1, 3], "unnamed": [[2]]} and unnamed == [2]
    peer.finish()
    assert space.fsck() == []
    space.close()
