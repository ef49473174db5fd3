"""What one thread has begun, and another meets before it is over."""

import gc
import threading
import weakref

import pso
import pytest


def test_what_a_transaction_has_made_is_not_there_for_others_before_it_has_committed(space):
    """The danger: it is rolled back, and what another thread writes into it goes into whatever is in its place by then."""
    made, looked = threading.Event(), threading.Event()
    given = []

    def make(fails):
        given.append(space.Dict(a=1))
        given.append(space.List([1]))
        space.root["made"] = given[0]
        made.set()
        assert looked.wait(20)
        if fails:
            raise KeyError("made")

    for fails in (True, False):
        given.clear(), made.clear(), looked.clear()
        outcome = []

        def run(fails=fails, outcome=outcome):
            try:
                space.run(make, fails)
            except KeyError:
                outcome.append("rolled back")

        thread = threading.Thread(target=run)
        thread.start()
        assert made.wait(20)
        table, items = given
        uses = [
            lambda table=table: table["a"],
            lambda table=table: table.__setitem__("b", "long text " * 10),
            lambda items=items: items.append(2),
            lambda items=items: len(items),
            lambda table=table: space.run(lambda: table.update(c=1)),
            lambda table=table: space.root.__setitem__("other", table),
            lambda items=items: items.index(1),
        ]
        for use in uses:
            with pytest.raises(pso.StaleHandleError):
                use()
        looked.set()
        thread.join(20)
        if fails:
            assert outcome == ["rolled back"] and "made" not in space.root
            for use in uses:
                with pytest.raises(pso.StaleHandleError):
                    use()
        else:
            table["b"] = 2
            assert space.root["made"] == {"a": 1, "b": 2}
    assert space.fsck() == []


def test_decorated_functions_that_threads_drop_at_once_are_dropped(space):
    """The danger: how deep they are in each other is counted for all threads, and the count never comes down again."""

    class Ends:
        def __init__(self, function):
            self.function = function

        def __del__(self):
            self.function()

    def decorated(value):
        return space.transactional(lambda value=value: value)

    for _ in range(120):
        first, second, third = (threading.Event() for _ in range(3))
        one = [decorated(Ends(lambda first=first, second=second: (first.set(), second.wait(20))))]
        two = [decorated(Ends(lambda second=second, third=third: (second.set(), third.wait(20))))]
        ends = [
            threading.Thread(target=lambda one=one, third=third: (one.clear(), third.set())),
            threading.Thread(target=lambda two=two, first=first: (first.wait(20), two.clear())),
        ]
        for thread in ends:
            thread.start()
        for thread in ends:
            thread.join(20)
    kept = Ends(lambda: None)
    gone = weakref.ref(kept)
    function = decorated(kept)
    del function, kept
    gc.collect()
    assert gone() is None
