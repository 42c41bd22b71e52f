"""Numbers that anybody can make up, and states at the edge: the engine refuses them, and stays whole."""
from __future__ import annotations

import contextlib
import copy
import errno
import itertools
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmcore
from vmcore import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_READ,
    PROT_WRITE,
)
from vmcore._fast import records
from vmcore._fast.check_shim import _py_damage
from vmcore._fast.engine import Engine
from vmcore._fast.records import SWAP_MAP_MAX
from vmcore.machine import File, _numbers
from vmcore.task import Task

PAGE = 4096
RW = PROT_READ | PROT_WRITE
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
SHARED = MAP_SHARED | MAP_ANONYMOUS


# ---------------------------------------------------------------- numbers of files and tasks

@pytest.mark.parametrize("number", [1, 77, (1 << 32) - 1])
def test_a_file_that_nobody_opened(machine, number):
    f = File(machine, number)
    for call in (f.sync, f.invalidate, lambda: f.truncate(0), lambda: f.truncate("1M"), lambda: f.read(0),
                 lambda: f.write(0, 7), lambda: f.punch_hole(0, PAGE)):
        with pytest.raises(OSError, match=f"no open file {number}") as caught:
            call()
        assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match=f"no open file {number}"):
        machine.spawn("t").mmap(None, PAGE, RW, MAP_PRIVATE, File(machine, number))
    f.close()
    machine.check()


def test_a_file_closed_through_another_handle(machine):
    f = machine.open("f", "64K")
    a = machine.spawn("t").mmap(None, PAGE, PROT_READ, MAP_SHARED, f)
    twin = File(machine, f.number)
    f.close()
    assert a
    with pytest.raises(OSError, match="no open file"):      # it lives on, for its mapping only
        twin.truncate(0)


@pytest.mark.parametrize("number", [0, -1, 1 << 32])
def test_numbers_that_no_file_or_task_has(machine, number):
    with pytest.raises(ValueError, match=rf"number of a file must be in 1..4294967295, not {number}"):
        File(machine, number)
    with pytest.raises(ValueError, match=rf"pid must be in 1..4294967295, not {number}"):
        Task(machine, number)


def test_task_0_has_no_calls(machine):
    engine = machine._engine
    for call in (lambda: engine.touch(0, 4096), lambda: engine.touch_range(0, 0, 4096, True), lambda: engine.exit(0),
                 lambda: engine.fork(0, None), lambda: engine.exec(0, None, 1), lambda: engine.maps(0),
                 lambda: engine.mmap(0, 0, PAGE, RW, PRIVATE, 0, 0), lambda: engine.token(0, 0, True, 1)):
        with pytest.raises(ProcessLookupError, match="no task 0"):
            call()
    t = Task(machine, 77)
    for call in (lambda: t.touch(0), t.exit, t.fork, t.maps, lambda: t.mmap(None, PAGE, RW, PRIVATE)):
        with pytest.raises(ProcessLookupError, match="no task 77"):
            call()
    machine.check()


# ---------------------------------------------------------------- addresses

def test_an_address_is_no_errno(boot, kernel):
    """The kernels of 2004 answer mmap of length 0, and mremap to the same length, with the address as it is."""
    if vmcore.KERNELS[kernel].calls != "v2_6":
        pytest.skip("today's calls refuse such an address")
    t = boot().spawn("t")
    assert t.mmap(1 << 63, 0, RW, PRIVATE) == 1 << 63
    assert t.mmap((1 << 64) - PAGE, 0, RW, PRIVATE) == (1 << 64) - PAGE
    assert t.mremap(1 << 63, PAGE, PAGE) == 1 << 63


# ---------------------------------------------------------------- a mapping that grows below offset 0

def test_a_shared_mapping_grows_no_further_than_its_offset(boot, kernel):
    if vmcore.KERNELS[kernel].calls != "v2_6":
        pytest.skip("today's calls refuse such a mapping")
    m = boot()
    t = m.spawn("t")
    a = t.mmap(None, PAGE, RW, SHARED | MAP_GROWSDOWN)
    with pytest.raises(vmcore.SegmentationFault):
        t.touch(a - 1, write=True)
    b = t.mmap(0x10000000, 3 * PAGE, RW, SHARED | MAP_GROWSDOWN | MAP_FIXED) + 2 * PAGE
    t.munmap(b - 2 * PAGE, 2 * PAGE)
    t.touch(b - 2 * PAGE)
    with pytest.raises(vmcore.SegmentationFault):
        t.touch(b - 3 * PAGE)
    assert t.maps()[0][:2] == (b - 2 * PAGE, b + PAGE) and t.maps()[0].offset == 0
    m.check(walk=100)


def test_a_private_mapping_that_was_moved_up_grows(boot, kernel):
    m = boot()
    t = m.spawn("t")
    a = t.mmap(0x10000, PAGE, RW, PRIVATE | MAP_GROWSDOWN | MAP_FIXED)
    t.write(a, 1)
    b = t.mremap(a, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x20000000)
    assert vmcore.KERNELS[kernel].calls == "v2_6" or b == 0x20000000
    if vmcore.KERNELS[kernel].rules("x86_64")["anon_pgoff"]:
        t.write(b - 16 * PAGE, 4)
        with pytest.raises(vmcore.SegmentationFault):
            t.write(b - 20 * PAGE, 5)
    else:
        t.write(b - 20 * PAGE, 5)
        assert t.read(b - 20 * PAGE) == 5
        assert all(line.offset < 1 << 64 for line in t.maps())
    assert t.read(b) == 1
    m.check(walk=100)


def test_a_stack_of_2_6_5_shows_the_offset_that_its_word_holds():
    for arch, bits in (("i386", 32), ("x86_64", 64)):
        m = vmcore.Machine(ram="16M", kernel="2.6.5", arch=arch)
        t = m.spawn("t")
        t.exec("t")
        stack = t.maps()[-1]
        t.touch(stack.start - 1, write=True)
        assert t.maps()[-1].offset == (1 << bits) - PAGE
        m.check()


# ---------------------------------------------------------------- a swap slot of very many references

def test_a_saturated_slot_says_nothing_about_its_uses():
    m = vmcore.Machine(ram="16M", swap="16M", kernel="2.6.5")
    t = m.spawn("t")
    a = t.mmap(None, 16 * PAGE, RW, PRIVATE)
    t.touch_range(a, 16 * PAGE, write=True)
    for _ in range(8):
        m.reclaim(1000)
    slot = int(t.pagemap(a, PAGE)[0]["slot"])
    assert m.swap_map[slot] == 1
    _py_damage(m._engine, "swap.map", slot, SWAP_MAP_MAX - 3)
    with pytest.raises(vmcore.KernelBug, match="swap-map"):
        m.check()
    children = [t.fork(f"c{i}") for i in range(4)]
    assert m.swap_map[slot] == SWAP_MAP_MAX
    m.check()
    for child in children:
        child.exit()
    t.write(a, 7)
    assert m.swap_map[slot] == SWAP_MAP_MAX        # nobody knows when it is free, so it never is
    m.check()


# ---------------------------------------------------------------- what must not take long

def test_mincore_of_a_sparse_mapping_looks_at_what_is_there(machine):
    t = machine.spawn("t")
    length = 1 << 38
    a = t.mmap(None, length, RW, PRIVATE | MAP_NORESERVE)
    pages = np.array([0, 511, 512, 1 << 20, (length >> 12) - 1])
    t.touch(a + pages.astype(np.uint64) * PAGE, write=True)
    began = time.perf_counter()
    found = t.mincore(a, length)
    assert time.perf_counter() - began < 2          # 67 million pages; 20 s were once needed for 16 times as many
    assert found.nonzero()[0].tolist() == pages.tolist()


def test_mincore_of_a_sparse_file(machine):
    f = machine.open("f", "4T")
    t = machine.spawn("t")
    length = 1 << 36
    a = t.mmap(None, length, RW, MAP_PRIVATE, f, 1 << 20)
    b = t.mmap(None, length, PROT_READ, MAP_SHARED, f, 1 << 20)
    t.touch(a, write=True)
    t.touch(b + (length >> 1))
    seen = t.mincore(a, length)
    assert seen[0] and seen[length >> 13] and (seen == t.mincore(b, length)).all()
    assert seen.sum() <= f.nrpages
    assert t.mincore(a + PAGE, 8 * PAGE).tolist() == seen[1:9].tolist()


def test_the_oom_killer_and_a_fault_without_memory_leave_nobody_dying(boot):
    """Who is buried at the end of a call: all that the OOM killer chose, or who found no memory for its own fault."""
    m = boot(ram="16M", swap=None)
    tasks = [m.spawn(f"t{i}") for i in range(4)]
    for t in tasks:
        a = t.mmap(None, 8 << 20, RW, PRIVATE | MAP_NORESERVE)
        with contextlib.suppress(vmcore.TaskKilled):
            t.touch_range(a, 8 << 20, write=True)
    assert any(not t.alive for t in tasks)
    assert not (m.tasks["state"] == 2).any()
    m.check()


# ---------------------------------------------------------------- a saved machine knows its kernel

@pytest.mark.parametrize("kernel", [
    "2.6.7",
    vmcore.KERNELS["2.6.5"].replace(merge="adjust"),
    vmcore.KERNELS["6.18"].replace(name="mine"),
    vmcore.KERNELS["2.6.5-aa1"].replace(i_mmap="rbtree", archs=("x86_64",)),
])
def test_a_loaded_machine_has_the_kernel_that_was_saved(kernel, tmp_path):
    m = vmcore.Machine(ram="16M", kernel=kernel)
    m.save(tmp_path / "m")
    assert vmcore.load(tmp_path / "m").kernel == m.kernel
    assert vmcore.load(tmp_path / "m").kernel.data == m.kernel.data


@pytest.mark.parametrize(("rule", "value"), [
    ("mm_size", 0), ("vma_size", 1 << 30), ("nr_zones", 5), ("word_size", 0), ("pt_shift", 0)])
def test_the_engine_refuses_rules_that_it_cannot_divide_by(rule, value):
    kernel = vmcore.KERNELS["2.6.7"]
    rules = np.frombuffer(kernel.record("x86_64"), records.kernel_rules).copy()
    rules[rule] = value
    with pytest.raises(ValueError, match="rules are not those of a machine"):
        Engine(kernel.designs, rules.tobytes(), 4096, _numbers({}, kernel, "x86_64", 4096), [])


def test_ctrl_c_at_any_moment_of_save_leaves_the_machine_free(tmp_path: Path) -> None:
    """Between any two instructions of the interpreter a signal may be handled."""
    m = vmcore.Machine("8M", kernel="6.18")
    m.spawn("a")
    stops = itertools.count()
    at = 0

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_filename.endswith("image.py") and frame.f_code.co_name in ("save", "_create"):
            frame.f_trace_opcodes = True
            if event == "opcode" and next(stops) == at:
                raise KeyboardInterrupt
            return trace
        return None

    for at in range(1000):      # noqa: B007 - read by trace
        stops = itertools.count()
        sys.settrace(trace)
        try:
            m.save(tmp_path / "m")
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        m.check()
    assert 50 < at < 999
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]
    assert vmcore.load(tmp_path / "m").check() == m.check()


def test_save_goes_to_regular_files_alone(tmp_path: Path) -> None:
    m = vmcore.Machine("8M")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="regular file"):
        m.save(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("real")
    m.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and vmcore.load(tmp_path / "real").ram == m.ram
    with pytest.raises(FileNotFoundError) as caught:
        m.save(tmp_path / "no" / "m")
    assert caught.value.filename == str(tmp_path / "no" / "m")


def test_a_second_handle_of_a_closed_file_is_ebadf() -> None:
    m = vmcore.Machine("8M")
    f = m.open("f", "1M")
    g = copy.copy(f)
    f.close()
    for ask in (lambda: g.name, lambda: g.size, lambda: g.nrpages, lambda: g.read(0)):
        with pytest.raises(OSError) as caught:
            ask()
        assert caught.value.errno == errno.EBADF
    assert repr(g) == "<File 1 closed>"


def test_kernels_can_be_pickled() -> None:
    for kernel in (*vmcore.KERNELS.values(), vmcore.KERNELS["2.6.5"].replace(i_mmap="rbtree")):
        assert pickle.loads(pickle.dumps(kernel)) == copy.deepcopy(kernel) == kernel


def test_no_array_is_made_for_what_is_not_mapped() -> None:
    t = vmcore.Machine("8M", kernel="6.18").spawn("a")
    with pytest.raises(OSError) as caught:
        t.mincore(0, 1 << 47)
    assert caught.value.errno == errno.ENOMEM
    t.touch([], [])
