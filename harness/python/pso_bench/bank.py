"""The bank: transfers between random accounts by several processes, for a while, and what they came to.

Every process draws its own accounts from its own seed. At the end every balance is checked: the sum alone would be kept by transfers that do
nothing, or half of them. A transfer is what a user would write: read two balances, write two balances, in one transaction.
"""

import itertools
import multiprocessing
import os
import random
import time
from collections.abc import Iterable
from typing import Any

import pso

from . import crew

BALANCE = 1000
# Accounts are drawn beforehand: the generator would otherwise be most of what is measured.
DRAWN = 4096
# Transfers between two looks at the clock.
ROW = 64


def run(accounts: int, processes: int, seconds: float, seed: int) -> dict[str, Any]:
    name = f"bank-{os.getpid()}"
    space = pso.create(name, size="1G")
    try:
        space.root["bank"] = {account: BALANCE for account in range(accounts)}
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(processes)
        seeds = [seed * 1000 + number for number in range(processes)]
        counts = crew.answers(context, _work, [(name, accounts, seconds, each, barrier) for each in seeds])
        bank = space.root["bank"]
        balances = space.run(lambda: dict(bank.items()))
        return answer(accounts, seeds, counts, balances)
    finally:
        space.close()
        pso.unlink(name)


def pairs(accounts: int, seed: int) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    return [tuple(draw.sample(range(accounts), 2)) for _ in range(DRAWN)]


def answer(
    accounts: int, seeds: list[int], counts: list[tuple[int, float]], balances: dict[int, int]
) -> dict[str, Any]:
    """What is told of a run: a rate of each process, and what is lost, if anything is."""
    done = zip(seeds, (count for count, _ in counts), strict=True)
    return {"rates": [count / spent for count, spent in counts], "lost": lost(balances, expected(accounts, done))}


def expected(accounts: int, done: Iterable[tuple[int, int]]) -> dict[int, int]:
    """The balances that so many transfers of each seed leave. Each goes through what it has drawn again and again."""
    balances = dict.fromkeys(range(accounts), BALANCE)
    for seed, count in done:
        rounds, rest = divmod(count, DRAWN)
        for number, (debtor, creditor) in enumerate(pairs(accounts, seed)):
            times = rounds + (number < rest)
            balances[debtor] -= times
            balances[creditor] += times
    return balances


def lost(balances: dict[int, int], expected: dict[int, int]) -> str:
    """A sentence about the first account that does not hold what it should. Empty: there is none."""
    if balances.keys() != expected.keys():
        return f"there are {len(balances)} accounts, not the {len(expected)} of the beginning"
    differ = (account for account in expected if balances[account] != expected[account])
    return next((f"account {account} holds {balances[account]}, not {expected[account]}" for account in differ), "")


def _work(name: str, accounts: int, seconds: float, seed: int, barrier: Any, report: Any) -> None:
    space = pso.attach(name)
    bank = space.root["bank"]
    drawn = pairs(accounts, seed)
    # Cut beforehand, too: what is copied in the loop is measured with it.
    rows = itertools.cycle([drawn[first : first + ROW] for first in range(0, DRAWN, ROW)])

    @space.transactional
    def transfer(debtor: int, creditor: int, amount: int) -> None:
        bank[debtor] -= amount
        bank[creditor] += amount

    barrier.wait()
    started = time.perf_counter()
    deadline = started + seconds
    count = 0
    while time.perf_counter() < deadline:
        for debtor, creditor in next(rows):
            transfer(debtor, creditor, 1)
        count += ROW
    report.send((count, time.perf_counter() - started))
    space.close()
