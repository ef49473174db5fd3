"""Ctrl-C in a wait inside a transaction. The danger: something else comes out of it, and whoever catches KeyboardInterrupt never does."""

import contextlib
import gc
import os
import signal
import threading
import time
import weakref

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
