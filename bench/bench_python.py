"""What Python adds: one touch a call, and a batch of a thousand beside the same in one call of a million."""

import numpy as np
import pytest

from bench import streams
from bench.boxes import Box
from bench.race import Race

pytestmark = pytest.mark.benchmark(group="hot paths")
PAGES = 1 << 14
CALLS = 200_000
BATCH, BATCHES = 1_000, 1_000


@pytest.fixture(scope="module")
def box() -> Box:
    box = Box("2.6.5-aa1", 4 * PAGES, 0, PAGES)
    box.fill()
    return box


def bench_one_touch(race: Race, box: Box) -> None:
    task, addr = box.task, box.start

    def ours() -> None:
        for _ in range(CALLS):
            task.touch(addr, write=True)

    def empty(addr: int, write: bool = False) -> None:
        pass

    def calls() -> None:
        for _ in range(CALLS):
            empty(addr, write=True)

    race("one touch of one page", ours, items=CALLS, pattern=f"{CALLS:,} calls of Task.touch(addr, write=True), loop"
         " included; peer: a Python function that does nothing", peers={"an empty function": calls}, kernel=box.kernel,
         vmstat=box.vmstat)
    ours_ns = race.benchmark.extra_info["ours"]["median"]
    race.also("one touch of one page", unit="ns", ours=ours_ns, against="500 ns", peer=500.0, target="one touch",
              pattern="the same, against a bound")


def bench_batches(race: Race, box: Box) -> None:
    task = box.task
    addresses = streams.addresses(box.start, streams.uniform(PAGES, BATCH, 1))
    trace = np.tile(addresses, BATCHES)

    def ours() -> None:
        for _ in range(BATCHES):
            task.touch(addresses, write=True)

    race("touch in batches of 1,000", ours, items=BATCH * BATCHES,
         pattern=f"{BATCHES:,} calls of Task.touch on the same {BATCH:,} addresses, uniform over {PAGES:,} present"
                 " pages; peer: one call with all of them",
         peers={"one call of 1,000,000": lambda: task.touch(trace, write=True)},
         targets={"batch": "one call of 1,000,000"}, kernel=box.kernel, vmstat=box.vmstat)
