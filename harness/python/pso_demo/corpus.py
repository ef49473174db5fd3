"""Which files the job reads: the standard library of the Python that runs it, or a seeded part of it."""

import os
import random
import sysconfig


def root() -> str:
    return sysconfig.get_paths()["stdlib"]


def names(sample: float, seed: int) -> list[str]:
    """Relative names, sorted, `sample` of them chosen by `seed`. At least one."""
    found = []
    base = root()
    for folder, folders, files in os.walk(base):
        folders[:] = [each for each in folders if each not in ("site-packages", "dist-packages", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, each), base) for each in files if each.endswith(".py")]
    # A name that is not UTF-8 cannot be shared as text.
    found = sorted(each for each in found if os.path.isfile(os.path.join(base, each)) and _is_text(each))
    if sample < 1.0:
        count = max(1, round(len(found) * sample))
        found = sorted(random.Random(seed).sample(found, count))
    return found


def read(name: str) -> bytes:
    with open(os.path.join(root(), name), "rb") as file:
        return file.read()


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
