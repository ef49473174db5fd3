"""Child processes of the tests of collections: who moves, holds, collects."""

import random

import pso


def move_for_ever(pipe, space, boxes, seed):
    """Takes lists out of boxes and puts them into others, in every way that changes who names what; makes garbage by the way."""
    chance = random.Random(seed)

    @space.transactional
    def move(first, second):
        if not boxes[first]:
            return
        taken = boxes[first].pop()
        match chance.randrange(4):
            case 0:
                boxes[second].append(taken)
            case 1:  # Into something new, and out of what it was in.
                boxes[second].insert(0, list(taken))
            case 2:
                boxes[second].append(taken)
                boxes[second] = list(boxes[second]) + [["garbage"]]
                boxes[second].pop()
            case _:  # Through a tuple.
                boxes[second].append((taken, "x" * 100)[0])

    pipe.send("ready")
    while True:
        move(chance.randrange(len(boxes)), chance.randrange(len(boxes)))
        kept = boxes[chance.randrange(len(boxes))]
        ring = space.List([["a ring"]])
        ring.append(ring)
        del kept, ring


def collect_for_ever(pipe, space):
    """Collects."""
    pipe.send("ready")
    while True:
        space.collect()


def hold_item(pipe, space, key):
    """Keeps what stands under a key of the root."""
    kept = space.root[key]
    pipe.send("ready")
    pipe.recv()
    del kept


def hold_in_a_transaction(pipe, space, key):
    """Is in the middle of a transaction, and has read what stands under a key, until it is told to go on."""

    def body():
        len(space.root[key])
        pipe.send("ready")
        pipe.recv()

    space.run(body, readonly=True)


def collect_once(pipe, name):
    """Collects in a space, and says what came of it."""
    with pso.attach(name) as space:
        pipe.send(space.collect())
