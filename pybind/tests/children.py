"""What the suite's child processes run. Functions at the top of a module: spawn and forkserver look them up by name.

A child gets a pipe as its first argument. It says "ready" on it just before the moment that the test is about.
"""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import sys
import time

END_SECONDS = 20


class Child:
    """A process of the suite, with a pipe to it."""

    def __init__(self, method, function, arguments):
        context = multiprocessing.get_context(method)
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_main, args=(theirs, function, arguments), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self, seconds=END_SECONDS):
        """What the child says next."""
        if not self.pipe.poll(seconds):
            # Where it hangs: see `_main`.
            os.kill(self.process.pid, signal.SIGUSR1)
            time.sleep(0.2)
            raise AssertionError(f"child {self.process.pid} said nothing for {seconds} s")
        return self.pipe.recv()

    def ready(self, seconds=END_SECONDS):
        """Waits until the child is where the test wants it."""
        said = self.receive(seconds)
        assert said == "ready", said
        return self

    def asleep(self, seconds=END_SECONDS):
        """Waits until the child is ready and its main thread sleeps in the kernel."""
        self.ready(seconds)
        deadline = time.monotonic() + seconds
        calm = 0
        while calm < 3:
            assert time.monotonic() < deadline, "the child never came to rest"
            with open(f"/proc/{self.process.pid}/stat") as stat:
                calm = calm + 1 if stat.read().rpartition(")")[2].split()[0] == "S" else 0
            time.sleep(0.01)
        return self

    def ask(self, *what):
        """Sends and waits for the answer."""
        self.pipe.send(what)
        return self.receive()

    def kill(self):
        """SIGKILL, and waits until it is over."""
        self.process.kill()
        self.process.join(END_SECONDS)

    def finish(self, seconds=END_SECONDS):
        """Waits for a good end."""
        self.process.join(seconds)
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGUSR1)
            time.sleep(0.2)
            raise AssertionError(f"child {self.process.pid} goes on after {seconds} s")
        assert self.process.exitcode == 0, f"child ended with {self.process.exitcode}"

    def end(self):
        """Ends it, whatever it does."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join(END_SECONDS)
        self.pipe.close()


def in_child(function, fork=os.fork):
    """Forks; runs the function in the child; gives its exit code."""
    child = fork()
    if child == 0:
        code = 1
        try:
            code = function() or 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _main(pipe, function, arguments):
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True, file=sys.__stderr__)
    function(pipe, *arguments)


# --- Taking part -----------------------------------------------------------------------------------------------------


def echo(pipe, value):
    """Sends back what it was given."""
    pipe.send(value)


def describe(pipe, shared):
    """Sends what it sees in a shared object."""
    pipe.send(shared.to_python())


def change(pipe, shared, key, value):
    """Stores under a key."""
    shared[key] = value


def count(pipe, space, counters, key, times):
    """Adds 1 so many times, each in a transaction."""

    def add():
        counters[key] += 1

    pipe.send("ready")
    for _ in range(times):
        space.run(add)


def attach_and_change(pipe, place, key, value):
    """Attaches by name or directory, and stores under a key of the root."""
    import pso

    with_place = pso.attach(**place)
    with_place.root[key] = value
    with_place.close()


def create_and_say(pipe, name):
    """Makes a space at the same moment as somebody else."""
    import pso

    pipe.send("ready")
    pipe.recv()
    try:
        pso.create(name, size="2M")
        pipe.send("made")
    except FileExistsError as error:
        pipe.send(type(error).__name__)


def create_for_ever(pipe, name):
    """Makes and unlinks a space until somebody kills it."""
    import pso

    pipe.send("ready")
    while True:
        pso.create(name, size="2M").close()
        pso.unlink(name)


def make_and_send(pipe, space):
    """Makes an object and sends its handle; ends when it is told so."""
    made = space.List([1, [2, "made by a child"]])
    pipe.send(made)
    pipe.recv()


def square_into(shared, number):
    """A task of a pool."""
    shared[number] = number * number
    return shared


def append_and_wrap(shared, number):
    """A task of an executor: gives a new object."""
    import pso

    shared.append(number)
    return pso.List([shared])


def forked_in_transaction(space, root):
    """In the child of a fork inside a body: no access is let through. Outside the body it takes part by itself."""
    import threading

    import pso

    accesses = [
        lambda: root["parent"],
        lambda: root.__setitem__("child", 7),
        lambda: len(root),
        lambda: root["list"].append(1),
        lambda: space.List([1]),
        lambda: space.run(lambda: root["parent"]),
    ]
    for number, access in enumerate(accesses):
        try:
            access()
        except pso.ForkedInTransactionError:
            continue
        return 10 + number

    # Another thread of the child is in no transaction: the child has a place of its own.
    def alone():
        root["child"] += 1

    thread = threading.Thread(target=alone)
    thread.start()
    thread.join(10)
    return 1 if thread.is_alive() else 0


def move(pipe, space, shared, seed):
    """Moves between left and right until it is told to end."""
    import random

    chance = random.Random(seed)

    def body(amount):
        shared["left"] -= amount
        shared["right"] += amount

    pipe.send("ready")
    while not pipe.poll():
        space.run(body, chance.randrange(-50, 50))


def shuffle_money(pipe, space, accounts, seed):
    """Moves money, closes accounts and opens others until it is told to end; the sum stays."""
    import random

    chance = random.Random(seed)

    def body():
        source, target = chance.sample(list(accounts), 2)
        if chance.random() < 0.3:
            accounts[f"new account {chance.random()}"] = accounts.pop(source)
        else:
            accounts[source] -= 3
            accounts[target] += 3

    pipe.send("ready")
    while not pipe.poll():
        space.run(body)


# --- Waiting ---------------------------------------------------------------------------------------------------------


def get(pipe, queue, times=1):
    """Takes from a queue, so many times, and sends what it got."""
    pipe.send("ready")
    for _ in range(times):
        pipe.send(queue.get())


def put(pipe, queue, items):
    """Puts items, and says when it is through."""
    pipe.send("ready")
    for item in items:
        queue.put(item)
    pipe.send("done")


def wait_for(pipe, space, shared, key):
    """Sleeps in `retry` until something true stands under a key; sends it."""
    import pso

    def body():
        return shared.get(key) or pso.retry()

    pipe.send("ready")
    pipe.send(space.run(body))


def get_any(pipe, queues):
    """Takes one item from whichever queue has one, and sends it."""
    import pso

    gets = [queue.get for queue in queues]
    pipe.send("ready")
    pipe.send(pso.or_else(*gets))


def consume_any(pipe, queues):
    """Takes from whichever queue has something until it meets None; sends what it took."""
    import pso

    gets = [queue.get for queue in queues]
    pipe.send("ready")
    taken = []
    while (item := pso.or_else(*gets)) is not None:
        taken.append(item)
    pipe.send(taken)


def produce(pipe, queue, producer, number):
    """Puts (producer, 0), (producer, 1), ..."""
    for item in range(number):
        queue.put((producer, item))


def consume(pipe, queue):
    """Takes until it meets None; sends what it took."""
    taken = []
    while (item := queue.get()) is not None:
        taken.append(item)
    pipe.send(taken)


def count_in_blocks(pipe, space, counters, key, times):
    """Adds 1 so many times, each in a block that runs once; sends how often a block began."""
    begun = 0
    pipe.send("ready")
    for _ in range(times):
        with space.transaction():
            begun += 1
            counters[key] += 1
    pipe.send(begun)


# --- Being killed ----------------------------------------------------------------------------------------------------


def hold_locks(pipe, space, shared, keys):
    """Writes in a transaction and never ends it. Says so in the first attempt only."""
    attempts = []

    def body():
        for key in keys:
            shared[key] = "never seen"
        attempts.append(1)
        if len(attempts) == 1:
            pipe.send("ready")
        time.sleep(1000)

    space.run(body)


def hold_block(pipe, space, shared, key):
    """Reads and writes in a block that never ends."""
    with space.transaction():
        shared[key] = "never seen"
        len(shared)
        pipe.send("ready")
        time.sleep(1000)


def add_texts(pipe, space, key, count):
    """Says how many there are."""
    space.root[key] = ["x" * 1000] * count
    pipe.send(len(space.root[key]))


def fill_and_wait(pipe, space):
    """Leaves 60 MB in the space, in superblocks of its own."""
    space.root["texts"] = [f"{number:06}" * 500 for number in range(20_000)]
    pipe.send("ready")
    time.sleep(1000)


def stop_in_block(pipe, space, shared, key):
    """Adds 1 in a block, and stops itself in the middle of it."""
    with space.transaction():
        shared[key] += 1
        pipe.send("ready")
        os.kill(os.getpid(), signal.SIGSTOP)
        shared[key] += 1
    pipe.send("done")


def stop_in_transaction(pipe, space, shared, key):
    """Adds 1 in a transaction, and stops itself in the middle of its first attempt."""
    attempts = []

    def body():
        shared[key] += 1
        attempts.append(1)
        if len(attempts) == 1:
            pipe.send("ready")
            os.kill(os.getpid(), signal.SIGSTOP)

    space.run(body)
    pipe.send(len(attempts))


def transfer_for_ever(pipe, space, accounts, seed):
    """Moves money until somebody kills it."""
    import random

    chance = random.Random(seed)
    number = len(accounts)

    def transfer(source, target, amount):
        accounts[source] -= amount
        accounts[target] += amount

    pipe.send("ready")
    while True:
        source, target = chance.sample(range(number), 2)
        space.run(transfer, source, target, chance.randrange(100))


def replace_for_ever(pipe, space, shared, length, seed):
    """Replaces texts of one letter each until somebody kills it."""
    import random

    chance = random.Random(seed)

    def replace():
        for key in chance.sample(list(shared), 3):
            shared[key] = chance.choice("abcdef") * length

    pipe.send("ready")
    while True:
        space.run(replace)


def read_and_wait(pipe, space, shared, key):
    """Reads in a transaction, which ends when it is told so."""

    def read():
        seen = shared[key]
        pipe.send("ready")
        pipe.recv()
        return seen

    pipe.send(space.run(read))


def read_all_and_end(pipe, shared):
    """Copies all of it, or as much as there is room for, and ends without leaving."""
    import pso

    with contextlib.suppress(pso.ArenaFull):
        shared.to_python()
    os._exit(0)


def grow_for_ever(pipe, space, shared, seed):
    """Inserts, appends and removes until somebody kills it: every structure in the middle of every change."""
    import random

    chance = random.Random(seed)

    def step():
        key = f"key number {chance.randrange(200)}"
        shared["words"][key] = shared["words"].get(key, 0) + 1
        shared["list"].append(key)
        shared["total"] += 1
        if chance.random() < 0.1:
            for word in list(shared["words"])[:5]:
                shared["total"] -= shared["words"].pop(word)
            del shared["list"][: len(shared["list"]) - shared["total"]]

    pipe.send("ready")
    while True:
        space.run(step)


def work_off(pipe, space, tasks, done):
    """Moves tasks from a queue to a list, one transaction each, until it meets None."""

    def step():
        task = tasks.get()
        if task is not None:
            done.append(task)
        return task

    pipe.send("ready")
    while space.run(step) is not None:
        pass


# --- The other process of the state machines -------------------------------------------------------------------------


def obey(pipe):
    """Runs operations on the shared objects that it is sent, until it is told to end."""
    import operations

    subject = None
    while True:
        command, *arguments = pipe.recv()
        if command == "end":
            return
        if command == "subject":
            (subject,) = arguments
            pipe.send("ready")
        else:
            pipe.send(getattr(operations, command)(subject, *arguments))


# --- Holding ---------------------------------------------------------------------------------------------------------


def hold(pipe, *objects):
    """Keeps what it was given until it is told to end."""
    pipe.send("ready")
    pipe.recv()
