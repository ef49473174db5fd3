"""The exceptions of pso. Each names what went wrong and where; none loses what was committed before."""


class Error(Exception):
    """Base of what pso raises and no builtin exception describes."""


class NoSpaceError(Error, RuntimeError):
    """No space was named, and this interpreter has no default one: none is open, or the default one was closed."""


class SpaceClosedError(Error, ValueError):
    """The space was closed in this interpreter."""


class NotShareableError(Error, TypeError):
    """A local object was to be shared. The message names its path; nothing was changed."""


class CrossSpaceError(Error, ValueError):
    """A transaction touched a second space, or an object of another space was to be stored."""


class StaleHandleError(Error, ReferenceError):
    """The object behind a handle is gone, or not committed yet, or the handle never named one."""


class ArenaFull(Error, MemoryError):
    """The space, or the system's memory behind it, has no room. The transaction is rolled back; the space goes on."""


class TooLargeError(Error, OverflowError):
    """A value is longer than what lies side by side in the space, or a transaction reads or changes more values than it can note, however
    much of the space is free. The transaction is rolled back."""


class NoAddressesError(Error, MemoryError):
    """The process has no range of addresses left in which the space could lie (``ulimit -v``). The space is as it was."""


class FileLimitError(Error, OSError):
    """A file of the space would be longer than this process may have files (``ulimit -f``). No signal is sent, nothing changed."""


class NoPlaceError(Error, RuntimeError):
    """All places of the space for processes, or for threads at work, are taken. The message says how many there are, and by
    whom."""


class InUseError(Error, RuntimeError):
    """The space is open somewhere, and what was asked for needs it to be open nowhere. The message names a process that has it."""


class CorruptSpaceError(Error):
    """The space is damaged: a word was read that nothing of pso writes."""


class ForeignFileError(Error):
    """The file is no space."""


class VersionError(Error):
    """The space was laid out by another build of pso, or needs what this one does not know."""


class OlderFormatError(VersionError):
    """The space has an older format."""


class NewerFormatError(VersionError):
    """The space has a newer format."""


class OtherBootError(Error):
    """The space is from before the last reboot."""


class ForkedInTransactionError(Error, RuntimeError):
    """The process was forked inside a transaction, which goes on in the parent only."""


class TransactionTimeout(Error, TimeoutError):
    """A transaction did not commit in the time or the attempts that it was given. Nothing of it exists."""


class ReadOnlyError(Error, RuntimeError):
    """Something in a read-only transaction writes. Nothing of the whole transaction exists."""


class ConflictError(BaseException):
    """Another transaction went first. Passes through the body and makes it run again; not an Exception, so that
    ``except Exception`` does not swallow it."""


class RetryRequest(BaseException):
    """The body called ``pso.retry()``. Passes through it as ConflictError does."""
