"""Memory that nothing needs goes back to the system: whoever used it, whoever deletes, whoever dies."""

import os
import pickle
import subprocess
import sys
import tempfile

import children
import pso
import pytest

MIB = 1 << 20


@pytest.fixture
def space():
    # On a file system in memory: what goes back is seen at once.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        with pso.create(size="256M", dir=os.path.join(folder, "space")) as space:
            yield space
            assert space.fsck() == []


def backed(space):
    """Bytes of memory behind the space, by the space and by the file system."""
    of_the_file = os.stat(os.path.join(space.dir, "arena")).st_blocks * 512
    counted = space.stats()["backed"]
    assert of_the_file <= counted + MIB
    return of_the_file


def test_texts_that_are_deleted(space):
    space.root["texts"] = []
    texts = space.root["texts"]
    before = backed(space)
    for start in range(0, 20_000, 1000):
        texts += [f"{number:06}" * 500 for number in range(start, start + 1000)]
    full = backed(space)
    assert full - before > 50 * MIB
    texts.clear()
    # By itself: nobody asks for a collection.
    assert backed(space) - before < (full - before) / 10
    texts += ["x" * 3000] * 2
    assert list(texts) == ["x" * 3000] * 2


def test_a_dict_that_is_emptied(space):
    space.root["table"] = {}
    table = space.root["table"]
    before = backed(space)
    for start in range(0, 200_000, 10_000):
        table.update({f"key {number}": f"value {number:>40}" for number in range(start, start + 10_000)})
    full = backed(space)
    assert full - before > 30 * MIB
    table.clear()
    # Its places stay with it: a fifth of what short keys and values take.
    assert backed(space) - before < (full - before) / 3
    del table, space.root["table"]
    space.collect()
    assert backed(space) - before < (full - before) / 10


def test_containers_that_nothing_names(space):
    before = backed(space)
    for number in range(50):
        space.root[f"part {number}"] = [{"number": n, "text": f"{n:>60}"} for n in range(2000)]
    full = backed(space)
    assert full - before > 30 * MIB
    space.root.clear()
    space.collect()
    assert backed(space) - before < (full - before) / 10


def test_one_large_object_after_the_other(space):
    before = backed(space)
    for number in range(100):
        space.root["large"] = bytes([number]) * (10 * MIB)
        assert space.root["large"][-1] == number
    del space.root["large"]
    space.collect()
    assert backed(space) - before < 5 * MIB


def test_what_a_killed_process_had(space, start):
    before = backed(space)
    child = start(children.fill_and_wait, space).ready()
    child.kill()
    full = backed(space)
    assert full - before > 50 * MIB
    space.root["texts"].clear()
    space.collect()
    assert backed(space) - before < (full - before) / 10


def test_a_process_that_stands_still_keeps_it_from_nobody(space, start):
    """It may keep memory from going back to the system, but not from serving again."""
    space.root["count"] = 0
    # Before: a block holds what it has read, and a new key may fall where it has looked for the other one.
    space.root["texts"] = []
    texts = space.root["texts"]
    child = start(children.stop_in_block, space, space.root, "count").ready()
    for _ in range(20):
        texts += ["y" * 3000 for _ in range(10_000)]
        texts.clear()
    assert space.stats()["used"] < 100 * MIB
    child.kill()
    space.collect()
    assert backed(space) < 10 * MIB


REMOVE = "import pso, sys\nspace = pso.attach(dir=sys.argv[1])\nspace.root.clear()\nspace.collect()"


def test_who_comes_back_gets_no_memory_for_what_is_gone(space):
    """On a full file system it would be a signal, in the middle of a look."""
    space.root["parts"] = [[{"number": number}] for number in range(20_000)]
    lists = list(space.root["parts"])
    proxies = lists + [part[0] for part in lists]
    folder = space.dir
    space.close()
    subprocess.run([sys.executable, "-c", REMOVE, folder], check=True, timeout=50)
    assert pso.attach(dir=folder) is space
    before = backed(space)
    for proxy in proxies:
        with pytest.raises(pso.StaleHandleError):
            len(proxy)
        assert "gone" in repr(proxy)
    for proxy in proxies[::100]:
        for use in (lambda gone: space.root.update(gone=gone), lambda gone: pickle.loads(pickle.dumps(gone)), list):
            with pytest.raises(pso.StaleHandleError):
                use(proxy)
    assert backed(space) - before < MIB / 2
    # Others' objects are what they were.
    space.root["parts"] = [1, {"two": 2}]
    assert space.root["parts"] == [1, {"two": 2}]
