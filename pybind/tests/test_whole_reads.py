"""Whole reads beside others who write. The dangers: a reader who chases who appends, and conflicts over what nobody looked at."""

import threading
import time

import children_who_append
import pso
import pytest
from conftest import sentences

COUNT = 100_000

# What is read, and how long it was at least.
WHOLE_READS = {
    "list": ("items", lambda items: len(items.to_python())),
    "in": ("items", lambda items: COUNT + ("what is not there" in items)),
    "count": ("items", lambda items: COUNT + items.count("what is not there")),
    "repr": ("items", lambda items: repr(items).count(",")),
    "<": ("items", lambda items: COUNT + (items < [*range(COUNT), -1])),
    "dict": ("table", lambda table: len(table.to_python())),
    "union": ("table", lambda table: len(table | {})),
}


@pytest.mark.parametrize("what", WHOLE_READS)
def test_a_whole_read_ends_though_somebody_appends_all_the_time(names, start, what):
    name, read = WHOLE_READS[what]
    with pso.create(names(), size="512M") as space:
        root = space.root
        root.update(
            {"items": list(range(COUNT)), "table": {number: number for number in range(COUNT)}, "is_read": False}
        )
        shared = root[name]
        child = start(children_who_append.append, root, name)
        child.ready()
        for _ in range(2):
            assert read(shared) >= COUNT - 1
        # Had it come to an end because there was nobody left to chase, this would be there.
        assert "is_over" not in root
        root["is_read"] = True
        assert child.receive() > 0
        child.finish()
        assert sentences(space) == []


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("keys", [list, reversed, lambda table: table.keys(), lambda table: [*table]])
def test_who_goes_through_keys_does_not_conflict_with_new_values(space, keys):
    table, written = space.Dict({number: 0 for number in range(40)}), space.List()
    attempts = []

    def body():
        attempts.append(1)
        seen = sorted(keys(table))
        if len(attempts) == 1:
            in_a_thread(lambda: table.update({0: 1, 39: 1}))
        written.append(seen)

    space.run(body)
    assert (len(attempts), written, table[39]) == (1, [list(range(40))], 1)


@pytest.mark.parametrize(
    "make", [lambda space: space.Dict({number: number for number in range(60)}), lambda space: space.List(range(60))]
)
def test_a_loop_that_writes_has_read_no_more_than_it_needs(space, make):
    """Behind what was read before its first change, what a loop has not come to yet may change: it is met as it is by then, and is no conflict."""
    shared = make(space)
    attempts, seen = [], []

    def body():
        attempts.append(1)
        del seen[:]
        for number, value in shared.items() if isinstance(shared, pso.Dict) else enumerate(shared):
            shared[number] = value + 1
            seen.append(value)
            if len(attempts) == 1 and number == 5:
                in_a_thread(lambda: shared.__setitem__(33, 1000))

    space.run(body)
    assert (len(attempts), seen[33]) == (1, 1000)
    assert list(shared.values() if isinstance(shared, pso.Dict) else shared) == [value + 1 for value in seen]


def test_an_iterator_reads_more_and_more_where_nothing_changes(space):
    """Each length, and each moment at which something changes: nothing is left out, or given twice."""
    for length in (1, 2, 31, 32, 33, 64, 65, 200):
        table, items = space.Dict({number: 0 for number in range(length)}), space.List(range(length))
        for every in (1, 2, 3, 7, 31, 32, 33, 63):
            met = []
            for key, item in zip(table, items, strict=True):
                assert key == item
                met.append(key)
                if key % every == 0:
                    table[key] += 1
                    items[key] = key
            assert met == list(range(length))


class Exchanging:
    """Equals 1. Before it says so for the first time another thread commits an exchange."""

    def __init__(self, exchange):
        self.exchange = exchange

    def __eq__(self, other):
        if self.exchange:
            exchange, self.exchange = self.exchange, None
            in_a_thread(exchange)
        return other == 1


class Subclass(list):
    pass


SEARCHES = {
    "in": lambda shared, value: value in shared,
    "index": lambda shared, value: shared.index(value) in (0, 1),
    "count": lambda shared, value: shared.count(value) == 1,
}


@pytest.mark.parametrize("what", SEARCHES)
@pytest.mark.parametrize("kind", [list, Subclass])
def test_a_search_among_containers_sees_one_moment(space, what, kind):
    """The danger: one of two lists is [1] at every moment, and each is read at one at which it is not."""
    shared = space.List([[0], [1]])
    first, second = shared

    def exchange():
        first[0], second[0] = second[0], first[0]

    assert SEARCHES[what](shared, kind([Exchanging(lambda: space.run(exchange))]))
    assert (first[0], second[0]) == (1, 0)


def test_items_are_compared_as_they_are_at_one_moment(names, start):
    """Whoever replaces a list changes the old one in the same step: at every moment the one that is there is [1]."""
    with pso.create(names(), size="16M") as space:
        root = space.root
        root.update({"table": {"key": [1]}, "is_read": False})
        table = root["table"]
        child = start(children_who_append.replace, root, "table")
        child.ready()
        end, seen = time.monotonic() + 1, set()
        while time.monotonic() < end:
            seen.add(("key", [1]) in table.items())
        root["is_read"] = True
        assert child.receive() > 0 and seen == {True}
        child.finish()


def test_a_search_for_what_is_of_another_space_is_as_before(space, names):
    with pso.create(names()) as other:
        there = other.List([1])
        shared, table = space.List([[0], [1]]), space.Dict(key=[1])
        assert there in shared and shared.index(there) == 1 and shared.count([there[0]]) == 1
        assert ("key", there) in table.items()
        assert [there] not in shared
