"""A process that reads much. The danger: reading copies what it reads, or writes to the pages that it reads (a count, a mark, a lock),
so that memory grows with each reader, and each reader takes the lines of all others away.

A large dict is read wholly by a process of its own, in transactions. Looked at: its private memory, and which pages of the space it has
written, told by the soft-dirty bits of the kernel (cleared before, read after). What may be written is what belongs to a reader: the pages of
its read log, its participant's and its process's slot, the words that say that it is there.

10^5 entries; PSO_READING=1000000 reads more.
"""

import json
import os
import pathlib
import subprocess
import sys

import pso
import pytest
import written
from written import PAGE

ENTRIES = int(os.environ.get("PSO_READING", "100000"))
# Reads of a transaction.
TOGETHER = 1000
PRIVATE_BYTES = 5 << 20
TESTS = str(pathlib.Path(__file__).parent)
# Of the header, the hot words, slots, and what an attempt says of itself.
OWN_PAGES = 16
# Three words for each cell that was read; an entry of a dict is found through a few.
LOG_PAGES = TOGETHER * 8 * 24 // PAGE + 1


def private_bytes():
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_Dirty:"))


def read(name, writes):
    """In a process of its own: reads all, and says what that took. `writes`: changes every tenth as well."""
    space = pso.attach(name)
    numbers = space.root["numbers"]

    @space.transactional
    def some(first):
        return sum(len(numbers[f"key {number}"]) for number in range(first, first + TOGETHER))

    before = private_bytes()
    # Once, so that what is made once is there: log, proxies, code.
    some(0)
    way = written.way()
    watch = way(*written.mapping_of(f"pso.{name}/arena")) if way else None
    length = sum(some(first) for first in range(0, ENTRIES, TOGETHER))
    if writes:
        for number in range(0, ENTRIES, 10):
            numbers[f"key {number}"] = "written"
    after = private_bytes()
    pages = watch.pages() if watch else None
    print(json.dumps({"length": length, "private": after - before, "pages": pages}))
    # At once: nothing is taken down that others look at.
    sys.stdout.flush()
    os._exit(0)


def reader(space, writes=False):
    command = [sys.executable, "-c", f"import test_reading; test_reading.read({space.name!r}, {writes})"]
    environment = {**os.environ, "PYTHONPATH": TESTS}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture
def large(names):
    space = pso.create(names(), size=max(64 << 20, ENTRIES * 600))
    space.root["numbers"] = {}
    numbers = space.root["numbers"]
    for first in range(0, ENTRIES, TOGETHER):
        numbers.update({f"key {number}": f"the value of {number}" for number in range(first, first + TOGETHER)})
    yield space
    assert space.fsck() == []
    space.close()


@pytest.mark.seconds(300)
def test_reading_takes_no_memory_and_writes_nothing(large):
    seen = reader(large)
    assert seen["length"] == sum(len(f"the value of {number}") for number in range(ENTRIES))
    assert seen["private"] < PRIVATE_BYTES, seen["private"]
    if seen["pages"] is None:
        pytest.skip("THIS KERNEL DOES NOT SAY WHICH PAGES ARE WRITTEN: nobody has looked which pages a reader writes")
    used = large.stats()["used"] // PAGE
    pages = len(seen["pages"])
    print(
        f"{ENTRIES} entries read, {seen['private']} private bytes more; {pages} of {used} pages written, {seen['pages']}"
    )
    assert 0 < pages <= OWN_PAGES + LOG_PAGES < used / 10, seen["pages"]
    # The look sees what is written: of a writer it says so.
    assert len(reader(large, writes=True)["pages"]) > used / 10


@pytest.mark.seconds(300)
def test_ten_readers_take_no_more_than_one(large):
    """Each has what it has; nothing of one is seen by the others, and the space stays as large as it was."""
    used = large.stats()["used"]
    for _ in range(10 if ENTRIES <= 100_000 else 2):
        assert reader(large)["private"] < PRIVATE_BYTES
    assert large.fsck() == [] and large.stats()["used"] <= used + (1 << 20)
