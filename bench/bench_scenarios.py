"""Whole scenarios as a user runs them: a tenth of hundred-tasks, and forktree."""

import pytest

import vmcore
from bench import SCALE
from bench.race import Race, figure
from vmcore import scenario

pytestmark = pytest.mark.benchmark(group="scenarios")
LEAST = 0.01    # of hundred-tasks: below, what does not scale fills the machine


@pytest.mark.parametrize("kernel", list(vmcore.KERNELS))
@pytest.mark.parametrize("name, scale", [("hundred-tasks", max(0.1 * SCALE, LEAST)), ("forktree", SCALE)])
def bench_scenario(race: Race, name: str, scale: float, kernel: str) -> None:
    chosen = scenario.load(name, settings=[f"scale={scale}"])
    results = []
    race(f"{name}, whole", lambda: results.append(scenario.run(chosen, kernel)), items=1, pattern="", rounds=1,
         warmup=0, kernel=kernel)
    [result] = results
    touches = result["touches"]
    [spent] = race.benchmark.stats.stats.data
    race.benchmark.extra_info.update(
        pattern=f"{chosen.describe()}; {touches:,} touches, everything included, check() too", unit="ns",
        ours=figure([spent / touches * 1e9]), items=touches,
        counters=result["vmstat"])
    race.note(stopped_at=result.get("stopped_at"), seconds=result["seconds"],
              seconds_outside_engine=result["seconds_outside_engine"],
              phases={phase["name"]: phase["seconds"] for phase in result["phases"]})
    assert result["ok"], result["problems"]
