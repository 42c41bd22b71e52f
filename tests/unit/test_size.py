"""What a run takes of the host's memory: predicted from sizes, and measured in a process of its own."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import pytest

import vmcore
from vmcore import footprint, scenario
from vmcore._fast import records
from vmcore.scenario import size

# prints the peak of resident memory less that after the import, and what went wrong
MEASURE = """
import json, sys
def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))
import vmcore
imported = resident("VmRSS")
from vmcore import scenario
result = scenario.run(scenario.load(sys.argv[1], settings=sys.argv[3:]), sys.argv[2])
print(json.dumps([resident("VmHWM") - imported, result["problems"]]))
"""


def measured(name: str, kernel: str, *settings: str) -> int:
    done = subprocess.run([sys.executable, "-c", MEASURE, name, kernel, *settings], capture_output=True, text=True,
                          check=True)
    peak, problems = json.loads(done.stdout)
    assert not problems
    return peak


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc/self/status")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers take memory of their own")
@pytest.mark.parametrize(("name", "kernel", "settings"), [
    ("hundred-tasks", "2.6.5", ["scale=0.03"]),                         # chains, reclaim, swap
    ("hundred-tasks", "2.6.34", ["scale=0.03", "arch=x86_64"]),         # links of anon_vmas
    ("windows", "2.6.5-aa1", []),                                       # page tables of many mappings
    ("oracle", "2.6.5", ["tasks=60"]),                                  # more than 1 GiB: huge pages where there are
    ("forktree", "2.6.5", ["scale=0.1"]),                               # ends where memory does
])
def test_prediction_holds(name: str, kernel: str, settings: list[str]) -> None:
    predicted = size.predict(scenario.load(name, settings=settings), kernel)
    assert predicted.total == pytest.approx(measured(name, kernel, *settings), rel=0.1)


@pytest.mark.parametrize("kernel", ["2.4", "2.6.5", "2.6.5-anonmm", "2.6.34"])
@pytest.mark.parametrize("name", scenario.builtin_names())
def test_every_scenario(name: str, kernel: str) -> None:
    arch = vmcore.KERNELS[kernel].archs
    chosen = scenario.load(name)
    if chosen.arch not in arch:
        chosen = scenario.load(name, settings=["arch=x86_64", "tunables.l1_line=128"])
    found = size.predict(chosen, kernel)
    assert found.total == sum(found.pools.values()) + found.python + found.check <= found.full
    assert set(found.pools) <= set(found.most) <= set(records.POOL_NAMES)
    assert all(found.pools[pool] <= found.most[pool] for pool in found.pools)


def test_bytes_of_records() -> None:
    rules = vmcore.KERNELS["2.6.5"].rules("i386")
    counts = {"pte": 9, "vma": 31, "pte_chain": 0, "swap_slot": 4096}
    assert footprint.host_bytes(counts, 1 << 20, rules) == {"pte": 10 * 8192, "vma": 4096, "swap_slot": 8 * 4096}
    huge = footprint.host_bytes({**counts, "mapcount": 1 << 20}, 1 << 20, rules, huge=True)
    assert huge == {"pte": 2 << 20, "vma": 4096, "swap_slot": 2 << 20, "mapcount": 4 << 20}
    assert footprint.host_bytes(counts, 1 << 17, rules, huge=True) == footprint.host_bytes(counts, 1 << 17, rules)


def test_swapon_writes_what_is_counted() -> None:
    """The one thing that an idle machine takes."""
    m = vmcore.Machine(ram="64M", swap=[("3M", 1), ("40M", 0)])
    slots = sum(end - first for pool, first, end in m._engine.segments() if records.POOL_NAMES[pool] == "swap_slot")
    assert slots // 8 == footprint.swap_records([3 * 256, 40 * 256])["swap_slot"]


def test_the_warning_says_what_full_use_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One mechanism: the machine's warning and vmcore size."""
    rules = vmcore.KERNELS["2.6.5-aa1"].rules("x86_64")
    full = sum(footprint.host_bytes(footprint.full_use(16384, [8192], rules), 16384, rules).values())
    monkeypatch.setattr("vmcore.machine.host_bytes", lambda: full - 1)
    with pytest.warns(RuntimeWarning, match=f"takes about {full} bytes in full use, the host has {full - 1}"):
        vmcore.Machine(ram="64M", swap="32M", kernel="2.6.5-aa1")
    monkeypatch.setattr("vmcore.machine.host_bytes", lambda: full)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vmcore.Machine(ram="64M", swap="32M", kernel="2.6.5-aa1")


def test_a_machine_larger_than_the_host_is_asked_about_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = size.predict(scenario.load("hundred-tasks", settings=["ram=1T", "arch=x86_64"]), "2.6.5")
    assert found.full > 16 << 30 > found.total


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(scenario.Refused, match="an area must have"):
        size.predict(scenario.load("hundred-tasks", settings=["swap=4K"]), "2.6.5")
    with pytest.raises(scenario.Refused, match="swappines"):
        size.predict(scenario.load("hundred-tasks", settings=["tunables.swappines=1"]), "2.6.5")
