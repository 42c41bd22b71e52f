"""What a scenario needs at most, from sizes alone: its steps are followed in counts, without a machine.

All tasks of a group are alike, so a group is a number, and of each region one task's share is kept. Anonymous pages are
kept as origins: pages that came into being together, with how many tasks of each group still map them. After each step
the counts are one ``Load``; ``fits.py`` makes bytes of them.

What is not followed: reclaim (a load is what would be held if nothing were taken), and what two steps share by chance.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from .layout import Layout
from .model import PAGE_SIZE
from .steps import (
    Exit,
    FileSpec,
    Fork,
    Grow,
    Lock,
    Map,
    Move,
    Protect,
    Reclaim,
    Scatter,
    Spawn,
    Step,
    Touch,
    Unmap,
)

PAGE_ENTRIES = 9            # a page has 2**9 entries of the engine


@dataclass
class Load:
    """Counts at one moment."""

    tasks: int
    vmas: int
    anon_vmas: Counter[int]         # VMAs with anonymous pages, by how many forks lie between their origin and them
    origins: int                    # of these, the first of their line: an anon_vma each
    anon_mapped: Counter[int]       # anonymous pages, by the number of ptes that map them
    file_mapped: Counter[int]       # pages of files, likewise
    leaf_tables: int
    upper_tables: int               # without the top one, which each mm has
    cached: list[int]               # pages of each file in the page cache
    table_pages: int                # pages of the engine's memory that tables have entries in


@dataclass
class Origin:
    """Anonymous pages of one first write."""

    pages: float                    # of each copy
    copies: int                     # so many tasks made such pages
    holders: dict[str, float]       # tasks of each group that map them, for each copy


@dataclass
class Held:
    """A region in the tasks of one group."""

    spec: Map
    vmas: float                     # of each task
    touched: float = 0.0            # share of its pages with ptes
    anon: float = 0.0               # VMAs of each task with anonymous pages
    depth: int = 0                  # forks since the first of them
    origins: list[Origin] = field(default_factory=list)


class Mappers:
    """How many tasks map each page of a file. Stretches are kept by where they begin and end; an array is made only for
    pages that lie apart."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.edges: Counter[int] = Counter()
        self.scattered: np.ndarray | None = None

    def add(self, start: int, end: int, tasks: int) -> None:
        start, end = min(start, self.pages), min(end, self.pages)
        if start < end:
            self.edges[start] += tasks
            self.edges[end] -= tasks

    def add_scattered(self, pages: np.ndarray, tasks: float) -> None:
        if self.scattered is None:
            self.scattered = np.zeros(self.pages)
        self.scattered[pages] += tasks

    def count(self) -> Counter[int]:
        """Pages by the number of tasks that map them, without those that nobody maps."""
        found: Counter[int] = Counter()
        by = 0
        for start, end in pairwise(sorted({0, self.pages, *self.edges})):
            by += self.edges[start]
            if self.scattered is None:
                found[by] += end - start
            else:
                counts = np.bincount(np.rint(self.scattered[start:end] + by).astype("i8"))
                found.update({int(n): int(counts[n]) for n in np.flatnonzero(counts)})
        del found[0]
        return found


class Plan:
    """The scenario's groups, on their way through the steps."""

    def __init__(self, files: Iterable[FileSpec], steps: Iterable[Step], rules: Mapping[str, int],
                 gap: int = 1) -> None:
        self.steps = list(steps)
        self.rules = rules
        self.layout = Layout(self.steps, rules["unmapped_base"], gap)
        self.tasks: dict[str, int] = {}
        self.held: dict[str, dict[str, Held]] = {}
        self.cached: dict[str, float] = {}
        self.sizes: dict[str, int] = {}
        for spec in files:
            self.sizes[spec.name] = max(self.layout.file_pages(spec.name), -(-spec.size // PAGE_SIZE), 1)
            self.cached[spec.name] = float(self.sizes[spec.name]) if spec.cached else 0.0

    def loads(self) -> list[Load]:
        """The load after each step."""
        out = []
        for step in self.steps:
            ACTIONS[type(step)](self, step)
            out.append(self.load())
        return out

    # ---- steps

    def spawn(self, step: Spawn) -> None:
        self.tasks[step.who] = self.tasks.get(step.who, 0) + step.count
        self.held.setdefault(step.who, {})

    def fork(self, step: Fork) -> None:
        for _ in range(step.rounds):
            parents = self.tasks[step.who]
            children = parents * step.times
            before = self.tasks.get(step.into, 0)
            mine, theirs = self.held[step.who], self.held.setdefault(step.into, {})
            self.tasks[step.into] = before + children
            for region, held in mine.items():
                if region not in theirs:
                    theirs[region] = Held(held.spec, held.vmas, held.touched, held.anon, held.depth + 1, held.origins)
                elif theirs[region] is held:
                    held.depth += 1
                for origin in held.origins:
                    add = origin.holders.get(step.who, 0) * step.times
                    origin.holders[step.into] = origin.holders.get(step.into, 0) + add

    def map(self, step: Map) -> None:
        old = self.held[step.who].get(step.region)
        if old is not None:
            self.leave(step.who, old)
        self.held[step.who][step.region] = Held(step, step.choose or step.count)

    def touch(self, step: Touch) -> None:
        self.write_or_read(step.who, step.region, step.part, step.write)

    def write_or_read(self, who: str, region: str, part: float, write: float) -> None:
        held = self.held[who][region]
        if part == 0:
            return
        spec = held.spec
        if spec.file:
            held.touched = max(held.touched, part)
            share = part * (spec.choose / spec.count * self.tasks[who] if spec.choose else 1)
            pages = min(share, 1.0) * spec.count * spec.window
            self.cached[spec.file] = max(self.cached[spec.file], min(pages, self.sizes[spec.file]))
        if write and not spec.shared:
            self.own(who, held, part * write)
            held.touched = max(held.touched, part if spec.file else part * write)

    def own(self, who: str, held: Held, part: float) -> None:
        """``part`` of the region is written by every task: pages of their own; who shared them keeps the old."""
        tasks = self.tasks[who]
        pages = part * (held.spec.choose or held.spec.count) * held.spec.window
        mine = sum(o.pages for o in held.origins if o.holders.get(who, 0) * o.copies >= tasks
                   and sum(o.holders.values()) == 1)
        if mine >= pages:
            return          # they were alone with them
        kept = []
        for origin in held.origins:
            left = min(origin.pages, pages)
            if origin.holders.get(who, 0) and left > 0:
                old = Origin(left, origin.copies, {**origin.holders, who: 0})
                if any(old.holders.values()):
                    kept.append(old)
                origin.pages -= left
            if origin.pages > 0:
                kept.append(origin)
        held.origins[:] = [*kept, Origin(pages, tasks, {who: 1})]
        held.anon = max(held.anon, max(part * held.vmas, 1) if held.vmas else 0)

    def protect(self, step: Protect) -> None:
        held = self.held[step.who][step.region]
        held.vmas = max(held.vmas, held.spec.count * held.spec.window * PAGE_SIZE // step.piece)
        held.anon = held.vmas if held.anon else 0

    def grow(self, step: Grow) -> None:
        held = self.held[step.who][step.region]
        pieces = -(-held.spec.count * held.spec.window * PAGE_SIZE // step.piece)
        self.own(step.who, held, 1.0)
        held.touched = 1.0
        held.vmas = 1 if self.rules["merge_mprotect"] else pieces
        held.anon = held.vmas

    def move(self, step: Move) -> None:
        self.layout.move(step.region)
        held = self.held[step.who][step.region]
        total = (held.spec.choose or held.spec.count) * held.spec.window
        if self.rules["anonmm_size"] and not self.rules["vma_anon_vma"]:
            # pages are found by their address alone, so those that others share are copied to be moved
            self.own(step.who, held, min(sum(o.pages for o in held.origins) / total, 1.0))

    def scatter(self, step: Scatter) -> None:
        held = self.held[step.who][step.region]
        if self.rules.get("remap_makes_vmas"):
            held.vmas = max(held.vmas, min(round(step.part * held.spec.count * held.spec.window),
                                           self.rules["max_map_count"]))

    def nothing(self, step: Step) -> None:
        """Not a matter of what is held."""

    def lock(self, step: Lock) -> None:
        held = self.held[step.who][step.region]
        held.vmas += 1 if step.part < 1 else 0
        self.write_or_read(step.who, step.region, step.part, 1.0)

    def unmap(self, step: Unmap) -> None:
        self.leave(step.who, self.held[step.who].pop(step.region))

    def exit(self, step: Exit) -> None:
        for held in self.held[step.who].values():
            self.leave(step.who, held)
        self.held[step.who] = {}
        self.tasks[step.who] = 0

    def leave(self, who: str, held: Held) -> None:
        for origin in held.origins:
            origin.holders[who] = 0

    # ---- counts

    def load(self) -> Load:
        load = Load(sum(self.tasks.values()), 0, Counter(), 0, Counter(), Counter(), 0, 0,
                    [round(pages) for pages in self.cached.values()], 0)
        mappers = {name: Mappers(size) for name, size in self.sizes.items()}
        seen: set[int] = set()
        for who, regions in self.held.items():
            tasks = self.tasks[who]
            for held in regions.values():
                load.vmas += round(tasks * held.vmas)
                if held.anon:
                    load.anon_vmas[held.depth] += round(tasks * held.anon)
                if held.spec.file and held.touched:
                    self.file_mappers(mappers[held.spec.file], held, tasks)
                for origin in held.origins:
                    if id(origin) not in seen:
                        seen.add(id(origin))
                        by = round(sum(origin.holders.values()))
                        if by:
                            load.anon_mapped[by] += round(origin.pages * origin.copies)
            leaf, upper, pages = self.tables(regions)
            load.leaf_tables += round(tasks * leaf)
            load.upper_tables += round(tasks * upper)
            load.table_pages += round(tasks * pages)
        for file in mappers.values():
            load.file_mapped.update(file.count())
        load.origins = sum(n for depth, n in load.anon_vmas.items() if depth == 0) or load.anon_vmas.total()
        return load

    def file_mappers(self, mappers: Mappers, held: Held, tasks: int) -> None:
        """Each task adds itself to the pages that it touched and did not copy; both are the first of the region."""
        spec = held.spec
        pages = spec.count * spec.window
        copied = round(sum(origin.pages for origin in held.origins))
        touched = round(held.touched * pages)
        if spec.count == 1:
            mappers.add(copied, touched, tasks)
            return
        place = np.arange(min(copied, touched), touched)
        window = place // spec.window
        number = np.arange(spec.count)
        first = (spec.count - 1 - number if spec.reversed else number) * (spec.window + spec.gap)
        share = spec.choose / spec.count if spec.choose else 1.0
        mappers.add_scattered(first[window] + place % spec.window, tasks * share)

    def tables(self, regions: Mapping[str, Held]) -> tuple[float, float, float]:
        """Leaf tables of one task, the tables above them without the top one, and pages of 512 entries that all of
        them, the top one too, have entries in."""
        leaf_shift = 12 + self.rules["pt_shift"]
        spans: list[tuple[int, int]] = []
        for region, held in regions.items():
            if not held.touched and not held.origins:
                continue
            base, end = self.layout.base(region), self.layout.end(region)
            pages = sum(o.pages for o in held.origins) / max(held.spec.count * held.spec.window, 1)
            share = min(max(held.touched, pages if held.touched == 0 else 0), 1.0)
            if held.spec.choose:
                share = 1.0         # its windows may lie anywhere
            spans.append((base, base + max(int((end - base) * share), 1)))
        counts = []
        for level in range(self.rules["levels"] - 1):
            shift = leaf_shift + level * self.rules["pt_shift"]
            found, behind = 0, 0            # tables, and the one behind the last of them
            for first, last in sorted((first >> shift, end - 1 >> shift) for first, end in spans):
                found += max(last + 1 - max(first, behind), 0)
                behind = max(behind, last + 1)
            counts.append(found)
        if self.rules["pt_shift"] == PAGE_ENTRIES:
            return counts[0], sum(counts[1:]), sum(counts) + 1
        pages = 0
        for level in range(self.rules["levels"]):
            shift = 12 + level * self.rules["pt_shift"] + PAGE_ENTRIES
            used = {page for first, end in spans for page in range(first >> shift, (end - 1 >> shift) + 1)}
            halves = self.rules["pt_shift"] - PAGE_ENTRIES      # a new table's first entry is written, whatever it has
            pages += len(used | {page >> halves << halves for page in used}) or level == self.rules["levels"] - 1
        return counts[0], sum(counts[1:]), pages


ACTIONS: dict[type, Any] = {
    Spawn: Plan.spawn, Fork: Plan.fork, Map: Plan.map, Touch: Plan.touch, Protect: Plan.protect, Grow: Plan.grow,
    Move: Plan.move, Scatter: Plan.scatter, Lock: Plan.lock, Reclaim: Plan.nothing, Unmap: Plan.unmap,
    Exit: Plan.exit,
}
