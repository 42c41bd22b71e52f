"""What happens to pages on 6.18, and what 2004 has of the same calls: faults, advice, guards, locks, files.

What user space sees of it is compared with the running kernel in tests/kernel; here is what that cannot show: reclaim,
swap, failures, and that check() knows the new states.
"""
from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import vmcore
from vmcore import MADV_DONTNEED, MADV_FREE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE, MADV_PAGEOUT, MAP_FIXED
from vmcore._fast import records
from vmcore._fast.check_shim import _py_poke

PAGE = 4096
RW = 3
PRIVATE, SHARED, ANON = 0x02, 0x01, 0x20
BASE = 0x100000000000
POOL_PTE = records.POOL_NAMES.index("pte")
POOL_VMA = records.POOL_NAMES.index("vma")
POOL_FRAME = records.POOL_NAMES.index("frame")


@pytest.fixture
def machine() -> Any:
    m = vmcore.Machine("16M", "16M", kernel="6.18", overcommit_memory=1)
    yield m
    m.check(walk=64)


@pytest.fixture
def task(machine: vmcore.Machine) -> vmcore.Task:
    return machine.spawn("t")


def anon(t: vmcore.Task, pages: int, at: int = BASE, prot: int = RW) -> int:
    return t.mmap(at, pages * PAGE, prot, PRIVATE | ANON | MAP_FIXED)


def refused(number: int, call: Callable[..., Any], *args: Any) -> None:
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == number


def pressure(m: vmcore.Machine, pages: int = 64, turns: int = 60) -> None:
    for _ in range(turns):
        m.reclaim(pages)


def pte_place(m: vmcore.Machine, t: vmcore.Task, addr: int) -> tuple[int, int]:
    """(table, slot) of an address."""
    mm = int(m.tasks[t.pid]["mm"])
    leaf = np.flatnonzero((m.tables["mm"] == mm) & (m.tables["base"] == addr & ~((1 << 21) - 1)))
    return int(leaf[0]), addr // PAGE % 512


def poked(m: vmcore.Machine, pool: int, index: int, offset: int, size: int, change: Callable[[int], int]) -> str:
    """The name of what check() finds while a field has another value."""
    old = _py_poke(m._engine, pool, index, offset, size)
    _py_poke(m._engine, pool, index, offset, size, change(old))
    try:
        with pytest.raises(vmcore.KernelBug) as caught:
            m.check()
        return caught.value.name
    finally:
        _py_poke(m._engine, pool, index, offset, size, old)


# ---------------------------------------------------------------- exclusive pages

def test_exclusive_through_swap(machine: vmcore.Machine, task: vmcore.Task) -> None:
    """A swapped page that nobody else has comes back writable, even for a reader; a shared one does not."""
    a = anon(task, 64)
    for i in range(64):
        task.write(a + i * PAGE, i + 1)
    machine.check()
    while not task.pagemap(a, 64 * PAGE)["swapped"].any():
        machine.reclaim(64)
    n = int(np.flatnonzero(task.pagemap(a, 64 * PAGE)["swapped"])[0])
    machine.check()
    assert task.read(a + n * PAGE) == n + 1
    assert task.pagemap(a + n * PAGE, PAGE)["writable"][0]
    child = task.fork()
    swapped = np.flatnonzero(task.pagemap(a, 64 * PAGE)["swapped"])
    machine.check()
    if len(swapped):
        n = int(swapped[0])
        child.read(a + n * PAGE)
        assert not child.pagemap(a + n * PAGE, PAGE)["writable"][0]
    task.write(a, 1000)
    assert (child.read(a), task.read(a)) == (1, 1000)
    child.exit()
    before = machine.vmstat()["cow_copies"]
    task.touch_range(a, 64 * PAGE, write=True)
    assert machine.vmstat()["cow_copies"] == before         # the child is gone: every page is reused


def test_exclusive_comes_back_from_swapoff(machine: vmcore.Machine, task: vmcore.Task) -> None:
    a = anon(task, 64)
    task.touch_range(a, 64 * PAGE, write=True)
    while task.pagemap(a, 64 * PAGE)["swapped"].sum() < 8:
        machine.reclaim(64)
    machine.swapoff()
    machine.check()
    before = task.min_flt
    task.touch_range(a, 64 * PAGE, write=True)
    assert task.min_flt - before <= 64 and machine.vmstat()["cow_copies"] == 0


def test_damaged_exclusive_bit(machine: vmcore.Machine, task: vmcore.Task) -> None:
    a = anon(task, 8)
    task.touch_range(a, 8 * PAGE, write=True)
    child = task.fork()
    table, slot = pte_place(machine, task, a)
    assert poked(machine, POOL_PTE, table, slot * 8, 8, lambda v: v | 0x800) == "cow-writable"
    child.exit()
    assert poked(machine, POOL_PTE, table, slot * 8, 8, lambda v: v | 2) == "pte-exclusive"


# ---------------------------------------------------------------- guards

def test_guards_outlive_what_frees_pages(machine: vmcore.Machine, task: vmcore.Task) -> None:
    a = anon(task, 8)
    task.touch_range(a, 8 * PAGE, write=True)
    task.madvise(a + 2 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL)
    for advice in (MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT):
        task.madvise(a, 8 * PAGE, advice)
    pressure(machine)
    assert list(np.flatnonzero(task.pagemap(a, 8 * PAGE)["guard"])) == [2, 3]
    with pytest.raises(vmcore.SegmentationFault) as caught:
        task.touch(a + 3 * PAGE)
    assert caught.value.code == 1
    child = task.fork()
    assert child.pagemap(a, 8 * PAGE)["guard"].sum() == 2
    child.madvise(a, 8 * PAGE, MADV_GUARD_REMOVE)
    assert child.pagemap(a, 8 * PAGE)["guard"].sum() == 0 and task.pagemap(a, 8 * PAGE)["guard"].sum() == 2
    moved = task.mremap(a, 8 * PAGE, 8 * PAGE, vmcore.MREMAP_MAYMOVE | vmcore.MREMAP_FIXED, a + 64 * PAGE)
    assert task.pagemap(moved, 8 * PAGE)["guard"].sum() == 2
    task.munmap(moved, 8 * PAGE)
    assert anon(task, 8, moved) == moved
    task.touch_range(moved, 8 * PAGE, write=True)


def test_damaged_guard(machine: vmcore.Machine, task: vmcore.Task) -> None:
    a = anon(task, 4)
    task.madvise(a, PAGE, MADV_GUARD_INSTALL)
    vma = next(i for i, v in enumerate(machine.vmas) if v["mm"] and v["start"] == a)
    offset = records.vma_t.fields["flags"][1]
    assert poked(machine, POOL_VMA, vma, offset, 4, lambda v: v & ~records.VM_MAYBE_GUARD) == "pte-marker"


# ---------------------------------------------------------------- MADV_FREE, MADV_PAGEOUT

def test_lazyfree(machine: vmcore.Machine, task: vmcore.Task) -> None:
    """Pages read as before until reclaim comes; then they read zero, but for those that were written since."""
    a = anon(task, 32)
    for i in range(32):
        task.write(a + i * PAGE, i + 1)
    task.madvise(a, 32 * PAGE, MADV_FREE)
    assert machine.vmstat()["pglazyfree"] == 32
    machine.check()
    faults = task.min_flt
    assert [task.read(a + i * PAGE) for i in range(4)] == [1, 2, 3, 4]
    task.write(a + 5 * PAGE, 77)
    assert task.min_flt == faults           # still there, still writable
    pressure(machine)
    stat = machine.vmstat()
    assert stat["pglazyfreed"] >= 20 and stat["pswpout"] <= 12
    assert task.read(a + 5 * PAGE) == 77
    values = [task.read(a + i * PAGE) for i in range(32) if i != 5]
    assert all(v in (0, i + 1) for v, i in zip(values, [i for i in range(32) if i != 5], strict=True))
    assert values.count(0) == stat["pglazyfreed"]


def test_lazyfree_of_swapped_and_shared_pages(machine: vmcore.Machine, task: vmcore.Task) -> None:
    a = anon(task, 64)
    for i in range(64):
        task.write(a + i * PAGE, i + 1)
    while not task.pagemap(a, 64 * PAGE)["swapped"].any():
        machine.reclaim(64)
    child = task.fork()
    task.madvise(a, 64 * PAGE, MADV_FREE)
    assert not task.pagemap(a, 64 * PAGE)["swapped"].any()
    machine.check(walk=200)
    pressure(machine)
    assert [child.read(a + i * PAGE) for i in range(64)] == list(range(1, 65))      # the child's are not given up


def test_lazyfree_without_swap() -> None:
    m = vmcore.Machine("16M", None, kernel="6.18", overcommit_memory=1)
    t = m.spawn("t")
    a = anon(t, 32)
    t.touch_range(a, 32 * PAGE, write=True)
    t.madvise(a, 32 * PAGE, MADV_FREE)
    pressure(m)
    assert m.vmstat()["pglazyfreed"] == 32 and not t.pagemap(a, 32 * PAGE)["present"].any()
    m.check()


def test_droppable_memory_is_never_swapped(machine: vmcore.Machine, task: vmcore.Task) -> None:
    """Written to as it is; memory beside it goes to swap meanwhile."""
    a = task.mmap(None, 32 * PAGE, RW, vmcore.MAP_DROPPABLE | ANON)
    b = anon(task, 32)
    for start in (a, b):
        task.touch_range(start, 32 * PAGE, write=True)
    pressure(machine)
    assert not task.pagemap(a, 32 * PAGE)["present"].any() and not task.pagemap(a, 32 * PAGE)["swapped"].any()
    assert task.pagemap(b, 32 * PAGE)["swapped"].all()
    assert machine.vmstat()["pglazyfreed"] == machine.vmstat()["pswpout"] == 32
    machine.check()
    task.touch_range(a, 32 * PAGE, write=True)
    task.munmap(a, 32 * PAGE)


def test_damaged_lazyfree(machine: vmcore.Machine, task: vmcore.Task) -> None:
    f = machine.tmpfs("f", PAGE)
    a = task.mmap(None, PAGE, RW, SHARED, f)
    task.touch(a, write=True)
    frame = int(task.pagemap(a, PAGE)["frame"][0])
    offset = records.frame_t.fields["flags"][1]
    assert poked(machine, POOL_FRAME, frame, offset, 4, lambda v: v | records.PG_LAZYFREE) == "page-flags"


def test_pageout(machine: vmcore.Machine, task: vmcore.Task) -> None:
    """Anonymous pages go to swap at once, young as they are; clean pages of a file are dropped, dirty ones unmapped."""
    a = anon(task, 8)
    for i in range(8):
        task.write(a + i * PAGE, i + 1)
    task.madvise(a, 8 * PAGE, MADV_PAGEOUT)
    assert task.pagemap(a, 8 * PAGE)["swapped"].all() and machine.vmstat()["pswpout"] == 8
    assert [task.read(a + i * PAGE) for i in range(8)] == list(range(1, 9))
    f = machine.open("f", 8 * PAGE)
    b = task.mmap(None, 8 * PAGE, RW, SHARED, f)
    task.touch(b + PAGE, write=True)
    task.touch(b)
    task.madvise(b, 8 * PAGE, MADV_PAGEOUT)
    assert not task.pagemap(b, 8 * PAGE)["present"].any()
    assert list(np.flatnonzero(task.mincore(b, 8 * PAGE))) == [1]


# ---------------------------------------------------------------- locks

def test_locked_pages_stay(machine: vmcore.Machine, task: vmcore.Task) -> None:
    a = anon(task, 64)
    task.mlock(a, 32 * PAGE)
    task.touch_range(a, 64 * PAGE, write=True)
    pressure(machine, turns=200)
    here = task.pagemap(a, 64 * PAGE)
    assert here["present"][:32].all() and here["swapped"][32:].any()
    task.munlock(a, 64 * PAGE)
    pressure(machine, turns=200)
    assert task.pagemap(a, 32 * PAGE)["swapped"].any()


@pytest.mark.parametrize("call", ["mlock", "populate"])
def test_faulting_in_without_memory(call: str) -> None:
    """No memory is an error of the call, and kills nobody who calls it."""
    m = vmcore.Machine("8M", None, kernel="6.18", overcommit_memory=1)
    t = m.spawn("t")
    a = anon(t, 2000)
    try:
        if call == "mlock":
            t.mlock(a, 2000 * PAGE)
        else:
            t.madvise(a, 2000 * PAGE, vmcore.MADV_POPULATE_WRITE)
        raise AssertionError("2000 pages do not fit")
    except vmcore.TaskKilled as e:          # the OOM killer's choice, there being nobody else
        assert e.by == "oom"
    except OSError as e:
        assert e.errno == (errno.EAGAIN if call == "mlock" else errno.ENOMEM)
    m.check()


# ---------------------------------------------------------------- files

@pytest.mark.parametrize("kind", ["tmpfs", "open"])
def test_parts_of_a_page(machine: vmcore.Machine, kind: str) -> None:
    """A token is the first eight bytes of its page."""
    f = getattr(machine, kind)("f", 4 * PAGE)
    for i in range(4):
        f.write(i * PAGE, 0x0807060504030201)
    f.truncate(3 * PAGE + 3)
    assert f.read(3 * PAGE) == 0x030201
    f.truncate(4 * PAGE)
    assert f.read(3 * PAGE) == 0x030201
    f.punch_hole(PAGE // 2, PAGE // 2 + PAGE + 2)
    assert [f.read(i * PAGE) for i in range(3)] == [0x0807060504030201, 0, 0x0807060504030000]
    f.punch_hole(4, 2)
    assert f.read(0) == 0x0807000004030201
    refused(errno.EINVAL, f.punch_hole, 0, 0)
    assert f.read(100 * PAGE) == 0


@pytest.mark.parametrize("kind", ["tmpfs", "open"])
def test_read_and_write(machine: vmcore.Machine, task: vmcore.Task, kind: str) -> None:
    f = getattr(machine, kind)("f", 2 * PAGE)
    shared = task.mmap(None, 8 * PAGE, RW, SHARED, f)
    private = task.mmap(None, 8 * PAGE, RW, PRIVATE, f)
    task.write(private, 5)
    f.write(0, 7)
    assert (task.read(shared), task.read(private), f.read(0)) == (7, 5, 7)
    task.write(shared + PAGE, 9)
    assert f.read(PAGE) == 9
    f.write(5 * PAGE, 11)
    assert f.size == 5 * PAGE + 8 and task.read(shared + 5 * PAGE) == 11
    assert f.read(3 * PAGE) == 0
    machine.check()
    pressure(machine, turns=200)
    assert [f.read(i * PAGE) for i in (0, 1, 5)] == [7, 9, 11]


def test_a_hole_that_is_read_stays_one(machine: vmcore.Machine) -> None:
    f = machine.tmpfs("f", 4 * PAGE)
    assert f.read(PAGE) == 0 and f.nrpages == 0
    f.write(PAGE, 3)
    assert f.nrpages == 1


def test_readonly_files(machine: vmcore.Machine, task: vmcore.Task) -> None:
    """A File is the file, not a task's descriptor: it can be written all the same, and who maps it sees that."""
    f = machine.open("f", 2 * PAGE, readonly=True)
    f.write(0, 3)
    a = task.mmap(None, 2 * PAGE, 1, SHARED, f)
    assert task.read(a) == 3
    refused(errno.EACCES, task.mprotect, a, PAGE, RW)
    f.write(0, 4)
    assert task.read(a) == 4
    refused(errno.EINVAL, f.punch_hole, 0, 1 << 63)
    f.truncate(PAGE)
    with pytest.raises(vmcore.BusError):
        task.touch(a + PAGE)


def test_a_written_page_is_read_only_again(machine: vmcore.Machine, task: vmcore.Task) -> None:
    """msync(MS_SYNC) writes whoever's dirty pages, and takes everybody's right to write."""
    f = machine.open("f", 4 * PAGE)
    other = machine.spawn("u")
    a, b = (t.mmap(None, 4 * PAGE, RW, SHARED, f) for t in (task, other))
    task.write(a, 1)
    other.write(b, 2)
    assert task.pagemap(a, PAGE)["writable"][0] and other.pagemap(b, PAGE)["writable"][0]
    other.msync(b, 4 * PAGE, vmcore.MS_SYNC)
    assert machine.vmstat()["filemap_writes"] == 1
    assert not task.pagemap(a, PAGE)["writable"][0] and not other.pagemap(b, PAGE)["writable"][0]
    faults = task.min_flt
    task.write(a, 3)
    assert task.min_flt == faults + 1 and other.read(b) == 3


# ---------------------------------------------------------------- 2004

OLD = ("2.6.5", "2.6.7")


@pytest.mark.parametrize("kernel", OLD)
def test_madvise_of_2004(kernel: str) -> None:
    m = vmcore.Machine("16M", "16M", kernel=kernel, overcommit_memory=1)
    t = m.spawn("t")
    a = t.mmap(None, 8 * PAGE, RW, PRIVATE | ANON)
    t.write(a, 5)
    t.write(a + PAGE, 6)
    t.madvise(a, PAGE, MADV_DONTNEED)
    assert (t.read(a), t.read(a + PAGE)) == (0, 6)
    maps = len(t.maps())
    t.madvise(a + 2 * PAGE, 2 * PAGE, vmcore.MADV_RANDOM)
    assert len(t.maps()) == maps + 2
    t.madvise(a + 2 * PAGE, 2 * PAGE, vmcore.MADV_NORMAL)
    assert len(t.maps()) == maps + 2        # never merged back
    refused(errno.EBADF, t.madvise, a, PAGE, vmcore.MADV_WILLNEED)
    refused(errno.EINVAL, t.madvise, a, PAGE, MADV_FREE)
    refused(errno.ENOMEM, t.madvise, 0x1000, PAGE, MADV_FREE)
    refused(errno.EINVAL, t.madvise, a + 1, PAGE, MADV_DONTNEED)
    t.munmap(a + 4 * PAGE, PAGE)
    t.write(a + 5 * PAGE, 9)
    refused(errno.ENOMEM, t.madvise, a + 3 * PAGE, 3 * PAGE, MADV_DONTNEED)
    assert t.read(a + 5 * PAGE) == 0        # it went on behind the hole
    t.mlock(a, PAGE)
    refused(errno.EINVAL, t.madvise, a, PAGE, MADV_DONTNEED)
    f = m.open("f", 8 * PAGE)
    b = t.mmap(None, 8 * PAGE, RW, SHARED, f)
    t.madvise(b, 4 * PAGE, vmcore.MADV_WILLNEED)
    assert f.nrpages == 4
    m.check()


@pytest.mark.parametrize("kernel", OLD)
def test_msync_of_2004(kernel: str) -> None:
    m = vmcore.Machine("16M", "16M", kernel=kernel, overcommit_memory=1)
    t = m.spawn("t")
    f = m.open("f", 4 * PAGE)
    a = t.mmap(None, 4 * PAGE, RW, SHARED, f)
    t.write(a, 1)
    assert f.sync() == 0                    # the dirty bit is in the pte
    t.msync(a, PAGE, vmcore.MS_ASYNC)
    assert f.sync() == 1
    t.write(a, 2)
    t.msync(a, 4 * PAGE, vmcore.MS_SYNC)
    assert m.vmstat()["filemap_writes"] == 2
    refused(errno.EINVAL, t.msync, a, PAGE, vmcore.MS_ASYNC | vmcore.MS_SYNC)
    refused(errno.ENOMEM, t.msync, a + 3 * PAGE, 3 * PAGE, vmcore.MS_SYNC)
    t.mlock(a, PAGE)
    refused(errno.EBUSY, t.msync, a, PAGE, vmcore.MS_INVALIDATE)
    m.check()
