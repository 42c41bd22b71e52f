"""Whole scenarios as a user runs them, on every kernel: hundred-tasks (100 tasks, 24 GiB on 16 GiB) and forktree."""

import pytest

import vmcore
from bench import SCALE
from bench.race import Race, figure
from vmcore import scenario

pytestmark = pytest.mark.benchmark(group="scenarios")


@pytest.mark.parametrize("kernel", list(vmcore.KERNELS))
@pytest.mark.parametrize("name", ["hundred-tasks", "forktree"])
def bench_scenario(race: Race, name: str, kernel: str) -> None:
    """On the scenario's own i386, and on x86_64 where the kernel knows only that."""
    settings = [f"scale={SCALE}"]
    if "i386-pae" not in vmcore.KERNELS[kernel].archs:
        settings.append("arch=x86_64")
    chosen = scenario.load(name, settings=settings)
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
