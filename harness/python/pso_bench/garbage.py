"""What collections cost those who work, and whether memory stays what it is.

Run by `pso bench garbage`; by hand: `python -m pso_bench garbage --objects 1000000 --share 0.25 --deleted 1024 --seconds 60 --stops 20 --seed 1`. Prints one line of JSON.
Exit code 1 if `fsck` finds something, if somebody ends who should work, or if nothing is committed: in a half of a churn, in three seconds of it in a
row, or beside one that is stopped.

ring    A ring of many lists is dropped, and a process that does nothing else collects it, by a share of a processor, while two others move money. Theirs are:
        operations per second, per second of processor time, and what no operation took longer than, in processor time and by the clock: that of
        the longest bunch of 64 (`longest_cpu_ms`, `longest_wall_ms`). Before, and meanwhile. One who waits or is kept from the processor is slower by
        the clock alone. Then as much other memory is touched, beside the same two: what a page costs that was touched just now, and one that was not for a while.
churn   Four processes replace values, lists and dicts in a shared dict and a shared list; every second one of them, in turn, is killed and
        replaced. Noted every second are the bytes in use, and what has been committed in it.
deleted A dict with texts of a thousand characters is filled, deleted, and collected. The memory behind the space is what its file system says.
stops   The same four, and nobody is killed: now and then one of them is stopped for a second. Noted are the bytes in use before and at
        the end, and what the others have committed meanwhile.
"""

import argparse
import itertools
import json
import mmap
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable

import pso

ACCOUNTS = 1000
WARM_UP_SECONDS = 3
# A row of those who move money.
ROW_NS = 100_000_000
# What they move is drawn beforehand, and the clocks are asked after so many operations: else most of the rate would be the generator's and theirs.
DRAWN = 4096
BUNCH = 64
# So long a row of theirs is waited for.
PATIENCE_SECONDS = 60
# Of the ring, in a transaction.
MADE_AT_ONCE = 1000
# How often pages are touched again, and after a while: of a collection's length.
TOUCHES = 3
RESTED_SECONDS = 1
# A list with one thing in it takes no less.
BYTES_OF_A_LIST = 100
# So much may be in use more than before, by those who work.
FLUCTUATION = 1 << 20
STOP_SECONDS = 1
# So many seconds of a churn in a row without a commit are too many. A busy machine may take one from all four, and the count of the next
# begins late.
HOLE_SECONDS = 3
# One in so many stops may be a standstill of all.
STOPS_PER_STANDSTILL = 5
# So long it is waited for memory to go back.
GIVEN_BACK_SECONDS = 5


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def busy(space: pso.Space, rows: pso.List, seed: int) -> None:
    """Moves money, and adds a row every tenth of a second: operations, ns by the clock, the longest bunch's, ns of processor time, the longest bunch's.

    No operation takes longer than the bunch that it is in. That is what is said of the longest, and some tens of us too much, those of the others.
    A row begins where the last one ended, and so does a bunch: who stands still for long makes a long one.
    """
    accounts = space.root["accounts"]
    chance = random.Random(seed)
    drawn = [(chance.randrange(ACCOUNTS), chance.randrange(ACCOUNTS)) for _ in range(DRAWN)]
    bunches = [drawn[first : first + BUNCH] for first in range(0, DRAWN, BUNCH)]

    @space.transactional
    def move(source: int, target: int) -> None:
        accounts[source] -= 1
        accounts[target] += 1

    operations, longest, cpu_longest = 0, 0, 0
    began = last = time.monotonic_ns()
    cpu_began = cpu_last = time.thread_time_ns()
    for bunch in itertools.cycle(bunches):
        for source, target in bunch:
            move(source, target)
        now, cpu = time.monotonic_ns(), time.thread_time_ns()
        operations += BUNCH
        longest, cpu_longest = max(longest, now - last), max(cpu_longest, cpu - cpu_last)
        if now - began >= ROW_NS:
            # Part of the next bunch: it is an operation itself.
            rows.append((operations, now - began, longest, cpu - cpu_began, cpu_longest))
            operations, longest, cpu_longest = 0, 0, 0
            began, cpu_began = now, cpu
        last, cpu_last = now, cpu


# Who has been started and not been waited for: nobody works on when this process ends.
CHILDREN: set[int] = set()


def child(function, *arguments) -> int:
    """A process that does this until it is killed. What it raises is told: it ends with it."""
    process = os.fork()
    if process == 0:
        try:
            function(*arguments)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)
    CHILDREN.add(process)
    return process


def alive(processes: list[int]) -> list[int]:
    """Those that have not ended by themselves; the others are no more to be waited for."""
    left = [process for process in processes if os.waitpid(process, os.WNOHANG) == (0, 0)]
    CHILDREN.difference_update(set(processes).difference(left))
    return left


def end(processes: list[int]) -> None:
    for process in processes:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        CHILDREN.discard(process)


def halt(process: int) -> None:
    """Stops it. Behind this it does nothing more, and what is committed is the others'."""
    os.kill(process, signal.SIGSTOP)
    # The signal is on its way only. Who has ended instead is left for `alive`.
    os.waitid(os.P_PID, process, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def go_on(processes: list[int]) -> None:
    """Nothing is measured of some: if one has ended, all do."""
    left = alive(processes)
    if len(left) < len(processes):
        end(left)
        raise RuntimeError(f"{len(processes) - len(left)} of {len(processes)} processes have ended by themselves")


class Watch:
    """What the busy ones report from now on: of each the rows that end from its begin on, up to the first that ends after its end."""

    def __init__(self, reports: list[pso.List]) -> None:
        self.reports = reports
        self.first = [len(rows) for rows in reports]
        self.began = time.monotonic()

    def end(self, look: Callable[[], None]) -> dict[str, float]:
        """Waits for the row of each that is under way, as somebody may stand still just now. `look` raises if one has ended."""
        there = [len(rows) for rows in self.reports]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(len(rows) <= before for rows, before in zip(self.reports, there, strict=True)):
            look()
            if time.monotonic() > deadline:
                raise RuntimeError(f"one who moves money has made no row for {PATIENCE_SECONDS} s")
            time.sleep(0.02)
        return self.numbers(there)

    def numbers(self, last: list[int]) -> dict[str, float]:
        spans = zip(self.reports, self.first, last, strict=True)
        rows = [row for rows, first, end in spans for row in list(rows)[first : end + 1]]
        operations, wall, longest, cpu, cpu_longest = zip(*rows, strict=True)
        return {
            # Of all: each has had the share of the time that its rows cover.
            "operations_per_s": sum(operations) * len(self.reports) / (sum(wall) / 1e9),
            "operations_per_cpu_s": sum(operations) / (sum(cpu) / 1e9),
            "longest_cpu_ms": max(cpu_longest) / 1e6,
            "longest_wall_ms": max(longest) / 1e6,
        }


def collect_at(space: pso.Space, found: pso.List, share: float) -> None:
    """Collects until it is killed, and says how often and what came of it."""
    space.root["collector"] = 0
    while True:
        began, cpu = time.monotonic(), time.process_time()
        freed = space.collect(share=share)
        found.append((freed, time.monotonic() - began, time.process_time() - cpu))
        while space.root["collector"] == 0:
            time.sleep(0.01)


def touch(memory: memoryview) -> float:
    """Writes a byte of each page: ns of processor time for each."""
    began = time.process_time_ns()
    memory[:: mmap.PAGESIZE] = bytes(len(memory) // mmap.PAGESIZE)
    return (time.process_time_ns() - began) / (len(memory) / mmap.PAGESIZE)


def touch_pages(size: int, found: pso.List) -> None:
    """What a page of so much memory costs that was touched just now, and one that nobody has touched for a while: medians.

    A peer of the collection, in which no engine has a part. In a while others take the caches, and a virtual machine's host may take pages out of its tables.
    """
    memory = memoryview(mmap.mmap(-1, max(1, -(-size // mmap.PAGESIZE)) * mmap.PAGESIZE))
    again, rested = [], []
    for _ in range(TOUCHES):
        # The pages are there then.
        touch(memory)
        again.append(touch(memory))
        time.sleep(RESTED_SECONDS)
        rested.append(touch(memory))
    found.append((statistics.median(again), statistics.median(rested)))
    # Whoever started it ends it.
    signal.pause()


def ring(objects: int, share: float) -> dict[str, object]:
    with pso.create(size="2G") as space:
        space.root["accounts"] = [100] * ACCOUNTS
        reports, found = [space.List(), space.List()], space.List()
        workers = [child(busy, space, rows, number) for number, rows in enumerate(reports)]
        say(f"ring: {objects} lists are made")
        first = last = space.List()
        for made in range(1, objects, MADE_AT_ONCE):
            with space.transaction():
                for _ in range(min(MADE_AT_ONCE, objects - made)):
                    last = space.List([last])
        first.append(last)
        time.sleep(WARM_UP_SECONDS)
        watch = Watch(reports)
        while time.monotonic() - watch.began < WARM_UP_SECONDS:
            time.sleep(0.05)
            go_on(workers)
        before = watch.end(lambda: go_on(workers))
        used = space.stats()["used"]
        del first, last
        say("ring: it is dropped, and collected")
        watch = Watch(reports)
        collector = child(collect_at, space, found, share)
        while not len(found):
            time.sleep(0.05)
            go_on([collector, *workers])
        meanwhile = watch.end(lambda: go_on([collector, *workers]))
        end([collector])
        say("ring: as much memory is touched")
        freed, seconds, cpu_seconds = found[0]
        touched = space.List()
        toucher = child(touch_pages, freed, touched)
        while not len(touched):
            time.sleep(0.05)
            go_on([toucher, *workers])
        end([toucher, *workers])
        again_ns, rested_ns = touched[0]
        # Superblocks that are empty now belong to this process, which made the ring: nobody else gives them back.
        space.collect()
        after = space.stats()["used"]
        total = sum(space.root["accounts"])
        assert total == 100 * ACCOUNTS, total
        return {
            "objects": objects,
            "share": share,
            "freed_bytes": freed,
            "collector_s": seconds,
            "collector_cpu_s": cpu_seconds,
            "used_before": used,
            "used_after": after,
            "before": before,
            "meanwhile": meanwhile,
            "touched": {"bytes": freed, "again_ns": again_ns, "rested_s": RESTED_SECONDS, "rested_ns": rested_ns},
            "findings": len(space.fsck()),
        }


class Count:
    """How much is done, by all who are forked. One who is killed takes nothing of it along."""

    def __init__(self, seats: int) -> None:
        self.done = memoryview(mmap.mmap(-1, 8 * seats)).cast("Q")

    def total(self) -> int:
        return sum(self.done)


def replace(space: pso.Space, seed: int, count: Count, seat: int) -> None:
    """Replaces what is in a dict and in a list, by all kinds of values. Counts that in its seat."""
    chance = random.Random(seed)
    dict_, list_ = space.root["dict"], space.root["list"]
    while True:
        number = chance.randrange(1000)
        made = [
            f"{number:0100}",
            {"number": number, "list": [number, "x" * 50]},
            [[number], (number, ["in a tuple"])],
            (b"x" * 60, 1 << 100),
        ][chance.randrange(4)]
        if chance.random() < 0.5:
            dict_[f"key {number}"] = made
        else:
            list_[number] = made
        count.done[seat] += 1
        if number == 0:
            loop = space.List(["a ring"])
            loop.append(loop)


def replacers(space: pso.Space, count: Count) -> list[int]:
    """What is replaced, and four who do it."""
    space.root["dict"] = {f"key {number}": None for number in range(1000)}
    space.root["list"] = [None] * 1000
    return [child(replace, space, seed, count, seed) for seed in range(4)]


def churn(seconds: int, stop: bool) -> dict[str, object]:
    """`stop`: one of the four is stopped for the second half. It ends early if one ends who is not killed."""
    with pso.create(size="256M") as space:
        # A seat for each who is ever started.
        count = Count(4 + seconds)
        workers, stopped = replacers(space, count), []
        used, commits, findings, ended = [], [], 0, 0
        for second in range(seconds):
            if stop and second == seconds // 2:
                stopped.append(workers.pop(0))
                halt(stopped[0])
            before = count.total()
            time.sleep(1)
            commits.append(count.total() - before)
            there = len(workers) + len(stopped)
            workers, stopped = alive(workers), alive(stopped)
            ended = there - len(workers) - len(stopped)
            findings += len(space.fsck())
            used.append(space.stats()["used"])
            if ended:
                break
            end([workers.pop(0)])
            workers.append(child(replace, space, 100 + second, count, 4 + second))
            if second % 10 == 9:
                say(f"churn: {second + 1} of {seconds} s, {used[-1] >> 20} MiB in use, {findings} findings")
        end(workers + stopped)
        space.collect()
        space.collect()
        live = space.stats()["used"]
        findings += len(space.fsck())
        del space.root["dict"], space.root["list"]
        space.collect()
        return {
            "seconds": seconds,
            "stopped": stop,
            "used": used,
            "used_live": live,
            "commits": commits,
            "ended": ended,
            "findings": findings,
        }


def stops(count: int, seed: int) -> dict[str, object]:
    chance = random.Random(seed)
    with pso.create(size="256M") as space:
        workers = replacers(space, Count(4))
        time.sleep(WARM_UP_SECONDS)
        rows = []
        for number in range(count):
            worker, wait = chance.randrange(len(workers)), chance.uniform(0.05, 0.15)
            time.sleep(wait)
            halt(workers[worker])
            before, began = space.stats(), time.monotonic()
            time.sleep(STOP_SECONDS)
            after, seconds = space.stats(), time.monotonic() - began
            os.kill(workers[worker], signal.SIGCONT)
            rows.append(
                {
                    "worker": worker,
                    "wait_s": wait,
                    "stopped_s": seconds,
                    "used_before": before["used"],
                    "used_after": after["used"],
                    "commits": after["commits"] - before["commits"],
                }
            )
            if number % 10 == 9:
                say(f"stops: {number + 1} of {count}, {after['used'] >> 20} MiB in use")
        # Who had no memory left, for instance, is told of: what was committed without him means nothing.
        left = alive(workers)
        end(left)
        return {"seed": seed, "stops": rows, "ended": len(workers) - len(left), "findings": len(space.fsck())}


def deleted(mebibytes: int) -> dict[str, object]:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="pso-bench-") as folder,
        pso.create(size=mebibytes * 3 << 19, dir=os.path.join(folder, "space")) as space,
    ):

        def backed() -> int:
            return os.stat(os.path.join(space.dir, "arena")).st_blocks * 512

        say(f"deleted: {mebibytes} MiB are filled")
        at_first = backed()
        space.root["table"] = {}
        table, part, number = space.root["table"], 1000, 0
        while space.stats()["used"] < mebibytes << 20:
            table.update({f"key {key}": f"{key:01000}" for key in range(number, number + part)})
            number += part
        full = backed()
        del space.root["table"], table
        began = time.monotonic()
        space.collect()
        collected = time.monotonic() - began
        # Nobody is waited for where all has gone at once.
        while backed() - at_first > (full - at_first) // 100 and time.monotonic() - began < GIVEN_BACK_SECONDS:
            time.sleep(0.1)
            space.collect()
        return {
            "entries": number,
            "backed": full - at_first,
            "left": backed() - at_first,
            "collected_s": collected,
            "waited_s": time.monotonic() - began,
            "findings": len(space.fsck()),
        }


def hole(commits: list[int]) -> int:
    """The most seconds in a row in which nothing was committed."""
    longest = now = 0
    for count in commits:
        now = 0 if count else now + 1
        longest = max(longest, now)
    return longest


def wrong(result: dict[str, object]) -> list[str]:
    """What must not be, a sentence each."""
    sentences = []
    for name in ("ring", "deleted", "churn", "churn_stopped", "stops"):
        part = result[name]
        if not part:
            continue
        if part["findings"]:
            sentences.append(f"{name}: fsck has {part['findings']} findings")
        if part.get("ended"):
            sentences.append(f"{name}: {part['ended']} ended who had not been killed")
    if ring := result["ring"]:
        least = BYTES_OF_A_LIST * ring["objects"]
        if ring["freed_bytes"] < least:
            sentences.append(f"ring: {ring['freed_bytes']} bytes were freed, {least} at least were dropped")
        if ring["used_before"] - ring["used_after"] < least - FLUCTUATION:
            sentences.append(f"ring: {ring['used_before']} bytes were in use before, {ring['used_after']} are after")
    for name in ("churn", "churn_stopped"):
        commits = result[name]["commits"]
        half = len(commits) // 2
        if not all(sum(part) for part in (commits[:half] or commits, commits[half:])):
            sentences.append(f"{name}: nothing was committed in one half of it")
        # Behind the stop of one that is stopped in a write-back there may be nothing: see below.
        elif (seconds := hole(commits if name == "churn" else commits[:half])) >= HOLE_SECONDS:
            sentences.append(f"{name}: nothing was committed for {seconds} s")
    if result["stops"]:
        rows = result["stops"]["stops"]
        # One who is stopped in a write-back keeps a cell, and sooner or later each of the others comes to it: some may show nothing, most do not.
        nothing = sum(row["commits"] == 0 for row in rows)
        if nothing > len(rows) // STOPS_PER_STANDSTILL:
            sentences.append(f"stops: nothing was committed while one was stopped, {nothing} of {len(rows)} times")
    return sentences


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pso_bench garbage")
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--deleted", type=int, default=1024)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        result = {
            "ring": ring(options.objects, options.share),
            "deleted": deleted(options.deleted),
            "churn": churn(options.seconds, stop=False),
            "churn_stopped": churn(options.seconds, stop=True),
            "stops": stops(options.stops, options.seed) if options.stops else None,
        }
    finally:
        # A stopped one, too.
        end(list(CHILDREN))
    print(json.dumps(result), flush=True)
    if sentences := wrong(result):
        sys.exit("\n".join(sentences))
