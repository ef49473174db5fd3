"""Limits of the system that a space runs into. The danger: a signal that ends the process in the middle of a store (SIGBUS where
a file system is full, SIGXFSZ where files may not be longer), or an error that says nothing. Each limit has an error of its own, the
space is whole after it, and whoever has more room goes on.

Each test sets its limit in a child of its own: limits are for a whole process, and as a rule for good.
"""

import ctypes
import os
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import textwrap

import pso
import pytest

MIB = 1 << 20
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
TESTS = str(pathlib.Path(__file__).parent)


def alone(body, *arguments):
    """Runs the text in an interpreter of its own, and gives what it prints. A signal or an exception fails the test."""
    text = "import os, resource, signal, sys, pso\nimport test_limits as limits\n" + textwrap.dedent(body)
    command = [sys.executable, "-c", text, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": TESTS}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=50)
    assert ended.returncode == 0, (ended.returncode, ended.stdout, ended.stderr)
    return ended.stdout


def refused(error, call, *words):
    """The call raises that very error, saying all of these words."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error and all(word in str(caught.value) for word in words), caught.value
    return caught.value


def small_file_system(folder, size):
    """Mounts a file system of that size, which no other process sees. False: this process may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return False
    return libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()) == 0


# --- A full file system ----------------------------------------------------------------------------------------------


def test_a_space_that_grows_into_a_full_file_system_is_refused_and_goes_on(tmp_path):
    said = alone(
        """
        if not limits.small_file_system(sys.argv[1], 6 << 20):
            print("not permitted")
            sys.exit()
        space = pso.create(dir=sys.argv[1] + "/space", size="64M")
        root = space.root
        root["list"] = []

        def grow():
            for number in range(100_000):
                root["list"].append("x" * 1000)

        error = limits.refused(pso.ArenaFull, grow, "file system", "full")
        assert isinstance(error, MemoryError)
        # What was committed is there, all of it; a transaction that found no room has left nothing.
        # Element by element: a long transaction has a log, for which there is no room either.
        before = len(root["list"])
        assert before > 1000 and all(root["list"][number] == "x" * 1000 for number in range(before))
        limits.refused(pso.ArenaFull, lambda: space.run(grow), "full")
        assert len(root["list"]) == before and space.fsck() == []
        # What is dropped makes room.
        for number in range(1500):
            root["list"].pop()
        space.collect()
        for number in range(1000):
            root["list"].append("y" * 1000)
        assert space.fsck() == []
        print("grown")
        """,
        tmp_path,
    )
    if "not permitted" in said:
        pytest.skip("this process may not mount a file system")
    assert "grown" in said


def test_a_space_is_not_made_in_a_full_file_system(tmp_path):
    said = alone(
        """
        folder = sys.argv[1]
        if not limits.small_file_system(folder, 1 << 20):
            print("not permitted")
            sys.exit()
        limits.refused(pso.ArenaFull, lambda: pso.create(dir=folder + "/space", size="64M"), "full", folder)
        assert os.listdir(folder) == []
        with open(folder + "/rest", "wb") as rest:
            try:
                rest.write(bytes(2 << 20))
            except OSError:
                pass
        limits.refused(pso.ArenaFull, lambda: pso.create(dir=folder + "/space", size="1M"), "full")
        print("refused")
        """,
        tmp_path,
    )
    if "not permitted" in said:
        pytest.skip("this process may not mount a file system")
    assert "refused" in said


# --- The length of files ---------------------------------------------------------------------------------------------

SIGNALS = {"ignored": "signal.SIG_IGN", "deadly": "signal.SIG_DFL", "handled": "lambda *_: sys.exit(7)"}


@pytest.mark.parametrize("taken", SIGNALS)
@pytest.mark.parametrize("anonymous", [True, False])
def test_a_space_longer_than_files_may_be_is_refused_without_a_signal(tmp_path, taken, anonymous):
    said = alone(
        f"""
        signal.signal(signal.SIGXFSZ, {SIGNALS[taken]})
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, resource.RLIM_INFINITY))
        where = {{}} if {anonymous} else {{"dir": sys.argv[1] + "/space"}}
        error = limits.refused(pso.FileLimitError, lambda: pso.create(size="64M", **where), "67108864", "8388608", "ulimit -f")
        assert isinstance(error, OSError) and error.errno == 27
        assert os.listdir(sys.argv[1]) == []
        # What fits is made, and the signal does to others what it did.
        with pso.create(size="4M", **where) as space:
            space.root["x"] = 1
            assert space.fsck() == []
        assert signal.SIGXFSZ not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        assert not signal.sigpending()
        print("made")
        """,
        tmp_path,
    )
    assert "made" in said


def test_a_space_that_is_longer_already_grows_under_the_limit(named_space):
    """The limit is about the length of files, which does not change: nobody is refused that has room."""
    alone(
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        space = pso.attach(sys.argv[1])
        space.root["list"] = ["x" * 1000] * 20_000
        assert len(space.root["list"]) == 20_000 and space.fsck() == []
        """,
        named_space.name,
    )
    assert len(named_space.root["list"]) == 20_000


# --- Addresses -------------------------------------------------------------------------------------------------------


def test_a_space_for_which_there_are_no_addresses_is_refused(named_space):
    named_space.root["x"] = [1, 2]
    said = alone(
        """
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit = used + (40 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        where = ["attach", "open"]
        for use in where:
            call = lambda: getattr(pso, use)(sys.argv[1])
            error = limits.refused(pso.NoAddressesError, call, "67108864", str(limit), "ulimit -v", sys.argv[1])
            assert isinstance(error, MemoryError)
        limits.refused(pso.NoAddressesError, lambda: pso.create(size="1T"), str(1 << 40))
        # The process goes on, and so does a space for which there is room.
        with pso.create(size="8M") as small:
            small.root["x"] = 1
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert pso.attach(sys.argv[1]).root["x"] == [1, 2]
        print("attached")
        """,
        named_space.name,
    )
    assert "attached" in said and named_space.stats()["processes"] == 1


def test_a_collection_without_memory_for_its_lists_ends_and_no_more(tmp_path):
    """A collection's lists are this process's own: where they cannot grow it finds less, and the next one the rest."""
    said = alone(
        """
        with pso.create(size="256M", dir=sys.argv[1] + "/space") as space:
            space.root["many"] = [[[number]] for number in range(150_000)]
            space.root["keep"] = [["kept"]]
            used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            del space.root["many"]
            resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), resource.RLIM_INFINITY))
            # What the allocator of this process has kept is used up, too, but for small pieces.
            hoard = []
            for piece in [1 << 20, 1 << 17, 1 << 14]:
                try:
                    while True:
                        hoard.append(bytearray(piece))
                except MemoryError:
                    pass
            before = space.stats()["used"]
            for _ in range(3):
                space.collect()
            assert space.stats()["used"] > before / 2
            hoard.clear()
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            space.collect()
            print(space.root["keep"] == [["kept"]], space.stats()["used"] < 4 << 20, space.fsck())
        """,
        tmp_path,
    )
    assert said == "True True []\n"


# --- Permission ------------------------------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
AS_NOBODY = "os.setgid(65534); os.setuid(65534)\n"


@needs_root
def test_a_space_of_another_user_is_refused(named_space):
    said = alone(
        AS_NOBODY
        + textwrap.dedent("""
        for use in [pso.attach, pso.open, pso.unlink, pso.create, lambda name: pso.create(name, exist_ok=True)]:
            limits.refused(PermissionError, lambda: use(sys.argv[1]), sys.argv[1])
        assert sys.argv[1] not in pso.list_spaces()
        print("refused")
        """),
        named_space.name,
    )
    assert "refused" in said and named_space.name in pso.list_spaces()


@needs_root
def test_a_space_that_everybody_may_enter_is_its_owners_all_the_same(filled, tmp_path):
    for folder in [*tmp_path.parents, tmp_path, filled]:
        if folder.is_relative_to("/tmp") and folder != pathlib.Path("/tmp"):
            folder.chmod(0o755)
    for file in filled.iterdir():
        file.chmod(0o666)
    alone(
        AS_NOBODY
        + textwrap.dedent("""
        limits.refused(PermissionError, lambda: pso.attach(dir=sys.argv[1]), "belongs to user 0", "65534")
        """),
        filled,
    )


@needs_root
def test_a_file_that_may_only_be_read_and_a_folder_that_may_not_be_written_are_refused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    for parent in [folder, *folder.parents]:
        if parent.is_relative_to("/tmp") and parent != pathlib.Path("/tmp"):
            parent.chmod(0o755)
    mine = folder / "mine"
    mine.mkdir()
    os.chown(mine, 65534, 65534)
    alone(
        AS_NOBODY
        + textwrap.dedent("""
        limits.refused(PermissionError, lambda: pso.create(dir=sys.argv[1] + "/space", size="2M"), sys.argv[1])
        mine = sys.argv[1] + "/mine/space"
        pso.create(dir=mine, size="2M").close()
        for name in ["arena", "live"]:
            os.chmod(f"{mine}/{name}", 0o400)
            limits.refused(PermissionError, lambda: pso.attach(dir=mine), "permission" if name == "arena" else "open", name)
            os.chmod(f"{mine}/{name}", 0o600)
        pso.attach(dir=mine).root["x"] = 1
        """),
        folder,
    )


# --- Places ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def idle(names):
    """A small space, which has 32 places for processes, and children that take all but this one."""
    space = pso.create(names(), size="8M")
    children = []
    for _ in range(31):
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            space.root.get("x")
            os.write(writable, b"x")
            signal.pause()
        assert os.read(readable, 1)
        os.close(readable)
        os.close(writable)
        children.append(child)
    yield space, children
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert space.fsck() == []
    assert space.stats()["processes"] == 1
    space.close()


def test_a_space_without_a_place_for_another_process_says_who_has_them(idle):
    space, children = idle
    assert space.stats()["processes"] == 32
    body = 'limits.refused(pso.NoPlaceError, lambda: pso.attach(sys.argv[1]), "32 process slots", sys.argv[2])'
    # Of those that have as many the lowest numbers are named.
    alone(body, space.name, f"process {min(os.getpid(), *children)} has 1, ")
    # A place is free as soon as somebody has died.
    os.kill(children[3], signal.SIGKILL)
    os.waitpid(children.pop(3), 0)
    alone('pso.attach(sys.argv[1]).root["y"] = 1', space.name)
    assert space.root["y"] == 1


def test_a_forked_child_without_a_place_is_told_and_joins_when_there_is_one(idle):
    """The danger: it goes on with its parent's place, and what it holds and takes is never cleared up."""
    space, children = idle
    kept = space.List([1])
    space.root["kept"] = kept
    ask, asked = os.pipe()
    answer, answered = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            error = refused(pso.NoPlaceError, lambda: kept.append(2), "32 process slots")
            assert isinstance(error, RuntimeError)
            refused(pso.NoPlaceError, lambda: space.root["kept"])
            os.write(answered, b"x")
            os.read(ask, 1)
            kept.append(3)
            space.root["own"] = space.List(["the child's"])
            code = 0
        finally:
            os.write(answered, b"x")
            os._exit(code)
    assert os.read(answer, 1)
    assert kept == [1] and space.stats()["processes"] == 32
    # The parent's releases are not put off for a child that has not come.
    held = space.stats()["held"]
    more = [space.List([number]) for number in range(10)]
    assert space.stats()["held"] == held + 10
    del more
    assert space.stats()["held"] == held
    os.kill(children[0], signal.SIGKILL)
    os.waitpid(children.pop(0), 0)
    os.write(asked, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept == [1, 3] and space.root["own"] == ["the child's"]
    for end in [ask, asked, answer, answered]:
        os.close(end)


def test_a_space_without_a_place_for_another_thread_at_work_says_who_has_them(names):
    """Attempts that sleep keep their place: 64 of them, and a small space is at its end. (One of 8M has no room for their logs.)"""
    space = pso.create(names(), size="16M")
    said = alone(
        """
        import threading, time
        space = pso.attach(sys.argv[1])
        space.root["go"] = False

        def wait():
            if not space.root["go"]:
                pso.retry()

        errors = []

        def one():
            try:
                space.run(wait)
            except pso.NoPlaceError as error:
                errors.append(str(error))

        threads = [threading.Thread(target=one) for _ in range(80)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while len(errors) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert errors and all("64 participant slots" in error for error in errors), errors
        assert all(f"process {os.getpid()} has" in error for error in errors), errors
        print("told")
        sys.stdout.flush()
        # The others sleep for ever.
        os._exit(0)
        """,
        space.name,
    )
    assert "told" in said
    assert space.fsck() == [] and space.stats()["processes"] == 1
    space.root["go"] = True
    space.close()


def test_the_limits_of_this_process_were_left_alone():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
MEMBARRIER = {"x86_64": 324, "aarch64": 283}


def forbid_membarrier():
    """From here on the system call membarrier is EPERM, as in some sandboxes. The rest goes through."""
    number = MEMBARRIER[os.uname().machine]
    # Load the number of the call; is it this one? then EPERM, else allow (seccomp(2)).
    program = struct.pack("=HBBIHBBIHBBIHBBI", 0x20, 0, 0, 0, 0x15, 0, 1, number, 6, 0, 0, 0x50001, 6, 0, 0, 0x7FFF0000)
    rules = ctypes.create_string_buffer(program)
    filtering = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(rules))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, 2, filtering, 0, 0) == 0, ctypes.get_errno()


def test_a_sandbox_that_forbids_membarrier(tmp_path):
    with pso.create(dir=tmp_path / "outside") as space:
        space.root["key"] = ["value"]
        said = alone(
            """
            inside = pso.attach(dir=sys.argv[1] + "/outside")
            limits.forbid_membarrier()
            # Who is a member goes on: what others may hold is not found out, so it stays.
            for number in range(2000):
                inside.root["key"] = [str(number) * 100]
            inside.collect()
            print(inside.root["key"][0] == "1999" * 100, inside.fsck())
            inside.close()
            """,
            tmp_path,
        )
        assert said == "True []\n"
        said = alone(
            """
            limits.forbid_membarrier()
            limits.refused(PermissionError, lambda: pso.attach(dir=sys.argv[1] + "/outside"), "outside", "membarrier")
            with pso.create(dir=sys.argv[1] + "/inside") as space:
                for number in range(2000):
                    space.root["key"] = [str(number) * 100]
                print(space.collect() > 0, space.fsck())
            """,
            tmp_path,
        )
        assert said == "True []\n"
        assert space.root["key"][0] == "1999" * 100
