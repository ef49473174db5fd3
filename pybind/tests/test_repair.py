"""Repair of spaces that nobody has open, and what their memory is used for.

The danger: a repair beside somebody who works; or one that frees what a damaged word has meant.
"""

import os
import random
import signal
import subprocess
import sys
import time

import arena_file
import pso
import pytest
from content import CONTENT, whole

HOT_WORDS, STRIDE, POISON, CLOCK = 4096, 128, 6, 0


def store(directory, byte, word):
    """Overwrites a word of a closed space."""
    with open(arena_file.ArenaFile(directory).path, "r+b") as file:
        file.seek(byte)
        file.write(word.to_bytes(8, "little"))


def hot(number):
    return HOT_WORDS + number * STRIDE


def test_what_nothing_names_is_freed_and_said(filled):
    with pso.attach(dir=filled) as space:
        space.root["ring"] = [["x" * 100] * 5]
        space.root["ring"].append(space.root["ring"])
        del space.root["ring"]
    mended, left = pso.repair(dir=filled)
    assert left == [] and any("(List), named by nothing" in sentence for sentence in mended)
    assert any("(Text), named by nothing" in sentence for sentence in mended)
    assert pso.repair(dir=filled) == ([], [])
    assert whole(filled)


def test_a_closed_space_with_a_clock_of_nothing_opens_again(filled):
    store(filled, hot(POISON), 4)
    store(filled, hot(CLOCK), 0)
    with pytest.raises(pso.CorruptSpaceError, match="damaged: the (poison|version clock)"):
        pso.attach(dir=filled)
    mended, left = pso.repair(dir=filled)
    assert left == [] and "open again" in mended[-1]
    assert whole(filled)


def test_a_damaged_root_is_left_and_nothing_is_freed(filled):
    store(filled, hot(9) + 8, 0xF)
    mended, left = pso.repair(dir=filled)
    assert not any(sentence.startswith("freed") for sentence in mended)
    assert "is no value" in left[0] and "may have meant one of them" in left[-1]


def test_a_collection_frees_nothing_for_a_damaged_root_and_says_so(filled):
    byte = hot(9) + 8
    word = int.from_bytes(arena_file.ArenaFile(filled).path.read_bytes()[byte : byte + 8], "little")
    with pso.attach(dir=filled) as space:
        store(filled, byte, 0xF)
        with pytest.raises(pso.CorruptSpaceError, match=f"a value that leads nowhere at byte {byte} holds 0x0+f"):
            space.collect()
        store(filled, byte, word)
        assert space.collect() == 0
    assert whole(filled)


def test_who_has_it_open_is_named(filled, start):
    with pso.attach(dir=filled), pytest.raises(pso.InUseError, match=f"process {os.getpid()}"):
        pso.repair(dir=filled)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pso, sys; s = pso.attach(dir=sys.argv[1]); print(1, flush=True); input()",
            filled,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline()
    with pytest.raises(pso.InUseError, match=f"process {holder.pid}"):
        pso.repair(dir=filled)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert pso.repair(dir=filled)[1] == []
    assert whole(filled)


def test_what_cannot_be_found_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        pso.repair("no-such-space-here")
    with pytest.raises(TypeError):
        pso.repair()
    (tmp_path / "arena").write_bytes(b"x" * (1 << 20))
    with pytest.raises((pso.Error, OSError)):
        pso.repair(dir=tmp_path)


def garbage(directory, lists):
    """A closed space with so much that nothing names, beside CONTENT."""
    code = """
import os, sys
import pso
space = pso.attach(dir=sys.argv[1])
kept = [space.List(["x" * 100]) for _ in range(int(sys.argv[2]))]
os._exit(0)
"""
    with pso.create(dir=directory, size="256M") as space:
        space.root.update(CONTENT)
    subprocess.run([sys.executable, "-c", code, directory, str(lists)], check=True)


def interrupt(number, frame):
    raise KeyboardInterrupt


def test_control_c_ends_a_repair_and_the_next_one_does_the_rest(tmp_path):
    garbage(tmp_path / "space", 200_000)
    before = signal.signal(signal.SIGVTALRM, interrupt)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.002)
            pso.repair(dir=tmp_path / "space")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    interrupted = time.monotonic() - started
    mended, left = pso.repair(dir=tmp_path / "space")
    assert left == [] and sum(sentence.startswith("freed") for sentence in mended) >= 1, interrupted
    assert pso.repair(dir=tmp_path / "space") == ([], [])
    assert whole(tmp_path / "space")


def test_a_child_that_is_forked_in_a_repair_has_nothing_of_it(tmp_path):
    garbage(tmp_path / "space", 100_000)
    children = []

    def fork(number, frame):
        children.append(os.fork())

    before = signal.signal(signal.SIGVTALRM, fork)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.002)
        mended, left = pso.repair(dir=tmp_path / "space")
    except pso.ForkedInTransactionError:
        assert children == [0]
        os._exit(7)
    finally:
        if 0 in children:
            os._exit(1)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert left == [] and mended
    (child,) = children
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert whole(tmp_path / "space")


@pytest.mark.seconds(120)
def test_a_killed_repair_is_run_again(tmp_path):
    """Kills at random times, of a process that repairs what another has left full of garbage."""
    chance = random.Random(7)
    code = "import pso, sys; pso.list_spaces(); print(1, flush=True); pso.repair(dir=sys.argv[1])"
    for round in range(8):
        directory = tmp_path / str(round)
        with pso.create(dir=directory, size="8M") as space:
            space.root.update(CONTENT)
            space.root["gone"] = [[f"a text that has a block of its own {number}"] for number in range(3000)]
            del space.root["gone"]
        repairer = subprocess.Popen([sys.executable, "-c", code, directory], stdout=subprocess.PIPE)
        assert repairer.stdout.readline()
        try:
            repairer.wait(chance.random() * 0.02)
        except subprocess.TimeoutExpired:
            repairer.kill()
        repairer.wait()
        assert pso.repair(dir=directory)[1] == []
        assert pso.repair(dir=directory) == ([], [])
        assert whole(directory)


def test_a_census_says_how_many_of_which_kind(space):
    before = space.census()
    assert all(set(count) == {"objects", "blocks", "bytes"} for count in before.values())
    space.root["lists"] = [[number] for number in range(100)]
    space.root["texts"] = ["a text that has a block of its own"] * 50
    space.root["numbers"] = [2**100, 1e300, (1, 2), b"bytes" * 9, 5, None, "short"]
    space.root["queue"] = space.Queue(10)
    after = space.census()

    def more(kind):
        return after.get(kind, {}).get("objects", 0) - before.get(kind, {}).get("objects", 0)

    # Keys of the root are texts, too, those of seven letters are not.
    assert more("list") == 103 and more("queue") == 1 and more("tuple") == 1 and more("bytes") == 1
    assert more("int") == 1 and 50 <= more("str") <= 54 and more("parts") == 0
    assert after["list"]["blocks"] > after["list"]["objects"] and after["list"]["bytes"] >= 64 * 103
    assert sum(count["bytes"] for count in after.values()) <= space.stats()["used"]
