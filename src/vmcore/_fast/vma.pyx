"""The vmas of an mm: find, link, split, search for a gap. mm/mmap.c of 2.6.5; fact sheet linux-2004 6.1 to 6.3.

How neighbours become one is in merge.pyx.
"""
from libc.errno cimport EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t, int64_t
from libc.string cimport memset

from vmcore._fast.bugs cimport BUG_VMA_OVERLAP, bug
from vmcore._fast.counters cimport (
    FIND_VMA_CACHE_HITS, FIND_VMA_CALLS, FIND_VMA_STEPS, VMA_SPLITS, VMAS_ALLOCATED, count)
from vmcore._fast.filemap cimport file_put
from vmcore._fast.frame cimport GFP_KERNEL
from vmcore._fast.locks cimport (
    down_i_shared, spin_lock_ptl, spin_unlock_ptl, up_i_shared)
from vmcore._fast.pool cimport pool_alloc, pool_free, safe_point
from vmcore._fast.rbtree cimport rb_erase, rb_insert, rb_view
from vmcore._fast.records cimport (
    CACHE_VMA, PAGE_MASK_LOW, PAGE_SHIFT, POOL_VMA, VM_NONLINEAR, file_t, machine_t, mm_t, vma_t)
from vmcore._fast.slab cimport cache_alloc, cache_free


cdef inline rb_view tree_of(machine_t *m) noexcept nogil:
    cdef rb_view v
    v.base = <char *>m.vmas
    v.stride = sizeof(vma_t)
    v.off = <uint64_t>(<char *>&m.vmas.rb_parent - <char *>m.vmas)
    v.augment = NULL
    v.value = 0
    return v


# ---------------------------------------------------------------- find

cdef uint32_t find_vma(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t found = p.mmap_cache
    cdef uint32_t node
    cdef vma_t *v
    count(m, FIND_VMA_CALLS)
    if found != 0 and m.vmas[found].end > addr and m.vmas[found].start <= addr:
        count(m, FIND_VMA_CACHE_HITS)
        return found
    found = 0
    node = p.rb_root
    while node != 0:
        count(m, FIND_VMA_STEPS)
        v = &m.vmas[node]
        if v.end > addr:
            found = node
            if v.start <= addr:
                break
            node = v.rb_left
        else:
            node = v.rb_right
    if found != 0:
        p.mmap_cache = found
    return found


cdef uint32_t find_vma_prev(machine_t *m, uint32_t mm, uint64_t addr, uint32_t *prev) noexcept nogil:
    cdef uint32_t node = m.mms[mm].rb_root
    cdef uint32_t below = 0
    while node != 0:
        if m.vmas[node].end > addr:
            node = m.vmas[node].rb_left
        else:
            below = node
            node = m.vmas[node].rb_right
    prev[0] = below
    return m.vmas[below].next if below != 0 else m.mms[mm].mmap


cdef uint32_t find_vma_intersection(machine_t *m, uint32_t mm, uint64_t start, uint64_t end) noexcept nogil:
    cdef uint32_t vma = find_vma(m, mm, start)
    if vma != 0 and end <= m.vmas[vma].start:
        return 0
    return vma


cdef int walk_vmas(machine_t *m, uint32_t mm, uint64_t start, uint64_t end, int holes, vma_visit visit,
                   int how) noexcept nogil:
    cdef int unmapped = 0
    cdef uint32_t prev = 0
    cdef uint32_t vma
    cdef uint64_t stop
    cdef int err
    while start < end:
        vma = find_vma_prev(m, mm, start, &prev)
        if vma == 0:
            return -ENOMEM
        if start < m.vmas[vma].start:
            unmapped = -ENOMEM
            start = m.vmas[vma].start
            if holes == HOLES_END or start >= end:
                break
        stop = m.vmas[vma].end if m.vmas[vma].end < end else end
        err = visit(m, vma, start, &stop, how)
        if err < 0:
            return err
        if safe_point(m) < 0:
            return -ENOMEM
        start = stop
    return unmapped


# ---------------------------------------------------------------- records

cdef uint32_t vma_alloc(machine_t *m) noexcept nogil:
    cdef uint32_t vma = pool_alloc(m, POOL_VMA)
    if vma == 0:
        return 0
    memset(&m.vmas[vma], 0, sizeof(vma_t))
    if cache_alloc(m, CACHE_VMA, vma, GFP_KERNEL) < 0:
        pool_free(m, POOL_VMA, vma)
        return 0
    count(m, VMAS_ALLOCATED)
    return vma


cdef void vma_free(machine_t *m, uint32_t vma) noexcept nogil:
    m.vmas[vma].mm = 0
    cache_free(m, CACHE_VMA, vma)
    pool_free(m, POOL_VMA, vma)


# ---------------------------------------------------------------- among the vmas of a file

cdef inline int kept_apart(machine_t *m, uint32_t vma) noexcept nogil:
    return m.rules.nonlinear_list and m.vmas[vma].flags & VM_NONLINEAR


cdef void nonlinear_add(machine_t *m, uint32_t vma, uint32_t after) noexcept nogil:
    """Onto the file's circular list, after that one; 0: at the tail."""
    cdef vma_t *v = &m.vmas[vma]
    cdef file_t *f = &m.files[v.file]
    v.shared_parent = 0
    v.shared_head = 0
    if f.i_mmap_nonlinear == 0:
        f.i_mmap_nonlinear = v.shared_next = v.shared_prev = vma
        return
    if after == 0:
        after = m.vmas[f.i_mmap_nonlinear].shared_prev
    v.shared_prev = after
    v.shared_next = m.vmas[after].shared_next
    m.vmas[v.shared_next].shared_prev = vma
    m.vmas[after].shared_next = vma


cdef void nonlinear_del(machine_t *m, uint32_t vma) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef file_t *f = &m.files[v.file]
    m.vmas[v.shared_prev].shared_next = v.shared_next
    m.vmas[v.shared_next].shared_prev = v.shared_prev
    if f.i_mmap_nonlinear == vma:
        f.i_mmap_nonlinear = v.shared_next if v.shared_next != vma else 0
    v.shared_next = v.shared_prev = 0


cdef void index_insert(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].flags & VM_NONLINEAR:
        m.files[m.vmas[vma].file].nr_i_mmap_nonlinear += 1
    if kept_apart(m, vma):
        nonlinear_add(m, vma, 0)
    else:
        m.i_mmap.insert(m, vma)


cdef void index_insert_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil:
    if m.vmas[child].flags & VM_NONLINEAR:
        m.files[m.vmas[child].file].nr_i_mmap_nonlinear += 1
    if kept_apart(m, child):
        nonlinear_add(m, child, parent)
    else:
        m.i_mmap.insert_fork(m, child, parent)


cdef void index_remove(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].flags & VM_NONLINEAR:
        m.files[m.vmas[vma].file].nr_i_mmap_nonlinear -= 1
    if kept_apart(m, vma):
        nonlinear_del(m, vma)
    else:
        m.i_mmap.remove(m, vma)


# ---------------------------------------------------------------- link, detach, destroy

cdef void link_list_tree(machine_t *m, uint32_t mm, uint32_t vma) noexcept nogil:
    cdef rb_view view = tree_of(m)
    cdef mm_t *p = &m.mms[mm]
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t parent = 0
    cdef uint32_t prev = 0
    cdef uint32_t node = p.rb_root
    cdef uint32_t next
    cdef int right = 0
    while node != 0:
        parent = node
        right = v.start >= m.vmas[node].start
        if right:
            prev = node
            node = m.vmas[node].rb_right
        else:
            node = m.vmas[node].rb_left
    next = m.vmas[prev].next if prev != 0 else p.mmap
    if prev != 0 and m.vmas[prev].end > v.start:
        bug(m, BUG_VMA_OVERLAP, mm, v.start, prev)
    elif next != 0 and m.vmas[next].start < v.end:
        bug(m, BUG_VMA_OVERLAP, mm, v.start, next)
    v.mm = mm
    v.prev = prev
    v.next = next
    if prev != 0:
        m.vmas[prev].next = vma
    else:
        p.mmap = vma
    if next != 0:
        m.vmas[next].prev = vma
    rb_insert(&view, &p.rb_root, vma, parent, right)
    p.map_count += 1


cdef inline void gap_grows(machine_t *m, uint32_t mm, uint32_t next) noexcept nogil:
    """A gap below the vma `next` has become longer than a top-down search may know."""
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t top = m.vmas[next].start if next != 0 else p.mmap_base
    if p.gap_top != 0 and p.gap_top < top:
        p.gap_top = top if top < p.mmap_base else 0


cdef void unlink_list_tree(machine_t *m, uint32_t vma) noexcept nogil:
    cdef rb_view view = tree_of(m)
    cdef vma_t *v = &m.vmas[vma]
    cdef mm_t *p = &m.mms[v.mm]
    gap_grows(m, v.mm, v.next)
    if v.prev != 0:
        m.vmas[v.prev].next = v.next
    else:
        p.mmap = v.next
    if v.next != 0:
        m.vmas[v.next].prev = v.prev
    rb_erase(&view, &p.rb_root, vma)
    v.prev = 0
    v.next = 0
    p.map_count -= 1


cdef void vma_link(machine_t *m, uint32_t mm, uint32_t vma) noexcept nogil:
    cdef uint32_t file = m.vmas[vma].file
    if file != 0:
        down_i_shared(m, file)
    spin_lock_ptl(m, mm)
    link_list_tree(m, mm, vma)
    if file != 0:
        m.files[file].refs += 1
        index_insert(m, vma)
    spin_unlock_ptl(m, mm)
    if file != 0:
        up_i_shared(m, file)


cdef void vma_detach(machine_t *m, uint32_t vma) noexcept nogil:
    m.mms[m.vmas[vma].mm].mmap_cache = 0
    unlink_list_tree(m, vma)


cdef void vma_destroy(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t file = m.vmas[vma].file
    if file != 0:
        down_i_shared(m, file)
        index_remove(m, vma)
        up_i_shared(m, file)
    m.rmap.vma_unlink(m, vma)
    if file != 0:
        file_put(m, file)
    vma_free(m, vma)


# ---------------------------------------------------------------- borders

cdef void vma_set_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, uint64_t pgoff) noexcept nogil:
    # start and pgoff are read by walks that hold the index's or the anon_vma's lock only: both change under it
    # only; who is kept apart for being nonlinear is found without them, and stays where it is
    cdef vma_t *v = &m.vmas[vma]
    cdef int indexed = v.file != 0 and not kept_apart(m, vma)
    if indexed:
        down_i_shared(m, v.file)
        m.i_mmap.remove(m, vma)
    m.rmap.vma_adjust_begin(m, vma)
    spin_lock_ptl(m, v.mm)
    if start > v.start or end < v.end:
        gap_grows(m, v.mm, v.next)
    v.start = start
    v.end = end
    v.pgoff = pgoff
    spin_unlock_ptl(m, v.mm)
    m.rmap.vma_adjust_end(m, vma)
    if indexed:
        m.i_mmap.insert(m, vma)
        up_i_shared(m, v.file)


cdef uint32_t split_vma(machine_t *m, uint32_t vma, uint64_t addr, int new_below) noexcept nogil:
    if m.mms[m.vmas[vma].mm].map_count >= m.max_map_count:
        return 0
    return split_vma_anyway(m, vma, addr, new_below)


cdef uint32_t split_vma_anyway(machine_t *m, uint32_t vma, uint64_t addr, int new_below) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef vma_t *n
    cdef uint32_t new
    cdef uint64_t upper         # pgoff of the upper part
    new = vma_alloc(m)
    if new == 0:
        return 0
    # no copy of the whole record: the links are the old vma's own
    n = &m.vmas[new]
    n.flags = v.flags
    n.mm = v.mm
    n.file = v.file
    n.anon_vma = v.anon_vma
    n.private_data = v.private_data
    upper = v.pgoff + ((addr - v.start) >> PAGE_SHIFT)
    n.start = v.start if new_below else addr
    n.end = addr if new_below else v.end
    n.pgoff = v.pgoff if new_below else upper
    if m.rmap.vma_split(m, new, vma) < 0:
        vma_free(m, new)
        return 0
    if new_below:
        vma_set_range(m, vma, addr, v.end, upper)
    else:
        vma_set_range(m, vma, v.start, addr, v.pgoff)
    vma_link(m, n.mm, new)
    count(m, VMA_SPLITS)
    return new


# ---------------------------------------------------------------- gaps

cdef inline uint64_t error(int errno) noexcept nogil:
    return <uint64_t>(-<int64_t>errno)


cdef uint64_t get_unmapped_area(machine_t *m, uint32_t mm, uint64_t hint, uint64_t length, int fixed) noexcept nogil:
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t top = m.rules.task_size
    cdef uint64_t addr
    cdef uint32_t vma
    cdef int wrapped
    if length > top:
        return error(ENOMEM)
    if fixed:
        if hint > top - length:
            return error(ENOMEM)
        if hint & PAGE_MASK_LOW:
            return error(EINVAL)
        return hint
    if hint != 0:
        addr = (hint + PAGE_MASK_LOW) & ~<uint64_t>PAGE_MASK_LOW
        # a hint in the last page of the word wraps to 0: no hint then
        if addr != 0 and addr <= top - length:
            vma = find_vma(m, mm, addr)
            if vma == 0 or addr + length <= m.vmas[vma].start:
                return addr
    # first fit upwards from where the last search ended; once more from the base if that found nothing
    addr = p.free_area_cache
    wrapped = addr == p.mmap_base
    while True:
        vma = find_vma(m, mm, addr)
        while addr <= top - length:
            if vma == 0 or addr + length <= m.vmas[vma].start:
                p.free_area_cache = addr + length
                return addr
            addr = m.vmas[vma].end
            vma = m.vmas[vma].next
        if wrapped:
            return error(ENOMEM)
        addr = p.mmap_base
        wrapped = 1
