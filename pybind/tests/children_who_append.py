"""A child who makes a container longer, in a module of its own: it is imported by what starts."""

import time

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
