"""The bank on `multiprocessing.Manager` with a lock: what the standard library offers for the same.

The lock is the standard library's own, a semaphore of the system. One of the manager's would cost two round trips to it more, of six.
"""

import multiprocessing
import time
from typing import Any

from . import crew
from .bank import BALANCE, answer, pairs


def run(accounts: int, processes: int, seconds: float, seed: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        bank = manager.dict({account: BALANCE for account in range(accounts)})
        lock = context.Lock()
        barrier = context.Barrier(processes)
        seeds = [seed * 1000 + number for number in range(processes)]
        counts = crew.answers(context, _work, [(bank, lock, accounts, seconds, each, barrier) for each in seeds])
        return answer(accounts, seeds, counts, bank.copy())


def _work(bank: Any, lock: Any, accounts: int, seconds: float, seed: int, barrier: Any, report: Any) -> None:
    drawn = pairs(accounts, seed)
    barrier.wait()
    started = time.perf_counter()
    deadline = started + seconds
    count = 0
    while time.perf_counter() < deadline:
        debtor, creditor = drawn[count % len(drawn)]
        with lock:
            bank[debtor] -= 1
            bank[creditor] += 1
        count += 1
    report.send((count, time.perf_counter() - started))
