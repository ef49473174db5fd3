"""What child processes run that load and make pickles. See `children`."""

import pickle

# More of one object than are kept one by one.
MANY = 1100


def never_loaded(shared):
    """Pickles of it; those at the end are of the kind that lasts."""
    return [pickle.dumps(shared) for _ in range(MANY)]


def one_that_lasts(shared):
    """A pickle of it, behind so many that have been loaded since: nothing else holds it."""
    *others, last = never_loaded(shared)
    for each in others:
        pickle.loads(each)
    return last


def load_when_told(pipe):
    """Loads what it is sent, says what it is, and drops it."""
    pipe.send("ready")
    while True:
        (pickled,) = pipe.recv()
        pipe.send(pickle.loads(pickled).to_python())


def send_one_that_lasts(pipe, space):
    """Sends a pickle, and holds nothing else of its object."""
    pipe.send(one_that_lasts(space.List([1])))
    pipe.recv()
