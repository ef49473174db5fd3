"""What the state machines do to an object: the same function runs on the builtin, on our proxy here, and in the other process.

Each gives what `differential.outcome` makes of it. A function that raises leaves its object as the builtin does, or, where
the builtin stops half-way, is not here.
"""

import operator

import pso
from differential import SHARED, outcome


class Undone(Exception):
    """Raised to roll a transaction back."""


def apply(subject, name, *arguments):
    """Calls a method, or one of the functions below."""
    return outcome(lambda: OPERATIONS[name](subject, *arguments))


def transaction(subject, steps, commits):
    """Several operations as one transaction of the subject's space, rolled back unless it `commits`."""
    results = []

    @pso.transactional
    def body(subject):
        results[:] = [apply(subject, *step) for step in steps]
        if not commits:
            raise Undone

    try:
        body(subject)
    except Undone:
        results.append("undone")
    return results


def content(subject):
    """Everything, seen in several ways that have to agree."""
    plain = subject.to_python() if isinstance(subject, SHARED) else subject
    if isinstance(plain, dict):
        assert list(subject) == list(plain) and [key for key in reversed(subject)] == list(reversed(plain))
        assert all(key in subject for key in plain)
    else:
        assert list(subject) == plain and list(reversed(subject)) == plain[::-1]
        assert [subject[index] for index in range(len(subject))] == plain
    assert len(subject) == len(plain) and subject == plain
    return repr(plain)


def replace(subject, where, new):
    """`subject[where] = new`"""
    subject[where] = new


def delete(subject, where):
    """`del subject[where]`"""
    del subject[where]


def added_to(subject, other):
    """What a plain list is after ``plain += subject``, by any of its names."""
    plain = alias = list(other)
    plain += subject
    return alias


def into(subject, where, item):
    """Changes a container inside."""
    inner = subject[where]
    if isinstance(inner, (list, pso.List)):
        inner.append(item)
    elif isinstance(inner, (dict, pso.Dict)):
        inner[item] = [item]
    return len(inner)


def in_place(name):
    """`subject += other` and the like."""

    def operate(subject, other):
        result = getattr(subject, name)(other)
        return "itself" if result is subject else result

    return operate


def method(name):
    """`subject.name(...)`"""
    return lambda subject, *arguments: getattr(subject, name)(*arguments)


OPERATIONS = {
    **{
        name: method(name)
        for name in """append extend insert pop remove index count reverse copy clear get setdefault popitem
        update __getitem__ __contains__ __len__""".split()
    },
    "+": operator.add,
    "*": operator.mul,
    "|": operator.or_,
    "==": operator.eq,
    "==, the other way round": lambda subject, other: other == subject,
    "|, the other way round": lambda subject, other: other | subject,
    "+=, the other way round": added_to,
    "replace": replace,
    "delete": delete,
    "into": into,
    "sort": lambda subject, reverse: subject.sort(key=repr, reverse=reverse),
    "keys": lambda subject: list(subject.keys()),
    "values": lambda subject: list(subject.values()),
    "items": lambda subject: list(subject.items()),
    "+=": in_place("__iadd__"),
    "*=": in_place("__imul__"),
    "|=": in_place("__ior__"),
}
