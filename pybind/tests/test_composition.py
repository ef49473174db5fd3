"""Putting transactions together from Python: alternatives, parts that only read, ways to write one. The dangers: half of an
alternative that stays, a sleeper that only one alternative would wake."""

import contextlib
import functools
import time

import children
import pso
import pytest
from test_transactions import commit_elsewhere

# --- Alternatives ----------------------------------------------------------------------------------------------------


def test_the_first_alternative_that_does_not_wait_is_taken(space):
    root, called = space.root, []

    def waits(name):
        called.append(name)
        root["undone"] = name
        root["list"].append(name)
        pso.retry()

    def taken():
        called.append("taken")
        assert root == {"list": [], "before": 1}
        root["taken"] = True
        return "value"

    def body():
        root["before"] = 1
        return pso.or_else(lambda: waits("a"), lambda: waits("b"), taken, lambda: called.append("never"))

    root["list"] = []
    assert space.run(body) == "value" and called == ["a", "b", "taken"]
    assert root == {"list": [], "before": 1, "taken": True}


def test_what_an_alternative_that_is_taken_did_stays(space):
    root = space.root
    root["x"] = 1

    def first():
        root["x"] += 1
        root["new"] = [1]

    assert space.run(lambda: pso.or_else(first, pso.retry)) is None
    assert root == {"x": 2, "new": [1]}
    assert space.run(lambda: pso.or_else(lambda: 5)) == 5


def test_an_exception_is_no_wish_to_wait(space):
    root, called = space.root, []

    def fails():
        root["x"] = 1
        raise LookupError("of the first")

    def body():
        pso.or_else(fails, lambda: called.append("second"))

    with pytest.raises(LookupError, match="of the first"):
        space.run(body)
    assert root == {} and called == []


def test_an_alternative_that_swallows_its_wish_to_wait_is_undone_all_the_same(space):
    root = space.root

    def swallows():
        root["x"] = 1
        try:
            pso.retry()
        except BaseException:
            return "as if nothing had happened"

    def hides():
        root["x"] = 2
        try:
            pso.retry()
        finally:
            raise ValueError("said by an alternative that does not exist")

    assert space.run(lambda: pso.or_else(swallows, hides, lambda: root.get("x"))) is None
    assert root == {}


def test_a_block_that_ends_in_an_alternative_leaves_nothing_to_undo(space):
    shared = space.Dict(a=1)
    iterator = iter(shared)
    next(iterator)
    block = space.transaction()
    block.__enter__()
    shared["b"] = 2

    def alternative():
        for step in [pso.retry, lambda: block.__exit__(None, None, None)]:
            with contextlib.suppress(BaseException):
                step()

    with pytest.raises(RuntimeError):
        pso.or_else(alternative, lambda: None)
    assert shared == {"a": 1} and space.fsck() == []


def test_a_block_that_outlives_the_alternative_that_it_began_in_is_told(space):
    """The danger: half of a block in a generator is undone with the alternative, and the other half committed."""
    root = space.root

    def block(name):
        with space.transaction():
            root[name + " first"] = 1
            yield
            root[name + " second"] = 2

    def begins(blocks, name):
        blocks.append(block(name))
        next(blocks[-1])

    def begins_and_waits(blocks, name):
        begins(blocks, name)
        pso.retry()

    def goes_on_with_an_undone_one():
        blocks = []
        pso.or_else(lambda: begins_and_waits(blocks, "undone"), lambda: next(blocks[0]))

    for within in (space.run, lambda body: space.run(pso.or_else, body)):
        with pytest.raises(RuntimeError, match="was undone before its end"):
            within(goes_on_with_an_undone_one)
        assert root == {}

    def is_interrupted(failure):
        blocks = []
        pso.or_else(lambda: begins_and_waits(blocks, "undone"), lambda: blocks[0].throw(failure))

    for failure in (KeyboardInterrupt, SystemExit):
        with pytest.raises(failure):
            space.run(is_interrupted, failure)
    with pytest.raises(RuntimeError, match="was undone before its end"):
        space.run(is_interrupted, LookupError)
    assert root == {}

    def others_are_parts():
        blocks = []
        begins(blocks, "before")
        pso.or_else(lambda: begins_and_waits(blocks, "undone"), lambda: begins(blocks, "taken"))
        before, undone, taken = blocks
        undone.close()
        assert [list(before), list(taken)] == [[], []]

    expected = {f"{name} {part}": n for name in ("before", "taken") for n, part in ((1, "first"), (2, "second"))}
    space.run(others_are_parts)
    assert root == expected
    root.clear()
    # Another attempt, and another transaction, begin anew.
    with space.transaction():
        others_are_parts()
    assert root == expected


def test_alternatives_nest(space):
    root = space.root

    def wait(key):
        root[key] = 1
        pso.retry()

    def inner():
        root["inner"] = 1
        return pso.or_else(lambda: wait("a"), lambda: wait("b"))

    def outer():
        root["outer"] = root.get("outer", 0) + 1
        return pso.or_else(inner, lambda: pso.or_else(lambda: wait("c"), lambda: root.setdefault("d", "taken")))

    assert space.run(outer) == "taken" and root == {"outer": 1, "d": "taken"}


def test_queues_are_alternatives(space):
    # Outside a transaction too: the space is that of the objects, not the default one.
    with pso.create(size="2M") as other:
        first, second = other.Queue(3), other.Queue(3)
        second.put("of the second")
        assert pso.or_else(first.get, second.get) == "of the second"
        first.put("of the first")
        second.put("later")
        assert pso.or_else(first.get, second.get) == "of the first"
        assert pso.or_else(first.get, lambda: second.qsize()) == 1
        assert (first.qsize(), second.qsize()) == (0, 1)


def test_a_queue_with_a_timeout_of_its_own_gives_up_as_an_alternative(space):
    first, second = space.Queue(1), space.Queue(1)
    begun = time.monotonic()
    with pytest.raises(Exception, match="^$") as raised:
        pso.or_else(lambda: first.get(timeout=0.2), second.get)
    assert raised.type.__name__ == "Empty" and 0.19 < time.monotonic() - begun < 2


@pytest.mark.parametrize("which", [0, 1, 2])
def test_whatever_an_alternative_has_read_wakes_the_transaction(any_space, start, which):
    queues = any_space.List([any_space.Queue(2) for _ in range(3)])
    child = start(children.get_any, queues).asleep()
    any_space.root["something else"] = 1
    queues[which].put("came")
    assert child.receive(5) == "came"
    child.finish()
    assert [queue.qsize() for queue in queues] == [0, 0, 0]


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_killed_while_its_alternatives_wait_strands_nobody(any_space, start, killed):
    queues = any_space.List([any_space.Queue(2) for _ in range(2)])
    waiting = [start(children.get_any, queues) for _ in range(2)]
    for child in waiting:
        child.asleep()
    waiting[killed].kill()
    queues[1].put("came")
    assert waiting[1 - killed].receive(3) == "came"
    queues[0].put("free")
    assert pso.or_else(queues[0].get_nowait) == "free" and any_space.fsck() == []


def test_items_of_many_queues_come_once_whoever_takes_them(any_space, start):
    queues = any_space.List([any_space.Queue(4) for _ in range(2)])
    takers = [start(children.consume_any, queues, method="fork").ready() for _ in range(2)]
    sent = [[(number, item) for item in range(150)] for number in range(2)]
    for pair in zip(*sent, strict=True):
        for queue, item in zip(queues, pair, strict=True):
            queue.put(item)
    deadline = time.monotonic() + 10
    while any(queue.qsize() for queue in queues):
        # A None of the first queue would come before what is left in the second.
        assert time.monotonic() < deadline
        time.sleep(0.001)
    for _ in takers:
        queues[0].put(None)
    taken = [child.receive() for child in takers]
    for child in takers:
        child.finish()
    assert sorted(map(tuple, taken[0] + taken[1])) == sorted(sent[0] + sent[1])
    for each in taken:
        for number in range(2):
            mine = [item for queue, item in each if queue == number]
            assert mine == sorted(mine)


def test_an_object_of_an_undone_alternative_is_gone(space):
    kept = []

    def makes():
        kept.append(space.List([1, 2]))
        space.root["list"] = kept[0]
        pso.retry()

    space.run(lambda: pso.or_else(makes, lambda: space.root.update(other=[3])))
    with pytest.raises(pso.StaleHandleError):
        len(kept[0])
    assert space.root == {"other": [3]}


def test_sizes_that_an_undone_alternative_changed_are_as_before_for_iterators(space):
    root = space.root
    root.update(a=1, b=2)
    iterator = iter(root)
    next(iterator)

    def grows():
        root["c"] = 3
        pso.retry()

    space.run(lambda: pso.or_else(grows, lambda: None))
    assert next(iterator) == "b"


def test_a_function_that_names_no_space_is_a_part_of_the_transaction():
    """Not of one of the default space, whichever that is, or none."""
    with pso.create(size="2M") as space, pso.create(size="2M") as other:

        @pso.transactional
        def log(what, fails=False):
            other.root.setdefault("log", []).append(what)
            if fails:
                raise ValueError("undone with all around it")

        for default in [space, other, None]:
            if default is None:
                pso.use(space)
                space.close()
            else:
                pso.use(default)
            with pytest.raises(ValueError):
                other.run(lambda: (log("lost"), log("lost", True)))
            other.run(lambda: log("kept"))
        assert other.root == {"log": ["kept"] * 3} and other.fsck() == []


def test_alternatives_are_of_the_space_that_a_decorated_method_names(space):
    with pso.create(size="2M") as other:

        class Box:
            @other.transactional
            def look(self):
                return other.root.get("x", 5)

        assert pso.or_else(Box().look) == 5 and pso.or_else(Box().look, lambda: 6) == 5
        # As a function, and where another one has to wait first.
        other_queue = other.Queue()
        assert pso.or_else(other_queue.get, Box().look) == 5 == space.run(lambda: 5)


def test_who_asks_for_changes_and_finds_them_ends_in_time(space):
    """The danger: the time is looked at in sleeps, and where somebody is always faster there is none."""
    space.root["n"] = 0

    def write():
        space.root["n"] += 1

    def body():
        assert space.root["n"] >= 0
        commit_elsewhere(write)
        pso.retry()

    began = time.monotonic()
    with pytest.raises(pso.TransactionTimeout):
        space.run(body, timeout=0.3)
    assert time.monotonic() - began < 10
    assert space.root["n"] > 1


def test_a_conflict_in_an_alternative_runs_the_body_again(space):
    root, firsts = space.root, []
    root.update(x=0, y=0)

    def first():
        firsts.append(root["x"])
        if len(firsts) == 1:
            commit_elsewhere(lambda: root.update(x=10, y=10))
        root["y"] += 1
        return root["x"]

    assert space.run(lambda: pso.or_else(first, lambda: "second")) == 10
    assert firsts == [0, 10] and root == {"x": 10, "y": 11}


def test_what_can_be_no_alternative_is_refused(space):
    async def coroutine():
        pass

    def generator():
        yield 1

    for wrong in [(), (5,), (coroutine,), (lambda: 1, generator)]:
        with pytest.raises(TypeError):
            pso.or_else(*wrong)
    with pytest.raises(TypeError):
        pso.or_else(lambda: 1, other=1)
    with pso.create(size="2M") as other:
        with pytest.raises(pso.CrossSpaceError):
            space.run(lambda: pso.or_else(lambda: len(other.root)))


def test_what_runs_later_is_no_body_behind_a_partial_or_an_object_either(space):
    """The danger: it is called, and committed, and its body runs after that as so many single operations."""

    def generator():
        yield 1

    async def coroutine():
        pass

    async def both():
        yield 1

    def objects(call):
        class Object:
            __call__ = call

        return Object()

    later = [generator, coroutine, both]
    wrong = [functools.partial(function) for function in later]
    wrong += [functools.partial(functools.partial(generator)), functools.partial(objects(lambda self: (yield)))]
    wrong += [objects(lambda self: (yield)), objects(staticmethod(coroutine)), objects(generator).__call__]
    for function in later + wrong:
        for take in (space.run, space.transactional, space.atomically, pso.transactional, pso.or_else):
            with pytest.raises(TypeError, match="would run after it"):
                take(function)
    # What runs at once, and what is a class.
    assert space.run(functools.partial(dict, a=1)) == {"a": 1} and space.run(dict) == {}
    assert space.run(objects(lambda self: 5)) == 5 and space.run(functools.partial(objects(lambda self: 6))) == 6


# --- Ways to write a transaction -------------------------------------------------------------------------------------


def test_atomically_runs_at_once_and_the_name_becomes_the_result(space):
    root = space.root
    root.update(a=1, b=2)

    @space.atomically
    def total():
        root["seen"] = True
        return root["a"] + root["b"]

    assert total == 3 and root["seen"]

    @space.atomically(readonly=True, timeout=5)
    def again():
        return root["a"] + root["b"]

    assert again == 3
    with pytest.raises(LookupError):

        @space.atomically
        def fails():
            root["never"] = 1
            raise LookupError

    assert "never" not in root


def test_decorators_take_the_options_of_run(space):
    root, attempts = space.root, []
    root.update(x=0, y=0)

    @space.transactional(retries=2)
    def loses():
        attempts.append(root["x"])
        commit_elsewhere(lambda: root.update(x=root["x"] + 1))
        root["y"] += 1

    with pytest.raises(pso.TransactionTimeout, match="attempts"):
        loses()
    assert attempts == [0, 1, 2] and loses.__name__ == "loses"

    @pso.transactional(timeout=0.1)
    def waits(shared):
        return shared.get("nothing") or pso.retry()

    with pytest.raises(pso.TransactionTimeout):
        waits(root)
    for wrong in [dict(patience=1), dict(retries=-1)]:
        with pytest.raises((TypeError, ValueError)):
            space.transactional(**wrong)


# --- Parts that only read --------------------------------------------------------------------------------------------


def test_a_transaction_that_only_reads_refuses_every_write(space):
    root = space.root
    root.update(x=1, list=[1], queue=space.Queue(2), dict={})
    root["queue"].put(1)
    writes = [
        lambda: root.__setitem__("x", 2),
        lambda: root.pop("x"),
        lambda: root["list"].append(2),
        lambda: root["list"].__setitem__(0, 2),
        lambda: root["dict"].update(a=1),
        lambda: root["queue"].get(),
        lambda: root["queue"].put(2),
        lambda: space.List(),
        lambda: space.run(root.clear),
    ]
    before = {key: value for key, value in root.to_python().items() if key != "queue"}
    for write in writes:
        with pytest.raises(pso.ReadOnlyError, match="read-only"):
            space.run(write, readonly=True)
    assert {key: value for key, value in root.to_python().items() if key != "queue"} == before
    assert space.run(lambda: (root["x"], list(root["list"]), root["queue"].qsize()), readonly=True) == (1, [1], 1)
    assert issubclass(pso.ReadOnlyError, pso.Error)


def test_a_part_that_only_reads_does_so_inside_a_transaction_that_writes(space):
    root = space.root
    root["x"] = 1

    @space.transactional(readonly=True)
    def sees():
        return root["x"]

    @space.transactional(readonly=True)
    def writes():
        root["x"] = 5

    def body(step):
        root["x"] += 1
        seen = step()
        root["after"] = True
        return seen

    assert space.run(body, sees) == 2 and root == {"x": 2, "after": True}
    with pytest.raises(pso.ReadOnlyError):
        space.run(body, writes)
    assert root == {"x": 2, "after": True}
    root["x"] = 3
