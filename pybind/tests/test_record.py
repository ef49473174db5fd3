"""Recordings: what this process commits while one is open stands in a gzipped trace, and nothing else does.

A trace is read here with the standard library alone: lines behind `--`, and `end` with their number at the end of a whole
one. That the command reads and replays them is tested with the command.
"""

import errno
import gzip
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib

import pso
import pytest


def parse(text):
    """Header as a dict, transactions as lists of words, and whether the trace is whole."""
    head, body = text.split("\n--\n", 1)
    lines = head.split("\n")
    assert lines[0] == "pso-trace 1"
    header = dict(line.split(" ", 1) for line in lines[1:])
    transactions = [line.split(" ") for line in body.split("\n")[:-1]]
    whole = bool(transactions) and transactions[-1][0] == "end"
    if whole:
        assert transactions.pop()[1:] == [str(len(transactions))]
    return header, transactions, whole


def read(path):
    return parse(gzip.open(path, "rt").read())


def words(transaction, letter):
    return [word for word in transaction[3:] if word.startswith(letter)]


def test_what_is_committed_is_recorded_and_nothing_else(space, tmp_path):
    root = space.root
    root["before"] = 1
    with space.record(tmp_path / "trace.gz") as recording:
        assert isinstance(recording, pso.Recording)
        root["a"] = 1

        @space.transactional
        def move():
            root["a"] -= 1
            root["before"] += 1

        move()
        with pytest.raises(ZeroDivisionError):
            space.run(lambda: root.update(a=1 / 0))
        assert root["a"] == 0
        assert recording.transactions == 3 and not recording.closed
    assert recording.closed
    root["after"] = 1
    header, transactions, whole = read(tmp_path / "trace.gz")
    assert whole and header["name"] == "trace" and header["from"] == f"space {space.uuid.hex()}"
    assert header["participants"] == header["cells"] == "?" and int(header["start"]) > 0
    made, moved, looked = transactions
    assert words(made, "w") and words(made, "a"), "a new entry is a block"
    assert len(words(moved, "w")) == 2 and len(words(moved, "r")) >= 2
    assert not words(looked, "w") and words(looked, "r")
    written = {word[1:] for word in words(moved, "w")}
    assert written & {word[1:] for word in words(looked, "r")}, "the same cell has the same name"
    assert all(len(words(transaction, "c")) == 1 for transaction in transactions)


def test_times_are_those_of_the_process(space, tmp_path):
    space.root["n"] = 0
    with space.record(tmp_path / "trace.gz"):
        time.sleep(0.02)
        space.root["n"] = 1

        @space.run
        def body():
            space.root["n"] += 1
            time.sleep(0.02)

    (_, first, first_think, *_), second = read(tmp_path / "trace.gz")[1]
    assert int(first) >= 20_000_000 and int(first_think) >= 20_000_000
    assert int(second[1]) >= int(first)
    (computed,) = words(second, "c")
    assert int(computed[1:]) >= 20_000_000


def test_a_closed_recording_stays_as_it_is(space, tmp_path):
    path = tmp_path / "trace.gz"
    recording = space.record(str(path))
    assert recording.path == str(path)
    space.root["a"] = 1
    recording.close()
    content = path.read_bytes()
    space.root["a"] = 2
    recording.close()
    assert path.read_bytes() == content
    assert "closed" in repr(recording)
    assert repr(recording).startswith("<pso.Recording ")


def test_a_recording_that_nobody_holds_is_closed(space, tmp_path):
    space.record(tmp_path / "trace.gz")
    space.root["a"] = 1
    assert read(tmp_path / "trace.gz") == (read(tmp_path / "trace.gz")[0], [], True)


def test_one_after_the_other_but_not_two_at_once(space, tmp_path):
    with space.record(tmp_path / "one.gz"):
        with pytest.raises(RuntimeError, match="already"):
            space.record(tmp_path / "two.gz")
        assert not (tmp_path / "two.gz").exists()
        space.root["a"] = 1
    with space.record(tmp_path / "two.gz"):
        space.root["a"] = 2
        space.root["a"] = 3
    assert [len(read(tmp_path / name)[1]) for name in ("one.gz", "two.gz")] == [1, 2]


def test_two_spaces_are_recorded_apart(space, tmp_path):
    other = pso.create(size="8M")
    with space.record(tmp_path / "one.gz"), other.record(tmp_path / "other.gz"):
        space.root["a"] = 1
        other.root["a"] = 1
        other.root["b"] = 1
    assert [len(read(tmp_path / name)[1]) for name in ("one.gz", "other.gz")] == [1, 2]
    other.close()


def test_errors_are_those_of_files_and_name_the_path(space, tmp_path):
    missing = str(tmp_path / "missing" / "trace.gz")
    with pytest.raises(FileNotFoundError) as raised:
        space.record(missing)
    assert raised.value.errno == errno.ENOENT and raised.value.filename == missing
    with pytest.raises(IsADirectoryError) as raised:
        space.record(tmp_path)
    assert raised.value.filename == str(tmp_path)
    with pytest.raises(ValueError, match="embedded null byte"):
        space.record("a\0b")
    with pytest.raises(TypeError):
        space.record(7)
    with pytest.raises(TypeError):
        pso.Recording()


def test_a_fifo_is_written_to_where_somebody_reads_it_and_nobody_waits(space, tmp_path):
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    with pytest.raises(OSError) as raised:
        space.record(path)
    assert raised.value.errno == errno.ENXIO and raised.value.filename == path
    # Twice: what failed is no recording.
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with space.record(path):
        space.root["a"] = 1
    with open(reader, "rb") as pipe:
        assert gzip.decompress(pipe.read()).count(b"\n") > 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_told(space):
    with pytest.raises(OSError) as raised:
        space.record("/dev/full")
    assert raised.value.errno == errno.ENOSPC and raised.value.filename == "/dev/full"


def test_a_closed_space_is_not_recorded_and_an_open_recording_survives_it(tmp_path):
    space = pso.create(size="8M")
    recording = space.record(tmp_path / "trace.gz")
    space.root["a"] = 1
    space.close()
    with pytest.raises(pso.SpaceClosedError):
        space.record(tmp_path / "other.gz")
    recording.close()
    _, transactions, whole = read(tmp_path / "trace.gz")
    assert whole and len(transactions) == 1


def test_threads_are_participants_of_their_own(space, tmp_path):
    space.root["n"] = 0

    @space.transactional
    def add(meet):
        space.root["n"] += 1
        meet()

    def work(barrier):
        meets = iter([barrier.wait])
        # Both are in the middle of their first attempt at once, so two participants are needed.
        add(lambda: next(meets, lambda: None)())
        for _ in range(50):
            add(lambda: None)

    barrier = threading.Barrier(2, timeout=20)
    with space.record(tmp_path / "trace.gz"):
        threads = [threading.Thread(target=work, args=(barrier,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert space.root["n"] == 102
    _, transactions, _ = read(tmp_path / "trace.gz")
    added = [transaction for transaction in transactions if words(transaction, "w")]
    assert len(added) == 102
    for participant in {transaction[0] for transaction in transactions}:
        arrivals = [int(transaction[1]) for transaction in transactions if transaction[0] == participant]
        assert arrivals == sorted(arrivals)


def _record_in_child(space, path, count):
    with space.record(path):
        for number in range(count):
            space.root["child"] = number


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_process_writes_its_own_file(named_space, tmp_path, method):
    space = named_space
    context = multiprocessing.get_context(method)
    with space.record(tmp_path / "parent.gz"):
        space.root["parent"] = 1
        child = context.Process(target=_record_in_child, args=(space, str(tmp_path / "child.gz"), 5))
        child.start()
        child.join(40)
        assert child.exitcode == 0
        space.root["parent"] = 2
    (parent, ours, whole), (child, theirs, child_whole) = (
        read(tmp_path / "parent.gz"),
        read(tmp_path / "child.gz"),
    )
    assert whole and child_whole and parent["from"] == child["from"]
    assert int(child["start"]) >= int(parent["start"])
    assert sum(bool(words(line, "w")) for line in ours) == 2
    assert sum(bool(words(line, "w")) for line in theirs) == 5


def test_a_fork_leaves_the_file_of_its_parent_alone(space, tmp_path):
    recording = space.record(tmp_path / "trace.gz")
    space.root["a"] = 1
    pid = os.fork()
    if pid == 0:
        space.root["a"] = 2
        recording.close()
        space.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    space.root["a"] = 3
    recording.close()
    _, transactions, whole = read(tmp_path / "trace.gz")
    assert whole and len(transactions) == 2


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.7])
def test_a_killed_process_leaves_a_file_of_whole_lines(named_space, tmp_path, moment):
    """Killed in the middle, the stream has no end. What was flushed reads, and ends with a whole line or in one."""
    path = tmp_path / "trace.gz"
    script = f"""
        import pso
        space = pso.attach({named_space.name!r})
        recording = space.record({str(path)!r})
        print("go", flush=True)
        number = 0
        while True:
            number += 1
            space.root["n"] = number
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"go\n"
    time.sleep(moment)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    stream = zlib.decompressobj(wbits=31)
    text = stream.decompress(pathlib.Path(path).read_bytes()).decode()
    assert not stream.eof
    whole_lines = text[: text.rindex("\n") + 1]
    _, transactions, whole = parse(whole_lines)
    assert not whole
    assert all(len(words(transaction, "w")) == 1 for transaction in transactions[1:])
