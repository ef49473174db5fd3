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
            "index": lambda: long.index(-1),
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
