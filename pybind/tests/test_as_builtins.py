"""Where containers look like builtins and a difference would be silent: a value lost, a name bound anew, a look-up in vain."""

import collections
import ctypes
import pickle
import signal
import subprocess
import sys
import threading
import types

import pso
import pytest


def test_a_plain_list_is_extended_in_place(space):
    plain = alias = [0]
    plain += space.List([1])
    assert plain is alias and alias == [0, 1]
    # As with a deque: a list adds lists only.
    with pytest.raises(TypeError):
        [0] + space.List([1])
    assert space.List([1]) + [2] == space.List([1]).__add__([2]) == [1, 2]


class Like:
    """A number of an array library."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        return self.number == other


class Unlike(Like):
    def __eq__(self, other):
        return self is other

    __hash__ = Like.__hash__


@pytest.mark.parametrize("number", [3, 1 << 70, -1])
def test_what_stands_for_an_int_and_equals_it_is_found(space, number):
    table = space.Dict({number: "x", (number, "y"): "z"})
    assert table[Like(number)] == table.get(Like(number)) == "x" and Like(number) in table
    assert (Like(number), "y") in table
    assert Unlike(number) not in table and Like(number + 1) not in table


def test_a_named_tuple_is_an_item(space):
    Pair = collections.namedtuple("Pair", "key value")
    items = space.Dict(a=1).items()
    assert Pair("a", 1) in items and Pair("a", 2) not in items


def test_indices_of_c_code_are_from_the_start(space):
    get_item = ctypes.pythonapi.PySequence_GetItem
    get_item.restype, get_item.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_ssize_t]
    shared = space.List([1, 2, 3])
    assert [get_item(shared, index) for index in (0, -1, -3)] == [1, 3, 1]
    for index in (3, -4, -5):
        with pytest.raises(IndexError):
            get_item(shared, index)


def test_what_belongs_to_two_spaces_needs_no_common_transaction(space):
    with pso.create(size="2M") as other:
        ours, theirs = space.List([1]), other.List([2])
        ours.extend(theirs)
        ours += theirs
        assert ours == [1, 2, 2] and ours + theirs == [1, 2, 2, 2]
        ours[:] = theirs
        assert ours == [2]
        other.root["b"] = 2
        space.root.update(other.root)
        root = space.root
        root |= other.root
        assert space.root == {"b": 2} == space.Dict(other.root)
        assert space.root | other.root == {"b": 2}


def test_both_sides_of_a_union_are_of_one_moment(named_space):
    space = named_space
    space.root["a"], space.root["b"] = {"k": 1}, {}
    a, b = space.root["a"], space.root["b"]
    program = f"""import pso
space = pso.attach({space.name!r})
a, b = space.root["a"], space.root["b"]
print("goes", flush=True)
while True:
    space.run(lambda: b.update(k=a.pop("k")))
    space.run(lambda: a.update(k=b.pop("k")))"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as mover:
        assert mover.stdout.readline()
        seen = [a | b for _ in range(3000)]
        mover.kill()
    assert all(one == {"k": 1} for one in seen)


class Plain(dict):
    pass


class Union(dict):
    def __or__(self, other):
        return ("or", {**self, **other}) if isinstance(other, dict) else NotImplemented

    def __ror__(self, other):
        return ("ror", {**other, **self}) if isinstance(other, dict) else NotImplemented


class Right:
    def __ror__(self, other):
        return ("ror", type(other))


class Picky:
    def __or__(self, other):
        raise TypeError("not with me")

    __ror__ = __or__


OTHER_SIDES = [
    {"a": 1, "x": 2},
    collections.defaultdict(list, x=[1]),
    collections.OrderedDict(x=1),
    collections.UserDict(x=1),
    collections.Counter(x=1),
    collections.ChainMap({"x": 1}, {"a": 2}),
    types.MappingProxyType({"x": 1}),
    Plain(x=1),
    Union(x=1),
    Right(),
    Picky(),
    {"x": 1}.keys(),
    {"x"},
    [("x", 1)],
    3,
    None,
]


@pytest.mark.parametrize("other", OTHER_SIDES, ids=lambda other: type(other).__name__)
def test_a_union_with_any_type_is_that_of_a_builtin(space, other):
    def outcome(left, right):
        try:
            union = left | right
        except TypeError as error:
            return str(error).replace("pso.Dict", "dict")
        return type(union), union, list(union), getattr(union, "default_factory", None)

    plain = {"a": 1, "b": 2}
    shared = space.Dict(plain)
    assert outcome(shared, other) == outcome(plain, other)
    assert outcome(other, shared) == outcome(other, plain)
    assert shared == plain


def test_a_union_holds_live_objects_and_leaves_both_sides_alone(space):
    shared = space.Dict(a=[1])
    lists = collections.defaultdict(list, x=[1])
    union = lists | shared
    assert union["a"] is shared["a"] and union["x"] is lists["x"]
    union["new"].append(1)
    assert shared == {"a": [1]} and lists == {"x": [1]}


def test_a_stale_pickle_opens_no_other_space(names):
    name = names()
    with pso.create(name, size="2M") as space:
        pickled = pickle.dumps(space.root)
        pso.unlink(name)
        with pso.create(name, size="2M"):
            program = f"""import pickle, pso
try:
    pickle.loads({pickled!r})
except pso.StaleHandleError as error:
    print(error)
try:
    pso.List([1])
except pso.NoSpaceError:
    print("none")"""
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
            said = done.stdout.splitlines()
            assert name in said[0] and said[1] == "none", (done.stdout, done.stderr)


def test_a_decorator_may_be_told_that_there_is_no_function_yet(space):
    @space.transactional(None, timeout=5)
    def body():
        space.root["x"] = 1

    body()
    assert space.root == {"x": 1}


def test_a_signal_handler_that_closes_the_space_and_ends_the_program_does_both():
    class Ends(BaseException):
        pass

    space = pso.create(size="2M")
    queue = space.Queue()

    def handler(*_):
        space.close()
        raise Ends

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Timer(0.1, signal.pthread_kill, [threading.main_thread().ident, signal.SIGUSR1]).start()
        with pytest.raises(Ends):
            queue.get()
    finally:
        signal.signal(signal.SIGUSR1, before)
