"""`pso.Dict` beside `dict`. The danger: code that works with a dict meets a corner in which ours behaves otherwise.

Each operation runs on both; result, error and message, and the contents afterwards have to agree.
"""

import collections.abc
import copy
import json
import operator

import pso
import pytest
from differential import compare, described, outcome
from hypothesis import given
from hypothesis import strategies as st

START = {"a": 1, "b": [1, 2], 3: "c", None: (1, 2.5), (1, "x"): {"deep": {"er": []}}, "a longer key": 2**70}

OPERATIONS = """
x["a"]
x["missing"]
x["a longer key"]
x[3.0]
x[True]
x[(1, "x")]["deep"]["er"].append(5)
x[[]]
x[([],)]
x[object]
x["a"] = 2
x["new"] = [1, {"two": (3,)}]
x[3.0] = "the first key stays"
x[[]] = 1
x[{}] = 1
del x["a"]
del x["missing"]
del x[[]]
len(x)
bool(x)
"a" in x
"z" in x
3.0 in x
[] in x
object() in x
{} in x.keys()
x.get("a")
x.get("z")
x.get("z", 5)
x.get()
x.get("a", 1, 2)
x.get(key="a")
x.get([])
x.pop("a")
x.pop("z")
x.pop("z", None)
x.pop()
x.pop([])
x.pop("a", 1, 2)
x.popitem()
x.clear(); x.popitem()
x.popitem(1)
x.setdefault("a", 9)
x.setdefault("z", 9)
x.setdefault("z")
x.setdefault("z", []).append(1)
x.setdefault([])
x.setdefault()
x.update({"a": 5, "n": 6})
x.update(a=5, n=6)
x.update({"a": 5}, a=6)
x.update([("a", 5), ["n", 6], "kv"])
x.update({}.items())
x.update(iter([(1, 2)]))
x.update()
x.update(1)
x.update(None)
x.update([1])
x.update([(1, 2, 3)])
x.update("abc")
x.update([([], 1)])
x.update({}, {})
x.update(x)
x.clear()
x.clear(1)
x.copy()
x.copy() == x
x.copy() is x
list(x)
list(x.keys())
list(x.values())
list(x.items())
list(reversed(x))
list(reversed(x.keys()))
list(reversed(x.values()))
list(reversed(x.items()))
x.a
x.get = 1
x.new = 1
x()
x + {}
x < {}
x >= x
hash(x)
{x: 1}
{x}
x | {"a": 7, "n": 8}
{"a": 7, "n": 8} | x
x | 3
3 | x
x | [("a", 1)]
x |= {"a": 7, "n": 8}
x |= [("a", 7), ("n", 8)]
x |= 3
x |= [1]
x == {}
x != {}
x == dict(x)
dict(x) == x
dict(x) != x
x == 5
x == x
x == {**x, "z": 1}
x == []
repr(x)
str(x)
f"{x}"
f"{x!r:>5.3}"
f"{x:5}"
"%s" % (x,)
dict(x)
{**x}
dict(**{"k": x})["k"] == x
(lambda **k: k)(**{"k": 1})
x.fromkeys("ab", 1)
x.fromkeys([1, 1.0])
x.fromkeys(5)
type(x).fromkeys("ab")
iter(x) is iter(x)
next(iter(x))
len(x.keys()), len(x.values()), len(x.items())
"a" in x.keys(), "z" in x.keys()
1 in x.values(), 99 in x.values()
("a", 1) in x.items(), ("a", 2) in x.items(), "a" in x.items()
x.keys() & {"a", "z"}
{"a", "z"} & x.keys()
x.keys() | {"z"}
x.keys() - {"a"}
{"a", "z"} - x.keys()
x.keys() ^ {"a", "z"}
x.keys() & 5
x.keys() == {"a", "b", 3, None, (1, "x"), "a longer key"}
x.keys() != {"a"}
x.keys() <= {"a"}
x.keys() > {"a"}
x.keys().isdisjoint(["z"])
x.keys().isdisjoint(["a"])
x.keys() == x.keys()
x.values() == x.values()
hash(x.keys())
x.keys()[0]
x.keys().add("z")
x.clear(); x.update(a=1, b=2); x.items() & {("a", 1)}
x.clear(); x.update(a=1, b=2); x.items() | {("c", 1)}
x.clear(); x.update(a=1, b=2); x.items() - {("a", 1)}
x.clear(); x.update(a=1, b=2); x.items() == {("a", 1), ("b", 2)}
x.clear(); x.update(a=1, b=2); repr(x.keys()), repr(x.values()), repr(x.items())
x.clear(); repr(x), list(x), len(x), bool(x), x == {}
keys = x.keys(); x["z"] = 1; list(keys), len(keys)
it = iter(x); next(it); x["z"] = 1; next(it)
it = iter(x.items()); next(it); x["z"] = 1; next(it)
it = iter(x.values()); next(it); del x["a"]; next(it)
it = iter(x); next(it); x.clear(); next(it)
it = iter(x); next(it); x["a"] = 5; next(it)
it = iter(x); list(it); x["z"] = 1; next(it, "over")
it = reversed(x); next(it); x["z"] = 1; next(it)
it = reversed(x); x.pop("a"); x["new"] = 1; list(it)
it = reversed(x.keys()); x.pop("a"); x["new"] = 1; list(it)
it = reversed(x.values()); x.pop("a"); x["new"] = 1; list(it)
it = reversed(x.items()); x.pop("a"); x["new"] = 1; list(it)
it = reversed(x); x["new"] = 1; next(it)
it = iter(x); x["z"] = 1; del x["z"]; next(it)
it = iter(x.items()); next(it); x["b"] = "changed ahead"; next(it)
operator.length_hint(iter(x))
it = iter(x); next(it); operator.length_hint(it)
it = iter(x); next(it); iter(it) is it
x.clear(); x[1] = "i"; x[1.0] = "f"; x[True] = "b"
x.clear(); x[0.0] = "zero"; x[-0.0], x[0], x[False]
x.clear(); x[2**64] = "big"; x[float(2**64)]
x.clear(); x[2**53] = 1; float(2**53) in x, 2**53 + 1 in x, float(2**53 + 1) in x
x.clear(); x["k"] = 1; b"k" in x
x.clear(); x[(1, (2.0, True))] = 1; x[(True, (2, 1.0))]
x.clear(); n = float("nan"); x[n] = 1; float("nan") in x, len(x)
x.clear(); x[float("inf")] = 1; x[float("inf")], float("-inf") in x
x["self"] = x; repr(x)
x["self"] = x; x["self"]["self"]["self"] is x
x["list"] = [x]; repr(x)
json.loads(json.dumps(dict(x.fromkeys("ab", 1))))
isinstance(x, collections.abc.MutableMapping), isinstance(x.keys(), collections.abc.KeysView)
isinstance(x.items(), collections.abc.ItemsView), isinstance(x.values(), collections.abc.ValuesView)
callable(type(x)[str, int])
type(x)(1)
type(x)([1])
type(x)({}, {})
type(x)([("a", 1)], b=2)
type(x)(x) == x
sorted(x.fromkeys("cab"))
max(x.fromkeys("cab"))
x.__contains__("a"), x.__len__(), x.__getitem__("a")
x.__missing__
copy.copy(x) == x, copy.copy(x) is x
copy.deepcopy(x) == x
copy.deepcopy(x)["b"] is x["b"]
for k in x: x[str(k) + "!"] = 1
for k in x: del x[k]
for k in list(x): del x[k]
for k in x: x[k] = 0
result = [(k, v) for k, v in x.items()]
a, *rest = x; result = (a, rest)
""".strip().splitlines()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_does_what_dict_does(space, operation):
    names = {"copy": copy, "json": json, "operator": operator, "collections": collections}
    compare(operation, space.Dict(copy.deepcopy(START)), copy.deepcopy(START), **names)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_and_does_it_inside_a_transaction(space, operation):
    names = {"copy": copy, "json": json, "operator": operator, "collections": collections}

    def body():
        compare(operation, space.Dict(copy.deepcopy(START)), copy.deepcopy(START), **names)

    space.run(body)


def test_the_mapping_of_a_view_is_to_be_read(space):
    shared = space.Dict(a=1)
    for view in shared.keys(), shared.values(), shared.items():
        mapping = view.mapping
        assert mapping["a"] == 1 and mapping == {"a": 1} and type(mapping) is type({}.keys().mapping)
        with pytest.raises(TypeError):
            mapping["b"] = 2
    shared["b"] = 2
    assert list(mapping) == ["a", "b"]


def test_match_takes_it_for_a_mapping(space):
    match space.Dict(kind="tea", cups=2):
        case {"kind": kind, **rest}:
            assert (kind, rest) == ("tea", {"cups": 2})
        case _:
            pytest.fail("not a mapping")


def test_lookups_take_keys_that_equal_a_stored_one(space):
    class Text(str):
        pass

    class Number(int):
        pass

    shared = space.Dict({"a": 1, 7: 2})
    assert shared[Text("a")] == 1 and shared[Number(7)] == 2
    assert Text("z") not in shared


def test_it_grows_and_shrinks_by_thousands(space):
    builtin, shared = {}, space.Dict()
    for number in range(5000):
        builtin[f"key {number}"] = shared[f"key {number}"] = number
    assert len(shared) == 5000 and list(shared.items()) == list(builtin.items())
    for number in range(0, 5000, 3):
        del builtin[f"key {number}"], shared[f"key {number}"]
    for number in range(0, 5000, 6):
        builtin[f"key {number}"] = shared[f"key {number}"] = -number
    assert list(shared.items()) == list(builtin.items())
    assert list(reversed(shared.items())) == list(reversed(builtin.items()))
    assert all(shared[key] == value for key, value in builtin.items())
    shared.clear()
    assert len(shared) == 0 and list(shared) == [] and "key 1" not in shared


def test_keys_that_come_and_go_do_not_slow_it_down(space):
    shared = space.Dict()
    for number in range(20_000):
        shared[number] = number
        if number >= 10:
            del shared[number - 10]
    assert list(shared) == list(range(19_990, 20_000))


def test_equal_content_is_equal_whoever_holds_it(space):
    inner = {"l": [1, {"x": (1, 2)}], "d": {}}
    one, two = space.Dict(copy.deepcopy(inner)), space.Dict(copy.deepcopy(inner))
    assert one == two and one == inner and inner == one
    two["l"][1]["x"] = (1, 3)
    assert one != two and two != inner and inner != two
    assert space.Dict({"l": []}) != space.Dict({"l": {}})


def test_a_default_dict_of_lists_works_as_with_the_builtin(space):
    shared = space.Dict()
    for word in ["the", "cat", "sat", "on", "the", "mat"]:
        shared.setdefault(word[0], []).append(word)
    assert shared == {"t": ["the", "the"], "c": ["cat"], "s": ["sat"], "o": ["on"], "m": ["mat"]}


keys = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=12),
    st.binary(max_size=12),
    st.tuples(st.integers(-2, 2), st.text(max_size=9)),
)


@given(st.lists(st.tuples(keys, st.integers())), st.lists(keys))
def test_any_keys_mean_the_same_as_in_dict(space, pairs, more):
    builtin, shared = {}, space.Dict()
    for key, value in pairs:
        builtin[key] = value
        shared[key] = value
    if not any(key != key for key in builtin if isinstance(key, float)):
        assert described(shared) == described(builtin)
    for key in [*(key for key, _ in pairs), *more]:
        if key == key:
            assert outcome(lambda key=key: shared[key]) == outcome(lambda key=key: builtin[key])
            assert outcome(lambda key=key: shared.pop(key, "none")) == outcome(lambda key=key: builtin.pop(key, "none"))


def test_a_mapping_that_is_no_dict_updates_it(space):
    class Other:
        def keys(self):
            return ["a", "b"]

        def __getitem__(self, key):
            return key * 2

    shared = space.Dict(a=1)
    shared.update(Other())
    assert shared == {"a": "aa", "b": "bb"}
    assert pso.Dict(Other()) == {"a": "aa", "b": "bb"}


def test_pairs_that_cannot_be_hashed_are_in_no_intersection(space):
    shared, plain = space.Dict(a=1, items=[]), {"a": 1, "items": []}
    for other in ({("a", 1)}, [("a", 1)], {"a": 1, "c": 2}.items(), space.Dict(a=1).items()):
        assert shared.items() & other == plain.items() & other == {("a", 1)}
        assert other & shared.items() == {("a", 1)}
    for view in (shared.items(), plain.items()):
        with pytest.raises(TypeError, match="unhashable"):
            view & [("items", [])]


def test_a_key_whose_parts_stand_in_it_again_and_again_is_refused(space):
    # The danger: 32 GB of memory before anybody looks whether the dict has such a key. The builtin would be at its hash for hours.
    shared = space.Dict(a=1)
    key = (1,)
    for _ in range(14):
        key = (key, key)
    shared[key] = "sixteen thousand ends"
    assert shared.pop(key) == "sixteen thousand ends"
    for _ in range(26):
        key = (key, key)
    for refused in (shared.get, shared.pop, shared.setdefault, shared.__contains__, shared.__getitem__):
        with pytest.raises(pso.TooLargeError, match="a key of more than 4194304 items"):
            refused(key)
    with pytest.raises(pso.TooLargeError):
        shared[key] = 1
    assert shared == {"a": 1}
