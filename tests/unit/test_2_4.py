"""2.4: swap_out (fact sheet linux-2004 2.1), its reclaim and its allocation (7.2), and the smaller rules around them.

Small machines in known states, exact counts. One call of Machine.reclaim(pages=0) is one pass: refill_inactive and
shrink_cache for 32 pages; with pages=1 passes follow each other, with swap_out in between, until a page is free.
"""
from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path

import pytest
from tests.unit.test_golden import Counts, Watched, counts, delta

import vmcore
from vmcore._fast.check_shim import _py_damage, _py_swap_out
from vmcore._fast.oom import rough_root
from vmcore._fast.records import PG_ACTIVE, PG_ANON, PG_LRU, PG_REFERENCED, PG_SWAPCACHE
from vmcore.machine import File

PAGE = 4096
RW, RO = 3, 1
PRIVATE_ANON, PRIVATE, SHARED, SHARED_ANON = 0x22, 0x02, 0x01, 0x21
K = vmcore.KERNELS["2.4"]


def machine(**options: object) -> vmcore.Machine:
    return vmcore.Machine(**{"ram": "16M", "swap": "16M", "kernel": "2.4", "overcommit_memory": 1,
                             "page_cluster": 0} | options)


def written(m: vmcore.Machine, pages: int, name: str = "t") -> tuple[vmcore.Task, int]:
    t = m.spawn(name)
    at = t.mmap(None, pages * PAGE, RW, PRIVATE_ANON)
    t.touch_range(at, pages * PAGE, write=True)
    return t, at


def cursor(m: vmcore.Machine, t: vmcore.Task) -> int:
    return int(m.mms[int(m.tasks[t.pid]["mm"])]["swap_address"])


def step(m: vmcore.Machine, pages: int = 1) -> dict[str, int]:
    """reclaim(pages), and what it changed, by name; 0 for all else."""
    before = m.vmstat()
    m.reclaim(pages=pages)
    return dict.fromkeys(before, 0) | delta(m, before)


def walk(m: vmcore.Machine, zone: int = 0) -> dict[str, int]:
    """One swap_out for the class of a zone, and what it changed."""
    before = m.vmstat()
    done = _py_swap_out(m._engine, zone)
    change = dict.fromkeys(before, 0) | delta(m, before)
    assert change["swap_out_calls"] == 1 and change["swap_out_fails"] == (not done)
    return change


def aged(m: vmcore.Machine) -> None:
    """One round that finds every pte young: old, and inactive again, afterwards."""
    change = step(m)
    assert change["swap_out_calls"] == change["swap_out_fails"] == 1 and change["swap_out_dropped"] == 0


TASK_SIZE = 0x8000000000


# ---------------------------------------------------------------- swap_out (2.1)

def test_young_ptes_are_marked_used_and_left() -> None:
    m = machine()
    t, at = written(m, 64)
    assert m.zones()[0]["inactive"] == 64               # no pagevecs, and nothing starts active
    change = step(m)
    # three visits to the only mm: 2 * 1 + 1; the first finds the ptes young, then their pages are active
    assert change["swap_out_young"] == change["pgactivate"] == 64
    assert change["swap_out_ptes"] == change["rmap_ptes_examined"] == 3 * 64
    assert change["swap_out_laps"] == 3
    assert change["swap_out_mms"] == 5                  # init_mm, it, init_mm, it, init_mm, it, less the first
    assert change["swap_out_fails"] == 1 and change["swap_out_dropped"] == change["pswpout"] == 0
    assert cursor(m, t) == TASK_SIZE
    # and then refill_inactive had 59 passes to take them down again, as referenced
    assert change["pgdeactivate"] == 64 and m.zones()[0]["inactive"] == 64
    assert not any(p["accessed"] for p in t.pagemap(at, 64 * PAGE))
    m.check()


def test_the_walk_stops_at_32_and_the_last_vma_counts_as_finished() -> None:
    m = machine()
    t, at = written(m, 64)
    aged(m)
    for n in (1, 2):
        change = walk(m)
        assert change["swap_out_dropped"] == change["swap_out_freeable"] == change["swap_out_slots"] == 32
        assert change["swap_out_ptes"] == 32 * n        # from the bottom again, over what is gone
        assert list(t.pagemap(at, 64 * PAGE)["swapped"]) == [i < 32 * n for i in range(64)]
        assert cursor(m, t) == TASK_SIZE
    change = walk(m)
    assert change["swap_out_fails"] == 1 and change["swap_out_ptes"] == 3 * 64
    m.check()


def test_the_cursor_waits_inside_a_vma_that_is_not_the_last() -> None:
    m = machine()
    t, at = written(m, 100)
    last = t.mmap(None, PAGE, RO, PRIVATE_ANON)         # another protection: another vma
    assert len(t.maps()) == 2 and last > at
    aged(m)
    for n in (1, 2, 3):
        change = walk(m)
        assert change["swap_out_ptes"] == change["swap_out_dropped"] == 32
        assert cursor(m, t) == at + 32 * n * PAGE
    change = walk(m)            # the last four; then the vma above, which has no tables; then two more laps
    assert change["swap_out_dropped"] == 4 and change["swap_out_fails"] == 1 and cursor(m, t) == TASK_SIZE
    m.check()


def test_only_the_last_of_the_mappers_counts() -> None:
    """16 pages of three tasks: three visits, one slot a page, and only the third visit makes it freeable."""
    m = machine()
    a, at = written(m, 16)
    b = a.fork("b")
    c = b.fork("c")
    aged(m)
    pfn = int(a.pagemap(at, PAGE)[0]["frame"])
    assert counts(m, pfn) == Counts(3, 3, None)
    change = walk(m)
    assert change["swap_out_dropped"] == 48
    assert change["swap_out_freeable"] == change["swap_out_slots"] == 16
    assert change["swap_out_fails"] == 1                # 32 were wanted
    assert change["rmap_mms_visited"] == 2 * 3 + 1
    for t in (a, b, c):
        assert t.pagemap(at, 16 * PAGE)["swapped"].all()
    slots = a.pagemap(at, 16 * PAGE)["slot"]
    assert {int(m.swap_map[int(s)]) for s in slots} == {4}      # three ptes and the cache
    assert counts(m, pfn) == Counts(1, 0, 4)
    m.check()


def test_a_toucher_keeps_a_shared_page() -> None:
    m = machine()
    a, at = written(m, 16)
    b = a.fork("b")
    aged(m)
    a.touch_range(at, 16 * PAGE, write=False)
    pfn = int(a.pagemap(at, PAGE)[0]["frame"])
    change = walk(m)
    # b's turn comes first: its ptes go, and free nothing; then a's are young, and mark the pages as used: with the
    # refill's mark that makes them active
    assert change["swap_out_dropped"] == 16 and change["swap_out_freeable"] == 0
    assert change["swap_out_young"] == change["pgactivate"] == 16
    assert b.pagemap(at, 16 * PAGE)["swapped"].all() and a.pagemap(at, 16 * PAGE)["present"].all()
    assert int(m.frames[pfn]["flags"]) & PG_ACTIVE and counts(m, pfn) == Counts(2, 1, 2)
    m.check()


def test_locked_ptes_are_passed_over() -> None:
    m = machine()
    t, at = written(m, 64)
    t.mlock(at, 64 * PAGE)
    for _ in range(2):
        change = walk(m)
        assert change["swap_out_ptes"] == 3 * 64
        assert change["swap_out_dropped"] == change["swap_out_young"] == 0      # not even the young bit is looked at
    assert m.zones()[0]["active"] == 64 and m.vmstat()["pgactivate"] == 64      # mlock's pages were referenced once
    assert t.pagemap(at, 64 * PAGE)["accessed"].all()
    t.munlock(at, 64 * PAGE)
    aged(m)
    assert step(m)["swap_out_dropped"] > 0
    m.check()


def test_without_a_slot_the_pte_stays() -> None:
    m = machine(swap=9 * PAGE)
    t, at = written(m, 64)
    aged(m)
    change = walk(m)
    assert change["swap_out_slots"] == change["swap_out_dropped"] == 8 and change["swap_out_fails"] == 1
    assert t.pagemap(at, 64 * PAGE)["present"].sum() == 56
    assert t.pagemap(at, 64 * PAGE)["dirty"].sum() == 56
    assert all(t.read(at + i * PAGE) == 0 for i in range(64))
    m.check()


@pytest.mark.parametrize("share", [PRIVATE, SHARED])
def test_pages_of_files_take_no_slot(share: int) -> None:
    """The pte is just dropped; a dirty one leaves the page dirty, which is written later."""
    m = machine()
    t = m.spawn("t")
    file = m.open("f", size=32 * PAGE)
    at = t.mmap(None, 32 * PAGE, RW, share, file)
    t.touch_range(at, 32 * PAGE, write=share == SHARED)
    aged(m)
    change = walk(m)
    assert change["swap_out_dropped"] == change["swap_out_freeable"] == 32
    assert change["swap_out_slots"] == 0
    assert not t.pagemap(at, 32 * PAGE)["present"].any()
    for _ in range(30):
        m.reclaim(pages=1)
    assert m.vmstat()["filemap_writes"] == (32 if share == SHARED else 0)
    m.check()


def test_a_busy_page_lock_is_a_miss() -> None:
    m = machine(trylock_rate=1024)
    written(m, 64)
    aged(m)
    change = walk(m)
    assert change["rmap_trylock_fails"] == 3 * 64 and change["swap_out_dropped"] == 0
    m.check()


def test_the_place_on_the_ring_survives_exits() -> None:
    m = machine()
    tasks = [written(m, 40, f"t{i}")[0] for i in range(5)]
    aged(m)
    for t in tasks:
        m.reclaim(pages=1)
        t.exit()
        m.check()
    assert m.check().mms == 0


# ---------------------------------------------------------------- lists (7.2)

def two_lists(m: vmcore.Machine, active: int, inactive: int) -> File:
    """Clean pages of a file that nobody maps: `active` were used twice."""
    file = m.open("f", size=(active + inactive) * PAGE)
    for pages in (active + inactive, active):
        t = m.spawn("reader")
        at = t.mmap(None, pages * PAGE, RO, SHARED, file)
        t.touch_range(at, pages * PAGE, write=False)
        t.exit()
    assert (m.zones()[0]["active"], m.zones()[0]["inactive"]) == (active, inactive)
    return file


@pytest.mark.parametrize(("active", "inactive"), [(96, 64), (160, 96), (32, 320)])
def test_one_pass(active: int, inactive: int) -> None:
    """refill: 32 * A / (2 * I + 1) pages go down; then a sixth of all is scanned, 32 at most are freed."""
    m = machine()
    two_lists(m, active, inactive)
    change = step(m, pages=0)
    want = 32 - change["slab_reaped"]                   # the readers left an empty slab
    assert change["slab_reaped"] in (1, 2)
    down = want * active // (2 * inactive + 1)
    assert change["pgdeactivate"] == change["pgrefill_dma"] == down
    scan = min((active + inactive) // 6, want)
    assert change["pgscan_direct_dma"] == change["pgsteal_dma"] == scan
    assert m.zones()[0]["active"] == active - down
    assert m.zones()[0]["inactive"] == inactive + down - scan
    m.check()


@pytest.mark.parametrize("inactive", [3200 * 6 - 4, 3201 * 6])
def test_100_mapped_pages_for_each_wanted_call_swap_out(inactive: int) -> None:
    """In the middle of a pass: max_mapped = 100 * 32, and one more is too many."""
    m = machine(ram="128M")
    written(m, inactive)
    change = step(m, pages=0)
    assert change["pgscan_direct_normal"] + change["pgscan_direct_dma"] == inactive // 6
    assert change["reclaim_mapped"] == inactive // 6
    assert change["swap_out_calls"] == (inactive >= 3201 * 6)


def test_referenced_pages_are_passed_over_once() -> None:
    """All 96 active pages were used a third time: the walk clears that and turns them, comes round, and takes some."""
    m = machine()
    file = two_lists(m, 96, 64)
    third = m.spawn("third")
    at = third.mmap(None, 96 * PAGE, RO, SHARED, file)
    third.touch_range(at, 96 * PAGE, write=False)
    third.exit()
    change = step(m, pages=0)
    down = (32 - change["slab_reaped"]) * 96 // (2 * 64 + 1)
    assert down in (22, 23)
    assert (change["pgdeactivate"], change["pgrefill_dma"]) == (down, 96 + down)
    m.check()


def test_a_class_wades_through_the_zones_above() -> None:
    """Low memory is short, high memory is not: the global list has mostly the wrong pages (7.2)."""
    kernel = K.replace(name="small zones", data={**K.data, "lowmem_pages": 8192})
    m = machine(kernel=kernel, arch="i386", ram="64M", swap="64M")
    t = m.spawn("t")
    at = t.mmap(None, 36 << 20, RW, PRIVATE_ANON)
    t.touch_range(at, 36 << 20, write=True)             # 4 MiB of it in NORMAL
    t.munmap(at, 4 << 20)                               # and 4 MiB of HIGHMEM free
    for i in range(5000):                               # tasks: nothing that could be high
        m.spawn(f"t{i}")
        if m.vmstat()["reclaim_zone_skips"]:
            break
    stat = m.vmstat()
    assert stat["reclaim_zone_skips"] > 5000 and stat["pgsteal_high"] == 0
    assert stat["pgsteal_normal"] + stat["swap_out_dropped"] > 0
    m.check()


# ---------------------------------------------------------------- allocation (7.2)

@pytest.mark.parametrize(("ram", "arch", "zones"), [
    ("16M", "x86_64", [(32, 64, 96)]),
    ("256M", "i386", [(32, 64, 96), (255, 510, 765)]),
    ("1G", "i386", [(32, 64, 96), (255, 510, 765), (255, 510, 765)]),
    ("8M", "i386", [(20, 40, 60)]),
])
def test_watermarks(ram: str, arch: str, zones: list[tuple[int, int, int]]) -> None:
    m = machine(ram=ram, arch=arch)
    assert [(z["min"], z["low"], z["high"]) for z in m.zones() if z["present"]] == zones


def test_classes_leave_reserves_below() -> None:
    """HIGHMEM 8192 pages, NORMAL and DMA 4096: class HIGHMEM leaves 8192/32 in NORMAL, (8192 + 4096)/256 in DMA."""
    kernel = K.replace(name="small zones", data={**K.data, "lowmem_pages": 8192})
    m = machine(kernel=kernel, arch="i386", ram="64M", swap="64M")
    dma, normal, high = m.zones()
    assert (dma["low"], normal["low"], high["low"]) == (64, 64, 128)
    need = (64 + (8192 + 4096) // 256, 64 + 8192 // 32, 128)
    t = m.spawn("t")
    at = t.mmap(None, 96 << 20, RW, PRIVATE_ANON)
    i = 0
    while m.vmstat()["pageoutrun"] == 0:
        least = [z["free"] for z in m.zones()]
        t.touch(at + i * PAGE, write=True)
        i += 1
    # free - 1 > mark takes a page; page tables prefer NORMAL and may go deeper
    tables = i // 1024 + 2
    for free, mark in zip(least, need, strict=True):
        assert mark - tables <= free <= mark + 1
    assert least[2] == 129


def test_kswapd_goes_on_until_high() -> None:
    m = machine()
    written(m, 2900)
    t, at = written(m, 1)
    while m.vmstat()["pageoutrun"] == 0:
        t.munmap(at, PAGE)
        at = t.mmap(None, 200 * PAGE, RW, PRIVATE_ANON)
        t.touch_range(at, 200 * PAGE, write=True)
    zone = m.zones()[0]
    assert zone["free"] > zone["low"]
    assert m.vmstat()["kswapd_steal"] > 0
    m.check()


# ---------------------------------------------------------------- the life of a page

def test_life_of_a_page() -> None:
    m = machine()
    t, at = written(m, 32)
    one = Watched(m, t, at)
    # no pagevec: the pte's reference alone; inactive, referenced by its first touch; no anonymous identity
    assert one.counts == Counts(1, 1, None)
    assert one.flags & (PG_LRU | PG_REFERENCED | PG_ACTIVE | PG_ANON) == PG_LRU | PG_REFERENCED
    assert int(one.frame["mapping"]) == 0
    pfn = one.pfn
    aged(m)
    assert one.counts == Counts(1, 1, None)
    assert one.flags & (PG_REFERENCED | PG_ACTIVE) == PG_REFERENCED
    # swapped out: first the pte (slot: swap pte and cache), the write, then the page
    change = step(m)
    assert change["swap_out_dropped"] == 32
    for _ in range(40):
        if counts(m, pfn).c == 0:
            break
        assert counts(m, pfn) in (Counts(1, 0, 2), Counts(2, 0, 2))
        m.reclaim(pages=1)
    assert one.counts == Counts(0, 0, 1)
    assert m.vmstat()["pswpout"] >= 1
    # read fault: major, read-only, the slot kept; inactive and referenced again
    before = m.vmstat()
    t.touch(at, write=False)
    change = delta(m, before)
    assert change["pgmajfault"] == change["pswpin"] == change["fault_swap"] == 1
    assert one.counts == Counts(2, 1, 1) and not one.pte["writable"]
    assert one.flags & PG_SWAPCACHE and one.flags & (PG_REFERENCED | PG_ACTIVE) == PG_REFERENCED
    # write fault: sole user, so reused
    before = m.vmstat()
    t.touch(at, write=True)
    assert delta(m, before)["cow_reuses"] == 1
    assert one.counts == Counts(2, 1, 1) and one.pte["dirty"]
    # munmap: page and slot go at once
    slot = int((m.swap_cache == one.pfn).nonzero()[0][0])
    t.munmap(at, PAGE)
    assert m.swap_map[slot] == 0
    m.check()


def test_a_shared_swap_page_needs_two_faults_to_be_written() -> None:
    m = machine()
    a, at = written(m, 32)
    b = a.fork("b")
    while not (Watched(m, a, at).counts == Watched(m, b, at).counts == Counts(0, 0, 2)):
        m.reclaim(pages=1)
    before = m.vmstat()
    a.touch(at, write=True)
    change = delta(m, before)
    assert change["pgfault"] == 2
    assert change["fault_spurious_write"] == change["cow_copies"] == 1
    assert Watched(m, a, at).counts == Counts(1, 1, None)       # the copy waits in no pagevec
    m.check()


def test_tmpfs_goes_to_swap_and_comes_back() -> None:
    m = machine()
    t = m.spawn("t")
    at = t.mmap(None, 200 * PAGE, RW, SHARED_ANON)
    for i in range(200):
        t.write(at + i * PAGE, i + 1)
    for _ in range(40):
        m.reclaim(pages=32)
    stat = m.vmstat()
    assert stat["shmem_swizzle_out"] > 100 and stat["pswpout"] > 100 and stat["swap_out_slots"] == 0
    assert [t.read(at + i * PAGE) for i in range(200)] == list(range(1, 201))
    m.check()


def test_swapoff_brings_everything_back() -> None:
    m = machine()
    t, at = written(m, 1000)
    for i in range(1000):
        t.write(at + i * PAGE, i + 7)
    for _ in range(20):
        m.reclaim(pages=32)
    assert m.check().swap_ptes > 100
    m.swapoff(0)
    assert m.check().swap_ptes == 0
    assert [t.read(at + i * PAGE) for i in range(1000)] == list(range(7, 1007))


# ---------------------------------------------------------------- out of memory

def test_memory_without_swap_ends_in_a_kill() -> None:
    m = machine(swap=0)
    small, _ = written(m, 100, "small")
    t = m.spawn("big")
    at = t.mmap(None, 32 << 20, RW, PRIVATE_ANON)
    with pytest.raises(vmcore.TaskKilled) as e:
        t.touch_range(at, 32 << 20, write=True)
    assert e.value.by == "oom" and small.alive
    stat = m.vmstat()
    assert stat["oom_kills"] == 1 and stat["alloc_livelock"] == 0
    # the window of the killer: ten calls after the first, the tenth no earlier than a second after it
    assert stat["oom_calls"] >= 11
    assert stat["reclaim_rounds_failed"] >= stat["oom_calls"]
    m.check()
    small.touch_range(small.mmap(None, 100 * PAGE, RW, PRIVATE_ANON), 100 * PAGE, write=True)


def test_without_the_oom_killer_who_faults_dies() -> None:
    m = machine(swap=0, kernel=K.replace(name="no killer", data={**K.data, "no_oom_killer": 1}))
    big, _ = written(m, 2700, "big")
    t = m.spawn("small")
    at = t.mmap(None, 32 << 20, RW, PRIVATE_ANON)
    with pytest.raises(vmcore.TaskKilled) as e:
        t.touch_range(at, 32 << 20, write=True)
    assert e.value.by == "fault" and big.alive          # not the one with the most memory
    assert m.vmstat()["oom_calls"] == 0 and m.vmstat()["alloc_failures"] >= 1
    m.check()


def test_free_swap_that_helps_nobody_is_a_livelock() -> None:
    """All memory is locked: the OOM killer sees free swap and never acts; ten seconds later it is asked to."""
    m = machine()
    t = m.spawn("t")
    at = t.mmap(None, 2900 * PAGE, RW, PRIVATE_ANON)
    t.mlock(at, 2000 * PAGE)                            # half of RAM is 2048
    u = m.spawn("u")
    ut = u.mmap(None, 2800 * PAGE, RW, PRIVATE_ANON)
    u.mlock(ut, 2000 * PAGE)
    stat = m.vmstat()
    assert stat["alloc_livelock"] == 1 and stat["oom_kills"] == 1
    assert u.alive and not t.alive and t.killed_by == "oom"     # the larger one, by a little
    m.check()


def test_rough_root() -> None:
    assert [rough_root(x) for x in (0, 1, 2, 3, 4, 5, 15, 16, 100, 1 << 20)] == [1, 1, 1, 1, 2, 2, 3, 3, 9, 768]


# ---------------------------------------------------------------- smaller rules

def test_meminfo_has_the_lines_of_2_4() -> None:
    assert list(machine().meminfo()) == [
        "MemTotal", "MemFree", "MemShared", "Buffers", "Cached", "SwapCached", "Active", "Inactive", "HighTotal",
        "HighFree", "LowTotal", "LowFree", "SwapTotal", "SwapFree"]


@pytest.mark.parametrize(("arch", "line", "size", "per_slab"), [
    ("i386", 32, 96, 40), ("i386", 128, 128, 30), ("i386", 64, 128, 30), ("x86_64", 64, 192, 20)])
def test_sizes(arch: str, line: int, size: int, per_slab: int) -> None:
    """1.6: 68 and 136 bytes raw, aligned to the cache line; 1.1: 48 and 96 bytes of mem_map a page; no radix trees."""
    m = machine(arch=arch, l1_line=line)
    t = m.spawn("t")
    at = t.mmap(None, 64 * PAGE, RW, PRIVATE, m.open("f", size=64 * PAGE))
    t.touch_range(at, 64 * PAGE, write=False)
    info = {s.name: s for s in m.slabinfo()}
    assert (info["vm_area_struct"].objsize, info["vm_area_struct"].objperslab) == (size, per_slab)
    assert "radix_tree_node" not in info and "pte_chain" not in info and "anon_vma" not in info
    word = 48 if arch == "i386" else 96
    assert m.ledger()["mem_map"]["bytes"] == -(-4096 * word // PAGE) * PAGE
    assert m.vmstat()["rmap_bytes"] == 0
    m.check()


def test_remap_file_pages_is_a_call_of_2_6() -> None:
    m = machine()
    t = m.spawn("t")
    file = m.open("f", size=8 * PAGE)
    at = t.mmap(None, 8 * PAGE, RW, SHARED | vmcore.MAP_POPULATE, file)     # a flag of 2.6: not known, so ignored
    assert not t.pagemap(at, 8 * PAGE)["present"].any()
    for args in ((at, PAGE, 0, 3), (at, PAGE, 7, 3), (0, 0, 0, 0)):         # whatever the arguments
        with pytest.raises(OSError) as e:
            t.remap_file_pages(*args)
        assert e.value.errno == errno.ENOSYS
    assert m.vmstat()["remap_file_pages"] == 0
    m.check()


def test_vmas_of_files_never_merge() -> None:
    m = machine()
    t = m.spawn("t")
    file = m.open("f", size=8 * PAGE)
    at = t.mmap(None, 4 * PAGE, RO, SHARED, file)
    assert t.mmap(at + 4 * PAGE, 4 * PAGE, RO, SHARED | 0x10, file, 4 * PAGE) == at + 4 * PAGE
    assert len(t.maps()) == 2
    here = t.mmap(None, 4 * PAGE, RW, PRIVATE_ANON)
    t.mmap(here + 4 * PAGE, 4 * PAGE, RW, PRIVATE_ANON | 0x10)
    assert len(t.maps()) == 3
    m.check()


def test_mlock_takes_half_of_ram_at_most() -> None:
    m = machine()
    t = m.spawn("t")
    at = t.mmap(None, 3000 * PAGE, RO, PRIVATE_ANON)
    with pytest.raises(OSError) as e:
        t.mlock(at, 2049 * PAGE)
    assert e.value.errno == errno.ENOMEM
    t.mlock(at, 2048 * PAGE)
    with pytest.raises(OSError):
        t.mlockall(1)
    none = t.mmap(None, PAGE, 0, PRIVATE_ANON)
    t.munlock(at, 2048 * PAGE)
    t.mlock(none, PAGE)                                 # what the faults meet is no error
    m.check()


def test_overcommit_asks_once() -> None:
    """Mode 0: the pages must be there, free or in caches or on swap, but earlier promises do not count, nor does fork;
    any other mode says yes."""
    m = machine(overcommit_memory=0)
    t = m.spawn("t")
    there = (m.meminfo()["MemFree"] + m.meminfo()["SwapFree"]) // 4
    with pytest.raises(OSError) as e:
        t.mmap(None, (there + 1) * PAGE, RW, PRIVATE_ANON)
    assert e.value.errno == errno.ENOMEM
    for _ in range(5):
        t.mmap(None, (there - 50) * PAGE, RW, PRIVATE_ANON)
    t.fork("c")
    m.check()
    machine(overcommit_memory=2).spawn("t").mmap(None, 1 << 34, RW, PRIVATE_ANON)


def test_reap_gives_back_an_empty_slab() -> None:
    m = machine()
    tasks = [m.spawn(f"t{i}") for i in range(30)]
    for t in tasks:
        t.exit()
    slabs = sum(s.num_slabs * s.pagesperslab for s in m.slabinfo())
    assert slabs > 0
    change = step(m, pages=0)
    assert change["slab_reaped"] in (1, 2)
    assert sum(s.num_slabs * s.pagesperslab for s in m.slabinfo()) == slabs - change["slab_reaped"]
    m.check()


# ---------------------------------------------------------------- with other designs

def test_a_pair_that_cannot_work_names_both() -> None:
    with pytest.raises(ValueError, match=r"v2_6.*none"):
        K.replace(reclaim="v2_6")
    with pytest.raises(ValueError, match=r"v2_6.*none"):
        vmcore.KERNELS["2.6.5"].replace(rmap="none")


@pytest.mark.parametrize("rmap", [r for r in vmcore.kernels.RMAP if r != "none"])
def test_reclaim_of_2_4_over_a_reverse_map(rmap: str) -> None:
    """It does not ask, but keeps the map right."""
    m = machine(kernel=K.replace(rmap=rmap))
    a, at = written(m, 2000)
    for i in range(2000):
        a.write(at + i * PAGE, i + 1)
    b = a.fork("b")
    for i in range(0, 2000, 2):
        b.write(at + i * PAGE, 5000 + i)
    m.check(walk=500)
    assert m.vmstat()["pswpout"] > 0
    assert [a.read(at + i * PAGE) for i in range(2000)] == list(range(1, 2001))
    assert [b.read(at + i * PAGE) for i in range(0, 2000, 2)] == list(range(5000, 7000, 2))
    a.exit()
    m.check(walk=500)


# ---------------------------------------------------------------- the state

def test_check_finds_damage() -> None:
    m = machine()
    t, _ = written(m, 500)
    t.fork("b")
    aged(m)
    walk(m)
    for what, index, which, name in (("swap_mm", 0, 0, "mm-list"), ("mmlist_nr", 0, 0, "mm-list"),
                                     ("zone.nr_lru", 0, 1, "lru-count"), ("zone.nr_lru", 0, 0, "lru-count"),
                                     ("lru.nr", 0, 0, "lru-count")):
        _py_damage(m._engine, what, index, 100, which)
        with pytest.raises(vmcore.KernelBug, match=name):
            m.check()
        _py_damage(m._engine, what, index, -100, which)
        m.check()


def test_save_and_clone_in_the_middle_of_a_lap(tmp_path: Path) -> None:
    m = machine()
    tasks = [written(m, 300, f"t{i}")[0] for i in range(3)]
    aged(m)
    m.reclaim(pages=1)
    m.save(tmp_path / "m")
    copies = [m.clone(), vmcore.load(tmp_path / "m")]
    after = []
    for each in (m, *copies):
        for _ in range(10):
            each.reclaim(pages=20)
        each.check()
        after.append((each.vmstat(), [int(x) for x in each.mms["swap_address"]]))
    assert after[0] == after[1] == after[2]
    assert tasks


def test_ctrl_c_inside_swap_out() -> None:
    """A gigabyte of ptes that are young again and again; the answer comes within a fifth of a second (with room for a
    busy host), and the state holds."""
    m = machine(ram="1200M", swap="64M")
    t, at = written(m, 260_000)
    t.mlock(at, 140_000 * PAGE)
    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            m.reclaim(pages=100_000)
    timer.join()
    m.check()
    m.reclaim(pages=1)
    m.check()
