# The OOM killer of 2.6.5. mm/oom_kill.c; fact sheet linux-2004 7.8.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int out_of_memory(machine_t *m) noexcept nogil      # 1 if a task was chosen and killed
cdef uint64_t badness(machine_t *m, uint32_t pid) noexcept nogil
