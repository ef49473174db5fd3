"""The stubs say what the module has. The danger: an editor and a type checker that believe in what is not there."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("mypy", reason="NOT RUN: mypy is not installed")


def run(*command, folder):
    """Runs a module of Python; gives its exit code and all that it said."""
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=100, cwd=folder)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.seconds(120)
def test_the_stubs_agree_with_the_module(tmp_path):
    code, said = run("mypy.stubtest", "pso", folder=tmp_path)
    assert code == 0, said


@pytest.mark.seconds(120)
def test_types_are_followed_through_containers_and_transactions(tmp_path):
    (tmp_path / "use.py").write_text(
        textwrap.dedent("""
            import pso

            space = pso.create("typed", size="1G")
            counts: pso.Dict[str, int] = space.Dict()
            names: pso.List[str] = pso.List(["a"])
            tasks: pso.Queue[str] = space.Queue(5)

            @space.transactional
            def add(name: str, by: int = 1) -> int:
                counts[name] += by
                return counts[name]

            @pso.transactional
            def first(items: "pso.List[str]") -> str:
                if not items:
                    pso.retry()
                return items[0]

            reveal_type(add("a"))
            reveal_type(first(names))
            reveal_type(space.run(add, "a", timeout=1.5))
            reveal_type(names[0])
            reveal_type(counts.get("a"))
            reveal_type(tasks.get(timeout=1))
            reveal_type([name.upper() for name in names])
            reveal_type(pso.or_else(tasks.get, lambda: "none"))

            @space.atomically
            def total() -> float:
                return float(sum(counts.values()))

            @space.transactional(timeout=5, readonly=True)
            def count(name: str) -> int:
                return counts[name]

            reveal_type(list(reversed(counts.keys())))
            reveal_type(list(reversed(counts.items())))
            reveal_type(list(reversed(counts.values())))
            reveal_type(dict(counts.keys().mapping))
            reveal_type(counts | {"b": 2})
            reveal_type({"b": 2} | counts)
            reveal_type(counts | counts)
            reveal_type(counts | {1: "b"})
            tasks.put_nowait(item="a")

            reveal_type(total)
            reveal_type(count("a"))
            add(5)
            counts[1] = 2
            names.append(3)
            count(1)
        """)
    )
    code, said = run("mypy", "--strict", "--cache-dir", str(tmp_path), "use.py", folder=tmp_path)
    assert code == 1
    revealed = [line.split('"')[1] for line in said.splitlines() if "Revealed type" in line]
    assert [kind.replace("builtins.", "") for kind in revealed] == [
        "int",
        "str",
        "int",
        "str",
        "int | None",
        "str",
        "list[str]",
        "str",
        "list[str]",
        "list[tuple[str, int]]",
        "list[int]",
        "dict[str, int]",
        "dict[str, int]",
        "dict[str, int]",
        "dict[str, int]",
        "dict[str | int, int | str]",
        "float",
        "int",
    ], said
    errors = [line for line in said.splitlines() if "error:" in line]
    assert len(errors) == 4 and all(
        f"use.py:{line}:" in error for line, error in zip((49, 50, 51, 52), errors, strict=True)
    ), said
