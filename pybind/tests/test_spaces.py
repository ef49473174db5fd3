"""Making, finding and leaving spaces. The dangers: attaching to half a space, two spaces where one was meant, and a
process that cannot let go of memory, descriptors or its default space."""

import multiprocessing
import os
import pathlib
import pickle
import shutil
import stat
import subprocess
import sys
import textwrap

import children
import pso
import pytest


def python(text, **environment):
    """Runs a program in an interpreter of its own; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=25,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_one_makes_another_finds(names):
    name = names()
    with pso.create(name, size="2M") as space:
        space.root["l"] = [1]
        assert python(f"import pso; s = pso.attach({name!r}); s.root['l'].append(2); print(s.root)") == "{'l': [1, 2]}"
        assert space.root == {"l": [1, 2]}


def test_a_space_outlives_its_processes_until_it_is_unlinked(names):
    name = names()
    python(f"import pso; pso.create({name!r}, size='2M').root['kept'] = (1, 'two', [3])")
    with pso.attach(name) as space:
        assert space.root == {"kept": (1, "two", [3])}
    pso.unlink(name)
    with pytest.raises(FileNotFoundError):
        pso.attach(name)


def test_members_go_on_when_the_name_is_gone(names):
    name = names()
    space = pso.create(name, size="2M")
    pso.unlink(name)
    space.root["x"] = 1
    with pso.create(name, size="2M") as other:
        assert other.root == {} and space.root == {"x": 1}
    space.close()


def test_create_open_and_attach_differ_in_what_they_expect(names):
    name = names()
    with pytest.raises(FileNotFoundError) as missing:
        pso.attach(name)
    assert name in str(missing.value)
    with pso.open(name, size="2M") as made:
        made.root["x"] = 1
        with pytest.raises(FileExistsError) as there:
            pso.create(name, size="2M")
        assert name in str(there.value)
        assert pso.open(name) is made and pso.attach(name) is made and pso.create(name, exist_ok=True) is made
        assert made.root == {"x": 1}


@pytest.mark.parametrize("make", [pso.create, pso.open])
def test_a_space_is_not_made_in_a_transaction_of_another(space, names, tmp_path, make):
    name = names()
    for place in [{"name": name}, {"dir": tmp_path / "space"}, {}]:
        if place or make is pso.create:
            with pytest.raises(pso.CrossSpaceError):
                space.run(lambda place=place: make(**place))
    # Nothing was left behind.
    for place in [{"name": name}, {"dir": tmp_path / "space"}]:
        with pytest.raises(FileNotFoundError):
            pso.attach(**place)
    assert not (tmp_path / "space").exists()


def test_a_space_that_is_there_has_the_policy_that_is_asked_for_or_is_not_opened(names):
    name = names()
    with pso.create(name, size="2M", policy="wait-die") as made:
        for policy in ["wait-die", None]:
            assert pso.create(name, exist_ok=True, size="4M", policy=policy) is made
        assert made.stats()["size"] < 3 << 20
        with pytest.raises(ValueError, match="'wait-die' and not 'damped'"):
            pso.create(name, exist_ok=True, policy="damped")
        made.root["x"] = 1
    with pytest.raises(ValueError, match="'wait-die' and not 'damped'"):
        pso.create(name, exist_ok=True, policy="damped")
    with pytest.raises(pso.NoSpaceError):
        pso.List()
    assert pso.repair(name) == ([], [])
    with pso.create(name, exist_ok=True) as made:
        assert made.policy == "wait-die" and made.root == {"x": 1}


def test_a_contention_policy_is_chosen_once_for_all_members(names):
    name = names()
    with pso.create(name, size="2M", policy="wait-die") as space:
        assert space.policy == "wait-die"
        assert python(f"import pso; print(pso.attach({name!r}).policy)") == "wait-die"
    with pso.create(size="2M") as space:
        assert space.policy == "damped"
    with pytest.raises(ValueError, match="polite.*wound-wait"):
        pso.create(size="2M", policy="polite")
    with pytest.raises(TypeError):
        pso.create(size="2M", policy=3)


def test_a_directory_serves_as_well_as_a_name(tmp_path):
    place = tmp_path / "deeper" / "space"
    place.parent.mkdir()
    with pso.create(dir=place, size="2M") as space:
        space.root["x"] = 1
        assert space.name is None
        assert python(f"import pso; print(pso.attach(dir={str(place)!r}).root['x'])") == "1"
        assert pso.attach(dir=str(place)) is space
        assert pso.attach(dir=os.path.relpath(place)) is space
    pso.unlink(dir=place)
    assert not place.exists()
    with pytest.raises(FileNotFoundError):
        pso.attach(dir=place)


def test_a_directory_may_have_a_name_that_is_no_text(tmp_path, monkeypatch):
    folder = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/not utf-8 \xff"))
    folder.mkdir()
    with pso.create(dir=folder / "space", size="2M") as space:
        assert space.dir == str(folder / "space") and os.path.samefile(space.dir, folder / "space")
        assert pso.attach(dir=str(folder / "space")) is space
        space.root["list"] = [1]
        sent = pickle.dumps(space.root["list"])
        done = subprocess.run(
            [sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer).append(2)"],
            input=sent,
            timeout=20,
        )
        assert done.returncode == 0 and space.root["list"] == [1, 2]
        with space.record(folder / "trace.gz") as recording:
            assert recording.path == str(folder / "trace.gz") and os.path.exists(recording.path)
            assert "trace.gz" in repr(recording) and "space" in repr(space)
        with pytest.raises(FileNotFoundError) as caught:
            space.record(folder / "missing" / "trace.gz")
        assert caught.value.filename == str(folder / "missing" / "trace.gz")
    # Also where a relative path comes to be below it.
    monkeypatch.chdir(folder)
    with pso.attach(dir="space") as space:
        assert space.dir == str(folder / "space") and space.root["list"] == [1, 2]
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        pso.attach(dir=folder / "missing")
    pso.unlink(dir=folder / "space")
    assert not os.path.exists("space")
    with pytest.raises(TypeError, match="a str is wanted"):
        pso.attach(dir=os.fsencode(folder))


def test_a_copy_of_a_space_is_another_space(names, tmp_path):
    """It has the same uuid. The danger: whoever attaches the copy beside the original gets that, and writes there."""
    name = names()
    with pso.create(name, size="2M") as space:
        space.root.update(x=1, list=[1])
        shutil.copytree(f"/dev/shm/pso.{name}", tmp_path / "copy")
        copy = pso.attach(dir=tmp_path / "copy")
        assert copy is not space and copy.uuid == space.uuid and copy.dir is not None
        copy.root["x"] = 2
        copy.root["list"].append(2)
        assert (space.root, copy.root) == ({"x": 1, "list": [1]}, {"x": 2, "list": [1, 2]})
        assert pso.attach(name) is space and pso.attach(dir=f"/dev/shm/pso.{name}") is space
        assert pso.attach(dir=tmp_path / "copy") is copy and pso.open(dir=tmp_path / "copy") is copy
        with pytest.raises(pso.CrossSpaceError):
            space.root["list"] = copy.root["list"]
        # Handles that travel lead to where they came from, though both are open, and when one of them is closed.
        for one in [space, copy]:
            assert pickle.loads(pickle.dumps(one)) is one
            assert pickle.loads(pickle.dumps(one.root["list"])) is one.root["list"]
        sent = pickle.dumps(copy.root["list"])
        copy.close()
        loaded = pickle.loads(sent)
        assert loaded == [1, 2] and pso.attach(dir=tmp_path / "copy") is copy and loaded is copy.root["list"]
        # Whoever was attached first, and closed and opened again, is the same one.
        space.close()
        assert pso.attach(name) is space and space.root["x"] == 1
        # A copy in the place of the original is another one than what is mapped.
        copy.close()
        moved = names()
        os.rename(f"/dev/shm/pso.{name}", f"/dev/shm/pso.{moved}")
        shutil.copytree(tmp_path / "copy", f"/dev/shm/pso.{name}")
        with pso.attach(name) as third:
            assert third is not space and third.root["x"] == 2 and space.root["x"] == 1
        assert pso.attach(moved) is space
        assert space.fsck() == []


def test_a_space_that_has_moved_says_where_it_was_opened_last(tmp_path):
    space = pso.create(dir=tmp_path / "before", size="2M")
    space.root["x"] = 1
    space.close()
    os.rename(tmp_path / "before", tmp_path / "behind")
    assert pso.attach(dir=tmp_path / "behind") is space
    assert space.dir == str(tmp_path / "behind") and str(tmp_path / "before") not in repr(space)
    with open(tmp_path / "sent", "wb") as file:
        pickle.dump(space.root, file)
    assert python(f"import pickle; print(pickle.load(open({str(tmp_path / 'sent')!r}, 'rb')))") == "{'x': 1}"
    space.close()


def test_only_its_user_may_open_it(names, tmp_path):
    name = names()
    with pso.create(name, size="2M"), pso.create(dir=tmp_path / "space", size="2M"):
        for directory in [pathlib.Path(f"/dev/shm/pso.{name}"), tmp_path / "space"]:
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            for file in directory.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_space_says_what_it_is(names):
    name = names()
    with pso.create(name, size="3M") as space:
        assert space.name == name and space.size == 3 * 2**20 and name in repr(space)
        assert isinstance(space.root, pso.Dict) and space.root == {}
        stats = space.stats()
        assert stats["size"] == space.size and 0 < stats["used"] < stats["size"] and stats["participants"] >= 1
        assert space.fsck() == []
    assert space.closed and "closed" in repr(space)
    with pso.create(size="2M") as anonymous:
        assert anonymous.name is None


@pytest.mark.parametrize(
    "size, wanted",
    [
        ("2M", 2**21),
        ("2m", 2**21),
        (3_000_000, 3_014_656),
        ("1G", 2**30),
        ("2048K", 2**21),
        ("2097152", 2**21),
        ("4G", 2**32),
    ],
)
def test_sizes_are_numbers_or_have_units(size, wanted):
    with pso.create(size=size) as space:
        assert space.size == wanted


@pytest.mark.parametrize(
    "size, error",
    [
        (0, ValueError),
        (-1, ValueError),
        (1000, ValueError),
        ("1K", ValueError),
        ("big", ValueError),
        ("", ValueError),
        ("1X", ValueError),
        (2**60, ValueError),
        ("9999999999999T", ValueError),
        (1.5, TypeError),
        ([], TypeError),
        (2**70, (ValueError, OverflowError)),
    ],
)
def test_a_size_that_is_none_is_refused_and_leaves_nothing(names, size, error):
    name = names()
    with pytest.raises(error):
        pso.create(name, size=size)
    assert name not in pso.list_spaces()
    with pytest.raises(FileNotFoundError):
        pso.attach(name)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "..", "a\0b", "n" * 300])
def test_a_name_that_could_not_be_one_is_refused(name):
    for use in [pso.create, pso.attach, pso.open, pso.unlink]:
        with pytest.raises(ValueError):
            use(name)


def test_a_place_is_named_once():
    for use in [pso.attach, pso.open, pso.unlink]:
        with pytest.raises((TypeError, ValueError)):
            use()
    with pytest.raises((TypeError, ValueError)):
        pso.create("both", dir="/tmp/both")
    with pytest.raises(TypeError):
        pso.create(5)


def test_list_spaces_names_what_is_there(names):
    name = names()
    with pso.create(name, size="2M"):
        assert name in pso.list_spaces()
    pso.unlink(name)
    assert name not in pso.list_spaces()


def test_of_two_creators_one_wins(names, start):
    for _ in range(5):
        name = names()
        racing = [start(children.create_and_say, name) for _ in range(2)]
        for child in racing:
            child.ready()
        for child in racing:
            child.pipe.send("go")
        assert sorted(child.receive() for child in racing) == ["FileExistsError", "made"]
        pso.unlink(name)


def test_a_killed_creator_is_in_nobodys_way(names, start):
    name = names()
    for _ in range(10):
        child = start(children.create_for_ever, name)
        child.ready()
        child.kill()
        pso.open(name, size="2M").close()
        pso.unlink(name)
    assert not [entry for entry in os.listdir("/dev/shm") if entry.startswith(".pso-") and name in entry]


def test_a_link_in_the_place_of_a_space_is_not_followed(names, tmp_path):
    real, false = names(), names()
    with pso.create(real, size="2M"):
        os.symlink(f"/dev/shm/pso.{real}", f"/dev/shm/pso.{false}")
        try:
            with pytest.raises(pso.ForeignFileError, match="link"):
                pso.attach(false)
        finally:
            os.unlink(f"/dev/shm/pso.{false}")


def test_the_default_space_is_the_first_one_until_use_says_otherwise():
    printed = python("""
        import pso
        for make in [lambda: pso.List(), lambda: pso.Dict(), lambda: pso.Queue()]:
            try:
                make()
            except pso.NoSpaceError as error:
                assert isinstance(error, pso.Error) and "pso.create" in str(error), error
            else:
                raise SystemExit("made something nowhere")
        first, second = pso.create(size="2M"), pso.create(size="2M")
        first.root["l"] = pso.List([1])
        pso.use(second)
        second.root["l"] = pso.List([2])
        try:
            first.root["x"] = pso.List()
        except pso.CrossSpaceError:
            pass
        second.close()
        try:
            pso.List()
        except pso.NoSpaceError:
            print("as promised")
    """)
    assert printed == "as promised"


def test_what_was_closed_is_given_back(names):
    def held():
        maps = pathlib.Path("/proc/self/maps").read_text()
        return len(os.listdir("/proc/self/fd")), maps.count("pso"), len(maps.splitlines())

    name = names()
    pso.create(name, size="2M").close()
    for _ in range(3):
        pso.attach(name).close()
    before = held()
    for _ in range(60):
        space = pso.attach(name)
        space.root["l"] = [1]
        proxy = space.root["l"]
        del space
        proxy.append(2)
        pso.attach(name).close()
    after = held()
    assert after[0] <= before[0] and after[1] <= before[1] and after[2] <= before[2] + 20


def test_a_space_closed_here_is_opened_again_with_its_objects(names):
    name = names()
    space = pso.create(name, size="2M")
    space.root["x"] = [1]
    proxy = space.root["x"]
    space.close()
    space.close()
    with pytest.raises(pso.SpaceClosedError):
        proxy.append(2)
    with pso.attach(name) as again:
        again.root["x"].append(2)
        assert again.root["x"] is proxy and proxy == [1, 2] and not space.closed


def test_many_spaces_at_once(names):
    spaces = [pso.create(names(), size="1M") for _ in range(30)]
    for number, space in enumerate(spaces):
        space.root["number"] = number
    assert [space.root["number"] for space in spaces] == list(range(30))
    for space in spaces:
        space.close()


def test_an_interpreter_ends_well_whatever_is_open(names):
    name = names()
    python(f"""
        import pso, threading
        space = pso.create({name!r}, size="2M")
        queue = space.Queue(1)
        threading.Thread(target=queue.get, daemon=True).start()
        keep = [space.root, space.List([1]), iter(space.List([1]))]
        keep.append(keep)
    """)
    assert multiprocessing.active_children() == []
    with pso.attach(name) as space:
        assert space.fsck() == []
