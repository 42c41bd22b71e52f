"""Start-up: child processes in turn, wall clock (P14)."""

import resource
import subprocess
import sys
import time
from statistics import median

import pytest

from bench import children
from bench.race import Race

pytestmark = pytest.mark.benchmark(group="start-up", timer=time.perf_counter)
ROUNDS, WARM_UP = 21, 2


class Child:
    """Runs a Python with some arguments, and takes its CPU time."""

    def __init__(self, *args: str) -> None:
        self.command = [sys.executable, *args]
        self.environment = children.environment()
        self.cpu: list[float] = []

    def __call__(self) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(self.command, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)

    def cpu_ms(self) -> float:
        return median(self.cpu[WARM_UP:])


@pytest.mark.parametrize("what", ["import vmcore", "from vmcore import Machine", "vmcore --help"])
def bench_start(race: Race, what: str) -> None:
    """The engine and numpy are loaded when a name is first used, so the import is measured with one as well."""
    ours = Child("-m", "vmcore", "--help") if what == "vmcore --help" else Child("-c", what)
    numpy, bare = Child("-c", "import numpy"), Child("-c", "pass")
    race(what, ours, items=1_000_000, unit="ms", peers={"import numpy": numpy, "python -c pass": bare},
         targets={} if what == "vmcore --help" else {"P14": "import numpy"},
         pattern="child processes in turn, wall clock, start of the interpreter included, files cached",
         rounds=ROUNDS, warmup=WARM_UP, clock=time.perf_counter_ns)
    if what == "vmcore --help":
        times = race.benchmark.extra_info
        race.also("vmcore --help, above a bare interpreter", unit="ms", against="150 ms", peer=150.0, target="help",
                  ours=times["ours"]["median"] - times["peers"]["python -c pass"]["median"],
                  pattern="the difference of the medians, against a bound")
    race.note(cpu_ms=ours.cpu_ms(), cpu_ms_of_import_numpy=numpy.cpu_ms(), cpu_ratio=ours.cpu_ms() / numpy.cpu_ms())
