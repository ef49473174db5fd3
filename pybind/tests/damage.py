"""Damages one byte of a space after the other, each in a forked process of its own that may die of it. Run by test_damage.

    python damage.py SPACE SEED FIRST LAST      one line for each damage: its number, where, what became of it

A fork costs 2 ms, a fresh Python 50: so one process forks for many damages, and has opened no space itself.
"""

import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

import pso

HEADER_BYTES = 272
TABLES_BYTES = 64 * 1024
HANG_SECONDS = 10

REFUSED, READ_ON, DAMAGE_SAID, WRONG = 10, 11, 12, 13
OUTCOMES = {REFUSED: "refused", READ_ON: "read on", DAMAGE_SAID: "an error while reading", WRONG: "WRONG ERROR"}


def place_of(chance, content, used):
    """Where the damage is: in the header, in the tables, in what is used of the data; data most often."""
    part = chance.random()
    if part < 0.2:
        return chance.randrange(HEADER_BYTES)
    if part < 0.35:
        return chance.randrange(4096, TABLES_BYTES)
    return chance.choice(used) + chance.randrange(64)


def damage(number, seed, content, used):
    """The bytes of a space with one damage, and what it is."""
    chance = random.Random(f"{seed} {number}")
    place = place_of(chance, content, used)
    old = content[place]
    kind = chance.randrange(3)
    new = [old ^ 1 << chance.randrange(8), chance.randrange(256), 255 - old][kind]
    if new == old:
        new ^= 0x80
    damaged = bytearray(content)
    damaged[place] = new
    return damaged, f"byte {place:#x}: {old:#04x} -> {new:#04x}"


def read_everything(space):
    """Looks at all that there is, in all ways that there are."""
    root = space.root
    plain = root.to_python()
    assert repr(root) == repr(plain)
    for key, value in root.items():
        assert key in root and root[key] is not space
        if isinstance(value, pso.List):
            list(reversed(value)), value[:], value.count(1), len(value)
        elif isinstance(value, pso.Dict):
            list(reversed(value.items())), list(value.values()), "missing" in value, len(value)
        elif isinstance(value, pso.Queue):
            value.qsize()


def change_something(space):
    """Works on it, with a limit to all waits."""
    root = space.root

    def body():
        root["new"] = {"list": [1, "a text that has a block of its own"]}
        root["list"].append("more")
        root["list"].insert(0, 5)
        del root["list"][1:3]
        root["dict"]["one more key"] = 1
        root["dict"].pop("key number 3", None)
        if not root["queue"].full():
            root["queue"].put("item")
        root["queue"].get()

    space.run(body, timeout=2)


def victim(directory):
    """What a damaged space does to its reader; the exit code."""
    try:
        space = pso.attach(dir=directory)
    except (pso.Error, OSError):
        return REFUSED
    code = READ_ON
    for look in (
        read_everything,
        change_something,
        read_everything,
        lambda space: space.fsck(),
        lambda space: space.stats(),
    ):
        try:
            look(space)
        except (pso.Error, AssertionError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, TimeoutError):
            # What was read may be another value than before: a program then fails as it does with wrong input.
            code = DAMAGE_SAID
    space.close()
    return code


def judge(pid):
    """Waits for a victim; what became of it."""
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGUSR1)
            time.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "HANGS"
        time.sleep(0.0005)
    code = os.waitstatus_to_exitcode(status)
    return OUTCOMES.get(code, f"CRASHED with {code}")


def main(space, seed, first, last):
    """Damages `first` up to `last`."""
    import faulthandler

    # No core files, and a trace of what hangs or crashes.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    space = pathlib.Path(space)
    content = (space / "arena").read_bytes()
    zeros = bytes(64)
    used = [at for at in range(TABLES_BYTES, len(content), 64) if content[at : at + 64] != zeros]
    scratch = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm", prefix="pso-damage-"))
    try:
        for number in range(first, last):
            damaged, what = damage(number, seed, content, used)
            directory = scratch / "space"
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(mode=0o700)
            for name, data in (("arena", damaged), ("live", (space / "live").read_bytes())):
                with open(os.open(directory / name, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(data)
            pid = os.fork()
            if pid == 0:
                code = WRONG
                try:
                    code = victim(directory)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            print(f"{number}: {what}: {judge(pid)}", flush=True)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
