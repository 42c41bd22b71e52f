"""Another package's cimport: a module that knows nothing but engine.pxd drives a machine without the GIL."""
from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import vmcore

SOURCE = """
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.engine cimport (
    vm_access, vm_counter, vm_counter_id, vm_enter, vm_frame, vm_leave, vm_now, vm_nr_frames, vm_outcome, vm_run,
    vm_touch, vmcore_machine,
)


def touch(machine, uint32_t pid, const uint64_t[::1] addrs, int write):
    cdef vm_outcome r
    cdef int faults = vm_counter_id("pgfault")
    cdef vmcore_machine *h = vm_enter(machine, pid)
    cdef uint32_t pfn
    with nogil:
        vm_touch(h, &addrs[0], NULL, write, addrs.shape[0], &r)
        pfn = vm_frame(h, pid, addrs[0])
    out = r.status, r.done, r.addr, pfn, vm_counter(h, faults), vm_nr_frames(h), vm_now(h)
    vm_leave(h)
    return out


def run(machine, uint32_t pid, uint64_t addr):
    cdef vm_outcome r
    cdef vm_access a
    cdef vmcore_machine *h = vm_enter(machine, 0)
    a.addr = addr
    a.task = pid
    a.op = 1
    vm_run(h, &a, 1, &r)
    vm_leave(h)
    return r.status, r.done


def twice(machine):
    cdef vmcore_machine *h = vm_enter(machine, 0)
    try:
        vm_enter(machine, 0)
    finally:
        vm_leave(h)
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    if importlib.util.find_spec("Cython") is None or shutil.which(compiler[0]) is None:
        pytest.skip("needs Cython and a C compiler")
    at = tmp_path_factory.mktemp("guest")
    (at / "guest.pyx").write_text(SOURCE)
    root = Path(vmcore.__file__).parents[1]
    cython = [sys.executable, "-m", "cython", "-3", "-I", str(root), "guest.pyx"]
    include = "-I" + sysconfig.get_path("include")
    target = "guest" + sysconfig.get_config_var("EXT_SUFFIX")
    for command in (cython, [*compiler, "-shared", "-fPIC", "-O1", include, "guest.c", "-o", target]):
        done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    spec = importlib.util.spec_from_file_location("guest", at / target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_guest_drives_a_machine(guest, machine):
    t = machine.spawn("t")
    a = t.mmap(None, 8 * 4096, 3, 0x22)
    addrs = a + np.arange(8, dtype=np.uint64) * 4096
    status, done, _, pfn, faults, frames, now = guest.touch(machine, t.pid, addrs, 1)
    assert (status, done, faults, frames, now) == (0, 8, 8, 4096, machine.now)
    assert pfn == t.pagemap(a, 4096)["frame"][0] and machine.vmstat()["fault_anon"] == 8
    addrs[3] = 0x1000
    assert guest.touch(machine, t.pid, addrs, 0)[:3] == (1, 3, 0x1000)
    assert guest.run(machine, t.pid, a) == (0, 1)


def test_guest_meets_the_same_guards(guest, machine):
    t = machine.spawn("t")
    with pytest.raises(RuntimeError, match="in a call already"):
        guest.twice(machine)
    with pytest.raises(ProcessLookupError):
        guest.touch(machine, 99, np.zeros(1, np.uint64), 0)
    t.exit()
    with pytest.raises(ProcessLookupError):
        guest.touch(machine, t.pid, np.zeros(1, np.uint64), 0)
    with pytest.raises((TypeError, AttributeError)):
        guest.touch(object(), 1, np.zeros(1, np.uint64), 0)
    machine.check()
