"""mremap of 6.18.

Source: asked of 6.18.44; mm/mremap.c, mm/vma.c (copy_vma); fact sheet linux-modern 6.8. What moves, and how it is
undone, is move_page_tables of mremap.pyx, as in 2004; here is what is asked before, and what becomes of the vmas.

      same length, no new address     nothing
      shorter                         the tail is unmapped, then moved if there is a new address
      longer                          in place if nothing is behind it (and the vma behind that may join), else moved
      MREMAP_FIXED, same length       all vmas of the range move, one after the other, and keep their distances. What is
                                      at the target is unmapped for each; who comes after one that fails, stays
      MREMAP_DONTUNMAP                the source stays mapped, empty, unlocked; whole, it loses its anon_vma. Its locked
                                      pages stay counted (mm.locked_lost), and of a vma that moved in part the rest
                                      stays mlocked: so it is in the kernel
      old length 0                    a second mapping of shared memory

An anonymous vma that was never written to is numbered anew by its new address, so that it can merge there; another
keeps its offsets. Growth is charged before the move; DONTUNMAP is charged for the copy.
"""
from libc.errno cimport EAGAIN, EFAULT, EINVAL, ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.calls.area_6 cimport get_unmapped_area_6
from vmcore._fast.calls.limits_6 cimport may_expand_vm, mlock_future_ok
from vmcore._fast.calls.mlocked_6 cimport leave_mlocked
from vmcore._fast.calls.mmap_6 cimport munmap_range_6
from vmcore._fast.counters cimport MREMAP_MOVES, MREMAP_PTES_MOVED, count, count_n
from vmcore._fast.locks cimport down_i_shared, down_mmap_sem, up_i_shared, up_mmap_sem
from vmcore._fast.merge cimport vma_merge
from vmcore._fast.mmap cimport (
    IS_ERR_VALUE, MAP_FIXED, MAP_SHARED, page_align, vm_enough_memory, vm_unacct_memory)
from vmcore._fast.mremap cimport (
    MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, move_back, move_page_tables, move_t, new_target)
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, VM_ACCOUNT, VM_DONTEXPAND, VM_LOCKED, VM_LOCKONFAULT, VM_MAYSHARE, VM_PFNMAP,
    VM_SHARED, machine_t, vma_t)
from vmcore._fast.vma cimport find_vma, find_vma_intersection, find_vma_prev, vm_stat_account, vma_link

cdef enum:
    SAME = 0                # remap_t.kind
    SHRINK = 1
    GROW = 2
    SPARE_VMAS = 3          # a move may split a vma into three before it unmaps the middle
    SPARE_VMAS_MOVE = 5     # the same, and the target's borders

cdef struct remap_t:        # vma_remap_struct
    uint32_t pid
    uint32_t mm
    uint32_t vma            # that the range is in
    uint32_t flags
    int kind
    uint64_t addr
    uint64_t old_len
    uint64_t new_len
    uint64_t new_addr
    uint64_t delta          # bytes by which the lengths differ
    uint64_t populate       # bytes that the caller faults in at the end


cdef inline uint32_t vma_at(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    cdef uint32_t vma = find_vma(m, mm, addr)
    return vma if vma != 0 and m.vmas[vma].start <= addr else 0


cdef inline int new_address(remap_t *r) noexcept nogil:
    """The caller names one: with MREMAP_FIXED, or as a hint."""
    return (r.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0


cdef inline void stat_account(machine_t *m, remap_t *r, uint32_t flags, uint64_t bytes) noexcept nogil:
    vm_stat_account(m, r.mm, flags, bytes >> PAGE_SHIFT)
    if flags & VM_LOCKED:
        m.mms[r.mm].locked_vm += bytes >> PAGE_SHIFT


cdef int64_t charge(machine_t *m, remap_t *r, uint32_t vm_flags) noexcept nogil:
    """Pages that were charged, or -ENOMEM."""
    cdef uint64_t pages
    if (vm_flags & VM_ACCOUNT) == 0:
        return 0
    pages = (r.new_len if r.flags & MREMAP_DONTUNMAP else r.delta) >> PAGE_SHIFT
    if vm_enough_memory(m, r.pid, pages) < 0:
        return -ENOMEM
    if r.kind == SHRINK:
        vm_unacct_memory(m, pages)      # asked for by mistake; the kernel never gives it back
        return 0
    return <int64_t>pages


# ---------------------------------------------------------------- moving

cdef uint32_t merge_or_make(machine_t *m, remap_t *r, move_t *v) noexcept nogil:
    """copy_vma: the vma that covers the target, 0 if there is no memory. The source can have become part of it."""
    cdef vma_t *old = &m.vmas[r.vma]
    cdef uint64_t pgoff = old.pgoff + ((r.addr - old.start) >> PAGE_SHIFT)
    cdef uint32_t prev = 0
    if old.file == 0 and old.anon_vma == 0:
        pgoff = r.new_addr >> PAGE_SHIFT
    find_vma_prev(m, r.mm, r.new_addr, &prev)
    v.target = vma_merge(m, r.mm, prev, r.new_addr, r.new_addr + r.new_len, old.flags, old.file, pgoff, r.vma)
    if v.target != 0:
        if old.mm == 0 or (m.vmas[v.target].start <= r.addr and r.addr < m.vmas[v.target].end):
            v.source = r.vma = v.target
        return v.target
    v.target = new_target(m, r.vma, r.new_addr, r.new_len, pgoff)
    if v.target != 0:
        vma_link(m, r.mm, v.target)
    return v.target


cdef void unmap_source(machine_t *m, remap_t *r, uint32_t vma, uint64_t addr, uint64_t length) noexcept nogil:
    """[addr, addr + length) of vma goes without giving back its charge, which is the target's now."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t start = v.start
    cdef uint64_t end = v.end
    cdef uint32_t prev = 0
    cdef uint32_t next
    cdef int accounted = (v.flags & VM_ACCOUNT) != 0 and (r.flags & MREMAP_DONTUNMAP) == 0
    if accounted:
        v.flags &= ~<uint32_t>VM_ACCOUNT
    if munmap_range_6(m, r.mm, addr, length) < 0:
        # no memory to split: the range stays, empty; with old_len 0 there was none
        if accounted:
            m.vmas[vma].flags |= VM_ACCOUNT
            m.committed += length >> PAGE_SHIFT
        return
    if not accounted:
        return
    next = find_vma_prev(m, r.mm, addr, &prev)
    if start < addr:
        m.vmas[prev].flags |= VM_ACCOUNT
    if end > addr + length:
        m.vmas[next].flags |= VM_ACCOUNT


cdef void keep_source(machine_t *m, remap_t *r, move_t *v, uint64_t old_start, uint64_t old_end) noexcept nogil:
    """dontunmap_complete."""
    cdef vma_t *s = &m.vmas[v.source]
    if s.flags & VM_LOCKED:
        m.mms[r.mm].locked_lost += (s.end - s.start) >> PAGE_SHIFT
        leave_mlocked(m, v.source)
    s.flags &= ~<uint32_t>(VM_LOCKED | VM_LOCKONFAULT)
    if v.source != v.target and r.addr == old_start and r.addr + r.old_len == old_end and s.anon_vma != 0:
        m.rmap.vma_unlink(m, v.source)
        s.anon_vma = 0


cdef int64_t move_vma(machine_t *m, remap_t *r) noexcept nogil:
    cdef uint32_t flags = m.vmas[r.vma].flags
    cdef uint32_t file = m.vmas[r.vma].file
    cdef uint64_t old_start = m.vmas[r.vma].start
    cdef uint64_t old_end = m.vmas[r.vma].end
    cdef int64_t charged
    cdef int err = 0
    cdef move_t v
    if m.mms[r.mm].map_count + SPARE_VMAS >= m.max_map_count:
        return -ENOMEM
    charged = charge(m, r, flags)
    if charged < 0:
        return charged
    v.mm = r.mm
    v.source = r.vma
    v.old = r.addr
    v.new = r.new_addr
    v.length = r.old_len
    v.down = 0
    v.first = v.last = 0
    if merge_or_make(m, r, &v) == 0:
        vm_unacct_memory(m, charged)
        return -ENOMEM
    if file != 0:
        down_i_shared(m, file)
    if r.old_len != 0:
        err = m.rmap.reserve(m)
        if err == 0:
            err = move_page_tables(m, &v)
        if err < 0:
            move_back(m, &v)
    if file != 0:
        up_i_shared(m, file)
    stat_account(m, r, flags, r.new_len)
    if err < 0:
        # the target has nothing any more, and goes
        r.flags &= ~<uint32_t>MREMAP_DONTUNMAP
        unmap_source(m, r, v.target, r.new_addr, r.new_len)
        vm_unacct_memory(m, charged)
        return -ENOMEM
    count(m, MREMAP_MOVES)
    count_n(m, MREMAP_PTES_MOVED, v.ptes if r.old_len != 0 else 0)
    if r.flags & MREMAP_DONTUNMAP:
        keep_source(m, r, &v, old_start, old_end)
    else:
        unmap_source(m, r, v.source, r.addr, r.old_len)
    return <int64_t>r.new_addr


cdef int set_new_addr(machine_t *m, remap_t *r) noexcept nogil:
    cdef vma_t *v = &m.vmas[r.vma]
    cdef uint32_t flags = MAP_FIXED if r.flags & MREMAP_FIXED else 0
    cdef int64_t found
    if v.flags & VM_MAYSHARE:
        flags |= MAP_SHARED
    found = get_unmapped_area_6(m, r.pid, r.new_addr if new_address(r) else 0, r.new_len,
                                v.pgoff + ((r.addr - v.start) >> PAGE_SHIFT), flags, v.file)
    if IS_ERR_VALUE(found):
        return <int>found
    r.new_addr = <uint64_t>found
    return 0


# ---------------------------------------------------------------- the cases

cdef int check_vma(machine_t *m, remap_t *r) noexcept nogil:
    """check_prep_vma: is the range one that may do this? Notes what is to be done."""
    cdef vma_t *v = &m.vmas[r.vma]
    cdef uint64_t pgoff
    if r.vma == 0:
        return -EFAULT
    r.delta = r.new_len - r.old_len if r.new_len > r.old_len else r.old_len - r.new_len
    r.kind = SAME if r.delta == 0 else (GROW if r.new_len > r.old_len else SHRINK)
    if not new_address(r):
        r.new_addr = r.addr
        if r.kind != GROW:
            return 0
    if r.old_len == 0 and (v.flags & (VM_SHARED | VM_MAYSHARE)) == 0:
        return -EINVAL
    if r.flags & MREMAP_DONTUNMAP and v.flags & (VM_DONTEXPAND | VM_PFNMAP):
        return -EINVAL
    # what a shrinking cuts off may lie anywhere
    if (r.old_len if r.kind != SHRINK else r.new_len) > v.end - r.addr:
        return -EFAULT
    if r.new_len <= r.old_len:
        return 0
    if v.flags & VM_LOCKED:
        r.populate = r.delta
    pgoff = v.pgoff + ((r.addr - v.start) >> PAGE_SHIFT)
    if pgoff + (r.new_len >> PAGE_SHIFT) < pgoff:
        return -EINVAL
    if v.flags & (VM_DONTEXPAND | VM_PFNMAP):
        return -EFAULT
    if not mlock_future_ok(m, r.pid, v.flags, r.delta >> PAGE_SHIFT):
        return -EAGAIN
    if not may_expand_vm(m, r.pid, v.flags, r.delta >> PAGE_SHIFT):
        return -ENOMEM
    return 0


cdef int64_t mremap_to(machine_t *m, remap_t *r) noexcept nogil:
    """To an address that the caller named."""
    cdef int err
    if r.flags & MREMAP_FIXED:
        err = munmap_range_6(m, r.mm, r.new_addr, r.new_len)
        if err < 0:
            return err
        r.vma = vma_at(m, r.mm, r.addr)
        if r.vma == 0:
            return -EFAULT
    if r.kind == SHRINK:
        err = munmap_range_6(m, r.mm, r.addr + r.new_len, r.delta)
        if err < 0:
            return err
        r.vma = vma_at(m, r.mm, r.addr)
        if r.vma == 0:
            return -EFAULT
        r.old_len = r.new_len
    if r.flags & MREMAP_DONTUNMAP and not may_expand_vm(m, r.pid, m.vmas[r.vma].flags, r.old_len >> PAGE_SHIFT):
        return -ENOMEM
    err = set_new_addr(m, r)
    if err < 0:
        return err
    return move_vma(m, r)


cdef int expandable(machine_t *m, remap_t *r) noexcept nogil:
    """The range ends with its vma, and there is room for the growth."""
    cdef vma_t *v = &m.vmas[r.vma]
    cdef uint64_t end = v.end + r.delta
    if r.old_len != v.end - r.addr or end < v.end:
        return 0
    if find_vma_intersection(m, r.mm, v.end, end) != 0:
        return 0
    return not IS_ERR_VALUE(get_unmapped_area_6(m, r.pid, v.start, end - v.start, 0, MAP_FIXED, 0))


cdef int64_t mremap_grow(machine_t *m, remap_t *r) noexcept nogil:
    cdef vma_t *v = &m.vmas[r.vma]
    cdef uint32_t flags = v.flags
    cdef int64_t charged
    cdef int err
    if expandable(m, r):
        charged = charge(m, r, flags)
        if charged < 0:
            return charged
        # the range is v's own, so v takes it in; the vma behind too, if it may
        if vma_merge(m, r.mm, r.vma, v.end, v.end + r.delta, flags, v.file,
                     v.pgoff + ((v.end - v.start) >> PAGE_SHIFT), r.vma) == 0:
            vm_unacct_memory(m, charged)
            return -ENOMEM
        stat_account(m, r, flags, r.delta)
        return <int64_t>r.addr
    if (r.flags & MREMAP_MAYMOVE) == 0:
        return -ENOMEM
    err = set_new_addr(m, r)
    if err < 0:
        return err
    return move_vma(m, r)


cdef int64_t mremap_at(machine_t *m, remap_t *r) noexcept nogil:
    cdef int err
    if r.kind == GROW:
        return mremap_grow(m, r)
    if r.kind == SHRINK:
        err = munmap_range_6(m, r.mm, r.addr + r.new_len, r.delta)
        if err < 0:
            return err
    return <int64_t>r.addr


cdef int64_t remap_move(machine_t *m, remap_t *r) noexcept nogil:
    """Every vma of the range to its place in the target."""
    cdef uint64_t start = r.addr
    cdef uint64_t end = r.addr + r.old_len
    cdef uint64_t target = r.new_addr
    cdef uint64_t last_end = 0
    cdef int64_t first = -EFAULT
    cdef int64_t ret
    cdef uint32_t vma = find_vma(m, r.mm, start)
    cdef int seen = 0
    cdef vma_t *v
    while vma != 0 and m.vmas[vma].start < end:
        v = &m.vmas[vma]
        r.addr = v.start if v.start > start else start
        if not seen and start < r.addr:
            return -EFAULT
        r.vma = vma
        r.new_addr = target + (v.start - last_end if seen else 0)
        last_end = v.end
        r.old_len = r.new_len = (end if end < v.end else v.end) - r.addr
        ret = check_vma(m, r)
        if ret == 0:
            ret = mremap_to(m, r)
        if ret < 0:
            return ret
        if not seen:
            first = ret
        seen = 1
        target = <uint64_t>ret + r.new_len
        if last_end >= end:
            break               # what is found there now can be the target, merged with what is left of the source
        vma = find_vma(m, r.mm, last_end)
    return first


cdef int check_params(machine_t *m, remap_t *r) noexcept nogil:
    cdef uint64_t top = m.rules.task_size
    if r.flags & ~<uint32_t>(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) or r.addr & PAGE_MASK_LOW:
        return -EINVAL
    if r.new_len == 0 or r.new_len > top:
        return -EINVAL
    if not new_address(r):
        return 0
    if r.new_addr > top - r.new_len or r.new_addr & PAGE_MASK_LOW or (r.flags & MREMAP_MAYMOVE) == 0:
        return -EINVAL
    if r.flags & MREMAP_DONTUNMAP and r.old_len != r.new_len:
        return -EINVAL
    if r.addr + r.old_len > r.new_addr and r.new_addr + r.new_len > r.addr:
        return -EINVAL
    return -ENOMEM if m.mms[r.mm].map_count + SPARE_VMAS_MOVE >= m.max_map_count else 0


cdef int64_t do_mremap_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags,
                         uint64_t new_addr) noexcept nogil:
    cdef remap_t r
    cdef int64_t ret
    r.pid = pid
    r.mm = m.tasks[pid].mm
    r.vma = 0
    r.flags = flags
    r.kind = SAME
    r.addr = addr
    r.old_len = page_align(old_len)
    r.new_len = page_align(new_len)
    r.new_addr = new_addr
    r.delta = 0
    r.populate = 0
    ret = check_params(m, &r)
    if ret < 0:
        return ret
    down_mmap_sem(m, r.mm)
    if flags & MREMAP_FIXED and r.old_len == r.new_len:
        ret = remap_move(m, &r)
    else:
        r.vma = vma_at(m, r.mm, addr)
        ret = check_vma(m, &r)
        if ret == 0:
            ret = mremap_to(m, &r) if new_address(&r) else mremap_at(m, &r)
    up_mmap_sem(m, r.mm)
    if ret >= 0 and r.populate != 0:
        m.calls.populate(m, pid, <uint64_t>ret + r.old_len, <uint64_t>ret + r.old_len + r.populate)
    return ret
