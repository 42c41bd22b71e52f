"""fork_tree: one tree over the anonymous vmas of a fork group. Fact sheet linux-2004 2.6."""
from __future__ import annotations

from typing import Any

import numpy as np
from tests.unit.test_anonmm import Group, found, machine

import vmcore
from vmcore import MAP_ANONYMOUS, MAP_PRIVATE, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_READ
from vmcore._fast.rmap.shim import _py_referenced, _py_unmap

PAGE = 4096
RW = 3
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
TREE = "2.6.5-forktree"
SUCCESS, FAIL = 0, 2


class Tree(Group):
    def __init__(self, children: int) -> None:
        super().__init__(TREE, children)

    def walk(self, pfn: int) -> tuple[int, ...]:
        """(tree nodes and set members visited, mms looked into, candidates missed)"""
        before = self.m.vmstat()
        _py_referenced(self.m._engine, pfn)
        after = self.m.vmstat()
        self.m.check(walk=100)
        names = ("anon_tree_nodes_visited", "rmap_mms_visited", "rmap_candidates_missed")
        assert after["rmap_vmas_visited"] - before["rmap_vmas_visited"] == after[names[0]] - before[names[0]]
        return tuple(after[name] - before[name] for name in names)

    def group(self) -> Any:
        return self.m.anonmms[self.anonmm(self.head)]

    def vma(self, task: vmcore.Task, address: int) -> int:
        mm = int(self.m.tasks[task.pid]["mm"])
        v = self.m.vmas
        return int(np.flatnonzero((v["mm"] == mm) & (v["start"] <= address) & (v["end"] > address))[0])


def test_sizes() -> None:
    """A prio node more in the vma, a pointer in the mm, one object a group."""
    rules, base = vmcore.KERNELS[TREE].rules("i386"), vmcore.KERNELS["2.6.5"].rules("i386")
    assert rules["vma_size"] == base["vma_size"] + 16 + 8       # a node; a file's tree instead of lists
    assert rules["mm_size"] == base["mm_size"] + 4 and rules["anonmm_size"] == 16


def test_a_group_is_one_object() -> None:
    t = Tree(5)
    assert t.m.vmstat()["nr_anonmms"] == 1
    assert (int(t.group()["count"]), int(t.group()["nr"])) == (6, 6)
    # the child's vma joins its parent's set: no way down
    stat = t.m.vmstat()
    assert (stat["anon_tree_inserts"], stat["anon_tree_duplicates"], stat["anonmm_group_max"]) == (6, 5, 6)
    t.children[0].exec("other")
    assert t.m.vmstat()["nr_anonmms"] == 2 and (int(t.group()["count"]), int(t.group()["nr"])) == (5, 5)
    t.m.check(walk=10)
    t.head.exit()
    assert t.m.vmstat()["nr_anonmms"] == 2
    for child in t.children[1:]:
        child.exit()
    assert t.m.vmstat()["nr_anonmms"] == 1      # gone with its last mm
    t.m.check()


def test_only_written_vmas_are_in_the_tree() -> None:
    m = machine(TREE)
    t = m.spawn("t")
    lib = m.open("lib", size=8 * PAGE)
    text = t.mmap(None, 8 * PAGE, PROT_READ, MAP_PRIVATE, lib)
    data = t.mmap(None, 8 * PAGE, RW, MAP_PRIVATE, lib)
    heap = t.mmap(None, 8 * PAGE, RW, PRIVATE)
    for addr in (text, data, heap):
        t.touch(addr)
    assert m.vmstat()["anon_tree_inserts"] == 0
    t.touch(data, write=True)
    t.touch(heap, write=True)
    assert m.vmstat()["anon_tree_inserts"] == 2
    m.check(walk=10)


def test_candidates_that_cannot_hold_the_page() -> None:
    """A page of child 3 alone: the parent and the other children cover its offset and are asked before it."""
    t = Tree(5)
    t.children[2].touch(t.at + 7 * PAGE, write=True)
    assert t.walk(t.pfn(t.children[2], 7)) == (4, 4, 3)
    assert t.walk(t.pfn()) == (6, 6, 0)             # one that all have
    t.children[1].touch(t.at, write=True)
    assert t.walk(t.pfn()) == (6, 6, 1)


def test_a_region_of_ones_own_is_found_alone() -> None:
    t = Tree(5)
    addr = t.children[4].mmap(t.at + (1 << 24), PAGE, RW, PRIVATE | vmcore.MAP_FIXED)
    t.children[4].touch(addr, write=True)
    pfn = int(t.children[4].pagemap(addr, PAGE)["frame"][0])
    # its end is the highest, so it is the root of the heap
    assert t.walk(pfn) == (1, 1, 0)
    assert t.walk(t.pfn()) == (7, 6, 0)             # the root is looked at and does not cover


def test_unmap() -> None:
    t = Tree(3)
    pfn = t.pfn()
    t.lock(t.children[1])
    t.age(pfn)
    assert _py_unmap(t.m._engine, pfn) == FAIL
    assert t.children[1].pagemap(t.at, PAGE)["present"][0] and t.head.pagemap(t.at, PAGE)["swapped"][0]
    t.m.check(walk=10)
    t.children[1].munlock(t.at, PAGE)
    t.age(pfn)
    assert _py_unmap(t.m._engine, pfn) == SUCCESS
    assert int(t.m.mapcounts[pfn]) == 0 and t.m.frames[pfn]["mapping"] == 0
    t.m.check(walk=10)


def test_split_merge_and_move_keep_the_tree() -> None:
    """Pieces enter by themselves; what was written is found in each; whole again, there is one."""
    t = Tree(1)
    child = t.children[0]
    for task in (t.head, child):
        task.touch_range(t.at, 64 * PAGE, write=True)
    for start in range(0, 64, 8):
        child.mprotect(t.at + start * PAGE, 4 * PAGE, PROT_READ)
    t.m.check(walk=200)
    assert int(t.group()["nr"]) == 1 + 16
    child.mprotect(t.at, 64 * PAGE, RW)
    t.m.check(walk=200)
    assert int(t.group()["nr"]) == 1 + 9        # 2.6.5's mprotect joins each piece that changes to the one before it
    to = t.at + (1 << 24)
    child.mremap(t.at + 20 * PAGE, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    pfn = int(child.pagemap(to, PAGE)["frame"][0])
    assert int(t.m.frames[pfn]["index"]) == (t.at >> 12) + 20      # the page keeps its offset
    assert t.m.vmstat()["cow_copies"] == 1 and t.m.vmstat()["mremap_cows"] == 0
    t.m.check(walk=200)
    assert int(t.group()["nr"]) == 1 + sum(v.end > t.at and v.start <= to for v in child.maps())


def test_an_untouched_neighbour_takes_pages_in() -> None:
    """mprotect moves the border between a piece that was written and one that was not: no anon_vma is in the way."""
    t = Tree(0)
    task = t.head
    at = t.at + (1 << 24)
    task.mmap(at, 8 * PAGE, RW, PRIVATE | vmcore.MAP_FIXED)
    task.mprotect(at, 4 * PAGE, PROT_READ)
    task.touch_range(at + 4 * PAGE, 4 * PAGE, write=True)
    task.mprotect(at + 4 * PAGE, 2 * PAGE, PROT_READ)
    t.m.check(walk=100)
    pfn = int(task.pagemap(at + 4 * PAGE, PAGE)["frame"][0])
    assert t.walk(pfn)[1:] == (1, 0)
    task.mprotect(at, 8 * PAGE, RW)
    t.m.check(walk=100)
    assert t.walk(pfn)[1:] == (1, 0)


def test_fork_without_memory() -> None:
    m = vmcore.Machine(ram="6M", swap=None, kernel=TREE, overcommit_memory=1)
    t = m.spawn("t")
    at = t.mmap(None, 4 << 20, RW, PRIVATE)
    for i in range(60):
        try:
            t.touch_range(at + i * 16 * PAGE, 16 * PAGE, write=True)
            t.fork()
        except (OSError, vmcore.TaskKilled):
            break
    assert m.vmstat()["alloc_failures"] + m.vmstat()["oom_kills"] > 0
    m.check(walk=100)
    for task in m.processes():
        task.exit()
    assert m.vmstat()["nr_anonmms"] == 0
    m.check()


def test_check_finds_damage() -> None:
    t = Tree(3)
    t.head.touch_range(t.at, 4 * PAGE, write=True)
    other = t.head.mmap(t.at + (1 << 24), 4 * PAGE, RW, PRIVATE | vmcore.MAP_FIXED)
    t.head.touch(other, write=True)
    group = t.anonmm(t.head)
    assert found(t.m, "anonmm", group, "count", 3) == "anonmm-count"
    assert found(t.m, "anonmm", group, "nr", 3) == "anonmm-count"
    assert found(t.m, "anonmm", group, "root", 0) in ("anonmm-count", "anon-tree")
    assert found(t.m, "anonmm", group, "root", 0xFFFFFFF0) == "anon-tree"
    assert found(t.m, "anonmm", group, "bits", 1) == "anon-tree"
    vma = t.vma(t.children[1], t.at)
    for field in ("anon_next", "anon_prev"):
        assert found(t.m, "vma", vma, field, 0xFFFFFFF0) == "anon-tree"
    assert found(t.m, "vma", vma, "anon_vma", 0) in ("anon-tree", "pte-rmap-anon")
    assert found(t.m, "vma", vma, "anon_vma", 0xFFFFFFF0) == "vma-object"
    assert found(t.m, "vma", vma, "pgoff", 1) in ("anon-tree", "pte-rmap-anon")
    mm = int(t.m.tasks[t.children[0].pid]["mm"])
    assert found(t.m, "mm", mm, "anonmm", 0) == "anonmm-count"
    pfn = t.pfn()
    assert found(t.m, "frame", pfn, "mapping", 0xFFFFFFF0) == "pte-rmap-anon"
    assert found(t.m, "frame", pfn, "index", 5) == "pte-rmap-anon"
