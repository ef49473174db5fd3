"""Each way in which pso refuses. The danger is not the refusal: it is what was lost or left half done by it.

Every test here looks at the whole content and at `fsck` after the error, and goes on working.
"""

import contextlib
import copy
import gc
import os
import pickle
import re
import threading
import time

import children
import pso
import pytest
from content import whole


def test_the_classes_say_what_they_are_to_those_who_catch_builtins():
    assert issubclass(pso.NotShareableError, TypeError) and issubclass(pso.ArenaFull, MemoryError)
    assert issubclass(pso.TransactionTimeout, TimeoutError) and issubclass(pso.ForkedInTransactionError, RuntimeError)
    assert issubclass(pso.OlderFormatError, pso.VersionError) and issubclass(pso.NewerFormatError, pso.VersionError)
    assert not issubclass(pso.ConflictError, Exception)
    for name in pso.__all__:
        each = getattr(pso, name)
        if isinstance(each, type) and issubclass(each, Exception):
            assert issubclass(each, pso.Error), name


# --- Wrong type ------------------------------------------------------------------------------------------------------


def test_a_value_of_a_wrong_type_in_a_transaction_rolls_it_back_unless_it_is_caught(space):
    root = space.root
    root["list"] = [1]

    def body(catch):
        root["list"].append(2)
        try:
            root["list"].append(object())
        except pso.NotShareableError:
            if not catch:
                raise
        root["list"].append(3)

    with pytest.raises(pso.NotShareableError):
        space.run(body, False)
    assert root == {"list": [1]}
    space.run(body, True)
    assert root == {"list": [1, 2, 3]}


@pytest.mark.parametrize(
    "call",
    [
        lambda space: space.run(),
        lambda space: space.run(5),
        lambda space: space.run(len, timeout="soon"),
        lambda space: space.run(len, retries="often"),
        lambda space: space.transactional(5),
        lambda space: space.Dict(5),
        lambda space: space.List(5),
        lambda space: space.List(1, 2),
        lambda space: space.Queue("x"),
        lambda space: pso.use(5),
        lambda space: pso.transactional(5),
        lambda space: type(space)(),
        lambda space: pso.create(size=None, bad=1),
        lambda space: space.close(1),
        lambda space: space.stats(1),
        lambda space: space.run(lambda: pso.retry(timeout=0.1)),
        lambda space: pso.list_spaces("x"),
        lambda space: pso.current(1),
    ],
)
def test_a_wrong_argument_is_a_type_error(space, call):
    with pytest.raises((TypeError, pso.NoSpaceError)):
        call(space)
    assert space.root == {}


# --- Closed space, missing name, too small ---------------------------------------------------------------------------


def test_after_close_every_access_says_so_and_nothing_is_lost(filled):
    space = pso.attach(dir=filled)
    root = space.root
    listed, mapped = root["list"], root["list"][2]
    queue = space.Queue(2)
    iterators = [iter(listed), iter(mapped), iter(root.items())]
    keys, decorated = root.keys(), space.transactional(lambda: root["word"])
    space.close()
    for access in [
        lambda: root["word"],
        lambda: root.__setitem__("word", 1),
        lambda: len(root),
        lambda: "word" in root,
        lambda: list(root),
        lambda: root.update(a=1),
        lambda: root.clear(),
        lambda: root == {},
        lambda: root.to_python(),
        lambda: listed.append(1),
        lambda: listed[0],
        lambda: listed[0:2],
        lambda: listed.sort(),
        lambda: list(listed),
        lambda: listed + [1],
        lambda: copy.deepcopy(listed),
        lambda: copy.copy(mapped),
        lambda: list(keys),
        lambda: queue.put(1),
        lambda: queue.get(),
        lambda: queue.get_nowait(),
        lambda: queue.qsize(),
        lambda: space.root,
        lambda: space.run(lambda: 1),
        lambda: decorated(),
        lambda: space.List(),
        lambda: space.Queue(),
        lambda: space.fsck(),
        lambda: space.stats(),
        *(lambda each=each: next(each) for each in iterators),
    ]:
        with pytest.raises(pso.SpaceClosedError):
            access()
    assert whole(filled)


def test_a_finalizer_may_open_the_space_again_that_is_being_said_to_be_closed(filled, without_collection):
    class Opener:
        def __init__(self):
            self.ring = self

        def __del__(self):
            opened.append(pso.attach(dir=filled))

    opened, before = [], gc.get_threshold()
    space = pso.attach(dir=filled)
    space.close()
    closed_error = contextlib.suppress(pso.SpaceClosedError)
    Opener()
    stats = space.stats
    try:
        gc.set_threshold(1)
        raise LookupError
    except LookupError:
        # What is raised while another one is handled is made at once: up to Python 3.11 the collection runs there.
        with closed_error:
            gc.enable()
            stats()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert opened == [space] and not space.closed and space.stats()["size"] > 0
    space.close()


def test_a_space_cannot_be_closed_from_inside_its_transaction(space):
    def body():
        space.root["x"] = 1
        with pytest.raises(RuntimeError, match="transaction"):
            space.close()

    space.run(body)
    assert space.root == {"x": 1}


def test_close_ends_the_waits_of_other_threads(tmp_path):
    space = pso.create(dir=tmp_path / "space", size="2M")
    queue, caught = space.Queue(1), []

    def wait(function):
        try:
            function()
        except pso.SpaceClosedError:
            caught.append(1)

    waiting = [
        threading.Thread(target=wait, args=(each,))
        for each in (queue.get, lambda: space.run(lambda: space.root.get("x") or pso.retry()), queue.get)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.2)
    space.close()
    for thread in waiting:
        thread.join(5)
    assert len(caught) == 3


def test_a_missing_name_is_a_file_that_is_not_found(names, tmp_path):
    for missing in [
        lambda: pso.attach(names()),
        lambda: pso.unlink(names()),
        lambda: pso.attach(dir=tmp_path / "x"),
        lambda: pso.unlink(dir=tmp_path / "x"),
        lambda: pso.attach(dir=tmp_path),
    ]:
        with pytest.raises(FileNotFoundError) as caught:
            missing()
        assert caught.value.errno == 2
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_size_says_the_least_and_makes_nothing(tmp_path):
    with pytest.raises(ValueError, match="1048576"):
        pso.create(dir=tmp_path / "space", size=5000)
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_too_large_is_said_to_be():
    with pytest.raises(ValueError, match=str(2**63)):
        pso.create(size=2**63)
    with pso.create(size="2M", exist_ok=True) as space:
        with pytest.raises(OverflowError):
            space.Queue(2**63)
        with pytest.raises(OverflowError):
            space.run(lambda: None, retries=2**63)
        with pytest.raises(pso.NotShareableError, match="shared 'Queue' cannot be a key"):
            space.root[space.Queue()] = 1
        assert space.root == {} and space.fsck() == []


def test_a_name_in_use_is_not_made_again(filled):
    with pytest.raises(FileExistsError) as caught:
        pso.create(dir=filled, size="2M")
    assert caught.value.errno == 17 and whole(filled)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can give files away")
def test_a_space_of_another_user_is_refused(filled):
    os.chown(filled, 12345, -1)
    with pytest.raises(PermissionError, match="12345"):
        pso.attach(dir=filled)
    os.chown(filled, 0, -1)
    os.chown(filled / "arena", 12345, -1)
    with pytest.raises(PermissionError):
        pso.attach(dir=filled)
    os.chown(filled / "arena", 0, -1)
    assert whole(filled)


# --- Full ------------------------------------------------------------------------------------------------------------


def test_a_full_space_refuses_what_does_not_fit_and_goes_on(tmp_path):
    with pso.create(dir=tmp_path / "space", size="1M") as space:
        root = space.root
        root["list"], root["count"] = [], 0

        def grow(number):
            root["count"] = number
            root["list"].append(f"item number {number} " + "x" * 300)
            root[f"key number {number}"] = {"number": number}

        with pytest.raises(pso.ArenaFull) as caught:
            for number in range(100_000):
                space.run(grow, number + 1)
        assert isinstance(caught.value, MemoryError) and "full" in str(caught.value)
        count = root["count"]
        assert count > 20 and len(root["list"]) == count and len(root) == count + 2
        assert all(root[f"key number {number + 1}"] == {"number": number + 1} for number in range(count))
        with pytest.raises(pso.ArenaFull):
            root["large"] = b"x" * 2**20
        # A larger space would have room for this.
        with pytest.raises(pso.ArenaFull):
            root["large"] = b"x" * (40 << 20)
        with pytest.raises(pso.ArenaFull):
            root["list"].extend(["y" * 1000] * 1000)
        assert "large" not in root and len(root["list"]) == count
        assert space.fsck() == []
        root["count"] = -1
        assert root["list"].pop().startswith(f"item number {count} ") and root["count"] == -1


def test_retries_that_end_with_a_full_space_say_that_it_is_full(tmp_path):
    with pso.create(dir=tmp_path / "space", size="8M") as space:
        seen = set()

        def fill():
            space.root["x"] = [0] * 20_000

        for _ in range(60):
            try:
                space.run(fill, retries=0)
                seen.add(None)
            except pso.Error as error:
                seen.add(type(error))
        # There was room by the next time.
        assert seen == {None, pso.ArenaFull} and len(space.root["x"]) == 20_000
        assert space.fsck() == []


def test_what_no_space_has_in_one_piece_is_too_large_and_not_a_lack_of_room(tmp_path):
    with pso.create(dir=tmp_path / "space", size="256M") as space:
        root = space.root
        root["fits"] = b"x" * (63 << 20)
        for value in b"x" * (64 << 20), "x" * (64 << 20), 1 << (8 * (64 << 20)):
            with pytest.raises(pso.TooLargeError, match="side by side") as caught:
                root["large"] = value
            assert isinstance(caught.value, OverflowError) and not isinstance(caught.value, pso.ArenaFull)
        with pytest.raises(pso.TooLargeError):
            space.run(lambda: root.update(large=b"x" * (64 << 20)))
        assert set(root) == {"fits"} and space.fsck() == []


def test_a_body_that_catches_arena_full_cannot_commit_the_half(tmp_path):
    with pso.create(dir=tmp_path / "space", size="1M") as space:
        root = space.root
        root["before"] = 1

        def body():
            root["before"] = 2
            try:
                root["large"] = b"x" * 2**21
            except pso.ArenaFull:
                pass
            return "as if nothing had happened"

        with pytest.raises(pso.ArenaFull):
            space.run(body)
        assert root == {"before": 1} and space.fsck() == []


# --- Stale handles, a second space, a fork ---------------------------------------------------------------------------


def test_an_object_of_a_rolled_back_transaction_is_stale(space):
    kept, pickled = [], []

    def body():
        kept.extend([space.List([1]), space.Dict(a=1), space.Queue(1)])
        pickled.extend(map(pickle.dumps, kept))
        raise LookupError

    with pytest.raises(LookupError):
        space.run(body)
    listed, mapped, queue = kept
    for access in [
        lambda: listed.append(1),
        lambda: listed[0],
        lambda: len(mapped),
        lambda: mapped["a"],
        lambda: queue.put(1),
        lambda: queue.qsize(),
        lambda: list(mapped),
        lambda: listed == [1],
    ]:
        with pytest.raises(pso.StaleHandleError) as caught:
            access()
        assert isinstance(caught.value, ReferenceError)
    assert re.fullmatch(r"<pso\.List 0x[0-9a-f]+ that is gone>", repr(listed))
    with pytest.raises(pso.StaleHandleError):
        space.run(lambda: repr(listed))
    for each in pickled:
        with pytest.raises(pso.StaleHandleError):
            pickle.loads(each)
    # New objects take the blocks; the old handles must not become theirs.
    new = [space.List(["new"]) for _ in range(50)] + [space.Dict(new=1) for _ in range(50)]
    for access in [lambda: listed[0], lambda: mapped["a"], lambda: queue.get_nowait()]:
        with pytest.raises(pso.StaleHandleError):
            access()
    assert all(each in (["new"], {"new": 1}) for each in new)


def test_storing_a_stale_object_stores_nothing(space):
    kept = []

    def body():
        kept.append(space.List([1]))
        raise LookupError

    with pytest.raises(LookupError):
        space.run(body)
    for store in [
        lambda: space.root.__setitem__("x", kept[0]),
        lambda: space.List(kept),
        lambda: space.Queue(1).put(kept[0]),
    ]:
        with pytest.raises(pso.StaleHandleError):
            store()
    assert space.root == {}


def test_a_second_space_inside_a_transaction_is_refused(space):
    with pso.create(size="2M") as other:
        other.root["l"] = [1]
        theirs, mine = other.root["l"], space.root

        def touch(access):
            mine["touched"] = True
            access()

        for access in [
            lambda: theirs[0],
            lambda: theirs.append(2),
            lambda: len(other.root),
            lambda: other.List(),
            lambda: repr(theirs),
            lambda: other.run(len, theirs),
            lambda: list(theirs),
            lambda: theirs == [1],
            lambda: other.Queue(1),
        ]:
            with pytest.raises(pso.CrossSpaceError):
                space.run(touch, access)
            assert mine == {} and theirs == [1]
        for store in [
            lambda: mine.__setitem__("x", theirs),
            lambda: mine.update(x=[theirs]),
            lambda: space.List([theirs]),
        ]:
            with pytest.raises(pso.CrossSpaceError):
                store()
            assert mine == {}
        mine["x"] = theirs.to_python()
        assert mine == {"x": [1]} and other.fsck() == []


@pytest.mark.parametrize("kind", ["named", "anonymous"])
def test_a_fork_in_a_transaction_goes_on_in_the_parent_only(kind, names):
    space = pso.create(names() if kind == "named" else None, size="2M")
    root = space.root
    root.update(parent=0, child=0, list=[])

    def body():
        root["parent"] += 1
        root["list"].append("a longer text of the parent")
        child = os.fork()
        if child == 0:
            os._exit(children.forked_in_transaction(space, root))
        _, status = os.waitpid(child, 0)
        root["parent"] += 1
        return os.waitstatus_to_exitcode(status)

    assert space.run(body) == 0
    assert root == {"parent": 2, "child": 1, "list": ["a longer text of the parent"]}
    assert space.fsck() == []
    space.close()


def test_what_is_closed_or_gone_can_be_named_in_messages(names):
    space = pso.create(names())
    shown = [space.root, space.List([1]), space.Queue(3)]
    space.close()
    for proxy, name in zip(shown, ["Dict", "List", "Queue"], strict=True):
        assert re.fullmatch(rf"<pso\.{name} 0x[0-9a-f]+ of a closed space>", f"{proxy}"), repr(proxy)
        with pytest.raises(pso.SpaceClosedError):
            proxy.to_python() if name != "Queue" else proxy.qsize()


def test_a_body_that_raises_conflict_error_keeps_what_it_has_lost(space):
    """The danger: it begins anew each time, and others, who are faster, overtake it for ever."""
    root, attempts = space.root, []
    root["x"] = 0

    def overtake():
        # It waits where the other one has what it has read.
        with contextlib.suppress(pso.TransactionTimeout):
            space.run(lambda: root.update(x=root["x"] + 1), timeout=0.05)

    def body():
        seen = root["x"]
        attempts.append(seen)
        if len(attempts) % 2:
            raise pso.ConflictError
        thread = threading.Thread(target=overtake)
        thread.start()
        thread.join(10)
        root["y"] = seen

    space.run(body, retries=100)
    assert 20 <= len(attempts) < 50 and space.fsck() == []


def test_what_is_private_takes_nothing_for_a_list_that_is_none(space):
    """The danger: its memory is read as that of a list."""
    space.root["x"] = 1
    for wrong in ((1,), 5, "x", {1}, None, space.root, range(3)):
        with pytest.raises(TypeError, match="list"):
            space.root._common(0, wrong)
    assert space.root._common(0, ["x", "y"]) == ["x"]
