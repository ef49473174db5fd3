"""Operations of `pso.List` that are about a few items. The danger: they read or write all, and so take long, get in each other's way, and
find a nearly full space full; or they stop early and answer otherwise than `list`.
"""

import gc
import operator
import sys
import threading

import pso
import pytest
from differential import described, outcome
from hypothesis import given
from hypothesis import strategies as st

LENGTH = 5000


def elsewhere(change):
    """Runs a change in a thread of its own, to its end: a transaction beside that of the caller."""
    thread = threading.Thread(target=change)
    thread.start()
    thread.join()


def attempts_beside(space, operation, change):
    """How often a transaction runs that does one thing while, in its first attempt, another one changes something."""
    attempts = []

    def body():
        result = operation()
        attempts.append(result)
        if len(attempts) == 1:
            elsewhere(change)
        return result

    space.run(body)
    return len(attempts)


def assign(target, where, new):
    target[where] = new


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: 3 in x,
        lambda x: x.index(3),
        lambda x: x.index(3, 1, 10),
        lambda x: x.index("text"),
        lambda x: x.index((1, ("a", 2.5))),
        lambda x: x == [1, 2],
        lambda x: x != [9] * LENGTH,
        lambda x: [9] * LENGTH == x,
        lambda x: x == pso.List([1, 2]),
        lambda x: x == pso.List([9] * LENGTH),
        lambda x: x < [0, 2, 3],
        lambda x: x >= pso.List([0, 2, 3]),
        lambda x: assign(x, slice(0, 3), [7, 8, 9]),
        lambda x: assign(x, slice(0, 30, 10), [7, 8, 9]),
        lambda x: assign(x, slice(20, None, -10), [7, 8, 9]),
    ],
)
def test_what_others_do_to_the_rest_is_no_conflict(space, operation):
    shared = space.List([0, 1, 2, 3, "text", (1, ("a", 2.5)), *range(6, LENGTH)])
    log = space.List()
    # Something is written, so that what was read has to be of the moment of the commit.
    attempts = attempts_beside(space, lambda: (operation(shared), log.append(1)), lambda: assign(shared, 40, "changed"))
    assert attempts == 1 and log == [1]
    assert shared[40] == "changed"


@pytest.mark.parametrize("value, place", [(LENGTH - 1, 2), (-1, -1)])
def test_what_was_read_is_of_one_moment(space, value, place):
    shared = space.List(range(LENGTH))

    def operation():
        # It writes, so that it has to be of the moment of its commit.
        shared[0] = value in shared

    assert attempts_beside(space, operation, lambda: assign(shared, place, "changed")) == 2


def test_little_is_done_in_a_nearly_full_space():
    with pso.create(size="16M") as small:
        shared = small.List()
        for start in range(0, 550_000, 10_000):
            shared.extend(range(start, start + 10_000))
        assert shared[0] == 0 and 0 in shared and shared.index(0) == 0 and shared.index(7, 5) == 7
        assert shared != [1] and not shared == [1] and shared > [-1] and not shared < [0] and shared != small.List([1])
        shared[0:2] = [7, 7]
        shared[::50_000] = [5] * 11
        shared[-2:] = [1, 2, 3]
        del shared[-1:]
        shared *= 1
        assert shared[:3] == [5, 7, 2] and shared[-3:] == [549_997, 1, 2] and len(shared) == 550_000
        assert small.fsck() == []


class Watcher:
    """Equals what it was made for, and notes in what it is asked."""

    def __init__(self, wanted):
        self.wanted, self.asked = wanted, []

    def __eq__(self, other):
        assert pso.current() is None
        self.asked.append(other)
        return other == self.wanted

    __hash__ = None


def test_a_comparison_of_others_runs_after_the_look(space):
    shared = space.List([1, "two", [3], (4, [5])])
    watcher = Watcher("two")
    assert watcher in shared and watcher.asked == [1, "two"]
    assert shared.index(watcher) == 1
    assert shared == [1, watcher, [3], (4, [5])] and not shared == [2, watcher, [3], (4, [5])]
    watcher.asked.clear()
    # As in a list: what differs first decides, and lengths do for equality.
    assert not shared == [watcher] and shared < [2, watcher] and watcher.asked == []
    assert (shared < [1, watcher, [4]]) is True and watcher.asked == ["two"]
    assert space.List([(1, 2), 5]) < [(1, 3), watcher]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="collections wait for the next instruction of Python")
@pytest.mark.parametrize("text", ["\ud800", "a longer text with one \ud800", "\u00e9" * 20, "ascii"])
def test_no_collection_comes_while_texts_are_compared(space, text):
    """The danger: its finalizers run in the attempt. An exception that is made and caught sets one off."""
    shared, phases = space.List(["short", "a longer text", "\u00e9", ("\u00e9", 1)] * 100), []
    plain, in_tuple, before = shared[:-1] + [text], (text, 1), gc.get_threshold()
    gc.callbacks.append(lambda phase, info: phases.append(phase))
    try:
        gc.set_threshold(1)
        known = len(phases)
        found = text in shared
        also = in_tuple in shared
        equal = shared == plain
        assert len(phases) == known and not (found or also or equal)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.pop()


class Kin(list):
    """Compares in a manner of its own."""

    def __eq__(self, other):
        return "kin"

    def __gt__(self, other):
        return "kin"


def test_a_list_that_compares_by_itself_is_asked(space):
    assert (space.List([1]) == Kin([1, 2])) == "kin" and (space.List([1]) < Kin()) == "kin"


def test_a_proxy_is_found_as_what_it_names(space):
    shared = space.List([[1], {"a": 1}, [1], {"b": 2}, [2]])
    shared.append(space.Queue())
    for place, item in enumerate(shared):
        assert item in shared and shared.index(item) == (0 if place == 2 else place)
    assert [2] in shared and shared.index({"b": 2}) == 3 and [3] not in shared and space.List([2]) in shared
    assert space.Queue() not in shared and shared != list(range(6)) and shared == [*shared]
    shared.append(shared)
    assert shared in [shared] and shared.index(shared[4]) == 4 and shared == shared and not shared < shared
    with pso.create(size="2M") as other:
        assert other.List([2]) in shared and other.List([5]) not in shared and other.Queue() not in shared


nan = float("nan")
numbers = st.sampled_from(
    [0, 1, -1, True, False, 0.0, -0.0, 1.0, 2.5, 1e300, nan, float("inf"), 2**53, 2**53 + 1, 2.0**53]
)
large = st.sampled_from(
    [2**62, 2.0**62, 2**63, -(2**63), 2.0**63, 2**63 - 1, 2**100, 2.0**100, -(2**100), 2**100 + 1, 2**70]
)
texts = st.sampled_from(["", "a", "ab", "é", "seven c", "a longer text", "a longer tex\u00e9", "\ud800"])
data = st.sampled_from([b"", b"a", b"ab", b"longer than a word"])
scalars = st.one_of(st.none(), numbers, large, texts.filter(lambda text: text != "\ud800"), data)
tuples = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
plain = st.one_of(scalars, tuples)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(scalars, inner, max_size=2), st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=5,
)
lists = st.one_of(st.lists(plain, max_size=6), st.lists(values, max_size=4))
limits = st.integers(-8, 8)


def copied(value):
    """Equal, but for NaN, and nowhere the same object: so a NaN in a builtin is no more itself than one that was read."""
    if isinstance(value, float):
        return float(repr(value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(copied, value))
    if isinstance(value, dict):
        return {copied(key): copied(item) for key, item in value.items()}
    return value


@given(lists, st.one_of(values, texts), limits, limits, st.data())
def test_any_value_is_found_as_in_list(space, content, value, start, stop, draw):
    if content and draw.draw(st.booleans()):
        value = draw.draw(st.sampled_from(content))
    builtin, shared = list(content), space.List(content)
    for operation in (
        lambda x, value: value in x,
        lambda x, value: x.index(value),
        lambda x, value: x.index(value, start),
        lambda x, value: x.index(value, start, stop),
        lambda x, value: x.count(value),
        lambda x, value: x.remove(value),
    ):
        expected = outcome(operation, builtin, copied(value))
        assert outcome(operation, shared, value) == expected
    assert described(shared) == described(builtin)


@given(lists, lists, st.data())
def test_any_lists_compare_as_lists_do(space, one, two, draw):
    if draw.draw(st.booleans()):
        two = one[: draw.draw(limits)] + two
    for compared in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
        expected = outcome(compared, copied(one), copied(two))
        assert outcome(compared, space.List(one), two) == expected
        assert outcome(compared, space.List(one), space.List(two)) == expected
        # Where `two` is asked, a message names the sides the other way round.
        assert outcome(compared, one, space.List(two))[:2] == expected[:2]


bounds = st.none() | st.integers(-40, 40)
slices = st.builds(slice, bounds, bounds, st.none() | st.integers(1, 9) | st.integers(-9, -1))


@given(st.integers(0, 30), st.lists(st.tuples(slices, st.integers(0, 12), st.booleans(), st.booleans()), max_size=8))
def test_slices_in_turn_do_what_they_do_to_a_list(space, length, steps):
    content = [[number] if number % 5 == 0 else f"a text of its own {number}" for number in range(length)]
    builtin, shared = list(content), space.List(content)

    def change(target, where, new, deletes):
        if deletes:
            del target[where]
        else:
            target[where] = new

    for number, (where, count, deletes, fits) in enumerate(steps):
        if fits:
            count = len(range(len(builtin))[where])
        new = [f"a text that is new {number} {each}" for each in range(count)]
        assert outcome(change, shared, where, new, deletes) == outcome(change, builtin, where, new, deletes)
        assert described(shared) == described(builtin)
        assert outcome(change, shared, where, shared[where], False) == outcome(
            change, builtin, where, builtin[where], False
        )
    # Each text has one name: what was counted wrongly is freed twice, or never.
    assert described(shared) == described(builtin)


def test_a_slice_is_given_what_reads_the_list(space):
    builtin, shared = list(range(10)), space.List(range(10))
    for target in builtin, shared:
        target[2:5] = (item * 10 for item in target[:3])
        target[::3] = reversed(target[::3])
        target[1:3] = target
        target[:] = target
        del target[-3:]
        target *= 1
    assert shared == builtin


@pytest.mark.parametrize(
    "held, sought", [("é" * 10, "é" * 9 + "x"), (2**80, 2**80 + 1), (2**80, 1e10), (1e300, 10**299)]
)
def test_a_recursion_that_is_too_deep_is_no_end_of_a_transaction(space, held, sought):
    """Where a comparison has no room left, what it raises is raised behind the look: who catches it goes on."""
    shared = space.List([held])
    seek = shared.__contains__

    def body():
        caught = []

        def deeper():
            try:
                seek(sought)
            except RecursionError:
                caught.append(1)
                return
            deeper()

        try:
            deeper()
        except RecursionError:
            caught.append(0)
        shared.append(1)
        return caught

    assert len(space.run(body)) == 1 and len(shared) == 2
    assert held in shared and sought not in shared
