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
