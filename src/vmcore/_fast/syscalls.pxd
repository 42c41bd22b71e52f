# The system calls on an address space, as methods: the base of Engine. Internal; other packages cimport engine.pxd.
from libc.stdint cimport uint32_t
from vmcore._fast.core cimport Core
from vmcore._fast.records cimport machine_t

cdef class Calls(Core):
    # enter() for a call of a task, which 0 is not.
    cdef machine_t *enter_task(self, uint32_t pid) except NULL
    cdef machine_t *enter_task_light(self, uint32_t pid) except NULL
