"""A hypothesis machine that does the same to the model and to any number of vmcore machines, and compares.

Subclasses name the kernels. Addresses are drawn as "the n-th mapped page, or a page beside a mapping", so that every call meets something and a
failing run shrinks. The machines are small, and what the model needs is kept below memory and swap together, so that nobody dies of want.
"""
from __future__ import annotations

import errno
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import vmcore
from tests.properties.model import PAGE, WRITE, Model, Object, Outcome, Space

MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 0x01, 0x02, 0x10, 0x20

START_BRK = 0x08400000
MAX_TASKS = 5
MAX_NEEDED = 1400           # pages: well below memory and swap together
MAX_LOCKED = 150
MAX_UNSWAPPED = 350         # pages that swapoff may have to bring back

tasks = st.integers(0, MAX_TASKS - 1)
places = st.integers(0, 1 << 12)
lengths = st.integers(1, 70)
offsets = st.integers(0, PAGE - 1)
prots = st.sampled_from((3, 3, 3, 1, 7, 5, 0))


class Side:
    """One vmcore machine, with its tasks and files under the model's numbers."""

    def __init__(self, kernel: str, options: dict[str, Any]) -> None:
        self.machine = vmcore.Machine(kernel=kernel, **options)
        self.tasks: dict[int, vmcore.Task] = {}
        self.files: dict[int, Any] = {}


def outcome(call: Any, *args: Any, **kwargs: Any) -> Outcome:
    """What a call on a machine did, in the model's words."""
    try:
        return Outcome("ok", call(*args, **kwargs))
    except vmcore.SegmentationFault as e:
        return Outcome("segv", e.code, e.address, e.index)
    except vmcore.BusError as e:
        return Outcome("bus", None, e.address, e.index)
    except OSError as e:
        return Outcome("errno", e.errno)


class Box(RuleBasedStateMachine):
    """Rules over a model and its machines."""

    KERNELS: ClassVar[tuple[str, ...]] = ()
    OPTIONS: ClassVar[dict[str, Any]] = {}
    NEVER_FAILS: ClassVar[bool] = True      # False: calls may fail for want of memory or of a lock, on machines only

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        options = {"ram": "8M", "swap": "8M", "overcommit_memory": 1} | self.OPTIONS
        self.sides = [Side(kernel, options) for kernel in self.KERNELS]
        self.token = 0

    # ---- picking

    def task(self, n: int) -> int:
        numbers = sorted(self.model.spaces)
        return numbers[n % len(numbers)]

    def place(self, space: Space, n: int) -> int:
        """A page: mapped, or just outside a mapping."""
        pages = sorted(space.pages)
        beside = [p for first, last in space.ranges() for p in (first - 1, last)]
        choice = pages + beside or [START_BRK // PAGE]
        return choice[n % len(choice)]

    def file(self, n: int) -> int:
        numbers = sorted(self.model.objects)
        return numbers[n % len(numbers)]

    def same(self, expected: Outcome, call: Any) -> None:
        """call(side) does on every machine what the model says."""
        for side in self.sides:
            got = outcome(call, side)
            if expected.kind == "ok" and expected.value is None:
                got = got._replace(value=None) if got.kind == "ok" else got
            assert got == expected, f"{side.machine}: {got}, the model says {expected}"

    def room(self, pages: int) -> bool:
        return self.model.needed() + pages <= MAX_NEEDED

    # ---- tasks

    @initialize()
    def first_task(self) -> None:
        self.spawn()

    def spawn(self) -> None:
        number = self.model.spawn(START_BRK)
        for side in self.sides:
            side.tasks[number] = side.machine.spawn(f"t{number}", start_brk=START_BRK)

    @precondition(lambda self: len(self.model.spaces) < MAX_TASKS)
    @rule()
    def new_task(self) -> None:
        self.spawn()

    @precondition(lambda self: len(self.model.spaces) < MAX_TASKS)
    @rule(task=tasks)
    def fork(self, task: int) -> None:
        parent = self.task(task)
        if not self.room(len(self.model.spaces[parent].private)):
            return
        child = self.model.fork(parent)
        for side in self.sides:
            side.tasks[child] = side.tasks[parent].fork(f"t{child}")

    @precondition(lambda self: len(self.model.spaces) > 1)
    @rule(task=tasks)
    def exit(self, task: int) -> None:
        number = self.task(task)
        self.model.exit(number)
        for side in self.sides:
            dead = side.tasks.pop(number)
            dead.exit()
            assert not dead.alive
            assert outcome(dead.munmap, 0, PAGE) == Outcome("errno", errno.ESRCH)

    # ---- mappings

    def map(self, number: int, at: int | None, pages: int, prot: int, flags: int, file: int | None = None,
            index: int = 0) -> None:
        space = self.model.spaces[number]
        shared = bool(flags & MAP_SHARED)
        if at is not None:
            flags |= MAP_FIXED
        results = [
            outcome(side.tasks[number].mmap, None if at is None else at * PAGE, pages * PAGE, prot, flags,
                    side.files[file] if file is not None else None, index * PAGE)
            for side in self.sides
        ]
        assert results[0].kind == "ok", results
        assert all(r == results[0] for r in results), results
        address = results[0].value
        assert address % PAGE == 0
        if at is None:
            at = address // PAGE
            assert not any(p in space.pages for p in range(at, at + pages)), f"{address:#x} is taken"
        assert address == at * PAGE
        self.model.map(space, at, pages, prot, shared, self.model.objects[file] if file is not None else None, index)

    @rule(task=tasks, pages=lengths, prot=prots, shared=st.booleans())
    def mmap_anonymous(self, task: int, pages: int, prot: int, shared: bool) -> None:
        if self.room(pages):
            self.map(self.task(task), None, pages, prot, MAP_ANONYMOUS | (MAP_SHARED if shared else MAP_PRIVATE))

    @rule(task=tasks, where=places, pages=lengths, prot=prots, shared=st.booleans())
    def mmap_fixed(self, task: int, where: int, pages: int, prot: int, shared: bool) -> None:
        number = self.task(task)
        at = self.place(self.model.spaces[number], where)
        if self.room(pages):
            self.map(number, at, pages, prot, MAP_ANONYMOUS | (MAP_SHARED if shared else MAP_PRIVATE))

    @precondition(lambda self: self.model.objects)
    @rule(task=tasks, which=places, pages=lengths, index=st.integers(0, 20), prot=prots, shared=st.booleans())
    def mmap_file(self, task: int, which: int, pages: int, index: int, prot: int, shared: bool) -> None:
        flags = MAP_SHARED if shared else MAP_PRIVATE
        self.map(self.task(task), None, pages, prot, flags, self.file(which), index)

    @precondition(lambda self: len(self.model.objects) < 4)
    @rule(pages=st.integers(1, 60), tmpfs=st.booleans())
    def open(self, pages: int, tmpfs: bool) -> None:
        if not self.room(pages):
            return
        name = f"file{len(self.model.objects)}"
        number = self.model.open(name, pages)
        for side in self.sides:
            make = side.machine.tmpfs if tmpfs else side.machine.open
            side.files[number] = make(name, size=pages * PAGE)

    @precondition(lambda self: self.model.objects)
    @rule(which=places, pages=st.integers(0, 60))
    def truncate(self, which: int, pages: int) -> None:
        number = self.file(which)
        if pages > self.model.objects[number].pages and not self.room(pages):
            return
        self.model.truncate(number, pages)
        for side in self.sides:
            side.files[number].truncate(pages * PAGE)

    @rule(task=tasks, where=places, pages=lengths)
    def munmap(self, task: int, where: int, pages: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at = self.place(space, where)
        self.model.unmap(space, at, pages)
        self.same(Outcome("ok"), lambda side: side.tasks[number].munmap(at * PAGE, pages * PAGE))

    @rule(task=tasks, where=places, pages=lengths, prot=prots)
    def mprotect(self, task: int, where: int, pages: int, prot: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at = self.place(space, where)
        expected = self.model.mprotect(space, at, pages, prot)
        self.same(expected, lambda side: side.tasks[number].mprotect(at * PAGE, pages * PAGE, prot))

    @rule(task=tasks, delta=st.integers(-40 * PAGE, 60 * PAGE))
    def brk(self, task: int, delta: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        brk = max(space.start_brk, space.brk + delta)
        if delta > 0 and not self.room(delta // PAGE + 1):
            return
        expected = self.model.set_brk(space, brk)
        self.same(Outcome("ok", expected), lambda side: side.tasks[number].brk(brk))

    @rule(task=tasks, where=places, pages=st.integers(1, 30))
    def mlock(self, task: int, where: int, pages: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at = self.place(space, where)
        locked = sum(len(s.locked) for s in self.model.spaces.values())
        if locked + pages > MAX_LOCKED or not self.model.may_mlock(space, at, pages):
            return
        expected = self.model.mlock(space, at, pages)
        self.same(expected, lambda side: side.tasks[number].mlock(at * PAGE, pages * PAGE))

    @rule(task=tasks, where=places, pages=lengths)
    def munlock(self, task: int, where: int, pages: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at = self.place(space, where)
        expected = self.model.munlock(space, at, pages)
        self.same(expected, lambda side: side.tasks[number].munlock(at * PAGE, pages * PAGE))

    # ---- accesses

    @rule(task=tasks, where=places, offset=offsets)
    def write(self, task: int, where: int, offset: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        address = self.place(space, where) * PAGE + offset
        self.token += 1
        expected = self.model.write(space, address, self.token)
        self.same(expected, lambda side: side.tasks[number].write(address, self.token))

    @rule(task=tasks, where=places, offset=offsets)
    def read(self, task: int, where: int, offset: int) -> None:
        number = self.task(task)
        address = self.place(self.model.spaces[number], where) * PAGE + offset
        expected = self.model.read(self.model.spaces[number], address)
        self.same(expected, lambda side: side.tasks[number].read(address))

    @rule(task=tasks, accesses=st.lists(st.tuples(places, st.booleans()), min_size=1, max_size=40))
    def touch(self, task: int, accesses: list[tuple[int, bool]]) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        batch = [(self.place(space, where) * PAGE, write) for where, write in accesses]
        expected = self.model.touch_all(space, batch)
        addresses = np.array([a for a, _ in batch], dtype=np.uint64)
        writes = np.array([w for _, w in batch], dtype=bool)
        self.same(expected, lambda side: side.tasks[number].touch(addresses, write=writes))

    @rule(task=tasks, where=places, pages=lengths, write=st.booleans())
    def touch_range(self, task: int, where: int, pages: int, write: bool) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at = self.place(space, where)
        expected = self.model.touch_all(space, [((at + i) * PAGE, write) for i in range(pages)])
        self.same(expected, lambda side: side.tasks[number].touch_range(at * PAGE, pages * PAGE, write=write))

    @rule(task=tasks, where=places, pages=lengths)
    def fill(self, task: int, where: int, pages: int) -> None:
        """A new content for every page of a stretch."""
        number = self.task(task)
        space = self.model.spaces[number]
        at = self.place(space, where)
        for page in space.span(at, pages):
            if not space.pages[page].prot & WRITE:
                break
            self.token += 1
            token, address = self.token, page * PAGE
            expected = self.model.write(space, address, token)
            self.same(expected, lambda side, a=address, t=token: side.tasks[number].write(a, t))

    # ---- memory

    @rule(pages=st.integers(1, 600))
    def reclaim(self, pages: int) -> None:
        for side in self.sides:
            side.machine.reclaim(pages=pages)

    @precondition(lambda self: self.model.needed() <= MAX_UNSWAPPED)
    @rule()
    def swapoff_and_on(self) -> None:
        for side in self.sides:
            result = outcome(side.machine.swapoff, 0)
            if result.kind == "ok":
                assert not any(t.pagemap(first * PAGE, (last - first) * PAGE)["swapped"].any()
                               for n, t in side.tasks.items() for first, last in self.model.spaces[n].ranges())
                side.machine.swapon("8M", -1)
            else:
                assert result == Outcome("errno", errno.ENOMEM)

    # ---- what must hold

    @invariant()
    def consistent(self) -> None:
        for side in self.sides:
            side.machine.check(walk=8)

    @invariant()
    def same_maps(self) -> None:
        for number, space in self.model.spaces.items():
            expected = self.model.maps(space)
            for side in self.sides:
                assert expand(side.tasks[number].maps(), expected) == expected, f"{side.machine}: task {number}"

    @invariant()
    def pages_where_they_belong(self) -> None:
        """A page with contents of its own is in memory or swap; one without is nowhere, or the zero page."""
        for number, space in self.model.spaces.items():
            for first, last in space.ranges():
                for side in self.sides:
                    compare_pagemap(space, first, side.tasks[number].pagemap(first * PAGE, (last - first) * PAGE))

    def teardown(self) -> None:
        """Every page that can be read holds what the model says; then everybody exits, and nothing is left."""
        for number, space in self.model.spaces.items():
            for at in sorted(space.pages):
                expected = self.model.read(space, at * PAGE)
                self.same(expected, lambda side, n=number, a=at: side.tasks[n].read(a * PAGE))
        for side in self.sides:
            for task in side.tasks.values():
                task.exit()
            side.machine.check()


def expand(records: Any, expected: dict[int, Any]) -> dict[int, tuple[str, str, int | None]]:
    """maps() by page, in the words of Model.maps. Names and offsets of memory without a file are the kernel's affair."""
    out = {}
    for record in records:
        for i, page in enumerate(range(record.start // PAGE, record.end // PAGE)):
            named = page in expected and expected[page][1] != ""
            out[page] = (record.perms, record.name if named else "", record.offset + i * PAGE if named else None)
    return out


def compare_pagemap(space: Space, first: int, pagemap: Any) -> None:
    for i, record in enumerate(pagemap):
        page: Any = space.pages[first + i]
        obj: Object | None = page.object
        where = f"page {first + i:#x}: {record}"
        if first + i in space.private:
            assert bool(record["swapped"]) != bool(record["present"]), where
            assert not record["zero"] and not record["file"], where
        elif obj is not None:
            assert not record["swapped"] and not record["zero"] and not record["anon"], where
        else:
            assert not record["swapped"] and bool(record["present"]) == bool(record["zero"]), where
        if first + i in space.locked and first + i in space.private:
            assert record["present"], where
