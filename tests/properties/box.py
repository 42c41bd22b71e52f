"""A hypothesis machine that does the same to the model and to any number of vmcore machines, and compares.

Subclasses name the kernels. Addresses are drawn as "the n-th mapped page, or a page beside a mapping", so that every
call meets something and a failing run shrinks. The machines are small, and what the model needs is kept below memory
and swap together, so that nobody dies of want.
"""
from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.properties.model import EXEC, PAGE, READ, WRITE, Mapping, Model, Outcome, Space, Ways, failed, join

import vmcore
from vmcore import kernels

MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 0x01, 0x02, 0x10, 0x20
MAYMOVE, FIXED = vmcore.MREMAP_MAYMOVE, vmcore.MREMAP_FIXED

START_BRK = 0x08400000
FILE = "file"               # names of files begin so
MAX_TASKS = 5
ROOM = 1950                 # pages that a run may need beside the ballast: less than memory and swap have together
MAX_LOCKED = 80
MAX_REMAPPED = 150
UNSWAPPED = 80              # pages beside the ballast that swapoff may have to bring back

tasks = st.integers(0, MAX_TASKS - 1)
places = st.integers(0, 1 << 12)
lengths = st.one_of(st.integers(1, 12), st.integers(1, 130))
offsets = st.integers(0, PAGE - 1)
prots = st.sampled_from((3, 3, 3, 1, 7, 5, 0))


def ways_of(kernel: vmcore.Kernel) -> Ways:
    if kernel.calls == "v2_6":
        return Ways()
    return Ways(data=READ | WRITE | (EXEC if kernel.data["data_exec"] else 0), mremap_looks=True, populates_last=True,
                locked_writable=True, gap=256, stack_room=kernel.data["stack_room"], brk_needs_heap=True)


class Side:
    """One vmcore machine, with its tasks and files under the model's numbers."""

    def __init__(self, kernel: str | vmcore.Kernel, options: dict[str, Any]) -> None:
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

    KERNELS: ClassVar[tuple[str | vmcore.Kernel, ...]] = ()
    OPTIONS: ClassVar[dict[str, Any]] = {}
    BALLAST: ClassVar[int] = 250            # pages that the first task writes, so that memory is short from the start
    SWAP: ClassVar[str] = "12M"

    def __init__(self) -> None:
        super().__init__()
        options = {"ram": "6M", "swap": self.SWAP, "overcommit_memory": 1, "swappiness": 100} | self.OPTIONS
        self.sides = [Side(kernel, options) for kernel in self.KERNELS]
        rules = [kernels.get(kernel).rules("x86_64") for kernel in self.KERNELS]
        ways, = {ways_of(kernels.get(kernel)) for kernel in self.KERNELS}
        self.model = Model(ways)
        # today's remap_file_pages makes ordinary mappings, of what is behind the end of the file too
        self.remaps = not any(r["remap_missing"] for r in rules) and ways == Ways()
        self.spurious = any(r["remap_cursor_einval"] for r in rules)
        self.kinds: dict[int, str] = {}
        self.token = 0
        arch = options.get("arch", "x86_64")
        self.top = kernels.get(self.KERNELS[0]).rules(arch)["task_size"] // PAGE

    # ---- picking

    def task(self, n: int) -> int:
        numbers = sorted(self.model.spaces)
        return numbers[n % len(numbers)]

    def place(self, space: Space, n: int) -> int:
        """A page: mapped, or just outside a mapping."""
        pages = sorted(space.pages)
        beside = [p for first, last in space.ranges() for p in (first - 1, last) if p < self.top]
        choice = pages + beside or [START_BRK // PAGE]
        return choice[n % len(choice)]

    def stretch(self, space: Space, n: int, pages: int) -> tuple[int, int]:
        """A place, and a number of pages that does not reach beyond the end of the address space."""
        at = self.place(space, n)
        return at, min(pages, self.top - at)

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
        return self.model.needed() + pages <= self.BALLAST + ROOM

    # ---- tasks

    @initialize()
    def first_task(self) -> None:
        number = self.spawn()
        at = self.map(number, None, self.BALLAST, 3, MAP_ANONYMOUS | MAP_PRIVATE)
        self.write_all(number, range(at, at + self.BALLAST))

    def spawn(self) -> int:
        number = self.model.spawn(START_BRK)
        for side in self.sides:
            side.tasks[number] = side.machine.spawn(f"t{number}", start_brk=START_BRK)
        return number

    def write_all(self, number: int, pages: Iterable[int]) -> None:
        """A new content for each page, as far as it may be written."""
        space = self.model.spaces[number]
        for page in pages:
            if self.model.reason(space, page, write=True) is not None:
                break
            self.token += 1
            self.model.write(space, page * PAGE, self.token)
            for side in self.sides:
                side.tasks[number].write(page * PAGE, self.token)

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

    @rule(task=tasks, pages=st.integers(1, 32))
    def exec(self, task: int, pages: int) -> None:
        number = self.task(task)
        for side in self.sides:
            side.tasks[number].exec(argpages=pages)
        (start, end, perms), = {r[:3] for side in self.sides for r in side.tasks[number].maps()}
        ways = self.model.ways
        assert (perms, end - start) == ("rwxp" if ways.data & EXEC else "rw-p", (pages + ways.stack_room) * PAGE)
        brk, = {side.tasks[number].brk(0) for side in self.sides}
        self.model.exec(number, start // PAGE, pages, brk)

    # ---- mappings

    def map(self, number: int, at: int | None, pages: int, prot: int, flags: int, file: int | None = None,
            index: int = 0) -> int | None:
        """mmap on all sides; returns the first page, None if the file may not be mapped so."""
        space = self.model.spaces[number]
        shared = bool(flags & MAP_SHARED)
        obj = self.model.objects[file] if file is not None else None
        if at is not None:
            flags |= MAP_FIXED
        results = [
            outcome(side.tasks[number].mmap, None if at is None else at * PAGE, pages * PAGE, prot, flags,
                    side.files[file] if file is not None else None, index * PAGE)
            for side in self.sides
        ]
        assert all(r == results[0] for r in results), results
        if shared and prot & WRITE and obj is not None and obj.readonly:
            assert results[0] == failed(errno.EACCES)
            return None
        assert results[0].kind == "ok", results
        address = results[0].value
        assert address % PAGE == 0
        if at is None:
            at = address // PAGE
            assert not any(p in space.pages for p in range(at, at + pages)), f"{address:#x} is taken"
        assert address == at * PAGE
        self.model.map(space, at, pages, prot, shared, obj, index)
        return at

    @rule(task=tasks, pages=lengths, prot=prots, shared=st.booleans(), fill=st.booleans())
    def mmap_anonymous(self, task: int, pages: int, prot: int, shared: bool, fill: bool) -> None:
        if self.room(pages):
            number = self.task(task)
            at = self.map(number, None, pages, prot, MAP_ANONYMOUS | (MAP_SHARED if shared else MAP_PRIVATE))
            if fill:
                self.write_all(number, range(at, at + pages))

    @rule(task=tasks, where=places, pages=lengths, prot=prots, shared=st.booleans())
    def mmap_fixed(self, task: int, where: int, pages: int, prot: int, shared: bool) -> None:
        number = self.task(task)
        at, pages = self.stretch(self.model.spaces[number], where, pages)
        if self.room(pages):
            self.map(number, at, pages, prot, MAP_ANONYMOUS | (MAP_SHARED if shared else MAP_PRIVATE))

    @precondition(lambda self: self.model.objects)
    @rule(task=tasks, which=places, pages=st.integers(1, 70), index=st.integers(0, 20), prot=prots,
        shared=st.booleans(),
          then=st.sampled_from(("write", "touch", "nothing")))
    def mmap_file(self, task: int, which: int, pages: int, index: int, prot: int, shared: bool, then: str) -> None:
        number, file = self.task(task), self.file(which)
        shared = shared or self.kinds[file] == "device"     # -aa1 has BUG_ON for private pages in a VM_RESERVED vma
        if self.room(pages):
            at = self.map(number, None, pages, prot, MAP_SHARED if shared else MAP_PRIVATE, file, index)
            if at is not None and then == "write":
                self.write_all(number, range(at, at + pages))
            elif at is not None and then == "touch":
                self.touch_all(number, at, pages, True)

    @precondition(lambda self: len(self.model.objects) < 5)
    @rule(pages=st.integers(1, 60), kind=st.sampled_from(("open", "tmpfs", "readonly", "device")), fill=st.booleans())
    def open(self, pages: int, kind: str, fill: bool) -> None:
        """A file; filled: somebody has written all of it, through a mapping that is gone."""
        # all devices show the same frames, so there is one
        if not self.room(pages) or (kind == "device" and kind in self.kinds.values()):
            return
        name = f"{FILE}{len(self.model.objects)}"
        number = self.model.open(name, pages, readonly=kind == "readonly")
        self.kinds[number] = kind
        for side in self.sides:
            if kind == "readonly":
                side.files[number] = side.machine.open(name, size=pages * PAGE, readonly=True)
            else:
                side.files[number] = getattr(side.machine, kind)(name, size=pages * PAGE)
        if fill and kind != "readonly":
            task = self.task(0)
            at = self.map(task, None, pages, 3, MAP_SHARED, number)
            self.write_all(task, range(at, at + pages))
            self.model.unmap(self.model.spaces[task], at, pages)
            for side in self.sides:
                side.tasks[task].munmap(at * PAGE, pages * PAGE)

    @precondition(lambda self: self.model.objects)
    @rule(which=places, pages=st.integers(0, 60))
    def truncate(self, which: int, pages: int) -> None:
        number = self.file(which)
        if self.kinds[number] == "device":
            return
        # what a shorter file leaves in nonlinear mappings differs by kernel, and user space sees it
        if any(p.object is self.model.objects[number] and p.home is not None
               for space in self.model.spaces.values() for p in space.pages.values()):
            return
        if pages > self.model.objects[number].pages and not self.room(pages):
            return
        self.model.truncate(number, pages)
        for side in self.sides:
            side.files[number].truncate(pages * PAGE)

    @precondition(lambda self: self.model.objects)
    @rule(which=places, sync=st.booleans(), mapped=st.booleans())
    def invalidate(self, which: int, sync: bool, mapped: bool) -> None:
        """Cached pages go, but no contents."""
        for side in self.sides:
            file = side.files[self.file(which)]
            if sync:
                file.sync()
            file.invalidate(mapped=mapped)

    @rule(task=tasks, where=places, pages=lengths)
    def munmap(self, task: int, where: int, pages: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at, pages = self.stretch(space, where, pages)
        self.model.unmap(space, at, pages)
        self.same(Outcome("ok"), lambda side: side.tasks[number].munmap(at * PAGE, pages * PAGE))

    @rule(task=tasks, where=places, pages=lengths, prot=prots)
    def mprotect(self, task: int, where: int, pages: int, prot: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at, pages = self.stretch(space, where, pages)
        if self.model.ways.locked_writable and any(
                space.pages[p].object is not None and p in space.locked for p in space.span(at, pages)):
            return              # how far locked pages of a file come, depends on where its mappings end
        expected = self.model.mprotect(space, at, pages, prot)
        self.same(expected, lambda side: side.tasks[number].mprotect(at * PAGE, pages * PAGE, prot))

    def in_one_mapping(self, number: int, at: int, pages: int) -> bool:
        """What is one mapping on one kernel may be two on another: on all of them, the range lies in one."""
        first, last = at * PAGE, (at + pages) * PAGE
        return all(any(r.start <= first < r.end and last <= r.end for r in side.tasks[number].maps())
                   for side in self.sides)

    @rule(task=tasks, where=places, old=st.one_of(st.just(0), lengths), new=lengths, move=st.booleans(),
          onto=st.one_of(st.none(), places))
    def mremap(self, task: int, where: int, old: int, new: int, move: bool, onto: int | None) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at, old = self.stretch(space, where, old)
        flags = MAYMOVE if move or onto is not None else 0
        to = None
        if onto is not None:
            flags |= FIXED
            to, new = self.stretch(space, onto, new)
            overlap = to <= at < to + new or at <= to < at + old
            if overlap and not (self.model.ways.mremap_looks and old == 0 and to == at):
                self.same(failed(errno.EINVAL),
                          lambda side: side.tasks[number].mremap(at * PAGE, old * PAGE, new * PAGE, flags, to * PAGE))
                return
        if not self.room(max(0, new - old)) or (len(space.locked) + new > MAX_LOCKED and at in space.locked):
            return
        if self.model.ways.mremap_looks:
            self.mremap_today(number, at, old, new, flags, to)
            return
        shrinks = new <= old and to is None
        hole = any(p not in space.pages for p in range(at, at + max(1, old if to is None else min(old, new))))
        if not shrinks and not hole and not self.in_one_mapping(number, at, min(old, new) if to is not None else old):
            return
        results = [outcome(side.tasks[number].mremap, at * PAGE, old * PAGE, new * PAGE, flags,
                           None if to is None else to * PAGE) for side in self.sides]
        assert all(r == results[0] for r in results), results
        if to is not None:
            self.model.unmap(space, to, new)
        if shrinks:
            self.model.unmap(space, at + new, old - new)
            assert results[0] == Outcome("ok", at * PAGE)       # whether it is mapped or not
            return
        if hole or at not in space.pages:
            if to is not None and new < old:
                self.model.unmap(space, at + new, old - new)
            assert results[0] == failed(errno.EFAULT), results[0]
            return
        if to is None and old and self.fits(space, at, old, new):
            to = at
        elif to is None and move:
            assert results[0].kind == "ok", results[0]
            to = results[0].value // PAGE
            assert not any(p in space.pages for p in range(to, to + new)), f"{to * PAGE:#x} is taken"
        expected = self.model.mremap(space, at, old, new, to)
        assert results[0] == expected, f"{results[0]}, the model says {expected}"

    def mremap_today(self, number: int, at: int, old: int, new: int, flags: int, to: int | None) -> None:
        """The range is looked at before anything is changed. Several mappings at once are left to tests/kernel."""
        space = self.model.spaces[number]

        def call(side: Side) -> Any:
            where = None if to is None else to * PAGE
            return side.tasks[number].mremap(at * PAGE, old * PAGE, new * PAGE, flags, where)

        if at not in space.pages:
            self.same(failed(errno.EFAULT), call)
            return
        page = space.pages[at]
        if old == 0 and not page.shared:
            self.same(failed(errno.EINVAL), call)
            return
        device = any(o is page.object and self.kinds[n] == "device" for n, o in self.model.objects.items())
        if not self.in_one_mapping(number, at, old) or (device and new > old) or (old == 0 and to == at):
            return
        got = [outcome(call, side) for side in self.sides]
        assert all(r == got[0] for r in got), got
        if to is not None:
            self.model.unmap(space, to, new)
        elif new > old and old and self.fits(space, at, old, new):
            to = at
        elif new > old and flags & MAYMOVE:
            assert got[0].kind == "ok", got[0]
            to = got[0].value // PAGE
            assert not any(p in space.pages for p in range(to, to + new)), f"{to * PAGE:#x} is taken"
        expected = self.model.mremap(space, at, old, new, to)
        assert got[0] == expected, f"{got[0]}, the model says {expected}"

    def fits(self, space: Space, at: int, old: int, new: int) -> bool:
        """The pages after the range are free, as far as it wants to grow."""
        return at + new <= self.top and not any(p in space.pages for p in range(at + old, at + new))

    @precondition(lambda self: self.remaps)
    @rule(task=tasks, where=places, pages=st.integers(1, 20), index=st.integers(0, 40), nonblock=st.booleans())
    def remap_file_pages(self, task: int, where: int, pages: int, index: int, nonblock: bool) -> None:
        """Most pages are not in a shared mapping, so the n-th of those that are; else it is EINVAL."""
        number = self.task(task)
        space = self.model.spaces[number]
        shared = sorted(p for p, page in space.pages.items() if self.remappable(page))
        at = shared[where % len(shared)] if shared and where % 8 else self.place(space, where)
        if self.spurious and any(scanned(side.machine) for side in self.sides):
            return              # 2.6.7 may refuse it for the cursor of its scan
        pages = min(pages, self.top - at)
        flags = vmcore.MAP_NONBLOCK if nonblock else 0

        def call(side: Side) -> Any:
            return side.tasks[number].remap_file_pages(at * PAGE, pages * PAGE, 0, index, flags)

        if any(p not in space.pages or not self.remappable(space.pages[p]) for p in range(at, at + pages)):
            self.same(failed(errno.EINVAL), call)
        elif self.in_one_mapping(number, at, pages) and self.remapped() + pages <= MAX_REMAPPED:
            # a call that is refused for the file's length has made the mapping nonlinear, but user space cannot see it
            self.same(self.model.remap_file_pages(space, at, pages, index), call)

    def remapped(self) -> int:
        """Pages that -aa1 cannot take from their mappings."""
        return len({(id(p.object), p.index) for space in self.model.spaces.values() for p in space.pages.values()
                    if p.home is not None})

    def remappable(self, page: Any) -> bool:
        """VM_SHARED: a writable file, mapped shared."""
        obj = page.object
        if not page.shared or obj is None or obj.readonly:
            return False
        return not any(o is obj and self.kinds[n] == "device" for n, o in self.model.objects.items())

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
        at, pages = self.stretch(space, where, pages)
        locked = sum(len(s.locked) for s in self.model.spaces.values())
        if locked + pages > MAX_LOCKED or not self.model.may_mlock(space, at, pages):
            return
        expected = self.model.mlock(space, at, pages)
        self.same(expected, lambda side: side.tasks[number].mlock(at * PAGE, pages * PAGE))

    @rule(task=tasks, where=places, pages=lengths)
    def munlock(self, task: int, where: int, pages: int) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at, pages = self.stretch(space, where, pages)
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

    def touch_all(self, number: int, at: int, pages: int, write: bool) -> None:
        expected = self.model.touch_all(self.model.spaces[number], [((at + i) * PAGE, write) for i in range(pages)])
        self.same(expected, lambda side: side.tasks[number].touch_range(at * PAGE, pages * PAGE, write=write))

    @rule(task=tasks, where=places, pages=lengths, write=st.booleans())
    def touch_range(self, task: int, where: int, pages: int, write: bool) -> None:
        number = self.task(task)
        space = self.model.spaces[number]
        at, pages = self.stretch(space, where, pages)
        self.touch_all(number, at, pages, write)

    @rule(accesses=st.lists(st.tuples(tasks, places, st.booleans()), min_size=1, max_size=40))
    def run(self, accesses: list[tuple[int, int, bool]]) -> None:
        """A mixed stream of all tasks. Who faulted there would die, so only accesses that succeed are in it."""
        batch = []
        for task, where, write in accesses:
            number = self.task(task)
            space = self.model.spaces[number]
            at = self.place(space, where)
            if self.model.reason(space, at, write) is None:
                self.model.touch(space, at * PAGE, write)
                batch.append((number, at * PAGE, write))
        for side in self.sides:
            trace = np.zeros(len(batch), dtype=vmcore.TRACE_DTYPE)
            for i, (number, address, write) in enumerate(batch):
                trace[i]["task"], trace[i]["addr"], trace[i]["op"] = side.tasks[number].pid, address, write
            assert side.machine.run(trace) == (len(batch), 0, 0)

    @rule(task=tasks, where=places, pages=lengths)
    def fill(self, task: int, where: int, pages: int) -> None:
        """A new content for every page of a stretch."""
        number = self.task(task)
        space = self.model.spaces[number]
        at, pages = self.stretch(space, where, pages)
        self.write_all(number, space.span(at, pages))

    # ---- memory

    @rule(pages=st.integers(1, 300), times=st.integers(1, 10))
    def reclaim(self, pages: int, times: int) -> None:
        """More than once, because the first look finds most pages young."""
        for side in self.sides:
            for _ in range(times):
                if side.machine.reclaim(pages=pages) >= pages:
                    break

    @precondition(lambda self: self.model.needed() <= self.BALLAST + UNSWAPPED)
    @rule()
    def swapoff_and_on(self) -> None:
        for side in self.sides:
            result = outcome(side.machine.swapoff, 0)
            if result.kind == "ok":
                assert 0 not in [area[0] for area in side.machine.swaps()]
                side.machine.swapon(self.SWAP, -1)
            else:
                assert result == Outcome("errno", errno.ENOMEM)

    # ---- the whole state

    @rule(saved=st.booleans())
    def clone(self, saved: bool) -> None:
        """The run goes on with a copy; every number is as it was."""
        for side in self.sides:
            old = side.machine
            if saved:
                with tempfile.TemporaryDirectory() as folder:
                    old.save(f"{folder}/machine")
                    side.machine = vmcore.load(f"{folder}/machine")
            else:
                side.machine = old.clone()
            assert side.machine.vmstat() == old.vmstat()
            assert side.machine.check() == old.check()
            side.tasks = {n: side.machine.task(t.pid) for n, t in side.tasks.items()}
            side.files = {n: side.machine.file(f.number) for n, f in side.files.items()}

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
                found = joined(side.tasks[number].maps())
                assert found == expected, f"{side.machine}: task {number}: {set(found) ^ set(expected)}"

    @invariant()
    def pages_where_they_belong(self) -> None:
        """A page with contents of its own is in memory or swap; one without is nowhere, or the zero page."""
        for number, space in self.model.spaces.items():
            for first, last in space.ranges():
                for side in self.sides:
                    compare_pagemap(space, first, side.tasks[number].pagemap(first * PAGE, (last - first) * PAGE))

    def teardown(self) -> None:
        """Every page that can be read, and every file, holds what the model says; then everybody exits, and nothing is
        left."""
        for number, space in self.model.spaces.items():
            for at in sorted(space.pages):
                expected = self.model.read(space, at * PAGE)
                self.same(expected, lambda side, n=number, a=at: side.tasks[n].read(a * PAGE))
        task = self.task(0)
        for number, file in self.model.objects.items():
            for side in self.sides:
                side.files[number].sync()
                side.files[number].invalidate(mapped=True)
            if file.pages:
                at = self.map(task, None, file.pages, 1, MAP_SHARED, number)
                for i in range(file.pages):
                    expected = Outcome("ok", file.content.get(i, 0))
                    self.same(expected, lambda side, a=at + i: side.tasks[task].read(a * PAGE))
        for side in self.sides:
            for last in side.tasks.values():
                last.exit()
            side.machine.check()


def scanned(machine: vmcore.Machine) -> bool:
    """Some mapping has the cursor of a scan for nonlinear pages."""
    vmas = machine.vmas
    return bool(((vmas["private_data"] != 0) & (vmas["mm"] != 0)).any())


def joined(records: Any) -> list[Mapping]:
    """maps() in the words of Model.maps."""
    out: list[Mapping] = []
    for r in records:
        named = r.name.startswith(FILE)
        join(out, Mapping(r.start, r.end, r.perms, r.name if named else "", r.offset if named else None))
    return out


def compare_pagemap(space: Space, first: int, pagemap: Any) -> None:
    pages = range(first, first + len(pagemap))
    own = np.array([p in space.private for p in pages])
    file = np.array([space.pages[p].object is not None for p in pages])
    locked = np.array([p in space.locked and p not in space.swappable for p in pages])
    present, swapped, zero = (pagemap[name] != 0 for name in ("present", "swapped", "zero"))
    wrong = own & ((present == swapped) | zero | (pagemap["file"] != 0))
    wrong |= ~own & file & (swapped | zero | (pagemap["anon"] != 0))
    wrong |= ~own & ~file & (swapped | (present != zero))
    wrong |= own & locked & ~present
    assert not wrong.any(), [(hex(pages[i]), pagemap[i]) for i in np.flatnonzero(wrong)[:5]]
