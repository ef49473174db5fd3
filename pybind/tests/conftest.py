"""Fixtures of the suite. What they guard: a lost wake-up shows as a test that never ends, and damage shows late.

- every test has its time (60 s, or `@pytest.mark.seconds(n)`): then an alarm raises in it, which also tests that waits
  answer signals. A test that does not even answer that ends the run after twice its time, with all stacks.
- Every space of a fixture is checked by `fsck` when the test is over, and every child is ended.
"""

import faulthandler
import gc
import itertools
import multiprocessing
import os
import signal

import children
import hypothesis
import pso
import pytest
from content import CONTENT

pytest.register_assert_rewrite("differential")

TEST_SECONDS = 60
SPACE_SIZE = "64M"

hypothesis.settings.register_profile(
    "suite",
    deadline=None,  # Two cores, shared: times of single examples say nothing.
    database=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


def pytest_configure(config):
    # What a shell starts in the background ignores Ctrl-C, and so do its children: the tests of Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", f"seconds(n): how long the test may take, if not {TEST_SECONDS} s")


class TookTooLong(Exception):
    """Raised in the main thread when the time of a test is over."""


def _alarm(signal_number, frame):
    faulthandler.dump_traceback(all_threads=True)
    raise TookTooLong("the time of this test is over")


@pytest.fixture(autouse=True)
def time_limit(request):
    marker = request.node.get_closest_marker("seconds")
    seconds = marker.args[0] if marker else TEST_SECONDS
    before = signal.signal(signal.SIGALRM, _alarm)
    faulthandler.dump_traceback_later(2 * seconds, exit=True)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    faulthandler.cancel_dump_traceback_later()
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def no_child_is_left(time_limit):
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join(10)


def sentences(space):
    """What `fsck` finds, once a space is quiet."""
    return list(space.fsck())


@pytest.fixture
def space():
    """An anonymous space, the default one, found whole at the end."""
    space = pso.create(size=SPACE_SIZE)
    pso.use(space)
    yield space
    assert sentences(space) == []
    space.close()


_numbers = itertools.count()


@pytest.fixture
def names():
    """Makes names that nobody else has; what was made under them is unlinked at the end."""
    made = []

    def new():
        made.append(f"test-{os.getpid()}-{next(_numbers)}")
        return made[-1]

    yield new
    for name in made:
        try:
            pso.unlink(name)
        except FileNotFoundError:
            pass


@pytest.fixture
def named_space(names):
    """A space that has a name, the default one, found whole at the end."""
    space = pso.create(names(), size=SPACE_SIZE)
    pso.use(space)
    yield space
    assert sentences(space) == []
    space.close()


@pytest.fixture(params=["anonymous", "named", "directory"])
def any_space(request, names, tmp_path):
    """A space of each kind in turn."""
    if request.param == "anonymous":
        space = pso.create(size=SPACE_SIZE)
    elif request.param == "named":
        space = pso.create(names(), size=SPACE_SIZE)
    else:
        space = pso.create(dir=tmp_path / "space", size=SPACE_SIZE)
    pso.use(space)
    yield space
    assert sentences(space) == []
    space.close()


@pytest.fixture
def start(no_child_is_left):
    """Starts children: `start(children.function, *arguments, method="spawn")` gives a `children.Child`."""
    started = []

    def start_child(function, *arguments, method="spawn"):
        child = children.Child(method, function, arguments)
        started.append(child)
        return child

    yield start_child
    for child in started:
        child.end()


@pytest.fixture
def without_collection():
    """The garbage collector runs only when the test calls it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def filled(tmp_path):
    """A directory with a space that holds CONTENT and is closed."""
    with pso.create(dir=tmp_path / "space", size="2M") as space:
        space.root.update(CONTENT)
    return tmp_path / "space"
