"""anonmm: one object per mm, fork groups, pages that know their virtual address. Fact sheet linux-2004 2.4.

Scenarios are drawn as the group's ring: H is the head (made at exec), 1, 2, 3 its children in the order of their forks.
[x] maps the page, (x) does not, the arrow is the page's own anonmm. Counts are of one walk, and exact.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import vmcore
from vmcore import MAP_ANONYMOUS, MAP_PRIVATE, MREMAP_FIXED, MREMAP_MAYMOVE
from vmcore._fast import records
from vmcore._fast.check_shim import _py_poke
from vmcore._fast.rmap.shim import _py_referenced, _py_unmap

PAGE = 4096
RW = 3
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
SUCCESS, AGAIN, FAIL = 0, 1, 2
PG_ANON = 1 << 20
SHORT, FULL = "2.6.5-anonmm", "2.6.5-anonmm-noshortcut"
POOL = {name: number for number, name in enumerate(records.POOL_NAMES)}
WALK = ("rmap_mms_visited", "rmap_mms_skipped", "rmap_shortcut_hits", "rmap_group_mms")


def machine(kernel: str = SHORT, **options: Any) -> vmcore.Machine:
    return vmcore.Machine(**({"ram": "16M", "swap": "16M", "kernel": kernel, "overcommit_memory": 1,
                              "page_cluster": 0} | options))


class Group:
    """A task that wrote one page, and its children."""

    def __init__(self, kernel: str, children: int) -> None:
        self.m = machine(kernel)
        self.head = self.m.spawn("H")
        self.at = self.head.mmap(None, 64 * PAGE, RW, PRIVATE)
        self.head.touch(self.at, write=True)
        self.children = [self.head.fork(str(i + 1)) for i in range(children)]

    def pfn(self, task: vmcore.Task | None = None, page: int = 0) -> int:
        record = (task or self.head).pagemap(self.at + page * PAGE, PAGE)[0]
        assert record["present"]
        return int(record["frame"])

    def anonmm(self, task: vmcore.Task) -> int:
        return int(self.m.mms[int(self.m.tasks[task.pid]["mm"])]["anonmm"])

    def walk(self, pfn: int) -> tuple[int, ...]:
        """(visited, skipped, shortcut, group) of one page_referenced."""
        before = self.m.vmstat()
        _py_referenced(self.m._engine, pfn)
        after = self.m.vmstat()
        assert after["rmap_pages_walked"] - before["rmap_pages_walked"] == 1
        self.m.check(walk=100)
        return tuple(after[name] - before[name] for name in WALK)

    def unmap(self, pfn: int, **options: bool) -> tuple[int, int, int]:
        """(result, mms visited, vmas looked up) of one try_to_unmap."""
        before = self.m.vmstat()
        result = _py_unmap(self.m._engine, pfn, **options)
        after = self.m.vmstat()
        self.m.check(walk=100)
        return (result, *(after[name] - before[name] for name in ("rmap_mms_visited", "rmap_vmas_visited")))

    def lock(self, task: vmcore.Task) -> None:
        """mlock writes to what may be written, and that would make a copy."""
        task.mprotect(self.at, PAGE, vmcore.PROT_READ)
        task.mlock(self.at, PAGE)

    def age(self, *pages: int) -> None:
        for pfn in pages:
            _py_referenced(self.m._engine, pfn)


# ---------------------------------------------------------------- what it costs

def test_28_bytes_per_mm() -> None:
    rules = vmcore.KERNELS[SHORT].rules("i386")
    without = vmcore.KERNELS["2.6.5"].rules("i386")
    assert rules["anonmm_size"] + rules["mm_size"] - without["mm_size"] == 28
    assert vmcore.KERNELS[SHORT].rules("x86_64")["anonmm_size"] == 40
    assert rules["vma_size"] == without["vma_size"] == 64 and rules["struct_page_size"] == 40


@pytest.mark.parametrize(("line", "per_slab"), [(32, 145), (64, 144), (128, 144)])
def test_slab_of_anonmms(line: int, per_slab: int) -> None:
    """Fact sheet 1.7."""
    m = machine(arch="i386", l1_line=line)
    for _ in range(3):
        m.spawn("t")
    slab = {s.name: s for s in m.slabinfo()}["anonmm"]
    assert (slab.active_objs, slab.objsize, slab.objperslab) == (3, 24, per_slab)
    assert m.ledger()["anonmm"]["bytes"] == PAGE and m.vmstat()["rmap_bytes"] == 3 * 24


# ---------------------------------------------------------------- the walk, drawn

@pytest.mark.parametrize(("kernel", "walk"), [(SHORT, (1, 0, 1, 4)), (FULL, (3, 0, 0, 4))])
def test_unshared_page(kernel: str, walk: tuple[int, ...]) -> None:
    """H 1 -> [2] 3: found at once; without the shortcut, after H and 1."""
    g = Group(kernel, 3)
    g.children[1].touch(g.at + 5 * PAGE, write=True)
    assert g.walk(g.pfn(g.children[1], 5)) == walk


@pytest.mark.parametrize("kernel", [SHORT, FULL])
def test_page_of_all(kernel: str) -> None:
    """-> [H] [1] [2] [3]"""
    g = Group(kernel, 3)
    assert g.walk(g.pfn()) == (4, 0, 0, 4)


@pytest.mark.parametrize("kernel", [SHORT, FULL])
def test_page_of_some_asks_the_others_too(kernel: str) -> None:
    """-> [H] (1) [2] (3): 1 is asked, because it could have the page; 3 is not, because all ptes were found."""
    g = Group(kernel, 3)
    for i in (0, 2):
        g.children[i].touch(g.at, write=True)
    assert g.walk(g.pfn()) == (3, 0, 0, 4)


def test_walk_goes_on_after_the_own() -> None:
    """(H) (1) -> [2] (3) [4], 4 a child of 2: 2, 3, 4. Without the shortcut: H, 1, 2, 3, 4."""
    for kernel, walk in ((SHORT, (3, 0, 0, 5)), (FULL, (5, 0, 0, 5))):
        g = Group(kernel, 3)
        g.children[1].touch(g.at + 5 * PAGE, write=True)
        g.children[1].fork("4")
        assert g.walk(g.pfn(g.children[1], 5)) == walk


def swapped_out(g: Group, page: int = 0) -> None:
    """The page at this place leaves every page table; its slot is shared by all."""
    pfn = g.pfn(page=page)
    g.age(pfn)
    assert g.unmap(pfn)[0] == SUCCESS


def test_circle_through_the_head() -> None:
    """Swapped out from all; 3 reads it first, then H and 1: [H] [1] (2) -> [3] (4): 3, 4, H, 1."""
    g = Group(SHORT, 4)
    swapped_out(g)
    for task in (g.children[2], g.head, g.children[0]):
        task.touch(g.at)
    pfn = g.pfn(g.children[2])
    assert int(g.m.frames[pfn]["mapping"]) == g.anonmm(g.children[2])
    assert int(g.m.frames[pfn]["index"]) == g.at
    # the others have no page at all
    assert g.walk(pfn) == (3, 1, 0, 5)


def test_an_mm_without_pages_is_passed_over() -> None:
    m = machine(FULL)
    head = m.spawn("H")
    at = head.mmap(None, 4 * PAGE, RW, PRIVATE)
    empty, full = head.fork("1"), head.fork("2")
    full.touch(at, write=True)
    g = Group.__new__(Group)
    g.m, g.head, g.at, g.children = m, full, at, [empty]
    assert g.walk(g.pfn()) == (1, 2, 0, 3)
    assert m.vmstat()["anonmm_group_max"] == 3


# ---------------------------------------------------------------- orphans and migration

def test_the_head_waits_for_its_members() -> None:
    """H exits: its anonmm stays for the page that it had first, and because it is the head."""
    g = Group(SHORT, 2)
    pfn = g.pfn()
    head = g.anonmm(g.head)
    assert int(g.m.anonmms[head]["count"]) == 1 + 1 + 2 + 1     # mm, head, two members, a page
    g.head.exit()
    g.m.check(walk=10)
    assert g.m.vmstat()["nr_orphan_anonmms"] == 1 and int(g.m.anonmms[head]["count"]) == 4
    # (H gone) [1] [2]: H is passed over, 1 inherits
    assert g.walk(pfn) == (2, 1, 0, 3)
    assert int(g.m.frames[pfn]["mapping"]) == g.anonmm(g.children[0])
    assert g.m.vmstat()["rmap_migrations"] == 1 and int(g.m.anonmms[head]["count"]) == 3
    assert g.walk(pfn) == (2, 0, 0, 3)
    g.children[0].exit()
    assert g.m.vmstat()["nr_orphan_anonmms"] == 2               # H for its member, 1 for the page
    g.children[1].exit()                                        # the last mapping takes all with it
    stat = g.m.vmstat()
    assert (stat["nr_anonmms"], stat["anonmms_allocated"], stat["anonmms_freed"]) == (0, 3, 3)
    g.m.check()


def test_an_orphan_goes_when_its_page_migrates() -> None:
    """H (1 gone) [2], 2 a child of 1."""
    g = Group(SHORT, 1)
    g.children[0].touch(g.at + 5 * PAGE, write=True)
    grandchild = g.children[0].fork("2")
    pfn = g.pfn(grandchild, 5)
    orphan = g.anonmm(g.children[0])
    g.children[0].exit()
    assert int(g.m.frames[pfn]["mapping"]) == orphan and int(g.m.anonmms[orphan]["count"]) == 1
    assert g.m.vmstat()["nr_orphan_anonmms"] == 1
    assert g.walk(pfn) == (1, 1, 0, 3)
    assert int(g.m.frames[pfn]["mapping"]) == g.anonmm(grandchild)
    stat = g.m.vmstat()
    assert (stat["nr_orphan_anonmms"], stat["nr_anonmms"], stat["rmap_migrations"]) == (0, 2, 1)
    assert g.walk(pfn) == (1, 0, 1, 2)


def test_no_migration_by_unmap() -> None:
    g = Group(SHORT, 2)
    pfn = g.pfn()
    g.age(pfn)
    g.head.exit()
    g.lock(g.children[1])
    assert g.unmap(pfn) == (FAIL, 2, 2)
    assert g.m.vmstat()["rmap_migrations"] == 0 and g.m.vmstat()["nr_orphan_anonmms"] == 1


def test_no_migration_while_a_pte_is_missing() -> None:
    """A busy lock hides a mapping; the page stays with the orphan until all are seen."""
    m = machine(trylock_rate=512, trylock_seed=3)
    head = m.spawn("H")
    at = head.mmap(None, PAGE, RW, PRIVATE)
    head.touch(at, write=True)
    children = [head.fork() for _ in range(4)]
    pfn = int(head.pagemap(at, PAGE)["frame"][0])
    head.exit()
    for _ in range(200):
        fails = m.vmstat()["rmap_trylock_fails"]
        _py_referenced(m._engine, pfn)
        stat = m.vmstat()
        m.check(walk=10)
        if stat["rmap_migrations"]:
            break
        assert stat["rmap_trylock_fails"] > fails
    assert stat["rmap_migrations"] == 1 and stat["rmap_trylock_fails"] > 0
    for child in children:
        child.exit()
    assert m.vmstat()["nr_anonmms"] == 0


def test_exec_begins_a_group() -> None:
    g = Group(SHORT, 3)
    child = g.children[1]
    before = g.anonmm(child)
    child.exec("other")
    after = g.anonmm(child)
    assert int(g.m.anonmms[after]["head"]) == after != before
    assert int(g.m.anonmms[g.anonmm(g.head)]["nr"]) == 3
    assert g.walk(g.pfn()) == (3, 0, 0, 3)
    at = child.mmap(None, PAGE, RW, PRIVATE)
    child.touch(at, write=True)
    grandchild = child.fork("g")
    assert int(g.m.anonmms[g.anonmm(grandchild)]["head"]) == after
    g.m.check(walk=100)


# ---------------------------------------------------------------- try_to_unmap

def test_unmap_stops_at_a_locked_vma() -> None:
    """-> [H] [1 locked] [2]: H's pte goes, 1 says FAIL, 2 is not asked."""
    g = Group(SHORT, 2)
    pfn = g.pfn()
    g.lock(g.children[0])
    g.age(pfn)
    assert g.unmap(pfn) == (FAIL, 2, 2)
    assert g.head.pagemap(g.at, PAGE)["swapped"][0] and g.children[1].pagemap(g.at, PAGE)["present"][0]
    assert int(g.m.mapcounts[pfn]) == 2


def test_unmap_stops_at_a_young_pte_and_ages_it() -> None:
    g = Group(SHORT, 2)
    pfn = g.pfn()
    g.age(pfn)
    g.children[0].touch(g.at)
    assert g.unmap(pfn) == (FAIL, 2, 2)
    assert not g.children[0].pagemap(g.at, PAGE)["accessed"][0]
    assert g.unmap(pfn) == (SUCCESS, 2, 2)          # H has rss 0 by now
    assert int(g.m.mapcounts[pfn]) == 0


def test_unmap_clears_identity() -> None:
    g = Group(SHORT, 2)
    pfn = g.pfn()
    g.age(pfn)
    head = g.anonmm(g.head)
    count = int(g.m.anonmms[head]["count"])
    assert g.unmap(pfn) == (SUCCESS, 3, 3)
    assert not g.m.frames[pfn]["flags"] & PG_ANON and g.m.frames[pfn]["mapping"] == 0
    assert int(g.m.anonmms[head]["count"]) == count - 1


@pytest.mark.parametrize(("options", "bug"), [
    ({"lock": False}, "unmap_not_locked"), ({"swap": False}, "unmap_anon_not_swapcache"),
])
def test_unmap_of_the_wrong_page_is_a_bug(options: dict[str, bool], bug: str) -> None:
    g = Group(SHORT, 0)
    with pytest.raises(vmcore.KernelBug) as caught:
        _py_unmap(g.m._engine, g.pfn(), **options)
    assert caught.value.name == bug


def test_unmap_of_an_unmapped_page_is_a_bug() -> None:
    g = Group(SHORT, 0)
    pfn = g.pfn()
    g.age(pfn)
    assert _py_unmap(g.m._engine, pfn) == SUCCESS
    with pytest.raises(vmcore.KernelBug) as caught:
        _py_unmap(g.m._engine, pfn)
    assert caught.value.name == "unmap_unmapped"


def poke(m: vmcore.Machine, pool: str, index: int, field: str, value: int) -> int:
    kind, offset = records.POOL_DTYPES[pool].fields[field][:2]
    return int(_py_poke(m._engine, POOL[pool], index, offset, kind.itemsize, value))


def test_a_walk_that_misses_a_pte_is_a_bug() -> None:
    g = Group(SHORT, 2)
    pfn = g.pfn()
    old = poke(g.m, "frame", pfn, "index", g.at + 9 * PAGE)
    with pytest.raises(vmcore.KernelBug) as caught:
        _py_referenced(g.m._engine, pfn)
    assert caught.value.name == "anonmm_lost" and caught.value.objects[2] == 3
    poke(g.m, "frame", pfn, "index", old)
    g.m.check(walk=10)


@pytest.mark.parametrize(("field", "value", "bug"), [("count", 1, "anonmm_head_count"),
                                                     ("count", 2, "anonmm_head_members")])
def test_a_head_that_lost_count_is_a_bug(field: str, value: int, bug: str) -> None:
    m = machine()
    head = m.spawn("H")
    child = head.fork("1")
    a = int(m.mms[int(m.tasks[head.pid]["mm"])]["anonmm"])
    poke(m, "anonmm", a, field, value)
    with pytest.raises(vmcore.KernelBug) as caught:
        head.exit()
    assert caught.value.name == bug
    del child


# ---------------------------------------------------------------- mremap

def test_a_page_of_ones_own_moves_with_its_address() -> None:
    g = Group(SHORT, 0)
    g.head.touch_range(g.at, 16 * PAGE, write=True)
    to = g.at + (1 << 24)
    g.head.mremap(g.at, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    stat = g.m.vmstat()
    assert (stat["rmap_index_updates"], stat["mremap_cows"], stat["cow_copies"]) == (16, 0, 0)
    pfns = g.head.pagemap(to, 16 * PAGE)["frame"]
    assert (g.m.frames[pfns]["index"] == to + np.arange(16) * PAGE).all()
    g.m.check(walk=100)


@pytest.mark.parametrize(("kernel", "copies"), [(SHORT, 16), (FULL, 16), ("2.6.5-anonmm-prio", 16), ("2.6.5-aa1", 0),
                                                ("2.6.5-forktree", 0), ("2.6.5", 0), ("2.6.5-objrmap", 0)])
def test_a_shared_page_is_copied_to_move(kernel: str, copies: int) -> None:
    """mremapcow: fork, mremap in the child, reclaim. Only the design whose pages know addresses copies."""
    m = machine(kernel, ram="6M", swappiness=100)
    head = m.spawn("H")
    at = head.mmap(None, 16 * PAGE, RW, PRIVATE)
    for i in range(16):
        head.write(at + i * PAGE, i + 1)
    child = head.fork("1")
    to = at + (1 << 24)
    child.mremap(at, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    stat = m.vmstat()
    assert (stat["mremap_cows"], stat["cow_copies"]) == (copies, copies)
    assert stat["rmap_index_updates"] == copies
    m.check(walk=100)
    for _ in range(300):
        m.reclaim(pages=32)
        if head.pagemap(at, 16 * PAGE)["swapped"].all() and child.pagemap(to, 16 * PAGE)["swapped"].all():
            break
    assert m.vmstat()["pswpout"] == 16 + copies
    for i in range(16):
        assert head.read(at + i * PAGE) == child.read(to + i * PAGE) == i + 1
    assert m.vmstat()["rmap_misplaced_copies"] == 0
    m.check(walk=100)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(("kernel", "copies"), [(SHORT, 1), (FULL, 1), ("2.6.5-aa1", 0), ("2.6.5-forktree", 0)])
def test_swapped_then_moved_then_met_elsewhere(kernel: str, copies: int, write: bool) -> None:
    """The slot is shared, the child moves its swap pte; H has the page at the old address when the child's fault comes:
    the child gets a copy at once."""
    g = Group(kernel, 1)
    g.head.write(g.at, 7)
    g.children[0].exit()
    child = g.head.fork("1")
    swapped_out(g)
    to = g.at + (1 << 24)
    child.mremap(g.at, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    assert g.head.read(g.at) == 7
    before = g.m.vmstat()
    if write:
        child.write(to, 8)
    assert child.read(to) == (8 if write else 7)
    after = g.m.vmstat()
    assert after["rmap_misplaced_copies"] - before["rmap_misplaced_copies"] == copies
    assert after["cow_copies"] - before["cow_copies"] == (1 if write else copies)
    assert after["pgfault"] - before["pgfault"] == (2 if write and not copies else 1)   # 2.6.5 faults twice, 4.6
    assert bool(child.pagemap(to, PAGE)["writable"][0]) == (write or copies == 1)
    assert g.head.read(g.at) == 7
    g.m.check(walk=100)


def test_a_copy_is_no_more_writable_than_its_vma() -> None:
    g = Group(SHORT, 1)
    child = g.children[0]
    swapped_out(g)
    to = g.at + (1 << 24)
    child.mremap(g.at, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    child.mprotect(to, PAGE, vmcore.PROT_READ)
    g.head.touch(g.at)
    child.touch(to)
    record = child.pagemap(to, PAGE)[0]
    assert g.m.vmstat()["rmap_misplaced_copies"] == 1 and record["present"] and not record["writable"]
    with pytest.raises(vmcore.SegmentationFault):
        child.touch(to, write=True)
    g.m.check(walk=100)


def test_swapped_then_moved_then_nobody_there() -> None:
    """The child's fault comes first: the page takes the child's address, and the head's fault makes the copy."""
    g = Group(SHORT, 1)
    child = g.children[0]
    swapped_out(g)
    to = g.at + (1 << 24)
    child.mremap(g.at, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    child.touch(to)
    assert int(g.m.frames[int(child.pagemap(to, PAGE)["frame"][0])]["index"]) == to
    assert g.m.vmstat()["rmap_misplaced_copies"] == 0
    g.head.touch(g.at)
    assert g.m.vmstat()["rmap_misplaced_copies"] == 1
    g.m.check(walk=100)


def test_swapoff_copies_too() -> None:
    g = Group(SHORT, 2)
    for i in range(8):
        g.head.write(g.at + i * PAGE, 100 + i)
    for child in g.children:
        child.exit()
    child, other = g.head.fork("1"), g.head.fork("2")
    for i in range(8):
        swapped_out(g, i)
    to = g.at + (1 << 24)
    child.mremap(g.at, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    g.m.swapoff()
    g.m.check(walk=100)
    assert g.m.vmstat()["rmap_misplaced_copies"] == 8
    for i in range(8):
        assert g.head.read(g.at + i * PAGE) == other.read(g.at + i * PAGE) == child.read(to + i * PAGE) == 100 + i
    assert (g.m.mapcounts[g.head.pagemap(g.at, 8 * PAGE)["frame"]] == 2).all()
    assert (g.m.mapcounts[child.pagemap(to, 8 * PAGE)["frame"]] == 1).all()


# ---------------------------------------------------------------- privfork: the argument of the thread

@pytest.mark.parametrize(("kernel", "mms", "vmas"), [
    # own region, made and written after the fork; then a page of the parent's region, copied by the write
    (SHORT, (100, 100), (0, 0)),
    (FULL, (5150, 5150), (0, 0)),                       # child i is member i + 1: sum of 2 to 101
    ("2.6.5-aa1", (100, 101 * 100), (100, 101 * 100)),  # a list of its own; the list of the whole family
    ("2.6.5-forktree", (100, 5150), (1399, 6650)),      # the way down; a set is asked in order of forks
    ("2.6.5", (0, 0), (0, 0)),
])
def test_privfork(kernel: str, mms: tuple[int, int], vmas: tuple[int, int]) -> None:
    """100 children with private memory: mms and vmas looked at to find each of 100 unshared pages."""
    m = machine(kernel, ram="32M")
    head = m.spawn("server")
    region = head.mmap(None, 4 * PAGE, RW, PRIVATE)
    head.touch_range(region, 4 * PAGE, write=True)
    pages: tuple[list[int], list[int]] = ([], [])
    children = [head.fork() for _ in range(100)]
    for i, child in enumerate(children):
        own = child.mmap(region + ((i + 1) << 22), PAGE, RW, PRIVATE | vmcore.MAP_FIXED)
        for addr, found in zip((own, region), pages, strict=True):
            child.touch(addr, write=True)
            found.append(int(child.pagemap(addr, PAGE)["frame"][0]))
    for found, visits, looked in zip(pages, mms, vmas, strict=True):
        before = m.vmstat()
        for pfn in found:
            _py_referenced(m._engine, pfn)
        change = {k: v - before[k] for k, v in m.vmstat().items()}
        assert change["rmap_pages_walked"] == 100
        assert (change["rmap_mms_visited"], change["rmap_vmas_visited"]) == (visits, looked)
        if kernel == SHORT:
            assert change["rmap_shortcut_hits"] == 100
        if kernel == "2.6.5-forktree":
            assert change["rmap_candidates_missed"] == visits - 100
        if kernel == "2.6.5":
            assert change["rmap_ptes_examined"] == 100
    m.check(walk=200)


# ---------------------------------------------------------------- merging

def vma_count(task: vmcore.Task, start: int, pages: int) -> int:
    return sum(v.start < start + pages * PAGE and v.end > start for v in task.maps())


@pytest.mark.parametrize(("kernel", "touched", "moved"), [
    (SHORT, 1, 1), ("2.6.5", 1, 1), ("2.6.5-forktree", 1, 2), ("2.6.5-aa1", 3, 2),
])
def test_neighbours_merge(kernel: str, touched: int, moved: int) -> None:
    """Protect the middle of three touched pages and unprotect it again; move a touched page beside another. anonmm: by
    flags alone. fork_tree: the object is the same, the offset must run on. anon_vma of aa1: mprotect does not merge."""
    m = machine(kernel)
    t = m.spawn("t")
    at = t.mmap(0x40000000, 3 * PAGE, RW, PRIVATE | vmcore.MAP_FIXED)
    t.touch_range(at, 3 * PAGE, write=True)
    t.mprotect(at + PAGE, PAGE, vmcore.PROT_READ)
    assert vma_count(t, at, 3) == 3
    t.mprotect(at + PAGE, PAGE, RW)
    assert vma_count(t, at, 3) == touched
    a = t.mmap(0x50000000, PAGE, RW, PRIVATE | vmcore.MAP_FIXED)
    b = t.mmap(0x51000000, PAGE, RW, PRIVATE | vmcore.MAP_FIXED)
    for addr in (a, b):
        t.touch(addr, write=True)
    t.mremap(b, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, a + PAGE)
    assert vma_count(t, a, 2) == moved
    m.check(walk=10)


# ---------------------------------------------------------------- want of memory, copies of the machine

def test_fork_without_memory_for_the_anonmm() -> None:
    """Forks until nothing is left; what failed left nothing behind."""
    m = vmcore.Machine(ram="6M", swap=None, kernel=SHORT, overcommit_memory=1)
    t = m.spawn("t")
    at = t.mmap(None, 4 << 20, RW, PRIVATE)
    for i in range(60):
        try:
            t.touch_range(at + i * 16 * PAGE, 16 * PAGE, write=True)
            t.fork()
        except (OSError, vmcore.TaskKilled):
            break
    stat = m.vmstat()
    assert stat["alloc_failures"] + stat["oom_kills"] > 0
    assert stat["nr_anonmms"] == stat["nr_mms"] + stat["nr_orphan_anonmms"]
    m.check(walk=100)
    for task in m.processes():
        task.exit()
    stat = m.vmstat()
    assert stat["nr_anonmms"] == 0 and stat["anonmms_allocated"] == stat["anonmms_freed"]
    m.check()


@pytest.mark.parametrize("kernel", [SHORT, FULL, "2.6.5-anonmm-prio", "2.6.5-forktree"])
def test_save_load_and_clone(kernel: str, tmp_path: Any) -> None:
    g = Group(kernel, 5)
    g.head.exit()
    g.m.save(tmp_path / "m")
    pfn = g.pfn(g.children[0])
    for other in (g.m.clone(), vmcore.load(tmp_path / "m")):
        assert other.vmstat() == g.m.vmstat() and other.kernel == g.m.kernel
        assert np.array_equal(other.anonmms, g.m.anonmms)
        other.check(walk=100)
        _py_referenced(other._engine, pfn)
        assert other.vmstat()["rmap_pages_walked"] == 1
        other.check(walk=100)
    assert g.m.vmstat()["rmap_pages_walked"] == 0


# ---------------------------------------------------------------- damage

def found(m: vmcore.Machine, pool: str, index: int, field: str, value: int) -> str:
    old = poke(m, pool, index, field, value)
    with pytest.raises(vmcore.KernelBug) as caught:
        m.check(walk=100)
    poke(m, pool, index, field, old)
    m.check(walk=100)
    return str(caught.value.name)


@pytest.mark.parametrize(("field", "values", "names"), [
    ("next", (0, 1, 0xFFFFFFF0), {"anonmm"}), ("prev", (0, 0xFFFFFFF0), {"anonmm"}),
    ("head", (0, 0xFFFFFFF0), {"anonmm", "anonmm-count"}),
    ("mm", (0, 0xFFFFFFF0), {"anonmm", "anonmm-count"}), ("count", (0, 1, 99), {"anonmm-count"}),
])
def test_check_finds_damage_to_a_member(field: str, values: tuple[int, ...], names: set[str]) -> None:
    g = Group(SHORT, 3)
    g.children[1].touch(g.at + PAGE, write=True)
    a = g.anonmm(g.children[1])
    for value in values:
        if int(g.m.anonmms[a][field]) != value:
            assert found(g.m, "anonmm", a, field, value) in names


def test_check_finds_damage_to_head_page_and_mm() -> None:
    g = Group(SHORT, 3)
    head = g.anonmm(g.head)
    assert found(g.m, "anonmm", head, "nr", 3) == "anonmm-count"
    assert found(g.m, "anonmm", head, "count", 5) == "anonmm-count"
    pfn = g.pfn()
    assert found(g.m, "frame", pfn, "mapping", g.anonmm(g.children[0])) == "anonmm-count"
    assert found(g.m, "frame", pfn, "mapping", 0xFFFFFFF0) == "anonmm"
    assert found(g.m, "frame", pfn, "index", g.at + PAGE) == "pte-rmap-anon"
    mm = int(g.m.tasks[g.children[0].pid]["mm"])
    assert found(g.m, "mm", mm, "anonmm", 0) == "anonmm"
    assert found(g.m, "mm", mm, "anonmm", head) == "anonmm"
