"""Pickles that nobody loads, and those that transactions load and make. The dangers: what they are of is kept for ever, or no longer when
somebody loads one after all; and notes of what is kept fill the space.
"""

import pickle
import threading

import children
import children_with_pickles
import pso
import pytest
from children_with_pickles import MANY, never_loaded, one_that_lasts
from test_transactions import commit_elsewhere


def held(space):
    return space.stats()["held"]


# --- Nobody loads them -----------------------------------------------------------------------------------------------


def test_pickles_that_nobody_loads_do_not_fill_a_space():
    with pso.create(size="1M") as space:
        space.root["n"] = [1]
        shared = [space.List([1]), space.Dict(a=1), space.Queue(3)]
        for each in shared:
            for _ in range(20_000):
                pickle.dumps(each)
                with pytest.raises((AttributeError, pickle.PicklingError)):
                    pickle.dumps([each, lambda: 0])
        assert held(space) < 1 + 3 * MANY
        assert space.root["n"] == [1] and space.List([2]) == [2]


def test_pickles_of_an_object_that_nothing_else_names_do_not_fill_a_space():
    with pso.create(size="1M") as space:
        space.root["cart"] = [1]
        for _ in range(40_000):
            pickle.dumps(space.root["cart"])
        assert held(space) < MANY


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_what_many_pickles_are_of_is_held_however_many_load_them(space, start, method):
    pickled = one_that_lasts(space.List([1]))
    assert held(space) == 1
    receivers = [start(children_with_pickles.load_when_told, method=method).ready() for _ in range(3)]
    for receiver in receivers:
        for _ in range(2):
            assert receiver.ask(pickled) == [1]
            space.collect()
    assert space.run(lambda: list(pickle.loads(pickled))) == [1]
    space.collect()
    assert pickle.loads(pickled) == [1]


def test_what_many_pickles_are_of_is_held_until_their_sender_ends(space, start):
    sender = start(children_with_pickles.send_one_that_lasts, space)
    pickled = sender.receive()
    for _ in range(2):
        assert pickle.loads(pickled) == [1]
        space.collect()
    sender.kill()
    assert space.fsck() == []
    space.collect()
    with pytest.raises(pso.StaleHandleError):
        pickle.loads(pickled)
    assert held(space) == 0


def test_pickles_that_are_loaded_in_time_are_held_one_by_one(space):
    made, on_their_way = space.List([1]), []
    for _ in range(5 * MANY):
        on_their_way.append(pickle.dumps(made))
        if len(on_their_way) > 400:
            assert pickle.loads(on_their_way.pop(0)) is made
    del made
    while on_their_way:
        assert pickle.loads(on_their_way.pop()) == [1]
    assert held(space) == 0


def test_a_child_of_a_fork_holds_by_itself_what_it_pickles(space):
    made = space.List([1])
    before = pickle.loads(never_loaded(made)[-1]).__reduce__()[1][3]
    assert len(before) == 4

    def child():
        process, _, _, *lasts = made.__reduce__()[1][3]
        assert process != before[0] and not lasts
        never_loaded(made)
        process, _, _, *lasts = made.__reduce__()[1][3]
        assert process != before[0] and lasts

    assert children.in_child(child) == 0
    assert made.__reduce__()[1][3] == before


def test_a_space_that_is_opened_again_holds_anew_what_is_pickled(names):
    name = names()
    space = pso.create(name)
    space.root["list"] = [1]
    never_loaded(space.root["list"])
    space.close()
    with pso.attach(name) as space:
        del space.root["list"][:]
        made = space.root.pop("list")
        pickled = pickle.dumps(made)
        del made
        space.collect()
        assert pickle.loads(pickled) == []
        assert held(space) == 0
        pickled = one_that_lasts(space.List([2]))
        space.collect()
        assert pickle.loads(pickled) == [2]


def test_a_lost_attempt_does_not_let_go_of_what_others_have_sent(space):
    kept, sent, attempts = [space.List([1])], [], []

    def send_elsewhere():
        space.root["n"] = 1
        sent.append(pickle.dumps(kept[0]))

    def body():
        attempts.append(space.root.get("n"))
        if len(attempts) == 1:
            never_loaded(kept[0])
            commit_elsewhere(send_elsewhere)
        space.root["m"] = 1

    space.run(body)
    kept.clear()
    assert attempts == [None, 1] and held(space) == 1
    for _ in range(2):
        assert pickle.loads(sent[0]) == [1]
        space.collect()


# --- In transactions -------------------------------------------------------------------------------------------------


def test_a_pickle_that_a_transaction_has_loaded_is_no_longer_held_for_whoever_loads_it(space):
    before, pickled = held(space), pickle.dumps(space.List([1]))
    assert held(space) == before + 1
    assert space.run(lambda: list(pickle.loads(pickled))) == [1]
    assert held(space) == before
    pickled = pickle.dumps(space.List([2]))
    with space.transaction():
        assert pickle.loads(pickled) == [2]
    assert held(space) == before


def test_a_pickle_that_an_undone_attempt_has_loaded_is_held_on(space):
    before, pickled = held(space), pickle.dumps(space.List([1]))
    attempts = []

    def conflicts():
        attempts.append(list(pickle.loads(pickled)))
        space.root.get("n")
        if len(attempts) < 3:
            commit_elsewhere(lambda: space.root.update(n=len(attempts)))
        space.root["m"] = 1
        return space.root["n"]

    def fails():
        pickle.loads(pickled)
        raise LookupError

    def waits():
        pickle.loads(pickled)
        pso.retry()

    with pytest.raises(LookupError):
        space.run(fails)
    with pytest.raises(LookupError), space.transaction():
        fails()
    space.run(pso.or_else, waits, lambda: None)
    space.collect()
    assert held(space) == before + 1
    assert space.run(conflicts) == 2 and attempts == [[1]] * 3
    assert held(space) == before


def test_a_pickle_that_attempts_make_anew_keeps_its_object_once(space):
    before, made, kept = held(space), [], [space.List([1])]

    def body():
        made.append(pickle.dumps(kept[0]))
        space.root.get("n")
        if len(made) < 3:
            commit_elsewhere(lambda: space.root.update(n=len(made)))
        if len(made) == 3:
            threading.Thread(target=lambda: space.root.update(n=3)).start()
            pso.or_else(lambda: pickle.dumps(kept[0]) and pso.retry(), pso.retry)
        space.root["m"] = 1

    space.run(body)
    kept.clear()
    assert len(made) == 4 and held(space) == before + 1
    assert pickle.loads(made[-1]) == [1]
    assert held(space) == before


def test_a_pickle_that_an_attempt_makes_which_finds_a_full_space_keeps_nothing():
    with pso.create(size="2M") as space:
        before, made, kept = held(space), [], [space.List([1])]

        def replace():
            made.append(pickle.dumps(kept[0]))
            space.root["large"] = [["x" * 10_000] for _ in range(15)]

        transactions = 0
        while transactions < 30 and len(made) == transactions:
            transactions += 1
            space.run(replace)
        assert len(made) == transactions + 1, "the space was never full"
        kept.clear()
        assert held(space) == before + transactions


def test_what_a_transaction_that_fails_has_pickled_may_have_been_sent(space):
    before, made, kept = held(space), [], [space.List([1])]

    def fails():
        made.append(pickle.dumps(kept[0]))
        raise LookupError

    with pytest.raises(LookupError):
        space.run(fails)
    with pytest.raises(LookupError), space.transaction():
        fails()
    kept.clear()
    assert held(space) == before + 2
    for pickled in made:
        assert pickle.loads(pickled) == [1]
    assert held(space) == before


def test_a_pickle_that_an_undone_alternative_has_made_keeps_nothing(space):
    before, made, kept = held(space), [], [space.List([1])]

    def waits():
        made.append(pickle.dumps(kept[0]))
        pso.or_else(lambda: pickle.dumps(kept[0]) and pso.retry(), lambda: pickle.dumps(kept[0]))
        pso.retry()

    def body():
        made.append(pickle.dumps(kept[0]))
        return pso.or_else(waits, lambda: made.append(pickle.dumps(kept[0])))

    space.run(body)
    assert len(made) == 3 and held(space) == before + 3
    kept.clear()
    assert held(space) == before + 2
    assert [pickle.loads(made[0]), pickle.loads(made[2])] == [[1], [1]]
    assert held(space) == before
