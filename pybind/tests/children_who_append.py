"""Children who write beside whole reads, in a module of their own: it is imported by what starts."""

import time

import pso

# Faster than who has read 100,000 items can look at them once more.
PAUSE_SECONDS = 5e-6
LONGEST_SECONDS = 20
MOST = 2_000_000


def append(pipe, root, name):
    """Appends until `root["is_read"]`, but no longer than that; says at the end how often."""
    shared, count = root[name], len(root[name])
    first = count
    pipe.send("ready")
    end = time.monotonic() + LONGEST_SECONDS
    while not root["is_read"] and time.monotonic() < end and count < MOST:
        if name == "items":
            shared.append(count)
        else:
            shared[count] = count
        count += 1
        then = time.monotonic() + PAUSE_SECONDS
        while time.monotonic() < then:
            pass
    root["is_over"] = True
    pipe.send(count - first)


@pso.transactional
def _replace(table):
    before, table["key"] = table["key"], [1]
    before[0] = 2


def replace(pipe, root, name):
    """Puts another [1] in the place of the one in `root[name]["key"]`, which holds something else from then on, until `root["is_read"]`."""
    table, count = root[name], 0
    pipe.send("ready")
    end = time.monotonic() + LONGEST_SECONDS
    while not root["is_read"] and time.monotonic() < end:
        _replace(table)
        count += 1
    pipe.send(count)
