# Core: what every call of Engine stands on. Internal; other packages cimport engine.pxd.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.host cimport host_t
from vmcore._fast.records cimport machine_t

cdef class Core:
    cdef host_t *h
    cdef machine_t *m           # &h.m
    cdef int busy               # a call is in progress
    cdef uint64_t oom_seen      # counter oom_kills when the dying were last buried
    cdef list regions           # one Region a pool
    cdef readonly tuple designs     # (rmap, i_mmap, reclaim, calls)
    cdef public object owner    # weak reference to the Machine, for exceptions; None
    cdef object __weakref__

    cdef int alloc(self, tuple designs) except -1
    cdef int reserve(self, uint64_t slots) except -1
    cdef int seal(self) except -1
    cdef machine_t *booted(self) except NULL
    # Claim the machine for this thread; RuntimeError if it is in a call.
    cdef machine_t *claim(self) except NULL
    cdef int release(self) except -1
    # claim() for a call of task pid (0: none): it must live, and the host must have room for one stretch.
    cdef machine_t *enter(self, uint32_t pid) except NULL
    # The same for a call that takes no host memory, and is what a user needs where there is no more: check, questions,
    # exit, munmap. The caller clears m.host_error, which says that the host had no room.
    cdef machine_t *enter_light(self, uint32_t pid) except NULL
    # End of a call, and what happened in it as an exception. index: place in a batch.
    cdef int leave(self, uint32_t pid, int64_t index) except -1
    cdef int trouble(self, uint32_t pid, int64_t index) except -1
    cdef object task(self, uint32_t pid)
