"""Random scripts for as long as one likes: `make fuzz-kernel MINUTES=10 PROFILE=mremap`.

Each difference is shrunk and printed once: what differs like one that was seen (same level, same operation, same words)
is passed over for the rest of the run. Status 1 if there was one.
"""
from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.kernel import linux, sim
from tests.kernel.compare import LEVELS, Difference, first_difference, run
from tests.kernel.profiles import PROFILES, scripts
from tests.kernel.script import Op


def compare(ops: tuple[Op, ...], levels: tuple[str, ...] = LEVELS) -> Difference | None:
    """One script on both."""
    with linux.Box() as real, sim.Box(rights=linux.rights(), **linux.tunables()) as ours:
        return first_difference(ops, run(real, ops), run(ours, ops), levels=levels, frames=linux.frame_numbers())


def signature(found: Difference) -> str:
    """What makes two differences the same: numbers and addresses apart."""
    words = re.sub(r"[@HT]?\d+(\+0x[0-9a-f]+)?(\.\.[@HT]\d+)?|0x[0-9a-f]+", "n", found.told[0])
    return f"{found.level}: {found.op.name}{_detail(found.op)}: {words}"


def _detail(op: Op) -> str:
    text = str(op).split()
    return " " + text[-1] if op.name in ("madvise", "mlock2") else ""


SHRINKING = 60.0        # seconds, at most, that one difference is made smaller


class Differs(AssertionError):
    """So that hypothesis takes each difference for one of its own."""


class Fuzz:
    """One profile, many scripts."""

    def __init__(self, levels: tuple[str, ...]) -> None:
        self.levels = levels
        self.seen: Counter[str] = Counter()
        self.scripts = self.operations = 0
        self.found: list[Difference] = []
        self.missing: set[str] = set()          # calls that vmcore has not: their operations are left out

    def run(self, profile: str, number: int, examples: int) -> Difference | None:
        """So many scripts; the first difference of a kind that is new, shrunk."""
        target: list[str] = []
        failed: dict[tuple[Op, ...], Difference] = {}
        started: list[float] = []

        @seed(number)
        @settings(max_examples=examples, print_blob=False, deadline=None, database=None,
                  phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
                  report_multiple_bugs=False)
        @given(scripts(profile))
        def test(ops: tuple[Op, ...]) -> None:
            if started and time.monotonic() - started[0] > SHRINKING and ops not in failed:
                return                  # nothing better is looked for; what failed still fails
            self.scripts += 1
            self.operations += len(ops)
            found = compare(tuple(o for o in ops if o.name not in self.missing), self.levels)
            if found is None:
                return
            if found.vmcore.outcome.kind == "missing":
                self.missing.add(found.op.name)
                return
            what = signature(found)
            if target:
                if what != target[0]:
                    return
            elif what in self.seen:
                self.seen[what] += 1
                return
            else:
                target.append(what)
                started.append(time.monotonic())
            failed[ops] = found
            raise Differs(what)

        try:
            test()
        except Differs:
            self.seen[target[0]] += 1
            self.found.append(self.fewest(min(failed.values(), key=lambda found: found.number)))
            return self.found[-1]
        return None

    def fewest(self, found: Difference) -> Difference:
        """The same difference without the operations that it does not need."""
        i = found.number - 1
        while i >= 0:
            ops = (*found.ops[:i], *found.ops[i + 1: found.number + 1])
            self.scripts += 1
            self.operations += len(ops)
            shorter = compare(ops, self.levels)
            if shorter is not None and signature(shorter) == signature(found):
                found = shorter
                i = min(i, found.number)
            i -= 1
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--profile", choices=sorted(PROFILES), action="append")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--levels", default=",".join(LEVELS), help="what is compared, of " + ", ".join(LEVELS))
    parser.add_argument("--out", type=Path, help="folder for a file a difference")
    args = parser.parse_args()
    reason = linux.why_not()
    if reason is not None:
        print(f"nothing to compare with: {reason}")
        return 0
    if linux.release() != (6, 18):
        print(f"this kernel is {linux.release()[0]}.{linux.release()[1]}, not 6.18: what it does otherwise is no error")
    if not linux.frame_numbers():
        print("no right to frame numbers (pagemap): which places share a frame is not compared")
    fuzz = Fuzz(tuple(args.levels.split(",")))
    profiles = args.profile or list(PROFILES)
    start = time.monotonic()
    number = args.seed
    turn = 0
    while (spent := time.monotonic() - start) < args.minutes * 60:
        profile = profiles[turn % len(profiles)]
        turn += 1
        number += 1
        found = fuzz.run(profile, number, 40)
        if found is not None:
            print(f"\n==== difference {len(fuzz.found)}, profile {profile}, seed {number}\n{found}", flush=True)
            if args.out is not None:
                args.out.mkdir(parents=True, exist_ok=True)
                (args.out / f"{len(fuzz.found):03d}.txt").write_text(f"{found}\n")
    print(f"\n{fuzz.scripts} scripts, {fuzz.operations} operations in {spent:.0f} s"
          f" ({fuzz.operations / spent:.0f} a second); differences: {len(fuzz.found)}")
    if fuzz.missing:
        print(f"calls that vmcore has not, and that were left out: {', '.join(sorted(fuzz.missing))}")
    for what, times in fuzz.seen.most_common():
        print(f"  {times:6} {what}")
    return 1 if fuzz.found else 0


if __name__ == "__main__":
    sys.exit(main())
