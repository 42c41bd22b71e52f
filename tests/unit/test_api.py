"""The Python face: what DESIGN promises by name."""
from __future__ import annotations

import errno
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from copy import copy as duplicate
from pathlib import Path

import numpy as np
import pytest

import vmcore
from vmcore import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE, stats, trace
from vmcore._fast import records
from vmcore._fast.counters import COUNTER_NAMES

PAGE = 4096
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
RW = PROT_READ | PROT_WRITE


@pytest.fixture
def task(machine):
    return machine.spawn("oracle")


# ---------------------------------------------------------------- sizes and presets

@pytest.mark.parametrize("ram", ["16M", "16384K", 16 << 20, "16m"])
def test_sizes(ram):
    assert vmcore.Machine(ram=ram).ram == 16 << 20


def test_machine_says_what_it_is(machine, kernel):
    assert machine.kernel is vmcore.KERNELS[kernel] and machine.arch == "x86_64" and machine.now == 0
    assert kernel in repr(machine)


# struct page on i386, i386-pae, i386-pae with highpte, x86_64; vm_area_struct on i386, x86_64 (fact sheet 1.1, 1.6)
SIZES = {
    "2.6.5": ((40, 40, 44, 72), (64, 128)),
    "2.6.5-objrmap": ((40, 40, 44, 72), (64, 128)),
    "2.6.5-aa1": ((40, 40, 40, 72), (76, 152)),
    "2.6.5-anonmm": ((40, 40, 40, 72), (64, 128)),
    "2.6.5-anonmm-noshortcut": ((40, 40, 40, 72), (64, 128)),
    "2.6.5-anonmm-prio": ((40, 40, 40, 72), (72, 144)),
    "2.6.5-forktree": ((40, 40, 40, 72), (88, 176)),
    "2.6.7": ((32, 32, 32, 56), (84, 168)),
}


@pytest.mark.parametrize("name", SIZES)
def test_record_sizes_of_the_fact_sheet(name):
    machines = (("i386", False), ("i386-pae", False), ("i386-pae", True), ("x86_64", False))
    rules = [vmcore.KERNELS[name].rules(arch, highpte=highpte) for arch, highpte in machines]
    assert tuple(r["struct_page_size"] for r in rules) == SIZES[name][0]
    assert tuple(r["vma_size"] for r in (rules[0], rules[3])) == SIZES[name][1]


def test_mem_map_is_frames_times_struct_page(kernel):
    if "i386-pae" not in vmcore.KERNELS[kernel].archs:
        pytest.skip(f"{kernel} has no i386-pae")
    m = vmcore.Machine(ram="64M", arch="i386-pae", kernel=kernel, highpte=True)
    rules = vmcore.KERNELS[kernel].rules("i386-pae", highpte=True)
    assert m.ledger()["mem_map"]["bytes"] == 16384 * rules["struct_page_size"]


def test_dtypes_have_the_order_of_the_structs():
    assert records.frame_t.itemsize == 32 and records.vma_t.itemsize == 128
    text = Path(records.__file__).with_name("records.pxd").read_text()
    for name in ("frame_t", "table_t", "vma_t", "file_t", "anon_vma_t", "slab_t", "event_t", "kernel_rules"):
        body = text.split(f"cdef packed struct {name}:")[1].split("\n\n")[0]
        lines = [line.split("#")[0].strip() for line in body.splitlines()[1:]]
        fields = [part.split("[")[0].strip() for line in lines if line for part in line.split(None, 1)[1].split(",")]
        assert fields == list(getattr(records, name).names)


def test_counter_names_follow_the_enum():
    text = Path(records.__file__).with_name("counters.pxd").read_text()
    enum = text.split("cdef enum:")[1].split("cdef inline")[0]
    names = [line.split("#")[0].split("=")[0].strip().lower() for line in enum.splitlines()]
    assert [n for n in names if n][:-1] == list(COUNTER_NAMES)


# ---------------------------------------------------------------- touches

def test_touch_takes_what_holds_addresses(task):
    a = task.mmap(None, 64 * PAGE, RW, PRIVATE)
    pages = a + np.arange(64, dtype=np.uint64) * PAGE
    task.touch(int(pages[0]), write=True)
    task.touch(pages[1], write=True)                                # a numpy integer
    task.touch(pages[2:4], write=True)
    task.touch(pages[4:8].tolist(), write=True)
    task.touch(pages[8:12].astype(np.int64), write=True)
    task.touch(pages[12:20:2], write=True)                          # not contiguous
    task.touch(pages[13:20:2].astype(">u8"), write=True)
    task.touch(memoryview(pages[20:22]), write=np.bool_(True))
    task.touch([], write=True)
    task.touch(np.zeros(0, np.uint64))
    task.touch(pages[22:26], write=np.array([True, False, True, False]))
    task.touch(pages[26:28], write=[False, True])
    present = task.pagemap(a, 64 * PAGE)
    assert present["present"].tolist() == [True] * 28 + [False] * 36
    assert present["zero"].nonzero()[0].tolist() == [23, 25, 26]
    assert present["anon"].sum() == 25 and not present["file"].any()


def test_touch_range_and_tokens(task):
    a = task.mmap(None, 8 * PAGE, RW, PRIVATE)
    assert task.read(a + PAGE) == 0
    task.touch_range(a + 100, 2 * PAGE, write=True)                 # three pages
    assert task.pagemap(a, 8 * PAGE)["anon"].sum() == 3
    task.touch_range(a, 0)
    top = (1 << 64) - 1
    task.write(a + 5, top)
    child = task.fork()
    child.write(a, 7)
    assert (task.read(a), child.read(a + 4095), task.read(a + PAGE)) == (top, 7, 0)
    assert child.name == "oracle" and child.parent == task.pid and child != task and task == task.machine.task(task.pid)


def test_content_survives_swap(boot):
    m = boot(swap="32M")
    t = m.spawn("t")
    n = 4000
    a = t.mmap(None, n * PAGE, RW, PRIVATE)
    for i in range(n):
        t.write(a + i * PAGE, i + 1)
    assert t.pagemap(a, n * PAGE)["swapped"].any()
    assert [t.read(a + i * PAGE) for i in range(n)] == list(range(1, n + 1))
    s = t.status()
    assert s["VmSwap"] // 4 == t.pagemap(a, n * PAGE)["swapped"].sum() and s["VmRSS"] + s["VmSwap"] == n * 4


# ---------------------------------------------------------------- /proc

def test_maps_smaps_status(machine, task, kernel):
    lib = machine.open("libc.so", "64K")
    shm = machine.tmpfs("seg", "32K")
    base = 0x40000000
    task.mmap(base, 4 * PAGE, RW, PRIVATE | MAP_FIXED)
    task.mmap(base + (1 << 20), 16 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, lib)
    task.mmap(base + (2 << 20), 8 * PAGE, RW, MAP_SHARED | MAP_FIXED, shm, 0)
    task.touch_range(base, 3 * PAGE, write=True)
    task.touch_range(base + (1 << 20), 16 * PAGE)
    task.touch(base + (2 << 20), write=True)
    maps = task.maps()
    assert [(m.start - base, m.end - m.start, m.perms, m.name) for m in maps] == [
        (0, 4 * PAGE, "rw-p", ""), (1 << 20, 16 * PAGE, "r-xp", "libc.so"), (2 << 20, 8 * PAGE, "rw-s", "seg")]
    rules = vmcore.KERNELS[kernel].rules("x86_64")
    assert maps[0].offset == (base if rules["anon_pgoff"] and rules["maps_anon_offset"] else 0)    # fact sheet 9.3
    assert str(maps[1]) == "40100000-40110000 r-xp 00000000 libc.so"
    smaps = task.smaps()
    assert [s.size for s in smaps] == [16, 64, 32] and [s.rss for s in smaps] == [12, 64, 4]
    assert smaps[0].anonymous == 12 and smaps[0].private_dirty == 12 and smaps[1].private_clean == 64
    child = task.fork("c")
    assert child.smaps()[0].shared_dirty == 12 and child.smaps()[0].pss == 6
    status = task.status()
    assert [status[name] for name in ("Name", "VmSize", "VmRSS", "VmLib", "VmData")] == ["oracle", 112, 80, 64, 16]
    page = task.pagemap(base, PAGE)[0]
    assert page["present"] and page["anon"] and not page["exclusive"] and machine.mapcounts[page["frame"]] == 2
    assert task.pagemap(base + (1 << 20), PAGE)["file"].all()


def test_mincore(machine, task):
    f = machine.open("f", "64K")
    a = task.mmap(None, 16 * PAGE, PROT_READ, MAP_PRIVATE, f)
    assert task.mincore(a, 16 * PAGE).sum() == 0
    task.touch(a)
    resident = task.mincore(a, 16 * PAGE)
    assert resident[0] and resident.sum() == f.nrpages
    task.munmap(a, 16 * PAGE)
    with pytest.raises(OSError) as caught:
        task.mincore(a, 1)
    assert caught.value.errno == errno.ENOMEM


def test_rlimits_and_caps(task):
    task.setrlimit(vmcore.RLIMIT_AS, 1 << 20)
    assert task.getrlimit(vmcore.RLIMIT_AS) == 1 << 20
    with pytest.raises(OSError) as caught:
        task.mmap(None, 2 << 20, RW, PRIVATE)
    assert caught.value.errno == errno.ENOMEM
    task.setrlimit(vmcore.RLIMIT_AS, -1)
    assert task.getrlimit(vmcore.RLIMIT_AS) == vmcore.RLIM_INFINITY
    a = task.mmap(None, 2 << 20, RW, PRIVATE)
    task.capset(0)
    if task.machine.kernel.rules("x86_64")["mlock_right"]:
        task.setrlimit(vmcore.RLIMIT_MEMLOCK, 0)        # within the limit everyone may
    with pytest.raises(PermissionError):
        task.mlock(a, PAGE)
    task.capset(vmcore.CAP_IPC_LOCK)
    task.mlock(a, PAGE)
    assert task.smaps()[0].locked == 4
    assert "lo" in task.smaps()[0].flags.split()


@pytest.mark.parametrize("kernel", vmcore.KERNELS)
def test_what_came_later_is_unknown(kernel):
    """A call that a kernel has not is ENOSYS, flags of later times are EINVAL, but to mmap, which does not look."""
    task = vmcore.Machine("16M", kernel=kernel).spawn("a")
    today = task.machine.kernel.calls == "v6"
    anon = PRIVATE
    a = task.mmap(None, 8 * PAGE, RW, anon)

    def error(call, *args):
        try:
            call(*args)
        except OSError as e:
            return e.errno
        return 0

    assert error(task.mlock2, a, PAGE) == error(task.mlock2, a, PAGE, 1) == (0 if today else errno.ENOSYS)
    assert error(task.mlockall, vmcore.MCL_CURRENT | vmcore.MCL_ONFAULT) == (0 if today else errno.EINVAL)
    task.munlockall()
    move = vmcore.MREMAP_MAYMOVE | vmcore.MREMAP_DONTUNMAP
    assert error(task.mremap, a, PAGE, PAGE, move) == (0 if today else errno.EINVAL)
    for name in ("FREE", "DONTFORK", "WIPEONFORK", "COLD", "POPULATE_READ", "GUARD_INSTALL"):
        assert error(task.madvise, a, PAGE, getattr(vmcore, f"MADV_{name}")) == (0 if today else errno.EINVAL), name
    # MAP_FIXED_NOREPLACE is a bit that nobody knows: the address is a hint, and taken
    noreplace = error(task.mmap, a, PAGE, RW, anon | vmcore.MAP_FIXED_NOREPLACE)
    assert noreplace == (errno.EEXIST if today else 0)
    f = task.machine.tmpfs("f", 4 * PAGE)
    assert error(task.mmap, 0, PAGE, RW, 3, f) == (0 if today else errno.EINVAL)     # MAP_SHARED_VALIDATE
    assert error(task.mmap, 0, PAGE, RW, 0x28) == (0 if today else errno.EINVAL)     # MAP_DROPPABLE


def test_smaps_locked_is_what_is_there():
    """A page that was not touched, or is guarded, holds no memory; of one that two have, each has half."""
    task = vmcore.Machine("16M", kernel="6.18").spawn("a")
    a = task.mmap(None, 4 * PAGE, RW, PRIVATE)
    task.madvise(a, PAGE, vmcore.MADV_GUARD_INSTALL)
    task.mlock2(a, 4 * PAGE, vmcore.MLOCK_ONFAULT)
    assert task.smaps()[0].locked == 0
    task.touch(a + PAGE, write=True)
    task.touch(a + 2 * PAGE, write=True)
    (line,) = task.smaps()
    assert (line.rss, line.locked) == (8, 8) and line.flags == "rd wr mr mw me gu lo lf ac"
    task.fork()
    assert task.smaps()[0].locked == 4


def test_the_largest_files():
    machine = vmcore.Machine("16M", kernel="6.18")
    disk, memory = machine.open("disk", PAGE), machine.tmpfs("memory", PAGE)
    for call, args, number in (
        (disk.truncate, ((1 << 44) - PAGE + 1,), errno.EFBIG), (disk.truncate, (1 << 63,), errno.EINVAL),
        (disk.punch_hole, (1 << 44, PAGE), errno.EFBIG), (disk.write, ((1 << 44) - PAGE, 1), errno.EFBIG),
        (disk.write, (1 << 63, 1), errno.EINVAL), (memory.truncate, (1 << 63,), errno.EINVAL),
        (memory.punch_hole, ((1 << 63) - PAGE, PAGE), errno.EFBIG), (memory.read, (1 << 63,), errno.EINVAL),
    ):
        with pytest.raises(OSError) as caught:
            call(*args)
        assert caught.value.errno == number, (call, args)
    memory.truncate((1 << 63) - 1)
    memory.write((1 << 63) - 2 * PAGE, 7)
    assert memory.read((1 << 63) - 2 * PAGE) == 7
    memory.truncate(PAGE)
    machine.check()


# ---------------------------------------------------------------- files

def test_files(machine, task, kernel):
    f = machine.open("f", "16K")
    assert (f.size, f.name, f.closed) == (16384, "f", False)
    assert machine.file("f") is f and machine.file(f.number) is f
    a = task.mmap(None, 4 * PAGE, RW, MAP_SHARED, f)
    task.write(a, 42)
    if machine.kernel.rules("x86_64")["write_notify"]:
        assert f.sync() == 1                                        # the fault has told
        task.write(a, 42)
    else:
        assert f.sync() == 0                                        # the dirty bit is in the pte still: no msync yet
    task.munmap(a, PAGE)
    assert f.sync() == 1
    a = task.mmap(None, 4 * PAGE, RW, MAP_SHARED, f)
    task.touch(a)
    cached = f.nrpages
    mapped = cached if machine.kernel.rules("x86_64")["fault_around"] else 1
    assert f.invalidate() == cached - mapped and f.nrpages == mapped        # all but what is mapped
    if machine.kernel.rules("x86_64")["unmap_young_fails"]:
        assert f.invalidate(mapped=True) == 0 and f.nrpages == mapped       # young: that is all it learns
    # 2.4 cannot find the pte of a page, so a mapped one stays
    assert f.invalidate(mapped=True) == mapped * (kernel != "2.4") and f.nrpages == (kernel == "2.4")
    assert task.read(a) == 42                                       # read back from disk
    f.truncate("8K")
    with pytest.raises(vmcore.BusError):
        task.touch(a + 2 * PAGE)
    f.close()
    assert f.closed and "closed" in repr(f)
    task.touch(a)                                                   # its mapping keeps it
    g = machine.open("g", PAGE)
    assert g.number != f.number and machine.file("g") is g
    with pytest.raises(FileNotFoundError):
        machine.file("f")


def test_readonly_file_and_device(machine, task):
    r = machine.open("r", PAGE, readonly=True)
    with pytest.raises(PermissionError):
        task.mmap(None, PAGE, RW, MAP_SHARED, r)
    d = machine.device("card", 4 * PAGE)
    a = task.mmap(None, 4 * PAGE, RW, MAP_SHARED, d)
    task.touch_range(a, 4 * PAGE, write=True)
    assert machine.vmas[machine.vmas["file"] == d.number]["flags"][0] & records.VM_RESERVED
    assert task.status()["VmRSS"] == 0


# ---------------------------------------------------------------- numbers

def test_vmstat_and_meminfo(machine, task, kernel):
    a = task.mmap(None, 100 * PAGE, RW, PRIVATE)
    task.touch_range(a, 100 * PAGE, write=True)
    v, info = machine.vmstat(), machine.meminfo()
    names = list(v)
    assert names[:6] == ["nr_dirty", "nr_writeback", "nr_unstable", "nr_page_table_pages", "nr_mapped", "nr_slab"]
    assert names[6] == "pgpgin" and names[36] == "pgrotated" and names[6:6 + len(COUNTER_NAMES)] == list(COUNTER_NAMES)
    assert (v["nr_mapped"], v["pgfault"], v["fault_anon"], v["nr_tasks"]) == (100, 100, 100, 1)
    assert next(iter(info)) == "MemTotal"
    if kernel == "2.4":
        assert len(info) == 14 and list(info)[-1] == "SwapFree"
    else:
        assert len(info) == 22 and list(info)[-1] == "VmallocChunk"
        assert info["Mapped"] == 400 and info["PageTables"] == 4 * v["nr_page_table_pages"]
    assert info["SwapTotal"] == 16384 - 4
    assert info["LowTotal"] == info["MemTotal"] and info["HighTotal"] == 0
    assert stats.meminfo_text(info).splitlines()[0] == f"MemTotal:     {info['MemTotal']:>8} kB"
    assert stats.vmstat_text(v).splitlines()[0] == "nr_dirty 0"


def test_i386_zones(kernel):
    if "i386" not in vmcore.KERNELS[kernel].archs:
        pytest.skip(f"{kernel} has no i386")
    m = vmcore.Machine(ram="1G", arch="i386", kernel=kernel)
    assert [z["present"] for z in m.zones()] == [4096, 225280, 32768]
    marks = [(4, 8, 12), (234, 468, 702), (32, 64, 96)]                         # 7.6
    if kernel == "2.4":
        marks = [(32, 64, 96), (255, 510, 765), (255, 510, 765)]                # 7.2
    assert [(z["min"], z["low"], z["high"]) for z in m.zones()] == marks
    info = m.meminfo()
    assert info["HighTotal"] == 131072 and info["LowTotal"] + info["HighTotal"] == info["MemTotal"]
    assert vmcore.Machine(ram="64M", arch="i386", kernel=kernel).meminfo()["HighTotal"] == 0


def test_slabinfo_and_ledger(machine, task, kernel):
    a = task.mmap(None, 10 * PAGE, RW, PRIVATE)
    task.touch_range(a, 10 * PAGE, write=True)
    task.fork().touch(a)
    slabs = {s.name: s for s in machine.slabinfo()}
    vma = slabs["vm_area_struct"]
    assert vma.objsize == (192 if kernel == "2.4" else vmcore.KERNELS[kernel].rules("x86_64")["vma_size"])
    assert vma.active_objs == 2 and vma.num_slabs == 1 and vma.bytes == PAGE
    text = stats.slabinfo_text(machine.slabinfo()).splitlines()
    assert text[0] == "slabinfo - version: 2.0" and len(text) == 2 + len(slabs)
    # a chain node for each of ten pages, an anon_vma, two anonmms, a fork group; with links an anon_vma of each task, a
    # link to it, and one from the child to its parent's
    rules = vmcore.KERNELS[kernel].rules("x86_64")
    held = {"none": 0, "pte_chain": 10 * 64, "objrmap_core": 10 * 64, "anon_vma": 24, "anonmm": 2 * 40, "fork_tree": 24,
            "anon_vma_chain": 2 * rules["anon_vma_size"] + 3 * rules["avc_size"]}
    assert machine.vmstat()["rmap_bytes"] == held[vmcore.KERNELS[kernel].rmap]
    ledger = machine.ledger()
    assert {"mem_map", "page_tables", "upper_tables", "pte_chain", "vma", "anon_vma", "anon_vma_chain", "anonmm", "mm",
            "stack", "slab_other", "page_cache"} <= set(ledger)
    keys = {"bytes", "low_bytes", "peak_bytes", "low_peak_bytes", "low_refusals"}
    assert all(set(line) == keys for line in ledger.values())
    assert ledger["stack"]["bytes"] == 2 * 8192 and ledger["vma"]["bytes"] == PAGE
    assert sum(s.bytes for s in slabs.values()) == 4 * machine.vmstat()["nr_slab"] * 1024


# ---------------------------------------------------------------- views

def test_views_are_read_only_and_outlive_the_machine(kernel):
    m = vmcore.Machine(ram="16M", kernel=kernel)
    t = m.spawn("t")
    a = t.mmap(None, 4 * PAGE, RW, PRIVATE)
    frames, vmas = m.frames, m.vmas
    assert len(frames) == 4096 and not frames.flags.writeable and not frames.flags.owndata
    with pytest.raises(ValueError):
        frames["flags"][0] = 1
    with pytest.raises(ValueError):
        m.swap_map.flags.writeable = True
    t.touch(a, write=True)
    pfn = int(t.pagemap(a, PAGE)["frame"][0])
    assert frames[pfn]["flags"] != 0                                # no copy: shows what happened later
    assert m.mapcounts[pfn] == 1
    assert m.vmas[1]["start"] == a and m.tasks[t.pid]["comm"] == b"t" and m.mms[1]["rss"] == 1
    for name in records.POOL_NAMES:
        assert not m.view(name).flags.writeable
    flags = int(frames[pfn]["flags"])
    gone = weakref.ref(m)
    del m, t, vmas
    gc.collect()
    assert gone() is None and int(frames[pfn]["flags"]) == flags


def test_a_machine_goes_without_the_garbage_collector():
    gc.disable()
    try:
        m = vmcore.Machine(ram="16M")
        t = m.spawn("t")
        f = m.open("f", PAGE)
        gone = weakref.ref(m._engine)
        del m, t, f
        assert gone() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- the whole state

def busy(m: vmcore.Machine) -> tuple[int, int]:
    """A machine in the middle of things: swap, forks, files, tokens."""
    t = m.spawn("a")
    a = t.mmap(None, 3500 * PAGE, RW, PRIVATE)
    t.touch_range(a, 3500 * PAGE, write=True)
    t.write(a, 1234)
    c = t.fork("b")
    c.write(a, 5678)
    f = m.open("f", "256K")
    t.touch_range(t.mmap(None, f.size, PROT_READ, MAP_PRIVATE, f), f.size)
    c.touch_range(a, 700 * PAGE)
    return a, c.pid


@pytest.mark.parametrize("arch", ["i386", "i386-pae", "x86_64"])
def test_save_load_clone(boot, tmp_path, arch):
    m = boot(swap="32M", arch=arch)
    a, pid = busy(m)
    m.save(tmp_path / "1")
    copies = [m.clone(), vmcore.load(tmp_path / "1")]
    for i, copy in enumerate(copies):
        assert (copy.kernel, copy.arch, copy.ram) == (m.kernel, arch, m.ram)
        assert [t.name for t in copy.processes()] == ["a", "b"] and copy.file("f").size == 256 << 10
        copy.save(tmp_path / f"c{i}")
        assert (tmp_path / f"c{i}").read_bytes() == (tmp_path / "1").read_bytes()
    stream = trace.make(a + (np.arange(20000, dtype=np.uint64) * 7919 % 3500) * PAGE, np.tile([1, pid], 10000), 1)
    for machine in (m, *copies):
        assert machine.task(1).read(a) == 1234 and machine.task(pid).read(a) == 5678
        machine.run(stream)
        machine.check(walk=50)
    assert m.vmstat() == copies[0].vmstat() == copies[1].vmstat()
    assert (m.frames == copies[0].frames).all() and (m.swap_map == copies[1].swap_map).all()
    copies[0].task(1).exit()
    assert m.task(1).alive
    m.check()


def test_same_seed_same_state(kernel, tmp_path):
    for name in ("1", "2"):
        m = vmcore.Machine(ram="16M", swap="32M", kernel=kernel, overcommit_memory=1, trylock_rate=100, trylock_seed=5)
        busy(m)
        m.save(tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


# ---------------------------------------------------------------- run

def test_run(machine):
    t, u = machine.spawn("t"), machine.spawn("u")
    a, b = (x.mmap(None, 64 * PAGE, RW, PRIVATE) for x in (t, u))
    n = 64
    addr = np.where(np.arange(n) % 2, b, a) + np.arange(n) * PAGE
    stream = trace.make(addr, np.where(np.arange(n) % 2, u.pid, t.pid), 1)
    assert machine.run(stream) == (n, 0, 0)
    stream["addr"][10] = 0x10                                       # t dies there, with 26 records to come
    result = machine.run(stream)
    assert result == (n - 27, 26, 1) and result.killed == 1
    assert not t.alive and t.killed_by == "segv" and u.alive
    assert machine.run(stream) == (32, 32, 0)
    assert machine.run(stream[:0]) == (0, 0, 0)
    other = np.zeros(2, [("op", "u1"), ("task", "i4"), ("addr", "i8")])     # other order, other widths
    other["task"], other["addr"] = u.pid, b
    assert machine.run(other).executed == 2


def test_out_of_memory_kills(boot):
    m = boot(swap=0)
    t = m.spawn("hog")
    a = t.mmap(None, 32 << 20, RW, PRIVATE)
    with pytest.raises(vmcore.TaskKilled) as caught:
        t.touch_range(a, 32 << 20, write=True)
    assert caught.value.task == t and caught.value.by in ("oom", "fault") and 0 < caught.value.index < 8192
    assert not t.alive and t.killed_by == caught.value.by and t.status()["State"].startswith("X")
    assert m.vmstat()["nr_mapped"] == 0 and m.processes() == []


def test_swap_areas(boot):
    m = boot(swap=[("8M", 1), ("8M", 5)])
    t = m.spawn("t")
    a = t.mmap(None, 4000 * PAGE, RW, PRIVATE)
    t.touch_range(a, 4000 * PAGE, write=True)
    assert [(area, pages, prio) for area, pages, _, prio in m.swaps()] == [(0, 2048, 1), (1, 2048, 5)]
    used = {area: n for area, _, n, _ in m.swaps()}
    assert used[1] > 0 and used[0] == 0                             # the higher priority first
    assert m.swapon("8M") == 2
    m.swapoff(1)
    assert [area for area, *_ in m.swaps()] == [0, 2]
    t.munmap(a, 4000 * PAGE)
    m.swapoff()
    assert m.swaps() == [] and m.meminfo()["SwapTotal"] == 0


def test_reclaim_and_check(machine, task):
    a = task.mmap(None, 1000 * PAGE, RW, PRIVATE)
    task.touch_range(a, 1000 * PAGE, write=True)
    assert machine.reclaim(200) >= 0 and machine.reclaim(200) > 0
    report = machine.check(walk=1000)
    assert report.ptes == 1000 and report.swap_ptes == task.status()["VmSwap"] // 4 > 0 and report.walked > 0


# ---------------------------------------------------------------- Ctrl-C

@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_in_a_long_call(boot):
    m = boot(swap="32M")
    t = m.spawn("t")
    a = t.mmap(None, 4500 * PAGE, RW, PRIVATE)
    addresses = np.tile(a + np.arange(4500, dtype=np.uint64) * PAGE, 2000)
    sent = []

    def send() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.2, send)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        t.touch(addresses, write=True)
    assert time.perf_counter() - sent[0] < 2            # 0.2 s on a quiet host; this one may be busy
    timer.join()
    m.check()
    t.touch(a, write=True)
    assert t.alive


def test_a_handler_may_not_use_the_machine(machine, task):
    a = task.mmap(None, PAGE, RW, PRIVATE)
    addresses = np.full(30_000_000, a, np.uint64)
    old = signal.signal(signal.SIGALRM, lambda *_: task.touch(a))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(RuntimeError, match="interrupted by a signal"):
            for _ in range(100):
                task.touch(addresses)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    machine.check()
    task.touch(a)


@pytest.mark.parametrize("read_first", [False, True])
def test_private_write_to_a_device_is_a_copy(kernel, read_first):
    m = vmcore.Machine(ram="16M", swap="16M", kernel=kernel)
    d = m.device("fb", size=16384)
    t, u = m.spawn("a"), m.spawn("b")
    private = t.mmap(None, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, d)
    shared = u.mmap(None, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, d)
    u.write(shared, 5)
    if read_first:
        assert t.read(private) == 5
    t.touch(private, write=True)
    assert t.read(private) == 5, "the copy holds what the device held"
    t.write(private, 7)
    assert (t.read(private), u.read(shared)) == (7, 5)
    m.check()


def test_a_device_never_shows_the_zero_page(kernel):
    m = vmcore.Machine(ram="16M", swap="16M", kernel=kernel)
    t = m.spawn("a")
    pages = 1200
    dev = t.mmap(None, pages << 12, PROT_READ | PROT_WRITE, MAP_SHARED, m.device("fb", size=pages << 12))
    zero = t.mmap(None, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
    for page in range(pages):
        t.write(dev + (page << 12), 9)
    assert t.read(zero) == 0
    m.check()


def test_pickle_points_to_save() -> None:
    m = vmcore.Machine(ram="16M")
    for thing in (m, m.spawn("task")):
        with pytest.raises(TypeError, match=r"save\(path\) writes it"):
            pickle.dumps(thing)
    assert duplicate(m.task(1)) == m.task(1)


# ---------------------------------------------------------------- import


def test_import_waits_for_numpy_until_a_name_is_used():
    done = subprocess.run(
        [sys.executable, "-c",
         "import sys, vmcore, vmcore.cli\n"
         "assert not [name for name in sys.modules if name == 'numpy' or name.startswith('vmcore._fast')]\n"
         "assert {'Machine', 'KERNELS', 'intervals', '__version__'} <= set(dir(vmcore))\n"
         "assert vmcore.Machine is vmcore.machine.Machine and 'numpy' in sys.modules\n"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", vmcore.__all__)
def test_every_public_name_is_there(name):
    assert getattr(vmcore, name) is getattr(vmcore, name)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'vmcore' has no attribute 'Machin'"):
        vmcore.Machin   # noqa: B018
