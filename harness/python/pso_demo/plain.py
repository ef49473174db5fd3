"""The whole job in one process, on builtin containers. What the others must equal."""

import pickle
import time
from collections.abc import Iterable

from . import corpus
from .merge import empty, merge
from .parse import parse


def run(names: Iterable[str], out: str) -> dict[str, object]:
    started = time.perf_counter()
    results = empty()
    merging = 0.0
    for name in names:
        parsed = parse(name, corpus.read(name))
        before = time.perf_counter()
        merge(results, parsed)
        merging += time.perf_counter() - before
    seconds = time.perf_counter() - started
    with open(out, "wb") as file:
        pickle.dump(results, file)
    return {
        "seconds": seconds,
        "merging_seconds": merging,
        "files": len(results["statistics"]),
        "words": sum(results["words"].values()),
        "bytes": sum(each["bytes"] for each in results["statistics"].values()),
    }
