"""`python -m bench`: run the benchmarks, then print the table of ratios and targets, and draw it. `make bench` is this.

Arguments that it does not know go to pytest: `python -m bench -k storm`.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

import pytest

from bench.build import BUILD, load
from bench.draw import draw
from bench.table import build, emit

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0],
                                     epilog="Other arguments go to pytest: -k storm. BENCH_SCALE=0.1: a tenth.")
    parser.add_argument("--json", metavar="FILE", default=str(BUILD / "table.json"),
                        help="the table as JSON; - is stdout, and then nothing else is (default: %(default)s)")
    args, rest = parser.parse_known_args()
    run = BUILD / "run.json"
    with contextlib.redirect_stdout(sys.stderr) if args.json == "-" else contextlib.nullcontext():
        load()
        run.unlink(missing_ok=True)
        status = pytest.main([str(FOLDER), f"--benchmark-json={run}", *rest])
    if not run.exists() or not run.stat().st_size:
        print("no figures: no benchmark ran to its end", file=sys.stderr)
        return int(status) or 1
    table = build(json.loads(run.read_text(encoding="utf-8")))
    emit(table, args.json)
    drawn = draw(table, BUILD / "table.svg")
    if args.json != "-" and drawn:
        print(f"as a picture: {drawn}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
