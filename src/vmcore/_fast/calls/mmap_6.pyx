"""mmap, munmap, brk and remap_file_pages of 6.18.

Source: asked of 6.18.44; mm/mmap.c, mm/vma.c, mm/util.c; fact sheet linux-modern 1.11, 6.9. Unlike in 2004 a mapping
over others unmaps them only when nothing but memory can fail any more, and it is charged for what it has more than
they. What was split for it at its borders stays split if it is refused. Pages are faulted in last, without mmap_sem.

Accounted is what is private, writable and not MAP_NORESERVE, when it is mapped. Placement is in area_6.pyx, limits are
in limits_6.pyx, and merging is vma_merge (merge.pyx) with the rules of this kernel.

Not here, because nothing in this engine has it: huge pages of hugetlbfs (MAP_HUGETLB finds none in its pool: ENOMEM,
with MAP_NORESERVE too, where Linux maps what no fault can fill), sealed mappings,
userfaultfd, and of protection keys only that of memory that is executable only (mprotect_6.pyx).
"""
from libc.errno cimport EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.calls.area_6 cimport get_unmapped_area_6, lowest_address, vm_start_gap
from vmcore._fast.calls.limits_6 cimport can_do_mlock, may_expand_vm, mlock_future_ok
from vmcore._fast.filemap cimport file_put
from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.merge cimport vma_merge
from vmcore._fast.mmap cimport (
    IS_ERR_VALUE, MAP_ANONYMOUS, MAP_DROPPABLE, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_HUGETLB, MAP_LOCKED,
    MAP_NONBLOCK, MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_STACK, MAP_SYNC,
    MAP_TYPE, PROT_BITS, PROT_EXEC, PROT_WRITE, page_align, shmem_object, unmap_vmas, vm_enough_memory,
    vm_unacct_memory)
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_READONLY, PAGE_MASK_LOW, PAGE_SHIFT, PAGE_SIZE, RLIM_DATA, VM_ACCOUNT, VM_DONTDUMP,
    VM_DONTEXPAND, VM_DROPPABLE, VM_EXEC, VM_GROWSDOWN, VM_IO, VM_LOCKED, VM_LOCKONFAULT, VM_MAYEXEC, VM_MAYREAD,
    VM_MAYSHARE, VM_MAYWRITE, VM_NOHUGEPAGE, VM_NORESERVE, VM_PFNMAP, VM_PKEY, VM_READ, VM_SHARED, VM_SYNC,
    VM_WIPEONFORK, VM_WRITE, machine_t, mm_t, vma_t)
from vmcore._fast.vma cimport (
    find_vma, find_vma_intersection, find_vma_prev, split_vma_anyway, vm_stat_account, vma_alloc, vma_free, vma_link)

cdef enum:
    # what a MAP_SHARED_VALIDATE mapping may ask for; MAP_SYNC is for DAX
    # or unknown
    LEGACY_MAP_MASK = 0x7C07F9F3
    MAP_HUGE_SHIFT = 26

cdef uint64_t MAX_LFS_FILESIZE = ~<uint64_t>0 >> 1

cdef struct gone_t:         # what a mapping replaces
    uint32_t prev           # the vma below
    uint64_t pages
    uint64_t accounted      # pages


# ---------------------------------------------------------------- munmap

cdef int gather(machine_t *m, uint32_t mm, uint64_t start, uint64_t end, gone_t *g) noexcept nogil:
    """vms_gather_munmap_vmas: afterwards no vma reaches over the borders, and *g tells what is inside. Only a hole in
    one vma adds to map_count for good, so only that is refused at the limit."""
    cdef uint32_t vma
    cdef vma_t *v
    g.pages = g.accounted = 0
    vma = find_vma_prev(m, mm, start, &g.prev)
    if vma == 0 or m.vmas[vma].start >= end:
        return 0
    if m.vmas[vma].start < start:
        if end < m.vmas[vma].end and m.mms[mm].map_count >= m.max_map_count:
            return -ENOMEM
        g.prev = vma
        vma = split_vma_anyway(m, vma, start, 0)
        if vma == 0:
            return -ENOMEM
    while vma != 0 and m.vmas[vma].start < end:
        if m.vmas[vma].end > end and split_vma_anyway(m, vma, end, 0) == 0:
            return -ENOMEM
        v = &m.vmas[vma]
        g.pages += (v.end - v.start) >> PAGE_SHIFT
        if v.flags & VM_ACCOUNT:
            g.accounted += (v.end - v.start) >> PAGE_SHIFT
        vma = v.next
    return 0


cdef int munmap_range_6(machine_t *m, uint32_t mm, uint64_t start, uint64_t length) noexcept nogil:
    cdef gone_t g
    if (start & PAGE_MASK_LOW) != 0 or start > m.rules.task_size or length > m.rules.task_size - start:
        return -EINVAL
    length = page_align(length)
    if length == 0:
        return -EINVAL
    if find_vma_intersection(m, mm, start, start + length) == 0:
        return 0
    if gather(m, mm, start, start + length, &g) < 0:
        return -ENOMEM
    unmap_vmas(m, mm, g.prev, start, start + length, m.leaf_shift)
    return 0


cdef int do_munmap_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err
    down_mmap_sem(m, mm)
    err = munmap_range_6(m, mm, addr, length)
    up_mmap_sem(m, mm)
    return err


# ---------------------------------------------------------------- mmap

cdef int file_flags(machine_t *m, uint32_t prot, uint32_t flags, uint32_t file, uint64_t length, uint64_t pgoff,
                    uint32_t *vm_flags) noexcept nogil:
    cdef uint32_t kind = flags & MAP_TYPE
    cdef int readonly = (m.files[file].flags & FILE_READONLY) != 0
    if length > MAX_LFS_FILESIZE or pgoff > (MAX_LFS_FILESIZE - length) >> PAGE_SHIFT:
        return -EOVERFLOW
    if kind == MAP_SHARED or kind == MAP_SHARED_VALIDATE:
        if kind == MAP_SHARED_VALIDATE and (flags & ~<uint32_t>LEGACY_MAP_MASK) != 0:
            return -EOPNOTSUPP
        if readonly and prot & PROT_WRITE:
            return -EACCES
        vm_flags[0] |= VM_SHARED | VM_MAYSHARE
        if readonly:
            vm_flags[0] &= ~<uint32_t>(VM_MAYWRITE | VM_SHARED)
    elif kind != MAP_PRIVATE:
        return -EINVAL
    return -EINVAL if vm_flags[0] & VM_GROWSDOWN else 0


cdef int anon_flags(uint32_t flags, uint32_t *vm_flags) noexcept nogil:
    cdef uint32_t kind = flags & MAP_TYPE
    if kind == MAP_SHARED:
        if vm_flags[0] & VM_GROWSDOWN:
            return -EINVAL
        vm_flags[0] |= VM_SHARED | VM_MAYSHARE
    elif kind == MAP_DROPPABLE:
        if flags & (MAP_LOCKED | MAP_GROWSDOWN):
            return -EINVAL
        vm_flags[0] |= VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP
    elif kind != MAP_PRIVATE:
        return -EINVAL
    return 0


cdef uint32_t new_vma(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t vm_flags, uint32_t file,
                      uint64_t pgoff) noexcept nogil:
    """A vma of its own for the range; 0: no memory."""
    cdef uint32_t vma = vma_alloc(m)
    cdef uint32_t object = 0
    cdef vma_t *v = &m.vmas[vma]
    if vma == 0:
        return 0
    if file == 0 and (vm_flags & VM_SHARED) != 0:
        object = file = shmem_object(m, pid, length, (vm_flags & VM_NORESERVE) != 0)
        if object == 0:
            vma_free(m, vma)
            return 0
    if file != 0 and m.files[file].kind == FILE_DEVICE:
        vm_flags |= VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP
    v.start = addr
    v.end = addr + length
    v.flags = vm_flags
    v.file = file
    v.pgoff = pgoff
    vma_link(m, m.tasks[pid].mm, vma)
    if object != 0:
        file_put(m, object)         # from now on the vma alone holds it
    return vma


cdef int map_region(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t vm_flags, uint32_t file,
                    uint64_t pgoff) noexcept nogil:
    """mmap_region: 0 or a negative errno."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t pages = length >> PAGE_SHIFT
    cdef uint64_t charged = 0
    cdef uint32_t vma
    cdef gone_t g
    if gather(m, mm, addr, addr + length, &g) < 0:
        return -ENOMEM
    if not may_expand_vm(m, pid, vm_flags, pages - g.pages):
        return -ENOMEM
    if (vm_flags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) == VM_WRITE:
        charged = pages
        # what it replaces is charged already
        if pages > g.accounted and vm_enough_memory(m, pid, pages - g.accounted) < 0:
            return -ENOMEM
        m.committed += pages if pages <= g.accounted else g.accounted
        vm_flags |= VM_ACCOUNT
    if g.pages != 0:
        unmap_vmas(m, mm, g.prev, addr, addr + length, m.leaf_shift)
    vma = vma_merge(m, mm, g.prev, addr, addr + length, vm_flags, file, pgoff, 0)
    if vma == 0:
        vma = new_vma(m, pid, addr, length, vm_flags, file, pgoff)
    if vma == 0:
        vm_unacct_memory(m, charged)
        return -ENOMEM
    vm_stat_account(m, mm, vm_flags, pages)
    if vm_flags & VM_LOCKED:
        if m.vmas[vma].flags & (m.rules.merge_special | <uint32_t>VM_DROPPABLE):
            m.vmas[vma].flags &= ~<uint32_t>(VM_LOCKED | VM_LOCKONFAULT)
        else:
            m.mms[mm].locked_vm += pages
    return 0


cdef inline uint64_t huge_page(uint32_t flags) noexcept nogil:
    """Bytes of the huge pages that MAP_HUGETLB asks for; 0 if x86_64 has none of that size."""
    cdef uint32_t shift = flags >> MAP_HUGE_SHIFT
    if shift == 0:
        shift = 21
    return <uint64_t>1 << shift if shift == 21 or shift == 30 else 0


cdef int map_no_huge_pages(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length,
                           uint32_t vm_flags) noexcept nogil:
    """mmap_region of a file of hugetlbfs: what was there is gone before the pool is found empty."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef gone_t g
    if gather(m, mm, addr, addr + length, &g) < 0:
        return -ENOMEM
    if may_expand_vm(m, pid, vm_flags, (length >> PAGE_SHIFT) - g.pages) and g.pages != 0:
        unmap_vmas(m, mm, g.prev, addr, addr + length, m.leaf_shift)
    return -ENOMEM


cdef int64_t mmap_locked(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags,
                         uint32_t file, uint64_t pgoff, uint64_t *populate) noexcept nogil:
    """do_mmap. *populate: bytes that the caller faults in when it has let mmap_sem go."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t vm_flags
    cdef uint64_t huge = huge_page(flags) if flags & MAP_HUGETLB else 0
    cdef int64_t found
    cdef int err
    if length == 0:
        return -EINVAL
    if flags & MAP_FIXED_NOREPLACE:
        flags |= MAP_FIXED
    if (flags & MAP_FIXED) == 0:
        addr &= ~<uint64_t>PAGE_MASK_LOW
        if addr != 0 and addr < lowest_address(m):
            addr = page_align(lowest_address(m))
    length = page_align(length)
    if length == 0:
        return -ENOMEM
    if pgoff + (length >> PAGE_SHIFT) < pgoff:
        return -EOVERFLOW
    if m.mms[mm].map_count > m.max_map_count:
        return -ENOMEM
    vm_flags = (prot & PROT_BITS) | m.mms[mm].def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
    if prot == PROT_EXEC:
        vm_flags |= VM_PKEY
    if flags & MAP_GROWSDOWN:
        vm_flags |= VM_GROWSDOWN
    if flags & MAP_LOCKED:
        vm_flags |= VM_LOCKED
    if flags & MAP_STACK:
        vm_flags |= VM_NOHUGEPAGE
    if flags & MAP_SYNC:
        vm_flags |= VM_SYNC
    if huge != 0 and length > m.rules.task_size:
        return -ENOMEM
    if huge != 0 and flags & MAP_FIXED and addr & (huge - 1):
        return -EINVAL
    found = get_unmapped_area_6(m, pid, addr, length, pgoff, flags, file)
    if IS_ERR_VALUE(found):
        return found
    addr = <uint64_t>found
    if flags & MAP_FIXED_NOREPLACE and find_vma_intersection(m, mm, addr, addr + length) != 0:
        return -EEXIST
    if flags & MAP_LOCKED and not can_do_mlock(m, pid):
        return -EPERM
    if not mlock_future_ok(m, pid, vm_flags, length >> PAGE_SHIFT):
        return -EAGAIN
    if file != 0 or huge != 0:
        err = file_flags(m, prot, flags, file, length, pgoff, &vm_flags)
    else:
        err = anon_flags(flags, &vm_flags)
        # the offset of shared memory counts pages of its object
        pgoff = 0 if flags & MAP_SHARED else addr >> PAGE_SHIFT
    if err < 0:
        return err
    if flags & MAP_NORESERVE and m.overcommit_memory != 2:
        vm_flags |= VM_NORESERVE
    if huge != 0:
        err = map_no_huge_pages(m, pid, addr, length, vm_flags)
        if err == -ENOMEM and pgoff & (huge - 1) >> PAGE_SHIFT:
            err = -EINVAL
    else:
        err = map_region(m, pid, addr, length, vm_flags, file, pgoff)
    if err < 0:
        return err
    if vm_flags & VM_LOCKED or (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE:
        populate[0] = length
    return found


cdef int64_t do_mmap_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags,
                       uint32_t file, uint64_t offset) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t populate = 0
    cdef int64_t ret
    if offset & PAGE_MASK_LOW:
        return -EINVAL
    if flags & MAP_ANONYMOUS:
        file = 0
        if flags & MAP_HUGETLB:
            if huge_page(flags) == 0:
                return -EINVAL
            length = (length + huge_page(flags) - 1) & ~(huge_page(flags) - 1)
    elif file == 0:
        return -EBADF
    elif flags & MAP_HUGETLB:
        return -EINVAL
    down_mmap_sem(m, mm)
    ret = mmap_locked(m, pid, addr, length, prot, flags, file, offset >> PAGE_SHIFT, &populate)
    up_mmap_sem(m, mm)
    if populate != 0:
        m.calls.populate(m, pid, <uint64_t>ret, <uint64_t>ret + populate)
    return ret


# ---------------------------------------------------------------- brk

cdef int brk_area(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    """do_brk_flags: a heap grows only by its own vma, never into one above it."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t pages = length >> PAGE_SHIFT
    cdef uint32_t vm_flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_ACCOUNT | p.def_flags
    cdef uint32_t prev = 0
    cdef uint32_t merged = 0
    if m.rules.data_exec:
        vm_flags |= VM_EXEC
    if not may_expand_vm(m, pid, vm_flags, pages) or p.map_count > m.max_map_count:
        return -ENOMEM
    if vm_enough_memory(m, pid, pages) < 0:
        return -ENOMEM
    find_vma_prev(m, mm, addr, &prev)
    # the vma that the old end of the heap lies in; not whatever else ends there
    if prev != 0 and m.vmas[prev].end == addr and addr > p.start_brk:
        # what follows is out of reach: the caller made sure of a gap
        merged = vma_merge(m, mm, prev, addr, addr + length, vm_flags, 0, addr >> PAGE_SHIFT, 0)
    if merged == 0:
        merged = new_vma(m, pid, addr, length, vm_flags, 0, addr >> PAGE_SHIFT)
    if merged == 0:
        vm_unacct_memory(m, pages)
        return -ENOMEM
    vm_stat_account(m, mm, vm_flags, pages)
    if vm_flags & VM_LOCKED:
        p.locked_vm += pages
    return 0


cdef int brk_grow(machine_t *m, uint32_t pid, uint64_t old, uint64_t new) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t next
    if IS_ERR_VALUE(get_unmapped_area_6(m, pid, old, new - old, 0, MAP_FIXED, 0)):
        return -ENOMEM
    if not mlock_future_ok(m, pid, m.mms[mm].def_flags, (new - old) >> PAGE_SHIFT):
        return -EAGAIN
    # a page stays free, and the guard gap of a stack above
    next = find_vma_intersection(m, mm, old, new + PAGE_SIZE + (<uint64_t>m.stack_guard_gap << PAGE_SHIFT))
    if next != 0 and new + PAGE_SIZE > vm_start_gap(m, next):
        return -ENOMEM
    return brk_area(m, pid, old, new - old)


cdef uint64_t brk_locked(machine_t *m, uint32_t pid, uint64_t brk, uint64_t *populate) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t limit = m.tasks[pid].rlim[<int>RLIM_DATA]
    cdef uint64_t old, new
    cdef uint32_t vma
    if brk < p.start_brk:
        return p.brk
    if limit != ~<uint64_t>0 and (brk - p.start_brk) + (p.end_data - p.start_data) > limit:
        return p.brk
    old = page_align(p.brk)
    new = page_align(brk)
    if old == new:
        p.brk = brk
    elif brk <= p.brk:
        # shrinking needs no more than that something of the heap is there
        vma = find_vma(m, mm, new)
        if vma != 0 and m.vmas[vma].start < old and munmap_range_6(m, mm, new, old - new) == 0:
            p.brk = brk
    elif new > old and brk_grow(m, pid, old, new) == 0:
        p.brk = brk
        if p.def_flags & VM_LOCKED:
            populate[0] = new - old
    return p.brk


cdef uint64_t do_brk_6(machine_t *m, uint32_t pid, uint64_t brk) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t start = page_align(m.mms[mm].brk)
    cdef uint64_t populate = 0
    down_mmap_sem(m, mm)
    brk = brk_locked(m, pid, brk, &populate)
    up_mmap_sem(m, mm)
    if populate != 0:
        m.calls.populate(m, pid, start, start + populate)
    return brk


# ---------------------------------------------------------------- remap_file_pages

cdef int64_t remap_locked(machine_t *m, uint32_t pid, uint64_t start, uint64_t size, uint64_t pgoff, uint32_t flags,
                          uint64_t *populate) noexcept nogil:
    cdef uint32_t vma = find_vma(m, m.tasks[pid].mm, start)
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t prot, next, prev, file
    cdef int64_t ret
    if vma == 0 or v.start > start or (v.flags & VM_SHARED) == 0:
        return -EINVAL
    prot = v.flags & (VM_READ | VM_WRITE | VM_EXEC)
    flags = (flags & MAP_NONBLOCK) | MAP_SHARED | MAP_FIXED | MAP_POPULATE
    if v.flags & VM_LOCKED:
        flags |= MAP_LOCKED
    # the range may cross vmas that are alike and leave no hole
    prev = vma
    while start + size > m.vmas[prev].end:
        next = m.vmas[prev].next
        if next == 0 or m.vmas[next].start != m.vmas[prev].end:
            return -EINVAL
        if m.vmas[next].file != v.file or m.vmas[next].flags != v.flags:
            return -EINVAL
        prev = next
    # the vma may be all that holds its file, and it goes before the new one comes
    file = v.file
    m.files[file].refs += 1
    ret = mmap_locked(m, pid, start, size, prot, flags, file, pgoff, populate)
    file_put(m, file)
    return ret


cdef int do_remap_file_pages_6(machine_t *m, uint32_t pid, uint64_t start, uint64_t size, uint32_t prot, uint64_t pgoff,
                               uint32_t flags) noexcept nogil:
    """The emulation: an ordinary shared mapping of its own over the range."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t populate = 0
    cdef int64_t ret
    if prot != 0:
        return -EINVAL
    start &= ~<uint64_t>PAGE_MASK_LOW
    size &= ~<uint64_t>PAGE_MASK_LOW
    if start + size <= start or pgoff + (size >> PAGE_SHIFT) < pgoff:
        return -EINVAL
    down_mmap_sem(m, mm)
    ret = remap_locked(m, pid, start, size, pgoff, flags, &populate)
    up_mmap_sem(m, mm)
    if populate != 0:
        m.calls.populate(m, pid, <uint64_t>ret, <uint64_t>ret + populate)
    return 0 if not IS_ERR_VALUE(ret) else <int>ret
