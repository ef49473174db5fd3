"""What runs when the interpreter ends."""

import os
import sys

from . import _core

_PROCESS = os.getpid()
# Then what it runs at the end comes behind what we run.
_MULTIPROCESSING_WAS_FIRST = "multiprocessing.util" in sys.modules
# `multiprocessing` runs what has less than 0 when all children have ended, and this behind its queues.
_LAST = -1000


def finalize():
    """Ends all spaces of this interpreter, behind the children that `multiprocessing` waits for: one that is still to load what it was given would find nothing
    of a space that nobody else has open, and what no root reaches would be gone.
    """
    util = sys.modules.get("multiprocessing.util")
    # In the child of a bare fork it gives up at the children of its parent.
    waits = _MULTIPROCESSING_WAS_FIRST and os.getpid() == _PROCESS and not getattr(util, "_exiting", True)
    if waits:
        # In its own turn: hooks that were registered in between may be what those children wait for.
        util.Finalize(None, _core._finalize, exitpriority=_LAST)
    else:
        _core._finalize()
