"""A message there and back between two processes that sleep: `pso.retry` beside futexes called through ctypes, rounds alternated.

Run by `pso bench wake`; by hand: `python -m pso_bench wake --rounds 5 --trips 2000`. Prints one line of JSON: microseconds of
a round trip (two wake-ups), a number for each round.
"""

import argparse
import ctypes
import json
import mmap
import os
import platform
import signal
import time
import traceback
from collections.abc import Callable

import pso

FUTEX = {"x86_64": 202, "aarch64": 98}
FUTEX_WAIT, FUTEX_WAKE = 0, 1


class Futexes:
    """Two 32-bit words on a page that both processes map; each side sleeps on one.

    What a Python program can have of futexes without an extension of its own: each call goes through ctypes, and that is in the time. What can be
    made beforehand is, and the error number, which nobody asks for, is not kept.
    """

    def __init__(self) -> None:
        self.page = mmap.mmap(-1, mmap.PAGESIZE)
        self.words = [ctypes.c_uint32.from_buffer(self.page, 128 * side) for side in (0, 1)]
        self.addresses = [ctypes.byref(word) for word in self.words]
        self.call = ctypes.CDLL(None).syscall
        number = ctypes.c_long(FUTEX[platform.machine()])
        # The kernel looks at a fifth argument of waits only, the longest time, and at none beyond it of either.
        self.waits = [(number, address, ctypes.c_long(FUTEX_WAIT)) for address in self.addresses]
        self.wakes = [(number, address, ctypes.c_long(FUTEX_WAKE), ctypes.c_long(1)) for address in self.addresses]

    def wait(self, side: int, turn: int) -> None:
        word, call, beginning = self.words[side], self.call, self.waits[side]
        while (seen := word.value) != turn:
            call(*beginning, seen, None)

    def pass_on(self, side: int, turn: int) -> None:
        self.words[side].value = turn
        self.call(*self.wakes[side])


class Retries:
    """Two cells of a shared list; each side waits for its own to change."""

    def __init__(self, space: pso.Space) -> None:
        turns = space.List([0, 0])

        @space.transactional
        def wait(side: int, turn: int) -> None:
            if turns[side] != turn:
                pso.retry()

        self.wait = wait
        self.turns = turns

    def pass_on(self, side: int, turn: int) -> None:
        self.turns[side] = turn


def answer(ball: Futexes | Retries, turns: range) -> None:
    """The other side."""
    for turn in turns:
        ball.wait(1, turn)
        ball.pass_on(0, turn)


def ask(ball: Futexes | Retries, turns: range, seconds: memoryview) -> None:
    """The side with the watch."""
    # The first trip waits for the other side to come to life.
    ball.pass_on(1, turns[0])
    ball.wait(0, turns[0])
    begun = time.perf_counter()
    for turn in turns[1:]:
        ball.pass_on(1, turn)
        ball.wait(0, turn)
    seconds[0] = time.perf_counter() - begun


def side(function: Callable[..., None], *arguments: object) -> int:
    """A process for it, which ends with it, whatever comes."""
    process = os.fork()
    if process == 0:
        try:
            function(*arguments)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return process


def round_trip(ball: Futexes | Retries, trips: int, first: int) -> float:
    """Microseconds of a trip there and back, over `trips` of them. Both sides are processes of their own: whoever waits for one that has died
    waits for ever, and this one sees to that."""
    turns, seconds = range(first, first + trips), memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
    sides = [side(answer, ball, turns), side(ask, ball, turns, seconds)]
    try:
        while sides:
            ended, status = os.wait()
            # Whoever else it is, he is none of these.
            if ended in sides:
                sides.remove(ended)
                if status != 0:
                    raise RuntimeError(f"one of two sides has ended with status {status}")
    finally:
        for process in sides:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    return seconds[0] / (trips - 1) * 1e6


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pso_bench wake")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trips", type=int, default=3000)
    options = parser.parse_args(arguments)
    futexes, retries = Futexes(), Retries(pso.create(size="8M"))
    numbers: dict[str, list[float]] = {"futex_us": [], "retry_us": []}
    for number in range(options.rounds):
        first = 1 + number * options.trips
        numbers["futex_us"].append(round_trip(futexes, options.trips, first))
        numbers["retry_us"].append(round_trip(retries, options.trips, first))
    print(json.dumps(numbers))
