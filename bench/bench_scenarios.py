"""Whole scenarios as a user runs them: a tenth of hundred-tasks, and forktree."""

import time

import pytest

import vmcore
from bench import SCALE
from bench.race import Race
from vmcore import scenario


@pytest.mark.parametrize("kernel", list(vmcore.KERNELS))
@pytest.mark.parametrize("name, scale", [("hundred-tasks", 0.1 * SCALE), ("forktree", SCALE)])
def bench_scenario(race: Race, name: str, scale: float, kernel: str) -> None:
    chosen = scenario.load(name, settings=[f"scale={scale}"])
    results = []
    begin = time.thread_time()
    race(f"{name}, whole", lambda: results.append(scenario.run(chosen, kernel)), items=1, pattern="", rounds=1,
         warmup=0, kernel=kernel)
    spent = time.thread_time() - begin
    [result] = results
    assert result["ok"], result["problems"]
    touches = result["touches"]
    race.benchmark.extra_info.update(
        pattern=f"{chosen.describe()}; {touches:,} touches, everything included, check() too", unit="ns",
        ours={"median": spent / touches * 1e9, "rounds": [spent / touches * 1e9]}, items=touches,
        counters=result["vmstat"])
    race.note(stopped_at=result.get("stopped_at"), seconds=result["seconds"],
              seconds_outside_engine=result["seconds_outside_engine"],
              phases={phase["name"]: phase["seconds"] for phase in result["phases"]})
