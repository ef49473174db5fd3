"""`pso.List` in two processes against `list`: any sequence of operations, in either process, alone or in transactions."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from machine import TwoProcesses, scalars, values

places = st.booleans()
indices = st.integers(-7, 7)
bounds = st.none() | indices
slices = st.builds(slice, bounds, bounds, st.none() | st.integers(-3, 3))
several = st.lists(values, max_size=6)

steps = st.one_of(
    st.tuples(st.just("append"), values),
    st.tuples(
        st.sampled_from(["extend", "+=", "+", "+=, the other way round", "==", "==, the other way round"]), several
    ),
    st.tuples(st.just("insert"), indices, values),
    st.tuples(st.just("pop")),
    st.tuples(st.just("pop"), indices),
    st.tuples(st.sampled_from(["remove", "index", "count", "__contains__"]), scalars),
    st.tuples(st.sampled_from(["reverse", "copy", "__len__"])),
    st.tuples(st.just("sort"), st.booleans()),
    st.tuples(st.just("__getitem__"), indices | slices),
    st.tuples(st.just("replace"), indices, values),
    st.tuples(st.just("replace"), slices, several),
    st.tuples(st.just("delete"), indices | slices),
    st.tuples(st.just("into"), indices, scalars),
    st.tuples(st.sampled_from(["*=", "*"]), st.integers(-1, 2)),
)


class ListMachine(TwoProcesses):
    @initialize(content=several)
    def start(self, content):
        self.begin(list(content), self.space.List(content))

    @rule(here=places, step=steps)
    def operate(self, here, step):
        if len(self.builtin) < 200 or step[0] != "*=":
            self.step(here, *step)

    @rule(here=places, group=st.lists(steps, min_size=1, max_size=6), commits=st.booleans())
    def transact(self, here, group, commits):
        if len(self.builtin) > 50:
            group = [step for step in group if step[0] != "*="]
        self.steps(here, group, commits)

    @rule(here=places, number=st.integers(20, 60))
    def grow(self, here, number):
        self.step(here, "extend", list(range(number)))

    @rule(here=places)
    def clear(self, here):
        self.step(here, "clear")


ListMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
# 5 s if all is well. What fails is made smaller, step by step, for up to 5 minutes: a time limit would hide the failure.
TestListInTwoProcesses = pytest.mark.seconds(360)(ListMachine.TestCase)
