"""System calls on an address space: find_vma among many, pairs of mmap and munmap, splits and merges.

A call of these is one call from Python; what an empty one costs is noted, and is in the figure. The peer is the
kernel of this host, called from C.
"""

import timeit

import numpy as np
import pytest

import vmcore
from bench import scaled, streams
from bench.boxes import GIB, Box
from bench.build import load
from bench.race import Race
from bench.streams import PAGE, limits
from vmcore import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE

pytestmark = pytest.mark.benchmark(group="hot paths")
RAM = scaled(8 * GIB)
PAIRS = scaled(20_000)
SPLITS = scaled(20_000)     # twice as many mappings, which the host has to allow as well
LINUX = "the host's kernel, from C"
MASK = np.uint64(0x60)


def python_call(box: Box) -> float:
    """ns of a call that goes all the way and finds nothing to do: mprotect of no bytes."""
    n = 20_000
    return min(timeit.repeat(lambda: box.task.mprotect(box.start, 0, PROT_READ), number=n, repeat=3)) / n * 1e9


@pytest.mark.parametrize("vmas", [1, 1_000, 60_000, 1_000_000])
def bench_find_vma(race: Race, vmas: int) -> None:
    """Read faults, which map the zero page, each of them in a VMA chosen at random."""
    vmas = max(scaled(vmas), 1)
    box = Box("2.6.5-aa1", RAM, 0, 1, max_map_count=1 << 21)
    touches = scaled(1 << 18)
    each = -(-touches // vmas)
    stride = each + 1
    start = 1 << 36
    for i in range(vmas):       # a hole behind each, so that they stay apart
        box.task.mmap(start + i * stride * PAGE, each * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
    page = streams.permutation(vmas * each, 4)[:touches]
    addresses = streams.addresses(start, page % vmas * stride + page // vmas)
    index, a = streams.uniform(touches, touches, 6), np.ones(touches, "u8")

    def gone() -> None:
        for i in range(vmas):
            box.task.madvise(start + i * stride * PAGE, each * PAGE, vmcore.MADV_DONTNEED)

    race(f"read fault in one of {vmas:,} VMAs", lambda: box.task.touch(addresses), items=touches, prepare=gone,
         pattern=f"Task.touch: {touches:,} pages, each once, no two in a row of the same VMA, reads of anonymous memory"
                 " (the zero page), page tables there; peer on as many u64",
         peers={"C gather-or, uniform": lambda: limits.gather_or(a, index, MASK)}, kernel=box.kernel,
         vmstat=box.vmstat, rounds=3)
    race.note(find_vma_steps=race.counters.get("find_vma_steps", 0) / touches,
              cache_hits=race.counters.get("find_vma_cache_hits", 0) / touches)
    assert race.counters["pgfault"] == touches


@pytest.mark.parametrize("kernel", ["2.6.5-aa1", "6.18"])
def bench_map_pairs(race: Race, kernel: str) -> None:
    box = Box(kernel, RAM, 0, 1)

    def ours() -> None:
        task = box.task
        for _ in range(PAIRS):
            task.munmap(task.mmap(None, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS), PAGE)

    linux = load("linux")
    race("mmap and munmap", ours, items=PAIRS,
         pattern=f"{PAIRS:,} times Task.mmap of a page and Task.munmap of it, untouched, beside one mapping",
         peers={LINUX: lambda: linux.map_pairs(PAIRS)}, kernel=kernel, vmstat=box.vmstat, rounds=5)
    race.note(an_empty_call_from_python=python_call(box))


@pytest.mark.parametrize("kernel", ["2.6.5-aa1", "6.18"])
def bench_split_storm(race: Race, kernel: str) -> None:
    box = Box(kernel, RAM, 0, 2 * SPLITS)

    def ours() -> None:
        task, start = box.task, box.start
        for prot in (PROT_READ, PROT_READ | PROT_WRITE):
            for i in range(SPLITS):
                task.mprotect(start + 2 * i * PAGE, PAGE, prot)

    linux = load("linux")
    race("split and merge by mprotect", ours, items=2 * SPLITS, prepare=box.remap,
         pattern=f"Task.mprotect of every second page of {2 * SPLITS:,}, untouched, in order, to read-only and back"
                 " (2.6.5-aa1 does not merge); peer the same",
         peers={LINUX: lambda: linux.split_storm(SPLITS)}, kernel=kernel, vmstat=box.vmstat, rounds=5)
    race.note(splits=race.counters["vma_splits"], merges=race.counters.get("vma_merges", 0),
              an_empty_call_from_python=python_call(box))
    assert race.counters["vma_splits"] >= SPLITS
