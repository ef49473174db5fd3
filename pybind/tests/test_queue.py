"""`pso.Queue` as `queue.Queue`. The dangers: an item lost, given twice or torn, and a wait that nobody ends."""

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import children
import children_at_queues
import pso
import pytest


def later(seconds, function, *arguments):
    """Calls it from another thread, somewhat later."""
    timer = threading.Timer(seconds, function, arguments)
    timer.start()
    return timer


def test_first_in_first_out_also_past_the_end_of_its_ring(space):
    shared = space.Queue(3)
    for number in range(0, 30, 2):
        shared.put(number)
        shared.put(number + 1)
        assert shared.get() == number
        assert shared.get() == number + 1
    assert shared.empty()


def test_it_says_how_full_it_is(space):
    shared = space.Queue(2)
    assert (shared.maxsize, shared.qsize(), shared.empty(), shared.full()) == (2, 0, True, False)
    shared.put(1)
    assert (shared.qsize(), shared.empty(), shared.full()) == (1, False, False)
    shared.put(2)
    assert (shared.qsize(), shared.empty(), shared.full()) == (2, False, True)
    assert "2" in repr(shared)


def test_full_and_empty_raise_what_the_standard_library_raises(space):
    shared = space.Queue(1)
    for take in [
        shared.get_nowait,
        lambda: shared.get(block=False),
        lambda: shared.get(False),
        lambda: shared.get(timeout=0),
    ]:
        with pytest.raises(queue.Empty):
            take()
    shared.put("only")
    for give in [
        lambda: shared.put_nowait(1),
        lambda: shared.put_nowait(item=1),
        lambda: shared.put(1, block=False),
        lambda: shared.put(1, False),
        lambda: shared.put(1, timeout=0),
    ]:
        with pytest.raises(queue.Full):
            give()
    assert shared.get() == "only" and shared.empty()
    shared.put_nowait(item="named")
    assert shared.get() == "named"


def test_a_timeout_is_kept_neither_early_nor_long_after(space):
    shared = space.Queue(1)
    begun = time.monotonic()
    with pytest.raises(queue.Empty):
        shared.get(timeout=0.2)
    assert 0.19 < time.monotonic() - begun < 2
    shared.put(1)
    begun = time.monotonic()
    with pytest.raises(queue.Full):
        shared.put(2, True, 0.2)
    assert 0.19 < time.monotonic() - begun < 2


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(space, wrong):
    shared = space.Queue(1)
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        shared.get(timeout=wrong)
    with pytest.raises(ValueError):
        shared.put(1, timeout=wrong)
    with pytest.raises(TypeError):
        shared.get(timeout="soon")
    assert shared.empty()


@pytest.mark.parametrize("wrong, error", [(0, ValueError), (-1, ValueError), ("3", TypeError), (1.5, TypeError)])
def test_only_a_bound_that_is_one_is_taken(space, wrong, error):
    with pytest.raises(error):
        space.Queue(wrong)


def test_get_waits_for_a_put(space):
    shared = space.Queue(1)
    timer = later(0.1, shared.put, "late")
    assert shared.get() == "late"
    timer.join()


def test_put_waits_for_a_get(space):
    shared = space.Queue(1)
    shared.put("first")
    timer = later(0.1, shared.get)
    shared.put("second", timeout=10)
    timer.join()
    assert shared.get_nowait() == "second"


def test_containers_go_through_live_and_plain_ones_are_copied(space):
    shared = space.Queue()
    mine = {"work": [1, 2]}
    live = space.List()
    shared.put(mine)
    shared.put(live)
    shared.put(shared)
    first = shared.get()
    assert isinstance(first, pso.Dict) and first == mine
    assert shared.get() is live and shared.get() is shared


def test_it_lives_in_containers(space):
    space.root["tasks"] = space.Queue(5)
    space.root["tasks"].put("x")
    assert isinstance(space.root["tasks"], pso.Queue) and space.root["tasks"].get() == "x"


def test_what_a_rolled_back_transaction_did_is_undone(space):
    shared = space.Queue(5)
    shared.put("stays")

    def body():
        assert shared.get() == "stays"
        shared.put("never")
        raise LookupError

    with pytest.raises(LookupError):
        space.run(body)
    assert shared.qsize() == 1 and shared.get() == "stays"


def test_a_transaction_moves_an_item_wholly_or_not(space):
    here, there = space.Queue(2), space.Queue(1)
    here.put("a")
    there.put("in the way")

    def move():
        item = here.get()
        there.put(item)
        return item

    with pytest.raises(pso.TransactionTimeout):
        space.run(move, timeout=0.1)
    assert here.qsize() == 1 and there.qsize() == 1
    timer = later(0.1, there.get)
    assert space.run(move) == "a"
    timer.join()
    assert here.empty() and there.get() == "a"


def test_a_timeout_of_a_get_counts_inside_a_transaction_too(space):
    shared = space.Queue(1)

    def patient():
        try:
            return shared.get(timeout=0.1)
        except queue.Empty:
            return "nothing came"

    begun = time.monotonic()
    assert space.run(patient) == "nothing came"
    assert 0.09 < time.monotonic() - begun < 2
    timer = later(0.1, shared.put, "came")

    def more_patient():
        return shared.get(timeout=10)

    assert space.run(more_patient) == "came"
    timer.join()


def test_get_in_a_transaction_waits_for_any_of_the_queues_that_it_tried(space):
    queues = [space.Queue(1) for _ in range(3)]

    def first_of_all():
        for each in queues:
            try:
                return each.get_nowait()
            except queue.Empty:
                pass
        pso.retry()

    timer = later(0.1, queues[2].put, "third")
    assert space.run(first_of_all) == "third"
    timer.join()


def test_threads_lose_nothing_and_get_nothing_twice(space):
    shared = space.Queue(4)

    def produce(producer):
        for number in range(150):
            shared.put((producer, number))

    def consume(_):
        return [shared.get(timeout=20) for _ in range(150)]

    with ThreadPoolExecutor(4) as pool:
        producers = [pool.submit(produce, producer) for producer in range(2)]
        taken = list(pool.map(consume, range(2)))
        for producer in producers:
            producer.result()
    assert sorted(taken[0] + taken[1]) == [(producer, number) for producer in range(2) for number in range(150)]
    for one in taken:
        for producer in range(2):
            mine = [item for item in one if item[0] == producer]
            assert mine == sorted(mine)


def test_processes_lose_nothing_and_get_nothing_twice(any_space, start):
    shared = any_space.Queue(4)
    producers = [start(children.produce, shared, producer, 400) for producer in range(2)]
    consumers = [start(children.consume, shared) for _ in range(2)]
    for producer in producers:
        producer.finish()
    for _ in consumers:
        shared.put(None)
    taken = [consumer.receive() for consumer in consumers]
    assert sorted(taken[0] + taken[1]) == [(producer, number) for producer in range(2) for number in range(400)]
    for consumer in consumers:
        consumer.finish()


@pytest.mark.parametrize("timeout", [0, 1e-5])
def test_who_has_no_time_is_told_of_nothing_that_is_not_so(space, start, timeout):
    """The danger: another consumer goes first, the time is over, and a queue of thousands is called empty."""
    queue = space.Queue(100_000)
    for number in range(60_000):
        queue.put(number)
    consumers = [start(children_at_queues.drain, queue, timeout).ready() for _ in range(2)]
    for consumer in consumers:
        consumer.pipe.send("go")
    taken, left = zip(*(consumer.receive() for consumer in consumers), strict=True)
    assert sum(taken) == 60_000 and left == (0, 0)


def test_a_timeout_that_has_passed_is_no_other_waits(space):
    first, second = space.Queue(1), space.Queue(1)

    @space.transactional
    def body():
        with pytest.raises(queue.Empty):
            first.get(timeout=0.05)
        return second.get()

    sender = threading.Timer(0.3, second.put, ["came"])
    sender.start()
    assert body() == "came"
    sender.join()

    @space.transactional
    def longer():
        with pytest.raises(queue.Empty):
            first.get(timeout=0.05)
        return second.get(timeout=10)

    sender = threading.Timer(0.3, second.put, ["came"])
    sender.start()
    assert longer() == "came"
    sender.join()


def test_a_generator_is_no_transaction(space):
    def generator():
        yield

    with pytest.raises(TypeError, match="generator"):
        space.run(generator)


def test_what_is_taken_out_is_given_however_deep_the_stack_is(space):
    shared, got = space.Queue(2000), []
    for number in range(1500):
        shared.put((1 << 70) + number)

    def take():
        got.append(shared.get_nowait())
        take()

    with pytest.raises(RecursionError):
        take()
    assert len(got) + shared.qsize() == 1500 and got == [(1 << 70) + number for number in range(len(got))]


def test_a_put_is_not_run_again_for_what_others_take(space):
    shared = space.Queue(10)
    shared.put(1), shared.put(2)
    attempts = []

    def body():
        attempts.append(1)
        shared.put("x")
        if len(attempts) == 1:
            taker = threading.Thread(target=shared.get)
            taker.start()
            taker.join(20)

    space.run(body)
    assert len(attempts) == 1 and [shared.get(), shared.get()] == [2, "x"]


def test_a_queue_takes_memory_for_what_is_in_it_and_not_for_what_was_ever_put(space):
    """The ring of a large one is as large as its items ask for."""
    queue = space.Queue(10**7)
    for n in range(1000):
        queue.put(n)
        queue.put(-n)
        assert (queue.get(), queue.get()) == (n, -n)
    space.collect()
    before = space.stats()["used"]
    for n in range(20_000):
        queue.put(n)
        assert queue.get() == n
    assert space.stats()["used"] - before < 100_000
    waves = [n for _ in range(3) for n in range(3000)]
    for n in waves:
        queue.put(n)
    assert [queue.get() for _ in waves] == waves and queue.empty()
