"""What a few keys are asked of a large dict: intersections and comparisons. The danger: they go through all of it, in many operations; or they
look up, and find otherwise than the builtin views do.
"""

import collections
import enum
import fractions
import threading

import pso
import pytest
from differential import described, outcome
from hypothesis import given
from hypothesis import strategies as st

MANY = 2000


def attempts_of(space, function):
    """What a function gives in a transaction, and how many attempts that takes if another thread changes a value in the first."""
    attempts = []

    def body():
        result = function()
        space.root["log"] = len(attempts)
        attempts.append(result)
        if len(attempts) == 1:
            thread = threading.Thread(target=space.root["large"].__setitem__, args=(MANY - 1, "changed"))
            thread.start()
            thread.join()
        return result

    return space.run(body), len(attempts)


@pytest.mark.parametrize(
    "function",
    [
        lambda d: d.items() & {(1, -1), (2, -1), 5, (7,)},
        lambda d: [(1, -1)] & d.items(),
        lambda d: d == {1: -1},
        lambda d: d != {1: -1},
        lambda d: d == pso.Dict({1: -1}),
    ],
)
def test_a_few_are_looked_up(space, function):
    content = {number: -number for number in range(MANY)}
    space.root["log"], space.root["large"] = 0, content
    found, attempts = attempts_of(space, lambda: function(space.root["large"]))
    assert attempts == 1 and found == function(content) and type(found) is type(function(content))


def test_keys_that_are_few_are_of_one_moment(space):
    shared = space.Dict({number: 0 for number in range(MANY)})
    shared["at"] = {"one": 1}
    stop = threading.Event()

    @space.transactional
    def move(there, here):
        shared[there] = shared.pop(here)

    def run():
        while not stop.is_set():
            move("two", "at")
            move("at", "two")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(2000):
            assert len(shared.keys() & {"at", "two"}) == 1
    finally:
        stop.set()
        thread.join()


class Odd:
    """Equals an int and has its hash."""

    def __init__(self, number):
        self.number = number

    def __repr__(self):
        return f"Odd({self.number})"

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        return other == self.number


class Level(enum.IntEnum):
    LOW = 1


class Sub(tuple):
    __slots__ = ()


nan = float("nan")
Pair = collections.namedtuple("Pair", "key value")
CONTENT = {1: [1], "a": 2, (1, "x"): (3, [4]), None: None, b"b": 2.5, 2**70: {"k": 1}, 0.5: nan, "other": 1, 7: 7, 8: 8}


class Once:
    """Has a length, and can be gone through once."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        items, self.items = self.items, []
        return iter(items)


@pytest.mark.parametrize(
    "other",
    [
        lambda: {1, "a", "z"},
        lambda: frozenset([True, 1.0, (1.0, "x")]),
        lambda: [(1, "x"), (1, "x"), None],
        lambda: {1: 0, "z": 0},
        lambda: {"a": 2, "z": 0}.items(),
        lambda: iter([1, "a"]),
        lambda: "aqz",
        lambda: b"",
        lambda: [],
        lambda: range(3),
        lambda: range(100),
        lambda: set(range(100)),
        lambda: {(number, number) for number in range(100)},
        lambda: [1, []],
        lambda: [[]],
        lambda: [(1, [])],
        lambda: [(1, [1])],
        lambda: [([], 1)],
        lambda: {("a", 2), ("a", 3), (7, 7.0), ("z", 1), (1,), 5, (1, 2, 3)},
        lambda: [Pair("a", 2), Sub((7, 7)), Sub((7, 8))],
        lambda: [((1, "x"), (3, [4]))],
        lambda: [Odd(1), Odd(2)],
        lambda: [(Odd(7), 7), (8, Odd(8)), (Odd(8), Odd(9))],
        lambda: [Level.LOW, fractions.Fraction(1, 2)],
        lambda: [((1, Odd("x")), 1), (1, Odd("x"))],
        lambda: ["\ud800", ("\ud800", 1), nan, (nan, 1), (0.5, nan)],
        lambda: Once([1, "a"]),
        lambda: Once([Odd(1), "a"]),
        lambda: Once([("a", 2)]),
        lambda: 5,
        lambda: None,
    ],
)
def test_intersections_are_those_of_a_builtin(space, other):
    # As in a dict of ours, a NaN is no longer the one that was put in.
    copy = {**CONTENT, 0.5: float("nan")}
    for view in "keys", "items":
        for operation in (
            lambda x, view=view: getattr(x, view)() & other(),
            lambda x, view=view: other() & getattr(x, view)(),
        ):
            shared, builtin = outcome(operation, space.Dict(CONTENT)), outcome(operation, copy)
            assert shared[:2] == builtin[:2]


keys = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b", 0.5, 1.0, True, None, (1, 2)]))


@given(st.dictionaries(keys, keys, max_size=6), st.lists(keys | st.tuples(keys, keys), max_size=6), st.booleans())
def test_any_intersection_is_that_of_a_builtin(space, content, others, as_set):
    others = set(others) if as_set else others
    shared = space.Dict(content)
    for view in "keys", "items":
        assert getattr(shared, view)() & others == getattr(content, view)() & others
        assert others & getattr(shared, view)() == getattr(content, view)() & others
    assert described(shared) == described(content)


class Kin(dict):
    """Compares in a manner of its own."""

    def __eq__(self, other):
        return "kin"

    __hash__ = None


def test_dicts_of_other_lengths_differ(space):
    shared = space.Dict({1: 1})
    assert shared != {} and shared != {1: 1, 2: 2} and not shared == {} and shared == {1.0: True}
    assert shared != space.Dict() and shared == space.Dict({1: 1}) and not shared != shared
    assert (
        (shared == Kin()) == "kin" and shared != collections.OrderedDict() and shared == collections.OrderedDict({1: 1})
    )
    assert shared != collections.defaultdict(list) and (shared == 5) is False


def test_what_takes_out_what_it_has_given_takes_nothing_from_an_intersection(space):
    def drain(table):
        for key in ["a", "b"]:
            yield key
            del table[key]

    for table in [{"a": 1, "b": 2, "c": 3}, space.Dict(a=1, b=2, c=3)]:
        assert table.keys() & drain(table) == {"a", "b"} and dict(table) == {"c": 3}


class Unmeasured:
    """Gives its items, and not how many they are."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        raise NotImplementedError

    def __iter__(self):
        return iter(self.items)


def test_no_length_is_asked_of_what_may_not_have_one(space):
    table = space.Dict((number, number) for number in range(100))
    assert table.keys() & Unmeasured(1, 200) == {1} == Unmeasured(1, 200) & table.keys()
    assert table.items() & Unmeasured((1, 1), (2, 3)) == {(1, 1)}
