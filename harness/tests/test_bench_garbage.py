"""What `pso bench garbage` says of a run in which nobody works. The danger: memory stays what it is, and all looks well."""

import json
import random
import time
from types import SimpleNamespace

import pso
import pytest
from pso_bench import garbage

SHORT = ["--seconds", "2", "--stops", "1"]
RING = garbage.ring


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Only those who replace values."""
    monkeypatch.setattr(garbage, "ring", lambda objects, share: {})
    monkeypatch.setattr(garbage, "deleted", lambda mebibytes: {"findings": 0})
    monkeypatch.setattr(garbage, "WARM_UP_SECONDS", 1)


def test_a_run_in_which_four_work_is_well_and_says_what_was_committed(capfd):
    garbage.main(SHORT)
    result = json.loads(capfd.readouterr().out)
    for name in ("churn", "churn_stopped"):
        part = result[name]
        assert len(part["commits"]) == 2 and min(part["commits"]) > 0, part
        assert part["ended"] == 0


def test_a_run_whose_workers_all_raise_fails_and_tells_what_they_raised(capfd, monkeypatch):
    def raises(*arguments):
        raise ValueError("nobody works here")

    monkeypatch.setattr(garbage, "replace", raises)
    with pytest.raises(SystemExit) as failed:
        garbage.main(SHORT)
    for name in ("churn", "churn_stopped", "stops"):
        assert f"{name}: 4 ended who had not been killed" in failed.value.code
        assert f"{name}: nothing was committed" in failed.value.code
    said = capfd.readouterr()
    assert said.err.count("ValueError: nobody works here") == 12
    assert json.loads(said.out)["churn"]["commits"] == [0]


def test_a_run_whose_workers_live_and_commit_nothing_fails(monkeypatch):
    monkeypatch.setattr(garbage, "replace", lambda *arguments: garbage.time.sleep(60))
    with pytest.raises(SystemExit) as failed:
        garbage.main([*SHORT[:2], "--stops", "0"])
    assert failed.value.code.splitlines() == [
        f"{name}: nothing was committed in one half of it" for name in ("churn", "churn_stopped")
    ]


def test_a_run_with_findings_fails(monkeypatch):
    monkeypatch.setattr(garbage, "deleted", lambda mebibytes: {"findings": 3})
    with pytest.raises(SystemExit) as failed:
        garbage.main([*SHORT[:2], "--stops", "0"])
    assert failed.value.code == "deleted: fsck has 3 findings"


def test_all_four_take_their_turn_to_be_killed_unless_one_is_stopped(monkeypatch):
    killed, started = [], []
    end, child = garbage.end, garbage.child

    def noted(processes):
        killed.extend(processes)
        end(processes)

    def started_as(function, *arguments):
        started.append(child(function, *arguments))
        return started[-1]

    monkeypatch.setattr(garbage, "end", noted)
    monkeypatch.setattr(garbage, "child", started_as)
    garbage.churn(5, stop=False)
    assert killed == started, "each once, the oldest first"


@pytest.mark.parametrize("who", ["busy", "collect_at"])
def test_a_ring_without_those_who_work_or_collect_is_not_waited_for(monkeypatch, who):
    def raises(*arguments):
        raise ValueError("not I")

    monkeypatch.setattr(garbage, who, raises)
    with pytest.raises(RuntimeError, match="have ended by themselves"):
        RING(1000, 0.25)


class EnoughError(Exception):
    """Those who move money do so for ever."""


class Rows(list):
    """Takes some rows, and no more."""

    def append(self, row):
        super().append(row)
        if len(self) == 3:
            raise EnoughError


def test_what_those_who_move_money_do_beside_it_is_little(monkeypatch):
    """The danger: a rate that is mostly the generator's and the clocks'."""
    drawn, asked = [], []

    class Counted(random.Random):
        def randrange(self, *arguments):
            drawn.append(1)
            return super().randrange(*arguments)

    def clock(name):
        return lambda: asked.append(name) or getattr(time, name)()

    monkeypatch.setattr(garbage, "random", SimpleNamespace(Random=Counted))
    clocks = {name: clock(name) for name in ("monotonic_ns", "thread_time_ns")}
    monkeypatch.setattr(garbage, "time", SimpleNamespace(**clocks))
    rows = Rows()
    with pso.create(size="8M") as space:
        space.root["accounts"] = [100] * garbage.ACCOUNTS
        with pytest.raises(EnoughError):
            garbage.busy(space, rows, 1)
        assert sum(space.root["accounts"]) == 100 * garbage.ACCOUNTS
    operations = sum(row[0] for row in rows)
    assert operations > 2 * garbage.DRAWN and len(drawn) == 2 * garbage.DRAWN
    for name in clocks:
        # One more is at the beginning.
        assert asked.count(name) - 1 <= operations // 64


@pytest.mark.parametrize("clock", ["monotonic", "thread_time"])
def test_no_operation_takes_longer_than_is_reported_of_the_longest(monkeypatch, clock):
    """One in the middle of a bunch, in which others take little."""
    slow, now = [40], getattr(time, clock)

    class Accounts(list):
        def __setitem__(self, place, balance):
            slow[0] -= 1
            if slow[0] == 0:
                began = now()
                while now() - began < 0.03:
                    pass
            super().__setitem__(place, balance)

    monkeypatch.setattr(garbage, "ROW_NS", 5_000_000)
    space = SimpleNamespace(root={"accounts": Accounts([100] * garbage.ACCOUNTS)}, transactional=lambda move: move)
    rows = Rows()
    with pytest.raises(EnoughError):
        garbage.busy(space, rows, 1)
    _, wall, longest, cpu, cpu_longest = rows[0]
    assert wall >= longest >= 30_000_000
    if clock == "thread_time":
        assert cpu >= cpu_longest >= 30_000_000


def test_who_waits_between_two_rows_is_slower_by_that_and_not_by_processor_time():
    tenth, us = 100_000_000, 1000
    well = (100_000, tenth, 9 * us, tenth, 9 * us)
    waited = (100_000, 9 * tenth, 8 * tenth, tenth, 9 * us)
    reports = [[well] * 3, [well] * 2]
    watch = garbage.Watch(reports)
    reports[0] += [well] * 10
    reports[1] += [waited, well]
    numbers = watch.numbers([len(rows) - 1 for rows in reports])
    assert numbers["operations_per_s"] == pytest.approx(2 * 1_200_000 / 2.0)
    assert numbers["operations_per_cpu_s"] == pytest.approx(1_000_000)
    assert (numbers["longest_wall_ms"], numbers["longest_cpu_ms"]) == (800, 0.009)


def test_the_row_that_is_under_way_at_the_end_is_waited_for_and_counts():
    reports = [[], []]
    watch = garbage.Watch(reports)
    looks = []

    def look():
        looks.append(1)
        reports[len(looks) - 1].append((1, 500_000_000, 1, 1, 1))

    assert watch.end(look)["operations_per_s"] == pytest.approx(4)
    assert len(looks) == 2


def test_a_ring_that_is_collected_is_no_more_in_use():
    part = RING(50_000, 1.0)
    assert part["freed_bytes"] >= 100 * 50_000
    assert part["used_before"] - part["used_after"] >= 100 * 50_000 - garbage.FLUCTUATION
    assert part["findings"] == 0
    touched = part["touched"]
    assert touched["bytes"] == part["freed_bytes"] and min(touched["again_ns"], touched["rested_ns"]) > 0


def test_a_run_whose_ring_stays_fails(monkeypatch):
    ring = {"objects": 100_000, "freed_bytes": 19, "used_before": 30 << 20, "used_after": 30 << 20, "findings": 0}
    monkeypatch.setattr(garbage, "ring", lambda objects, share: ring)
    monkeypatch.setattr(garbage, "churn", lambda seconds, stop: {"findings": 0, "commits": [1, 1]})
    with pytest.raises(SystemExit) as failed:
        garbage.main([*SHORT[:2], "--stops", "0"])
    assert failed.value.code.splitlines() == [
        "ring: 19 bytes were freed, 10000000 at least were dropped",
        f"ring: {30 << 20} bytes were in use before, {30 << 20} are after",
    ]


def whole(commits=(1, 1), stops=(1,)):
    """A result in which nothing is wrong, but perhaps what is given."""
    part = {"findings": 0, "ended": 0}
    rows = [{"commits": count} for count in stops]
    churn = {**part, "commits": list(commits)}
    return {"ring": {}, "deleted": part, "churn": churn, "churn_stopped": churn, "stops": {**part, "stops": rows}}


def test_mostly_when_one_is_stopped_the_others_commit():
    """Not always: one may be stopped in a write-back, and keep what all of them want."""
    for good in ([5, 1], [5, 0, 5, 5, 5]):
        assert garbage.wrong(whole(stops=good)) == []
    for bad, times in (([0, 5], "1 of 2"), ([5, 0, 5, 0, 5], "2 of 5")):
        assert garbage.wrong(whole(stops=bad)) == [f"stops: nothing was committed while one was stopped, {times} times"]


def test_seconds_in_which_nobody_commits_are_too_many_from_three_in_a_row_on():
    assert garbage.wrong(whole([9, 0, 0, 9, 0, 0, 9, 9])) == []
    for commits, names in (([9, 0, 0, 0, 9, 9, 9, 9], ["churn", "churn_stopped"]), ([9] * 9 + [0] * 3, ["churn"])):
        # Behind the stop of one that is stopped in a write-back there may be nothing.
        assert garbage.wrong(whole(commits)) == [f"{name}: nothing was committed for 3 s" for name in names]


def test_what_one_does_before_it_stands_still_is_not_counted_for_the_others(monkeypatch):
    """It is alone, and slow to stop."""
    kill, replacers = garbage.os.kill, garbage.replacers

    def slowly(process, what):
        if what == garbage.signal.SIGSTOP:
            garbage.time.sleep(0.2)
        kill(process, what)

    def one(space, count):
        workers = replacers(space, count)
        garbage.end(workers[1:])
        return workers[:1]

    monkeypatch.setattr(garbage.os, "kill", slowly)
    monkeypatch.setattr(garbage, "replacers", one)
    assert [row["commits"] for row in garbage.stops(2, 1)["stops"]] == [0, 0]
