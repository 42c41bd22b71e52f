"""Two kernels on two cores: `vmcore compare --jobs 2` beside `--jobs 1`, child processes in turn, wall clock (P15)."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from bench import SCALE, children
from bench.race import Race
from vmcore import sweep

pytestmark = pytest.mark.benchmark(group="cores", timer=time.perf_counter)
KERNELS = "2.6.5,2.6.5-aa1"
OF_THE_JOB = 0.2    # a fifth of hundred-tasks: seconds, so that starting processes is no share of it
LEAST = 0.01        # of hundred-tasks: below, what does not scale fills the machine
ROUNDS = 3


class Compare:
    """Runs the command, and keeps what it says each kernel took."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.json = folder / f"jobs{jobs}.json"
        self.command = [sys.executable, "-P", "-m", "vmcore", "compare", "hundred-tasks", "--kernels", KERNELS,
                        "--set", f"scale={max(OF_THE_JOB * SCALE, LEAST)}", "--jobs", str(jobs), "--json",
                        str(self.json)]
        self.environment = children.environment()
        self.seconds: list[list[float]] = []    # of each kernel, check() included, in each round
        self.cpu: list[float] = []              # of the command and its processes
        self.vmstat: dict[str, Any] = {}

    def __call__(self) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(self.command, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        kernels = json.loads(self.json.read_text(encoding="utf-8"))["kernels"]
        self.seconds.append([one["seconds"] + one["check_seconds"] for one in kernels.values()])
        self.vmstat = {name: one["vmstat"] for name, one in kernels.items()}

    def middle(self) -> list[float]:
        """Of each kernel, the median of the rounds."""
        return [median(times) for times in zip(*self.seconds[-ROUNDS:], strict=True)]


@pytest.mark.skipif(sweep.processors() < 2, reason="there is one processor")
def bench_two_kernels(race: Race, tmp_path: Path) -> None:
    one, two = Compare(tmp_path, 1), Compare(tmp_path, 2)
    race("compare hundred-tasks, two kernels on two cores", two, items=1_000_000_000, unit="s",
         peers={"one after the other": one}, targets={"P15": "one after the other"}, rounds=ROUNDS, warmup=0,
         clock=time.perf_counter_ns,
         pattern=f"vmcore compare --jobs 2 and --jobs 1 in turn, {KERNELS.replace(',', ' and ')}; wall clock of the "
                 "whole command, in which others of the host have their share too")
    # What is lost: the longer kernel alone would be the best; two that share memory take more CPU time each; the rest
    # is waiting for a processor that others have.
    alone = one.middle()
    best, dearer = max(alone) / sum(alone), median(two.cpu) / median(one.cpu)
    race.note(best_for_these_two=best, cpu_time_beside_another=dearer, with_the_cores_to_themselves=best * dearer)
    assert one.vmstat == two.vmstat     # each on a machine of its own: the same counts
