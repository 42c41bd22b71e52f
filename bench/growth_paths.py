"""What `make growth` measures: hot paths at a size, each with what it costs and what it counts per operation.

A group is a generator: called for a size (GiB of RAM, tasks, or VMAs) it builds a machine of that size and yields
samples. Times are CPU time of the thread; work is by the engine's own counters, so it is the same anywhere.
"""
from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import vmcore
from bench import streams
from bench.boxes import GIB, Box, grown, map_anonymous
from vmcore import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, intervals

PAGE = 4096
CONST, LOG, LINEAR = "O(1)", "O(log n)", "O(n)"
AA1 = "2.6.5-aa1"


class Sample(NamedTuple):
    """One path at one size."""

    path: str
    variant: str                    # a kernel, or an index
    expected: str                   # how its work grows
    counted: str                    # what the work is; "": nothing is counted
    ns: float                       # per operation
    work: float                     # per operation


class Group(NamedTuple):
    """Paths that are measured on one machine of each size."""

    axis: str
    name: str
    sizes: tuple[int, ...]
    measure: Callable[[int], Iterator[Sample]]


class Timer:
    """CPU time of one action, and what a machine counted in it."""

    def __init__(self, machine: vmcore.Machine | None = None) -> None:
        self.machine = machine
        self.ns = 0
        self.counts: dict[str, int] = {}

    def __call__(self, action: Callable[[], Any]) -> Any:
        before = self.machine.vmstat() if self.machine is not None else {}
        begin = time.thread_time_ns()
        done = action()
        self.ns = time.thread_time_ns() - begin
        self.counts = grown(self.machine.vmstat(), before) if self.machine is not None else {}
        return done

    def add(self, action: Callable[[], Any]) -> None:
        """One more of the same: time and counts on top of those so far."""
        ns, counts = self.ns, self.counts
        self(action)
        self.ns += ns
        self.counts = {name: counts.get(name, 0) + self.counts.get(name, 0) for name in counts | self.counts}

    def per(self, items: int, *counters: str) -> tuple[float, float]:
        """(ns, work) for each of so many items."""
        return self.ns / items, sum(self.counts.get(name, 0) for name in counters) / items


# ---- by RAM


def by_ram(kernel: str, gib: int) -> Iterator[Sample]:
    """A machine nine tenths full, then one with a quarter that is forked."""
    ram = gib * GIB
    timer = Timer()
    timer(lambda: Box(kernel, ram, 0, 1))
    yield Sample("boot", kernel, CONST, "", float(timer.ns), 0)
    box = Box(kernel, ram, 0, ram * 9 // 10)
    timer = Timer(box.machine)
    timer(box.fill)
    yield Sample("first touch, in order", kernel, CONST, "faults", *timer.per(box.pages, "pgfault"))
    addresses = streams.addresses(box.start, streams.uniform(box.pages, 1 << 20, 3))
    timer(lambda: box.task.touch(addresses, write=True))
    timer(lambda: box.task.touch(addresses, write=True))
    yield Sample("touch hit, uniform", kernel, CONST, "hits", *timer.per(len(addresses), "touch_hits"))
    timer(box.machine.check)
    yield Sample("check(), per PTE", kernel, CONST, "", timer.ns / box.pages, 0)
    timer(lambda: box.task.munmap(box.start, box.length))
    yield Sample("munmap", kernel, CONST, "PTEs", *timer.per(box.pages, "zap_ptes"))
    box.pages = ram // 4
    box.start = map_anonymous(box.task, box.pages)
    box.fill()
    child = timer(box.task.fork)
    yield Sample("fork, per PTE", kernel, CONST, "PTEs", *timer.per(box.pages, "fork_ptes_copied"))
    timer(box.fill)
    yield Sample("COW break", kernel, CONST, "copies", *timer.per(box.pages, "cow_copies"))
    timer(child.exit)
    yield Sample("exit, per PTE", kernel, CONST, "PTEs", *timer.per(box.pages, "zap_ptes"))
    box.machine.check()


def storm(kernel: str, gib: int) -> Iterator[Sample]:
    """Uniform writes to a quarter more than there is."""
    ram = gib * GIB
    box = Box(kernel, ram, ram // 2, ram * 5 // 4, page_cluster=0)
    box.fill()
    addresses = streams.addresses(box.start, streams.uniform(box.pages, box.pages // 4, 9))
    timer = Timer(box.machine)
    timer(lambda: box.task.touch(addresses, write=True))
    faults = timer.counts["pgmajfault"]
    yield Sample("swap-out and swap-in, per major fault", kernel, CONST, "PTEs looked up",
                 *timer.per(faults, "rmap_ptes_examined"))
    box.machine.check()


# ---- by tasks


def family(kernel: str, tasks: int, pages: int, own: bool) -> tuple[vmcore.Machine, vmcore.Task, list[vmcore.Task]]:
    """A parent's pages in so many children; if `own`, each child wrote all of them and the parent is gone."""
    machine = vmcore.Machine(ram="4G", swap="2G", kernel=kernel, arch="x86_64", overcommit_memory=1)
    parent = machine.spawn("parent")
    start = map_anonymous(parent, pages)
    parent.touch_range(start, pages * PAGE, write=True)
    children = [parent.fork() for _ in range(tasks)]
    if own:
        for child in children:
            child.touch_range(start, pages * PAGE, write=True)
        parent.exit()
    return machine, parent, children


def looked_up(machine: vmcore.Machine, least: int, again: Callable[[], Any] = lambda: None) -> Timer:
    """Reclaim until so many pages' mappings were looked up; `again` brings pages back."""
    timer = Timer(machine)
    for _ in range(200):
        timer.add(partial(machine.reclaim, pages=32))
        if timer.counts.get("rmap_pages_walked", 0) >= least:
            return timer
        again()
    raise RuntimeError(f"reclaim looked up {timer.counts.get('rmap_pages_walked', 0)} pages, not {least}")


def walk(machine: vmcore.Machine, path: str, kernel: str, expected: str, counted: str, *counters: str) -> Sample:
    timer = looked_up(machine, 64)
    sample = Sample(path, kernel, expected, counted, *timer.per(timer.counts["rmap_pages_walked"], *counters))
    machine.check()
    return sample


def shared(kernel: str, expected: str, tasks: int) -> Iterator[Sample]:
    """Fork, exit, and a look-up of pages that all tasks share."""
    machine, parent, children = family(kernel, tasks, 256, own=False)
    timer = Timer(machine)
    some = 32
    more = timer(lambda: [parent.fork() for _ in range(some)])
    yield Sample("fork of 256 PTEs", kernel, expected, "PTEs, VMAs and mms", *timer.per(
        some, "fork_ptes_copied", "fork_vmas", "rmap_vmas_visited", "rmap_mms_visited"))
    timer(lambda: [child.exit() for child in more])
    yield Sample("exit of 256 PTEs", kernel, expected, "PTEs", *timer.per(some, "zap_ptes"))
    yield walk(machine, "look-up of a page that all share", kernel, LINEAR, "PTEs", "rmap_ptes_examined")
    del children


def inherited(kernel: str, expected: str, tasks: int) -> Iterator[Sample]:
    """A look-up of pages that a task wrote in memory that it inherited with all the others."""
    machine, _, children = family(kernel, tasks, max(1600 // tasks, 1), own=True)
    yield walk(machine, "look-up of a page of one's own, inherited", kernel, expected, "PTEs and mms",
               "rmap_ptes_examined", "rmap_mms_visited")
    del children


def interleaved(tasks: int) -> Iterator[Sample]:
    """A trace that goes from task to task, of a million pages in all."""
    machine = vmcore.Machine(ram="8G", kernel=AA1, arch="x86_64", overcommit_memory=1)
    pages = (1 << 20) // tasks
    starts, pids = [], []
    for _ in range(tasks):
        task = machine.spawn("task")
        starts.append(map_anonymous(task, pages))
        pids.append(task.pid)
        task.touch_range(starts[-1], pages * PAGE, write=True)
    trace = np.zeros(1 << 20, vmcore.TRACE_DTYPE)
    who = np.arange(len(trace)) % tasks
    trace["task"] = np.array(pids, "u4")[who]
    trace["addr"] = np.array(starts, "u8")[who] + streams.uniform(pages, len(trace), 5).astype("u8") * np.uint64(PAGE)
    trace["op"] = 1
    machine.run(trace)
    timer = Timer(machine)
    timer(lambda: machine.run(trace))
    yield Sample("touch hit, tasks in turn", AA1, CONST, "hits", *timer.per(len(trace), "touch_hits"))


# ---- by VMAs


def in_one_mm(kernel: str, vmas: int) -> Iterator[Sample]:
    """Single pages, each a VMA, with a page between two of them."""
    machine = vmcore.Machine(ram="8G", kernel=kernel, arch="x86_64", overcommit_memory=1, max_map_count=(1 << 31) - 1)
    task = machine.spawn("task")
    start = task.mmap(None, 2 * vmas * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
    task.munmap(start, 2 * vmas * PAGE)
    order = streams.permutation(vmas, 7)
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    for place in order.tolist():
        task.mmap(start + 2 * place * PAGE, PAGE, PROT_READ | PROT_WRITE, flags)
    some = streams.addresses(start, 2 * streams.permutation(vmas, 8)[:100_000])
    task.touch(some, write=True)
    timer = Timer(machine)
    for _ in range(min(20_000 // len(some), 200) + 1):
        with contextlib.suppress(OSError):      # of the holes in between
            task.madvise(start, 2 * vmas * PAGE, vmcore.MADV_DONTNEED)
        timer.add(lambda: task.touch(some, write=True))
    yield Sample("find_vma, in a first touch", kernel, LOG, "VMAs looked at",
                 *timer.per(timer.counts["pgfault"], "find_vma_steps"))

    some_pairs = max(10_000_000 // (vmas + 10_000), 10)

    def pairs() -> None:
        for _ in range(some_pairs):
            task.munmap(task.mmap(None, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS), 2 * PAGE)

    task.munmap(task.mmap(None, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS), 2 * PAGE)
    timer(pairs)
    yield Sample("mmap and munmap, a pair, from Python", kernel, "", "", timer.ns / some_pairs, 0)
    machine.check()


def on_one_file(kernel: str, expected: str, vmas: int) -> Iterator[Sample]:
    """Windows of one page, each at a place of its own in the file."""
    machine = vmcore.Machine(ram="1G", swap="1G", kernel=kernel, arch="x86_64", max_map_count=(1 << 31) - 1)
    task = machine.spawn("task")
    file = machine.open("file", 2 * vmas * PAGE)
    some = np.resize(streams.permutation(vmas, 11), 256)
    start = task.mmap(None, 2 * vmas * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
    task.munmap(start, 2 * vmas * PAGE)
    for place in streams.permutation(vmas, 10).tolist():
        at = 2 * place * PAGE
        task.mmap(start + at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, at)
    task.touch(streams.addresses(start, 2 * some))
    timer = looked_up(machine, min(64, 4 * vmas), lambda: task.touch(streams.addresses(start, 2 * some)))
    yield Sample("look-up of a file's page", kernel, expected, "PTEs, VMAs and nodes", *timer.per(
        timer.counts["rmap_pages_walked"], "rmap_ptes_examined", "rmap_vmas_visited", "i_mmap_nodes_visited"))
    machine.check()


def index(kind: type[intervals.Index], stab: str, change: str, size: int) -> Iterator[Sample]:
    """vmcore.intervals alone: intervals of which one in the mean covers a point. How its work grows: of a stab, of a
    change."""
    span = 1 << 30
    starts = streams.uniform(span, size, 13)
    lasts = starts + streams.uniform(2 * span // size, size, 14)
    made = kind(starts, lasts)
    points = streams.uniform(span, max(min(20_000_000 // size, 20_000), 16) if stab == LINEAR else 20_000, 15)
    timer = Timer()
    before = made.visited
    timer(lambda: made.stab_count(points))
    yield Sample("stab", kind.__name__, stab, "nodes", timer.ns / len(points), (made.visited - before) / len(points))
    new = streams.uniform(span, 1000, 16)
    values = np.arange(len(new)) + size

    def both() -> None:
        made.insert(new, new + 100, values)
        made.remove(new, new + 100, values)

    both()
    steps = made.counters()
    timer(both)
    steps = grown(made.counters(), steps)
    yield Sample("insert and remove", kind.__name__, change, "steps", timer.ns / len(new),
                 (steps.get("insert_steps", 0) + steps.get("remove_steps", 0)) / len(new))
    made.check()


GIBS, TASKS, VMAS = (1, 4, 16, 64), (10, 100, 1000, 10_000), (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
HUGE = 256                  # GiB, where the host has the memory for it
RAM_AXIS, TASK_AXIS = "GiB of RAM", "tasks"
VMA_AXIS, FILE_AXIS, INDEX_AXIS = "VMAs of one mm", "VMAs of one file", "intervals"


def groups(huge: bool) -> Iterator[Group]:
    """All of them. huge: a machine of 256 GiB as well."""
    for kernel in (AA1, "2.6.5"):
        rams = (*GIBS, HUGE) if huge and kernel == AA1 else GIBS
        yield Group(RAM_AXIS, f"{kernel}, pages", rams, partial(by_ram, kernel))
        yield Group(RAM_AXIS, f"{kernel}, storm", rams, partial(storm, kernel))
    for kernel in ("2.6.5", AA1, "2.6.5-anonmm", "2.6.5-forktree", "2.6.34", "6.18"):
        yield Group(TASK_AXIS, f"{kernel}, shared pages", TASKS, partial(shared, kernel, CONST))
    for kernel, expected in (("2.6.5", CONST), (AA1, LINEAR), ("2.6.5-anonmm", CONST), ("2.6.5-forktree", LINEAR),
                             ("2.6.34", CONST), ("6.18", CONST)):
        yield Group(TASK_AXIS, f"{kernel}, inherited memory", TASKS, partial(inherited, kernel, expected))
    yield Group(TASK_AXIS, "in turn", TASKS, interleaved)
    for kernel in ("2.6.5", "6.18"):
        yield Group(VMA_AXIS, kernel, VMAS, partial(in_one_mm, kernel))
    for kernel, expected in (("2.6.5", CONST), (AA1, LINEAR), ("2.6.5-aa-rbtree", LINEAR), ("2.6.7", LOG),
                             ("6.18", LOG)):
        # lists look at every VMA for every page: a million of them, a hundred times, is for another day
        sizes = VMAS[:-1] if expected == LINEAR else VMAS
        yield Group(FILE_AXIS, kernel, sizes, partial(on_one_file, kernel, expected))
    for kind, stab, change in ((intervals.List, LINEAR, CONST), (intervals.RBTree, LINEAR, LOG),
                               (intervals.PrioTree, LOG, LOG), (intervals.IntervalTree, LOG, LOG),
                               (intervals.BTree, LOG, LOG)):
        yield Group(INDEX_AXIS, kind.__name__, VMAS[1:], partial(index, kind, stab, change))
