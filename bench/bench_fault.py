"""First touch, munmap, fork, exit and the COW break: what a page costs from its first fault to its end (P5, P6)."""

import numpy as np
import pytest

from bench import scaled, streams
from bench.boxes import GIB, Box
from bench.race import Action, Race
from bench.streams import limits

pytestmark = pytest.mark.benchmark(group="hot paths")
PAGES = scaled(1 << 22)
FORKED = scaled(1 << 20)
RAM = scaled(20 * GIB)
MASK = np.uint64(0x60)
KERNELS = ["2.6.5-aa1", "2.6.5"]
IN_C, MEMCPY = "C gather-or, uniform", "memcpy of the PTEs"


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    """Both designs."""
    return request.param


def forkable(kernel: str) -> Box:
    """A box whose pages lie in frames of random order, because they were first touched in random order."""
    box = Box(kernel, RAM, 0, FORKED)
    box.prefault()
    box.task.touch(streams.addresses(box.start, streams.permutation(FORKED, 5)), write=True)
    return box


def copying() -> dict[str, Action]:
    """memcpy of as many PTEs as a fork copies."""
    source, to = np.ones(FORKED, "u8"), np.zeros(FORKED, "u8")
    return {MEMCPY: lambda: limits.copy(to, source)}


def bench_first_touch(race: Race, kernel: str) -> None:
    box = Box(kernel, RAM, 0, PAGES)
    box.prefault()
    index, a = streams.uniform(PAGES, PAGES, 6), np.ones(PAGES, "u8")
    race("first touch, sequential", box.fill, items=PAGES, prepare=box.remap,
         pattern=f"Task.touch_range: {PAGES:,} pages in order, all writes, frames as munmap of them left them;"
                 " pools touched before; peer on as many u64",
         peers={IN_C: lambda: limits.gather_or(a, index, MASK)}, targets={"P5": IN_C}, kernel=kernel,
         vmstat=box.vmstat, rounds=5)
    assert all(counters["pgfault"] == PAGES for counters in race.history)


def bench_munmap(race: Race, kernel: str) -> None:
    box = Box(kernel, RAM, 0, PAGES)
    box.prefault()
    index, a = streams.uniform(PAGES, PAGES, 6), np.ones(PAGES, "u8")

    def prepare() -> None:
        box.task.munmap(box.start, box.length)
        box.start = box.task.mmap(None, box.length, 3, 0x22)
        box.fill()

    race("munmap", lambda: box.task.munmap(box.start, box.length), items=PAGES, prepare=prepare,
         pattern=f"Task.munmap: {PAGES:,} present pages, written in order; peer on as many u64",
         peers={IN_C: lambda: limits.gather_or(a, index, MASK)}, kernel=kernel, vmstat=box.vmstat, rounds=3)


def bench_fork(race: Race, kernel: str) -> None:
    box = forkable(kernel)
    children = []

    def prepare() -> None:
        while children:
            children.pop().exit()

    race("fork", lambda: children.append(box.task.fork()), items=FORKED, prepare=prepare,
         pattern=f"Task.fork: {FORKED:,} present anonymous PTEs, frames in random order",
         peers=copying(), targets={"P6": MEMCPY} if kernel == "2.6.5-aa1" else {}, kernel=kernel, vmstat=box.vmstat,
         rounds=11, warmup=2)
    assert all(counters["fork_ptes_copied"] == FORKED for counters in race.history)


def bench_exit(race: Race, kernel: str) -> None:
    box = forkable(kernel)
    children = []
    race("exit of the child", lambda: children.pop().exit(), items=FORKED,
         prepare=lambda: children.append(box.task.fork()),
         pattern=f"Task.exit: {FORKED:,} present PTEs that the parent maps too, frames in random order",
         peers=copying(), kernel=kernel, vmstat=box.vmstat, rounds=7)


def bench_cow_break(race: Race, kernel: str) -> None:
    box = forkable(kernel)
    children = []
    index, a = streams.uniform(FORKED, FORKED, 7), np.ones(FORKED, "u8")

    def prepare() -> None:
        # The parent's pages are its own again and in random order, then the child shares them.
        while children:
            children.pop().exit()
        box.remap()
        box.task.touch(streams.addresses(box.start, streams.permutation(FORKED, 5)), write=True)
        children.append(box.task.fork())

    race("COW break", box.fill, items=FORKED, prepare=prepare,
         pattern=f"Task.touch_range: the parent of one child writes {FORKED:,} shared pages in order, frames in random"
                 " order; peer on as many u64",
         peers={IN_C: lambda: limits.gather_or(a, index, MASK)}, kernel=kernel, vmstat=box.vmstat, rounds=5)
    assert all(counters["cow_copies"] == FORKED for counters in race.history)


def bench_cow_reuse(race: Race, kernel: str) -> None:
    box = forkable(kernel)
    index, a = streams.uniform(FORKED, FORKED, 7), np.ones(FORKED, "u8")
    race("COW reuse", box.fill, items=FORKED, prepare=lambda: box.task.fork().exit(),
         pattern=f"Task.touch_range: after its child's exit the parent writes {FORKED:,} pages in order, frames in"
                 " random order; peer on as many u64",
         peers={IN_C: lambda: limits.gather_or(a, index, MASK)}, kernel=kernel, vmstat=box.vmstat, rounds=5)
    assert all(counters["cow_reuses"] == FORKED for counters in race.history)
