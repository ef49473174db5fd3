"""Files that are no space, or not one of this release, this boot or this user. The danger: a member that works on what it
does not understand damages it, or crashes. Each is refused with an error of its own, and stays as it is."""

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

import arena_file
import pso
import pytest
from arena_file import ArenaFile
from content import whole


def refused(directory, error, *words):
    """Attaching raises that error, saying all of these words, and leaves the file as it is."""
    before = (directory / "arena").read_bytes()
    for attach in [pso.attach, pso.open]:
        with pytest.raises(error) as caught:
            attach(dir=directory)
        assert type(caught.value) is error and all(word in str(caught.value) for word in words), caught.value
    assert (directory / "arena").read_bytes() == before


def test_our_checksum_is_the_engines(filled):
    words = ArenaFile(filled).words()
    assert words[arena_file.CHECKSUM] == ArenaFile.checksum(words)


@pytest.mark.parametrize("word", range(arena_file.HEADER_WORDS))
def test_a_damaged_header_is_refused(filled, word):
    file = ArenaFile(filled)
    before = file.change(word, lambda value: value ^ 1 << 17, sign=False)
    refused(filled, pso.ForeignFileError if word == 0 else pso.CorruptSpaceError)
    file.write(before, sign=False)
    assert whole(filled)


@pytest.mark.parametrize(
    "word, change, error, said",
    [
        (arena_file.FORMAT, lambda value: value - (1 << 32), pso.OlderFormatError, "older"),
        (arena_file.FORMAT, lambda value: value + (1 << 32), pso.NewerFormatError, "newer"),
        (arena_file.LAYOUT, lambda value: value ^ 1, pso.VersionError, "build"),
        (arena_file.FEATURES, lambda value: value | 1 << 60, pso.VersionError, "features"),
        (arena_file.FENCES, lambda value: 77, pso.VersionError, "77"),
        (arena_file.BOOT, lambda value: value ^ 1, pso.OtherBootError, "started"),
        (arena_file.GEOMETRY, lambda value: value * 2, pso.CorruptSpaceError, "words"),
        (arena_file.GEOMETRY + 2, lambda value: 0, pso.CorruptSpaceError, "participants"),
        (arena_file.GEOMETRY + 4, lambda value: 3, pso.CorruptSpaceError, "superblock"),
    ],
)
def test_a_space_of_another_release_or_boot_is_refused_by_name(filled, word, change, error, said):
    file = ArenaFile(filled)
    before = file.change(word, change)
    refused(filled, error, said)
    file.write(before)
    assert whole(filled)


def test_a_foreign_file_is_refused(filled, tmp_path):
    arena, kept = filled / "arena", tmp_path / "kept"
    shutil.copy(arena, kept)
    for content, error in [
        (b"", pso.CorruptSpaceError),
        (b"short", pso.CorruptSpaceError),
        (b"#!/bin/sh\n" * 1000, pso.ForeignFileError),
        (bytes(2**21), pso.ForeignFileError),
        (kept.read_bytes()[: 2**20], pso.CorruptSpaceError),
        (kept.read_bytes() + bytes(4096), pso.CorruptSpaceError),
    ]:
        arena.write_bytes(content)
        refused(filled, error)
    arena.unlink()
    for make in [lambda: os.mkfifo(arena), lambda: arena.mkdir(), lambda: arena.symlink_to(kept)]:
        make()
        with pytest.raises((pso.ForeignFileError, OSError)):
            pso.attach(dir=filled)
        arena.rmdir() if arena.is_dir() and not arena.is_symlink() else arena.unlink()
    shutil.copy(kept, arena)
    assert whole(filled)


def test_a_space_without_its_lock_file_is_refused(filled):
    live = filled / "live"
    live.rename(filled / "away")
    with pytest.raises((pso.Error, OSError)):
        pso.attach(dir=filled)
    (filled / "away").rename(live)
    assert whole(filled)


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "space").write_text("mine")
    for use in [pso.attach, pso.open, pso.create, pso.unlink]:
        with pytest.raises((pso.Error, OSError)):
            use(dir=tmp_path / "space")
    assert pathlib.Path(tmp_path / "space").read_text() == "mine"


def test_a_number_that_is_another_files_by_now_costs_that_file_no_lock(tmp_path):
    """The address of an anonymous space names a descriptor of a process. To open and close what has the number by then would end
    the locks that this process has on it: a database's, say."""
    database = tmp_path / "database"
    database.write_bytes(b"precious")
    with open(database, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        with pytest.raises(pso.StaleHandleError, match="gone"):
            pso._core._attach_descriptor(bytes(16), os.getpid(), file.fileno())
        child = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        refused = subprocess.run([sys.executable, "-c", child, database], capture_output=True)
        assert b"BlockingIOError" in refused.stderr, refused
