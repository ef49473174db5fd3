"""`pso.Dict` in two processes against `dict`: any sequence of operations, in either process, alone or in transactions."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from machine import TwoProcesses, scalars, values

# Few, so that they meet; equal ones of several types among them.
keys = st.one_of(
    st.integers(-2, 6),
    st.sampled_from(["a", "b", "a longer key", 1.0, True, None, b"a", (1, "x"), 2**70, 0.5, "", -0.0]),
)
places = st.booleans()
pairs = st.dictionaries(keys, values, max_size=5)

steps = st.one_of(
    st.tuples(st.just("replace"), keys, values),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("__getitem__"), keys),
    st.tuples(st.just("get"), keys, scalars),
    st.tuples(st.just("setdefault"), keys, values),
    st.tuples(st.just("pop"), keys),
    st.tuples(st.just("pop"), keys, scalars),
    st.tuples(st.just("popitem")),
    st.tuples(st.just("update"), pairs),
    st.tuples(st.just("into"), keys, scalars),
    st.tuples(st.just("__contains__"), keys),
    st.tuples(st.sampled_from(["__len__", "keys", "values", "items", "copy"])),
    st.tuples(st.sampled_from(["|", "|, the other way round", "|=", "==", "==, the other way round"]), pairs),
)


class DictMachine(TwoProcesses):
    @initialize(content=pairs)
    def start(self, content):
        self.begin(dict(content), self.space.Dict(content))

    @rule(here=places, step=steps)
    def operate(self, here, step):
        self.step(here, *step)

    @rule(here=places, group=st.lists(steps, min_size=1, max_size=6), commits=st.booleans())
    def transact(self, here, group, commits):
        self.steps(here, group, commits)

    @rule(here=places, number=st.integers(20, 60))
    def grow(self, here, number):
        self.step(here, "update", {f"key number {each}": each for each in range(number)})

    @rule(here=places)
    def clear(self, here):
        self.step(here, "clear")


DictMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
# 5 s if all is well. What fails is made smaller, step by step, for up to 5 minutes: a time limit would hide the failure.
TestDictInTwoProcesses = pytest.mark.seconds(360)(DictMachine.TestCase)
