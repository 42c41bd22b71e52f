"""remap_file_pages: every rule of the call, faults on file ptes, and how (or that) each kernel gets the pages back."""
from __future__ import annotations

import errno
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

import vmcore
from vmcore import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NONBLOCK,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
)
from vmcore._fast.check_shim import _py_poke, _py_try_to_unmap
from vmcore._fast.records import PG_ANON, POOL_NAMES, VM_NONLINEAR, frame_t, vma_t
from vmcore.kernels import RULES_2_6_7

PAGE = 4096
RW = 3
BASE = 0x10000000
CLUSTER = 32
AA1 = vmcore.KERNELS["2.6.5-aa1"]


def variant(name: str, **data: int) -> vmcore.Kernel:
    return AA1.replace(name=name, data=dict(AA1.data) | data)


# 2.6.7's rules on aa1's designs: what the scan does depends on these alone
LIKE_267 = variant("like-2.6.7", **RULES_2_6_7)
PATIENT_267 = variant("patient-2.6.7", **dict(RULES_2_6_7, remap_cursor_einval=0))      # of July 2004
SCAN = variant("scan", nonlinear_list=1, nonlinear_unmap=2)     # the scan, but young ptes do not fail, and so on
WHOLE = variant("later-aa", nonlinear_unmap=1)


def label(value: Any) -> str:
    return value.name if isinstance(value, vmcore.Kernel) else str(value)


ALL = ("2.6.5", AA1, LIKE_267, SCAN, WHOLE)


@pytest.fixture(params=[n for n, k in vmcore.KERNELS.items() if not k.data.get("remap_missing") and k.calls == "v2_6"])
def kernel(request: pytest.FixtureRequest) -> str:
    """The name of each kernel that has the call."""
    return request.param


def pages(n: int) -> int:
    return n * PAGE


def box(kernel: Any, **options: Any) -> vmcore.Machine:
    return vmcore.Machine(**({"ram": "16M", "swap": "32M", "kernel": kernel, "overcommit_memory": 1} | options))


def mapped(m: vmcore.Machine, n: int = 64, prot: int = RW, tmpfs: bool = False, fill: bool = True,
           at: int = BASE) -> tuple[vmcore.Task, Any]:
    """A task with n pages of a file at `at`; page i of it holds i + 1."""
    t = m.spawn("t")
    f = m.tmpfs("shm", size=pages(n)) if tmpfs else m.open("data", size=pages(n))
    if fill:
        w = t.mmap(None, pages(n), RW, MAP_SHARED, f)
        for i in range(n):
            t.write(w + pages(i), i + 1)
        t.munmap(w, pages(n))
    t.mmap(at, pages(n), prot, MAP_SHARED | MAP_FIXED, f)
    return t, f


def rmap_counts(m: vmcore.Machine) -> dict[str, int]:
    return {k.removeprefix("rmap_nonlinear_"): v for k, v in m.vmstat().items() if k.startswith("rmap_nonlinear_")}


def reverse(t: vmcore.Task, n: int, at: int = BASE, flags: int = 0) -> None:
    for i in range(n):
        t.remap_file_pages(at + pages(i), PAGE, 0, n - 1 - i, flags)


def fails(number: int, call: Any, *args: Any) -> None:
    with pytest.raises(OSError) as e:
        call(*args)
    assert e.value.errno == number, e.value


# ---------------------------------------------------------------- the call

@pytest.mark.parametrize("tmpfs", [False, True])
@pytest.mark.parametrize("args", [
    (BASE, PAGE, 1, 0),                         # prot
    (BASE, 0, 0, 0),
    (BASE, PAGE - 1, 0, 0),                     # less than a page
    (BASE, (1 << 64) - 1, 0, 0),                # wraps
    (BASE - PAGE, pages(2), 0, 0),              # begins before the mapping
    (BASE + pages(60), pages(5), 0, 0),         # ends behind it
    (BASE + pages(63) + 1, PAGE, 0, 0),         # masked, it would be inside; as given, it is not
    (BASE + pages(100), PAGE, 0, 0),
    (BASE, PAGE, 0, 64),                        # beyond the end of the file
    (BASE, pages(2), 0, 63),
    (BASE, PAGE, 0, (1 << 64) - 1),
    (BASE, PAGE, 0, 1 << 40),                   # more than a file pte holds
])
def test_einval(machine, args, tmpfs):
    t, _ = mapped(machine, tmpfs=tmpfs)
    fails(errno.EINVAL, t.remap_file_pages, *args)


def test_masks(machine):
    t, _ = mapped(machine)
    t.remap_file_pages(BASE + 1, PAGE + 2, 0, 7)
    assert [t.read(BASE + pages(i)) for i in range(3)] == [8, 2, 3]


def test_who_may(machine):
    """Shared, writable, with a file that has populate: nothing else."""
    t = machine.spawn("t")
    f = machine.open("data", size=pages(8))
    ro = machine.open("lib", size=pages(8), readonly=True)
    dev = machine.device("dev", size=pages(8))
    for at in (
        t.mmap(None, pages(8), RW, MAP_PRIVATE, f),
        t.mmap(None, pages(8), 1, MAP_SHARED, ro),                      # VM_SHARED is not set for it
        t.mmap(None, pages(8), RW, MAP_SHARED, dev),
        t.mmap(None, pages(8), RW, MAP_PRIVATE | MAP_ANONYMOUS),
    ):
        fails(errno.EINVAL, t.remap_file_pages, at, PAGE, 0, 1)
    at = t.mmap(None, pages(8), RW, MAP_SHARED | MAP_ANONYMOUS)         # has an object, so it may
    t.write(at + pages(3), 5)
    t.remap_file_pages(at, PAGE, 0, 3)
    assert t.read(at) == 5
    at = t.mmap(None, pages(8), 1, MAP_SHARED, f)                       # writable file, mapped for reading
    t.remap_file_pages(at, PAGE, 0, 3)


def test_offset_limit(boot):
    """pgoff + pages must be below 2^bits, which is 29 on i386: 2 TiB. The others have bits enough for every file."""
    m = boot(arch="i386")
    t = m.spawn("t")
    f = m.open("huge", size=1 << 43)
    at = t.mmap(None, pages(4), RW, MAP_SHARED, f)
    limit = 1 << 29
    t.remap_file_pages(at, PAGE, 0, limit - 2, MAP_NONBLOCK)
    fails(errno.EINVAL, t.remap_file_pages, at, PAGE, 0, limit - 1, MAP_NONBLOCK)
    fails(errno.EINVAL, t.remap_file_pages, at, pages(2), 0, limit - 2, MAP_NONBLOCK)
    m.check()
    for arch in ("i386-pae", "x86_64"):
        m = boot(arch=arch)
        t = m.spawn("t")
        f = m.open("huge", size=(1 << 44) - PAGE)
        at = t.mmap(None, pages(4), RW, MAP_SHARED, f)
        t.remap_file_pages(at, PAGE, 0, (1 << 32) - 2, MAP_NONBLOCK)
        fails(errno.EINVAL, t.remap_file_pages, at, PAGE, 0, (1 << 32) - 1, MAP_NONBLOCK)
        t.touch(at)
        assert m.frames["index"][t.pagemap(at, PAGE)["frame"][0]] == (1 << 32) - 2
        m.check(walk=10)


def test_linear_stays_linear(machine, kernel):
    """VM_NONLINEAR comes with the first page that is elsewhere, and never goes."""
    t, _ = mapped(machine)
    t.remap_file_pages(BASE + pages(3), pages(5), 0, 3)
    assert not (machine.vmas["flags"] & VM_NONLINEAR).any()
    assert t.pagemap(BASE, pages(64))["present"].sum() == 5
    t.remap_file_pages(BASE + pages(3), PAGE, 0, 9)
    t.remap_file_pages(BASE + pages(3), PAGE, 0, 3)
    assert (machine.vmas["flags"] & VM_NONLINEAR != 0).sum() == 1
    machine.check(walk=100)


@pytest.mark.parametrize("name", ALL, ids=label)
@pytest.mark.parametrize("tmpfs", [False, True])
def test_contents(name, tmpfs):
    m = box(name)
    t, f = mapped(m, 64, tmpfs=tmpfs)
    reverse(t, 64)
    m.check(walk=100)
    assert [t.read(BASE + pages(i)) for i in range(64)] == [64 - i for i in range(64)]
    t.write(BASE, 100)
    other = t.mmap(None, pages(64), RW, MAP_SHARED, f)
    assert t.read(other + pages(63)) == 100
    child = t.fork()
    assert [child.read(BASE + pages(i)) for i in range(1, 64)] == [64 - i for i in range(1, 64)]
    (line,) = [s for s in t.smaps() if s.start == BASE]
    assert (line.rss, line.nonlinear, line.offset) == (256, 256, 0)     # an even number of pages: none is at its place
    m.check(walk=100)
    for i in range(0, 64, 2):
        t.remap_file_pages(BASE + pages(i), PAGE, 0, 0)                 # one page 32 times
    assert {t.read(BASE + pages(i)) for i in range(0, 64, 2)} == {1}
    assert m.frames["index"][t.pagemap(BASE, PAGE)["frame"][0]] == 0
    m.check(walk=100)
    t.munmap(BASE + pages(10), pages(20))
    t.exit()
    m.check(walk=100)
    child.exit()
    m.check()


def test_counts_of_one_call(machine):
    t, _ = mapped(machine)
    t.touch_range(BASE, pages(8), write=True)
    before = machine.vmstat()
    t.remap_file_pages(BASE, pages(8), 0, 20)
    after = machine.vmstat()
    cost = {k: after[k] - before[k] for k in after if after[k] != before[k]}
    assert cost["remap_file_pages"] == 1 and cost["populate_pages"] == 8
    assert "pgfault" not in cost and "filemap_reads" not in cost        # they were cached
    assert t.status()["VmRSS"] == 32
    found = t.pagemap(BASE, pages(8))
    assert found["accessed"].all() and found["writable"].all()


# ---------------------------------------------------------------- MAP_NONBLOCK, MAP_POPULATE, faults

def test_nonblock(machine, kernel):
    """What is cached is installed, for the rest a file pte; a fault on it reads, and is major."""
    t, f = mapped(machine, fill=False)
    t.touch_range(BASE, pages(16), write=False)             # one window of 16 pages is in the cache
    t.remap_file_pages(BASE + pages(32), pages(32), 0, 0, MAP_NONBLOCK)
    stat = machine.vmstat()
    assert (stat["populate_pages"], stat["populate_file_ptes"]) == (16, 16)
    found = t.pagemap(BASE + pages(32), pages(32))
    assert found["present"].sum() == 16 and found["file"].all() and not found["swapped"].any()
    assert t.mincore(BASE + pages(32), pages(32)).sum() == 16
    task = machine._engine.task_record(t.pid)
    t.touch(BASE + pages(48), write=True)
    after, more = machine._engine.task_record(t.pid), machine.vmstat()
    assert after["maj_flt"] == task["maj_flt"] + 1
    assert more["pgmajfault"] == stat["pgmajfault"] + 1
    assert more["filemap_reads"] == stat["filemap_reads"] + 1       # just the page: no window for a file pte
    assert more["fault_nonlinear"] == 1
    child = t.fork()                                        # file ptes are copied
    child.touch(BASE + pages(48), write=False)
    child.touch(BASE + pages(49), write=False)
    assert machine._engine.task_record(child.pid)["maj_flt"] == 1
    t.touch(BASE + pages(49), write=False)                  # cached by now, and major all the same
    assert machine._engine.task_record(t.pid)["maj_flt"] == task["maj_flt"] + 2
    assert machine.vmstat()["pgmajfault"] == more["pgmajfault"] + 1
    machine.check(walk=100)
    f.truncate(pages(20))
    with pytest.raises(vmcore.BusError):
        t.touch(BASE + pages(55), write=False)


def test_mprotect_and_mremap_keep_file_ptes(machine):
    t, _ = mapped(machine, 64)
    for _ in range(30):
        machine.reclaim(pages=100)
    reverse(t, 64, flags=MAP_NONBLOCK)
    t.mprotect(BASE + pages(10), pages(10), 1)
    t.mremap(BASE + pages(40), pages(24), pages(24), MREMAP_MAYMOVE | MREMAP_FIXED, BASE + pages(1000))
    machine.check(walk=100)
    assert [t.read(BASE + pages(i)) for i in range(40)] == [64 - i for i in range(40)]
    assert [t.read(BASE + pages(1000 + i)) for i in range(24)] == [24 - i for i in range(24)]
    with pytest.raises(vmcore.SegmentationFault):
        t.write(BASE + pages(15), 1)
    machine.check(walk=100)


@pytest.mark.parametrize(("name", "prot", "expected"), [
    ("2.6.5", RW, 0), ("2.6.5", 0, 32), (AA1, RW, 0), (LIKE_267, RW, 32), (LIKE_267, 0, 32)], ids=label)
def test_map_populate(name, prot, expected):
    """2.6.5 hands the user's protection to remap_file_pages, which wants 0: only PROT_NONE is populated."""
    m = box(name)
    t = m.spawn("t")
    f = m.open("data", size=pages(32))
    at = t.mmap(None, pages(32), prot, MAP_SHARED | MAP_POPULATE, f)
    assert t.pagemap(at, pages(32))["present"].sum() == expected
    private = t.mmap(None, pages(32), prot, MAP_PRIVATE | MAP_POPULATE, f)
    anon = t.mmap(None, pages(32), prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE)
    for a in (private, anon):                               # not shared: refused, and nobody is told
        assert t.pagemap(a, pages(32))["present"].sum() == 0
    g = m.open("cold", size=pages(32))
    at = t.mmap(None, pages(32), prot, MAP_SHARED | MAP_POPULATE | MAP_NONBLOCK, g)
    assert t.pagemap(at, pages(32))["present"].sum() == 0   # nothing is cached
    m.check(walk=100)


# ---------------------------------------------------------------- reclaim

def squeeze(m: vmcore.Machine, t: vmcore.Task, n: int, at: int = BASE, rounds: int = 60) -> int:
    """Present pages of the range after much reclaim."""
    for _ in range(rounds):
        m.reclaim(pages=64)
    return int(t.pagemap(at, pages(n))["present"].sum())


@pytest.mark.parametrize("tmpfs", [False, True])
def test_pte_chain_is_exact(tmpfs):
    """Every page is found, and what it leaves is its offset."""
    m = box("2.6.5")
    t, _ = mapped(m, 256, tmpfs=tmpfs)
    reverse(t, 256)
    assert squeeze(m, t, 256) == 0
    m.check(walk=100)
    assert sum(rmap_counts(m).values()) == 0
    assert m.vmstat()["fault_nonlinear"] == 0
    assert (m.vmstat()["pswpout"] > 200) == tmpfs
    assert [t.read(BASE + pages(i)) for i in range(256)] == [256 - i for i in range(256)]
    assert m.vmstat()["fault_nonlinear"] == 256
    m.check(walk=100)


def test_linear_places_leave_nothing():
    """In a nonlinear mapping too, a page at its place leaves an empty pte."""
    m = box("2.6.5")
    t, _ = mapped(m, 64)
    t.remap_file_pages(BASE, PAGE, 0, 5)
    t.touch_range(BASE, pages(64), write=True)
    assert squeeze(m, t, 64) == 0
    assert [s.nonlinear for s in t.smaps()] == [4]
    t.touch_range(BASE, pages(64), write=False)
    assert m.vmstat()["fault_nonlinear"] == 1


def test_aa1_finds_none(boot):
    """The thread's kernel: such pages stay, as if they were locked. It is counted."""
    m = box(AA1)
    t, _ = mapped(m, 256)
    reverse(t, 256)
    assert squeeze(m, t, 256) == 256
    counts = rmap_counts(m)
    assert counts["unfound"] > 0
    assert counts["scans"] == counts["unmapped"] == 0
    assert m.vmstat()["rmap_unmap_again"] >= counts["unfound"]
    m.check(walk=100)


def test_aa1_ends_with_the_oom_killer():
    """Memory full of pages that nobody can unmap: no endless loop."""
    m = box(AA1, ram="16M", swap="4M")
    t, _ = mapped(m, 5000, fill=False)
    with pytest.raises(vmcore.TaskKilled):
        t.remap_file_pages(BASE, pages(4999), 0, 1)
    assert t.killed_by == "oom"
    assert m.vmstat()["oom_kills"] >= 1
    assert rmap_counts(m)["unfound"] > 0
    m.check(walk=100)


def test_the_same_load_elsewhere():
    """... which the other kernels survive, because they get at the pages."""
    for name in ("2.6.5", LIKE_267, SCAN, WHOLE):
        m = box(name, ram="16M", swap="8M")
        t, _ = mapped(m, 3000, fill=False)
        t.remap_file_pages(BASE, pages(1500), 0, 1500)
        t.remap_file_pages(BASE + pages(1500), pages(1500), 0, 0)
        hog = m.spawn("hog")
        at = hog.mmap(None, pages(3000), RW, MAP_PRIVATE | MAP_ANONYMOUS)
        hog.touch_range(at, pages(3000), write=True)
        assert hog.alive and t.alive and m.vmstat()["oom_kills"] == 0, name
        m.check(walk=100)


def scan_once(m: vmcore.Machine, f: Any) -> None:
    """invalidate asks the reverse map for each clean cached page, in file order: a scan that we can aim."""
    f.invalidate(mapped=True)


def cursors(m: vmcore.Machine) -> list[int]:
    """Of the nonlinear vmas, in clusters."""
    v = m.vmas[1:]
    return [int(c) // pages(CLUSTER) for c in v["private_data"][(v["flags"] & VM_NONLINEAR != 0) & (v["mm"] != 0)]]


def old_and_clean(m: vmcore.Machine, t: vmcore.Task, first: int, n: int) -> None:
    """The ptes of these pages are neither young nor dirty, the pages clean."""
    pte_pool = POOL_NAMES.index("pte")
    for table in np.flatnonzero((m.tables["mm"] != 0) & (m.tables["base"] & 7 == 0)):
        base = int(m.tables["base"][table])
        for slot in range(512):
            if first <= base + slot * PAGE < first + pages(n):
                value = _py_poke(m._engine, pte_pool, int(table), slot * 8, 8)
                if value & 1:
                    _py_poke(m._engine, pte_pool, int(table), slot * 8, 8, value & ~0x60)


def test_cluster_scan_step_by_step():
    """Two mappings of 4 clusters. Each page that reclaim comes for has mapcount 2, so a scan ends after two ptes: the
    cluster in which the second fell is done to its end."""
    m = box(SCAN)
    n = 4 * CLUSTER
    t, _ = mapped(m, n, fill=False)
    child = None
    reverse(t, n)
    child = t.fork()
    for task in (t, child):
        old_and_clean(m, task, BASE, n)
    before = rmap_counts(m)
    assert cursors(m) == [0, 0]
    # one page: the first scan goes through one cluster of the first mapping, which uses the budget up
    pfn = int(t.pagemap(BASE, PAGE)["frame"][0])
    assert _py_try_to_unmap(m._engine, pfn) == 1            # SWAP_AGAIN: the child's pte is still there
    assert cursors(m) == [1, 0]
    counts = rmap_counts(m)
    assert {k: counts[k] - before[k] for k in counts} == {
        "scans": 1, "clusters": 1, "ptes": 32, "unmapped": 32, "unfound": 1}
    assert t.pagemap(BASE, pages(CLUSTER))["present"].sum() == 0
    # the next goes on with the second mapping, which comes up to the first
    assert _py_try_to_unmap(m._engine, pfn) == 0            # by chance its last pte was there
    assert cursors(m) == [1, 1]
    # all clusters in turn: 4 each, then the cursors go back
    last = int(t.pagemap(BASE + pages(n - 1), PAGE)["frame"][0])
    for expected in ([2, 1], [2, 2], [3, 2], [3, 3], [4, 3]):
        assert _py_try_to_unmap(m._engine, last) == 1
        assert cursors(m) == expected
    assert _py_try_to_unmap(m._engine, last) == 0
    assert cursors(m) == [4, 4]
    assert rmap_counts(m)["unmapped"] == 8 * CLUSTER
    m.check(walk=100)
    # nothing is mapped, so no page asks for a scan; one that is young asks, and no budget is used: once around
    t.touch(BASE, write=False)
    child.touch(BASE + pages(40), write=False)
    assert _py_try_to_unmap(m._engine, int(t.pagemap(BASE, PAGE)["frame"][0])) == 1
    # everybody is at the end, so the scan is over at once, and the cursors are back at the start
    assert cursors(m) == [0, 0]
    clusters = rmap_counts(m)["clusters"]
    assert _py_try_to_unmap(m._engine, int(t.pagemap(BASE, PAGE)["frame"][0])) == 1
    assert rmap_counts(m)["clusters"] == clusters + 8       # both were young: they aged
    assert cursors(m) == [0, 0]
    assert not t.pagemap(BASE, PAGE)["accessed"][0]
    assert [t.read(BASE + pages(i)) for i in range(n)] == [0] * n
    m.check(walk=100)


def test_scan_passes_locked_mappings_by():
    m = box(SCAN)
    t, _ = mapped(m, 64, fill=False)
    reverse(t, 64)
    t.mlock(BASE, pages(64))
    old_and_clean(m, t, BASE, 64)
    assert _py_try_to_unmap(m._engine, int(t.pagemap(BASE, PAGE)["frame"][0])) == 1
    assert rmap_counts(m)["scans"] == 0 and t.pagemap(BASE, pages(64))["present"].all()
    t.munlock(BASE, pages(64))
    assert _py_try_to_unmap(m._engine, int(t.pagemap(BASE, PAGE)["frame"][0])) == 0
    assert rmap_counts(m)["scans"] == 1


def test_whole_walk():
    """-aa of a week later: one page wanted, and all old ptes of all such mappings go."""
    m = box(WHOLE)
    n = 4 * CLUSTER
    t, _ = mapped(m, n, fill=False, at=BASE + pages(5))     # clusters are aligned, the mapping is not
    reverse(t, n, at=BASE + pages(5))
    child = t.fork()
    for task in (t, child):
        old_and_clean(m, task, BASE, n + 5)
    assert _py_try_to_unmap(m._engine, int(t.pagemap(BASE + pages(5), PAGE)["frame"][0])) == 0
    counts = rmap_counts(m)
    assert (counts["scans"], counts["clusters"], counts["unmapped"]) == (1, 10, 2 * n)
    m.check(walk=100)
    assert [t.read(BASE + pages(5 + i)) for i in range(n)] == [0] * n


@pytest.mark.parametrize("name", ["2.6.5", PATIENT_267, SCAN, WHOLE], ids=label)
@pytest.mark.parametrize("tmpfs", [False, True])
def test_contents_survive(name, tmpfs):
    """Random remaps of more than memory holds, written and read back."""
    m = box(name, ram="8M", swap="24M")
    n = 1500
    t, _ = mapped(m, n, tmpfs=tmpfs)
    rng = np.random.default_rng(5)
    order = rng.permutation(n)
    for i in range(n):
        t.remap_file_pages(BASE + pages(i), PAGE, 0, int(order[i]))
    for i in range(0, n, 3):
        t.write(BASE + pages(i), 10_000 + int(order[i]))
    m.check(walk=200)
    for i in rng.permutation(n):
        expected = 10_000 + int(order[i]) if i % 3 == 0 else int(order[i]) + 1
        assert t.read(BASE + pages(int(i))) == expected
    m.check(walk=200)
    assert m.vmstat()["fault_nonlinear"] > 0
    t.exit()
    m.check()


def test_spurious_einval_of_2_6_7():
    """The cursor lies in vm_private_data: once reclaim has come by, a second remap fails, until the scan is round."""
    m = box(variant("x", nonlinear_list=1, nonlinear_unmap=2, remap_cursor_einval=1))
    t, _ = mapped(m, 64, fill=False)
    reverse(t, 64)
    old_and_clean(m, t, BASE, 64)
    t.remap_file_pages(BASE + PAGE, PAGE, 0, 60)
    _py_try_to_unmap(m._engine, int(t.pagemap(BASE, PAGE)["frame"][0]))
    assert cursors(m) == [1]
    fails(errno.EINVAL, t.remap_file_pages, BASE, PAGE, 0, 5)
    assert m.vmstat()["remap_cursor_refused"] == 1
    plain = box(SCAN)
    t, _ = mapped(plain, 64, fill=False)
    reverse(t, 64)
    old_and_clean(plain, t, BASE, 64)
    _py_try_to_unmap(plain._engine, int(t.pagemap(BASE, PAGE)["frame"][0]))
    assert cursors(plain) == [1]
    t.remap_file_pages(BASE, PAGE, 0, 5)


# ---------------------------------------------------------------- truncate

@pytest.mark.parametrize("name", ["2.6.5", AA1, LIKE_267], ids=label)
@pytest.mark.parametrize("tmpfs", [False, True])
def test_truncate(name, tmpfs):
    """2.6.7 looks at every pte of a nonlinear mapping; the older kernels walk linear ranges, and miss pages."""
    m = box(name)
    t, f = mapped(m, 64, tmpfs=tmpfs)
    reverse(t, 64)
    f.truncate(pages(32))
    m.check(walk=100)
    kept = name is LIKE_267
    assert m.vmstat()["truncate_orphans"] == (0 if kept else 32)
    for i in range(32):                                     # pages 63 to 32 of the file: gone
        with pytest.raises(vmcore.BusError):
            t.touch(BASE + pages(i))
    for i in range(32, 64):
        if kept:
            assert t.read(BASE + pages(i)) == 64 - i
        else:
            # the linear places of the pages that went: these ptes were cleared, and are linear from now on
            with pytest.raises(vmcore.BusError):
                t.touch(BASE + pages(i))
    f.truncate(pages(64))
    assert [t.read(BASE + pages(i)) for i in range(32)] == [0] * 32
    m.check(walk=100)


# ---------------------------------------------------------------- indexes and check

@pytest.mark.parametrize("name", ALL, ids=label)
def test_mappings_come_and_go(name):
    """Split, fork, move, unmap of nonlinear mappings; check() compares lists, flags and counts."""
    m = box(name)
    t, f = mapped(m, 64)
    other = t.mmap(None, pages(64), RW, MAP_SHARED, f)
    t.remap_file_pages(BASE, PAGE, 0, 9)
    t.remap_file_pages(other, PAGE, 0, 9)
    child = t.fork()
    t.mprotect(BASE + pages(10), pages(10), 1)
    child.munmap(BASE + pages(20), pages(10))
    m.check(walk=10)
    record = m._engine.file(f.number)
    alive = (m.vmas["flags"] & VM_NONLINEAR != 0) & (m.vmas["mm"] != 0)
    assert record["nr_i_mmap_nonlinear"] == alive.sum() == 7
    listed = bool(record["i_mmap_nonlinear"])
    assert listed == (name in (LIKE_267, SCAN))
    assert record["nr_i_mmap_shared"] == (0 if listed else 7)
    t.mremap(BASE, pages(10), pages(10), MREMAP_MAYMOVE | MREMAP_FIXED, BASE + pages(500))
    m.check(walk=10)
    assert t.read(BASE + pages(500)) == 10
    clone = m.clone()
    clone.check(walk=10)
    child.exit()
    m.check(walk=10)
    t.exit()
    m.check()
    assert m._engine.file(f.number)["nr_i_mmap_nonlinear"] == 0


@pytest.mark.parametrize("name", ["2.6.5", SCAN], ids=label)
def test_check_sees_damage(name):
    m = box(name)
    t, f = mapped(m, 64)
    f.sync()
    t.touch_range(BASE, pages(64), write=False)
    f.invalidate(mapped=False)
    t.remap_file_pages(BASE + pages(8), pages(8), 0, 20, MAP_NONBLOCK)
    m.check()

    def poke(pool: str, index: int, offset: int, size: int, value: int) -> str:
        number = POOL_NAMES.index(pool)
        old = _py_poke(m._engine, number, index, offset, size)
        _py_poke(m._engine, number, index, offset, size, value)
        with pytest.raises(vmcore.KernelBug) as e:
            m.check()
        _py_poke(m._engine, number, index, offset, size, old)
        m.check()
        return e.value.name

    vma = int(np.flatnonzero((m.vmas["flags"] & VM_NONLINEAR != 0) & (m.vmas["mm"] != 0))[0])
    flags = int(m.vmas["flags"][vma])
    offset = vma_t.fields["flags"][1]
    found = poke("vma", vma, offset, 4, flags & ~VM_NONLINEAR)
    assert found in ("i-mmap", "i-mmap-count", "pte-rmap-file", "pte-kind")
    assert poke("vma", vma, offset, 4, flags & ~8) == "vma-flags"           # nonlinear, but not shared
    if name is SCAN:
        assert poke("vma", vma, vma_t.fields["private_data"][1], 8, 4096) == "i-mmap"
        assert poke("vma", vma, vma_t.fields["shared_next"][1], 4, 0) == "i-mmap"
    # a file pte beyond what an entry holds, and one in a mapping that is not nonlinear
    private = t.mmap(BASE + pages(64), pages(4), RW, MAP_PRIVATE | MAP_FIXED, f)
    t.touch(private, write=False)
    leaf = int(np.flatnonzero((m.tables["mm"] != 0) & (m.tables["base"] == BASE))[0])
    assert poke("pte", leaf, 20 * 8, 8, (1 << 41) << 12 | 1 << 4) == "pte-kind"
    assert poke("pte", leaf, 66 * 8, 8, 30 << 12 | 1 << 4) == "pte-kind"


def test_the_scan_meets_an_anonymous_page():
    """The BUG_ON of the cluster scan: a page in a nonlinear vma that says that it is anonymous."""
    m = box(SCAN)
    t, f = mapped(m, 64)
    f.sync()
    t.touch_range(BASE, pages(64), write=False)
    t.remap_file_pages(BASE, pages(32), 0, 32)
    frame = int(t.pagemap(BASE, PAGE)[0]["frame"])
    kind, offset = frame_t.fields["flags"][:2]
    flags = int(m.frames[frame]["flags"])
    _py_poke(m._engine, POOL_NAMES.index("frame"), frame, offset, kind.itemsize, flags | PG_ANON)
    _py_try_to_unmap(m._engine, int(t.pagemap(BASE + pages(1), PAGE)[0]["frame"]))
    with pytest.raises(vmcore.KernelBug) as e:
        m.reclaim(0)
    assert e.value.name == "nonlinear_anon" and e.value.objects[0] == frame


# ---------------------------------------------------------------- Ctrl-C

@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
@pytest.mark.parametrize("name", ["2.6.5", SCAN], ids=label)
def test_interrupted(name):
    m = box(name, ram="1G", swap="16M")
    n = 100_000
    t, _ = mapped(m, n, fill=False)
    done = threading.Event()

    def interrupt() -> None:
        done.wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        threading.Thread(target=interrupt).start()
        for _ in range(10_000):
            t.remap_file_pages(BASE, pages(n // 2), 0, n // 2)
            t.remap_file_pages(BASE, pages(n // 2), 0, 0)
    m.check(walk=100)
    t.touch_range(BASE, pages(n), write=False)
    m.check()
