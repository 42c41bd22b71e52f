"""check() finds every kind of damage, names it, does not crash on it, and holds again when it is undone."""
from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.conftest import KERNELS_2_6

import vmcore
from vmcore._fast import records
from vmcore._fast.check import CHECK_NAMES
from vmcore._fast.check_shim import _py_damage, _py_poke
from vmcore._fast.slab import LEDGER_NAMES

PAGE = 4096
PRIVATE, SHARED, ANON = 0x02, 0x01, 0x20
RW = 3
POOL = {name: number for number, name in enumerate(records.POOL_NAMES)}
PTE = {"present": 1, "rw": 2, "accessed": 0x20, "dirty": 0x40, "anon": 0x200, "special": 0x400, "exclusive": 0x800}
BIG = 0xFFFFFFF0


@pytest.fixture(params=KERNELS_2_6)
def kernel(request: pytest.FixtureRequest) -> str:
    """2.4 has other lists, other free lists and starts pages elsewhere: test_2_4.py."""
    return request.param


class Busy:
    """A machine with something of everything, and where it lies."""

    def __init__(self, machine: vmcore.Machine) -> None:
        self.machine = machine
        self.engine = machine._engine
        self.parent = machine.spawn("parent")
        # whichever way mappings go, anon has neighbours on both sides
        self.parent.mmap(None, PAGE, 1, PRIVATE | ANON)
        self.anon = self.parent.mmap(None, 600 * PAGE, RW, PRIVATE | ANON)
        self.parent.touch_range(self.anon, 600 * PAGE, write=True)
        self.shared = self.parent.mmap(None, 20 * PAGE, RW, SHARED | ANON)
        self.parent.touch_range(self.shared, 20 * PAGE, write=True)
        self.file = machine.open("lib", size=30 * PAGE)
        self.text = self.parent.mmap(None, 30 * PAGE, 1, PRIVATE, self.file)
        self.parent.touch_range(self.text, 30 * PAGE, write=False)
        self.data = self.parent.mmap(None, 30 * PAGE, RW, SHARED, self.file)
        self.parent.touch_range(self.data, 10 * PAGE, write=True)
        self.hole = self.parent.mmap(None, 10 * PAGE, RW, PRIVATE | ANON)
        self.parent.touch(self.hole, write=False)
        self.child = self.parent.fork("child")
        self.gone = self.parent.mmap(None, 4 * PAGE, RW, PRIVATE | ANON)
        self.child.touch_range(self.anon, 40 * PAGE, write=True)
        for _ in range(100):        # the first looks only find the pages young
            machine.reclaim(pages=32)
            swapped = self.child.pagemap(self.anon, 600 * PAGE)["swapped"]
            if swapped.sum() > 300 and swapped[500:].sum() > 50:
                break
        self.parent.touch_range(self.anon + 500 * PAGE, 100 * PAGE, write=False)
        self.parent.touch_range(self.text, 30 * PAGE, write=False)
        self.child.touch(self.anon, write=True)
        self.parent.touch_range(self.gone, 4 * PAGE, write=True)
        self.parent.munmap(self.gone, 4 * PAGE)             # freed pages wait on a per-CPU list
        machine.check(walk=1000)

    def damage(self, what: str, index: int = 0, delta: int = 1, which: int = 0) -> str:
        """The name of what check() finds while a number is off by delta."""
        _py_damage(self.engine, what, index, delta, which)
        found = self.found()
        _py_damage(self.engine, what, index, -delta, which)
        self.machine.check()
        return found

    def poke(self, pool: str, index: int, field: str, value: int | Callable[[int], int]) -> str:
        """The name of what check() finds while a field of a record has another value."""
        dtype = records.POOL_DTYPES[pool]
        if dtype.names:
            kind, offset = dtype.fields[field][:2]
            return self.raw(pool, index, offset, kind.itemsize, value)
        return self.raw(pool, index, 0, dtype.itemsize, value)

    def raw(self, pool: str, index: int, offset: int, size: int, value: int | Callable[[int], int]) -> str:
        old = _py_poke(self.engine, POOL[pool], index, offset, size)
        new = value(old) if callable(value) else value
        assert new != old
        _py_poke(self.engine, POOL[pool], index, offset, size, new)
        found = self.found()
        _py_poke(self.engine, POOL[pool], index, offset, size, old)
        self.machine.check(walk=100)
        return found

    def found(self) -> str:
        with pytest.raises(vmcore.KernelBug) as caught:
            self.machine.check(walk=1000)
        assert isinstance(caught.value.name, str)
        return caught.value.name

    def pte(self, task: vmcore.Task, address: int) -> tuple[int, int]:
        """(table, slot) of a present or swap pte, found by its value."""
        mm = int(self.machine.tasks[task.pid]["mm"])
        tables = self.machine.tables
        shift = 9 if self.machine.arch != "i386" else 10
        span = PAGE << shift
        base = address // span * span
        table = int(np.flatnonzero((tables["mm"] == mm) & (tables["base"] == base))[0])
        return table, address // PAGE % (1 << shift)

    def poke_pte(self, task: vmcore.Task, address: int, value: int | Callable[[int], int]) -> str:
        table, slot = self.pte(task, address)
        return self.raw("pte", table, slot * 8, 8, value)

    def page(self, task: vmcore.Task, start: int, pages: int, **fields: int) -> tuple[int, Any]:
        """Address and pagemap record of the first page with these fields."""
        for i, record in enumerate(task.pagemap(start, pages * PAGE)):
            if all(int(record[name]) == value for name, value in fields.items()):
                return start + i * PAGE, record
        raise AssertionError(f"no page with {fields}")

    def vma(self, task: vmcore.Task, address: int) -> int:
        mm = int(self.machine.tasks[task.pid]["mm"])
        vmas = self.machine.vmas
        return int(np.flatnonzero((vmas["mm"] == mm) & (vmas["start"] <= address) & (vmas["end"] > address))[0])


@pytest.fixture
def busy(boot: Callable[..., vmcore.Machine]) -> Busy:
    return Busy(boot(ram="16M", swap="8M"))


def test_every_check_has_a_name() -> None:
    names = [CHECK_NAMES[i][0] if isinstance(CHECK_NAMES[i], tuple) else CHECK_NAMES[i] for i in sorted(CHECK_NAMES)]
    assert sorted(CHECK_NAMES) == list(range(1, len(CHECK_NAMES) + 1))
    assert len(set(names)) == len(names)


def test_report(busy: Busy) -> None:
    report = busy.machine.check(walk=50)
    assert report.mms == 2
    assert report.walked == 50
    assert report.vmas == len(busy.parent.maps()) + len(busy.child.maps())
    assert report.ptes == report.present + report.swap_ptes
    assert report.swap_ptes > 0
    assert report.present >= busy.machine.vmstat()["nr_mapped"]


@pytest.mark.parametrize(("what", "name"), [
    ("nr_mapped_pages", "nr-mapped"), ("nr_pagecache", "nr-pagecache"), ("nr_swapcache", "nr-swapcache"),
    ("nr_swap_pages", "nr-swap-pages"), ("nr_dirty", "nr-dirty"), ("nr_writeback", "writeback"), ("nr_tasks", "task"),
    ("committed", "committed"),
])
@pytest.mark.parametrize("delta", [1, -1])
def test_counts_of_the_machine(busy: Busy, what: str, name: str, delta: int) -> None:
    assert busy.damage(what, delta=delta) == name


@pytest.mark.parametrize(("what", "index", "which", "delta", "names"), [
    ("swap.inuse", 0, 0, 1, {"swap-inuse"}),
    ("swap.lowest_bit", 0, 0, 2000, {"swap-bounds"}),
    ("swap.max", 0, 0, 1 << 20, {"swap-area"}),
    ("zone.free_pages", 0, 0, 1, {"free-pages"}),
    ("zone.area.nr", 0, 0, 1, {"free-area"}),
    ("zone.area.nr", 0, 10, 1, {"free-area"}),
    ("zone.area.head", 0, 3, 1, {"free-area", "free-twice"}),
    ("zone.area.head", 0, 3, 1 << 30, {"free-area"}),
    ("zone.pcp.count", 0, 0, -1, {"leaked", "page-flags", "refs"}),
    ("zone.pcp.count", 0, 0, 4000, {"pcp"}),
    ("zone.bump", 0, 0, 1 << 30, {"zone"}),
    ("lru.nr", 0, 0, 1, {"lru-count"}),
    ("lru.nr", 0, 1, -1, {"lru-count"}),
    ("lru.head_chunk", 0, 1, 1 << 20, {"lru-chunk"}),
    ("lru.tail_slot", 0, 1, -1, {"lru-chunk"}),
    ("lru.tail_slot", 0, 1, 5000, {"lru-chunk"}),
    ("cache.active", 0, 0, 1, {"slab-count"}),
    ("cache.slabs", 0, 0, 1, {"slab"}),
    ("pool.live", POOL["vma"], 0, 1, {"pool-free-list"}),
    ("pool.next", POOL["vma"], 0, 1 << 40, {"pool-bounds"}),
    ("pool.next", POOL["file"], 0, 1, {"pool-free-list"}),
    ("pool.free", POOL["pte"], 0, 1 << 28, {"pool-free-list"}),
    ("ledger", LEDGER_NAMES.index("page_tables"), 0, 1, {"ledger"}),
    ("ledger", LEDGER_NAMES.index("page_cache"), 0, -1, {"ledger"}),
    ("due_nr", 0, 0, 1 << 20, {"event"}),
])
def test_numbers_of_parts(busy: Busy, what: str, index: int, which: int, delta: int, names: set[str]) -> None:
    assert busy.damage(what, index, delta, which) in names


@pytest.mark.parametrize(("field", "value", "names"), [
    ("refs", lambda v: v + 1, {"refs"}),
    ("refs", lambda v: v + 200, {"refs"}),
    ("flags", lambda v: v | 1, {"page-flags"}),                 # PG_LOCKED
    ("flags", lambda v: v | 1 << 13, {"page-flags"}),           # PG_WRITEBACK
    ("flags", lambda v: v ^ 1 << 5, {"lru-entry", "page-flags"}),       # PG_LRU
    ("flags", lambda v: v ^ 1 << 6, {"lru-entry"}),             # PG_ACTIVE
    ("flags", lambda v: v | 1 << 21, {"pte-frame"}),            # PG_BUDDY
    ("flags", lambda v: v | 1 << 7, {"pte-frame"}),             # PG_SLAB
    ("lru", lambda v: v ^ 1, {"lru-entry"}),
    ("mapping", lambda v: v + 1000, {"pte-anon", "pte-rmap-anon", "anonmm"}),
])
def test_fields_of_an_anonymous_frame(busy: Busy, field: str, value: Any, names: set[str]) -> None:
    _, record = busy.page(busy.parent, busy.anon + 550 * PAGE, 50, present=1, anon=1)
    lru = busy.machine.frames[int(record["frame"])]["flags"] & 1 << 5
    if not lru and field in ("lru", "flags"):
        pytest.fail("the page waits in a pagevec; choose another")
    assert busy.poke("frame", int(record["frame"]), field, value) in names


@pytest.mark.parametrize(("field", "value", "names"), [
    ("index", lambda v: v + 1, {"pte-rmap-file", "cached-page"}),
    ("mapping", lambda v: v + 1, {"pte-rmap-file", "cached-page"}),
    ("mapping", 0, {"pte-anon"}),
    ("flags", lambda v: v | 1 << 17, {"pte-anon"}),             # PG_SWAPCACHE
])
def test_fields_of_a_file_frame(busy: Busy, field: str, value: Any, names: set[str]) -> None:
    _, record = busy.page(busy.parent, busy.text, 30, present=1, file=1)
    assert busy.poke("frame", int(record["frame"]), field, value) in names


def test_mapcount(busy: Busy) -> None:
    _, record = busy.page(busy.parent, busy.anon, 600, present=1, anon=1)
    assert busy.poke("mapcount", int(record["frame"]), "", lambda v: v + 1) == "mapcount"


def test_free_frames(busy: Busy) -> None:
    frames = busy.machine.frames
    buddy = int(np.flatnonzero(frames["flags"] & 1 << 21)[0])
    assert busy.poke("frame", buddy, "refs", 1) == "free-in-use"
    assert busy.poke("frame", buddy, "flags", 0) == "free-area"
    assert busy.poke("frame", buddy, "priv", BIG) == "free-area"
    assert busy.poke("frame", buddy, "priv", buddy) in ("free-area", "free-twice")
    assert busy.poke("mapcount", buddy, "", 1) == "mapcount"
    pcp = np.flatnonzero(frames["flags"] == 1 << 23)
    assert busy.poke("frame", int(pcp[0]), "flags", 0) == "pcp"
    assert busy.poke("frame", int(pcp[0]), "refs", 1) == "free-in-use"


def test_leaked_frame(busy: Busy) -> None:
    """A frame taken off a per-CPU list that nobody has belongs to nobody."""
    assert busy.damage("zone.pcp.count", 0, -1, 0) in ("leaked", "page-flags")


@pytest.mark.parametrize(("field", "value", "names"), [
    ("mm", lambda v: v + 1, {"table-meta", "pool-free-record"}),
    ("mm", 0, {"table-meta"}),
    ("base", lambda v: v + (1 << 21), {"table-meta"}),
    ("base", lambda v: v + 1, {"table-meta"}),
    ("frame", BIG, {"table-meta"}),
])
def test_tables(busy: Busy, field: str, value: Any, names: set[str]) -> None:
    table, _ = busy.pte(busy.parent, busy.anon)
    assert busy.poke("table", table, field, value) in names


def test_upper_entries(busy: Busy) -> None:
    pgd = int(busy.machine.mms[int(busy.machine.tasks[busy.parent.pid]["mm"])]["pgd"])
    slot = int(np.flatnonzero(busy.machine.ptes[pgd])[0])
    for value, name in ((0, "table-count"), (BIG << 12 | 1, "table-index"), (1 << 60 | 1, "table-entry"), (2,
        "table-entry")):
        assert busy.raw("pte", pgd, slot * 8, 8, value) == name
    assert busy.raw("pte", pgd, slot * 8, 8, pgd << 12 | 1) == "table-meta"       # a table below itself


def test_present_ptes(busy: Busy) -> None:
    # one mapper, so that the pte may be written
    address, _record = busy.page(busy.child, busy.anon, 40, present=1, anon=1, exclusive=1)
    poke = busy.poke_pte
    assert poke(busy.child, address, 0) in ("rss", "mapcount")
    marked = vmcore.KERNELS[busy.machine.kernel.name].rules("x86_64")["anon_exclusive"]
    assert poke(busy.child, address, lambda v: v & ~PTE["anon"]) == ("pte-exclusive" if marked else "pte-anon")
    assert poke(busy.child, address, lambda v: v ^ PTE["exclusive"]) == "pte-exclusive"
    assert poke(busy.child, address, lambda v: v | PTE["special"]) == "pte-special"
    assert poke(busy.child, address, lambda v: v | 0x80) == "pte-prot"              # PROT_NONE and present
    assert poke(busy.child, address, BIG << 12 | 0x267) == "pte-pfn"
    assert poke(busy.child, address, 0x18) == "pte-marker"
    assert poke(busy.child, address, 0x10) == "pte-kind"
    other = busy.page(busy.child, address + PAGE, 39, present=1, anon=1, exclusive=1)[1]
    assert poke(busy.child, address, lambda v: (v & 4095) | int(other["frame"]) << 12) in (
        "mapcount", "pte-rmap-anon", "cow-writable")


def test_pte_outside_a_vma(busy: Busy) -> None:
    # the page below the lowest mapping, if the leaf table has room there
    low = min(r.start for r in busy.parent.maps())
    assert busy.poke_pte(busy.parent, low - PAGE if low % (1 << 21) else low + (1 << 21) - PAGE,
        1 << 12 | 0x27) == "pte-no-vma"


def test_writable_where_it_must_not_be(busy: Busy) -> None:
    shared = busy.page(busy.parent, busy.anon + 500 * PAGE, 100, present=1, anon=1, writable=0)
    marked = PTE["exclusive"] if busy.machine.kernel.rules("x86_64")["anon_exclusive"] else 0
    if not shared[1]["exclusive"]:
        assert busy.poke_pte(busy.parent, shared[0], lambda v: v | PTE["rw"] | marked) == "cow-writable"
    text = busy.page(busy.parent, busy.text, 30, present=1, file=1)
    assert busy.poke_pte(busy.parent, text[0], lambda v: v | PTE["rw"]) == "pte-prot"


def test_writable_while_another_waits_in_swap(busy: Busy) -> None:
    """A page in the swap cache whose slot the other task still wants must not be written in place."""
    address, record = busy.page(busy.parent, busy.anon + 500 * PAGE, 100, present=1, exclusive=1, writable=0)
    assert busy.machine.frames[int(record["frame"])]["flags"] & 1 << 17
    marked = busy.machine.kernel.rules("x86_64")["anon_exclusive"]
    assert busy.poke_pte(busy.parent, address, lambda v: v | PTE["rw"]) == (
        "pte-exclusive" if marked else "cow-writable")
    if marked:
        assert busy.poke_pte(busy.parent, address, lambda v: v | PTE["rw"] | PTE["exclusive"]) == "cow-writable"


def test_swap_ptes(busy: Busy) -> None:
    address, record = busy.page(busy.child, busy.anon, 600, swapped=1)
    poke = busy.poke_pte
    assert poke(busy.child, address, 0) in ("swapents", "swap-map")
    assert poke(busy.child, address, lambda v: v + (1 << 12)) == "swap-map"
    assert poke(busy.child, address, 5 << 39 | 1 << 12 | 8) == "pte-swap"           # an area that is not there
    assert poke(busy.child, address, 0x7FFFFFF << 12 | 8) == "pte-swap"
    assert poke(busy.child, address, 8) == "pte-swap"                               # slot 0
    slot = int(record["slot"])
    assert busy.poke("swap_slot", slot, "map", lambda v: v + 1) == "swap-map"
    assert busy.poke("swap_slot", slot, "map", 0x8000) == "swap-map"
    free = int(np.flatnonzero(busy.machine.swap_map[1:2048] == 0)[0]) + 1
    assert busy.poke("swap_slot", free, "map", 1) == "swap-map"


def test_swap_cache(busy: Busy) -> None:
    slot = int(np.flatnonzero(busy.machine.swap_cache)[0])
    pfn = int(busy.machine.swap_cache[slot])
    assert busy.poke("swap_slot", slot, "cache", 0) in ("swap-map", "swap-node")
    assert busy.poke("swap_slot", slot, "cache", BIG) == "swap-cache"
    assert busy.poke("frame", pfn, "priv", lambda v: v + 1) in ("swap-cache", "cow-writable")
    assert busy.poke("swap_word", slot >> 6, "free", lambda v: v ^ 1 << (slot & 63)) == "swap-bits"
    assert busy.poke("swap_word", slot >> 6, "count", lambda v: v + 1) == "swap-node"


@pytest.mark.parametrize(("field", "value", "names"), [
    ("start", lambda v: v + 1, {"vma-range"}),
    ("start", lambda v: v - (1 << 30), {"vma-order", "total-vm"}),
    ("end", lambda v: v + PAGE, {"vma-order", "total-vm"}),
    ("end", 0, {"vma-range"}),
    ("end", 1 << 63, {"vma-range"}),
    ("mm", lambda v: v + 1, {"vma-index", "vma-tree"}),
    ("next", 0, {"vma-count"}),
    ("next", BIG, {"vma-index"}),
    ("prev", BIG, {"vma-links"}),
    ("flags", lambda v: v ^ 0x2000, {"locked-vm"}),
    ("flags", lambda v: v & ~0x100000, {"committed"}),
    ("flags", lambda v: v | 8, {"vma-flags"}),
    ("file", BIG, {"vma-object"}),
    ("file", 1, {"i-mmap", "i-mmap-count", "vma-object", "pte-anon"}),
    ("anon_vma", BIG, {"vma-object"}),
    ("rb_left", BIG, {"vma-tree"}),
    ("rb_parent", lambda v: v ^ 1, {"vma-tree"}),
    ("rb_parent", BIG, {"vma-tree"}),
])
def test_vmas(busy: Busy, field: str, value: Any, names: set[str]) -> None:
    assert busy.poke("vma", busy.vma(busy.parent, busy.anon + 550 * PAGE), field, value) in names


def test_writable_pte_of_a_vma_that_is_not(busy: Busy) -> None:
    assert busy.poke("vma", busy.vma(busy.child, busy.anon), "flags", lambda v: v & ~2) == "data-vm"
    assert busy.poke("vma", busy.vma(busy.parent, busy.data), "flags", lambda v: v & ~2) == "pte-prot"


@pytest.mark.parametrize("field", ["shared_next", "shared_prev", "file", "pgoff"])
def test_vmas_of_a_file(busy: Busy, field: str) -> None:
    vma = busy.vma(busy.parent, busy.text)
    assert busy.poke("vma", vma, field, lambda v: v + 1) in ("i-mmap", "i-mmap-count", "vma-object", "pte-rmap-file")


@pytest.mark.parametrize(("field", "names"), [
    ("map_count", {"vma-count"}), ("total_vm", {"total-vm"}), ("locked_vm", {"locked-vm"}), ("data_vm", {"data-vm"}),
    ("locked_lost", {"locked-vm"}), ("rss", {"rss"}),
    ("anon_rss", {"anon-rss"}), ("swapents", {"swapents"}), ("nr_ptes", {"table-count"}), ("nr_upper", {"table-count"}),
    ("mmap", {"vma-index", "vma-links", "vma-count"}), ("rb_root", {"vma-tree", "vma-tree-order", "vma-count"}),
    ("task", {"task"}), ("mmlist_next", {"mm-list"}), ("pgd", {"table-index", "table-meta"}),
])
def test_mms(busy: Busy, field: str, names: set[str]) -> None:
    mm = int(busy.machine.tasks[busy.parent.pid]["mm"])
    assert busy.poke("mm", mm, field, lambda v: v + 1) in names
    assert busy.poke("mm", mm, field, BIG) in names


@pytest.mark.parametrize(("field", "names"), [
    ("kind", {"file"}), ("nrpages", {"file-pages"}), ("swapped", {"file-swapped"}), ("i_mmap", {"i-mmap"}),
    ("nr_i_mmap", {"i-mmap-count"}), ("nr_i_mmap_shared", {"i-mmap-count"}), ("refs", {"file-refs"}),
    ("root", {"radix-node"}), ("height", {"radix-node"}),
])
def test_files(busy: Busy, field: str, names: set[str]) -> None:
    assert busy.poke("file", busy.file.number, field, lambda v: v + 77) in names


def test_file_size(busy: Busy) -> None:
    assert busy.poke("file", busy.file.number, "size", PAGE) == "cached-page"


def test_radix_nodes(busy: Busy) -> None:
    root = int(busy.machine.files[busy.file.number]["root"])
    slots = records.radix_node_t.fields["slot"][1]
    assert busy.poke("radix", root, "count", lambda v: v + 1) == "radix-node"
    assert busy.raw("radix", root, slots, 8, 0) in ("radix-node", "file-pages")
    assert busy.raw("radix", root, slots, 8, BIG << 2 | 1) == "cached-page"
    assert busy.raw("radix", root, slots, 8, 3) == "cached-page"
    assert busy.raw("radix", root, slots, 8, BIG << 2 | 2) == "cached-page"


def test_lru_chunks(busy: Busy) -> None:
    _, record = busy.page(busy.parent, busy.anon + 550 * PAGE, 50, present=1, anon=1)
    pfn = int(record["frame"])
    chunk = int(busy.machine.frames[pfn]["lru"]) >> 10
    slot = int(busy.machine.frames[pfn]["lru"]) & 1023
    assert busy.poke("lru_chunk", chunk, "alive", lambda v: v + 1) == "lru-chunk"
    assert busy.poke("lru_chunk", chunk, "list", lambda v: v + 1) == "lru-chunk"
    assert busy.poke("lru_chunk", chunk, "next", BIG) == "lru-chunk"
    assert busy.poke("lru_chunk", chunk, "next", chunk) == "lru-chunk"
    assert busy.raw("lru_chunk", chunk, 16 + 4 * slot, 4, pfn + 1) == "lru-entry"
    assert busy.raw("lru_chunk", chunk, 16 + 4 * slot, 4, BIG) == "lru-entry"
    assert busy.raw("lru_chunk", chunk, 16 + 4 * slot, 4, 0xFFFFFFFF) == "lru-chunk"


def test_tasks(busy: Busy) -> None:
    assert busy.poke("task", busy.parent.pid, "state", 3) == "task"
    assert busy.poke("task", busy.parent.pid, "state", 99) == "task"
    assert busy.poke("task", busy.parent.pid, "mm", BIG) == "task"
    assert busy.poke("task", busy.parent.pid, "stack", BIG) == "owner"
    _, record = busy.page(busy.parent, busy.anon + 550 * PAGE, 50, present=1, anon=1)
    assert busy.poke("task", busy.parent.pid, "stack", int(record["frame"])) in ("owner", "kernel-frame")


def test_slabs(busy: Busy) -> None:
    slabs = np.flatnonzero(busy.machine.view("slab")["frame"])
    assert busy.poke("slab", int(slabs[0]), "inuse", lambda v: v + 1) in ("slab", "slab-count")
    assert busy.poke("slab", int(slabs[0]), "frame", BIG) == "owner"
    assert busy.poke("slab", int(slabs[0]), "frame", 0) == "slab"


def test_anon_vmas(boot: Callable[..., vmcore.Machine], kernel: str) -> None:
    busy = Busy(boot())
    if vmcore.KERNELS[kernel].rmap != "anon_vma":
        assert vmcore.KERNELS[kernel].rules("x86_64")["vma_anon_vma"] or len(busy.machine.anon_vmas) <= 1
        return
    vma = busy.vma(busy.parent, busy.anon)
    anon_vma = int(busy.machine.vmas[vma]["anon_vma"])
    assert busy.poke("anon_vma", anon_vma, "nr", lambda v: v + 1) == "anon-vma-count"
    assert busy.poke("anon_vma", anon_vma, "nr", 0) in ("vma-object", "anon-vma-count")
    assert busy.poke("anon_vma", anon_vma, "head", BIG) == "anon-vma"
    for field in ("anon_next", "anon_prev"):
        assert busy.poke("vma", vma, field, BIG) == "anon-vma"
    assert busy.poke("vma", vma, "anon_vma", 0) in ("anon-vma", "anon-vma-count", "pte-rmap-anon")
    assert busy.poke("vma", vma, "pgoff", lambda v: v + 1) == "pte-rmap-anon"


def test_pte_chains(boot: Callable[..., vmcore.Machine], kernel: str) -> None:
    busy = Busy(boot())
    nodes = vmcore.KERNELS[kernel].rules("x86_64")["rmap_nodes"]
    if not nodes:
        assert busy.machine.check().chain_nodes == 0
        return
    _, record = busy.page(busy.parent, busy.text, 30, present=1, file=1, exclusive=0)
    if nodes == 2:              # file pages have none
        assert busy.poke("frame", int(record["frame"]), "rmap", 1) == "chain-count"
        assert busy.poke("frame", int(record["frame"]), "flags", lambda v: v | 1 << 16) == "chain-count"
        _, record = busy.page(busy.parent, busy.anon, 600, present=1, anon=1, exclusive=0)
    pfn = int(record["frame"])
    node = int(busy.machine.frames[pfn]["rmap"])
    words = busy.machine.pte_chains.shape[1]
    assert not busy.machine.frames[pfn]["flags"] & 1 << 16
    assert busy.poke("frame", pfn, "rmap", 0) == "chain-count"
    assert busy.poke("frame", pfn, "rmap", BIG) == "chain-node"
    assert busy.poke("frame", pfn, "flags", lambda v: v | 1 << 16) == "chain-count"
    head = _py_poke(busy.engine, POOL["pte_chain"], node, 0, 4)
    assert busy.raw("pte_chain", node, 0, 4, head ^ 1) in ("chain-shape", "chain-count")
    assert busy.raw("pte_chain", node, 0, 4, head | BIG << 5 & 0xFFFFFFE0) in ("chain-node", "chain-count")
    last = 4 * (words - 1)
    assert busy.raw("pte_chain", node, last, 4, 0) == "chain-shape"
    assert busy.raw("pte_chain", node, last, 4, lambda v: v + 1) == "chain-entry"
    before = _py_poke(busy.engine, POOL["pte_chain"], node, last - 4, 4)
    assert busy.raw("pte_chain", node, last, 4, before) == "chain-entry"        # one pte twice, another missing
    _address, record = busy.page(busy.child, busy.anon, 40, present=1, anon=1, exclusive=1)
    frame = busy.machine.frames[int(record["frame"])]
    assert frame["flags"] & 1 << 16
    assert busy.poke("frame", int(record["frame"]), "rmap", lambda v: v + 1) == "chain-entry"
    assert busy.poke("frame", int(record["frame"]), "rmap", BIG) == "chain-entry"


def test_random_damage_never_crashes(busy: Busy) -> None:
    """Random words of random records: check() answers or passes, and the machine is whole again afterwards."""
    rng = np.random.default_rng(2004)
    pools = [p for p in ("frame", "table", "vma", "mm", "file", "anon_vma", "pte_chain", "lru_chunk", "radix",
        "pte", "slab")
             if len(busy.machine.view(p)) > 1]
    caught = 0
    for _ in range(4000):
        pool = pools[int(rng.integers(len(pools)))]
        view = busy.machine.view(pool)
        index = int(rng.integers(1, len(view)))
        width = view.dtype.itemsize * (view.shape[1] if view.ndim == 2 else 1)
        offset = 4 * int(rng.integers(width // 4))
        old = _py_poke(busy.engine, POOL[pool], index, offset, 4)
        new = int(rng.choice([0, 1, old + 1 & 0xFFFFFFFF, old ^ 1 << int(rng.integers(32)), BIG,
            int(rng.integers(1 << 32))]))
        _py_poke(busy.engine, POOL[pool], index, offset, 4, new)
        try:
            busy.machine.check(walk=20)
        except vmcore.KernelBug:
            caught += 1
        _py_poke(busy.engine, POOL[pool], index, offset, 4, old)
    busy.machine.check(walk=1000)
    assert caught > 400


# ---------------------------------------------------------------- assertions, and Ctrl-C

@pytest.mark.parametrize("kernel", ["2.6.5-aa1", "6.18"])
@pytest.mark.parametrize("pages", [5, 64])
def test_fork_of_a_page_that_counts_as_unmapped(kernel: str, pages: int) -> None:
    """The BUG_ON of -aa in copy_page_range: by entries, and in the loop over whole cache lines."""
    m = vmcore.Machine("16M", kernel=kernel)
    t = m.spawn("t")
    at = t.mmap(None, 64 * PAGE, 3, vmcore.MAP_PRIVATE | vmcore.MAP_ANONYMOUS)
    t.touch_range(at, pages * PAGE, write=True)
    t.fork("well").exit()
    frame = int(t.pagemap(at + 3 * PAGE, PAGE)[0]["frame"])
    _py_poke(m._engine, POOL["mapcount"], frame, 0, 4, 0)
    with pytest.raises(vmcore.KernelBug) as caught:
        t.fork("c")
    assert caught.value.name == "fork_unmapped"


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_ends_a_check() -> None:
    """In its middle, and nothing has happened."""
    m = vmcore.Machine("512M", kernel="2.6.7", overcommit_memory=1)
    t = m.spawn("t")
    at = t.mmap(None, 256 << 20, 3, vmcore.MAP_PRIVATE | vmcore.MAP_ANONYMOUS)
    t.touch_range(at, 256 << 20, write=True)
    for i in range(150):
        t.fork(f"c{i}")
    start = time.perf_counter()
    whole = m.check()
    took = time.perf_counter() - start
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, took / 10)
        with pytest.raises(KeyboardInterrupt):
            m.check()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.perf_counter() - start < took / 2 + 0.2, took
    assert m.check() == whole


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
@pytest.mark.parametrize("punch", [False, True])
def test_ctrl_c_ends_a_truncate(punch: bool) -> None:
    """Between two gigabytes: the file is what it has become so far."""
    m = vmcore.Machine("5G", kernel="6.18")
    t = m.spawn("t")
    size = 4 << 30
    f = m.tmpfs("f", size)
    t.touch_range(t.mmap(None, size, 3, vmcore.MAP_SHARED, f), size, write=True)
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        with pytest.raises(KeyboardInterrupt):
            if punch:
                f.punch_hole(0, size)
            else:
                f.truncate(0)
            signal.pause()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    left = f.nrpages
    assert 0 < left < size // PAGE and left % (1 << 18) == 0
    assert f.size == (size if punch else left * PAGE)
    m.check()
    f.truncate(0)
    assert f.nrpages == 0
    m.check()
