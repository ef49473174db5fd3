"""Users give more, and shared containers hold more, than this process has memory for. Each test sets its limit in a process of its own."""

from test_limits import alone


def test_what_does_not_fit_into_this_process_is_an_error_and_not_its_end(tmp_path):
    """The danger: a list of ours that grows by itself ends the process where it cannot."""
    said = alone(
        """
        import itertools, operator
        space = pso.create(size="256M", dir=sys.argv[1] + "/space")
        small, long, large = space.List([1]), space.List(range(1_500_000)), space.Dict()
        for start in range(0, 400_000, 50_000):
            large.update((number, 0) for number in range(start, start + 50_000))
        texts, keyed, key = space.List([b"x" * (8 << 20)]), space.Dict(), tuple(range(1_000_000))
        plain, keys = [0] * 1_500_000, dict.fromkeys(range(400_000), 0)
        endless = lambda: (0 for _ in itertools.count())
        calls = {
            "extend": lambda: small.extend(endless()),
            "+=": lambda: operator.iadd(small, endless()),
            "List": lambda: space.List(endless()),
            "slice =": lambda: operator.setitem(small, slice(0, 1), endless()),
            "extend by a list": lambda: small.extend(plain),
            "extend by a shared list": lambda: small.extend(long),
            "value": lambda: operator.setitem(space.root, "value", plain),
            "tuple": lambda: operator.setitem(space.root, "value", tuple(plain)),
            "nested": lambda: small.append([[0] for _ in range(400_000)]),
            "list": lambda: long[:],
            "to_python": long.to_python,
            "index": lambda: long.index(object()),
            "count": lambda: long.count(-1),
            "reverse": long.reverse,
            "sort": long.sort,
            "delete": lambda: operator.delitem(long, slice(0, None, 2)),
            "repeat": lambda: long * 3,
            "concat": lambda: long + long,
            "compare": lambda: long == long[:],
            "dict": lambda: space.Dict(keys),
            "update": lambda: large.update(keys),
            "copy": large.copy,
            "dict to_python": large.to_python,
            "dict compare": lambda: large == keys,
            "or": lambda: large | {},
            "copy of a long text": texts.copy,
            "repeat of a long text": lambda: operator.imul(texts, 2),
            "long key": lambda: operator.setitem(keyed, key, 1),
        }
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + (6 << 20), resource.RLIM_INFINITY))
        refused = []
        for name, call in calls.items():
            try:
                call()
            except MemoryError as error:
                refused.append(name)
                assert type(error) is MemoryError, error
                del error
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert len(refused) >= 20, refused
        small.extend([2, 3])
        print(small[:1] + small[-2:], len(long), len(large), space.fsck())
        """,
        tmp_path,
    )
    assert said == "[1, 2, 3] 1500000 400000 []\n"


def test_what_a_message_or_a_key_needs_is_an_error_too(tmp_path):
    """The danger: Python's own copy fits, and ours, which is made for a message or a look-up, ends the process."""
    said = alone(
        """
        space = pso.create(size="64M", dir=sys.argv[1] + "/space")
        items, table, size = space.List([1]), space.Dict(a=1), 1 << 19
        text, key, named = "x" * (64 * size), tuple(range(size)), {f"name {number}": number for number in range(size)}
        calls = {
            "index": lambda: items.index(text),
            "key": lambda: table[text],
            "tuple key": lambda: table.get(key),
            "names": lambda: pso.Dict(**named),
        }
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        ends = {name: set() for name in calls}
        for room in range(1, 160, 3):
            resource.setrlimit(resource.RLIMIT_AS, (used + room * size, resource.RLIM_INFINITY))
            for name, call in calls.items():
                try:
                    call()
                    end = "done"
                except (MemoryError, ValueError, KeyError, pso.ArenaFull) as error:
                    end = type(error).__name__
                    del error
                ends[name].add(end)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert "ValueError" in ends["index"] and "KeyError" in ends["key"], ends
        assert ends["tuple key"] == {"done", "MemoryError"} and "MemoryError" in ends["names"], ends
        print(items, table, space.fsck())
        """,
        tmp_path,
    )
    assert said == "[1] {'a': 1} []\n"


def test_what_is_taken_out_stays_where_there_is_no_memory_for_it(tmp_path):
    """The danger: it is gone from the space, and never was outside."""
    said = alone(
        """
        import queue
        space = pso.create(size="256M", dir=sys.argv[1] + "/space")
        size, unlimited = 200_000, resource.RLIM_INFINITY
        long = tuple(range(1_000_000, 1_000_000 + size))
        jobs, items, table, pairs = space.Queue(), space.List([long]), space.Dict(a=long), space.Dict({7: long})
        jobs.put(long)
        takers = {
            "get": (jobs.get_nowait, jobs.put, jobs.qsize),
            "pop": (items.pop, items.append, lambda: len(items)),
            "dict pop": (lambda: table.pop("a"), lambda value: table.update(a=value), lambda: len(table)),
            "popitem": (lambda: pairs.popitem()[1], lambda value: pairs.update({7: value}), lambda: len(pairs)),
        }
        taken, refused = dict.fromkeys(takers, 0), dict.fromkeys(takers, 0)
        for room in range(0, 40):
            for name, (take, put, count) in takers.items():
                used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
                resource.setrlimit(resource.RLIMIT_AS, (used + (room << 19), unlimited))
                try:
                    got = take()
                except MemoryError:
                    got = None
                resource.setrlimit(resource.RLIMIT_AS, (unlimited, unlimited))
                if got is None:
                    refused[name] += 1
                else:
                    assert got == long
                    taken[name] += 1
                    put(got)
                del got
                assert count() == 1, (name, room)
        assert min(taken.values()) > 0 and min(refused.values()) > 0, (taken, refused)
        print(space.fsck())
        """,
        tmp_path,
    )
    assert said == "[]\n"
