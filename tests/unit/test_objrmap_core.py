"""objrmap-core: chains for anonymous pages only, file pages through the vmas of their file; counts are exact."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import vmcore
from vmcore import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ

PAGE = 4096
RW = 3
PG_DIRECT, PG_ANON = 1 << 16, 1 << 20
NRPTE = 7                   # x86_64, lines of 64 bytes (fact sheet 2.2)


def machine(kernel: str = "2.6.5-objrmap", **options: Any) -> vmcore.Machine:
    return vmcore.Machine(**({"ram": "16M", "swap": "16M", "kernel": kernel, "overcommit_memory": 1} | options))


def stat(m: vmcore.Machine, *names: str) -> tuple[int, ...]:
    numbers = m.vmstat()
    return tuple(numbers[name] for name in names)


def chain_objects(m: vmcore.Machine) -> int:
    return {s.name: s.active_objs for s in m.slabinfo()}.get("pte_chain", 0)


@pytest.mark.parametrize(("kernel", "nodes"), [("2.6.5", 30 * 2), ("2.6.5-objrmap", 0), ("2.6.5-aa1", 0)])
def test_fork_takes_no_node_for_a_file_page(kernel: str, nodes: int) -> None:
    m = machine(kernel)
    t = m.spawn("server")
    lib = m.open("lib", size=30 * PAGE)
    text = t.mmap(None, 30 * PAGE, PROT_READ, MAP_PRIVATE, lib)
    t.touch_range(text, 30 * PAGE)
    children = [t.fork() for _ in range(NRPTE)]         # eight mappers: one more than a node has slots
    assert stat(m, "nr_pte_chain_nodes", "rmap_nodes_allocated") == (nodes, nodes)
    assert chain_objects(m) in ((0,) if nodes == 0 else (nodes, nodes + 1))
    pfns = t.pagemap(text, 30 * PAGE)["frame"]
    assert (m.mapcounts[pfns] == 1 + NRPTE).all()
    m.check(walk=100)
    for child in children:
        child.exit()
    assert (m.mapcounts[pfns] == 1).all() and stat(m, "rmap_nodes_freed") == (nodes // 2,)     # a chain of one stays
    m.check(walk=100)


def test_identity_is_a_flag() -> None:
    """Anonymous: PG_anon and a chain, no mapping. File: mapping and mapcount. A private write goes from one to the
    other."""
    m = machine()
    t = m.spawn("t")
    lib = m.open("lib", size=4 * PAGE)
    data = t.mmap(None, 4 * PAGE, RW, MAP_PRIVATE, lib)
    t.touch(data)
    cached = int(t.pagemap(data, PAGE)["frame"][0])
    assert m.frames[cached]["mapping"] != 0
    assert m.frames[cached]["rmap"] == 0 and not m.frames[cached]["flags"] & (PG_ANON | PG_DIRECT)
    t.touch(data, write=True)
    copy = int(t.pagemap(data, PAGE)["frame"][0])
    assert copy != cached and m.mapcounts[cached] == 0
    assert m.frames[copy]["mapping"] == 0 and m.frames[copy]["rmap"] != 0
    assert m.frames[copy]["flags"] & (PG_ANON | PG_DIRECT) == PG_ANON | PG_DIRECT
    child = t.fork()
    assert not m.frames[copy]["flags"] & PG_DIRECT and stat(m, "rmap_chain_conversions") == (1,)
    child.touch(data, write=True)
    assert stat(m, "cow_copies", "rmap_chain_collapses") == (2, 0)
    t.exit()
    child.exit()
    assert not m.frames[copy]["flags"] & PG_ANON
    m.check()


def test_walks_go_two_ways() -> None:
    """An anonymous page costs its mappers; a file page, every vma of its file."""
    m = machine(swappiness=100)
    t = m.spawn("t")
    lib = m.open("lib", size=64 * PAGE)
    windows = [t.mmap(None, 16 * PAGE, PROT_READ, MAP_SHARED, lib, i * 16 * PAGE) for i in (0, 2)]
    t.mmap(None, 16 * PAGE, PROT_READ, MAP_PRIVATE, lib, 16 * PAGE)
    t.touch_range(windows[0], 16 * PAGE)
    before = m.vmstat()
    for _ in range(40):
        m.reclaim(pages=1)
        if m.vmstat()["rmap_pages_walked"] > before["rmap_pages_walked"]:
            break
    change = {k: v - before[k] for k, v in m.vmstat().items()}
    walks = change["i_mmap_lookups"]
    assert walks > 0 and change["rmap_vmas_visited"] == change["i_mmap_nodes_visited"] == 3 * walks
    assert change["rmap_range_skips"] == 2 * walks
    anon = t.mmap(None, 16 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS)
    t.touch_range(anon, 16 * PAGE, write=True)
    t.munmap(windows[0], 16 * PAGE)
    children = [t.fork() for _ in range(3)]
    m.check(walk=100)
    before = m.vmstat()
    for _ in range(200):
        m.reclaim(pages=32)
        if m.vmstat()["pswpout"] == 16:
            break
    change = {k: v - before[k] for k, v in m.vmstat().items()}
    assert change["pswpout"] == 16 and change["i_mmap_lookups"] == 0
    unmapped = change["rmap_unmap_success"]
    assert unmapped == 16
    # every walk of one of these pages looks at four ptes; its unmap finds the four vmas by address
    assert change["rmap_ptes_examined"] == 4 * change["rmap_pages_walked"]
    assert change["rmap_vmas_visited"] == 4 * unmapped
    for task in (t, *children):
        assert task.pagemap(anon, 16 * PAGE)["swapped"].all()
    m.check()


def test_fork_out_of_chain_memory_is_undone() -> None:
    """The first anonymous page of a fork wants a node; without memory for it the fork fails and leaves nothing."""
    m = vmcore.Machine(ram="6M", swap=None, kernel="2.6.5-objrmap", overcommit_memory=1)
    t = m.spawn("t")
    lib = m.open("lib", size=32 * PAGE)
    text = t.mmap(None, 32 * PAGE, PROT_READ, MAP_PRIVATE, lib)
    pages = 0
    at = t.mmap(None, 4 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS)
    t.touch_range(text, 32 * PAGE)
    failures = 0
    while failures == 0 and pages < 1000:
        try:
            t.touch_range(at + pages * PAGE, 16 * PAGE, write=True)
            pages += 16
            t.fork()
        except (OSError, vmcore.TaskKilled):
            failures += 1
    assert failures == 1
    m.check(walk=1000)
    for task in m.processes():
        task.exit()
    assert stat(m, "nr_pte_chain_nodes", "nr_mapped") == (0, 0)
    m.check()


def test_save_load_and_clone(tmp_path: Any) -> None:
    m = machine()
    t = m.spawn("t")
    at = t.mmap(None, 40 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS)
    t.touch_range(at, 40 * PAGE, write=True)
    child = t.fork()
    m.save(tmp_path / "m")
    for other in (m.clone(), vmcore.load(tmp_path / "m")):
        assert other.kernel.name == "2.6.5-objrmap" and other.vmstat() == m.vmstat()
        assert np.array_equal(other.frames, m.frames)
        other.check(walk=100)
    child.touch_range(at, 40 * PAGE, write=True)
    assert stat(m, "cow_copies") == (40,)
    m.check()
