"""Exception groups around what stops an attempt: `except*` and `asyncio.TaskGroup` make them. The danger: a conflict that comes back in one is taken for a
failure of the body."""

import asyncio
import contextlib
import threading

import pso
import pytest
from test_transactions import commit_elsewhere


def in_except_star(act):
    """Runs `act`; what it raises comes out of `except*`."""
    try:
        act()
    except* BaseException:
        raise


def in_a_task_group(act):
    """Runs `act` in a task of a group."""

    async def task():
        act()

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(task())

    asyncio.run(main())


def in_groups_in_groups(act):
    """What `act` raises comes deep inside, with an exception that came of it."""
    try:
        act()
    except BaseException as raised:
        group = BaseExceptionGroup("of both", [raised, LookupError()])
        for _ in range(20):
            group = BaseExceptionGroup("and deeper", [group])
        raise group from None


WAYS = [in_except_star, in_a_task_group, in_groups_in_groups]


@pytest.mark.parametrize("way", WAYS)
def test_a_conflict_in_a_group_is_run_again(space, way):
    root = space.root
    root.update(x=0, y=0)

    def clash():
        if root["x"] == 0:
            commit_elsewhere(lambda: root.update(x=1, y=1))
        root["y"] += 1

    space.run(lambda: way(clash))
    assert root == {"x": 1, "y": 2}


@pytest.mark.parametrize("way", WAYS)
def test_a_retry_in_a_group_waits(space, way):
    root = space.root
    root["flag"] = False

    def look():
        if not root["flag"]:
            threading.Thread(target=root.__setitem__, args=["flag", True]).start()
            pso.retry()
        return pso.current().attempt

    assert pso.or_else(lambda: way(pso.retry), lambda: "the other") == "the other"
    space.run(lambda: way(look))
    assert root["flag"] is True


def test_a_body_may_ask_for_another_attempt_by_a_group_of_conflicts(space):
    def body():
        if pso.current().attempt == 1:
            raise BaseExceptionGroup("lost", [pso.ConflictError(), BaseExceptionGroup("again", [pso.ConflictError()])])
        return pso.current().attempt

    assert space.run(body) == 2


@pytest.mark.parametrize("other", [KeyboardInterrupt, SystemExit])
def test_what_passes_all_passes_in_a_group_too(space, other):
    def body(stop):
        try:
            stop()
        except BaseException as raised:
            raise BaseExceptionGroup("both", [raised, other()]) from None

    def conflict():
        raise pso.ConflictError

    space.root["x"] = 0
    for stop in (conflict, lambda: (space.root["x"], pso.retry())):
        with pytest.raises(BaseExceptionGroup, match="both"):
            space.run(body, stop)
    with pytest.raises(BaseExceptionGroup, match="both"):
        space.run(pso.or_else, lambda: body(lambda: (space.root["x"], pso.retry())), lambda: None)


def test_a_failure_beside_a_conflict_of_the_bodys_own_stays_one(space):
    def body():
        raise BaseExceptionGroup("both", [pso.ConflictError(), LookupError()])

    with pytest.raises(BaseExceptionGroup, match="both"):
        space.run(body)


@pytest.mark.parametrize("way", WAYS[:2])
def test_a_full_space_in_a_group_is_run_again(way):
    with pso.create(size="2M") as small:
        small.collect()  # else one by the way might come first

        def replace():
            small.root["large"] = [["x" * 10_000] for _ in range(15)]

        def body():
            way(replace)
            return pso.current().attempt

        assert max(small.run(body) for _ in range(30)) == 2
        with pytest.raises(pso.ArenaFull):
            small.run(way, lambda: small.root.update(larger=[["x" * 10_000] for _ in range(1000)]))
        assert small.root.keys() == {"large"}


class Odd(BaseExceptionGroup):
    """Whose exceptions are what `look` gives."""

    @property
    def exceptions(self):
        return self.look()


def test_a_group_without_end_is_a_failure(space):
    def body(width):
        group = Odd("of itself", [LookupError()])
        group.look = lambda: (group,) * width
        raise group

    for width in (1, 1000):
        with pytest.raises(BaseExceptionGroup, match="of itself"):
            space.run(body, width)


def test_a_ctrl_c_while_a_group_is_looked_at_is_not_lost(space):
    def interrupted():
        raise KeyboardInterrupt

    def body():
        group = Odd("looked at", [LookupError()])
        group.look = interrupted
        raise group

    def call():
        with contextlib.suppress(Odd):
            space.run(body)
        for _ in range(100_000):
            pass

    with pytest.raises(KeyboardInterrupt):
        call()
