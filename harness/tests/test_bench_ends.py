"""Benchmarks in which one of those who are measured ends early. The danger: whoever waits for him waits for ever."""

import multiprocessing
import os
import re
import threading
import time

import pytest
from pso_bench import bank, crew, garbage, manager, wake


def says_its_number(number, barrier, report):
    barrier.wait()
    report.send(number)


def one_ends(number, barrier, report):
    if number == 1:
        os._exit(3)
    says_its_number(number, barrier, report)


def all_answer_and_one_fails(number, report):
    report.send(number)
    os._exit(number)


def transfers_nothing(*arguments):
    barrier, report = arguments[-2:]
    barrier.wait()
    # An odd number: of as many there and back nothing would be left.
    report.send((63, 0.1))


def test_all_who_work_say_what_they_did_in_their_order():
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    assert crew.answers(context, says_its_number, [(number, barrier) for number in (0, 1)]) == [0, 1]


def test_one_who_ends_before_the_start_is_not_waited_for_and_no_more_are_those_who_wait_for_him():
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    with pytest.raises(RuntimeError, match="process 1 has ended before it said"):
        crew.answers(context, one_ends, [(number, barrier) for number in range(3)])
    assert multiprocessing.active_children() == []


def test_one_who_fails_after_his_work_fails_the_run():
    context = multiprocessing.get_context("spawn")
    with pytest.raises(RuntimeError, match="process 1 has ended with exit code 1"):
        crew.answers(context, all_answer_and_one_fails, [(number,) for number in (0, 1)])


@pytest.mark.parametrize("kind", [bank, manager])
def test_the_bank_finds_every_transfer(kind):
    result = kind.run(accounts=10, processes=2, seconds=0.1, seed=1)
    assert result["lost"] == "" and len(result["rates"]) == 2 and min(result["rates"]) > 0


@pytest.mark.parametrize("kind", [bank, manager])
def test_a_bank_whose_transfers_do_nothing_has_lost_them(kind, monkeypatch):
    monkeypatch.setattr(kind, "_work", transfers_nothing)
    result = kind.run(accounts=2, processes=1, seconds=0.1, seed=1)
    assert re.fullmatch(r"account 0 holds 1000, not \d+", result["lost"])


def test_one_transfer_more_or_less_is_seen():
    more_than_drawn = bank.DRAWN + 65
    right = bank.expected(10, [(7, more_than_drawn), (8, 64)])
    assert sum(right.values()) == 10 * bank.BALANCE and bank.lost(right, right) == ""
    for done in ([], [(7, more_than_drawn)], [(7, more_than_drawn - 1), (8, 64)], [(7, 65), (8, 64)]):
        assert "holds" in bank.lost(bank.expected(10, done), right)
    assert "there are 9 accounts" in bank.lost({account: 1000 for account in range(9)}, right)


@pytest.mark.parametrize("who", ["wait", "pass_on"])
def test_a_side_that_raises_ends_the_run_of_wake_ups(who, capfd, monkeypatch):
    ball, side, sides = wake.Futexes(), wake.side, []

    def noted(*arguments):
        sides.append(side(*arguments))
        return sides[-1]

    def raises(side, turn):
        raise ValueError("not I")

    assert wake.round_trip(ball, 10, 1) > 0
    setattr(ball, who, raises)
    monkeypatch.setattr(wake, "side", noted)
    with pytest.raises(RuntimeError, match="one of two sides has ended"):
        wake.round_trip(ball, 10, 11)
    assert "ValueError: not I" in capfd.readouterr().err
    for process in sides:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_who_waits_at_a_futex_sleeps_until_it_is_his_turn():
    """The danger: a call that the kernel refuses makes a loop of it, which is the faster one."""
    ball, spent = wake.Futexes(), []

    def waits():
        began = time.thread_time()
        ball.wait(0, 1)
        spent.append(time.thread_time() - began)

    waiter = threading.Thread(target=waits, daemon=True)
    waiter.start()
    time.sleep(0.5)
    assert spent == []
    ball.pass_on(0, 1)
    waiter.join(10)
    assert spent and spent[0] < 0.1


def test_who_measures_collections_ends_those_whom_he_has_started(monkeypatch):
    started = []

    def fails(objects, share):
        started.append(garbage.child(garbage.time.sleep, 600))
        os.kill(started[0], garbage.signal.SIGSTOP)
        raise ValueError("it ends early")

    monkeypatch.setattr(garbage, "ring", fails)
    with pytest.raises(ValueError, match="it ends early"):
        garbage.main([])
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
