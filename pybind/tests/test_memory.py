"""What is replaced or removed is used again: spaces of 2 MiB that many times as much goes through."""

import random

import children
import pso
import pytest

ROUNDS = 3000
LONG = 700  # Bytes of a value: 3,000 of them are as much as the whole space.


@pytest.fixture
def small():
    with pso.create(size="2M") as space:
        yield space
        assert space.fsck() == []


def value(number):
    """A value of each kind that has a block of its own."""
    kinds = [
        lambda: f"{number:0{LONG}}",
        lambda: b"%0*d" % (LONG, number),
        lambda: 1 << (8 * LONG) | number,
        lambda: 1e300 + number,
        lambda: (number, f"{number:0{LONG}}", (1e300, b"x" * 20), None),
    ]
    return kinds[number % len(kinds)]()


def test_values_of_a_dict_are_replaced(small):
    shared = small.Dict()
    for number in range(ROUNDS):
        shared[number % 7] = value(number)
    assert shared == {number % 7: value(number) for number in range(ROUNDS - 7, ROUNDS)}


def test_keys_come_and_go(small):
    shared, plain = small.Dict(), {}
    for number in range(ROUNDS):
        key = f"{number:0{LONG}}"
        shared[key] = plain[key] = value(number)
        for way in (0, 1, 2):
            if number % 3 == way and len(plain) > 20:
                old = next(iter(plain))
                if way == 0:
                    del shared[old], plain[old]
                elif way == 1:
                    assert shared.pop(old) == plain.pop(old)
                else:
                    assert shared.popitem() == plain.popitem()
    assert shared == plain
    shared.clear()
    shared.update(plain)
    assert shared == plain


def test_items_of_a_list_are_replaced_and_moved(small):
    chance = random.Random(11)
    shared, plain = small.List(), []
    for number in range(ROUNDS):
        item = f"{number % 90:0{LONG}}"
        deed = chance.randrange(11) if len(plain) > 4 else 0
        for items in (shared, plain):
            match deed:
                case 0 | 1:
                    items.append(item)
                case 2:
                    items.insert(3, item)
                case 3:
                    items[len(items) // 2] = item
                case 4:
                    items.sort()
                case 5:
                    items.reverse()
                case 6:
                    items[1:3] = [item]
                case 7:
                    del items[::2]
                case 8:
                    items.remove(items[-1])
                case 9:
                    items.pop(0)
                case 10 if len(plain) < 20:
                    items *= 2
        if len(plain) > 60:
            shared[40:] = plain[40:] = []
    assert shared == plain
    copied = shared.copy()
    shared.clear()
    assert copied == plain and shared == []


def test_items_go_through_a_queue(small):
    queue = small.Queue(5)
    for number in range(ROUNDS):
        queue.put(value(number))
        assert queue.get() == value(number)


def test_a_transaction_that_is_run_again_or_fails_leaves_nothing(small):
    shared = small.Dict(a="x" * LONG)

    def fails(number):
        shared["a"] = f"{number:0{LONG}}"
        shared["b"] = "y" * LONG
        raise ZeroDivisionError

    def chooses(number):
        def first():
            shared["a"] = f"{number:0{LONG}}"
            pso.retry()

        pso.or_else(first, lambda: shared.__setitem__("b", f"{number:0{LONG}}"))

    for number in range(ROUNDS):
        with pytest.raises(ZeroDivisionError):
            small.run(fails, number)
        small.run(chooses, number)
    assert shared == {"a": "x" * LONG, "b": f"{ROUNDS - 1:0{LONG}}"}


def test_equal_items_stay_apart_when_sorted(small):
    # One empty tuple stands for all, in Python.
    shared = small.List([(), (1,), (), "x" * 50, (), (0,)])
    shared.sort(key=str)
    assert shared == sorted([(), (1,), (), "x" * 50, (), (0,)], key=str)
    for _ in range(6):
        shared.pop()
        assert small.fsck() == []


def test_a_list_that_is_changed_while_it_is_sorted_stays_whole(small):
    shared = small.List([f"{number:050}" for number in (3, 1, 2)])

    def key(item):
        if len(shared) == 3:
            shared.pop()
        return item

    def sort():
        with pytest.raises(ValueError, match="modified"):
            shared.sort(key=key)

    small.run(sort)
    assert sorted(shared) == [f"{number:050}" for number in (1, 2, 3)]
    assert small.fsck() == []


def test_a_tuple_that_stands_twice_in_a_value_stays(small):
    twice = ("x" * 50, (1.5e300,))
    shared = small.Dict(a=[twice, twice, (twice, twice)])
    shared["b"] = (twice, twice)
    inner = shared["a"]
    inner.pop(0)
    shared["b"] = None
    assert inner == [twice, (twice, twice)]
    inner.pop()
    assert inner == [twice] and inner[0] == twice


def test_what_a_reader_has_seen_waits_for_it(small, start):
    small.root["shared"] = {"a": "x" * LONG}
    shared = small.root["shared"]
    reader = start(children.read_and_wait, small, shared, "a", method="fork").ready()
    for number in range(400):
        shared["a"] = f"{number:0{LONG}}"
    # What it has read, and nothing of what came after that.
    small.collect()
    assert LONG <= small.stats()["retired"] < 2 * LONG
    reader.pipe.send("go")
    assert reader.receive() == "x" * LONG
    reader.finish()
    assert small.collect() >= LONG and small.stats()["retired"] == 0
    with pytest.raises(RuntimeError, match="inside a transaction"):
        small.run(small.collect)
    for number in range(2000):
        shared["a"] = f"{number:0{LONG}}"
    assert small.stats()["retired"] < 1 << 20


def test_what_fills_a_space_is_read_wherever_it_lies():
    """The danger: the last block of a space is called damaged, for it is smaller than what is looked at."""
    for seed in range(4):
        numbers = random.Random(seed)
        with pso.create(size="8M") as space:
            space.root["cache"] = {}
            for _ in range(8):
                with pytest.raises(pso.ArenaFull):
                    while True:
                        space.root["cache"][numbers.randrange(10**9)] = 1
                try:
                    space.root["cache"] = {}
                except pso.ArenaFull:
                    space.root["cache"].popitem()
            cache = space.root["cache"]
            assert all(cache[key] == 1 for key in cache)


def test_a_worker_of_a_full_space_is_replaced(start):
    """The danger: nobody can come to where there is no room for a log of his, though the dead have left theirs."""
    with pso.create(size="2M") as space:
        space.root["values"] = {0: "first"}
        values = space.root["values"]
        worker = start(children.read_and_wait, space, values, 0)
        worker.ready()
        with pytest.raises(pso.ArenaFull):
            for number in range(1, 100_000):
                values[number] = "v" * 50
        for _ in range(3):
            worker.kill()
            worker = start(children.read_and_wait, space, values, 0)
            worker.ready()


@pytest.mark.parametrize("size", ["8M", "64M"])
def test_who_comes_to_a_space_full_of_garbage_clears_it(start, size):
    """The danger: nobody in it is at work, and who comes has no room for the logs without which he cannot collect."""
    with pso.create(size=size) as space:
        values = space.Dict()
        space.root["values"] = values
        for length in (100_000, 30_000, 5_000, 1000, 500, 200, 50):
            with pytest.raises(pso.ArenaFull):
                for number in range(1_000_000):
                    values[f"{length} {number}"] = "v" * length
        del values
        space.root.pop("values")
        worker = start(children.add_texts, space, "texts", 100)
        assert worker.receive() == 100
        assert space.stats()["free"] > space.stats()["size"] // 2


def test_logs_of_the_dead_make_room(start):
    """The danger: each that ends in the middle of a large transaction leaves its logs for ever."""
    with pso.create(size="64M") as space:
        space.root["many"] = list(range(1_000_000))
        many = space.root["many"]
        for _ in range(3):
            for worker in [start(children.read_all_and_end, many) for _ in range(4)]:
                worker.finish()
        space.collect()
        assert len(many.to_python()) == 1_000_000


@pytest.mark.seconds(60)
def test_many_processes_replace_under_kills(start):
    with pso.create(size="8M") as space:
        space.root["shared"] = {str(number): "0" * LONG for number in range(20)}
        shared = space.root["shared"]
        arguments = (children.replace_for_ever, space, shared, LONG)
        workers = [start(*arguments, seed, method="fork").ready() for seed in range(3)]
        for seed in range(10, 25):
            for _ in range(300):
                key = str(random.randrange(20))
                shared[key] = shared[key][:1] * LONG
            workers.pop(0).kill()
            workers.append(start(*arguments, seed, method="fork").ready())
            assert all(len(set(text)) == 1 and len(text) == LONG for text in shared.values())
            assert space.fsck() == []
        for child in workers:
            child.kill()
        assert space.fsck() == [] and len(shared) == 20
