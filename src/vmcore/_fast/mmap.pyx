"""mmap, munmap, brk and the accounting of promised memory, with the order of checks of 2.6.5. mm/mmap.c,
security/commoncap.c; fact sheet linux-2004 6.3 to 6.5, 6.10. mprotect is in a file of its own.

What a refused call leaves behind is what the kernel leaves: a MAP_FIXED mapping that fails late has already unmapped
the range, an munmap whose second split fails keeps the first.

Pages promised: private writable mappings, brk and stacks are charged to their vma (VM_ACCOUNT), and munmap returns
them; shared anonymous memory is charged to its object, and file_put returns that with the object.
"""
from libc.errno cimport EACCES, EAGAIN, EBADF, EINVAL, ENOMEM, EPERM
from libc.stdint cimport uint32_t, uint64_t, int64_t

from vmcore._fast.fault cimport make_pages_present
from vmcore._fast.filemap cimport file_create, file_put
from vmcore._fast.frame cimport nr_free_pages
from vmcore._fast.locks cimport down_mmap_sem, spin_lock_ptl, spin_unlock_ptl, up_mmap_sem
from vmcore._fast.lru cimport lru_add_drain
from vmcore._fast.merge cimport vma_merge
from vmcore._fast.nonlinear cimport do_remap_file_pages
from vmcore._fast.pagetable cimport free_pgtables
from vmcore._fast.records cimport (
    CACHE_DENTRY, CACHE_INODE, CAP_IPC_LOCK, CAP_SYS_ADMIN, FILE_DEVICE, FILE_READONLY, FILE_SHMEM, FILE_UNLINKED,
    PAGE_MASK_LOW, PAGE_SHIFT, PAGE_SIZE, RLIM_AS, RLIM_DATA, RLIM_MEMLOCK, VM_ACCOUNT, VM_DATA_DEFAULT_FLAGS,
    VM_GROWSDOWN, VM_GROWSUP, VM_IO, VM_LOCKED, VM_MAYEXEC, VM_MAYREAD, VM_MAYSHARE, VM_MAYWRITE, VM_RESERVED,
    VM_SHARED, VM_WRITE, machine_t, mm_t, task_t, vma_t)
from vmcore._fast.vma cimport (
    find_vma, find_vma_intersection, find_vma_prev, get_unmapped_area, split_vma, vm_stat_account, vma_alloc,
    vma_destroy, vma_detach, vma_free, vma_link)
from vmcore._fast.zap cimport zap_page_range


# ---------------------------------------------------------------- promised memory

cdef uint64_t reclaimable_slab(machine_t *m) noexcept nogil:
    """slab_reclaim_pages: caches made with SLAB_RECLAIM_ACCOUNT, which are those of inodes and dentries."""
    return ((m.caches[<int>CACHE_INODE].slabs << m.caches[<int>CACHE_INODE].order)
            + (m.caches[<int>CACHE_DENTRY].slabs << m.caches[<int>CACHE_DENTRY].order))


cdef uint64_t managed_pages(machine_t *m) noexcept nogil:
    """MemTotal: all but what the kernel took at boot."""
    cdef uint64_t pages = 0
    cdef uint32_t i
    for i in range(m.nr_zones):
        pages += m.zones[i].present - m.zones[i].reserved
    return pages


cdef uint64_t commit_limit(machine_t *m, uint32_t pid, int admin) noexcept nogil:
    """Strict mode of today: CommitLimit, less what is kept for root to log in, less what a large process keeps for
    others to recover (linux-modern 6.9)."""
    cdef uint64_t allowed = managed_pages(m) * m.overcommit_ratio // 100 + m.total_swap_pages
    cdef uint64_t reserve = m.user_reserve_kbytes >> (PAGE_SHIFT - 10)
    cdef uint64_t part
    if not admin:
        allowed -= m.admin_reserve_kbytes >> (PAGE_SHIFT - 10)
    if pid != 0 and m.tasks[pid].mm != 0:
        part = m.mms[m.tasks[pid].mm].total_vm // 32
        allowed -= part if part < reserve else reserve
    return allowed if <int64_t>allowed > 0 else 0


cdef int vm_enough_memory(machine_t *m, uint32_t pid, uint64_t pages) noexcept nogil:
    cdef uint64_t have, free
    cdef int admin = pid == 0 or (m.tasks[pid].caps & CAP_SYS_ADMIN) != 0
    # the charge comes first and is taken back on refusal
    m.committed += pages
    if m.overcommit_memory == 1 or (m.rules.overcommit_old and m.overcommit_memory != 0):
        return 0
    if m.rules.overcommit_old:
        # 2.4: what could be had if all caches went. The swap cache counts twice: it is in the page cache too.
        if m.nr_pagecache + nr_free_pages(m) + m.nr_swap_pages + m.nr_swapcache > pages:
            return 0
        m.committed -= pages
        return -ENOMEM
    if m.overcommit_memory == 0 and m.rules.overcommit_guess:
        if pages <= managed_pages(m) + m.total_swap_pages:
            return 0
    elif m.overcommit_memory == 0:
        have = m.nr_pagecache + m.nr_swap_pages + reclaimable_slab(m)
        if not admin:
            have -= have >> 5
        if have > pages:
            return 0
        free = nr_free_pages(m)
        if not admin:
            free -= free >> 5
        if have + free > pages:
            return 0
    elif m.rules.overcommit_guess:
        if m.committed < commit_limit(m, pid, admin):
            return 0
    elif m.committed < (m.ram_bytes >> PAGE_SHIFT) * m.overcommit_ratio // 100 + m.total_swap_pages:
        return 0
    m.committed -= pages
    return -ENOMEM


cdef void vm_unacct_memory(machine_t *m, uint64_t pages) noexcept nogil:
    m.committed -= pages


# ---------------------------------------------------------------- munmap

cdef void free_tables_between(machine_t *m, uint32_t mm, uint32_t prev, uint64_t start, uint64_t end,
                              uint32_t shift) noexcept nogil:
    """free_pgtables: tables go by whole spans of 1 << shift bytes, and only those that no neighbour reaches into. prev:
    the vma below the hole; its next is the one above."""
    cdef uint64_t span = (<uint64_t>1 << shift) - 1
    cdef uint64_t first = start
    cdef uint64_t last = end + span
    cdef uint32_t next = m.vmas[prev].next if prev != 0 else m.mms[mm].mmap
    if next != 0 and last > m.vmas[next].start:
        last = m.vmas[next].start
    first &= ~span
    last &= ~span
    if prev != 0 and m.vmas[prev].end > first:
        first = (m.vmas[prev].end + span) & ~span
    if last > first:
        free_pgtables(m, mm, first, last)


cdef int munmap_range(machine_t *m, uint32_t mm, uint64_t start, uint64_t length) noexcept nogil:
    cdef uint64_t end
    cdef uint32_t prev = 0
    cdef uint32_t vma
    if (start & PAGE_MASK_LOW) != 0 or start > m.rules.task_size or length > m.rules.task_size - start:
        return -EINVAL
    length = page_align(length)
    if length == 0:
        return -EINVAL
    end = start + length
    vma = find_vma_prev(m, mm, start, &prev)
    if vma == 0 or m.vmas[vma].start >= end:
        return 0

    if m.vmas[vma].start < start:
        if split_vma(m, vma, start, 0) == 0:
            return -ENOMEM
        prev = vma
    vma = find_vma(m, mm, end)
    if vma != 0 and m.vmas[vma].start < end and split_vma(m, vma, end, 1) == 0:
        return -ENOMEM
    # 2.6.5 frees tables by entries of the kernel's pgd: 4 MiB on two levels, else 1 GiB
    unmap_vmas(m, mm, prev, start, end, m.leaf_shift if m.levels == 2 else m.leaf_shift + m.pt_shift)
    return 0


cdef void unmap_vmas(machine_t *m, uint32_t mm, uint32_t prev, uint64_t start, uint64_t end,
                     uint32_t shift) noexcept nogil:
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t pages
    cdef uint64_t accounted = 0
    cdef uint32_t first = 0         # the detached vmas, linked through next
    cdef uint32_t tail = 0
    cdef uint32_t vma = m.vmas[prev].next if prev != 0 else p.mmap
    cdef uint32_t next
    cdef vma_t *v
    while vma != 0 and m.vmas[vma].start < end:
        next = m.vmas[vma].next
        vma_detach(m, vma)
        if tail != 0:
            m.vmas[tail].next = vma
        else:
            first = vma
        tail = vma
        vma = next

    lru_add_drain(m)
    spin_lock_ptl(m, mm)
    vma = first
    while vma != 0:
        v = &m.vmas[vma]
        if v.flags & VM_ACCOUNT:
            accounted += (v.end - v.start) >> PAGE_SHIFT
        zap_page_range(m, vma, v.start, v.end)
        vma = v.next
    vm_unacct_memory(m, accounted)
    free_tables_between(m, mm, prev, start, end, shift)
    spin_unlock_ptl(m, mm)

    vma = first
    while vma != 0:
        v = &m.vmas[vma]
        next = v.next
        v.next = 0
        pages = (v.end - v.start) >> PAGE_SHIFT
        vm_stat_account(m, mm, v.flags, -pages)
        if v.flags & VM_LOCKED:
            p.locked_vm -= pages
        if v.start >= p.mmap_base and v.start < p.free_area_cache:
            p.free_area_cache = v.start
        vma_destroy(m, vma)
        vma = next


cdef int do_munmap(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err
    down_mmap_sem(m, mm)
    err = munmap_range(m, mm, addr, length)
    up_mmap_sem(m, mm)
    return err


cdef int clear_range(machine_t *m, uint32_t mm, uint64_t addr, uint64_t end, uint32_t *prev) noexcept nogil:
    """Unmap what a new mapping of [addr, end) replaces; *prev is then the vma below. Whatever fails is ENOMEM."""
    cdef uint32_t vma = find_vma_prev(m, mm, addr, prev)
    if vma != 0 and m.vmas[vma].start < end:
        if munmap_range(m, mm, addr, end - addr) < 0:
            return -ENOMEM
        find_vma_prev(m, mm, addr, prev)
    return 0


# ---------------------------------------------------------------- mmap

cdef int file_vm_flags(machine_t *m, uint32_t prot, uint32_t flags, uint32_t file, uint32_t *vm_flags) noexcept nogil:
    """The sharing of a mapping, into *vm_flags. A file of 0 is anonymous memory."""
    cdef uint32_t kind = flags & MAP_TYPE
    if kind == MAP_PRIVATE:
        return 0
    if kind != MAP_SHARED:
        return -EINVAL
    vm_flags[0] |= VM_SHARED | VM_MAYSHARE
    if file != 0 and (m.files[file].flags & FILE_READONLY) != 0:
        if prot & PROT_WRITE:
            return -EACCES
        vm_flags[0] &= ~<uint32_t>(VM_SHARED | VM_MAYWRITE)
    return 0


cdef uint32_t shmem_object(machine_t *m, uint32_t pid, uint64_t length, int unchecked) noexcept nogil:
    """The unlinked file behind shared anonymous memory, charged by its size. 0: ENOMEM.
    unchecked (MAP_NORESERVE): charged all the same, because file_put returns the charge of every such object, but
    without asking. The kernel does not charge then; outside strict mode nobody reads the sum but meminfo."""
    cdef uint64_t pages = length >> PAGE_SHIFT
    cdef uint32_t file
    if unchecked:
        m.committed += pages
    elif vm_enough_memory(m, pid, pages) < 0:
        return 0
    file = file_create(m, FILE_SHMEM, length, FILE_UNLINKED, "/dev/zero")
    if file == 0:
        vm_unacct_memory(m, pages)
    return file


cdef int map_region(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t vm_flags, uint32_t flags,
                    uint32_t file, uint64_t pgoff) noexcept nogil:
    """The mapping itself, once every argument is found good: 0 or -errno."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t charged = 0
    cdef uint32_t prev = 0
    cdef uint32_t object = 0            # made here
    cdef uint32_t vma
    cdef int unchecked = (flags & MAP_NORESERVE) != 0 and m.overcommit_memory <= 1
    cdef vma_t *v
    if clear_range(m, mm, addr, addr + length, &prev) < 0:
        return -ENOMEM
    if over_limit(m, pid, RLIM_AS, m.mms[mm].total_vm, length):
        return -ENOMEM
    if (vm_flags & VM_SHARED) == 0 and (vm_flags & VM_WRITE) != 0 and not unchecked:
        charged = length >> PAGE_SHIFT
        if vm_enough_memory(m, pid, charged) < 0:
            return -ENOMEM
        vm_flags |= VM_ACCOUNT

    if file == 0 and (vm_flags & VM_SHARED) == 0:
        # shared memory keeps 0: its offset counts pages of the object
        if m.rules.anon_pgoff:
            pgoff = addr >> PAGE_SHIFT
        if vma_merge(m, mm, prev, addr, addr + length, vm_flags, 0, pgoff, 0) != 0:
            return 0

    vma = vma_alloc(m)
    if vma == 0:
        vm_unacct_memory(m, charged)
        return -ENOMEM
    if file != 0 and (vm_flags & (VM_GROWSDOWN | VM_GROWSUP)) != 0:
        vma_free(m, vma)
        vm_unacct_memory(m, charged)
        return -EINVAL
    if file != 0 and m.files[file].kind == FILE_DEVICE:
        vm_flags |= VM_RESERVED | VM_IO
    if file == 0 and (vm_flags & VM_SHARED) != 0:
        object = shmem_object(m, pid, length, unchecked)
        if object == 0:
            vma_free(m, vma)
            return -ENOMEM
        file = object
    elif file != 0 and vma_merge(m, mm, prev, addr, addr + length, vm_flags, file, pgoff, 0) != 0:
        vma_free(m, vma)
        return 0

    v = &m.vmas[vma]
    v.start = addr
    v.end = addr + length
    v.flags = vm_flags
    v.file = file
    v.pgoff = pgoff
    vma_link(m, mm, vma)
    if object != 0:
        file_put(m, object)             # from now on the vma alone holds it
    return 0


cdef int64_t mmap_locked(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags,
                         uint32_t file, uint64_t pgoff) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    cdef mm_t *p = &m.mms[t.mm]
    cdef uint32_t vm_flags
    cdef int err
    if length == 0:
        return <int64_t>addr
    length = page_align(length)
    if length == 0 or length > m.rules.task_size:
        return -EINVAL
    # the page offset is a word of the simulated machine
    if m.rules.word_size == 4 and (pgoff + (length >> PAGE_SHIFT)) >> 32 != 0:
        return -EINVAL
    if p.map_count > m.max_map_count:
        return -ENOMEM
    addr = get_unmapped_area(m, t.mm, addr, length, (flags & MAP_FIXED) != 0)
    if addr & PAGE_MASK_LOW:
        return <int64_t>addr

    vm_flags = (prot & PROT_BITS) | p.def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
    vm_flags |= VM_GROWSDOWN if flags & MAP_GROWSDOWN else 0
    if flags & MAP_LOCKED:
        if ((t.caps & CAP_IPC_LOCK) == 0 and not m.disable_cap_mlock
                and (m.rules.mlock_right == 0 or t.rlim[<int>RLIM_MEMLOCK] == 0)):
            return -EPERM
        vm_flags |= VM_LOCKED
    if (vm_flags & VM_LOCKED) != 0 and over_memlock(m, pid, length):
        return -EAGAIN
    err = file_vm_flags(m, prot, flags, file, &vm_flags)
    if err < 0:
        return err
    err = map_region(m, pid, addr, length, vm_flags, flags, file, pgoff)
    if err < 0:
        return err

    vm_stat_account(m, t.mm, vm_flags, length >> PAGE_SHIFT)
    if vm_flags & VM_LOCKED:
        p.locked_vm += length >> PAGE_SHIFT
        # the mapping stands whatever comes of this
        make_pages_present(m, pid, addr, addr + length)
    if flags & MAP_POPULATE:
        # so it does here: what is no shared mapping of a file is refused, and 2.6.5 refuses all but PROT_NONE
        do_remap_file_pages(m, pid, addr, length, prot if m.rules.populate_prot else 0, pgoff,
                            (flags & MAP_NONBLOCK) != 0)
    return <int64_t>addr


cdef int64_t do_mmap(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags,
                     uint32_t file, uint64_t offset) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int64_t ret
    if offset & PAGE_MASK_LOW:
        return -EINVAL
    if flags & MAP_ANONYMOUS:
        file = 0
        offset = 0
    elif file == 0:
        return -EBADF
    down_mmap_sem(m, mm)
    ret = mmap_locked(m, pid, addr, length, prot, flags, file, offset >> PAGE_SHIFT)
    up_mmap_sem(m, mm)
    return ret


# ---------------------------------------------------------------- brk

cdef int brk_area(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    """The kernel's do_brk: `length` bytes of anonymous memory at addr, both page aligned."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t vm_flags = VM_DATA_DEFAULT_FLAGS | VM_ACCOUNT | p.def_flags
    cdef uint64_t pgoff = addr >> PAGE_SHIFT if m.rules.anon_pgoff else 0
    cdef uint32_t prev = 0
    cdef uint32_t vma
    cdef vma_t *v
    if addr + length > m.rules.task_size or addr + length < addr:
        return -EINVAL
    if (p.def_flags & VM_LOCKED) != 0 and over_memlock(m, pid, length):
        return -EAGAIN
    if clear_range(m, mm, addr, addr + length, &prev) < 0:
        return -ENOMEM
    if over_limit(m, pid, RLIM_AS, p.total_vm, length) or p.map_count > m.max_map_count:
        return -ENOMEM
    if vm_enough_memory(m, pid, length >> PAGE_SHIFT) < 0:
        return -ENOMEM
    if vma_merge(m, mm, prev, addr, addr + length, vm_flags, 0, pgoff, 0) == 0:
        vma = vma_alloc(m)
        if vma == 0:
            vm_unacct_memory(m, length >> PAGE_SHIFT)
            return -ENOMEM
        v = &m.vmas[vma]
        v.start = addr
        v.end = addr + length
        v.flags = vm_flags
        v.pgoff = pgoff
        vma_link(m, mm, vma)
    vm_stat_account(m, mm, vm_flags, length >> PAGE_SHIFT)
    if vm_flags & VM_LOCKED:
        p.locked_vm += length >> PAGE_SHIFT
        make_pages_present(m, pid, addr, addr + length)
    return 0


cdef uint64_t do_brk(machine_t *m, uint32_t pid, uint64_t brk) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t old = page_align(p.brk)
    cdef uint64_t new = page_align(brk)
    cdef uint64_t limit = m.tasks[pid].rlim[<int>RLIM_DATA]
    # a task that was spawned has no image, so the start of its heap stands for the end of its code
    cdef uint64_t floor = p.end_code if p.end_code != 0 else p.start_brk
    if brk < floor or new < brk or brk > m.rules.task_size:
        return p.brk
    down_mmap_sem(m, mm)
    if new == old:
        p.brk = brk
    elif brk <= p.brk:
        if munmap_range(m, mm, new, old - new) == 0:
            p.brk = brk
    elif (brk - p.start_data <= limit and find_vma_intersection(m, mm, old, new + PAGE_SIZE) == 0
            and brk_area(m, pid, old, new - old) == 0):
        p.brk = brk
    up_mmap_sem(m, mm)
    return p.brk
