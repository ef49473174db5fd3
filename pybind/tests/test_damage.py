"""A thousand spaces with a wrong byte. The danger: shared memory is everybody's, and a reader that follows a wrong word dies
of it, or never comes back. Attaching refuses, or reads on; an error is in order, an end by a signal or a hang is not.

`PSO_DAMAGES=20000 PSO_DAMAGE_SEED=7` looks further. A failure names seed and number: `python damage.py SPACE SEED N N+1`.
"""

import collections
import os
import pathlib
import subprocess
import sys

import pso
import pytest

DAMAGES = int(os.environ.get("PSO_DAMAGES", "1000"))
SEED = os.environ.get("PSO_DAMAGE_SEED", "1")
WORKERS = 2


@pytest.fixture
def precious(tmp_path):
    """A space with some of everything in it, closed."""
    with pso.create(dir=tmp_path / "space", size="3M") as space:
        root = space.root
        root["list"] = [
            "short",
            "a text that has a block of its own",
            1,
            2.5,
            1e300,
            None,
            True,
            2**100,
            -(2**62),
            b"bytes" * 9,
        ]
        root["list"].extend(range(200))
        root["dict"] = {
            f"key number {number}": {"number": number, "tuple": (number, "x" * number)} for number in range(30)
        }
        root["dict"].update({number: [number] for number in range(100)})
        root["dict"].update({(1, "tuple"): 1, 2.5: 2, b"bytes as a key": 3, None: 4, 2**90: 5})
        for key in range(0, 100, 3):
            del root["dict"][key]
        root["queue"] = space.Queue(50)
        for number in range(30):
            root["queue"].put((number, f"task number {number}", [number]))
        root["ring"] = []
        root["ring"].append(root["ring"])
        root["deep"] = [[[[[["bottom"]]]]]]
        assert space.fsck() == []
    return tmp_path / "space"


@pytest.mark.seconds(60 + DAMAGES // 20)
def test_a_damaged_byte_is_refused_or_read_over_and_kills_nobody(precious):
    parts = [DAMAGES * worker // WORKERS for worker in range(WORKERS + 1)]
    here = pathlib.Path(__file__).parent
    running = [
        subprocess.Popen(
            [sys.executable, here / "damage.py", precious, SEED, str(first), str(last)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for first, last in zip(parts, parts[1:], strict=False)
    ]
    try:
        said = [process.communicate(timeout=50 + DAMAGES // 20) for process in running]
    finally:
        for process in running:
            process.kill()
    lines = [line for output, _ in said for line in output.splitlines()]
    traces = "".join(errors for _, errors in said)
    assert len(lines) == DAMAGES, traces
    counts = collections.Counter(line.split(": ")[-1] for line in lines)
    wrong = [line for line in lines if line.split(": ")[-1] not in ("refused", "read on", "an error while reading")]
    assert not wrong, f"seed {SEED}, {counts}:\n" + "\n".join(wrong) + "\n" + traces[-4000:]
    # All of it has happened, or the damages were none.
    assert counts["refused"] > DAMAGES // 20 and counts["read on"] > DAMAGES // 20
    assert counts["an error while reading"] > DAMAGES // 50
    with pso.attach(dir=precious) as space:
        assert space.fsck() == [] and len(space.root["list"]) == 210
