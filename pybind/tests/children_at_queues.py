"""What child processes do with queues, beside what is in `children`."""

import contextlib
from queue import Empty


def drain(pipe, queue, timeout):
    """Takes out items until it is told that there are none. Says how many it has had, and how many there are."""
    pipe.send("ready")
    pipe.recv()
    taken = 0
    with contextlib.suppress(Empty):
        while True:
            queue.get(timeout=timeout)
            taken += 1
    pipe.send((taken, queue.qsize()))
