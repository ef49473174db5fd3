"""Handles that travel: a pickled object is its space's address, its kind and its handle."""

from . import _core


def open_space(address):
    """The space at an address; attached if this process has not opened it yet."""
    kind, *place = address
    if kind == "name":
        return _core.attach(place[0])
    if kind == "dir":
        return _core.attach(dir=place[0])
    return _core._attach_descriptor(*place)


def open_object(address, kind, handle):
    """The proxy of a pickled object. Raises StaleHandleError if the object is gone."""
    return _core._open_object(open_space(address), kind, handle)


def reduce_space(space):
    """What ``pickle`` keeps of a space."""
    return open_space, (space._address(),)


def reduce_object(space, kind, handle, _proxy):
    """What ``pickle`` keeps of an object."""
    return open_object, (space._address(), kind, str(handle))
