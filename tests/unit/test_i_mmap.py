"""The four indexes over the vmas of a file: the same answers, each at its own price; and check() sees each one damaged.
Fact sheet linux-2004 3 and 10.4."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vmcore
from vmcore._fast import records
from vmcore._fast.check_shim import _py_poke
from vmcore._fast.i_mmap.shim import _py_bits, _py_query
from vmcore.kernels import I_MMAP

PAGE = 4096
SHARED, PRIVATE, FIXED = 0x01, 0x02, 0x10
BASE = 0x10000000
INDEXES = list(I_MMAP)
TREES = [name for name in INDEXES if name != "list"]
POOL = {name: number for number, name in enumerate(records.POOL_NAMES)}
TOP = 2**64 - 1


def with_index(index: str) -> vmcore.Kernel:
    return vmcore.KERNELS["2.6.5-aa1"].replace(name=f"aa1+{index}", i_mmap=index)


def box(index: str, **options: Any) -> vmcore.Machine:
    options = {"ram": "16M", "swap": "16M", "kernel": with_index(index), "overcommit_memory": 1} | options
    return vmcore.Machine(**options)


class Mapped:
    """One file, and tasks that map pieces of it at places of their own."""

    def __init__(self, index: str, **options: Any) -> None:
        self.index = index
        self.machine = box(index, **options)
        self.file = self.machine.open("f", size=1 << 20)
        self.tasks = [self.machine.spawn("first")]
        self.slot = 0

    def map(self, first: int, pages: int, task: int = 0, shared: bool = False, gap: int = 1) -> int:
        """The address. A gap keeps neighbours from merging."""
        at = BASE + self.slot * PAGE
        self.slot += pages + gap
        flags = (SHARED if shared else PRIVATE) | FIXED
        return self.tasks[task].mmap(at, pages * PAGE, 1, flags, self.file, first * PAGE)

    def query(self, first: int, last: int) -> tuple[list[int], int]:
        return _py_query(self.machine._engine, self.file.number, first, last)

    def brute(self, first: int, last: int) -> list[int]:
        v = self.machine.vmas
        pages = (v["end"] - v["start"]) >> np.uint64(12)
        mine = (v["mm"] != 0) & (v["file"] == self.file.number)
        return np.flatnonzero(mine & (v["pgoff"] <= last) & (v["pgoff"] + pages > first)).tolist()

    def compare(self, first: int, last: int) -> None:
        vmas, visited = self.query(first, last)
        assert sorted(vmas) == self.brute(first, last)
        assert visited >= len(vmas)

    def spent(self, *names: str) -> tuple[int, ...]:
        stat = self.machine.vmstat()
        return tuple(stat[f"i_mmap_{name}"] for name in names)


# ---------------------------------------------------------------- the same answers

def act(sides: list[Mapped], op: tuple[int, int, int, int]) -> None:
    """One step of a random machine on every side; numbers pick what there is."""
    kind, a, b, c = op
    n = len(sides[0].tasks)
    task = a % n
    regions = sides[0].tasks[task].maps()
    for side in sides:
        t = side.tasks[task]
        if kind == 0 or not regions:
            side.map(b % 300, 1 + c % 40, task, shared=bool(a & 8), gap=a & 1)
        elif kind == 1:
            start, end = regions[b % len(regions)][:2]
            pages = (end - start) // PAGE
            t.munmap(start + b % pages * PAGE, (1 + c % pages) * PAGE)
        elif kind == 2:
            start, end = regions[b % len(regions)][:2]
            t.mprotect(start + b % ((end - start) // PAGE) * PAGE, PAGE, c % 2)     # splits and merges
        elif kind == 3 and n < 6:
            side.tasks.append(t.fork("child"))
        elif kind == 4 and n > 1:
            side.tasks.pop(task).exit()


@pytest.mark.parametrize("seed", range(3))
def test_random_machines_have_the_same_answers(seed: int) -> None:
    rng = random.Random(seed)
    sides = [Mapped(index) for index in INDEXES]
    for step in range(250):
        kind = rng.choices(range(5), (6, 3, 3, 1, 1))[0]
        act(sides, (kind, rng.randrange(64), rng.randrange(1000), rng.randrange(1000)))
        first = rng.randrange(360)
        last = rng.choice((first, first + rng.randrange(60), TOP))
        answers = [sorted(side.query(first, last)[0]) for side in sides]
        assert all(a == sides[0].brute(first, last) for a in answers)
        if step % 10 == 0:
            for side in sides:
                side.machine.check()
    for side in sides:
        while side.tasks:
            side.tasks.pop().exit()
        assert side.query(0, TOP) == ([], 0)
        side.machine.check()


numbers = st.integers(0, 400)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 63), numbers, numbers), max_size=30),
       st.lists(st.tuples(numbers, st.integers(0, 80)), max_size=6))
def test_any_machines_have_the_same_answers(ops: list[tuple[int, int, int, int]],
                                            queries: list[tuple[int, int]]) -> None:
    sides = [Mapped(index, ram="8M", swap=0) for index in INDEXES]
    for op in ops:
        act(sides, op)
    for side in sides:
        side.machine.check()
        for first, more in [*queries, (0, TOP)]:
            side.compare(first, min(first + more, TOP))


@pytest.mark.parametrize("index", INDEXES)
def test_reclaim_finds_every_mapping(index: str) -> None:
    """Pages of a file are unmapped from all that map them, whatever the index."""
    side = Mapped(index)
    for first in range(0, 60, 3):
        at = side.map(first, 7, shared=bool(first % 2))
        side.tasks[0].touch_range(at, 7 * PAGE, write=False)
    side.tasks.append(side.tasks[0].fork("child"))
    assert side.machine.vmstat()["nr_mapped"] == 64
    for _ in range(40):
        side.machine.reclaim(pages=64)
        side.machine.check(walk=200)
    assert side.machine.vmstat()["nr_mapped"] == 0


@pytest.mark.parametrize("index", INDEXES)
def test_truncate_unmaps_through_the_index(index: str) -> None:
    side = Mapped(index)
    maps = [(side.map(first, 8), first) for first in (0, 10, 20, 24, 30)]
    for at, _ in maps:
        side.tasks[0].touch_range(at, 8 * PAGE, write=False)
    side.file.truncate(26 * PAGE)
    for at, first in maps:
        with_page = side.tasks[0].pagemap(at, 8 * PAGE)["present"]
        assert with_page.tolist() == [first + i < 26 for i in range(8)]


@pytest.mark.parametrize("index", INDEXES)
def test_saved_and_cloned(index: str, tmp_path: Any) -> None:
    side = Mapped(index)
    for first in range(40):
        side.map(first % 13, 1 + first % 5)
    expected = side.query(3, 9)
    copy = side.machine.clone()
    side.machine.save(tmp_path / "m")
    for other in (copy, vmcore.load(tmp_path / "m")):
        assert _py_query(other._engine, side.file.number, 3, 9) == expected
        other.check()


# ---------------------------------------------------------------- at its own price

def overlapping(index: str) -> Mapped:
    side = Mapped(index)
    for first, pages, shared in [(4, 6, False), (0, 2, True), (4, 2, False), (9, 1, True), (4, 6, True),
                                 (1, 12, False)]:
        side.map(first, pages, shared=shared)
    return side


@pytest.mark.parametrize(("index", "order", "visited"), [
    ("list", [(4, 9), (4, 5), (1, 12), (4, 9)], 6),             # private by arrival, then shared
    ("rbtree", [(1, 12), (4, 5), (4, 9), (4, 9)], 6),           # (pgoff, length); (9,9) ends the walk
    ("prio_tree", [(1, 12), (4, 9), (4, 9), (4, 5)], 4),        # heap on the end; (4,9)'s set behind it
    ("interval_tree", [(1, 12), (4, 9), (4, 5), (4, 9)], 6),    # start, then arrival; all ends are late enough
])
def test_order_and_price_of_a_stab(index: str, order: list[tuple[int, int]], visited: int) -> None:
    side = overlapping(index)
    v = side.machine.vmas
    vmas, nodes = side.query(5, 5)
    assert [(int(v[i]["pgoff"]), int(v[i]["pgoff"] + (v[i]["end"] - v[i]["start"]) // PAGE - 1)) for i in vmas] == order
    assert nodes == visited


def test_a_page_of_many_small_mappings() -> None:
    """test-mmap3 of the thread in small (linux-2004 10.4): one-page mappings in reverse, in three processes."""
    n = 3000
    visits = {}
    for index in INDEXES:
        side = Mapped(index)
        for page in reversed(range(n)):
            side.map(page, 1)
        for i in range(2):
            side.tasks.append(side.tasks[0].fork(f"child {i}"))
        found = [side.query(page, page) for page in range(0, n, 30)]
        assert all(len(vmas) == 3 for vmas, _ in found)
        visits[index] = [nodes for _, nodes in found]
        side.machine.check()
        assert side.spent("inserts", "removes") == (3 * n, 0)
    assert set(visits["list"]) == {3 * n}
    assert visits["rbtree"] == [3 * page + 4 for page in range(0, n, 30)]      # up to the first that starts behind it
    assert max(visits["prio_tree"]) <= 12 + 1 + 2                   # log, the node, its set of two
    assert max(visits["interval_tree"]) <= 2 * 14


def test_index_bits_of_18000_mappings() -> None:
    side = Mapped("prio_tree", ram="64M")
    for page in reversed(range(18000)):
        side.map(page, 1)
    assert _py_bits(side.machine._engine, side.file.number) == 15
    nodes = [side.query(page, page)[1] for page in range(18000)]
    assert max(nodes) <= 16
    assert sum(nodes) / 18000 == pytest.approx(14.2, abs=0.05)
    assert side.spent("expansions", "roots_moved", "duplicates") == (1, 0, 0)


def test_events_of_a_prio_tree() -> None:
    """vm_sets by fork and by mmap, promotion when the tree's own vma goes, expansion."""
    side = Mapped("prio_tree")
    at = side.map(0, 2)
    assert _py_bits(side.machine._engine, side.file.number) == 1
    side.map(40, 8)                                                 # 6 bits: the one root comes below it
    assert side.spent("expansions", "roots_moved") == (1, 1)
    assert _py_bits(side.machine._engine, side.file.number) == 6
    child = side.tasks[0].fork("child")
    assert side.spent("duplicates", "sets_made", "insert_steps") == (2, 2, 0)     # fork: no way down
    side.map(0, 2)
    assert side.spent("duplicates", "sets_made", "promotions") == (3, 2, 0)
    assert side.spent("insert_steps")[0] == 2                       # the root, the equal
    side.tasks[0].munmap(at, 2 * PAGE)
    assert side.spent("promotions", "remove_steps") == (1, 1)       # its set takes over in place (1: the old root)
    child.exit()
    side.machine.check()
    assert len(side.query(0, TOP)[0]) == 2
    side.tasks[0].exit()
    assert _py_bits(side.machine._engine, side.file.number) == 1


@pytest.mark.parametrize("index", INDEXES)
def test_inserts_and_removes_are_counted(index: str) -> None:
    side = Mapped(index)
    at = side.map(10, 9)
    assert side.spent("inserts", "removes") == (1, 0)
    side.tasks[0].munmap(at + 3 * PAGE, 2 * PAGE)       # for each border the old one out and in, and a new one; one out
    inserts, removes = side.spent("inserts", "removes")
    assert inserts - removes == 2
    files = side.machine.files[side.file.number]
    assert (int(files["nr_i_mmap"]), int(files["nr_i_mmap_shared"])) == (2, 0)
    side.map(0, 1, shared=True)
    side.tasks.append(side.tasks[0].fork("child"))
    files = side.machine.files[side.file.number]
    assert (int(files["nr_i_mmap"]), int(files["nr_i_mmap_shared"])) == (4, 2)
    assert side.spent("inserts", "removes") == (inserts + 1 + 3, removes)


@pytest.mark.parametrize("index", TREES)
def test_steps_of_an_insert_are_logarithmic(index: str) -> None:
    side = Mapped(index)
    for page in range(1024):
        side.map(page, 1)
    before = side.spent("insert_steps")[0]
    side.map(511, 3)
    assert 0 < side.spent("insert_steps")[0] - before <= 22


def test_a_lists_insert_takes_no_steps() -> None:
    side = Mapped("list")
    for page in range(100):
        side.map(page, 1)
    side.tasks[0].fork("child")
    assert side.spent("inserts", "insert_steps") == (200, 0)


# ---------------------------------------------------------------- presets

@pytest.mark.parametrize(("index", "i386", "x86_64"), [("list", 76, 152), ("rbtree", 84, 168), ("prio_tree", 84, 168),
                                                       ("interval_tree", 84, 168)])
def test_size_of_a_vma(index: str, i386: int, x86_64: int) -> None:
    """1.6: the prio_tree's union makes the vma of -aa 8 bytes larger on i386, which is 2.6.7's 84."""
    kernel = with_index(index)
    assert kernel.rules("i386")["vma_size"] == i386
    assert kernel.rules("x86_64")["vma_size"] == x86_64


def test_preset_of_the_announced_rbtree() -> None:
    kernel = vmcore.KERNELS["2.6.5-aa-rbtree"]
    assert kernel.designs[:3] == ("anon_vma", "rbtree", "v2_6")
    assert kernel.replace(name="2.6.5-aa1", i_mmap="list").rules("i386") == vmcore.KERNELS["2.6.5-aa1"].rules("i386")


def test_unknown_index_is_refused() -> None:
    with pytest.raises(ValueError, match="interval_tree, list, prio_tree, rbtree"):
        vmcore.KERNELS["2.6.5"].replace(i_mmap="btree")


# ---------------------------------------------------------------- damage

class Damaged:
    """A file whose index has some twenty vmas, sets of equals among them, and pokes into their words."""

    def __init__(self, index: str) -> None:
        self.side = Mapped(index)
        for i in range(20):
            self.side.map(i * 7 % 23, 1 + i % 4, shared=i % 5 == 0)
        self.side.tasks.append(self.side.tasks[0].fork("child"))
        self.engine = self.side.machine._engine
        self.vmas = self.side.query(0, TOP)[0]
        self.side.machine.check()

    def poke(self, pool: str, index: int, field: str, value: Callable[[int], int]) -> str:
        kind, offset = records.POOL_DTYPES[pool].fields[field][:2]
        old = _py_poke(self.engine, POOL[pool], index, offset, kind.itemsize)
        assert value(old) != old
        _py_poke(self.engine, POOL[pool], index, offset, kind.itemsize, value(old))
        with pytest.raises(vmcore.KernelBug) as caught:
            self.side.machine.check()
        _py_poke(self.engine, POOL[pool], index, offset, kind.itemsize, old)
        self.side.machine.check()
        return caught.value.name


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("value", [0xFFFFFFFF, 0x7FFFFFF0, 1], ids=hex)
def test_links_that_lead_astray(index: str, value: int) -> None:
    box = Damaged(index)
    fields = {"list": ["shared_next", "shared_prev"], "prio_tree": ["shared_parent", "shared_next", "shared_prev",
                                                                  "shared_head"]}
    for field in fields.get(index, ["shared_parent", "shared_next", "shared_prev"]):
        for vma in box.vmas[::5]:
            if int(box.side.machine.vmas[vma][field]) != value:
                assert box.poke("vma", vma, field, lambda old: value) == "i-mmap"


@pytest.mark.parametrize("index", TREES)
def test_a_range_that_changed_in_place(index: str) -> None:
    """Every vma's: far up and far down, which breaks order, heap, trie or set."""
    box = Damaged(index)
    for vma in box.vmas[:-1:3]:         # without the rbtree's last, which may start as late as it likes
        assert box.poke("vma", vma, "pgoff", lambda old: old + 1000) == "i-mmap"


def test_an_augmentation_that_is_wrong() -> None:
    box = Damaged("interval_tree")
    for vma in box.vmas[::3]:
        assert box.poke("vma", vma, "shared_last", lambda old: old + 1) == "i-mmap"
        assert box.poke("vma", vma, "shared_last", lambda old: old ^ 64) == "i-mmap"


def test_a_tree_that_is_not_balanced() -> None:
    for index in ("rbtree", "interval_tree"):
        box = Damaged(index)
        for vma in box.vmas[::3]:
            assert box.poke("vma", vma, "shared_parent", lambda old: old ^ 1) == "i-mmap"      # its colour


@pytest.mark.parametrize("index", INDEXES)
def test_a_vma_of_another_file(index: str) -> None:
    box = Damaged(index)
    other = box.side.machine.open("other", size=PAGE)
    for vma in (box.vmas[0], box.vmas[-1]):
        assert box.poke("vma", vma, "file", lambda old: other.number) == "i-mmap"


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize(("field", "name"), [("i_mmap", "i-mmap"), ("nr_i_mmap", "i-mmap-count"),
                                             ("nr_i_mmap_shared", "i-mmap-count")])
def test_roots_and_counts(index: str, field: str, name: str) -> None:
    box = Damaged(index)
    assert box.poke("file", box.side.file.number, field, lambda old: 0xFFFFFFF0) == name
    if field != "i_mmap" or index != "list":                # any vma of a ring may be its head
        assert box.poke("file", box.side.file.number, field, lambda old: old + 1) == name


def test_words_of_the_roots() -> None:
    box = Damaged("prio_tree")
    for bits in (0, 1, 3, 65, 0xFFFFFFFF):
        assert box.poke("file", box.side.file.number, "i_mmap_bits", lambda old, bits=bits: bits) == "i-mmap"
    box = Damaged("interval_tree")
    assert box.poke("file", box.side.file.number, "i_mmap_shared", lambda old: 0) == "i-mmap"       # the leftmost
    assert box.poke("file", box.side.file.number, "i_mmap_shared", lambda old: old + 1) == "i-mmap"
    assert box.poke("file", box.side.file.number, "i_mmap", lambda old: 0) == "i-mmap"
