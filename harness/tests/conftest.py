"""The package of the benchmarks is not installed: it is found where it stands."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
