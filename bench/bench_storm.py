"""The swap storm: 24 GiB of one task on 16 GiB of RAM and 12 GiB of swap (P7, P8, P9, P13).

Reclaim, reverse map, swap map and swap cache are all in it. What the peers' caches must hold is known only at the end:
a clone of the warm machine runs the measured passes first, and the machine itself must then come out as the clone did.
"""

from contextlib import ExitStack
from statistics import median

import numpy as np
import pytest

from bench import libcache, scaled, streams
from bench.boxes import GIB, Box
from bench.build import load
from bench.race import Race

pytestmark = pytest.mark.benchmark(group="hot paths")
RAM, SWAP, PAGES = scaled(16 * GIB), scaled(12 * GIB), scaled(24 * GIB)
WARM_UP = 3
DEFAULT = 3     # page_cluster
FAULTS = scaled(1 << 18)
SMALL = 32          # what is left of the storm beside a cache in Python
LINUX = "the host's anonymous fault"
STREAMS = {"uniform": (streams.uniform, 100), "zipf": (streams.zipf, 200)}


def passes(pattern: str, number: int) -> np.ndarray:
    """The page stream of one pass."""
    make, seed = STREAMS[pattern]
    return make(PAGES, PAGES, seed + number)


@pytest.mark.parametrize("kernel, page_cluster", [("2.6.5-aa1", 0), ("2.6.5", 0), ("2.6.5-aa1", DEFAULT)])
@pytest.mark.parametrize("pattern", ["uniform", "zipf"])
def bench_storm(race: Race, kernel: str, pattern: str, page_cluster: int) -> None:
    rounds = 3 if page_cluster == 0 else 1
    box = Box(kernel, RAM, SWAP, PAGES, page_cluster=page_cluster)
    box.fill()
    for number in range(WARM_UP):
        box.task.touch(streams.addresses(box.start, passes(pattern, number)), write=True)

    capacity = rehearsed = 0
    caches: list[libcache.Cache] = []
    if libcache.MISSING is None:
        capacity, rehearsed = rehearse(box, pattern, rounds)
        caches = [libcache.Cache(name, capacity) for name in libcache.NAMES]
        for cache in caches:
            cache.warm_up(streams.sequential(PAGES))
            for number in range(WARM_UP):
                cache.warm_up(passes(pattern, number))

    linux = load("linux")
    real: list[float] = []
    number = WARM_UP - 1
    addresses = None
    with ExitStack() as stack:
        def prepare() -> None:
            nonlocal number, addresses
            number += 1
            pages = passes(pattern, number)
            addresses = streams.addresses(box.start, pages)
            stack.close()
            for cache in caches:
                stack.enter_context(cache.trace(pages))
            real.append(linux.write_faults(FAULTS) / FAULTS)

        targets = {{"uniform": "P7", "zipf": "P8"}[pattern]: libcache.LRU} if page_cluster == 0 and caches else {}
        race(f"storm, {pattern}" + (", default page_cluster" if page_cluster else ""),
             lambda: box.task.touch(addresses, write=True), items=PAGES, prepare=prepare,
             pattern=f"Task.touch: passes of {PAGES:,} writes over as many pages, {pattern}, {RAM:,} frames,"
                     f" page_cluster={page_cluster}; after a fill in order and {WARM_UP} passes",
             peers={cache.name: cache.run for cache in caches}, targets=targets, rate=True, kernel=kernel,
             vmstat=box.vmstat, rounds=rounds, warmup=0)
    faults = race.counters["pgfault"]
    a_fault = race.benchmark.extra_info["ours"]["median"] * PAGES / faults
    race.note(faults_per_access=faults / PAGES, swap_ins_per_access=race.counters["pswpin"] / PAGES,
              ns_per_fault=a_fault)
    if page_cluster == 0 and pattern == "uniform":
        race.also("a fault of this storm, all of it", unit="ns", ours=a_fault, against=LINUX, peer=median(real),
                  target="P13", pattern=f"the storm's time by its faults, hits included; the kernel of this host on"
                                        f" {FAULTS:,} first writes in order, pages of 4 KiB, called from C")
    if not caches:
        race.note(without_peer=libcache.MISSING)
    else:
        assert box.vmstat() == rehearsed, "a machine and its clone, given the same, must be in the same state"
        race.note(capacity=capacity, **{f"miss ratio of {cache.name}": cache.misses for cache in caches})
    box.machine.check()


def bench_small_storm(race: Race) -> None:
    """Beside a cache in Python, which would take minutes at full size."""
    cachetools = pytest.importorskip("cachetools")
    pages, ram = PAGES // SMALL, RAM // SMALL
    box = Box("2.6.5-aa1", ram, SWAP // SMALL, pages, page_cluster=0)
    box.fill()
    capacity = box.held_frames()
    cache = cachetools.LRUCache(capacity)
    stream, number = streams.uniform(pages, pages, 300), 300

    def through(stream: np.ndarray) -> None:
        for page in stream.tolist():
            if page not in cache:
                cache[page] = True
            else:
                cache[page]

    through(streams.sequential(pages))
    addresses = None

    def prepare() -> None:
        nonlocal stream, addresses, number
        number += 1
        stream = streams.uniform(pages, pages, number)
        addresses = streams.addresses(box.start, stream)

    race(f"storm, uniform, a {SMALL}th", lambda: box.task.touch(addresses, write=True), items=pages, prepare=prepare,
         pattern=f"Task.touch: passes of {pages:,} writes over as many pages, uniform, {ram:,} frames; peer on the same"
                 f" pages, capacity {capacity:,}",
         peers={"cachetools.LRUCache": lambda: through(stream)}, rate=True, kernel=box.kernel, vmstat=box.vmstat,
         rounds=3)


def rehearse(box: Box, pattern: str, rounds: int) -> tuple[int, dict[str, int]]:
    """Frames that hold the task's pages after the measured passes, and the counts, from a clone."""
    twin = Box.__new__(Box)
    twin.__dict__.update(box.__dict__)
    twin.machine = box.machine.clone()
    twin.task = twin.machine.task(box.task.pid)
    for number in range(WARM_UP, WARM_UP + rounds):
        twin.task.touch(streams.addresses(twin.start, passes(pattern, number)), write=True)
    return twin.held_frames(), twin.vmstat()
