"""Ctrl-C in a wait inside a transaction. The danger: something else comes out of it, and whoever catches KeyboardInterrupt never does."""

import contextlib
import ctypes
import functools
import gc
import operator
import os
import signal
import threading
import time
import weakref

import collecting
import pso
import pytest


class Interrupt(KeyboardInterrupt):
    """What the handler raises."""


def interrupt_once_asleep(thread):
    """Sends the signal when the thread of that number sleeps in the kernel."""
    calm = 0
    while calm < 5:
        time.sleep(0.01)
        with open(f"/proc/self/task/{thread}/stat") as stat:
            calm = calm + 1 if stat.read().rpartition(")")[2].split()[0] == "S" else 0
    os.kill(os.getpid(), signal.SIGUSR2)


@pytest.fixture
def wait(space):
    """A function that waits for a value which another thread has locked, and is interrupted in it.

    That one is no block, at which nobody waits inside of an attempt for long, and goes on: who does nothing for 100 ms is stopped.
    """

    def handler(*_):
        raise Interrupt

    def hold():
        def body():
            space.root["held"] = 1
            inside.set()
            for number in range(1000):
                if over.wait(0.02):
                    break
                space.root[f"goes on {number}"] = number

        space.run(body)

    def wait_and_be_interrupted():
        threading.Thread(target=interrupt_once_asleep, args=[threading.get_native_id()]).start()
        space.root["held"] = 2

    space.root["held"] = 0
    before = signal.signal(signal.SIGUSR2, handler)
    inside, over = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(20)
    yield wait_and_be_interrupted
    over.set()
    holder.join(20)
    signal.signal(signal.SIGUSR2, before)


def test_control_c_comes_through_whatever_the_body_does_after_it(space, wait):
    def looks_after_it():
        try:
            wait()
        finally:
            space.root.get("x")

    def looks_in_vain():
        try:
            wait()
        finally:
            with contextlib.suppress(Interrupt):
                space.root.get("x")

    def swallows_it():
        with contextlib.suppress(Interrupt):
            wait()

    def goes_on_with(something):
        with contextlib.suppress(Interrupt):
            wait()
        something()

    bodies = [looks_after_it, looks_in_vain, swallows_it]
    bodies.append(lambda: goes_on_with(pso.retry))
    bodies.append(lambda: goes_on_with(lambda: pso.or_else(space.Queue().get, lambda: None)))
    for body in bodies:
        with pytest.raises(Interrupt):
            space.run(body)
    # It is of that transaction only.
    assert space.run(lambda: "value") == "value" and "x" not in space.root


def test_what_a_handler_has_raised_is_gone_with_the_transaction(space, wait):
    with pytest.raises(Interrupt) as caught:
        space.run(wait)
    kept = weakref.ref(caught.value)
    del caught
    gc.collect()
    assert kept() is None


def test_an_exception_of_the_bodys_own_goes_before_it(space, wait):
    def body():
        try:
            wait()
        except Interrupt:
            raise LookupError from None

    with pytest.raises(LookupError):
        space.run(body)


# What a handler may do with the space of the transaction that it comes into.
DEEDS = {
    "reads": lambda space: space.root.get("beat"),
    "retries": lambda space: pso.retry(),
    "runs": lambda space: space.run(space.root.get, "beat"),
    "chooses": lambda space: pso.or_else(pso.retry, lambda: None),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("stop", [pso.ConflictError, pso.retry])
def test_a_handler_between_two_attempts_cannot_take_part(space, deed, stop):
    """The danger: it is told that the last attempt is over, and what says so comes out of `run`."""
    met = []

    def handler(*_):
        met.append(pso.current().attempt)
        DEEDS[deed](space)

    # Functions in C only: no frame of Python's comes between, where signals would be looked at.
    trip = functools.partial(ctypes.pythonapi.PyErr_SetInterruptEx, int(signal.SIGUSR2))
    lose = functools.partial((none for none in ()).throw, stop) if stop is pso.ConflictError else stop
    read = functools.partial(space.root.get, "x")
    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(RuntimeError, match="at work or asleep"):
            space.run(any, map(operator.call, [read, trip, lose]))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert met == [1] and space.run(lambda: pso.current().attempt) == 1


@pytest.mark.parametrize("deed", DEEDS)
def test_a_handler_in_a_wait_cannot_take_part(space, deed):
    holds, over, thread = threading.Event(), threading.Event(), threading.get_native_id()

    def hold():
        with space.transaction():
            space.root["held"] = 1
            holds.set()
            over.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(20)
    before = signal.signal(signal.SIGUSR2, lambda *_: DEEDS[deed](space))
    try:
        threading.Thread(target=interrupt_once_asleep, args=[thread]).start()
        with pytest.raises(RuntimeError, match="at work or asleep"):
            space.run(lambda: space.root.update(held=2))
    finally:
        signal.signal(signal.SIGUSR2, before)
        over.set()
        holder.join(20)


def test_a_handler_in_the_pause_of_a_full_space_cannot_take_part(space, start):
    """The pause is for others, so there has to be one. The danger: the handler is told that the space is full, which it does not want to know."""
    with pso.create(size="2M") as small:
        small.root["kept"] = []
        start(collecting.hold_item, small, "kept").ready()
        over, told = threading.Event(), []

        def fill():
            small.root["large"] = [["x" * 10_000] for _ in range(1000)]

        def handler(_, frame):
            # Not where it comes into the body: there it would take part.
            if frame.f_code is not fill.__code__ and frame.f_code.co_name != "<listcomp>" and pso.current() is not None:
                try:
                    small.root.get("x")
                except (RuntimeError, pso.Error) as raised:
                    told.append(type(raised))

        def interrupt():
            while not over.wait(0.002):
                os.kill(os.getpid(), signal.SIGUSR2)

        before = signal.signal(signal.SIGUSR2, handler)
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        try:
            for _ in range(3):
                with pytest.raises(pso.ArenaFull):
                    small.run(fill)
        finally:
            over.set()
            interrupter.join(20)
            signal.signal(signal.SIGUSR2, before)
        assert set(told) == {RuntimeError}
