"""Makes the shared objects, feeds the queue, and puts back what a dead worker had in progress.

Talks in JSON lines. Out: `{"event": "ready"}`, `{"event": "progress", "done": n}`, `{"event": "put_back", "worker": w, "name": f}`,
`{"event": "end", ...}`. In: `dead WORKER` once that process is known to be gone, `end WORKERS` once all files are merged.
"""

import json
import os
import select
import sys
import time
from typing import Any

import pso

from .merge import empty

QUEUE_CAPACITY = 64
PROGRESS_SECONDS = 0.02


def coordinate(space_name: str, size: str, names: list[str]) -> None:
    space = pso.create(space_name, size=size)
    root = space.root
    root["queue"] = space.Queue(QUEUE_CAPACITY)
    root["in_progress"] = {}
    root["results"] = empty()
    _say(event="ready")
    feeder = _Feeder(space, names)
    commands = _Lines()
    reported = -1
    while True:
        feeder.feed()
        merged = len(root["results"]["statistics"])
        if merged != reported:
            _say(event="progress", done=merged)
            reported = merged
        for line in commands.wait(PROGRESS_SECONDS):
            verb, argument = line.split()
            if verb == "dead":
                _say(event="put_back", worker=argument, name=put_back(space, argument))
            elif verb == "end":
                for _ in range(int(argument)):
                    root["queue"].put(None)
                _say(event="end", stats=_plain_numbers(space.stats()))
                space.close()
                return


def put_back(space: Any, worker: str) -> str | None:
    """One transaction: the dead worker's file goes back to the queue and its note disappears. None: it had nothing."""
    in_progress, queue = space.root["in_progress"], space.root["queue"]

    def move() -> str | None:
        name = in_progress.pop(worker, None)
        if name is not None:
            queue.put(name)
        return name

    return space.run(move)


class _Feeder:
    """Keeps the queue filled without ever waiting for room: a waiting feeder could not put back a dead worker's file."""

    def __init__(self, space: Any, names: list[str]) -> None:
        self._queue = space.root["queue"]
        self._names = names
        self._next = 0
        self._run = space.run

    def feed(self) -> None:
        # Half of the queue stays free for files that are put back.
        while self._next < len(self._names) and self._run(self._put):
            self._next += 1

    def _put(self) -> bool:
        if self._queue.qsize() >= QUEUE_CAPACITY // 2:
            return False
        self._queue.put(self._names[self._next])
        return True


class _Lines:
    """Lines of standard input as they come, with a time to wait. The end of the input ends the process."""

    def __init__(self) -> None:
        self._buffer = b""

    def wait(self, seconds: float) -> list[str]:
        deadline = time.monotonic() + seconds
        readable, _, _ = select.select([0], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return []
        data = os.read(0, 65536)
        if not data:
            sys.exit("the command that started the coordinator is gone")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [line.decode() for line in lines]


def _say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def _plain_numbers(stats: Any) -> dict[str, float]:
    items = stats.items() if hasattr(stats, "items") else vars(stats).items()
    return {str(key): value for key, value in items if isinstance(value, int | float)}
