# Where a new mapping goes: get_unmapped_area of 6.18 on x86_64. mm/mmap.c, mm/vma.c, arch/x86/kernel/sys_x86_64.c.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.records cimport VM_GROWSDOWN, machine_t, vma_t

cdef enum:
    LSM_MMAP_MIN_ADDR = 65536   # of the kernel's configuration; the sysctl can only ask for more

cdef inline uint64_t lowest_address(machine_t *m) noexcept nogil:
    """No search or hint goes below it. A fixed mapping may, above the sysctl's own value or with CAP_SYS_RAWIO."""
    return m.mmap_min_addr if m.mmap_min_addr > <uint64_t>LSM_MMAP_MIN_ADDR else LSM_MMAP_MIN_ADDR

cdef inline uint64_t vm_start_gap(machine_t *m, uint32_t vma) noexcept nogil:
    """Where vma's own space starts: a stack keeps its guard gap below it."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t gap = <uint64_t>m.stack_guard_gap << 12
    if (v.flags & VM_GROWSDOWN) == 0:
        return v.start
    return v.start - gap if v.start > gap else 0

# The address for length bytes, or a negative errno. file: 0 anonymous. shared: MAP_SHARED was asked for. flags:
# MAP_FIXED and MAP_32BIT count. pgoff: page of the file.
cdef int64_t get_unmapped_area_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint64_t pgoff,
                                 uint32_t flags, uint32_t file) noexcept nogil
