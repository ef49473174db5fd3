"""`pso.List` beside `list`. The danger: code that works with a list meets a corner in which ours behaves otherwise.

Each operation runs on both; result, error and message, and the contents afterwards have to agree.
"""

import collections.abc
import copy
import functools
import operator
import random
import signal
import weakref

import pso
import pytest
from differential import compare, described, outcome
from hypothesis import given
from hypothesis import strategies as st

START = [3, 1, 2, 5, 4, 1]

OPERATIONS = """
x[0], x[-1], x[5], x[-6]
x[6]
x[-7]
x[10**30]
x[-10**30]
x["a"]
x[1.0]
x[None]
x[()]
x[True]
x[Index(2)]
x[0] = "zero"
x[-1] = [1, {"two": 3}]
x[6] = 1
x[-7] = 1
x["a"] = 1
x[10**30] = 1
del x[0]
del x[-1]
del x[6]
del x["a"]
x.append(9)
x.append()
x.append(1, 2)
x.append([1])
x.append(x); repr(x), x[-1] is x
x.append({"me": x}); repr(x)
x.extend([7, 8])
x.extend("ab")
x.extend(x)
x.extend(range(3))
x.extend(5)
x.extend({"k": 1})
x.extend(None)
x.insert(0, "first")
x.insert(-1, "last but one")
x.insert(3, "third")
x.insert(100, "end")
x.insert(-100, "start")
x.insert("a", 1)
x.insert(1)
x.insert(10**30, 1)
x.pop()
x.pop(0)
x.pop(-2)
x.pop(6)
x.pop(-7)
x.pop("a")
x.pop(1, 2)
x.clear(); x.pop()
x.remove(1)
x.remove(99)
x.remove()
x.index(1)
x.index(1, 2)
x.index(1, 2, 4)
x.index(1, -1)
x.index(99)
x.index(1, 0, 10**30)
x.index(1, "a")
x.index()
x.count(1), x.count(99), x.count(1.0), x.count(True)
x.reverse()
x.reverse(1)
x.sort()
x.sort(reverse=True)
x.sort(key=lambda i: -i)
x.sort(key=str, reverse=True)
x.sort(key=lambda i: i % 2)
x.sort(key=lambda i: i % 2, reverse=True)
x.sort(lambda i: i)
x.sort(key=5)
x.sort(key=functools.cmp_to_key(lambda a, b: b - a))
x.sort(key=lambda i: 1 // (i - 5))
x.copy()
x.copy() is x
x.clear()
len(x), bool(x)
x.clear(); len(x), bool(x), repr(x), list(x)
1 in x, 99 in x, 1.0 in x, "1" in x
x + [1]
x + x
x + (1,)
(1,) + x
x + 5
5 + x
x += [7, 8]
x += (7, 8)
x += "ab"
x += x
x += 5
x * 2
2 * x
x * 0
x * -1
x * "a"
x * 1.5
x * x
x *= 2
x *= 0
x *= -1
x *= "a"
x == [3, 1, 2, 5, 4, 1], [3, 1, 2, 5, 4, 1] == x
x != [3], [3] != x
x == (3, 1, 2, 5, 4, 1)
x == x, x == 5
x < [4], x <= [3], x > [3, 1], x >= [9]
[4] < x, [3] <= x, [3, 1] > x, [9] >= x
x < x, x <= x
x < (1,)
x < 5
x < ["a"]
hash(x)
{x}
repr(x), str(x), f"{x}"
f"{x:5}"
list(x), tuple(x), set(x)
list(reversed(x))
reversed(x)
sorted(x), min(x), max(x), sum(x)
a, *b = x; result = (a, b)
a, b = x
print(*x, end="")
x()
x.missing
x.append = 1
x.new = 1
x[:]
x[:] is x
x[1:3], x[-3:], x[:-2], x[4:1], x[9:], x[-99:99]
x[::2], x[::-1], x[4:0:-2], x[::-3], x[10**30:], x[:10**30:10**30]
x[::0]
x["a":]
x[1:"b"]
x[Index(1):Index(3)]
x[1:3] = [7, 8, 9]
x[1:3] = []
x[1:1] = [7, 8]
x[:] = []
x[:] = x
x[2:] = x
x[9:] = [7]
x[4:1] = [7]
x[1:3] = "ab"
x[1:3] = (i for i in range(4))
x[1:3] = 5
x[1:3] = None
x[::2] = [7, 8, 9]
x[::2] = [7, 8]
x[::2] = 5
x[::-1] = x
x[::-1] = [1, 2, 3, 4, 5, 6]
x[5:0:-2] = "abc"
x[::0] = []
x[4:1:1] = [7]
x[4:1:2] = []
x[::2] = "abc"
del x[1:3]
del x[:]
del x[::2]
del x[::-2]
del x[4:1]
del x[::0]
del x[-2:]
it = iter(x); next(it); x.append(9); list(it)
it = iter(x); next(it); del x[1:]; list(it)
it = iter(x); list(it); x.append(9); list(it)
it = iter(x); next(it); x.clear(); next(it)
it = iter(x); next(it); x[1] = "changed ahead"; next(it)
it = iter(x); next(it); x.insert(0, "before"); next(it)
it = reversed(x); next(it); x.append(9); list(it)
it = reversed(x); next(it); x.clear(); list(it)
it = reversed(x); next(it); x.pop(0); list(it)
operator.length_hint(iter(x)), operator.length_hint(reversed(x))
it = iter(x); next(it); operator.length_hint(it)
it = iter(x); iter(it) is it
for i in x: x.remove(i)
for i, v in enumerate(x): x[i] = v * 2
result = [i for i in x if i > 2]
isinstance(x, collections.abc.MutableSequence), isinstance(x, collections.abc.Hashable)
callable(type(x)[int])
type(x)(5)
type(x)("abc")
type(x)([1], [2])
type(x)(a=1)
type(x)(x) == x, type(x)(x) is x
type(x)()
x.__len__(), x.__getitem__(0), x.__contains__(3)
copy.copy(x) == x, copy.copy(x) is x
copy.deepcopy(x) == x
x.append([]); copy.copy(x)[-1] is x[-1], copy.deepcopy(x)[-1] is x[-1]
x.append([1]); x[-1] += [2]
x[0] += 10
x.append(x); len(x[-1][-1][-1])
x.append(x); copy.deepcopy(x)[-1][-1][0]
x.extend([1, "a", None, 2.5, b"b", (1, (2,)), True]); repr(x)
x.clear(); x.extend([[1, 2], [1], [0, 5]]); x.sort()
x.clear(); x.extend([True, 1, 1.0, 0.0, -0.0, False])
x.clear(); x.extend(["b", "a", "c"] * 20); x.sort()
operator.concat(x, [1])
operator.iadd(x, [1]) is x
operator.imul(x, 2) is x
""".strip().splitlines()


class Index:
    """Counts as an int where an index is wanted."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


NAMES = {"copy": copy, "operator": operator, "functools": functools, "collections": collections, "Index": Index}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_does_what_list_does(space, operation):
    compare(operation, space.List(START), list(START), **NAMES)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_and_does_it_inside_a_transaction(space, operation):
    shared = space.List(START)

    def body():
        shared[:] = START  # An attempt may be run again.
        compare(operation, shared, list(START), **NAMES)

    space.run(body)


def test_match_takes_it_for_a_sequence(space):
    match space.List([1, 2, 3]):
        case [first, *rest]:
            assert (first, rest) == (1, [2, 3])
        case _:
            pytest.fail("not a sequence")


bounds = st.none() | st.integers(-12, 12)
slices = st.builds(slice, bounds, bounds, st.none() | st.integers(-4, 4))
numbers = st.lists(st.integers(-2, 2), max_size=4)
items = st.lists(st.integers(-5, 5) | st.text(max_size=9), max_size=10)


@given(items, slices, items)
def test_any_slice_is_read_replaced_and_deleted_as_in_list(space, content, where, new):
    def replace(target):
        target[where] = new

    def delete(target):
        del target[where]

    for change in [lambda target: target[where], replace, delete]:
        builtin, shared = list(content), space.List(content)
        assert outcome(change, shared) == outcome(change, builtin)
        assert described(shared) == described(builtin)


@given(numbers, numbers)
def test_lists_compare_as_lists_do(space, one, two):
    comparisons = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
    for compared in comparisons:
        expected = outcome(compared, one, two)
        assert outcome(compared, space.List(one), two) == expected
        assert outcome(compared, one, space.List(two)) == expected
        assert outcome(compared, space.List(one), space.List(two)) == expected


def test_it_grows_and_shrinks_by_thousands(space):
    chance = random.Random(1)
    builtin, shared = [], space.List()
    for number in range(5000):
        builtin.append(number)
        shared.append(number)
    for _ in range(300):
        place = chance.randrange(len(builtin))
        builtin.insert(place, -number)
        shared.insert(place, -number)
        place = chance.randrange(len(builtin))
        assert shared.pop(place) == builtin.pop(place)
    assert shared == builtin
    del builtin[10:4900], shared[10:4900]
    assert shared == builtin and list(reversed(shared)) == list(reversed(builtin))


def test_sorting_is_stable_and_large_lists_are_sorted(space):
    chance = random.Random(2)
    content = [(chance.randrange(20), number) for number in range(2000)]
    shared = space.List(content)
    shared.sort(key=lambda pair: pair[0])
    assert shared == sorted(content, key=lambda pair: pair[0])
    shared.sort(key=lambda pair: pair[0], reverse=True)
    assert shared == sorted(sorted(content), key=lambda pair: pair[0], reverse=True)


@pytest.mark.parametrize("breaks", [lambda item: item if item != 4 else "4", lambda item: 1 // (item - 4)])
def test_a_sort_that_raises_changes_nothing(space, breaks):
    # The builtin leaves an order in between; here every operation is done wholly or not at all.
    shared = space.List(START)
    with pytest.raises((TypeError, ZeroDivisionError)):
        shared.sort(key=breaks)
    assert shared == START


def test_a_list_that_changes_while_it_is_sorted_is_an_error(space):
    shared = space.List(START)

    def append_and_go_on(item):
        shared.append(item)
        return item

    with pytest.raises(ValueError, match="list modified during sort"):
        shared.sort(key=append_and_go_on)
    shared[:] = START
    with pytest.raises(ValueError, match="list modified during sort"):
        space.run(lambda: shared.sort(key=append_and_go_on))
    assert shared == START


def test_a_queue_of_its_ends_stays_small(space):
    shared = space.List()
    for number in range(3000):
        shared.append(number)
        if number >= 5:
            assert shared.pop(0) == number - 5
    assert shared == [2995, 2996, 2997, 2998, 2999]


def test_repeated_beyond_all_memory(space):
    shared = space.List([1])
    for times in [2**40, 2**61, 2**63 - 1]:
        with pytest.raises(MemoryError):
            shared * times
        with pytest.raises(MemoryError):
            times * shared
    empty = space.List()
    assert empty * 2**62 == []
    empty *= 2**62
    assert empty == []


@pytest.mark.filterwarnings("error")
def test_an_iterator_that_is_used_while_it_lets_go(space):
    shared = space.List([[1], [2], [3]])
    second = shared[1]
    iterator = iter(shared)
    assert next(iterator) == [1]
    seen = []
    watch = weakref.ref(second, lambda _: seen.append(next(iterator)))
    del second
    shared.append([4])
    rest = [next(iterator)]
    assert watch() is None or seen == []
    rest.extend(iterator)
    assert sorted(item[0] for item in rest + seen) == [2, 3, 4]


def test_what_is_made_for_a_place_that_is_not_there_is_not_kept():
    with pso.create(size="1M") as space:
        items = space.List()
        for value in ["x" * 1000, b"x" * 1000, ("x" * 1000, 1), 1 << 8000, [1] * 100]:
            # Some times what the space could hold.
            for _ in range(3000):
                with pytest.raises(IndexError, match="assignment index out of range"):
                    items[0] = value
        assert len(items) == 0 and space.fsck() == []


def test_a_message_about_something_long_is_short(space):
    with pytest.raises(ValueError, match=r"^'x{999}\.\.\. is not in list$"):
        space.List().index("x" * 10_000)


def test_ctrl_c_while_a_message_is_made_is_not_lost(space):
    class Slow:
        def __repr__(self):
            signal.raise_signal(signal.SIGINT)
            return "slow"

    def look():
        with pytest.raises(ValueError, match="Slow"):
            space.List().index(Slow())
        # It comes by the next step of Python.
        for _ in range(1000):
            pass

    with pytest.raises(KeyboardInterrupt):
        look()
