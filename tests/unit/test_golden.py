"""Golden values of the fact sheet linux-2004: traces of one page (12.2), watermarks (7.6), slabs (1.7), clusters (8.1).

The traces are of 2.6.7; 2.6.5 and -aa1 do the same without the gup test, 2.6.5 without PG_anon, and both need a second
fault to write a shared swapped page. "c" is page_count() = refs + mapcount, "m" mapcount, "s" the swap map of the
page's slot.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from tests.conftest import KERNELS_2_6

import vmcore
from vmcore._fast.records import (
    PG_ACTIVE,
    PG_ANON,
    PG_DIRTY,
    PG_LRU,
    PG_REFERENCED,
    PG_SWAPCACHE,
    PG_UPTODATE,
    PG_WRITEBACK,
)

PAGE = 4096
RW, RO = 3, 1
PRIVATE_ANON, SHARED_ANON, PRIVATE = 0x22, 0x21, 0x02

Boot = Callable[..., vmcore.Machine]


@pytest.fixture(params=KERNELS_2_6)
def kernel(request: pytest.FixtureRequest) -> str:
    """2.4 has other lists, other free lists and starts pages elsewhere: test_2_4.py."""
    return request.param


class Counts(NamedTuple):
    c: int
    m: int
    s: int | None       # None: no slot


class Watched:
    """A task and the one page that is looked at."""

    def __init__(self, machine: vmcore.Machine, task: vmcore.Task, address: int) -> None:
        self.machine = machine
        self.task = task
        self.address = address

    @property
    def pte(self) -> np.void:
        return self.task.pagemap(self.address, PAGE)[0]

    @property
    def pfn(self) -> int:
        return int(self.pte["frame"])

    @property
    def frame(self) -> np.void:
        return self.machine.frames[self.pfn]

    @property
    def flags(self) -> int:
        return int(self.frame["flags"])

    @property
    def counts(self) -> Counts:
        """c, m, s of the page that the pte maps; without one, of the slot."""
        pte = self.pte
        if not pte["present"]:
            return Counts(0, 0, int(self.machine.swap_map[int(pte["slot"])]) if pte["swapped"] else None)
        return counts(self.machine, self.pfn)


def counts(machine: vmcore.Machine, pfn: int) -> Counts:
    frame = machine.frames[pfn]
    mapcount = int(machine.mapcounts[pfn])
    slot = None
    if int(frame["flags"]) & PG_SWAPCACHE:
        slot = int(machine.swap_map[int(np.flatnonzero(machine.swap_cache == pfn)[0])])
    return Counts(int(frame["refs"]) + mapcount, mapcount, slot)


def drain(machine: vmcore.Machine) -> None:
    """Empty the pagevecs: 16 pages of another task go through them (and away)."""
    task = machine.spawn("drain")
    address = task.mmap(None, 16 * PAGE, RW, PRIVATE_ANON)
    task.touch_range(address, 16 * PAGE, write=True)
    task.exit()


def evict(machine: vmcore.Machine, *pages: Watched) -> None:
    """Reclaim until the pages are in swap and no longer in memory."""
    for _ in range(60):
        machine.reclaim(pages=32)
        slots = [int(p.pte["slot"]) for p in pages]
        if all(slots) and not any(machine.swap_cache[s] for s in slots):
            return
    raise AssertionError([p.pte for p in pages])


def rule(kernel: str, name: str) -> int:
    return vmcore.KERNELS[kernel].rules(vmcore.KERNELS[kernel].archs[-1])[name]


def delta(machine: vmcore.Machine, before: dict[str, int]) -> dict[str, int]:
    """Counters that changed."""
    after = machine.vmstat()
    return {name: after[name] - before[name] for name in before if after[name] != before[name]}


@pytest.fixture
def one(boot: Boot) -> Watched:
    """A page of 64 that a task has written; mapped memory is reclaimed at every priority (swappiness 100)."""
    machine = boot(swappiness=100, page_cluster=0)
    task = machine.spawn("a")
    address = task.mmap(None, 64 * PAGE, RW, PRIVATE_ANON)
    task.touch_range(address, 64 * PAGE, write=True)
    drain(machine)
    return Watched(machine, task, address + 20 * PAGE)


# ---------------------------------------------------------------- trace A: one process

def test_trace_a(one: Watched, kernel: str) -> None:
    m, t = one.machine, one.task
    # write fault, pagevec drained
    assert one.counts == Counts(1, 1, None)
    assert one.flags & (PG_ACTIVE | PG_REFERENCED | PG_LRU) == PG_ACTIVE | PG_REFERENCED | PG_LRU
    assert one.pte["accessed"] and one.pte["dirty"] and one.pte["writable"]
    rules = vmcore.KERNELS[kernel].rules("x86_64")
    assert bool(one.flags & PG_ANON) == bool(rules["page_anon"])
    assert bool(one.frame["mapping"]) == bool(rules["page_anon"] and not rules["rmap_nodes"])   # names its object
    assert m.vmstat()["nr_mapped"] == 64

    pfn = one.pfn
    before = m.vmstat()
    evict(m, one)
    change = delta(m, before)
    # unmapped, written, freed: the slot is held by the swap pte alone
    assert one.counts == Counts(0, 0, 1)
    assert change["nr_mapped"] == -change["pswpout"]
    assert change["pswpout"] == change["swap_slots_allocated"] == change["swap_cache_add"]
    assert change["pgrotated"] == change["pswpout"]         # written pages go to the tail when the write ends
    assert change["pgsteal_dma"] == change["swap_cache_del"]
    assert int(m.mapcounts[pfn]) == 0

    # read fault: major, read-only and young, still in the swap cache, active
    before = m.vmstat()
    t.touch(one.address, write=False)
    change = delta(m, before)
    assert change["pgfault"] == change["pgmajfault"] == change["pswpin"] == change["fault_swap"] == 1
    drain(m)
    assert one.counts == Counts(2, 1, 1)
    # ... but for a page that is nobody else's, where the kernel knows that
    assert one.pte["accessed"] and one.pte["writable"] == bool(rules["anon_exclusive"])
    assert one.flags & PG_SWAPCACHE and one.flags & PG_ACTIVE
    assert one.flags & PG_UPTODATE

    # write fault: exclusive, so reused; no copy, the slot is kept
    before = m.vmstat()
    slot = int(np.flatnonzero(m.swap_cache == one.pfn)[0])
    pfn = one.pfn
    t.touch(one.address, write=True)
    change = delta(m, before)
    assert change.get("pgfault", 0) == change.get("cow_reuses", 0) == (0 if rules["anon_exclusive"] else 1)
    assert "cow_copies" not in change and "pgmajfault" not in change
    assert one.pfn == pfn and one.pte["writable"] and one.pte["dirty"]
    assert one.counts == Counts(2, 1, 1)

    # munmap: the slot goes with the page
    t.munmap(one.address, PAGE)
    assert m.swap_map[slot] == 0 and m.swap_cache[slot] == 0
    assert int(m.mapcounts[pfn]) == 0 and int(m.frames[pfn]["refs"]) == 0


def test_refill_looks_at_young_bits_first(one: Watched) -> None:
    """Refill with reclaim_mapped: the first look takes flag and young bit and keeps the page active; the second moves
    it."""
    m = one.machine

    def refill() -> None:
        """One zone, priority 12: refill only, the inactive list is empty. 2.6.7 looks at a 4096th of the list at that
        priority, and saves that up until it is 32 pages."""
        before = m.vmstat()
        while delta(m, before).get("pgrefill_dma", 0) < 64:
            m.reclaim(pages=0)

    before = m.vmstat()
    refill()
    change = delta(m, before)
    assert change["pgrefill_dma"] >= 64 and "pgdeactivate" not in change
    assert one.flags & PG_ACTIVE and not one.flags & PG_REFERENCED and not one.pte["accessed"]
    assert one.counts == Counts(1, 1, None)
    before = m.vmstat()
    refill()
    assert delta(m, before)["pgdeactivate"] >= 64
    assert not one.flags & PG_ACTIVE and one.flags & PG_LRU
    assert one.counts == Counts(1, 1, None)


def test_a_clean_swap_page_leaves_without_a_write(one: Watched) -> None:
    """Read in and only read, it keeps its slot; reclaim frees it without I/O (8.2)."""
    m = one.machine
    evict(m, one)
    slot = int(one.pte["slot"])
    one.task.touch(one.address, write=False)
    before = m.vmstat()
    evict(m, one)
    assert int(one.pte["slot"]) == slot
    # every other page may be written meanwhile, so compare what was written with what got a new slot
    change = delta(m, before)
    assert change.get("pswpout", 0) == change.get("swap_slots_allocated", 0)
    assert change["swap_cache_del"] == change.get("swap_slots_allocated", 0) + 1


# ---------------------------------------------------------------- trace B: two processes

def forked(one: Watched) -> tuple[Watched, Watched]:
    child = one.task.fork("b")
    return one, Watched(one.machine, child, one.address)


def test_trace_b(one: Watched) -> None:
    m = one.machine
    a, b = forked(one)
    # after fork: one page, both read-only, the child's pte old
    assert a.pfn == b.pfn and a.counts == Counts(2, 2, None)
    assert not a.pte["writable"] and not b.pte["writable"]
    assert a.pte["accessed"] and not b.pte["accessed"]

    evict(m, a, b)
    assert int(a.pte["slot"]) == int(b.pte["slot"]) != 0
    assert a.counts == Counts(0, 0, 2)

    # A reads: a new page, major
    before = m.vmstat()
    a.task.touch(a.address, write=False)
    assert delta(m, before)["pgmajfault"] == 1
    drain(m)
    assert a.counts == Counts(2, 1, 2)          # cache and pte; cache and B's swap pte

    # A writes: the slot has another user, so A gets a copy; the old page stays clean in the cache
    old = a.pfn
    before = m.vmstat()
    a.task.touch(a.address, write=True)
    change = delta(m, before)
    assert change["pgfault"] == change["cow_copies"] == 1 and "cow_reuses" not in change
    drain(m)
    assert a.pfn != old and a.counts == Counts(1, 1, None)
    assert counts(m, old) == Counts(1, 0, 2)
    assert not int(m.frames[old]["flags"]) & (PG_DIRTY | PG_WRITEBACK)

    # B writes: minor, found in the swap cache, exclusive: writable at once
    before = m.vmstat()
    b.task.touch(b.address, write=True)
    change = delta(m, before)
    assert change["pgfault"] == change["fault_swap"] == change["fault_swap_cache_hit"] == 1
    assert "pgmajfault" not in change and "cow_copies" not in change and "fault_spurious_write" not in change
    assert b.pfn == old and b.counts == Counts(2, 1, 1) and b.pte["writable"]


def test_faults_to_write_a_shared_swapped_page(one: Watched, kernel: str) -> None:
    """Up to 2.6.6: do_swap_page maps it read-only and returns, the CPU faults again and do_wp_page copies (fact 8 of
    11). 2.6.7 copies within the same fault."""
    m = one.machine
    a, b = forked(one)
    evict(m, a, b)
    before = m.vmstat()
    min_flt, maj_flt = (int(m.tasks[a.task.pid][name]) for name in ("min_flt", "maj_flt"))
    a.task.touch(a.address, write=True)
    change = delta(m, before)
    second = 0 if rule(kernel, "swapin_cow") else 1
    assert change["pgfault"] == 1 + second
    assert change.get("fault_spurious_write", 0) == second
    assert change["fault_swap"] == change["cow_copies"] == change["pgmajfault"] == 1
    assert int(m.tasks[a.task.pid]["maj_flt"]) == maj_flt + 1
    assert int(m.tasks[a.task.pid]["min_flt"]) == min_flt + second
    assert b.counts.s == 2                      # the cache, and B's swap pte


def test_an_exclusive_swapped_page_takes_one_fault(one: Watched) -> None:
    m = one.machine
    evict(m, one)
    before = m.vmstat()
    one.task.touch(one.address, write=True)
    change = delta(m, before)
    assert change["pgfault"] == change["pgmajfault"] == 1
    assert "fault_spurious_write" not in change and "cow_copies" not in change
    drain(m)
    assert one.counts == Counts(2, 1, 1) and one.pte["writable"]


def test_the_last_sharer_reuses_the_page(one: Watched) -> None:
    """A page whose other mapper exited has count 1 (4.5)."""
    m = one.machine
    a, b = forked(one)
    pfn = a.pfn
    b.task.exit()
    before = m.vmstat()
    a.task.touch(a.address, write=True)
    assert delta(m, before)["cow_reuses"] == 1
    assert a.pfn == pfn and a.pte["writable"]


def test_a_page_in_a_pagevec_is_copied(boot: Boot) -> None:
    """Its extra reference makes it look shared (4.5). Today the page is known as the task's own, and mprotect maps it
    writable at once."""
    m = boot()
    t = m.spawn("a")
    address = t.mmap(None, PAGE, RW, PRIVATE_ANON)
    t.touch(address, write=True)
    t.mprotect(address, PAGE, RO)
    t.mprotect(address, PAGE, RW)           # writable again, the pte is not
    page = Watched(m, t, address)
    today = m.kernel.rules("x86_64")["anon_exclusive"] != 0
    assert page.pte["writable"] == today and page.counts == Counts(2, 1, None)
    before = m.vmstat()
    t.touch(address, write=True)
    assert delta(m, before).get("cow_copies", 0) == (not today)


# ---------------------------------------------------------------- trace C: private file page

def test_trace_c(boot: Boot) -> None:
    m = boot()
    t = m.spawn("a")
    file = m.open("lib", size=16 * PAGE)
    address = t.mmap(None, 16 * PAGE, RW, PRIVATE, file)
    page = Watched(m, t, address)
    t.touch(address, write=False)
    drain(m)
    # read fault: cache and pte; read-only
    assert page.counts == Counts(2, 1, None)
    assert not page.pte["writable"] and page.pte["file"]
    # with fault-around the other pages that were read, too
    assert m.vmstat()["nr_mapped"] == (16 if m.kernel.rules("x86_64")["fault_around"] else 1)
    old, rss = page.pfn, int(m.mms[int(m.tasks[t.pid]["mm"])]["rss"])
    before = m.vmstat()
    t.touch(address, write=True)
    drain(m)
    # write: count 2 but not swap cache: copied; nr_mapped -1 and +1, rss as before
    change = delta(m, before)
    assert change["cow_copies"] == 1 and "cow_reuses" not in change and "nr_mapped" not in change
    assert counts(m, old) == Counts(1, 0, None)
    assert page.pfn != old and page.counts == Counts(1, 1, None) and page.pte["anon"]
    assert int(m.mms[int(m.tasks[t.pid]["mm"])]["rss"]) == rss


def test_trace_c_early_copy(boot: Boot) -> None:
    """First access a write: the page of the cache is never mapped, nr_mapped +1 once."""
    m = boot()
    t = m.spawn("a")
    file = m.open("lib", size=16 * PAGE)
    address = t.mmap(None, 16 * PAGE, RW, PRIVATE, file)
    before = m.vmstat()
    t.touch(address, write=True)
    change = delta(m, before)
    assert change["fault_early_cow"] == change["nr_mapped"] == change["pgfault"] == change["pgmajfault"] == 1
    drain(m)
    page = Watched(m, t, address)
    assert page.counts == Counts(1, 1, None) and page.pte["anon"] and page.pte["writable"]
    cached = np.flatnonzero((m.frames["mapping"] == file.number) & (m.frames["refs"] > 0) & (m.frames["index"] == 0)
                            & (m.frames["flags"] & PG_ANON == 0) & (m.frames["flags"] & PG_UPTODATE != 0))
    assert [counts(m, int(pfn)) for pfn in cached] == [Counts(1, 0, None)]


# ---------------------------------------------------------------- trace D: zero page

def test_trace_d(boot: Boot, kernel: str) -> None:
    m = boot()
    t = m.spawn("a")
    address = t.mmap(None, 8 * PAGE, RW, PRIVATE_ANON)
    page = Watched(m, t, address)

    def rss(task: vmcore.Task) -> int:
        return int(m.mms[int(m.tasks[task.pid]["mm"])]["rss"])

    before = m.vmstat()
    free = m.meminfo()["MemFree"]
    t.touch(address, write=False)
    change = delta(m, before)
    assert change["fault_zero_page"] == 1 and "nr_mapped" not in change
    assert page.pte["zero"] and not page.pte["writable"] and rss(t) == 0
    assert free - m.meminfo()["MemFree"] <= 4 * 4           # page tables at most
    assert t.read(address) == 0
    assert int(m.mapcounts[page.pfn]) == 0
    assert m.vmstat()["nr_anon_vmas"] == 0                  # a read needs none
    # fork: copied as a reserved page; not at all where a vma without anonymous pages is left to the child's faults
    skips = m.kernel.rules("x86_64")["fork_skips_unfaulted"]
    before = m.vmstat()
    child = t.fork("b")
    other = Watched(m, child, address)
    assert delta(m, before).get("fork_vmas_skipped", 0) == skips and rss(child) == 0
    if skips:
        assert not other.pte["present"]
    else:
        assert other.pte["zero"] and other.pfn == page.pfn
    # write: rss + 1, a fresh page
    before = m.vmstat()
    child.touch(address, write=True)
    change = delta(m, before)
    assert change["fault_anon" if skips else "cow_zero"] == change["nr_mapped"] == 1
    drain(m)
    assert rss(child) == 1 and rss(t) == 0
    assert other.counts == Counts(1, 1, None) and other.pte["writable"] and not other.pte["zero"]
    assert page.pte["zero"]
    t.munmap(address, 8 * PAGE)
    assert m.check().present == 1


# ---------------------------------------------------------------- watermarks (7.6)

@pytest.mark.parametrize(("ram", "arch", "min_free", "zones"), [
    ("256M", "i386", 512, [(8, 16, 24), (120, 240, 360)]),
    ("1G", "i386", 957, [(4, 8, 12), (234, 468, 702), (32, 64, 96)]),
    ("16G", "i386-pae", 957, [(4, 8, 12), (234, 468, 702), (128, 256, 384)]),
    ("16G", "x86_64", 4096, [(1, 2, 3), (1023, 2046, 3069)]),
])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_watermarks(kernel: str, ram: str, arch: str, min_free: int, zones: list[tuple[int, int, int]]) -> None:
    if arch not in vmcore.KERNELS[kernel].archs:
        pytest.skip(f"{kernel} has no {arch}")
    m = vmcore.Machine(ram=ram, kernel=kernel, arch=arch)
    found = [(z["min"], z["low"], z["high"]) for z in m.zones() if z["present"]]
    assert found == zones
    lowmem = sum(z["present"] for z in m.zones()[:2]) * 4
    assert m._engine.numbers()["min_free_kbytes"] == min_free == min(max(math.isqrt(lowmem), 128), 16384)


# ---------------------------------------------------------------- slabs (1.7)

@pytest.mark.parametrize(("arch", "line", "kernel", "cache", "size", "per_slab"), [
    ("i386", 32, "2.6.5-aa1", "anon_vma", 12, 253), ("i386", 64, "2.6.5-aa1", "anon_vma", 12, 250),
    ("i386", 128, "2.6.5-aa1", "anon_vma", 12, 250), ("x86_64", 64, "2.6.5-aa1", "anon_vma", 24, 144),
    ("x86_64", 128, "2.6.5-aa1", "anon_vma", 24, 144),
    ("i386", 32, "2.6.5", "vm_area_struct", 64, 59), ("i386", 64, "2.6.5", "vm_area_struct", 64, 59),
    ("i386", 128, "2.6.5", "vm_area_struct", 64, 58), ("i386", 32, "2.6.5-aa1", "vm_area_struct", 76, 50),
    ("i386", 64, "2.6.5-aa1", "vm_area_struct", 76, 50), ("i386", 128, "2.6.5-aa1", "vm_area_struct", 76, 50),
    ("x86_64", 64, "2.6.5", "vm_area_struct", 128, 30), ("x86_64", 128, "2.6.5", "vm_area_struct", 128, 30),
    ("x86_64", 64, "2.6.5-aa1", "vm_area_struct", 152, 25), ("x86_64", 128, "2.6.5-aa1", "vm_area_struct", 152, 25),
    ("i386", 32, "2.6.7", "vm_area_struct", 84, 46), ("i386", 64, "2.6.7", "vm_area_struct", 84, 45),
    ("i386", 128, "2.6.7", "vm_area_struct", 84, 45), ("x86_64", 64, "2.6.7", "vm_area_struct", 168, 23),
    ("x86_64", 128, "2.6.7", "vm_area_struct", 168, 22),
    ("i386", 32, "2.6.5", "pte_chain", 32, 113), ("i386", 64, "2.6.5", "pte_chain", 64, 59),
    ("i386", 128, "2.6.5", "pte_chain", 128, 30), ("x86_64", 64, "2.6.5", "pte_chain", 64, 59),
    ("x86_64", 128, "2.6.5", "pte_chain", 128, 30),
])
def test_slab_geometry(arch: str, line: int, kernel: str, cache: str, size: int, per_slab: int) -> None:
    m = vmcore.Machine(ram="16M", kernel=kernel, arch=arch, l1_line=line)
    t = m.spawn("a")
    address = t.mmap(None, PAGE, RW, PRIVATE_ANON)
    t.touch(address, write=True)
    t.fork("b")
    info = {s.name: s for s in m.slabinfo()}[cache]
    assert (info.objsize, info.objperslab, info.pagesperslab) == (size, per_slab, 1)
    assert info.num_objs == info.num_slabs * per_slab


# ---------------------------------------------------------------- refill (7.3)

@pytest.mark.parametrize("above", [True, False])
def test_mapped_pages_become_eligible(kernel: str, above: bool) -> None:
    """swap tendency = mapped_ratio / 2 + distress + swappiness; at priority 12 there is no distress; 100 is enough."""
    pages = 1500
    probe = vmcore.Machine(ram="16M", swap="16M", kernel=kernel)
    total = sum(z["present"] - z["high"] for z in probe.zones() if z["present"])
    ratio = pages * 100 // total
    m = vmcore.Machine(ram="16M", swap="16M", kernel=kernel, swappiness=100 - ratio // 2 - (0 if above else 1))
    t = m.spawn("a")
    address = t.mmap(None, pages * PAGE, RW, PRIVATE_ANON)
    t.touch_range(address, pages * PAGE, write=True)
    assert m.vmstat()["nr_mapped"] == pages
    for _ in range(2 if not rule(kernel, "scan_by_priority") else 5000):
        m.reclaim(pages=0)
        if m.vmstat()["pgrefill_dma"] > 3 * pages:
            break
    change = m.vmstat()
    assert change["pgrefill_dma"] > 0
    assert (change["pgdeactivate"] > 0) == above
    page = Watched(m, t, address)
    assert bool(page.pte["accessed"]) == (not above)        # without reclaim_mapped young bits are not looked at
    m.check()


# ---------------------------------------------------------------- swap slots (8.1)

def test_clusters(kernel: str) -> None:
    """A run of 256 is looked for once, then 257 slots follow each other: 1, 2, ..., 257 after one search, and so on."""
    m = vmcore.Machine(ram="16M", swap=1024 * PAGE, kernel=kernel, swappiness=100)
    t = m.spawn("a")
    address = t.mmap(None, 1000 * PAGE, RW, PRIVATE_ANON)
    t.touch_range(address, 1000 * PAGE, write=True)
    searches = {}
    while m.vmstat()["swap_slots_allocated"] < 900:
        m.reclaim(pages=1)
        stat = m.vmstat()
        n = stat["swap_slots_allocated"]
        used = np.flatnonzero((m.swap_map[1:] != 0) & (m.swap_map[1:] != 0x8000)) + 1
        assert list(used) == list(range(1, n + 1))
        searches[n] = stat["swap_cluster_searches"]
    for n, found in searches.items():
        if n <= 257 * 3:                # after that no 256 free slots are left: first free slot, one search each
            assert found == -(-n // 257), f"{found} searches for {n} slots"
    m.check()


def test_priorities(kernel: str) -> None:
    """The area of higher priority fills first; equal ones take turns."""
    areas = [("1M", 5), ("1M", 10), ("1M", 10)]
    m = vmcore.Machine(ram="16M", swap=areas, kernel=kernel, swappiness=100, page_cluster=0)
    t = m.spawn("a")
    address = t.mmap(None, 1000 * PAGE, RW, PRIVATE_ANON)
    t.touch_range(address, 1000 * PAGE, write=True)
    while sum(used for _, _, used, _ in m.swaps()) < 400:
        m.reclaim(pages=1)
        used = {number: n for number, _, n, _ in m.swaps()}
        assert abs(used[1] - used[2]) <= 1
        assert used[0] == 0
    while sum(used for _, _, used, _ in m.swaps()) < 600:
        m.reclaim(pages=8)
    used = {number: n for number, _, n, _ in m.swaps()}
    assert used[1] == used[2] == 255 and used[0] == sum(used.values()) - 510
    m.check()
