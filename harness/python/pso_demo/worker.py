"""One worker process. May be killed at any instruction: what it had in progress is noted in the space.

Two transactions a file. `take`: the name leaves the queue and is noted as in progress by this worker. `done`: the file is merged
and the note disappears. Whoever finds this worker dead therefore knows which file has to be done again, and that it has not
been merged; see `coordinator.put_back`.
"""

import json
import os
import threading
from typing import Any

import pso

from . import corpus
from .merge import merge
from .parse import Parsed, parse

# So many files are in a recording: enough for a trace, too few to slow the job down.
RECORDED_FILES = 30


def work(space_name: str, worker: str, record: str | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    space = pso.attach(space_name)
    recording: Any = space.record(record) if record else None
    root = space.root
    queue, in_progress, results = root["queue"], root["in_progress"], root["results"]
    attempts = {"take": 0, "done": 0}

    @space.transactional
    def take() -> str | None:
        attempts["take"] += 1
        name = queue.get()
        in_progress[worker] = name
        return name

    @space.transactional
    def done(parsed: Parsed) -> None:
        attempts["done"] += 1
        merge(results, parsed)
        del in_progress[worker]

    files = 0
    while (name := take()) is not None:
        done(parse(name, corpus.read(name)))
        files += 1
        if recording and files == RECORDED_FILES:
            recording.close()
            recording = None
    if recording:
        recording.close()
    # The None that ends the work was noted as well; leave nothing behind.
    del in_progress[worker]
    print(json.dumps({"files": files, "take": attempts["take"], "done": attempts["done"]}), flush=True)
    space.close()


def _end_with_parent() -> None:
    """Ends this process, as a kill would, when standard input ends: whoever started us holds its other end open."""
    while os.read(0, 1):
        pass
    os._exit(1)
