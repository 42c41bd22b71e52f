"""The OOM killer of 2.4 and 2.6.5. mm/oom_kill.c; fact sheet linux-2004 7.8.

It acts only after ten calls within a window of one to five seconds, five seconds after its last kill at the earliest,
and never while there is free swap. The last test can make this kernel loop for ever (free swap, but nothing that could
go there); then alloc_pages() asks with m.livelock set, and the choice of victim is the kernel's own all the same.

Badness is a task's address space, divided; tasks with next to none have 0 and are never chosen. When nobody is left to
choose, the kernel panics: here the allocation fails and the boundary raises KernelBug, with the machine as it stood.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_OOM_NO_VICTIM, bug
from vmcore._fast.counters cimport OOM_CALLS, OOM_KILLS, count
from vmcore._fast.fork cimport do_exit
from vmcore._fast.records cimport (
    CAP_SYS_ADMIN, CAP_SYS_RAWIO, KILLED_OOM, PF_SWAPOFF, PF_SWAPOFF_FAILED, POOL_TASK, TASK_ALIVE, TASK_DYING,
    machine_t, task_t,
)

cdef enum:
    SECOND = 1000000000


cdef uint64_t int_sqrt(uint64_t x) noexcept nogil:
    """A rough integer square root, as the kernel's: largest r with r * r <= x."""
    cdef uint64_t r = 0
    cdef uint64_t bit = <uint64_t>1 << 31
    while bit:
        if (r | bit) * (r | bit) <= x:
            r |= bit
        bit >>= 1
    return r


cdef uint64_t rough_sqrt(uint64_t x) noexcept nogil:
    """2.4's: halved as often as x can be quartered, a quarter less if 1 is left; never 0."""
    cdef uint64_t r = x
    while x > 1:
        x >>= 2
        r >>= 1
    if x == 1:
        r -= r >> 2
    return r if r != 0 else 1


def rough_root(uint64_t x):
    """rough_sqrt, for tests."""
    return rough_sqrt(x)


cdef uint64_t root(machine_t *m, uint64_t x) noexcept nogil:
    return rough_sqrt(x) if m.rules.oom_rough_sqrt else int_sqrt(x)


cdef uint64_t badness(machine_t *m, uint32_t pid) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    cdef uint64_t points, s
    if t.state != TASK_ALIVE or t.mm == 0 or t.memdie:
        return 0
    points = m.mms[t.mm].total_vm
    s = root(m, t.cpu_ns // SECOND // 8)
    if s:
        points //= s
    s = root(m, root(m, (m.now - t.start_ns) // SECOND // 1024))
    if s:
        points //= s
    if t.nice > 0:
        points *= 2
    # every task here has the rights of root unless they were dropped; equal rights cancel in the comparison
    if t.caps & CAP_SYS_ADMIN:
        points //= 4
    if t.caps & CAP_SYS_RAWIO:
        points //= 4
    return points


cdef void oom_kill(machine_t *m) noexcept nogil:
    cdef uint32_t pid
    cdef uint32_t victim = 0
    cdef uint64_t points
    cdef uint64_t worst = 0
    if m.pf & PF_SWAPOFF:
        # the task in swapoff is chosen outright: alloc_pages gives up for it, swapoff fails, and that ends the shortage
        m.pf |= PF_SWAPOFF_FAILED
        return
    for pid in range(1, <uint32_t>m.pools[POOL_TASK].next):
        points = badness(m, pid)
        if points > worst:
            worst = points
            victim = pid
    if victim == 0:
        bug(m, BUG_OOM_NO_VICTIM, m.nr_tasks, 0, 0)
        return
    count(m, OOM_KILLS)
    m.oom_lastkill = m.now
    m.tasks[victim].memdie = 1
    m.tasks[victim].killed_by = KILLED_OOM
    m.tasks[victim].state = TASK_DYING
    if victim != m.current:         # it is between two accesses: it takes the signal and exits
        do_exit(m, victim, KILLED_OOM)


cdef int out_of_memory(machine_t *m) noexcept nogil:
    cdef uint64_t kills = m.counters[OOM_KILLS]
    count(m, OOM_CALLS)
    if not m.livelock:
        if m.nr_swap_pages > 0:
            return 0
        if m.now - m.oom_last > 5 * <uint64_t>SECOND or m.oom_first == 0:
            m.oom_last = m.now
            m.oom_first = m.now if m.now else 1
            m.oom_count = 0
            return 0
        m.oom_last = m.now
        if m.now - m.oom_first < SECOND:
            return 0
        m.oom_count += 1
        if m.oom_count < 10:
            return 0
        if m.oom_lastkill != 0 and m.now - m.oom_lastkill < 5 * <uint64_t>SECOND:
            return 0
    oom_kill(m)
    m.oom_first = m.now if m.now else 1
    m.oom_count = 0
    return m.counters[OOM_KILLS] > kills
