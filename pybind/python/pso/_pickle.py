"""Handles that travel: a pickled object is its space's address, its kind and its handle."""

from . import _core
from ._errors import Error


def open_space(address):
    """The space at an address; attached if this process has not opened it yet.

    Raises StaleHandleError if another space has taken its name, or if it was anonymous and nobody has it any more.
    """
    kind, uuid, *place = address
    if kind == "anonymous":
        return _core._attach_descriptor(uuid, *place)
    opened = _core._opened(uuid)
    for space in opened:
        if space._address() == address:
            return space
    (where,) = place
    try:
        return _core._attach_again(uuid, *((where, None) if kind == "name" else (None, where)))
    except (OSError, Error):
        # It may be open here by an address that is no more.
        if len(opened) == 1:
            return opened[0]
        raise


def open_object(address, kind, handle, export=None):
    """The proxy of a pickled object. Raises StaleHandleError if the object is gone.

    The sender holds the object, by its export, until somebody has loaded it or the sender ends; until the sender ends, where many pickles of
    the object were on their way.
    """
    return _core._open_object(open_space(address), kind, handle, export)


def reduce_space(space):
    """What ``pickle`` keeps of a space."""
    return open_space, (space._address(),)


def reduce_object(space, kind, handle, export, _proxy):
    """What ``pickle`` keeps of an object."""
    return open_object, (space._address(), kind, str(handle), export)
