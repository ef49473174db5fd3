"""What a Python programmer is told, and where a key finds nothing. The danger: a wait without end, a wrong find, a sentence that misleads.

Each sentence is checked by the words that say what to do, or where.
"""

import queue
import threading

import pso
import pytest

# --- Waits that nobody could end -------------------------------------------------------------------------------------


def test_retry_where_nothing_was_read_is_refused(space):
    value = space.root.setdefault("value", 1)

    def body():
        if value:
            pso.retry()

    with pytest.raises(RuntimeError, match="has read nothing"):
        space.run(body, timeout=20)
    with pytest.raises(RuntimeError, match="has read nothing"):
        space.run(lambda: pso.or_else(pso.retry, pso.retry), timeout=20)


def test_retry_waits_where_another_alternative_has_read_something(space):
    space.root["flag"] = False

    def first():
        return "set" if space.root["flag"] else pso.retry()

    for alternatives in [(first, pso.retry), (pso.retry, first)]:
        space.root["flag"] = False
        timer = threading.Timer(0.1, space.root.__setitem__, ("flag", True))
        timer.start()
        assert space.run(lambda alternatives=alternatives: pso.or_else(*alternatives), timeout=20) == "set"
        timer.join()


def test_a_wait_of_a_queue_that_ends_by_itself_is_none_without_end(space):
    empty = space.Queue(1)
    with pytest.raises(queue.Empty):
        space.run(lambda: empty.get(timeout=0.05))


# --- Places ----------------------------------------------------------------------------------------------------------


def test_a_directory_with_other_files_is_said_to_be_that(tmp_path):
    (tmp_path / "file").write_text("x")
    for make in [pso.open, pso.create, lambda dir: pso.create(dir=dir, exist_ok=True)]:
        with pytest.raises(FileExistsError, match="is not empty, and holds no space") as caught:
            make(dir=tmp_path)
        assert str(tmp_path) in str(caught.value)
    for look in [pso.attach, pso.unlink, pso.repair]:
        with pytest.raises(FileNotFoundError, match=f"no space in the directory {tmp_path}$"):
            look(dir=tmp_path)
        with pytest.raises(FileNotFoundError, match=f"no directory {tmp_path}/none$"):
            look(dir=tmp_path / "none")
    with pytest.raises(FileExistsError, match="is no directory"):
        pso.create(dir=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"


def test_a_space_that_is_there_is_said_to_be_there(tmp_path):
    with pso.create(dir=tmp_path / "space", size="1M"), pytest.raises(FileExistsError, match="already exists"):
        pso.create(dir=tmp_path / "space", size="1M")


@pytest.mark.parametrize("call", [pso.create, pso.attach, pso.open, pso.unlink])
def test_names_and_places_that_can_be_none_are_value_errors(call):
    for name in (".", ".."):
        with pytest.raises(ValueError, match="cannot be the name of a space"):
            call(name)
    with pytest.raises(ValueError, match="cannot be ''"):
        call(dir="")
