"""The swap storm: 24 GiB of one task on 16 GiB of RAM and 12 GiB of swap (P7, P8, P9).

Reclaim, reverse map, swap map and swap cache are all in it. What libcachesim's LRU must hold is known only at the end:
a clone of the warm machine runs the measured passes first, and the machine itself must then come out as the clone did.
"""

from contextlib import ExitStack

import numpy as np
import pytest

from bench import libcache, scaled, streams
from bench.boxes import GIB, Box
from bench.race import Race

pytestmark = pytest.mark.benchmark(group="hot paths")
RAM, SWAP, PAGES = scaled(16 * GIB), scaled(12 * GIB), scaled(24 * GIB)
WARM_UP = 3
DEFAULT = 3     # page_cluster
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
    cache = None
    if libcache.MISSING is None:
        capacity, rehearsed = rehearse(box, pattern, rounds)
        cache = libcache.Lru(capacity)
        cache.warm_up(streams.sequential(PAGES))
        for number in range(WARM_UP):
            cache.warm_up(passes(pattern, number))

    number = WARM_UP - 1
    addresses = None
    with ExitStack() as stack:
        def prepare() -> None:
            nonlocal number, addresses
            number += 1
            pages = passes(pattern, number)
            addresses = streams.addresses(box.start, pages)
            stack.close()
            if cache is not None:
                stack.enter_context(cache.trace(pages))

        target = {"uniform": "P7", "zipf": "P8"}[pattern] if page_cluster == 0 and cache is not None else None
        race(f"storm, {pattern}" + (", default page_cluster" if page_cluster else ""),
             lambda: box.task.touch(addresses, write=True), items=PAGES, prepare=prepare,
             pattern=f"Task.touch: passes of {PAGES:,} writes over as many pages, {pattern}, {RAM:,} frames,"
                     f" page_cluster={page_cluster}; after a fill in order and {WARM_UP} passes",
             peers={} if cache is None else {libcache.NAME: cache.run},
             targets={target: libcache.NAME} if target else {}, rate=True, kernel=kernel, vmstat=box.vmstat,
             rounds=rounds, warmup=0)
    faults = race.counters["pgfault"]
    race.note(faults_per_access=faults / PAGES, swap_ins_per_access=race.counters["pswpin"] / PAGES,
              ns_per_fault=race.benchmark.extra_info["ours"]["median"] * PAGES / faults)
    if cache is None:
        race.note(without_peer=libcache.MISSING)
    else:
        assert box.vmstat() == rehearsed, "a machine and its clone, given the same, must be in the same state"
        race.note(capacity=capacity, peer_miss_ratio=cache.misses)
    box.machine.check()


def rehearse(box: Box, pattern: str, rounds: int) -> tuple[int, dict[str, int]]:
    """Frames that hold the task's pages after the measured passes, and the counts, from a clone."""
    twin = Box.__new__(Box)
    twin.__dict__.update(box.__dict__)
    twin.machine = box.machine.clone()
    twin.task = twin.machine.task(box.task.pid)
    for number in range(WARM_UP, WARM_UP + rounds):
        twin.task.touch(streams.addresses(twin.start, passes(pattern, number)), write=True)
    return twin.held_frames(), twin.vmstat()
