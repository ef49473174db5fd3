"""What is measured of the bank is the bank: no copies of what was drawn, and no more calls to the manager than the dict needs."""

from multiprocessing.managers import BaseProxy
from multiprocessing.synchronize import Lock
from typing import Any

import pso
import pytest
from pso_bench import bank, manager


class Parties:
    """One process: it need not wait. And it hears what is reported."""

    def __init__(self) -> None:
        self.told: list[tuple[int, float]] = []

    def wait(self) -> None:
        pass

    def send(self, told: tuple[int, float]) -> None:
        self.told.append(told)


class Drawn(list):
    """Counts what slices copy and what is put together."""

    copied = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        if isinstance(place, slice):
            Drawn.copied += len(found)
            return Drawn(found)
        return found

    def __add__(self, other: list) -> "Drawn":
        Drawn.copied += len(self) + len(other)
        return Drawn(super().__add__(other))


def test_what_was_drawn_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = bank.pairs(10, 1)
    monkeypatch.setattr(bank, "pairs", lambda accounts, seed: Drawn(drawn))
    parties = Parties()
    space = pso.create("bank-of-a-test", size="8M")
    try:
        space.root["bank"] = dict.fromkeys(range(10), bank.BALANCE)
        # As in a process of its own, it closes the space at its end.
        bank._work("bank-of-a-test", 10, 0.3, 1, parties, parties)
        left = pso.attach("bank-of-a-test").root["bank"].to_python()
    finally:
        pso.unlink("bank-of-a-test")
    [(count, _)] = parties.told
    assert count > bank.DRAWN and Drawn.copied == bank.DRAWN
    assert bank.lost(left, bank.expected(10, [(1, count)])) == ""


def test_a_transfer_makes_four_round_trips_to_the_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    call = BaseProxy._callmethod

    def counted(self: BaseProxy, name: str, *rest: Any) -> Any:
        calls.append(name)
        return call(self, name, *rest)

    monkeypatch.setattr(BaseProxy, "_callmethod", counted)
    handed: list[tuple] = []

    def in_this_process(context: Any, target: Any, arguments: list[tuple]) -> list[Any]:
        handed.extend(arguments)
        parties = Parties()
        [(*most, _)] = arguments
        target(*most, parties, parties)
        return parties.told

    monkeypatch.setattr(manager.crew, "answers", in_this_process)
    told = manager.run(10, 1, 0.3, 1)
    [rate] = told["rates"]
    assert rate > 0 and told["lost"] == ""
    # One more is the copy at the end.
    assert (len(calls) - 1) % 4 == 0 and set(calls) == {"__getitem__", "__setitem__", "copy"}
    assert isinstance(handed[0][1], Lock)
