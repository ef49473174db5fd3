"""Processes that work for a while and say what they did. If one of them ends without a word nobody is waited for."""

import multiprocessing
from multiprocessing.connection import wait
from typing import Any


def answers(context: Any, target: Any, arguments: list[tuple]) -> list[Any]:
    """What each process sends that calls `target` with its arguments and the end of a pipe. Whoever is left after a failure is killed."""
    workers, readers = [], []
    try:
        for each in arguments:
            reader, writer = context.Pipe(duplex=False)
            workers.append(context.Process(target=target, args=(*each, writer)))
            workers[-1].start()
            # The process has the only one now: with it the pipe ends.
            writer.close()
            readers.append(reader)
        told = _told(readers)
        for number, worker in enumerate(workers):
            worker.join()
            if worker.exitcode != 0:
                raise RuntimeError(f"process {number} has ended with exit code {worker.exitcode}")
        return told
    except BaseException:
        for worker in workers:
            # One that could not be started is not alive.
            if worker.pid is not None:
                worker.kill()
                worker.join()
        raise


def _told(readers: list[multiprocessing.connection.Connection]) -> list[Any]:
    told: dict[Any, Any] = {}
    while len(told) < len(readers):
        for reader in wait([reader for reader in readers if reader not in told]):
            try:
                told[reader] = reader.recv()
            except EOFError:
                number = readers.index(reader)
                raise RuntimeError(f"process {number} has ended before it said what it did") from None
    return [told[reader] for reader in readers]
