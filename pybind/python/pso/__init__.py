"""Python Shared Objects: lists, dicts and queues in shared memory, changed in transactions.

    import pso

    space = pso.open("shop", size="256M")
    space.root.setdefault("stock", {"tea": 5})

    @space.transactional
    def buy(item):
        stock = space.root["stock"]
        if stock[item] == 0:
            pso.retry()          # sleep until something read here changes
        stock[item] -= 1

Any number of processes open it and see the same objects. Whatever a transaction has changed is wholly there or not at all,
also when a process is killed in the middle.
"""

import atexit as _atexit
import collections.abc as _abc
import os as _os

from . import _core, _exit
from ._core import (
    Dict,
    List,
    Queue,
    Recording,
    Space,
    Transaction,
    __version__,
    attach,
    create,
    current,
    list_spaces,
    open,
    or_else,
    repair,
    retry,
    transactional,
    unlink,
    use,
)
from ._errors import (
    ArenaFull,
    ConflictError,
    CorruptSpaceError,
    CrossSpaceError,
    Error,
    FileLimitError,
    ForeignFileError,
    ForkedInTransactionError,
    InUseError,
    NewerFormatError,
    NoAddressesError,
    NoPlaceError,
    NoSpaceError,
    NotShareableError,
    OlderFormatError,
    OtherBootError,
    ReadOnlyError,
    SpaceClosedError,
    StaleHandleError,
    TooLargeError,
    TransactionTimeout,
    VersionError,
)

__all__ = [
    "ArenaFull",
    "ConflictError",
    "CorruptSpaceError",
    "CrossSpaceError",
    "Dict",
    "Error",
    "FileLimitError",
    "ForeignFileError",
    "ForkedInTransactionError",
    "InUseError",
    "List",
    "NewerFormatError",
    "NoAddressesError",
    "NoPlaceError",
    "NoSpaceError",
    "NotShareableError",
    "OlderFormatError",
    "OtherBootError",
    "Queue",
    "ReadOnlyError",
    "Recording",
    "Space",
    "SpaceClosedError",
    "StaleHandleError",
    "TooLargeError",
    "Transaction",
    "TransactionTimeout",
    "VersionError",
    "__version__",
    "attach",
    "create",
    "current",
    "list_spaces",
    "open",
    "or_else",
    "repair",
    "retry",
    "transactional",
    "unlink",
    "use",
]

_abc.MutableMapping.register(Dict)
_abc.MutableSequence.register(List)

_os.register_at_fork(before=_core._before_fork, after_in_parent=_core._after_fork, after_in_child=_core._forked)
_atexit.register(_exit.finalize)
