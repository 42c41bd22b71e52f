"""Start-up: child processes in turn, wall clock (P14)."""

import subprocess
import sys
import time

import pytest

from bench import children
from bench.race import Race


def child(*args: str):
    """Runs a Python with these arguments."""
    environment = children.environment()

    def run() -> None:
        subprocess.run([sys.executable, *args], env=environment, check=True, stdout=subprocess.DEVNULL)

    return run


PEERS = {"import numpy": child("-c", "import numpy"), "python -c pass": child("-c", "pass")}


@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize("what", ["import vmcore", "vmcore --help"])
def bench_start(race: Race, what: str) -> None:
    ours = child("-c", what) if what == "import vmcore" else child("-m", "vmcore", "--help")
    race(what, ours, items=1_000_000, unit="ms", peers=PEERS,
         targets={"P14": "import numpy"} if what == "import vmcore" else {},
         pattern="child processes in turn, wall clock, start of the interpreter included, files cached", rounds=21,
         warmup=2, clock=time.perf_counter_ns)
