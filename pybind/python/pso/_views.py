"""Views of a shared dict: as ``dict.keys()``, ``dict.values()`` and ``dict.items()`` are of a builtin one."""

from collections.abc import ItemsView, KeysView, Set, ValuesView
from types import MappingProxyType

# What tells its length at once, and runs nobody's code when it is gone through.
_PLAIN = frozenset({set, frozenset, dict, list, tuple, type({}.keys()), type({}.values()), type({}.items())})


class _View:
    __slots__ = ()
    _part = 0

    def __init__(self, mapping):
        self._mapping = mapping

    def __iter__(self):
        return self._mapping._iterate(self._part, False)

    def __reversed__(self):
        return self._mapping._iterate(self._part, True)

    def __len__(self):
        return len(self._mapping)

    def __repr__(self):
        return f"{self._name}({list(self)!r})"

    @property
    def mapping(self):
        """The dict, to be read."""
        return MappingProxyType(self._mapping)


class _SetView(_View):
    """Set operations with any iterable, as the builtin views have them; the results are plain sets."""

    __slots__ = ()

    def __and__(self, other):
        # As the builtin: what is less is gone through, and looked up in the rest. Four that are read here cost as much as one that is looked up.
        if (type(other) in _PLAIN or isinstance(other, _View)) and 4 * len(other) < len(self):
            common = self._mapping._common(self._part, list(other))
            if common is not None:
                return set(common)
        return self._intersection(other)

    def __or__(self, other):
        return set(self).union(other)

    def __sub__(self, other):
        return set(self).difference(other)

    def __xor__(self, other):
        return set(self).symmetric_difference(other)

    def __rsub__(self, other):
        return set(other).difference(self)

    __rand__ = __and__
    __ror__ = __or__
    __rxor__ = __xor__


class DictKeys(_SetView, KeysView):
    """A view of the keys; a set."""

    __slots__ = ()
    _name = "dict_keys"
    _part = 0

    def _intersection(self, other):
        return set(self).intersection(other)

    @classmethod
    def _from_iterable(cls, iterable):
        return set(iterable)

    def __contains__(self, key):
        return key in self._mapping


class DictValues(_View, ValuesView):
    """A view of the values."""

    __slots__ = ()
    _name = "dict_values"
    _part = 1

    def __contains__(self, value):
        return any(each is value or each == value for each in self)


class DictItems(_SetView, ItemsView):
    """A view of the pairs; a set where values are hashable."""

    __slots__ = ()
    _name = "dict_items"
    _part = 2

    def _intersection(self, other):
        # The builtin view goes through the other: what cannot be hashed here is in no set.
        return dict(self).items() & other

    @classmethod
    def _from_iterable(cls, iterable):
        return set(iterable)

    def __contains__(self, item):
        return self._mapping._contains_item(item)


assert issubclass(DictKeys, Set)
