"""One parsed file into the results, and what the results are. Nothing here knows whether the containers are shared."""

from collections.abc import MutableMapping
from typing import Any

from .parse import Parsed

LONGEST = 50
PARTS = ("words", "statistics", "index", "longest")


class DoneTwice(RuntimeError):
    """A file was merged a second time: somebody was told to do it again although its first merge had committed."""


def empty() -> dict[str, Any]:
    """Results before the first file: word -> count, file -> statistics, identifier -> files, the longest functions."""
    return {"words": {}, "statistics": {}, "index": {}, "longest": []}


def merge(results: MutableMapping[str, Any], parsed: Parsed) -> None:
    """Adds one file. On shared containers the caller runs this in one transaction."""
    words, statistics, index = results["words"], results["statistics"], results["index"]
    if parsed.name in statistics:
        raise DoneTwice(parsed.name)
    for word, count in parsed.words.items():
        words[word] = words.get(word, 0) + count
    for identifier in parsed.identifiers:
        files = index.get(identifier)
        if files is None:
            index[identifier] = [parsed.name]
        else:
            files.append(parsed.name)
    merge_longest(results["longest"], parsed.functions)
    statistics[parsed.name] = parsed.statistics


def merge_longest(longest: Any, functions: list[tuple[int, str, int, str]]) -> None:
    """Keeps the longest list sorted, the longest function first. Writes only where something changes."""
    for function in sorted(functions, reverse=True)[:LONGEST]:
        if len(longest) == LONGEST and longest[LONGEST - 1] >= function:
            return
        place = len(longest)
        while place > 0 and longest[place - 1] < function:
            place -= 1
        longest.insert(place, function)
        if len(longest) > LONGEST:
            longest.pop()
