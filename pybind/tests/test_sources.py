"""Where a container is filled from another one of the space: it takes over one moment of it, whatever others do meanwhile."""

import contextlib
import subprocess
import sys

import pso
import pytest

SIZE = 200

# Keys and values are SIZE numbers in a row, always; the values of the pairs cancel each other out.
MOVER = """import pso
space = pso.attach({name!r})
running, pairs = space.root["running"], space.root["pairs"]

def move(first):
    running[first + {size}] = running.pop(first) + {size}
    pairs[0], pairs[-1] = ("first", first), ("last", -first)

print("goes", flush=True)
first = 0
while True:
    space.run(move, first)
    first += 1
"""


@contextlib.contextmanager
def moving(space):
    """Another process changes the containers all the time."""
    space.root["running"] = {number: number for number in range(SIZE)}
    space.root["pairs"] = [("first", 0), *((number, 0) for number in range(SIZE)), ("last", 0)]
    program = MOVER.format(name=space.name, size=SIZE)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as mover:
        try:
            assert mover.stdout.readline()
            yield space.root["running"], space.root["pairs"]
        finally:
            mover.kill()


def made(space, source):
    return space.List(source)


def extended(space, source):
    items = space.List()
    items.extend(source)
    return items


def added(space, source):
    items = space.List()
    items += source
    return items


def put_into_a_slice(space, source):
    items = space.List([-1])
    items[:] = source
    return items


def put_into_a_long_slice(space, source):
    items = space.List([-1] * SIZE)
    items[::-1] = source
    items.reverse()
    return items


@pytest.mark.parametrize("way", [made, extended, added, put_into_a_slice, put_into_a_long_slice])
def test_a_list_is_filled_from_one_moment_of_a_dict(named_space, way):
    with moving(named_space) as (running, _):
        for _ in range(400):
            for part in (running, running.keys(), running.values()):
                numbers = way(named_space, part).to_python()
                assert numbers == list(range(numbers[0], numbers[0] + SIZE))
            pairs = way(named_space, running.items()).to_python()
            assert pairs == [(number, number) for number in range(pairs[0][0], pairs[0][0] + SIZE)]


def made_as_dict(space, source):
    return space.Dict(source)


def updated(space, source):
    mapping = space.Dict()
    mapping.update(source, more=True)
    assert mapping.pop("more")
    return mapping


def united(space, source):
    mapping = space.Dict()
    mapping |= source
    return mapping


@pytest.mark.parametrize("way", [made_as_dict, updated, united])
def test_a_dict_is_filled_from_one_moment_of_what_holds_pairs(named_space, way):
    with moving(named_space) as (running, pairs):
        for _ in range(300):
            mapping = way(named_space, running.items()).to_python()
            first = next(iter(mapping))
            assert list(mapping.items()) == [(number, number) for number in range(first, first + SIZE)]
            assert sum(way(named_space, pairs).to_python().values()) == 0


def test_the_keys_of_a_dict_may_come_from_one_moment_of_another(named_space):
    with moving(named_space) as (running, _):
        for _ in range(300):
            for part in (running, running.keys(), running.values()):
                numbers = list(pso.Dict.fromkeys(part).to_python())
                assert numbers == list(range(numbers[0], numbers[0] + SIZE))


def test_views_fill_as_those_of_a_builtin_do(space):
    plain = {("a", 1): ("b", 2), ("c", 3): ("d", 4)}
    shared = space.Dict(plain)
    for part in ("keys", "values", "items"):
        ours, theirs = getattr(shared, part)(), list(getattr(plain, part)())
        assert space.List(ours) == theirs
        assert space.Dict(ours) == dict(theirs)
    with pytest.raises(TypeError, match="cannot convert dictionary update sequence element #0 to a sequence"):
        space.Dict(space.Dict({1: 2}).keys())
    with pytest.raises(ValueError, match="attempt to assign sequence of size 2 to extended slice of size 1"):
        space.List([0])[::2] = shared.values()
    shared.update(shared.items())
    assert shared == plain
    live = space.Dict(a=[1])
    items = space.List(live.values())
    assert items[0] is live["a"]


def test_views_of_another_space_are_of_one_moment_there(space):
    with pso.create(size="2M") as other:
        theirs = other.Dict(a=1, b=2)
        items = space.List(theirs.values())
        items += theirs
        items[:1] = theirs.keys()
        assert items == ["a", "b", 2, "a", "b"]
        space.root.update(theirs.items())
        assert space.root == theirs


def test_a_class_of_views_that_iterates_by_itself_does_so(space):
    class Doubled(type(space.root.values())):
        def __iter__(self):
            return (2 * value for value in super().__iter__())

    assert space.List(Doubled(space.Dict(a=1, b=2))) == [2, 4]
    with pytest.raises(AttributeError):
        space.List(type(space.root.values()).__new__(type(space.root.values())))
