"""The same job on `multiprocessing.Manager`, for comparison: dicts in a server process, one lock, the same worker count.

Fair to it: the merge is written for it. Values are plain (a live list in a live dict would cost two more round trips), and the
lock is taken once a file.
"""

import multiprocessing
import time
from typing import Any

from . import corpus
from .merge import merge_longest
from .parse import Parsed, parse


def run(names: list[str], workers: int) -> dict[str, object]:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        queue: Any = manager.Queue()
        shared = (queue, manager.Lock(), manager.dict(), manager.dict(), manager.dict(), manager.dict())
        for name in names:
            queue.put(name)
        for _ in range(workers):
            queue.put(None)
        started = time.perf_counter()
        processes = [context.Process(target=_work, args=shared) for _ in range(workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        seconds = time.perf_counter() - started
        words, statistics = shared[2].copy(), shared[3].copy()
        failed = [process.exitcode for process in processes if process.exitcode]
    return {
        "seconds": seconds,
        "files": len(statistics),
        "words": sum(words.values()),
        "expected_words": sum(each["words"] for each in statistics.values()),
        "bytes": sum(each["bytes"] for each in statistics.values()),
        "failed": len(failed),
    }


def _work(queue: Any, lock: Any, words: Any, statistics: Any, index: Any, longest: Any) -> None:
    while (name := queue.get()) is not None:
        parsed = parse(name, corpus.read(name))
        with lock:
            _merge(parsed, words, statistics, index, longest)


def _merge(parsed: Parsed, words: Any, statistics: Any, index: Any, longest: Any) -> None:
    for word, count in parsed.words.items():
        words[word] = words.get(word, 0) + count
    for identifier in parsed.identifiers:
        index[identifier] = [*index.get(identifier, ()), parsed.name]
    best = longest.get("longest", [])
    merge_longest(best, parsed.functions)
    longest["longest"] = best
    statistics[parsed.name] = parsed.statistics
