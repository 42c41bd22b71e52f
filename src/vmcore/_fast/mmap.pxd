# The system calls on an address space, with the order of checks of 2.6.5. mm/mmap.c, mm/mprotect.c; fact sheet
# linux-2004 6.3 to 6.6, 6.10.
from libc.stdint cimport uint32_t, uint64_t, int64_t
from vmcore._fast.records cimport CAP_IPC_LOCK, PAGE_MASK_LOW, PAGE_SHIFT, RLIM_MEMLOCK, machine_t

cdef enum:
    PROT_READ = 1
    PROT_WRITE = 2
    PROT_EXEC = 4
    PROT_BITS = PROT_READ | PROT_WRITE | PROT_EXEC      # the same values as VM_READ, VM_WRITE, VM_EXEC
    PROT_SEM = 8
    PROT_GROWSDOWN = 0x01000000
    PROT_GROWSUP = 0x02000000
    MAP_SHARED = 1
    MAP_PRIVATE = 2
    MAP_SHARED_VALIDATE = 3
    MAP_DROPPABLE = 8
    MAP_TYPE = 0xF
    MAP_FIXED = 0x10
    MAP_ANONYMOUS = 0x20
    MAP_GROWSDOWN = 0x100
    MAP_LOCKED = 0x2000
    MAP_NORESERVE = 0x4000
    MAP_POPULATE = 0x8000
    MAP_NONBLOCK = 0x10000
    MAP_STACK = 0x20000
    MAP_HUGETLB = 0x40000
    MAP_SYNC = 0x80000
    MAP_FIXED_NOREPLACE = 0x100000

cdef inline int IS_ERR_VALUE(int64_t v) noexcept nogil:
    return v < 0 and v >= -4095

cdef inline uint64_t page_align(uint64_t x) noexcept nogil:
    """Up; wraps to 0 in the last page, as the kernel's."""
    return (x + PAGE_MASK_LOW) & ~<uint64_t>PAGE_MASK_LOW

cdef inline int over_limit(machine_t *m, uint32_t pid, int which, uint64_t pages, uint64_t length) noexcept nogil:
    """Would `length` bytes on top of `pages` break the limit?"""
    return (pages << PAGE_SHIFT) + length > m.tasks[pid].rlim[which]

cdef inline int over_memlock(machine_t *m, uint32_t pid, uint64_t length) noexcept nogil:
    """The same for locked memory: where users may lock by the limit, the capability waives it."""
    if m.rules.mlock_right != 0 and m.tasks[pid].caps & CAP_IPC_LOCK:
        return 0
    return over_limit(m, pid, RLIM_MEMLOCK, m.mms[m.tasks[pid].mm].locked_vm, length)

# Address or negative errno. file 0 = anonymous.
cdef int64_t do_mmap(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags,
                    uint32_t file, uint64_t offset) noexcept nogil
cdef int do_munmap(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil
# The same for a caller that holds mmap_sem already.
cdef int munmap_range(machine_t *m, uint32_t mm, uint64_t start, uint64_t length) noexcept nogil
# Its second half: everything in [start, end) goes, and no vma reaches over these borders. prev: the vma below. Tables
# are freed by whole spans of 1 << shift bytes. Nothing fails.
cdef void unmap_vmas(machine_t *m, uint32_t mm, uint32_t prev, uint64_t start, uint64_t end,
                     uint32_t shift) noexcept nogil
# The unlinked file behind shared anonymous memory, charged by its size. 0: ENOMEM. unchecked: charged without asking.
cdef uint32_t shmem_object(machine_t *m, uint32_t pid, uint64_t length, int unchecked) noexcept nogil
cdef uint64_t do_brk(machine_t *m, uint32_t pid, uint64_t brk) noexcept nogil      # the new (or unchanged) brk
# Charge / return pages of vm_committed_space: 0 or -ENOMEM (fact sheet 6.10).
cdef int vm_enough_memory(machine_t *m, uint32_t pid, uint64_t pages) noexcept nogil
cdef void vm_unacct_memory(machine_t *m, uint64_t pages) noexcept nogil
