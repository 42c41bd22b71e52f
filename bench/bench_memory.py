"""Host memory of the main job, one kernel in a process of its own (P10), and its time outside the engine."""

import sys
import time

import pytest

from bench import SCALE, children
from bench.race import Race, figure

MIB = 1 << 20
BUDGET, TIGHT = "64 B a frame + 16 B a PTE", "40 B a frame + 10 B a PTE"


pytestmark = pytest.mark.benchmark(group="memory", timer=time.perf_counter)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc/self/status")
def bench_hundred_tasks_memory(race: Race) -> None:
    kernel = "2.6.5-aa1"
    found = {}
    race("hundred-tasks, host memory", lambda: found.update(children.run("memory", kernel, str(SCALE))), items=1,
         pattern="", rounds=1, warmup=0, kernel=kernel)
    entries = found["present"] + found["swap_ptes"]
    budgets = {BUDGET: 64 * found["frames"] + 16 * entries, TIGHT: 40 * found["frames"] + 10 * entries}
    race.benchmark.extra_info.update(
        pattern=f"peak resident of the whole process, check() included, less that after import of the engine;"
                f" {found['arch']}, {found['frames']:,} frames, {entries:,} PTEs in use"
                f" ({found['swap_ptes']:,} of them swapped)",
        unit="MiB", ours=figure([(found["peak"] - found["imported"]) / MIB]),
        peers={name: figure([budget / MIB]) for name, budget in budgets.items()},
        targets={"P10": BUDGET, "P10 speed": TIGHT}, counters=found["vmstat"])
    race.note(**{name: found[name] for name in ("imported", "peak", "peak_before_check", "present", "swap_ptes",
                                                "seconds", "seconds_outside_engine", "touches")})
    race.also("hundred-tasks, outside the engine", unit="s", ours=found["seconds_outside_engine"],
              against="all of the run", peer=found["seconds"], target="outside",
              pattern="wall clock of the same run, from its first engine call to its last one")
    assert found["ok"], found["problems"]
