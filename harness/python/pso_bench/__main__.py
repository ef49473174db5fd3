"""Entry points: `bank`, `manager`, `wake` and `garbage` print one line of JSON; `micro` is pyperf's."""

import argparse
import json
import sys


def main() -> None:
    # pyperf has its own options.
    if sys.argv[1:2] == ["micro"]:
        from . import micro

        micro.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["wake"]:
        from . import wake

        wake.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["garbage"]:
        from . import garbage

        garbage.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m pso_bench", description=__doc__)
    parser.add_argument("kind", choices=["bank", "manager"])
    parser.add_argument("--accounts", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.kind == "bank":
        from .bank import run
    else:
        from .manager import run
    print(json.dumps(run(arguments.accounts, arguments.processes, arguments.seconds, arguments.seed)))


if __name__ == "__main__":
    main()
