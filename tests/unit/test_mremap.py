"""mremap: every errno in its order, pages of each kind, accounting, merging, and failures on the way."""
from __future__ import annotations

import errno
import os
import signal
import threading
from typing import Any

import pytest

import vmcore
from vmcore import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    RLIMIT_AS,
    RLIMIT_MEMLOCK,
)
from vmcore._fast import records
from vmcore._fast.check_shim import _py_cap

PAGE = 4096
RW = 3
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
MOVE = MREMAP_MAYMOVE
FIXED = MREMAP_MAYMOVE | MREMAP_FIXED
POOL_PTE = records.POOL_NAMES.index("pte")
BASE = 0x10000000

LIKE_267 = vmcore.KERNELS["2.6.7"]


def committed(m):
    """Committed_AS in kB, also where /proc/meminfo has no such line."""
    return 4 * m._engine.numbers()["committed"]


def pages(n: int) -> int:
    return n * PAGE


@pytest.fixture
def task(machine: vmcore.Machine) -> vmcore.Task:
    return machine.spawn("t")


def area(task: vmcore.Task, n: int, at: int = BASE, prot: int = RW, kind: int = PRIVATE, **file: Any) -> int:
    return task.mmap(at, pages(n), prot, kind | MAP_FIXED, **file)


def lines(task: vmcore.Task) -> list[tuple[int, int]]:
    """(first page after BASE, pages) of each VMA."""
    return [((m.start - BASE) // PAGE, (m.end - m.start) // PAGE) for m in task.maps()]


def moved(task: vmcore.Task) -> dict[str, int]:
    return {k.removeprefix("mremap_"): v for k, v in task.machine.vmstat().items() if k.startswith("mremap_")}


def of_2004(task: vmcore.Task) -> None:
    if task.machine.kernel.calls != "v2_6":
        pytest.skip("the mremap of 6.18 is in test_calls_6_18.py")


def fails(number: int, call: Any, *args: Any) -> None:
    with pytest.raises(OSError) as e:
        call(*args)
    assert e.value.errno == number, e.value


# ---------------------------------------------------------------- arguments, in the kernel's order

@pytest.mark.parametrize(("args", "number"), [
    ((BASE, PAGE, PAGE, 4), errno.EINVAL),                              # an unknown flag
    ((BASE + 1, PAGE, PAGE, 4), errno.EINVAL),
    ((BASE + 1, PAGE, 2 * PAGE, MOVE), errno.EINVAL),                   # unaligned
    ((BASE, PAGE, 0, MOVE), errno.EINVAL),                              # no new length
    ((BASE, PAGE, (1 << 64) - 1, MOVE), errno.EINVAL),                  # ... nor one that wraps to it
    ((BASE, PAGE, PAGE, MREMAP_FIXED, BASE + pages(99)), errno.EINVAL),     # FIXED without MAYMOVE
    ((BASE, PAGE, PAGE, FIXED, BASE + 1), errno.EINVAL),
    ((BASE, PAGE, PAGE, FIXED, 1 << 63), errno.EINVAL),                 # beyond the end
    ((BASE, PAGE, 1 << 63, FIXED, BASE + pages(99)), errno.EINVAL),
    ((BASE, pages(4), pages(4), FIXED, BASE), errno.EINVAL),            # onto itself
    ((BASE, pages(4), pages(4), FIXED, BASE + pages(3)), errno.EINVAL),
    ((BASE, pages(4), pages(2), FIXED, BASE + pages(3)), errno.EINVAL),     # the part that would go counts
    ((BASE, 0, pages(4), FIXED, BASE), errno.EINVAL),
    ((BASE - PAGE, PAGE, pages(2), MOVE), errno.EFAULT),                # nothing there
    ((BASE, pages(20), pages(30), MOVE), errno.EFAULT),                 # across the end of the mapping
    ((BASE + pages(100), PAGE, pages(2), MOVE), errno.EFAULT),
    ((BASE, pages(16), pages(17)), errno.ENOMEM),                       # no room here, and it may not move
    ((BASE, pages(4), pages(5)), errno.ENOMEM),                         # not the end of the mapping
    ((BASE, 0, pages(4)), errno.ENOMEM),
    ((BASE, PAGE, 1 << 50, MOVE), errno.ENOMEM),                        # no room anywhere
])
def test_errno(task, args, number):
    if task.machine.kernel.calls == "v6" and (args[1] == 0 or args[2] == 1 << 50):
        number = errno.EINVAL           # private memory is not mapped twice; no length beyond the address space
    area(task, 16)
    area(task, 1, BASE + pages(16), prot=1)
    before = task.maps()
    fails(number, task.mremap, *args)
    assert task.maps() == before


def test_senseless_arguments(task):
    with pytest.raises(ValueError, match="new_addr"):
        task.mremap(BASE, PAGE, PAGE, FIXED)
    with pytest.raises(TypeError, match="flags"):
        task.mremap(BASE, PAGE, PAGE, "maymove")
    with pytest.raises(ValueError, match="old_len"):
        task.mremap(BASE, -1, PAGE)


def test_a_target_is_unmapped_even_if_the_call_then_fails(task):
    of_2004(task)
    area(task, 4)
    fails(errno.EFAULT, task.mremap, BASE - pages(8), PAGE, PAGE, FIXED, BASE + PAGE)
    assert lines(task) == [(0, 1), (2, 2)]


def test_limits(task):
    """EAGAIN for locked memory comes before ENOMEM for the address space; EFAULT before both."""
    of_2004(task)
    area(task, 4)
    task.mlock(BASE, pages(4))
    task.setrlimit(RLIMIT_MEMLOCK, pages(5))
    task.setrlimit(RLIMIT_AS, pages(5))
    fails(errno.EFAULT, task.mremap, BASE, pages(5), pages(7), MOVE)
    fails(errno.EAGAIN, task.mremap, BASE, pages(4), pages(6), MOVE)
    task.setrlimit(RLIMIT_MEMLOCK, pages(6))
    fails(errno.ENOMEM, task.mremap, BASE, pages(4), pages(6), MOVE)
    task.setrlimit(RLIMIT_AS, pages(6))
    assert task.mremap(BASE, pages(4), pages(6)) == BASE
    assert task.status()["VmLck"] == 24
    assert task.pagemap(BASE, pages(6))["present"].all()        # the new pages are there, because they are locked


def test_overcommit(boot, kernel):
    if kernel == "2.4":
        pytest.skip("2.4 has no mode 2: everything but mode 0 says yes")
    m = boot(ram="16M", swap=None, overcommit_memory=2, overcommit_ratio=50)
    t = m.spawn("t")
    area(t, 100)
    fails(errno.ENOMEM, t.mremap, BASE, pages(100), pages(3000), MOVE)
    assert committed(m) == 400
    shared = area(t, 10, BASE + pages(5000), kind=MAP_SHARED | MAP_ANONYMOUS)
    t.mremap(shared, pages(10), pages(3000), MOVE)              # the object was charged, not the mapping
    assert committed(m) == 440


# ---------------------------------------------------------------- in place

def test_shrink(task):
    of_2004(task)
    area(task, 10)
    task.touch_range(BASE, pages(10), write=True)
    assert task.mremap(BASE, pages(10), pages(4)) == BASE
    assert lines(task) == [(0, 4)]
    assert task.status()["VmRSS"] == 16
    assert task.mremap(BASE, pages(4), pages(4)) == BASE
    assert task.mremap(BASE - pages(50), PAGE, PAGE) == BASE - pages(50)    # nobody looks whether it is mapped
    assert moved(task) == {"moves": 0, "ptes_moved": 0, "cows": 0, "undone": 0}


def test_grow_in_place(task):
    area(task, 10)
    task.write(BASE, 7)
    assert task.mremap(BASE, pages(10), pages(30)) == BASE
    assert task.mremap(BASE + pages(20), pages(10), pages(12), MOVE) == BASE + pages(20)
    assert lines(task) == [(0, 32)]
    assert task.read(BASE) == 7
    assert task.status()["VmSize"] == 128
    assert committed(task.machine) == 128
    task.touch(BASE + pages(31), write=True)


def test_grow_up_to_the_end(task):
    top = int(task.machine._engine.numbers()["rules"]["task_size"])
    at = area(task, 1, top - pages(3))
    fails(errno.ENOMEM, task.mremap, at, PAGE, pages(4))
    assert task.mremap(at, PAGE, pages(3)) == at


# ---------------------------------------------------------------- moves

@pytest.mark.parametrize(("shift", "arch"), [
    (100, "x86_64"), (512, "x86_64"), (513, "x86_64"), (100, "i386"), (1024, "i386"), (700, "i386-pae")])
def test_every_kind_of_page(boot, shift, arch):
    """Present, PROT_NONE, zero page, swapped, and nothing at all: each is after the move what it was before."""
    m = boot(ram="8M", swap="16M", arch=arch)
    t = m.spawn("t")
    area(t, 1200)
    for i in range(1000):
        t.write(BASE + pages(i), i + 1)
    t.touch_range(BASE + pages(1000), pages(100), write=False)
    t.mprotect(BASE + pages(900), pages(50), 0)
    for _ in range(40):
        m.reclaim(pages=100)
    t.touch_range(BASE + pages(500), pages(100), write=False)
    before = t.pagemap(BASE, pages(1200))
    assert before["swapped"].sum() > 300 and before["zero"].sum() == 100
    at = BASE + pages(3000 + shift)
    for first, n in ((0, 900), (900, 50), (950, 250)):          # three VMAs
        assert t.mremap(BASE + pages(first), pages(n), pages(n), FIXED, at + pages(first)) == at + pages(first)
    after = t.pagemap(at, pages(1200))
    assert (after == before).all()
    assert moved(t) == {"moves": 3, "ptes_moved": 1100, "cows": 0, "undone": 0}
    m.check(walk=2000)
    t.mprotect(at + pages(900), pages(50), RW)
    assert [t.read(at + pages(i)) for i in range(1000)] == list(range(1, 1001))
    assert (t.pagemap(BASE, pages(1200))["present"] == 0).all()
    for _ in range(40):
        m.reclaim(pages=100)
    m.check(walk=2000)
    assert [t.read(at + pages(i)) for i in range(1000)] == list(range(1, 1001))


def test_part_of_a_mapping(task):
    """The middle moves and grows; both ends stay, and stay charged."""
    area(task, 20)
    for i in range(20):
        task.write(BASE + pages(i), i + 1)
    at = task.mremap(BASE + pages(5), pages(10), pages(15), MOVE)
    assert at >= BASE + pages(20) or at < BASE
    assert [task.read(at + pages(i)) for i in range(15)] == [*range(6, 16), 0, 0, 0, 0, 0]
    assert [task.read(BASE + pages(i)) for i in (0, 4, 15, 19)] == [1, 5, 16, 20]
    with pytest.raises(vmcore.SegmentationFault):
        task.read(BASE + pages(5))
    assert committed(task.machine) == 100
    assert task.status()["VmSize"] == 100
    task.munmap(at, pages(15))
    task.munmap(BASE, pages(20))
    assert committed(task.machine) == 0


def test_move_and_shrink(task):
    area(task, 20)
    for i in range(20):
        task.write(BASE + pages(i), i + 1)
    assert task.mremap(BASE, pages(20), pages(8), FIXED, BASE + pages(50)) == BASE + pages(50)
    assert lines(task) == [(50, 8)]
    assert [task.read(BASE + pages(50 + i)) for i in range(8)] == list(range(1, 9))
    assert committed(task.machine) == 32


def test_locked_memory_stays_locked(task):
    area(task, 4)
    task.mlock(BASE, pages(4))
    at = task.mremap(BASE, pages(2), pages(6), MOVE)
    assert task.status()["VmLck"] == 32
    assert task.pagemap(at, pages(6))["present"].all()
    assert not task.pagemap(BASE, pages(2))["present"].any()


def test_second_mapping_of_an_object(task):
    """old_len 0, as DOSEMU uses it."""
    area(task, 4, kind=MAP_SHARED | MAP_ANONYMOUS)
    task.write(BASE + PAGE, 5)
    at = task.mremap(BASE, 0, pages(4), MOVE)
    assert task.read(at + PAGE) == 5
    task.write(at, 6)
    assert task.read(BASE) == 6
    tail = task.mremap(BASE + pages(3), 0, pages(2), MOVE)
    task.write(tail, 9)
    assert task.read(BASE + pages(3)) == 9
    with pytest.raises(vmcore.BusError):
        task.read(tail + PAGE)
    assert moved(task)["ptes_moved"] == 0


def test_private_memory_mapped_twice_is_empty(task):
    of_2004(task)
    area(task, 4)
    task.write(BASE, 5)
    at = task.mremap(BASE, 0, pages(4), MOVE)
    assert task.read(at) == 0
    assert task.read(BASE) == 5


def test_file(machine, task):
    """Private copies move, pages of the file too, and the offset goes along."""
    f = machine.open("lib", size=pages(40))
    area(task, 30, kind=MAP_PRIVATE, file=f, offset=pages(5))
    for i in range(0, 30, 2):
        task.write(BASE + pages(i), 100 + i)
    other = task.mmap(None, pages(40), RW, MAP_SHARED, f)
    for i in range(40):
        task.write(other + pages(i), 1000 + i)
    task.touch_range(BASE, pages(30), write=False)
    at = task.mremap(BASE + pages(10), pages(20), pages(26), MOVE)
    for i in range(20):
        assert task.read(at + pages(i)) == (1015 + i if i % 2 else 110 + i)
    assert [task.read(at + pages(i)) for i in range(20, 25)] == list(range(1035, 1040))
    with pytest.raises(vmcore.BusError):
        task.read(at + pages(25))
    f.truncate(pages(20))
    with pytest.raises(vmcore.BusError):
        task.read(at + pages(5))
    assert task.read(at + pages(4)) == 114


def test_a_childs_move_leaves_the_parent_alone(boot):
    """mremapcow: fork, the child moves, reclaim must find each page at both addresses."""
    m = boot(ram="8M", swap="16M")
    parent = m.spawn("p")
    area(parent, 300)
    for i in range(300):
        parent.write(BASE + pages(i), i + 1)
    child = parent.fork()
    at = child.mremap(BASE, pages(300), pages(300), FIXED, BASE + pages(1000))
    m.check(walk=1000)
    for _ in range(100):
        m.reclaim(pages=64)
        if parent.pagemap(BASE, pages(300))["swapped"].all() and child.pagemap(at, pages(300))["swapped"].all():
            break
    m.check(walk=1000)
    # a page that has one pte cannot be freed while the other is there: both were found
    assert child.pagemap(at, pages(300))["swapped"].all()
    child.touch_range(at, pages(100), write=True)
    for i in range(300):
        assert child.read(at + pages(i)) == parent.read(BASE + pages(i)) == i + 1


def test_what_a_move_costs(boot, kernel):
    """Fork, then move 100 pages: a chain operation a page where pages know their ptes, and nothing for anon_vma."""
    m = boot()
    parent = m.spawn("p")
    area(parent, 100)
    parent.touch_range(BASE, pages(100), write=True)
    child = parent.fork()
    before = m.vmstat()
    child.mremap(BASE, pages(100), pages(100), FIXED, BASE + pages(100))
    after = m.vmstat()
    cost = {name: after[name] - before[name] for name in after}
    assert cost["mremap_ptes_moved"] == 100
    # a page that knows its one address is copied first
    copies = 100 if vmcore.KERNELS[kernel].rmap == "anonmm" else 0
    assert cost["mremap_cows"] == cost["rmap_index_updates"] == copies
    if vmcore.KERNELS[kernel].rules("x86_64")["rmap_nodes"]:
        # the child's pte is the first that the search meets, so one slot a page
        assert cost["rmap_chain_slots_searched"] == 100
    else:
        assert cost["rmap_chain_slots_searched"] == 0
    assert cost["rmap_nodes_allocated"] == cost["rmap_nodes_freed"] == 0
    assert cost["pgfault"] == cost["cow_copies"] == copies


# ---------------------------------------------------------------- merging at the target

def joins(machine: vmcore.Machine, touched: bool) -> list[tuple[int, int]]:
    """Two neighbours with a hole of 4 pages, into which 4 pages move from far away."""
    t = machine.spawn("j")
    area(t, 4)
    area(t, 4, BASE + pages(8))
    area(t, 4, BASE + pages(100))
    if touched:
        t.touch_range(BASE, pages(4), write=True)
        t.touch_range(BASE + pages(100), pages(4), write=True)
    t.mremap(BASE + pages(100), pages(4), pages(4), FIXED, BASE + pages(4))
    machine.check(walk=100)
    return lines(t)


@pytest.mark.parametrize(("name", "touched", "expected"), [
    ("2.6.5", False, [(0, 12)]),
    ("2.6.5", True, [(0, 12)]),                 # flags are all that counts
    ("2.6.5-aa1", False, [(0, 4), (4, 4), (8, 4)]),
    ("2.6.5-aa1", True, [(0, 4), (4, 4), (8, 4)]),
    (LIKE_267, False, [(0, 12)]),               # never faulted: numbered anew, so it fits
    (LIKE_267, True, [(0, 4), (4, 4), (8, 4)]),     # keeps its offset
])
def test_merge(name, touched, expected):
    assert joins(vmcore.Machine(ram="16M", swap="16M", kernel=name, overcommit_memory=1), touched) == expected


def test_back_where_it_came_from():
    """2.6.7: a faulted region that returns fits its old neighbour again; one that was never faulted takes it in, its
    anon_vma first."""
    m = vmcore.Machine(ram="16M", swap="16M", kernel=LIKE_267, overcommit_memory=1)
    t = m.spawn("t")
    area(t, 12)
    t.touch_range(BASE, pages(12), write=True)
    t.mremap(BASE + pages(4), pages(4), pages(4), FIXED, BASE + pages(50))
    assert lines(t) == [(0, 4), (8, 4), (50, 4)]
    t.mremap(BASE + pages(50), pages(4), pages(4), FIXED, BASE + pages(4))
    assert lines(t) == [(0, 12)]
    m.check(walk=100)
    t.mremap(BASE + pages(4), pages(4), pages(4), FIXED, BASE + pages(50))
    t.munmap(BASE, pages(4))
    area(t, 4)                                          # the same place, new and untouched
    t.munmap(BASE + pages(8), pages(4))
    t.mremap(BASE + pages(50), pages(4), pages(4), FIXED, BASE + pages(4))
    assert lines(t) == [(0, 8)]
    m.check(walk=100)


def test_merge_of_files():
    m = vmcore.Machine(ram="16M", swap="16M", kernel=LIKE_267, overcommit_memory=1)
    f = m.open("lib", size=pages(40))
    t = m.spawn("t")
    area(t, 4, kind=MAP_SHARED, file=f)
    area(t, 4, BASE + pages(50), kind=MAP_SHARED, file=f, offset=pages(4))
    t.touch_range(BASE + pages(50), pages(4), write=True)
    t.mremap(BASE + pages(50), pages(4), pages(4), FIXED, BASE + pages(4))
    assert lines(t) == [(0, 8)]
    m.check(walk=100)


@pytest.mark.parametrize("shift", [-4, 4])
def test_a_neighbour_of_itself(machine, kernel, shift):
    """The target touches the source: 2.6.5 extends the source itself, and cuts off the other end."""
    t = machine.spawn("t")
    area(t, 4, BASE + pages(8))
    for i in range(4):
        t.write(BASE + pages(8 + i), i + 1)
    t.mremap(BASE + pages(8), pages(4), pages(4), FIXED, BASE + pages(8 + shift))
    assert lines(t) == [(8 + shift, 4)]
    assert [t.read(BASE + pages(8 + shift + i)) for i in range(4)] == [1, 2, 3, 4]
    assert committed(machine) == 16
    machine.check(walk=100)


def test_swallowed_by_the_neighbour(machine):
    """neighbour | target | source: where all three become one, the source's record is gone before its pages move."""
    t = machine.spawn("t")
    area(t, 4)
    area(t, 4, BASE + pages(8))
    for i in range(4):
        t.write(BASE + pages(i), i + 1)
        t.write(BASE + pages(8 + i), i + 9)
    t.mremap(BASE + pages(8), pages(4), pages(4), FIXED, BASE + pages(4))
    assert [t.read(BASE + pages(i)) for i in range(8)] == [1, 2, 3, 4, 9, 10, 11, 12]
    with pytest.raises(vmcore.SegmentationFault):
        t.read(BASE + pages(8))
    assert committed(machine) == 32
    machine.check(walk=100)


def test_max_map_count():
    """2.6.6 and later keep three VMAs back for the unmapping; 2.6.5 does not look."""
    for kernel, refused in (("2.6.5", False), (LIKE_267, True)):
        m = vmcore.Machine(ram="16M", swap="16M", kernel=kernel, overcommit_memory=1, max_map_count=8)
        t = m.spawn("t")
        for i in range(5):
            area(t, 2, BASE + pages(4 * i), prot=RW if i % 2 else 1)
        if refused:
            fails(errno.ENOMEM, t.mremap, BASE, pages(2), pages(2), FIXED, BASE + pages(100))
            t.munmap(BASE + pages(16), pages(2))
        assert t.mremap(BASE, pages(2), pages(2), FIXED, BASE + pages(100)) == BASE + pages(100)


def test_no_vma_left_for_the_split():
    """The pages have moved when the old range cannot be cut out: it stays, empty and uncharged."""
    m = vmcore.Machine(ram="16M", swap="16M", kernel="2.6.5-aa1", overcommit_memory=1, max_map_count=2)
    t = m.spawn("t")
    area(t, 9)
    for i in range(9):
        t.write(BASE + pages(i), i + 1)
    t.mremap(BASE + pages(3), pages(3), pages(3), FIXED, BASE + pages(100))
    assert [t.read(BASE + pages(100 + i)) for i in range(3)] == [4, 5, 6]
    assert [t.read(BASE + pages(i)) for i in range(9)] == [1, 2, 3, 0, 0, 0, 7, 8, 9]
    assert t.status()["VmSize"] == 48
    assert committed(m) == 12
    m.check(walk=100)


# ---------------------------------------------------------------- failures on the way

@pytest.mark.parametrize("tables", [0, 1, 2])
@pytest.mark.parametrize("name", ["2.6.5", "2.6.5-aa1", LIKE_267], ids=lambda k: getattr(k, "name", k))
@pytest.mark.parametrize("touching", [False, True])
def test_no_table_for_the_target(tables, name, touching):
    """Tables at the target run out after so many: all pages are back, and nothing is mapped at the target."""
    m = vmcore.Machine(ram="32M", swap="16M", kernel=name, overcommit_memory=1)
    t = m.spawn("t")
    n = 4 * 512
    area(t, n)
    if touching:
        area(t, 4, BASE + pages(3 * n - 4))     # a neighbour of the target, which some kernels extend
    for i in range(0, n, 3):
        t.write(BASE + pages(i), i + 1)
    t.mlock(BASE, pages(8))
    before, charged = t.maps(), committed(m)
    _py_cap(m._engine, POOL_PTE, tables)
    fails(errno.ENOMEM, t.mremap, BASE + pages(8), pages(n - 8), pages(n), FIXED, BASE + pages(3 * n))
    m.check(walk=1000)
    assert t.maps() == before
    assert committed(m) == charged
    assert all(t.read(BASE + pages(i)) == i + 1 for i in range(0, n, 3))
    assert moved(t) == {"moves": 0, "ptes_moved": 0, "cows": 0, "undone": 1}


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
@pytest.mark.parametrize("length", [200_000, 1 << 25])
def test_interrupted(kernel, length):
    """Ctrl-C in a long move, of touched pages and of a mapping without pages: it did not happen."""
    m = vmcore.Machine(ram="2G", swap="16M", kernel=kernel, overcommit_memory=1)
    t = m.spawn("t")
    area(t, length)
    if length < 1 << 20:
        t.touch_range(BASE, pages(length), write=True)
        for i in range(0, length, 5000):
            t.write(BASE + pages(i), i + 1)
    before = t.maps()
    done = threading.Event()

    def interrupt() -> None:
        done.wait(0.002)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        threading.Thread(target=interrupt).start()
        for _ in range(10_000):
            t.mremap(BASE, pages(length), pages(length), FIXED, BASE + pages(1 << 26))
            t.mremap(BASE + pages(1 << 26), pages(length), pages(length), FIXED, BASE)
    m.check(walk=1000)
    (line,) = t.maps()
    assert line.end - line.start == before[0].end - before[0].start
    if length < 1 << 20:
        assert all(t.read(line.start + pages(i)) == i + 1 for i in range(0, length, 5000))
