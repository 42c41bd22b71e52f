"""Touches of pages that are present: the hot path of everything (P1 to P4)."""

from collections.abc import Iterator

import numpy as np
import pytest

import vmcore
from bench import scaled, streams
from bench.boxes import GIB, Box, map_anonymous
from bench.race import Race
from bench.streams import limits

pytestmark = pytest.mark.benchmark(group="hot paths")
PAGES = scaled(1 << 22)
RAM = scaled(20 * GIB)
MASK = np.uint64(0x60)
TASKS = 100
IN_NUMPY, IN_C, IN_ORDER = "numpy a[ix] |= m", "C gather-or", "C sequential or"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """2.6.5-aa1; every page present, accessed and dirty. The reverse map plays no part in a hit."""
    box = Box("2.6.5-aa1", RAM, 0, PAGES)
    box.fill()
    yield box


def only_hits(race: Race, touches: int) -> None:
    """Every round touched so many pages, and not one of them faulted."""
    for counters in race.history:
        assert counters["touches"] == touches
        assert "pgfault" not in counters


@pytest.mark.parametrize("pattern", ["uniform", "zipf", "sequential"])
def bench_touch(race: Race, box: Box, pattern: str) -> None:
    index = {"uniform": lambda: streams.uniform(PAGES, PAGES, 1), "zipf": lambda: streams.zipf(PAGES, PAGES, 2),
             "sequential": lambda: streams.sequential(PAGES)}[pattern]()
    addresses, a, b = streams.addresses(box.start, index), np.ones(PAGES, "u8"), np.ones(PAGES, "u8")

    def in_numpy() -> None:
        a[index] |= MASK

    race(f"touch hit, {pattern}", lambda: box.task.touch(addresses, write=True), items=PAGES,
         pattern=f"Task.touch: {PAGES:,} pages of one task, all writes, {pattern}; peers on the same indices",
         peers={IN_NUMPY: in_numpy, IN_C: lambda: limits.gather_or(b, index, MASK)},
         targets={"P1": IN_NUMPY, "P2": IN_C} if pattern == "uniform" else {},
         kernel=box.kernel, vmstat=box.vmstat)
    only_hits(race, PAGES)


@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
def bench_touch_range(race: Race, box: Box, write: bool) -> None:
    a = np.ones(PAGES, "u8")
    index = streams.sequential(PAGES)
    race(f"touch_range, present, {'write' if write else 'read'}",
         lambda: box.task.touch_range(box.start, box.length, write=write), items=PAGES,
         pattern=f"Task.touch_range: {PAGES:,} pages of one task in order; peers over as many u64",
         peers={IN_ORDER: lambda: limits.sequential_or(a, MASK),
                "C gather-or, sequential": lambda: limits.gather_or(a, index, MASK)},
         targets={"P4": IN_ORDER} if write else {}, kernel=box.kernel, vmstat=box.vmstat)
    only_hits(race, PAGES)


@pytest.mark.parametrize("pattern", ["uniform", "sequential"])
def bench_hundred_tasks(race: Race, pattern: str) -> None:
    each = max(PAGES // TASKS, 1)
    total = each * TASKS
    machine = vmcore.Machine(ram=RAM * streams.PAGE, kernel="2.6.5-aa1", arch="x86_64", overcommit_memory=1)
    tasks = [machine.spawn(f"task-{i}") for i in range(TASKS)]
    starts = np.array([map_anonymous(task, each) for task in tasks], "u8")
    for task, start in zip(tasks, starts.tolist(), strict=True):
        task.touch_range(start, each * streams.PAGE, write=True)
    turn = np.arange(total) % TASKS
    page = streams.uniform(each, total, 4) if pattern == "uniform" else np.arange(total) // TASKS
    trace = np.zeros(total, vmcore.TRACE_DTYPE)
    trace["addr"] = starts[turn] + page.astype("u8") * np.uint64(streams.PAGE)
    trace["task"] = np.array([task.pid for task in tasks], "u4")[turn]
    trace["op"] = 1
    index, a = (turn * each + page).astype("i8"), np.ones(total, "u8")
    race(f"m.run, 100 tasks, {pattern}", lambda: machine.run(trace), items=total,
         pattern=f"Machine.run: {total:,} pages of {TASKS} tasks in turn, a page each, all writes, {pattern} within the"
                 " task; peer over one array at the same places",
         peers={IN_C: lambda: limits.gather_or(a, index, MASK)}, targets={"P3": IN_C} if pattern == "uniform" else {},
         kernel="2.6.5-aa1", vmstat=machine.vmstat)
    only_hits(race, total)
