"""mremap: a mapping grows, shrinks, or goes elsewhere with its pages.

Source: mm/mremap.c of 2.6.5 and 2.6.7, and of the anonmm patches of March 2004; fact sheet linux-2004 6.7, 6.2, 2.4,
2.5, 5.4. What it costs a reverse map is the question of the thread: a moved page has another pte at another address.

    pte_chain    knows ptes: remove and add, a chain operation a page
    anon_vma     knows offsets, and the moved vma keeps its own: nothing
    anonmm       knows addresses: a page of one mm gets the new one; one that is shared copy-on-write cannot be at two
                 addresses, so page_move says -EAGAIN, a write fault at the old address makes a copy, and that moves

Pages move one by one. A table is made at the target when the first page comes to it, which may reclaim, so the source
entry is read again after it. What was moved goes back if that fails or the host interrupts: the old tables are still
there, and no reverse map needs memory for the way back. So a move happens wholly or not at all, except that the target
of MREMAP_FIXED is unmapped before, and a copy that was made stays a copy.

Order is data (rules.mremap_link_first). 2.6.5 moves from the end downwards and links the new vma afterwards, so that
between the two reclaim meets ptes that no vma covers; the walks of objects would not find them, so their kernels link
first and move upwards. If nothing merges, the old way has the record ready before it moves anything.

A neighbour of the target that takes the range in (rules.merge_mremap) can be the moved vma itself; then the unmapping
of the old range shortens it at the other end.

Accounting: growth is charged before anything moves. The unmapping at the end must not give back what moved, so the vma
loses VM_ACCOUNT for that time; pieces of it that remain get it back. With old_len 0 nothing moves and nothing is
unmapped: a second mapping of the same object. 2.6.7 takes the refusal of that empty munmap for a failed split and
uncharges the old vma for good; the older code does not look.
"""
from libc.errno cimport EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_PTE_NOT_NONE, bug
from vmcore._fast.counters cimport (
    MREMAP_COWS, MREMAP_MOVES, MREMAP_PTES_MOVED, MREMAP_UNDONE, count, count_n)
from vmcore._fast.fault cimport FAULT_MAJOR, FAULT_MINOR, handle_mm_fault, make_pages_present
from vmcore._fast.locks cimport down_i_shared, down_mmap_sem, up_i_shared, up_mmap_sem
from vmcore._fast.merge cimport vma_merge
from vmcore._fast.mmap cimport (
    munmap_range, over_limit, over_memlock, page_align, vm_enough_memory, vm_unacct_memory)
from vmcore._fast.pagetable cimport leaf_lookup, pte_alloc, pte_in, pte_lookup, pte_pfn, pte_present
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, PAGE_SIZE, PTE_SPECIAL, RLIM_AS, VM_ACCOUNT, VM_DONTEXPAND, VM_HUGETLB,
    VM_LOCKED, VM_SHARED, machine_t, mm_t, vma_t)
from vmcore._fast.vma cimport (
    find_vma, find_vma_prev, get_unmapped_area, vm_stat_account, vma_alloc, vma_free, vma_link, vma_set_range)

cdef enum:
    SPANS_SAFE = 1024       # spans without a table between safe points; with one, it is one


# ---------------------------------------------------------------- entries

cdef inline int is_page(uint64_t pte) noexcept nogil:
    """Present (PROT_NONE too), and a page that the reverse map knows."""
    return pte_present(pte) and (pte & PTE_SPECIAL) == 0


cdef inline void set_moved(machine_t *m, uint32_t src, uint32_t dst) noexcept nogil:
    if m.ptes[dst] != 0:
        bug(m, BUG_PTE_NOT_NONE, src, dst, m.ptes[dst])
    m.ptes[dst] = m.ptes[src]
    m.ptes[src] = 0


cdef int move_one_page(machine_t *m, move_t *v, uint32_t src, uint64_t offset) noexcept nogil:
    """The entry at pte index src, which is not none, goes to new + offset. 0, -ENOMEM."""
    cdef uint32_t dst
    cdef int r
    while True:
        dst = pte_alloc(m, v.mm, v.new + offset)
        if dst == 0:
            return -ENOMEM
        if m.ptes[src] == 0:            # a file's page, unmapped by reclaim while we waited for the table
            return 0
        if not is_page(m.ptes[src]):
            break                       # swap entries, file offsets, reserved pages: as they are
        r = m.rmap.page_move(m, pte_pfn(m.ptes[src]), v.target, v.new + offset, src, dst)
        if r == 0:
            break
        if r != -EAGAIN:
            return r
        count(m, MREMAP_COWS)
        r = handle_mm_fault(m, v.source, v.old + offset, 1)
        if r != FAULT_MINOR and r != FAULT_MAJOR:
            return -ENOMEM
    set_moved(m, src, dst)
    v.ptes += 1
    return 0


cdef int move_span(machine_t *m, move_t *v, uint32_t leaf, uint64_t lo, uint64_t hi) noexcept nogil:
    """Offsets [lo, hi) of the range, whose entries lie in one leaf table."""
    cdef uint32_t base = leaf << m.pt_shift
    cdef uint32_t src
    cdef uint64_t offset
    cdef uint64_t n = (hi - lo) >> PAGE_SHIFT
    cdef uint64_t i
    cdef int err
    for i in range(n):
        offset = lo + ((n - 1 - i if v.down else i) << PAGE_SHIFT)
        src = base | (<uint32_t>((v.old + offset) >> PAGE_SHIFT) & m.pt_mask)
        if m.ptes[src] != 0:
            err = move_one_page(m, v, src, offset)
            if err < 0:
                return err
        if v.down:
            v.first = offset
        else:
            v.last = offset + PAGE_SIZE
    return 0


cdef int move_page_tables(machine_t *m, move_t *v) noexcept nogil:
    """0, or why it stopped; v.first and v.last say where."""
    cdef uint64_t span = <uint64_t>1 << m.leaf_shift
    cdef uint64_t at, lo, hi
    cdef uint64_t empty = 0
    cdef uint32_t leaf = 0
    cdef int err
    v.first = v.last = v.length if v.down else 0
    v.ptes = 0
    while v.first != 0 if v.down else v.last != v.length:
        if (leaf != 0 or (empty != 0 and empty % SPANS_SAFE == 0)) and safe_point(m) < 0:
            return -EINTR
        # the next span of a leaf table, cut to the range
        at = v.old + (v.first - 1 if v.down else v.last)
        lo = at & ~(span - 1)
        hi = lo + span - v.old if lo + span < v.old + v.length else v.length
        lo = lo - v.old if lo > v.old else 0
        leaf = leaf_lookup(m, v.mm, at)
        if leaf != 0:
            err = move_span(m, v, leaf, lo, hi)
            if err < 0:
                return err
        elif v.down:
            v.first = lo
        else:
            v.last = hi
        empty += leaf == 0
    return 0


cdef void move_back(machine_t *m, move_t *v) noexcept nogil:
    """What was moved returns; nothing here needs memory, or looks at the host's signals."""
    cdef uint64_t offset = v.first
    cdef uint32_t src, dst
    cdef uint32_t leaf = 0
    while offset < v.last:
        if leaf == 0 or ((v.new + offset) & ((<uint64_t>1 << m.leaf_shift) - 1)) == 0:
            leaf = leaf_lookup(m, v.mm, v.new + offset)
            if leaf == 0:
                # to the end of what the missing table would cover
                offset = (((v.new + offset) >> m.leaf_shift) + 1 << m.leaf_shift) - v.new
                continue
        src = pte_in(m, leaf, v.new + offset)
        if m.ptes[src] != 0:
            dst = pte_lookup(m, v.mm, v.old + offset)
            if is_page(m.ptes[src]):
                m.rmap.page_move(m, pte_pfn(m.ptes[src]), v.source, v.old + offset, src, dst)
            set_moved(m, src, dst)
        offset += PAGE_SIZE
    count(m, MREMAP_UNDONE)


# ---------------------------------------------------------------- the target

cdef uint32_t merge_target(machine_t *m, uint32_t vma, uint64_t addr, uint64_t length, uint64_t pgoff) noexcept nogil:
    """The neighbour of the target that now covers it too, 0 if there is none that may."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t prev = 0
    if m.rules.merge_mremap == 0 or (m.rules.merge_mremap == 1 and (v.file != 0 or (v.flags & VM_SHARED) != 0)):
        return 0
    find_vma_prev(m, v.mm, addr, &prev)
    return vma_merge(m, v.mm, prev, addr, addr + length, v.flags, v.file, pgoff, vma)


cdef uint32_t new_target(machine_t *m, uint32_t vma, uint64_t addr, uint64_t length, uint64_t pgoff) noexcept nogil:
    cdef uint32_t new = vma_alloc(m)
    cdef vma_t *n = &m.vmas[new]
    cdef vma_t *v = &m.vmas[vma]
    if new == 0:
        return 0
    n.start = addr
    n.end = addr + length
    n.pgoff = pgoff
    n.flags = v.flags
    n.mm = v.mm
    n.file = v.file
    n.private_data = v.private_data
    if m.rmap.vma_copy(m, new, vma) < 0:
        vma_free(m, new)
        return 0
    return new


cdef void unmap_moved(machine_t *m, move_t *v, uint32_t vma, uint64_t addr, uint64_t length,
                      uint32_t flags) noexcept nogil:
    """The range of vma that the pages have left goes, without giving back the charge. Where nothing can be split for
    it, it stays mapped, empty and uncharged."""
    cdef vma_t *p = &m.vmas[vma]
    cdef uint64_t excess = 0
    cdef int split = 0
    if length == 0 and not m.rules.mremap_link_first:
        return
    if flags & VM_ACCOUNT:
        p.flags &= ~<uint32_t>VM_ACCOUNT
        excess = p.end - p.start - length
        split = addr > p.start and addr + length < p.end
    if munmap_range(m, v.mm, addr, length) < 0:
        vm_unacct_memory(m, excess >> PAGE_SHIFT)
        return
    if excess != 0:
        p.flags |= VM_ACCOUNT
        if split:
            m.vmas[p.next].flags |= VM_ACCOUNT


cdef int64_t move_vma(machine_t *m, uint32_t pid, uint32_t vma, uint64_t addr, uint64_t old_len, uint64_t new_len,
                      uint64_t new_addr) noexcept nogil:
    cdef uint32_t mm = m.vmas[vma].mm
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t flags = m.vmas[vma].flags
    cdef uint32_t file = m.vmas[vma].file
    cdef uint64_t pgoff = m.vmas[vma].pgoff + ((addr - m.vmas[vma].start) >> PAGE_SHIFT)
    cdef int linked = 1
    cdef int err
    cdef move_t v
    if m.rules.mremap_map_slack != 0 and p.map_count + m.rules.mremap_map_slack >= m.max_map_count:
        return -ENOMEM
    # copy_vma: a vma that knows whether it has anonymous pages, and has none yet, is numbered anew
    if m.rules.merge_mremap == 2 and m.rules.merge_anon_vma and file == 0 and m.vmas[vma].anon_vma == 0:
        pgoff = new_addr >> PAGE_SHIFT
    v.mm = mm
    v.source = vma
    v.old = addr
    v.new = new_addr
    v.length = old_len
    v.down = not m.rules.mremap_link_first
    v.target = merge_target(m, vma, new_addr, new_len, pgoff)
    if v.target != 0:
        # it can have swallowed the moved vma, which lay on its other side
        if m.vmas[vma].mm == 0 or m.vmas[v.target].start <= addr and addr < m.vmas[v.target].end:
            v.source = v.target
    else:
        v.target = new_target(m, vma, new_addr, new_len, pgoff)
        if v.target == 0:
            return -ENOMEM
        if m.rules.mremap_link_first:
            vma_link(m, mm, v.target)
        else:
            linked = 0
    if file != 0:
        down_i_shared(m, file)
    err = m.rmap.reserve(m) if old_len != 0 else 0
    v.first = v.last = 0
    if err == 0:
        err = move_page_tables(m, &v)
    if err < 0:
        move_back(m, &v)
    if file != 0:
        up_i_shared(m, file)
    if err < 0 and not linked:
        m.rmap.vma_unlink(m, v.target)
        vma_free(m, v.target)
        return -ENOMEM

    vm_stat_account(m, mm, flags, new_len >> PAGE_SHIFT)
    if flags & VM_LOCKED:
        p.locked_vm += new_len >> PAGE_SHIFT
    if err < 0:
        unmap_moved(m, &v, v.target, new_addr, new_len, flags)
        return -ENOMEM
    if not linked:
        vma_link(m, mm, v.target)
    count(m, MREMAP_MOVES)
    count_n(m, MREMAP_PTES_MOVED, v.ptes)
    unmap_moved(m, &v, v.source, addr, old_len, flags)
    if flags & VM_LOCKED and new_len > old_len:
        make_pages_present(m, pid, new_addr + old_len, new_addr + new_len)
    return <int64_t>new_addr


# ---------------------------------------------------------------- the system call

cdef int64_t relocate(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags,
                      uint64_t new_addr) noexcept nogil:
    """new_len >= old_len, or a move of equal length: in place if that can be, else elsewhere."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t vma = find_vma(m, mm, addr)
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t grow = new_len - old_len
    cdef uint64_t charged = 0
    cdef uint64_t room
    cdef int64_t ret = -ENOMEM
    if vma == 0 or v.start > addr:
        return -EFAULT
    if v.flags & VM_HUGETLB:
        return -EINVAL
    if old_len > v.end - addr or (v.flags & VM_DONTEXPAND and grow != 0):
        return -EFAULT
    if v.flags & VM_LOCKED and over_memlock(m, pid, grow):
        return -EAGAIN
    if over_limit(m, pid, RLIM_AS, p.total_vm, grow):
        return -ENOMEM
    if v.flags & VM_ACCOUNT:
        charged = grow >> PAGE_SHIFT
        if vm_enough_memory(m, pid, charged) < 0:
            return -ENOMEM
    if (old_len == v.end - addr and not (flags & MREMAP_FIXED and new_addr != addr)
            and (grow != 0 or not flags & MREMAP_MAYMOVE)):
        room = (m.vmas[v.next].start if v.next != 0 else m.rules.task_size) - addr
        if room >= new_len:
            vma_set_range(m, vma, v.start, addr + new_len, v.pgoff)
            vm_stat_account(m, mm, v.flags, grow >> PAGE_SHIFT)
            if v.flags & VM_LOCKED:
                p.locked_vm += grow >> PAGE_SHIFT
                make_pages_present(m, pid, addr + old_len, addr + new_len)
            return <int64_t>addr
    if flags & MREMAP_MAYMOVE:
        if not flags & MREMAP_FIXED:
            new_addr = get_unmapped_area(m, mm, 0, new_len, 0)
        if new_addr & PAGE_MASK_LOW:
            ret = <int64_t>new_addr
        else:
            ret = move_vma(m, pid, vma, addr, old_len, new_len, new_addr)
    if ret < 0:
        vm_unacct_memory(m, charged)
    return ret


cdef int64_t mremap_locked(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len,
                           uint32_t flags, uint64_t new_addr) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t top = m.rules.task_size
    cdef int err
    if flags & ~<uint32_t>(MREMAP_MAYMOVE | MREMAP_FIXED) or addr & PAGE_MASK_LOW:
        return -EINVAL
    old_len = page_align(old_len)
    new_len = page_align(new_len)
    if new_len == 0:
        return -EINVAL
    if flags & MREMAP_FIXED:
        if new_addr & PAGE_MASK_LOW or not flags & MREMAP_MAYMOVE:
            return -EINVAL
        if new_len > top or new_addr > top - new_len:
            return -EINVAL
        if (new_addr <= addr and new_addr + new_len > addr) or (addr <= new_addr and addr + old_len > new_addr):
            return -EINVAL
        err = munmap_range(m, mm, new_addr, new_len)
        if err < 0:
            return err
    if old_len >= new_len:
        if old_len > new_len:
            err = munmap_range(m, mm, addr + new_len, old_len - new_len)
            if err < 0:
                return err
        if not flags & MREMAP_FIXED:
            return <int64_t>addr        # mapped or not: 2.6.5 to 2.6.7 do not look
        old_len = new_len
    return relocate(m, pid, addr, old_len, new_len, flags, new_addr)


cdef int64_t do_mremap(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags,
                       uint64_t new_addr) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int64_t ret
    down_mmap_sem(m, mm)
    ret = mremap_locked(m, pid, addr, old_len, new_len, flags, new_addr)
    up_mmap_sem(m, mm)
    return ret
