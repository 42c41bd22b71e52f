"""Calls: the system calls on an address space, and the questions about one, as methods of the engine.

A call returns what the kernel returns, negative errno values included. What is asked of task.py, and is not checked
here again, stands in engine.pyx.
"""
from errno import EBADF, ESRCH

import numpy as np

from vmcore._fast import records

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.core cimport Core
from vmcore._fast.filemap cimport file_is_open
from vmcore._fast.query cimport pagemap_fill, pagemap_t, smaps_fill, smaps_t
from vmcore._fast.records cimport POOL_VMA, machine_t, mm_t


cdef object address_or_errno(int64_t r):
    """What a call returned. Only -1..-4095 are errors: the kernels of 2004 give a senseless address back unread."""
    return r if -4095 <= r < 0 else <uint64_t>r


cdef class Calls(Core):
    """What a task can ask of its kernel about its memory."""

    cdef machine_t *enter_task(self, uint32_t pid) except NULL:
        """enter() for a call of a task, which 0 is not."""
        if pid == 0:
            raise ProcessLookupError(ESRCH, "there is no task 0")
        return self.enter(pid)

    cdef machine_t *enter_task_light(self, uint32_t pid) except NULL:
        """The same for a call that may be made where the host has no more."""
        cdef machine_t *m
        if pid == 0:
            raise ProcessLookupError(ESRCH, "there is no task 0")
        m = self.enter_light(pid)
        m.host_error = 0
        return m

    # ---------------------------------------------------------------- calls

    def mmap(
        self, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags, uint32_t file,
        uint64_t offset,
    ):
        cdef machine_t *m = self.enter_task(pid)
        cdef int64_t r
        if file != 0 and not file_is_open(m, file):
            self.leave(pid, -1)
            raise OSError(EBADF, f"there is no open file {file}")
        with nogil:
            r = m.calls.mmap(m, pid, addr, length, prot, flags, file, offset)
        self.leave(pid, -1)
        return address_or_errno(r)

    def munmap(self, uint32_t pid, uint64_t addr, uint64_t length):
        cdef machine_t *m = self.enter_task_light(pid)
        cdef int r
        with nogil:
            r = m.calls.munmap(m, pid, addr, length)
        self.leave(pid, -1)
        return r

    def mprotect(self, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.mprotect(m, pid, addr, length, prot)
        self.leave(pid, -1)
        return r

    def mremap(
        self, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags, uint64_t new_addr,
    ):
        cdef machine_t *m = self.enter_task(pid)
        cdef int64_t r
        with nogil:
            r = m.calls.mremap(m, pid, addr, old_len, new_len, flags, new_addr)
        self.leave(pid, -1)
        return address_or_errno(r)

    def remap_file_pages(
        self, uint32_t pid, uint64_t start, uint64_t size, uint32_t prot, uint64_t pgoff, uint32_t flags,
    ):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.remap_file_pages(m, pid, start, size, prot, pgoff, flags)
        self.leave(pid, -1)
        return r

    def brk(self, uint32_t pid, uint64_t brk):
        cdef machine_t *m = self.enter_task(pid)
        cdef uint64_t r
        with nogil:
            r = m.calls.brk(m, pid, brk)
        self.leave(pid, -1)
        return r

    def madvise(self, uint32_t pid, uint64_t addr, uint64_t length, int advice):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.madvise(m, pid, addr, length, advice)
        self.leave(pid, -1)
        return r

    def mlock(self, uint32_t pid, uint64_t addr, uint64_t length):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.mlock(m, pid, addr, length)
        self.leave(pid, -1)
        return r

    def mlock2(self, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.mlock2(m, pid, addr, length, flags)
        self.leave(pid, -1)
        return r

    def munlock(self, uint32_t pid, uint64_t addr, uint64_t length):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.munlock(m, pid, addr, length)
        self.leave(pid, -1)
        return r

    def mlockall(self, uint32_t pid, uint32_t flags):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.mlockall(m, pid, flags)
        self.leave(pid, -1)
        return r

    def munlockall(self, uint32_t pid):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.munlockall(m, pid)
        self.leave(pid, -1)
        return r

    def msync(self, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags):
        cdef machine_t *m = self.enter_task(pid)
        cdef int r
        with nogil:
            r = m.calls.msync(m, pid, addr, length, flags)
        self.leave(pid, -1)
        return r

    # ---------------------------------------------------------------- questions about an address space

    def pagemap(self, uint32_t pid, uint64_t first, uint64_t n):
        out = np.zeros(n, records.pagemap_t)
        cdef Py_buffer b
        cdef machine_t *m = self.enter_task_light(pid)
        PyObject_GetBuffer(out, &b, PyBUF_SIMPLE)
        with nogil:
            pagemap_fill(m, m.tasks[pid].mm, first, n, <pagemap_t *>b.buf)
        PyBuffer_Release(&b)
        self.leave(pid, -1)
        return out

    def mincore(self, uint32_t pid, uint64_t addr, uint64_t length):
        """Array of bool, or a negative errno. The caller sees to it that the pages are no more than there can be."""
        out = np.zeros((length + 4095) // 4096, np.bool_)
        cdef Py_buffer b
        cdef machine_t *m = self.enter_task_light(pid)
        cdef int r
        PyObject_GetBuffer(out, &b, PyBUF_SIMPLE)
        with nogil:
            r = m.calls.mincore(m, pid, addr, length, <uint8_t *>b.buf)
        PyBuffer_Release(&b)
        self.leave(pid, -1)
        return out if r == 0 else r

    def maps(self, uint32_t pid):
        """(vma, start, end, flags, pgoff, file name) of each VMA, by address. pgoff is what /proc/PID/maps shows."""
        cdef machine_t *m = self.enter_task_light(pid)
        cdef uint32_t v = m.mms[m.tasks[pid].mm].mmap
        cdef uint64_t pgoff
        cdef uint64_t whole = (<uint64_t>1 << (52 if m.rules.word_size == 8 else 20)) - 1   # pages in a word of bytes
        cdef list out = []
        while v != 0:
            name = (<bytes>m.files[m.vmas[v].file].name).decode(errors="replace") if m.vmas[v].file else ""
            pgoff = m.vmas[v].pgoff if m.vmas[v].file != 0 or m.rules.maps_anon_offset else 0
            if m.vmas[v].file == 0:
                pgoff &= whole      # of a stack that grew below offset 0, as the word shows it
            out.append((v, m.vmas[v].start, m.vmas[v].end, m.vmas[v].flags, pgoff, name))
            v = m.vmas[v].next
        self.leave(pid, -1)
        return out

    def smaps(self, uint32_t pid, uint32_t vma):
        """Bytes of one VMA by the lines of smaps."""
        cdef smaps_t s
        cdef machine_t *m = self.enter_task_light(pid)
        memset(&s, 0, sizeof(s))
        if vma == 0 or vma >= m.pools[POOL_VMA].next or m.vmas[vma].mm != m.tasks[pid].mm:
            self.leave(pid, -1)
            raise ValueError(f"task {pid} has no vma {vma}")
        with nogil:
            smaps_fill(m, vma, &s)
        self.leave(pid, -1)
        return s

    def mm(self, uint32_t pid):
        """The mm record of a task, as a dict."""
        cdef machine_t *m = self.enter_task_light(pid)
        cdef mm_t mm = m.mms[m.tasks[pid].mm]
        self.leave(pid, -1)
        return mm
