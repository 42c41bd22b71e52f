"""`python -m tests.kernel.ask SCRIPT` (or - for standard input): what Linux does with it, operation by operation, and
where vmcore first does something else. `--linux`: without vmcore."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.kernel import linux, sim
from tests.kernel.compare import Step, difference, lines, run
from tests.kernel.script import parse
from tests.kernel.state import State


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script")
    parser.add_argument("--linux", action="store_true", help="do not run vmcore")
    args = parser.parse_args()
    reason = linux.why_not()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    ops = parse(sys.stdin.read() if args.script == "-" else Path(args.script).read_text())
    before: State = {}
    with linux.Box() as real:
        steps: list[Step] = []
        for op, step in zip(ops, run(real, ops), strict=True):
            steps.append(step)
            faults = "" if step.outcome.faults == (0, 0) else "  faults {} {}".format(*step.outcome.faults)
            print(f"{op}  ->  {step.outcome}{faults}")
            for proc, space in (step.state or {}).items():
                if space != before.get(proc):
                    sizes = " ".join(f"{name} {pages}" for name, pages in space.sizes.items())
                    print(f"    p{proc} {sizes}", *(f"       {line}" for line in lines(space)), sep="\n")
            before = step.state or {}
    if args.linux:
        return 0
    with sim.Box(rights=linux.rights(), **linux.tunables()) as ours:
        for i, step in enumerate(run(ours, ops)):
            found = difference(ops, i, steps[i], step, frames=linux.frame_numbers())
            if found is not None:
                print(f"\n{found}")
                return 1
    print("\nvmcore does the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
