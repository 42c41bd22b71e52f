"""Swap-out and swap-in, each alone, and what each design of the reverse map takes to find the ptes of a page."""

import numpy as np
import pytest

import vmcore
from bench import scaled, streams
from bench.boxes import GIB, Box, designs, rmap_lookups
from bench.race import Race
from bench.streams import limits

pytestmark = pytest.mark.benchmark(group="hot paths")
PAGES = scaled(1 << 21)
RAM = scaled(16 * GIB)
SHARED = scaled(1 << 17)
SHARERS = 32
MASK = np.uint64(0x60)
IN_C = "C gather-or, uniform"


def peer(items: int) -> dict[str, object]:
    index, a = streams.uniform(items, items, 6), np.ones(items, "u8")
    return {IN_C: lambda: limits.gather_or(a, index, MASK)}


def swap_out(box: Box) -> None:
    """All of it. The first pass over the lists only ages; a page that is under way to the disk is left for the next."""
    while box.machine.reclaim(box.pages):
        pass


@pytest.mark.parametrize("kernel", ["2.6.5-aa1", "2.6.5"])
def bench_swap_out(race: Race, kernel: str) -> None:
    box = Box(kernel, RAM, 2 * PAGES, PAGES, page_cluster=0)
    order = streams.permutation(PAGES, 8)

    def prepare() -> None:
        box.remap()
        box.task.touch(streams.addresses(box.start, order), write=True)

    race("swap-out", lambda: swap_out(box), items=PAGES, prepare=prepare,
         pattern=f"Machine.reclaim of {PAGES:,} dirty pages of one task that were first touched in random order: aged,"
                 " given a slot, unmapped, written, freed; peer on as many u64",
         peers=peer(PAGES), kernel=kernel, vmstat=box.vmstat, rounds=3)
    assert all(counters["pswpout"] == PAGES for counters in race.history)


@pytest.mark.parametrize("pattern", ["sequential", "uniform"])
@pytest.mark.parametrize("kernel", ["2.6.5-aa1", "2.6.5"])
def bench_swap_in(race: Race, kernel: str, pattern: str) -> None:
    box = Box(kernel, RAM, 2 * PAGES, PAGES, page_cluster=0)
    box.fill()
    order = streams.permutation(PAGES, 9) if pattern == "uniform" else streams.sequential(PAGES)
    addresses = streams.addresses(box.start, order)
    race(f"swap-in, {pattern}", lambda: box.task.touch(addresses, write=True), items=PAGES,
         prepare=lambda: swap_out(box),
         pattern=f"Task.touch: every one of {PAGES:,} pages once, {pattern}, all writes, all swapped out,"
                 " page_cluster=0, frames to spare; peer on as many u64",
         peers=peer(PAGES), kernel=kernel, vmstat=box.vmstat, rounds=3)
    assert all(counters["pswpin"] == PAGES for counters in race.history)


@pytest.mark.parametrize("design", designs())
def bench_reverse_map(race: Race, design: str) -> None:
    """Swap-out of pages that tasks share by fork: young bits in all of their ptes, collected; then all unmapped."""
    kernel = designs()[design]
    box = Box(kernel, RAM, RAM, SHARED)
    children: list[vmcore.Task] = []
    before = 0

    def prepare() -> None:
        nonlocal before
        while children:
            children.pop().exit()
        box.remap()
        box.task.touch(streams.addresses(box.start, streams.permutation(SHARED, 5)), write=True)
        children.extend(box.task.fork() for _ in range(SHARERS - 1))
        for child in children:
            child.touch_range(box.start, box.length, write=False)
        before = rmap_lookups(box)

    race(f"reverse map, {design}", lambda: swap_out(box), items=SHARED, prepare=prepare,
         pattern=f"Machine.reclaim of {SHARED:,} pages in frames of random order, each in the page tables of {SHARERS}"
                 " tasks, each with its young bit; peer on as many u64",
         peers=peer(SHARED), kernel=kernel, vmstat=box.vmstat, rounds=3)
    counters = race.counters
    race.note(lookups_per_page=(rmap_lookups(box) - before) / SHARED,
              ptes_per_page=counters.get("rmap_ptes_examined", 0) / SHARED,
              vmas_per_page=counters.get("rmap_vmas_visited", 0) / SHARED)


def bench_page_table_walk(race: Race) -> None:
    """Touches of which each needs another leaf table."""
    tables, entries = scaled(1 << 17), 512
    box = Box("2.6.5-aa1", RAM, 0, tables * entries)
    order = streams.permutation(tables, 3)
    addresses = streams.addresses(box.start, order * entries)
    box.task.touch(addresses, write=True)
    width = 8
    scattered = np.zeros((tables * 64, width), "u4")
    scattered[order * 64, 0] = np.roll(order * 64, -1)
    starts = (order[:: max(tables // 8, 1)][:8] * 64).astype("u4")
    race("page-table walk", lambda: box.task.touch(addresses, write=True), items=tables,
         pattern=f"Task.touch: one present page in each of {tables:,} leaf tables, in random order, all writes; peers"
                 " over as many records of 32 bytes",
         peers={"eight chases at once": lambda: limits.chase8(scattered, starts, tables),
                "one chase": lambda: limits.chase(scattered, int(starts[0]), tables)},
         kernel=box.kernel, vmstat=box.vmstat)
    assert all("pgfault" not in counters for counters in race.history)
