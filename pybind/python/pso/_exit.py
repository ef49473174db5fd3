"""What runs when the interpreter ends."""

import sys

from . import _core


def finalize():
    """Ends all spaces of this interpreter, behind the children that `multiprocessing` waits for.

    It does so in a function for `atexit`, which runs behind ours where it was imported before: a child that is still to
    load what it was given would find nothing of a space that nobody else has open, and what no root reaches would be gone.
    """
    multiprocessing = sys.modules.get("multiprocessing.util")
    wait = getattr(multiprocessing, "_exit_function", None)  # It runs once only, whoever calls it.
    try:
        if wait is not None:
            wait()
    finally:
        _core._finalize()
