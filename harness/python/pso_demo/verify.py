"""Attaches when all is done and compares everything with the result of the plain process."""

import pickle
from typing import Any

import pso

SHOWN = 20


def verify(space_name: str, plain_file: str) -> dict[str, Any]:
    with open(plain_file, "rb") as file:
        plain = pickle.load(file)
    space = pso.attach(space_name)
    shared = space.root["results"]
    differences: list[str] = []
    lost = 0

    words = dict(shared["words"].items())
    for word in sorted(plain["words"].keys() | words.keys()):
        expected, found = plain["words"].get(word, 0), words.get(word, 0)
        if expected != found:
            lost += max(0, expected - found)
            differences.append(f"word {word!r}: {found} instead of {expected}")

    statistics = {name: dict(each.items()) for name, each in shared["statistics"].items()}
    lost += _compare("statistics of", plain["statistics"], statistics, differences)
    # Files are in the order in which they were merged, which is anybody's.
    index = {identifier: sorted(files) for identifier, files in shared["index"].items()}
    plain_index = {identifier: sorted(files) for identifier, files in plain["index"].items()}
    lost += _compare("files of identifier", plain_index, index, differences)
    longest = list(shared["longest"])
    if longest != plain["longest"]:
        differences.append(f"the longest functions: {longest!r} instead of {plain['longest']!r}")
        lost += 1
    left = dict(space.root["in_progress"].items())
    if left or space.root["queue"].qsize():
        differences.append(f"left over: in progress {left!r}, {space.root['queue'].qsize()} names in the queue")
    space.close()
    return {
        "words": sum(words.values()),
        "distinct": len(words),
        "files": len(statistics),
        "identifiers": len(index),
        "lost": lost,
        "differences": differences[:SHOWN],
        "difference_count": len(differences),
    }


def _compare(what: str, expected: dict[str, Any], found: dict[str, Any], differences: list[str]) -> int:
    lost = 0
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            lost += 1
            differences.append(f"{what} {key!r}: {found.get(key)!r} instead of {expected.get(key)!r}")
    return lost
