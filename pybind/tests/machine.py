"""The part that both state machines share: two processes that work on one object, and a builtin that says what is right.

The danger is in the seams: what one process keeps in mind of an object (places, iterators, its own log) when another has
changed it in between, in an order that nobody would write down by hand.
"""

import atexit
import copy

import children
import operations
import pso
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.binary(max_size=9),
)
values = st.one_of(
    scalars,
    scalars,
    st.tuples(scalars, st.text(max_size=3)),
    st.lists(scalars, max_size=3),
    st.dictionaries(scalars, scalars, max_size=3),
)

_pair = []


def pair():
    """The space and the other process, made once a test: an example costs an object, not a process."""
    if not _pair or not _pair[1].process.is_alive():
        space = pso.create(size="1G")
        child = children.Child("spawn", children.obey, ())
        atexit.register(child.end)
        _pair[:] = space, child
    return _pair


class TwoProcesses(RuleBasedStateMachine):
    """Runs every step on the builtin and, `here` or there, on the shared object."""

    def __init__(self):
        super().__init__()
        self.space, self.child = pair()

    def begin(self, builtin, shared):
        """Both start equal."""
        self.builtin, self.shared = builtin, shared
        assert self.child.ask("subject", shared) == "ready"

    def step(self, here, name, *arguments):
        """One operation, a transaction of its own."""
        expected = operations.apply(self.builtin, name, *copy.deepcopy(arguments))
        if here:
            assert operations.apply(self.shared, name, *arguments) == expected
        else:
            assert self.child.ask("apply", name, *arguments) == expected

    def steps(self, here, steps, commits):
        """Several as one transaction."""
        before = copy.deepcopy(self.builtin)
        # Copies: the builtin keeps what it is given, and a later step changes it.
        expected = [operations.apply(self.builtin, *copy.deepcopy(step)) for step in steps]
        if not commits:
            expected.append("undone")
            self.builtin = before
        given = (
            operations.transaction(self.shared, steps, commits)
            if here
            else self.child.ask("transaction", steps, commits)
        )
        assert given == expected

    @invariant()
    def both_processes_see_the_same(self):
        if hasattr(self, "builtin"):
            expected = operations.content(self.builtin)
            assert operations.content(self.shared) == expected
            assert self.child.ask("content") == expected

    def teardown(self):
        assert self.space.fsck() == []
