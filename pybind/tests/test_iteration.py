"""What an iterator has read ahead. The danger: it outlives the moment it is of, and shows what never was, or what no longer is."""

import os
import subprocess
import sys
import threading

import pso
import pytest


def test_what_a_transaction_that_failed_has_changed_is_not_met_after_it(space):
    items = space.List([1, 2, 3])
    table = space.Dict(a=1, b=2, c=3)
    iterator, values = iter(items), iter(table.values())

    def body():
        items.append("phantom")
        items[1] = []
        table["b"] = 9
        assert (next(iterator), next(values)) == (1, 1)
        raise ValueError

    with pytest.raises(ValueError):
        space.run(body)
    assert (list(iterator), list(values)) == ([2, 3], [2, 3])


def test_what_an_alternative_that_was_undone_has_changed_is_not_met_in_the_next(space):
    items = space.List([1, 2, 3])
    table = space.Dict(a=1, b=2, c=3)

    def body():
        iterator, values = iter(items), iter(table.values())

        def undone():
            items[1] = "phantom"
            table["b"] = ["phantom"]
            assert (next(iterator), next(values)) == (1, 1)
            pso.retry()

        return pso.or_else(undone, lambda: (list(iterator), list(values)))

    assert space.run(body) == ([2, 3], [2, 3])


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_inside_a_transaction_only_its_own_changes_of_size_are_met(space):
    table = space.Dict(a=1, b=2)
    elsewhere = space.Dict(x=1)
    attempts = []

    def body():
        attempts.append(1)
        iterator, others = iter(table), iter(elsewhere)
        got = [next(iterator), next(others)]
        if len(attempts) == 1:
            in_a_thread(lambda: table.update(c=3))
            in_a_thread(lambda: elsewhere.update(y=3))
        # In the first run what has changed is met as a conflict, and not as a mistake of the body's.
        got.append(next(iterator))
        pso.or_else(lambda: (table.update(undone=1), pso.retry()), lambda: None)
        return got + [*iterator, *others]

    assert sorted(space.run(body)) == ["a", "b", "c", "x", "y"] and len(attempts) == 2

    def grows():
        iterator = iter(table)
        next(iterator)
        pso.or_else(lambda: table.update(d=4), lambda: None)
        with pytest.raises(RuntimeError, match="changed size"):
            next(iterator)
        del table["d"]
        return list(iterator)

    assert len(space.run(grows)) == 2 and len(table) == 3


def test_a_change_of_size_is_met_by_others_once_it_has_committed(space):
    table = space.Dict(a=1, b=2, c=3)
    iterator = iter(table)
    next(iterator)
    changed, met = threading.Event(), threading.Event()

    def grows():
        table["d"] = 4
        changed.set()
        assert met.wait(20)

    thread = threading.Thread(target=space.run, args=(grows,))
    thread.start()
    assert changed.wait(20)
    next(iterator)
    met.set()
    thread.join(20)
    with pytest.raises(RuntimeError, match="changed size"):
        next(iterator)


@pytest.mark.parametrize("takes_back", [False, True])
def test_what_had_changed_before_an_iterator_began_counts_when_it_commits(space, takes_back):
    """The danger: it was noted only while somebody iterated, so half of it, or nothing."""
    table = space.Dict(a=1, b=2, c=3)
    changed, begun = threading.Event(), threading.Event()

    def changes():
        table["d"] = 4
        changed.set()
        assert begun.wait(20)
        if takes_back:
            del table["d"]

    thread = threading.Thread(target=space.run, args=(changes,))
    thread.start()
    assert changed.wait(20)
    iterator = iter(table)
    got = [next(iterator)]
    begun.set()
    thread.join(20)
    if takes_back:
        assert sorted(got + list(iterator)) == ["a", "b", "c"]
    else:
        with pytest.raises(RuntimeError, match="changed size"):
            next(iterator)


def test_sizes_are_counted_through_alternatives_and_by_threads_at_once(space):
    tables = [space.Dict(a=1, b=2, c=3) for _ in range(3)]
    iterators = [iter(table) for table in tables]
    for iterator in iterators:
        next(iterator)

    def looks_at(table):
        # Somebody else with changes of its own, who asks for those of this one.
        space.Dict()["x"] = 1
        assert len(list(table)) == 3

    def undone():
        for table in tables:
            table["undone"] = 1
            in_a_thread(lambda table=table: space.run(looks_at, table))
        pso.or_else(lambda: (tables[0].update(deeper=1), pso.retry()), lambda: tables[1].pop("undone"))
        assert [len(list(table)) for table in tables] == [5, 4, 4]
        pso.retry()

    def kept():
        # In each the sum of what it has added and removed is none, but for the last one.
        tables[0]["mine"] = 1
        pso.or_else(lambda: tables[0].pop("mine"), lambda: None)
        pso.or_else(lambda: tables[1].pop("first"), lambda: None)
        tables[2]["new"] = 1

    def body():
        tables[0]["first"] = tables[1]["first"] = 1
        pso.or_else(undone, kept)
        tables[0].pop("first")

    space.run(body)
    assert [len(list(iterator)) for iterator in iterators[:2]] == [2, 2]
    with pytest.raises(RuntimeError, match="changed size"):
        next(iterators[2])


def test_a_transaction_meets_its_own_changes_whoever_looks_meanwhile(space):
    table = space.Dict(a=1, b=2, c=3)
    outside = iter(table)
    next(outside)

    def looks():
        space.Dict()["x"] = 1
        assert len(list(table)) == 3

    def body():
        table["x"] = 1
        iterator = iter(table)
        next(iterator)
        in_a_thread(lambda: space.run(looks))
        next(iterator)
        table["y"] = 1
        in_a_thread(lambda: space.run(looks))
        with pytest.raises(RuntimeError, match="changed size"):
            next(iterator)
        del table["y"]
        return len(list(iterator))

    assert space.run(body) == 2
    with pytest.raises(RuntimeError, match="changed size"):
        next(outside)


def test_an_iterator_of_a_transaction_goes_on_after_it(space):
    table = space.Dict(a=1)

    def grows():
        seldom = iter(table)
        table["b"] = 2
        iterator = iter(table)
        next(iterator)
        return seldom, iterator

    seldom, iterator = space.run(grows)
    assert len(list(iterator)) == 1
    with pytest.raises(RuntimeError, match="changed size"):
        next(seldom)


def test_what_was_read_before_a_transaction_is_read_again_in_it(named_space):
    space = named_space
    items = space.List([1] * 10)
    iterator = iter(items)
    assert next(iterator) == 1
    space.root["items"] = items
    program = f"import pso; pso.attach({space.name!r}).root['items'][:] = [2] * 10"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
    assert space.run(lambda: list(iterator)) == [2] * 9


@pytest.mark.parametrize("kind", ["List", "Dict"])
def test_threads_that_share_an_iterator_get_each_item_once(space, kind):
    numbers = range(20_000)
    shared = space.List(numbers) if kind == "List" else space.Dict(dict.fromkeys(numbers))
    iterator = iter(shared)
    got = []
    takers = [threading.Thread(target=lambda: got.append([*iterator])) for _ in range(3)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(sum(got, [])) == list(numbers)


def elsewhere(change):
    """Another process makes a change, and ends."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            change()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(process, 0)[1] == 0


@pytest.mark.parametrize(
    ("back", "turns", "gone"),
    [(False, 1300, 1200), (False, 1300, 1310), (True, 400, 1500), (False, 40, 1500), (True, 40, 1500)],
)
def test_what_others_move_is_met_once(space, back, turns, gone):
    """The danger: much is taken out, what is left moves down as more is put in, and who goes on from where he was misses it, or meets it again."""
    table, seen = space.Dict((number, number) for number in range(2000)), []

    def change():
        for number in range(gone):
            table.pop(number)
        for number in range(400):
            table[-1 - number] = 0

    for key in reversed(table) if back else table:
        seen.append(key)
        if len(seen) == turns:
            elsewhere(change)
    stays = list(range(1999, gone - 1, -1) if back else range(gone, 2000))
    assert [key for key in seen if key >= gone] == stays
    assert len(set(seen)) == len(seen)


def test_what_others_move_is_met_though_all_of_it_was_read_at_once_and_thrown_away(space):
    """The danger: whoever has read the last one remembers no end, throws away what he has read for a change of his own, and misses what has moved past him since."""
    table, seen = space.Dict((number, number) for number in range(32)), []

    def change():
        for number in range(20):
            table.pop(number)
        for number in range(4):
            table[-1 - number] = 0

    for key in table:
        seen.append(key)
        if len(seen) == 1:
            table[31] = 0
        if len(seen) == 4:
            elsewhere(change)
    assert [key for key in seen if key >= 20] == list(range(20, 32))


@pytest.mark.parametrize("by_itself", [True, False])
def test_who_goes_through_what_is_made_anew_again_and_again_has_an_end(space, by_itself):
    """The danger: what was inserted since is taken for what was not given yet."""
    table, seen = space.Dict((number, number) for number in range(100)), []

    def anew():
        with space.transaction():
            plain = table.to_python()
            table.clear()
            table.update(plain)

    for key in table:
        seen.append(key)
        anew() if by_itself else elsewhere(anew)
        assert len(seen) <= 100
    assert seen


@pytest.mark.parametrize("back", [False, True])
def test_who_goes_through_what_is_put_last_again_and_again_has_an_end(space, back):
    table, seen = space.Dict((number, number) for number in range(300)), []

    def touch():
        for number in range(250):
            table[number] = table.pop(number)

    for key in reversed(table) if back else table:
        seen.append(key)
        if len(seen) % 20 == 0:
            elsewhere(touch)
        assert len(seen) <= 300
    # Those that nobody has touched.
    assert sorted(key for key in seen if key >= 250) == list(range(250, 300))


@pytest.mark.parametrize("back", [False, True])
def test_what_was_given_may_go_and_what_is_there_is_still_met(space, back):
    """Who takes out what was given leaves nothing to begin behind: the one that comes next is known."""
    table, seen = space.Dict((number, number) for number in range(1000)), []

    def change(first, last):
        for number in range(first, last, -1 if back else 1):
            table.pop(number)
        for number in range(60):
            table[-1 - last * 1000 - number] = 0
            table.pop(-1 - last * 1000 - number)

    done = 999 if back else 0
    for key in reversed(table) if back else table:
        if key < 0:
            continue
        seen.append(key)
        if len(seen) % 150 == 0:
            elsewhere(lambda done=done, key=key: change(done, key - 1 if back else key + 1))
            done = key - 1 if back else key + 1
    assert seen == list(range(999, -1, -1) if back else range(1000))


@pytest.mark.parametrize("gone", [10, 900, 999])
def test_who_goes_backwards_begins_at_the_end_of_his_beginning(space, gone):
    """Others move what is left before the first step: it is met once, and what was put behind it is not."""
    table = space.Dict((number, number) for number in range(1000))
    iterators = reversed(table), reversed(table.keys()), reversed(table.values()), reversed(table.items())

    def change():
        for number in range(gone):
            table.pop(number)
        for number in range(gone + 400):
            table[-1 - number] = 0

    elsewhere(change)
    for seen in iterators:
        seen = [item if isinstance(item, int) else item[0] for item in seen]
        assert seen[: 1000 - gone] == list(range(999, gone - 1, -1)) and len(seen) <= 1000


def test_what_others_put_behind_the_end_is_not_met_backwards(space):
    full, empty = space.Dict(a=1), space.Dict()
    iterators = reversed(full), reversed(empty)
    elsewhere(lambda: (full.update(b=1), empty.update(b=1)))
    assert [list(iterator) for iterator in iterators] == [["a"], []]


@pytest.mark.parametrize("length, gone, put", [(100, 50, 60), (2000, 1500, 3000), (40, 30, 40), (100, 90, 30)])
def test_where_the_last_goes_before_the_first_step_back_all_that_stay_are_met(space, length, gone, put):
    table = space.Dict((number, number) for number in range(length))
    for number in range(gone):
        del table[number]
    iterator = reversed(table)

    def change():
        del table[length - 1]
        for number in range(put):
            table[-1 - number] = 0

    elsewhere(change)
    seen = list(iterator)
    assert [key for key in seen if key >= 0] == list(range(length - 2, gone - 1, -1)) and len(seen) == len(set(seen))
