"""What a run takes of the host's memory: predicted from sizes, and measured in a process of its own."""
from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vmcore
from vmcore import footprint, scenario
from vmcore._fast import records
from vmcore.cli.size import MEASURE, python_of
from vmcore.cli.size import table as size_table
from vmcore.cli.workers import child_environment
from vmcore.report.figures import write
from vmcore.scenario import size
from vmcore.scenario.plan import Mappers


def measured(name: str, kernel: str, *settings: str) -> int:
    """The peak of a `vmcore run` in a child, less what importing vmcore takes."""
    command = ["run", name, "--kernel", kernel, *(f"--set={setting}" for setting in settings)]
    done = subprocess.run([sys.executable, "-P", "-c", MEASURE, *command], capture_output=True, text=True, check=True,
                          env=child_environment())
    peak = int(done.stdout)
    assert peak > 0, done.stderr       # it went wrong
    return peak


# Every scenario, each on another kind of kernel and at another size; what each of them is about.
CASES = [
    ("hundred-tasks", "2.6.5", ["scale=0.03"]),                         # chains, reclaim, swap
    ("hundred-tasks", "2.6.34", ["scale=0.03", "arch=x86_64"]),         # links of anon_vmas
    ("hundred-tasks", "2.6.5-aa1", ["scale=0.003", "tasks=20"]),
    ("windows", "2.6.5-aa1", ["t=20"]),                                 # page tables of many mappings
    ("oracle", "2.6.5", ["tasks=60"]),                                  # more than 1 GiB: huge pages where there are
    ("oracle", "2.4", ["tasks=500", "ram=1", "segment=16"]),
    ("forktree", "2.6.5", ["scale=0.1"]),                               # ends where memory does
    ("forktree", "2.6.7", ["scale=0.02"]),
    ("privfork", "2.6.7", []),                                          # tables of which half is used
    ("privfork", "2.6.7", ["children=800", "chunk=0.25"]),
    ("privfork", "6.18", ["arch=x86_64", "scale=0.5"]),
    ("cowkeep", "2.6.5-anonmm", ["scale=0.25"]),
    ("desktop", "2.6.5-forktree", ["scale=0.25"]),
    ("mlocked", "2.6.5-objrmap", ["scale=0.25"]),
    ("mprot", "2.6.5-aa1", []),                                         # VMAs
    ("mremapcow", "2.6.5-anonmm", []),                                  # copies of what moves
    ("nonlin", "2.6.5", ["size=20"]),
    ("nonlin", "6.18", ["arch=x86_64"]),                                # a VMA for each page
    ("revmap", "2.6.5-aa-rbtree", ["rounds=4"]),
    ("uml", "2.6.5-anonmm-prio", []),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc/self/status")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers take memory of their own")
@pytest.mark.parametrize(("name", "kernel", "settings"), CASES)
def test_prediction_holds(name: str, kernel: str, settings: list[str]) -> None:
    chosen = scenario.load(name, settings=settings)
    python = python_of(vmcore.KERNELS[kernel].calls, str(chosen.__struct_config__.tag))
    predicted = size.predict(chosen, kernel, python)
    assert predicted.total == pytest.approx(measured(name, kernel, *settings), rel=0.1)


def test_every_scenario_is_measured() -> None:
    assert {name for name, _, _ in CASES} == set(scenario.builtin_names())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc/self/status")
@pytest.mark.skipif("VMCORE_SANITIZE" in os.environ, reason="the sanitizers' own memory is in the peak")
def test_what_python_takes_is_measured() -> None:
    for calls, assumed in size.PYTHON.items():
        assert assumed / 2 < (python_of(calls, "steps") or 0) < 2 * assumed       # of another build, Python or host


def test_tables_that_are_half_used_take_half() -> None:
    """i386: a table has 1,024 entries, two pages of the engine's memory, and one page's worth of pages are mapped."""
    rules = vmcore.KERNELS["2.6.7"].rules("i386")
    few, many = (scenario.load("privfork", settings=[f"children={n}", "chunk=0.25"]).plan(rules).loads()[-1]
                 for n in (100, 200))
    assert many.leaf_tables - few.leaf_tables == 100
    assert many.table_pages - few.table_pages == 2 * 100                # half of its top table as well
    wide = scenario.load("privfork", settings=["children=100", "chunk=3"]).plan(rules).loads()[-1]
    assert wide.leaf_tables == few.leaf_tables and wide.table_pages - few.table_pages == 101
    pae = scenario.load("privfork", settings=["children=100"]).plan(vmcore.KERNELS["2.6.7"].rules("i386-pae")).loads()
    assert all(load.table_pages == load.leaf_tables + load.upper_tables + load.tasks for load in pae)


def test_idle_pages_are_taken_off() -> None:
    rules = vmcore.KERNELS["2.6.5"].rules("i386")
    assert footprint.host_bytes({"pte": 9}, 1 << 17, rules, idle={"pte": 4}) == {"pte": (20 - 4) * 4096}
    assert footprint.host_bytes({"pte": 9}, 1 << 18, rules, huge=True, idle={"pte": 4}) == {"pte": 2 << 20}


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


def test_the_table_adds_up() -> None:
    """Maps of the swap map have no row of their own: they are in that of the bitmaps."""
    predicted = size.predict(scenario.load("cowkeep"), "2.6.5-aa1")
    rows = {line[:20].strip(): line.split() for line in size_table([predicted], 1 << 40).splitlines() if line.strip()}
    maps = sum(predicted.pools[pool] for pool in ("swap_word", "swap_any", "swap_full"))
    assert maps > predicted.pools["swap_word"] and rows["their bitmaps"][2] == write("bytes", maps)


PIECES = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
APART = st.tuples(st.sets(st.integers(0, 23)), st.integers(1, 3))


@given(st.integers(1, 24), st.lists(PIECES, max_size=8), st.lists(APART, max_size=3))
def test_mappers_of_a_file(pages: int, stretches: list[tuple[int, int, int]],
                           apart: list[tuple[set[int], int]]) -> None:
    """As if each page were counted by itself."""
    mappers, by_page = Mappers(pages), [0] * pages
    for start, end, tasks in stretches:
        mappers.add(start, end, tasks)
        for page in range(start, min(end, pages)):
            by_page[page] += tasks
    for chosen, tasks in apart:
        inside = sorted(page for page in chosen if page < pages)
        mappers.add_scattered(np.array(inside, "i8"), float(tasks))
        for page in inside:
            by_page[page] += tasks
    assert mappers.count() == Counter(n for n in by_page if n)
