"""anon_vma chains against the fact sheet linux-modern section 1, number for number."""
from __future__ import annotations

import numpy as np
import pytest

import vmcore
from vmcore._fast import records
from vmcore._fast.check_shim import _py_poke

PAGE = 4096
RW = 3
ANON, FIXED = 0x22, 0x10
BASE = 0x200000000000
VMAS = 110                  # faulted VMAs of the measurement
CHAINS = ("2.6.34", "6.18")
DEGREE = vmcore.KERNELS["6.18"].replace(name="degree", data={**vmcore.KERNELS["6.18"].data, "avc_reuse": 1})


def boot(kernel: str | vmcore.kernels.Kernel, **options: object) -> vmcore.Machine:
    return vmcore.Machine(**{"ram": "32M", "swap": "16M", "kernel": kernel, "overcommit_memory": 1} | options)


def faulted(m: vmcore.Machine, vmas: int) -> vmcore.Task:
    """A task with so many VMAs that no neighbour touches, one page each, all written."""
    t = m.spawn("t0")
    for i in range(vmas):
        t.mmap(BASE + 2 * i * PAGE, PAGE, RW, ANON | FIXED)
    write(t, vmas)
    return t


def write(t: vmcore.Task, vmas: int) -> None:
    t.touch(np.arange(vmas, dtype=np.uint64) * np.uint64(2 * PAGE) + np.uint64(BASE), write=True)


def fork_costs(m: vmcore.Machine, depth: int, alive: bool) -> list[tuple[int, int]]:
    """(links cloned, links to own anon_vmas) of each fork."""
    t = faulted(m, VMAS)
    out = []
    for d in range(depth):
        before = m.vmstat()
        child = t.fork(f"t{d + 1}")
        after = m.vmstat()
        own = after["anon_vmas_allocated"] - before["anon_vmas_allocated"]
        links = after["anon_vma_chains_allocated"] - before["anon_vma_chains_allocated"]
        assert after["anon_vmas_reused"] - before["anon_vmas_reused"] == VMAS - own
        out.append((links - own, own))
        write(child, VMAS)
        if not alive:
            t.exit()
        t = child
        m.check(walk=200)
    return out


# ---------------------------------------------------------------- the fork-depth table (1.6)

@pytest.mark.parametrize("kernel", [*CHAINS, DEGREE], ids=str)
def test_fork_depth_with_living_ancestors(kernel: str | vmcore.kernels.Kernel) -> None:
    assert fork_costs(boot(kernel), 6, alive=True) == [(110, 110), (220, 110), (330, 110), (440, 110), (550, 110),
                                                       (660, 110)]


@pytest.mark.parametrize(("kernel", "expected"), [
    ("6.18", [(110, 110), (220, 110), (330, 0), (330, 0), (330, 0), (330, 0)]),
    ("2.6.34", [(110, 110), (220, 110), (330, 110), (440, 110), (550, 110), (660, 110)]),     # pre-3.19: column 2
])
def test_fork_depth_when_every_ancestor_exits(kernel: str, expected: list[tuple[int, int]]) -> None:
    m = boot(kernel)
    assert fork_costs(m, 6, alive=False) == expected
    if kernel == "6.18":        # saturated: three links a VMA and three anon_vmas a tree
        assert m.vmstat()["nr_anon_vmas"] == 3 * VMAS
        stat = m.vmstat()
        assert stat["anon_vma_chains_allocated"] - stat["anon_vma_chains_freed"] == 3 * VMAS


@pytest.mark.parametrize("kernel", CHAINS)
def test_price_of_children(kernel: str) -> None:
    """1.14: a child at depth 1 costs two links and an anon_vma for each faulted VMA."""
    m = boot(kernel)
    t = faulted(m, 30)
    before = m.vmstat()
    for i in range(20):
        t.fork(f"c{i}")
    after = m.vmstat()
    assert after["anon_vma_chains_allocated"] - before["anon_vma_chains_allocated"] == 20 * 30 * 2
    assert after["anon_vmas_allocated"] - before["anon_vmas_allocated"] == 20 * 30
    m.check()


def test_compare_says_who_stands_in() -> None:
    from vmcore import scenario
    from vmcore.cli import options

    assert {vmcore.KERNELS[name].reclaim for name in CHAINS} == {"v2_6"}
    assert {vmcore.KERNELS[name].stands_for for name in CHAINS} == {"split_lru"}
    assert options.kernels("6.18", "x86_64") == ["6.18"]
    with pytest.raises(scenario.ScenarioError, match="no arch"):
        options.kernels("6.18", "i386")


def test_skipping_needs_vmas_that_say_so() -> None:
    with pytest.raises(ValueError, match="fork_skips_unfaulted"):
        vmcore.KERNELS["6.18"].replace(rmap="pte_chain", merge="flags")


# ---------------------------------------------------------------- sizes (1.1)

@pytest.mark.parametrize(("kernel", "page", "vma", "anon_vma", "link"), [
    ("2.6.34", 56, 176, 24, 48), ("6.18", 64, 192, 104, 64),
])
def test_sizes(kernel: str, page: int, vma: int, anon_vma: int, link: int) -> None:
    rules = vmcore.KERNELS[kernel].rules("x86_64")
    assert (rules["struct_page_size"], rules["vma_size"]) == (page, vma)
    assert (rules["anon_vma_size"], rules["avc_size"]) == (anon_vma, link)


# ---------------------------------------------------------------- why they exist (1.8, 1.14)

@pytest.mark.parametrize("kernel", CHAINS)
def test_a_page_of_a_child_is_looked_for_in_the_child(kernel: str) -> None:
    """Pages that children copied cost one VMA each, those still shared cost all."""
    children, pages = 20, 64
    visited = {}
    for name in ("2.6.7", kernel):
        m = boot(name, swappiness=100)
        t = m.spawn("parent")
        at = t.mmap(None, pages * PAGE, RW, ANON)
        t.touch_range(at, pages * PAGE, write=True)
        for i in range(children):
            t.fork(f"c{i}").touch_range(at, pages * PAGE, write=True)
        before = m.vmstat()
        for _ in range(100):
            m.reclaim(pages=32)
        after = m.vmstat()
        assert after["pswpout"] > 500
        visited[name] = ((after["rmap_vmas_visited"] - before["rmap_vmas_visited"])
                         / (after["rmap_pages_walked"] - before["rmap_pages_walked"]))
        m.check(walk=500)
    assert visited[kernel] < 1.6                        # the parent's own pages have children's links too
    assert visited["2.6.7"] > 5


@pytest.mark.parametrize("kernel", CHAINS)
def test_reuse_moves_a_page_down(kernel: str) -> None:
    """I7: the child keeps the page when the parent is gone, and it becomes the child's own."""
    m = boot(kernel)
    t = m.spawn("parent")
    at = t.mmap(None, 4 * PAGE, RW, ANON)
    t.touch_range(at, 4 * PAGE, write=True)
    filler = m.spawn("filler")
    filler.touch_range(filler.mmap(None, 32 * PAGE, RW, ANON), 32 * PAGE, write=True)     # empties the pagevecs
    child = t.fork("child")
    t.exit()
    frame = int(child.pagemap(at, PAGE)[0]["frame"])
    before = int(m.frames[frame]["mapping"])
    child.touch(at, write=True)
    assert m.vmstat()["cow_reuses"] == 1 and m.vmstat()["rmap_pages_claimed"] == 1
    after = int(m.frames[frame]["mapping"])
    assert after != before
    assert int(m.anon_vmas[after]["root"]) == before
    m.check(walk=100)


@pytest.mark.parametrize("kernel", CHAINS)
def test_fork_skips_what_has_no_anon_vma(kernel: str) -> None:
    """6.6: a file VMA without copies leaves no ptes in the child; with one copy all 17; the zero page none."""
    m = boot(kernel)
    t = m.spawn("t")
    file = m.open("f", size=17 * PAGE)
    text = t.mmap(None, 17 * PAGE, RW, 2, file)
    t.touch_range(text, 16 * PAGE, write=False)
    zero = t.mmap(None, 8 * PAGE, RW, ANON)
    t.touch_range(zero, 8 * PAGE, write=False)
    a = t.fork("a")
    assert a.pagemap(text, 17 * PAGE)["present"].sum() == 0
    assert a.pagemap(zero, 8 * PAGE)["present"].sum() == 0
    t.touch(text + 16 * PAGE, write=True)
    b = t.fork("b")
    assert b.pagemap(text, 17 * PAGE)["present"].sum() == 17
    m.check(walk=100)


# ---------------------------------------------------------------- merges of a child (1.12 j)

@pytest.mark.parametrize(("kernel", "ranges"), [("2.6.34", 1), ("6.18", 2)])
def test_oracle_j(kernel: str, ranges: int) -> None:
    """A child maps next to what it inherited faulted: two VMAs today (3.1 and later); the parent gets one."""
    m = boot(kernel)
    t = m.spawn("t")
    t.mmap(BASE, 2 * PAGE, RW, ANON | FIXED)
    t.touch_range(BASE, 2 * PAGE, write=True)
    child = t.fork("c")
    for task in (child, t):
        task.mmap(BASE + 2 * PAGE, 2 * PAGE, RW, ANON | FIXED)
    assert len(t.maps()) == 1 and len(child.maps()) == ranges
    child.touch_range(BASE, 4 * PAGE, write=True)
    m.check(walk=100)


# ---------------------------------------------------------------- splits, moves, failures, damage

@pytest.mark.parametrize("kernel", CHAINS)
def test_everything_goes(kernel: str) -> None:
    m = boot(kernel)
    t = faulted(m, 20)
    area = t.mmap(None, 100 * PAGE, RW, ANON)
    t.touch_range(area, 100 * PAGE, write=True)
    child = t.fork("c")
    for i in range(0, 100, 7):
        child.mprotect(area + i * PAGE, PAGE, 1)
    child.touch_range(area + PAGE, 5 * PAGE, write=True)
    grandchild = child.fork("g")
    grandchild.munmap(area + 50 * PAGE, 9 * PAGE)
    moved = grandchild.mremap(area + 60 * PAGE, 3 * PAGE, 3 * PAGE, 3, area - (1 << 30))
    assert moved == area - (1 << 30)
    m.check(walk=500)
    child.exit()
    m.check(walk=500)
    for _ in range(30):
        m.reclaim(pages=64)
    grandchild.touch(moved, write=True)
    copy = m.clone()
    assert copy.check(walk=500) == m.check(walk=500)
    grandchild.exit()
    t.exit()
    m.check()
    stat = m.vmstat()
    assert stat["nr_anon_vmas"] == 0
    assert stat["anon_vma_chains_allocated"] == stat["anon_vma_chains_freed"] > 0
    assert stat["anon_vmas_allocated"] == stat["anon_vmas_freed"] > 0


@pytest.mark.parametrize("kernel", CHAINS)
def test_out_of_memory_in_the_middle_of_a_fork(kernel: str) -> None:
    """Forks of many VMAs until memory ends: each is whole or undone."""
    m = boot(kernel, ram="8M", swap=0)
    t = faulted(m, 300)
    failed = 0
    for i in range(60):
        try:
            t.fork(f"c{i}")
        except (OSError, vmcore.TaskKilled):
            failed += 1
            m.check(walk=50)
        if failed == 3 or not t.alive:
            break
    assert failed
    m.check(walk=100)


@pytest.mark.parametrize("kernel", CHAINS)
def test_damage_is_found(kernel: str) -> None:
    m = boot(kernel)
    t = faulted(m, 6)
    t.fork("c").fork("g")
    m.check()
    pool = {name: number for number, name in enumerate(records.POOL_NAMES)}

    def found(what: str, index: int, field: str, value: int) -> str:
        kind, offset = records.POOL_DTYPES[what].fields[field][:2]
        old = _py_poke(m._engine, pool[what], index, offset, kind.itemsize)
        _py_poke(m._engine, pool[what], index, offset, kind.itemsize, value)
        with pytest.raises(vmcore.KernelBug) as caught:
            m.check(walk=100)
        _py_poke(m._engine, pool[what], index, offset, kind.itemsize, old)
        m.check()
        return caught.value.name

    live = int(np.flatnonzero(m.anon_vmas["nr"] != 0)[-1])
    for field in ("num_active_vmas", "num_children", "refs", "nr"):
        assert found("anon_vma", live, field, int(m.anon_vmas[live][field]) + 1) == "anon-vma-count"
    for field in ("root", "parent", "head"):
        assert found("anon_vma", live, field, 0xFFFFFF0) == "anon-vma"
    vma = int(np.flatnonzero((m.vmas["mm"] != 0) & (m.vmas["avc"] != 0))[-1])
    link = int(m.vmas[vma]["avc"])
    for field in ("vma", "vma_next", "anon_vma", "rb_left", "rb_right"):
        assert found("avc", link, field, 0xFFFFFF0) in ("anon-vma", "anon-vma-count")
    assert found("vma", vma, "anon_vma", 0) in ("anon-vma", "anon-vma-count")
    assert found("vma", vma, "avc", 0) in ("anon-vma", "anon-vma-count")
    if kernel == "6.18":
        assert found("avc", link, "last", 1) == "anon-vma"
