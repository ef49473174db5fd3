"""What `pso bench garbage` says of a run in which nobody works. The danger: memory stays what it is, and all looks well."""

import json

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
