"""Pickles that transactions load and make. The dangers: what they are of is kept for ever, or no longer when the transaction is run again."""

import pickle
import threading

import pso
import pytest
from test_transactions import commit_elsewhere


def held(space):
    return space.stats()["held"]


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
