"""Entry points of the demo's processes. Each prints JSON lines; the command `pso demo` starts them and reads them."""

import argparse
import json
import sys

from . import corpus


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pso_demo", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("list", help="which files, as a JSON list in a file")
    part.add_argument("--sample", type=float, default=1.0)
    part.add_argument("--seed", type=int, default=0)
    part.add_argument("--out", required=True)
    part = parts.add_parser("plain", help="the whole job in this process")
    part.add_argument("--names", required=True)
    part.add_argument("--out", required=True)
    part = parts.add_parser("coordinator", help="makes and feeds the space")
    part.add_argument("--space", required=True)
    part.add_argument("--size", required=True)
    part.add_argument("--names", required=True)
    part = parts.add_parser("worker", help="works for a space")
    part.add_argument("--space", required=True)
    part.add_argument("--worker", required=True)
    part.add_argument("--record", help="file for a trace of the first transactions")
    part = parts.add_parser("verify", help="compares a space with the plain result")
    part.add_argument("--space", required=True)
    part.add_argument("--plain", required=True)
    part = parts.add_parser("manager", help="the job on multiprocessing.Manager")
    part.add_argument("--names", required=True)
    part.add_argument("--workers", type=int, required=True)
    part.add_argument("--every", type=int, required=True)
    arguments = parser.parse_args()
    sys.setrecursionlimit(5000)  # the same everywhere: which files are too deep must not depend on the caller
    run(arguments)


def run(arguments: argparse.Namespace) -> None:
    # Imports stand where they are used: the plain and the Manager process must not need pso.
    if arguments.part == "list":
        names = corpus.names(arguments.sample, arguments.seed)
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump(names, file)
        print(json.dumps({"files": len(names), "python": sys.version.split()[0], "root": corpus.root()}))
    elif arguments.part == "plain":
        from . import plain

        print(json.dumps(plain.run(_names(arguments.names), arguments.out)))
    elif arguments.part == "coordinator":
        from . import coordinator

        coordinator.coordinate(arguments.space, arguments.size, _names(arguments.names))
    elif arguments.part == "worker":
        from . import worker

        worker.work(arguments.space, arguments.worker, arguments.record)
    elif arguments.part == "verify":
        from . import verify

        print(json.dumps(verify.verify(arguments.space, arguments.plain)))
    elif arguments.part == "manager":
        from . import manager

        print(json.dumps(manager.run(_names(arguments.names)[:: arguments.every], arguments.workers)))


def _names(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    main()
