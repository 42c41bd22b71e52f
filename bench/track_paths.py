"""The hot paths whose instructions are counted, one after the other in one process: `python -m bench.track_paths`.

Runs under callgrind, which counts only what lies between the two calls of callgrind.pyx; bench/track.py starts it and
reads what it counted. Every path is prepared and done once unobserved, then prepared and counted. Sizes are small:
instructions do not depend on caches.
"""
from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

import vmcore
from bench import streams
from bench.boxes import Box, designs, map_anonymous, rmap_lookups
from bench.build import load
from vmcore import intervals

AA1, CHAINS = "2.6.5-aa1", "2.6.5"
PAGES = 16384
FRAMES = 4 * PAGES
LEAF = 512                  # ptes of a table
INTERVALS, POINTS = 4096, 512


class Path(NamedTuple):
    """What is counted: `action`, after `prepare`; per item."""

    name: str
    action: Callable[[], object]
    items: int | Callable[[], int]          # or a counter that grows
    prepare: Callable[[], object] = lambda: None


def hits() -> Iterator[Path]:
    """Touches of pages that are present."""
    box = Box(AA1, FRAMES, 0, PAGES)
    box.fill()
    for pattern, index in (("sequential", streams.sequential(PAGES)), ("uniform", streams.uniform(PAGES, PAGES, 1))):
        addresses = streams.addresses(box.start, index)
        yield Path(f"touch hit, {pattern}", partial(box.task.touch, addresses, write=True), PAGES)
    yield Path("touch_range, present", box.fill, PAGES)


def table_walk() -> Iterator[Path]:
    """A page of another leaf table each time, in no order: every touch walks from further up."""
    tables = 2048
    box = Box(AA1, FRAMES, 0, tables * LEAF)
    addresses = streams.addresses(box.start, streams.permutation(tables, 3) * LEAF)
    yield Path("page-table walk", lambda: box.task.touch(addresses, write=True), tables)


def first_touch(kernel: str) -> Iterator[Path]:
    """Pages come, and go."""
    box = Box(kernel, FRAMES, 0, PAGES)
    yield Path(f"first touch, {kernel}", box.fill, PAGES, box.remap)
    yield Path(f"munmap, {kernel}", lambda: box.task.munmap(box.start, box.length), PAGES, lambda: mapped(box))


def mapped(box: Box) -> None:
    box.start = map_anonymous(box.task, box.pages)
    box.fill()


def forks(kernel: str) -> Iterator[Path]:
    """Fork, exit, COW break and reuse, frames in random order."""
    box = Box(kernel, FRAMES, 0, PAGES)
    children: list[vmcore.Task] = []

    def alone() -> None:
        """The pages are the parent's own."""
        while children:
            children.pop().exit()
        box.remap()
        box.task.touch(streams.addresses(box.start, streams.permutation(PAGES, 5)), write=True)

    def fork() -> None:
        children.append(box.task.fork())

    def shared() -> None:
        alone()
        fork()

    def left() -> None:
        shared()
        children.pop().exit()

    yield Path(f"fork, {kernel}", fork, PAGES, alone)
    yield Path(f"exit of the child, {kernel}", lambda: children.pop().exit(), PAGES, shared)
    yield Path(f"COW break, {kernel}", box.fill, PAGES, shared)
    yield Path(f"COW reuse, {kernel}", box.fill, PAGES, left)


def storm(kernel: str) -> Iterator[Path]:
    """Half as many pages again as frames, uniform: an access."""
    pages = 3 * PAGES // 4
    box = Box(kernel, PAGES // 2, PAGES, pages, page_cluster=0)
    box.fill()
    addresses = streams.addresses(box.start, streams.uniform(pages, PAGES, 100))
    yield Path(f"storm, {kernel}", lambda: box.task.touch(addresses, write=True), PAGES)


def reverse_map(design: str, kernel: str) -> Iterator[Path]:
    """Reclaim of pages that 8 tasks share, by the pages that are looked up (2.4: the ptes)."""
    pages, sharers = PAGES // 8, 8
    box = Box(kernel, FRAMES, FRAMES, pages)
    box.fill()
    for _ in range(sharers - 1):
        box.task.fork()

    def prepare() -> None:
        for task in box.machine.processes():
            task.touch_range(box.start, box.length, write=False)

    yield Path(f"reverse map, {design}", lambda: box.machine.reclaim(pages), lambda: rmap_lookups(box), prepare)


def index(kind: type[intervals.Index]) -> Iterator[Path]:
    """An index over the mappings of a file: batches in no order, a hit in the mean."""
    span = 1 << 20
    starts = streams.uniform(span, INTERVALS, 1)
    lasts = starts + streams.uniform(2 * span // INTERVALS, INTERVALS, 2)
    values, points = np.arange(INTERVALS), streams.uniform(span, POINTS, 3)
    index = kind()

    def full() -> None:
        index.clear()
        index.insert(starts, lasts, values)

    yield Path(f"index insert, {kind.__name__}", lambda: index.insert(starts, lasts, values), INTERVALS, index.clear)
    yield Path(f"index stab, {kind.__name__}", lambda: index.stab_count(points), POINTS, full)
    yield Path(f"index remove, {kind.__name__}", lambda: index.remove(starts, lasts, values), INTERVALS, full)


def groups() -> Iterator[Iterator[Path]]:
    """Each with a machine of its own, which is gone before the next one comes: valgrind has little address space."""
    yield hits()
    yield table_walk()
    for kernel in (AA1, CHAINS):
        yield first_touch(kernel)
        yield forks(kernel)
        yield storm(kernel)
    for design, kernel in designs().items():
        yield reverse_map(design, kernel)
    for kind in (intervals.List, intervals.RBTree, intervals.PrioTree, intervals.IntervalTree, intervals.BTree):
        yield index(kind)


def measure(group: Iterator[Path]) -> Iterator[tuple[str, int]]:
    """The name of each path, and how many items were counted."""
    counted = load("callgrind").counted
    for path in group:
        path.prepare()
        path.action()
        path.prepare()
        before = 0 if isinstance(path.items, int) else path.items()
        counted(path.name.encode(), path.action)
        yield path.name, path.items if isinstance(path.items, int) else path.items() - before


def main() -> None:
    items = {}
    for group in groups():
        items.update(measure(group))
        gc.collect()
    print(json.dumps(items))


if __name__ == "__main__":
    main()
