"""The bank: transfers between random accounts by several processes, for a while, and what they came to.

Every process draws its own accounts from its own seed. The sum of all balances is checked at the end. A transfer is what a
user would write: read two balances, write two balances, in one transaction.
"""

import multiprocessing
import os
import random
import time
from typing import Any

import pso

from . import crew

BALANCE = 1000
# Accounts are drawn beforehand: the generator would otherwise be most of what is measured.
DRAWN = 4096


def run(accounts: int, processes: int, seconds: float, seed: int) -> dict[str, Any]:
    name = f"bank-{os.getpid()}"
    space = pso.create(name, size="1G")
    try:
        space.root["bank"] = {account: BALANCE for account in range(accounts)}
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(processes)
        arguments = [(name, accounts, seconds, seed * 1000 + number, barrier) for number in range(processes)]
        counts = crew.answers(context, _work, arguments)
        bank = space.root["bank"]
        total = space.run(lambda: sum(bank.values()))
        return {
            "rates": [count / spent for count, spent in counts],
            "sum_kept": total == BALANCE * accounts,
        }
    finally:
        space.close()
        pso.unlink(name)


def pairs(accounts: int, seed: int) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    return [tuple(draw.sample(range(accounts), 2)) for _ in range(DRAWN)]


def _work(name: str, accounts: int, seconds: float, seed: int, barrier: Any, report: Any) -> None:
    space = pso.attach(name)
    bank = space.root["bank"]
    drawn = pairs(accounts, seed)

    @space.transactional
    def transfer(debtor: int, creditor: int, amount: int) -> None:
        bank[debtor] -= amount
        bank[creditor] += amount

    barrier.wait()
    started = time.perf_counter()
    deadline = started + seconds
    count = 0
    while time.perf_counter() < deadline:
        for debtor, creditor in drawn[:64]:
            transfer(debtor, creditor, 1)
        drawn = drawn[64:] + drawn[:64]
        count += 64
    report.send((count, time.perf_counter() - started))
    space.close()
