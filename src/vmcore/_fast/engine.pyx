"""Engine: the one extension type that Python sees; one method a call, and the C surface of engine.pxd.

System calls on an address space are in its base (syscalls.pyx). Calls return what the kernel returns, negative errno
values included; task.py makes OSErrors of them. Arguments that task.py and machine.py have checked are not checked
again; the arrays of touch() and run(), and the numbers of tasks and files, which anybody can make up, are checked here.
"""
from errno import EBADF, ESRCH

import numpy as np

from vmcore._fast import arguments
from vmcore._fast.check import CHECK_NAMES
from vmcore._fast.core import LAYOUT, host_bytes        # noqa: F401  # no-cython-lint
from vmcore._fast.counters import COUNTER_NAMES
from vmcore.errors import BusError, KernelBug, SegmentationFault

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer,
)
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from vmcore._fast.check cimport check_machine, check_report
from vmcore._fast.file_io cimport do_pread, do_pwrite
from vmcore._fast.filemap cimport file_create, file_is_open, file_put
from vmcore._fast.fork cimport do_exec, do_exit, do_fork, do_spawn
from vmcore._fast.host cimport host_t
from vmcore._fast.pagetable cimport pte_is_marker, pte_lookup, pte_pfn, pte_present
from vmcore._fast.records cimport (
    FILE_OPEN, KILLED_NOT, NR_RLIM, POOL_FILE, POOL_TASK, TASK_ALIVE, file_t, machine_t, task_t)
from vmcore._fast.swap cimport swapon
from vmcore._fast.swapoff cimport do_swapoff
from vmcore._fast.syscalls cimport Calls
from vmcore._fast.touch cimport (
    TOUCH_BUS, TOUCH_OK, TOUCH_SEGV, run_result, run_trace, touch_batch, touch_range, touch_result, touch_token,
    trace_t,
)
from vmcore._fast.truncate cimport (
    do_punch_hole, do_truncate, file_sync, invalidate_inode_pages2, invalidate_mapping_pages)


cdef bint get_u64(object o, Py_buffer *b) except -1:
    """The buffer of a contiguous one-dimensional array of u64; 0 for anything else."""
    if not PyObject_CheckBuffer(o):
        return 0
    try:
        PyObject_GetBuffer(o, b, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (BufferError, ValueError, TypeError):
        return 0
    if b.ndim == 1 and b.itemsize == 8 and b.format != NULL and b.format[0] in (c"L", c"Q") and b.format[1] == 0:
        return 1
    PyBuffer_Release(b)
    return 0


cdef uint64_t address(object o) except? 1:
    try:
        return <uint64_t>o
    except OverflowError:
        return arguments.integer("address", o)      # says what is wrong with it


cdef uint64_t first_bad(const trace_t *t, uint64_t n, uint64_t nr_tasks) noexcept nogil:
    """First record that names no task, or an unknown op; n if all are well."""
    cdef uint64_t i
    for i in range(n):
        if t[i].op > 1 or t[i].task == 0 or t[i].task >= nr_tasks:
            return i
    return n


cdef inline bint guarded(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    """A guard marker stands there, so the fault was not for want of a mapping."""
    cdef uint32_t pte = pte_lookup(m, mm, addr) if mm != 0 and addr < m.rules.task_size else 0
    return pte != 0 and pte_is_marker(m.ptes[pte])


cdef class Engine(Calls):
    """A simulated machine, as Python calls it."""

    cdef machine_t *enter_file(self, uint32_t file) except NULL:
        """enter() for a call on an open file."""
        cdef machine_t *m = self.enter(0)
        if not file_is_open(m, file):
            self.leave(0, -1)
            raise OSError(EBADF, f"there is no open file {file}")
        return m

    # ---------------------------------------------------------------- touches

    cdef int touched(self, uint32_t pid, touch_result *r, bint batch) except -1:
        cdef machine_t *m = self.m
        cdef bint guard = r.status == TOUCH_SEGV and r.code == 1 and guarded(m, m.tasks[pid].mm, r.addr)
        self.leave(pid, <int64_t>r.index)
        if r.status == TOUCH_OK:
            return 0
        index = r.index if batch else None
        if r.status == TOUCH_SEGV:
            raise SegmentationFault(self.task(pid), r.addr, <int>r.code, index, bool(guard))
        if r.status == TOUCH_BUS:
            raise BusError(self.task(pid), r.addr, 2, index)
        raise SystemError(f"touch ended with status {r.status} at access {r.index}")

    def touch(self, uint32_t pid, addresses, write=False):
        cdef touch_result r
        cdef machine_t *m
        cdef Py_buffer a, w
        cdef const uint8_t *each = NULL
        cdef uint64_t one
        cdef uint64_t n
        cdef int all_write = write is True
        if type(addresses) is int:
            if not all_write and write is not False:
                all_write = arguments.flag("write", write)
            one = address(addresses)
            m = self.enter_task(pid)
            with nogil:
                touch_batch(m, pid, &one, NULL, all_write, 1, &r)
            self.touched(pid, &r, 0)
            return
        if not get_u64(addresses, &a):
            addresses = arguments.addresses(addresses)
            if type(addresses) is int:      # a numpy integer, or what else has __index__
                return self.touch(pid, addresses, write)
            PyObject_GetBuffer(addresses, &a, PyBUF_SIMPLE)
        try:
            n = <uint64_t>a.len // 8
            if not all_write and write is not False:
                if isinstance(write, np.bool_):
                    all_write = bool(write)
                else:
                    write = arguments.writes(write, n)
                    PyObject_GetBuffer(write, &w, PyBUF_SIMPLE)
                    each = <const uint8_t *>w.buf
            try:
                m = self.enter_task(pid)
                with nogil:
                    touch_batch(m, pid, <const uint64_t *>a.buf, each, all_write, n, &r)
                self.touched(pid, &r, 1)
            finally:
                if each != NULL:
                    PyBuffer_Release(&w)
        finally:
            PyBuffer_Release(&a)

    def touch_range(self, uint32_t pid, uint64_t addr, uint64_t length, bint write):
        cdef touch_result r
        cdef machine_t *m = self.enter_task(pid)
        with nogil:
            touch_range(m, pid, addr, length, write, &r)
        self.touched(pid, &r, 1)

    def token(self, uint32_t pid, uint64_t addr, bint write, uint64_t value):
        """One access that carries a content token: stores value, or returns what is there."""
        cdef touch_result r
        cdef machine_t *m = self.enter_task(pid)
        with nogil:
            touch_token(m, pid, addr, write, &value, &r)
        self.touched(pid, &r, 0)
        return value

    def run(self, trace):
        """(executed, skipped, killed) of a trace."""
        cdef Py_buffer b
        cdef run_result r
        cdef uint64_t n, bad
        cdef machine_t *m
        trace = arguments.trace(trace)
        PyObject_GetBuffer(trace, &b, PyBUF_SIMPLE)
        try:
            n = <uint64_t>b.len // sizeof(trace_t)
            m = self.enter(0)
            with nogil:
                bad = first_bad(<const trace_t *>b.buf, n, m.pools[POOL_TASK].next)
                if bad == n:
                    run_trace(m, <const trace_t *>b.buf, n, &r)
            self.leave(0, -1)
        finally:
            PyBuffer_Release(&b)
        if bad < n:
            if trace["op"][bad] > 1:
                raise ValueError(f"trace record {bad}: op must be 0 (read) or 1 (write), not {trace['op'][bad]}")
            raise ValueError(f"trace record {bad}: there is no task {trace['task'][bad]}")
        return r.executed, r.skipped, r.killed

    # ---------------------------------------------------------------- tasks

    def spawn(self, bytes comm, uint64_t mmap_base, uint64_t start_brk):
        cdef machine_t *m = self.enter(0)
        cdef const char *name = comm
        cdef int64_t r
        with nogil:
            r = do_spawn(m, name, mmap_base, start_brk)
        self.leave(0, -1)
        return r

    def fork(self, uint32_t pid, bytes comm):
        cdef machine_t *m = self.enter_task(pid)
        cdef const char *name = m.tasks[pid].comm
        cdef int64_t r
        if comm is not None:
            name = comm
        with nogil:
            r = do_fork(m, pid, name)
        self.leave(pid, -1)
        return r

    def exec(self, uint32_t pid, bytes comm, uint32_t argpages):
        cdef machine_t *m = self.enter_task(pid)
        cdef const char *name = m.tasks[pid].comm
        cdef int r
        if comm is not None:
            name = comm
        with nogil:
            r = do_exec(m, pid, name, argpages)
        self.leave(pid, -1)
        return r

    def exit(self, uint32_t pid):
        cdef machine_t *m = self.enter_task_light(pid)
        with nogil:
            do_exit(m, pid, KILLED_NOT)
        self.leave(pid, -1)

    def task_record(self, uint32_t pid):
        """What a task's record says, as a dict; the dead have one too."""
        cdef machine_t *m = self.claim()
        cdef task_t *t = &m.tasks[pid]
        cdef int i
        if pid == 0 or pid >= m.pools[POOL_TASK].next:
            self.release()
            raise ProcessLookupError(ESRCH, f"there is no task {pid}")
        out = {
            "state": t.state, "mm": t.mm, "parent": t.parent, "killed_by": t.killed_by, "caps": t.caps, "nice": t.nice,
            "min_flt": t.min_flt, "maj_flt": t.maj_flt, "start_ns": t.start_ns,
            "rlim": [t.rlim[i] for i in range(NR_RLIM)],
            "rlim_max": [t.rlim_max[i] for i in range(NR_RLIM)],
            "comm": (<bytes>t.comm).decode(errors="replace"),
        }
        self.release()
        return out

    def set_rlimit(self, uint32_t pid, int which, uint64_t soft, uint64_t hard):
        cdef machine_t *m = self.enter_task(pid)
        m.tasks[pid].rlim[which] = soft
        m.tasks[pid].rlim_max[which] = hard
        self.leave(pid, -1)

    def set_caps(self, uint32_t pid, uint32_t caps):
        cdef machine_t *m = self.enter_task(pid)
        m.tasks[pid].caps = caps
        self.leave(pid, -1)

    def pids(self):
        """Tasks that live."""
        cdef machine_t *m = self.claim()
        cdef uint32_t i
        found = [i for i in range(1, <uint32_t>m.pools[POOL_TASK].next) if m.tasks[i].state == TASK_ALIVE]
        self.release()
        return found

    # ---------------------------------------------------------------- files

    def file_create(self, uint32_t kind, uint64_t size, uint32_t flags, bytes name):
        cdef machine_t *m = self.enter(0)
        cdef const char *raw = name
        cdef uint32_t f
        with nogil:
            f = file_create(m, kind, size, flags | FILE_OPEN, raw)
        self.leave(0, -1)
        return f

    def file(self, uint32_t file):
        """The record of a file, as a dict; None if there is none of that number."""
        cdef machine_t *m = self.enter(0)
        cdef file_t f
        memset(&f, 0, sizeof(f))
        if file < m.pools[POOL_FILE].next:
            f = m.files[file]
        self.leave(0, -1)
        return f if f.kind != 0 else None

    def file_close(self, uint32_t file):
        cdef machine_t *m = self.enter(0)
        if file_is_open(m, file):
            m.files[file].flags &= ~<uint32_t>FILE_OPEN
            with nogil:
                file_put(m, file)
        self.leave(0, -1)

    def truncate(self, uint32_t file, uint64_t size):
        cdef machine_t *m = self.enter_file(file)
        cdef int r
        with nogil:
            r = do_truncate(m, file, size)
        self.leave(0, -1)
        return r

    def punch_hole(self, uint32_t file, uint64_t offset, uint64_t length):
        cdef machine_t *m = self.enter_file(file)
        cdef int r
        with nogil:
            r = do_punch_hole(m, file, offset, length)
        self.leave(0, -1)
        return r

    def file_read(self, uint32_t file, uint64_t offset):
        """(bytes read or negative errno, token)."""
        cdef machine_t *m = self.enter_file(file)
        cdef uint64_t token = 0
        cdef int r
        with nogil:
            r = do_pread(m, file, offset, &token)
        self.leave(0, -1)
        return r, token

    def file_write(self, uint32_t file, uint64_t offset, uint64_t token):
        cdef machine_t *m = self.enter_file(file)
        cdef int r
        with nogil:
            r = do_pwrite(m, file, offset, token)
        self.leave(0, -1)
        return r

    def invalidate(self, uint32_t file, bint mapped):
        cdef machine_t *m = self.enter_file(file)
        cdef uint64_t n
        with nogil:
            if mapped:
                n = invalidate_inode_pages2(m, file)
            else:
                n = invalidate_mapping_pages(m, file, 0, ~<uint64_t>0)
        self.leave(0, -1)
        return n

    def sync(self, uint32_t file):
        cdef machine_t *m = self.enter_file(file)
        cdef uint64_t n
        with nogil:
            n = file_sync(m, file)
        self.leave(0, -1)
        return n

    # ---------------------------------------------------------------- the machine

    def swapon(self, uint64_t pages, int32_t prio):
        cdef machine_t *m = self.enter(0)
        cdef int r
        with nogil:
            r = swapon(m, pages, prio)
        self.leave(0, -1)
        return r

    def swapoff(self, uint32_t area):
        cdef machine_t *m = self.enter(0)
        cdef int r
        with nogil:
            r = do_swapoff(m, area)
        self.leave(0, -1)
        return r

    def reclaim(self, uint64_t pages):
        cdef machine_t *m = self.enter(0)
        cdef uint64_t n
        with nogil:
            n = m.reclaim.reclaim(m, pages)
        self.leave(0, -1)
        return n

    def check(self, uint64_t walk):
        """Numbers of a check that holds, as a dict; KernelBug if it does not."""
        cdef machine_t *m = self.enter_light(0)
        cdef check_report r
        cdef uint32_t *frames = <uint32_t *>calloc(m.nr_frames + 1, sizeof(uint32_t))
        cdef uint16_t *slots = <uint16_t *>calloc(m.slots_used + 1, sizeof(uint16_t))
        m.host_error = 0        # pool_reserve() left enough for these two
        memset(&r, 0, sizeof(r))
        if frames != NULL and slots != NULL:
            with nogil:
                check_machine(m, walk, frames, slots, &r)
        short_of = frames == NULL or slots == NULL
        free(frames)
        free(slots)
        self.leave(0, -1)
        if short_of:
            raise MemoryError(f"check needs {4 * m.nr_frames + 2 * m.slots_used} bytes")
        if r.failed != 0:
            raise KernelBug(CHECK_NAMES[r.failed][0], (r.arg[0], r.arg[1], r.arg[2]))
        report = dict(r)
        del report["failed"], report["arg"]
        return report


# ---------------------------------------------------------------- the C surface (engine.pxd)

cdef vmcore_machine *vm_enter(object machine, uint32_t pid) except NULL:
    cdef Engine e = machine if isinstance(machine, Engine) else machine._engine
    return <vmcore_machine *>e.enter(pid)


cdef int vm_leave(vmcore_machine *h) except -1:
    cdef Engine e = <Engine>(<host_t *>h).engine
    return e.leave(e.m.current, -1)


cdef void vm_touch(
    vmcore_machine *h, const uint64_t *addrs, const uint8_t *writes, int write, uint64_t n, vm_outcome *out,
) noexcept nogil:
    cdef machine_t *m = <machine_t *>h
    cdef touch_result r
    memset(&r, 0, sizeof(r))
    if m.current != 0:
        touch_batch(m, m.current, addrs, writes, write, n, &r)
    out.status = r.status
    out.code = r.code
    out.done = r.index
    out.addr = r.addr


cdef void vm_run(vmcore_machine *h, const vm_access *trace, uint64_t n, vm_outcome *out) noexcept nogil:
    cdef run_result r
    memset(&r, 0, sizeof(r))
    run_trace(<machine_t *>h, <const trace_t *>trace, n, &r)
    out.status = r.status
    out.code = 0
    out.done = r.index
    out.addr = 0


cdef uint32_t vm_frame(vmcore_machine *h, uint32_t pid, uint64_t addr) noexcept nogil:
    cdef machine_t *m = <machine_t *>h
    cdef uint32_t i
    if pid == 0 or pid >= m.pools[POOL_TASK].next or m.tasks[pid].state != TASK_ALIVE or addr >= m.rules.task_size:
        return 0
    i = pte_lookup(m, m.tasks[pid].mm, addr)
    return pte_pfn(m.ptes[i]) if i != 0 and pte_present(m.ptes[i]) else 0


cdef uint64_t vm_counter(vmcore_machine *h, int counter) noexcept nogil:
    return (<machine_t *>h).counters[counter]


cdef int vm_counter_id(str name) except -1:
    return COUNTER_NAMES.index(name)


cdef uint64_t vm_nr_frames(vmcore_machine *h) noexcept nogil:
    return (<machine_t *>h).nr_frames


cdef uint64_t vm_now(vmcore_machine *h) noexcept nogil:
    return (<machine_t *>h).now
