"""What a Python programmer is told, and where a key finds nothing. The danger: a wait without end, a wrong find, a sentence that misleads.

Each sentence is checked by the words that say what to do, or where.
"""

import collections
import datetime
import enum
import functools
import os
import pathlib
import queue
import threading
from unittest import mock

import pso
import pytest

# --- Waits that nobody could end -------------------------------------------------------------------------------------


def test_retry_where_nothing_was_read_is_refused(space):
    value = space.root.setdefault("value", 1)

    def body():
        if value:
            pso.retry()

    with pytest.raises(RuntimeError, match="has read nothing"):
        space.run(body, timeout=20)
    with pytest.raises(RuntimeError, match="has read nothing"):
        space.run(lambda: pso.or_else(pso.retry, pso.retry), timeout=20)


@pytest.mark.parametrize("make", ["Dict", "List", "Queue"])
def test_retry_where_only_new_containers_were_named_is_refused(space, make):
    """What an attempt names stands in its log, too, but nobody changes it."""

    def body():
        container = getattr(space, make)()
        if make == "Dict":
            container.get("x")
        pso.retry()

    with pytest.raises(RuntimeError, match="has read nothing"):
        space.run(body, timeout=20)


def test_retry_waits_where_another_alternative_has_read_something(space):
    space.root["flag"] = False

    def first():
        return "set" if space.root["flag"] else pso.retry()

    for alternatives in [(first, pso.retry), (pso.retry, first)]:
        space.root["flag"] = False
        timer = threading.Timer(0.1, space.root.__setitem__, ("flag", True))
        timer.start()
        assert space.run(lambda alternatives=alternatives: pso.or_else(*alternatives), timeout=20) == "set"
        timer.join()


def test_a_wait_of_a_queue_that_ends_by_itself_is_none_without_end(space):
    empty = space.Queue(1)
    with pytest.raises(queue.Empty):
        space.run(lambda: empty.get(timeout=0.05))


# --- Places ----------------------------------------------------------------------------------------------------------


def test_a_directory_with_other_files_is_said_to_be_that(tmp_path):
    (tmp_path / "file").write_text("x")
    for make in [pso.open, pso.create, lambda dir: pso.create(dir=dir, exist_ok=True)]:
        with pytest.raises(FileExistsError, match="is not empty, and holds no space") as caught:
            make(dir=tmp_path)
        assert str(tmp_path) in str(caught.value)
    for look in [pso.attach, pso.unlink, pso.repair]:
        with pytest.raises(FileNotFoundError, match=f"no space in the directory {tmp_path}$"):
            look(dir=tmp_path)
        with pytest.raises(FileNotFoundError, match=f"no directory {tmp_path}/none$"):
            look(dir=tmp_path / "none")
    with pytest.raises(FileExistsError, match="is no directory"):
        pso.create(dir=tmp_path / "file")
    # What is left where somebody put a file into the directory of a space with a name.
    name = f"left-{os.getpid()}"
    left = pathlib.Path(f"/dev/shm/pso.{name}")
    pso.create(name, size="1M").close()
    (left / "file").write_text("x")
    pso.unlink(name)
    for make in [pso.open, lambda name: pso.create(name, exist_ok=True)]:
        with pytest.raises(FileExistsError, match=f"the directory {left} is not empty, and holds no space"):
            make(name)
    (left / "file").unlink()
    left.rmdir()
    assert (tmp_path / "file").read_text() == "x"


def test_a_space_that_is_there_is_said_to_be_there(tmp_path):
    with pso.create(dir=tmp_path / "space", size="1M"), pytest.raises(FileExistsError, match="already exists"):
        pso.create(dir=tmp_path / "space", size="1M")


@pytest.mark.parametrize("call", [pso.create, pso.attach, pso.open, pso.unlink])
def test_names_and_places_that_can_be_none_are_value_errors(call):
    for name in (".", ".."):
        with pytest.raises(ValueError, match="cannot be the name of a space"):
            call(name)
    with pytest.raises(ValueError, match="cannot be ''"):
        call(dir="")
    with pytest.raises(ValueError, match="embedded null byte"):
        call(dir="a\0b")


# --- Keys that compare by themselves ---------------------------------------------------------------------------------


class Caseless(str):
    def __eq__(self, other):
        return self.lower() == other.lower()

    def __hash__(self):
        return hash(self.lower())


class UnlikeAll(int):
    def __eq__(self, other):
        return False

    __hash__ = int.__hash__


class OtherHash(int):
    def __hash__(self):
        return int.__hash__(self) + 1


class Unhashable(str):
    __hash__ = None


class UnlikePair(tuple):
    __slots__ = ()

    def __eq__(self, other):
        return False

    __hash__ = tuple.__hash__


class Point(collections.namedtuple("Point", "x y")):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


class Ordered(int):
    def __lt__(self, other):
        return int.__gt__(self, other)


def test_a_key_with_a_hash_or_comparison_of_its_own_finds_what_that_says(space):
    plain = {"a": "a", "B": "B", 1: "one", 1.5: "float", b"x": "bytes", (1, 2): "pair"}
    shared = space.Dict(plain)
    # A builtin dict gives the same for each.
    for key in [
        UnlikeAll(1),
        OtherHash(1),
        UnlikePair((1, 2)),
        (UnlikeAll(1), 2),
        Caseless("a"),
        Caseless("B"),
        Point(1, 2),
        Point(Number.ONE, 2),
        Number.ONE,
        Ordered(1),
    ]:
        assert shared.get(key) == plain.get(key), key
        assert (key in shared) == (key in plain), key
        assert (key in shared.keys()) == (key in plain.keys()), key
        assert ((key, plain.get(key)) in shared.items()) == ((key, plain.get(key)) in plain.items()), key


def test_what_is_not_hashable_is_no_key_whatever_it_is_made_of(space):
    shared = space.Dict({"a": 1, ("a",): 2})
    for key in [Unhashable("a"), (Unhashable("a"),)]:
        for access in [
            lambda key=key: key in shared,
            lambda key=key: shared.get(key),
            lambda key=key: shared[key],
            lambda key=key: shared.pop(key, None),
            lambda key=key: shared.__delitem__(key),
        ]:
            with pytest.raises(TypeError, match="unhashable type: 'Unhashable'"):
                access()
    assert shared == {"a": 1, ("a",): 2}


# --- What cannot be shared, and what can -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda root: root.update({(1, Number.ONE): 1}),
            "the key (1, <Number.ONE: 1>) of root: 'Number' is a subclass of int, and would come back as int; "
            "x.value can be shared",
        ),
        (
            lambda root: root.__setitem__("day", datetime.date(2026, 1, 2)),
            "root['day']: objects of the class 'date' are not supported; int, float, bool, None, str, bytes, tuple, "
            "list, dict and objects of the space are",
        ),
        (lambda root: root.__setitem__(datetime.date(2026, 1, 2), 1), "bytes and tuples of these can be keys"),
        (lambda root: root.__setitem__("a", collections.OrderedDict()), "dict(x) can be shared"),
        (lambda root: root.__setitem__("a", Point(1, 2)), "tuple(x) can be shared"),
        (lambda root: root["list"].extend([1, object()]), "share item 1 of what is put into list: "),
        (lambda root: root["list"].__setitem__(slice(2, 3), [object()]), "share item 0 of what is put into list: "),
        (lambda root: root["list"].extend([[1, {"a": {1}}]]), "share [1]['a'] of item 0 of what is put into list: "),
        (lambda root: root["queue"].put([1, [2, {3}]]), "share [1][1] of item of a queue: "),
        (lambda root: root["list"].append({1}), "share list[-1]: "),
    ],
)
def test_a_refusal_names_the_place_and_the_cure(space, act, sentence):
    space.root.update(list=[0, 1, 2, 3], queue=space.Queue(2))
    with pytest.raises(pso.NotShareableError) as caught:
        act(space.root)
    assert sentence in str(caught.value)


# Its str() is the name.
Color = enum.Enum("Color", {"RED": "red"}, type=str)


class Loud(str):
    def __str__(self):
        return self.upper()


class Evil(str):
    """Whoever asks for its class hears something else."""

    @property
    def __class__(self):
        raise ZeroDivisionError


class Coded(int, enum.Enum):
    """What is shown as the value is none of the base."""

    ONE = (1, object())

    def __new__(cls, number, code):
        member = int.__new__(cls, number)
        member._value_ = code
        return member


@pytest.mark.parametrize(
    ("x", "value", "cure"),
    [
        (Color.RED, "red", "x.value"),
        (Loud("quiet"), "quiet", "str.__str__(x)"),
        (Number.ONE, 1, "x.value"),
        (enum.IntFlag("Flags", "A B")(3), 3, "x.value"),
        (Coded.ONE, 1, "int(x)"),
        (Point(1, 2), (1, 2), "tuple(x)"),
        (collections.OrderedDict(a=1), {"a": 1}, "dict(x)"),
    ],
)
def test_the_cure_of_a_refusal_gives_what_the_base_would(space, x, value, cure):
    with pytest.raises(pso.NotShareableError) as caught:
        space.root["x"] = x
    assert str(caught.value).endswith(f"; {cure} can be shared")
    space.root["x"] = eval(cure, {"x": x})
    assert space.root["x"] == value


def test_a_class_that_raises_where_it_is_asked_for_is_refused_all_the_same(space):
    with pytest.raises(pso.NotShareableError, match=r"; str.__str__\(x\) can be shared"):
        space.root["x"] = Evil("x")
    with pytest.raises(pso.NotShareableError):
        space.root[Evil("x")] = 1


def test_what_no_space_can_take_is_too_large_in_a_small_one(space):
    with pso.create(size="8M") as small:
        for length, error in [(10**8, pso.TooLargeError), (10**7, pso.ArenaFull)]:
            with pytest.raises(error):
                small.root["x"] = "x" * length
            assert small.root == {}


# --- The transaction itself ------------------------------------------------------------------------------------------


def test_the_same_transaction_is_equal_to_itself(space):
    seen = []
    with space.transaction() as tx:
        assert pso.current() == tx and not pso.current() != tx and hash(pso.current()) == hash(tx)
        seen.append(tx)
    space.run(lambda: seen.append(pso.current()))
    assert seen[0] != seen[1] and seen[0] != 1 and len(set(seen)) == 2


def test_an_object_that_is_not_committed_is_said_to_be_that(space):
    raised, listed = [], []

    def use():
        try:
            listed[0].append(1)
        except pso.StaleHandleError as error:
            raised.append(str(error))

    def body():
        listed[:] = [space.List()]
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()

    space.run(body)
    assert len(raised) == 1 and raised[0].endswith("is gone, or not committed yet")


def test_an_object_with_attributes_of_any_name_is_no_generator_for_that(space):
    class Remote:
        def __getattr__(self, name):
            return Remote()

        def __call__(self):
            return "called"

    class Later(Remote):
        def __call__(self):
            yield

    for function in (Remote(), Remote().method, functools.partial(Remote())):
        assert space.run(function) == space.transactional(function)() == space.atomically(function) == "called"
        assert pso.or_else(function) == "called"
    # What is one all the same is found; and a mock of a coroutine function says that it is one.
    for function in (Later(), mock.AsyncMock()):
        with pytest.raises(TypeError, match="would run after it"):
            space.run(function)
