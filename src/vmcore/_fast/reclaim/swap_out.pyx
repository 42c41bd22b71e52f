"""swap_out of 2.4: pages are found by walking the page tables of every process in turn. mm/vmscan.c of 2.4.27; fact
sheet linux-2004 2.1.

Question: which ptes can go, so that their pages can be freed? Without a reverse map the kernel cannot start from a
page; it starts from a place in an address space, where it stopped last time, and takes what it meets there.

    init_mm -> mm -> mm -> mm -> (init_mm)      the ring of mms; swap_mm points to the one whose turn it is
                     |
                     swap_address               cursor: below it, this lap is done; TASK_SIZE: all of it

Cost: proportional to the mapped address space between the pages that it drops, not to them. A page that n processes
map takes n visits, and only the last one makes it freeable; any process that touched its own pte since the last lap
keeps the page, and marks it as used. A pte that goes leaves its page in the swap cache, where shrink_cache frees it by
its place on the LRU: the walk frees nothing itself but clean anonymous pages.

What follows from the kernel's own code and might surprise:
- the result is counted before the pte's reference is dropped: 2 or fewer, that is the pte and a cache;
- find_vma is satisfied by the first vma above the cursor;
- when the 32 pages are complete inside the last vma of an mm, the mm counts as finished all the same, and its next
  visit starts from the bottom;
- two visits to every mm that drop fewer than 32 pages are a failure, though each of them may have dropped some.

Invariants: cursors lie between 0 and TASK_SIZE; swap_mm is on the ring or 0 (at init_mm). An mm that leaves the ring
hands swap_mm to the one before it (fork.pyx).
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport (
    RMAP_MMS_VISITED, RMAP_PTES_EXAMINED, RMAP_TRYLOCK_FAILS, RMAP_VMAS_VISITED, SWAP_OUT_CALLS, SWAP_OUT_DROPPED,
    SWAP_OUT_FAILS, SWAP_OUT_FREEABLE, SWAP_OUT_LAPS, SWAP_OUT_MMS, SWAP_OUT_PTES, SWAP_OUT_SLOTS, SWAP_OUT_YOUNG,
    count, count_n,
)
from vmcore._fast.filemap cimport set_page_dirty
from vmcore._fast.frame cimport has_mapping, page_count, pfn_zone
from vmcore._fast.locks cimport spin_lock_ptl, spin_unlock_ptl, trylock_page
from vmcore._fast.lru cimport mark_page_accessed, put_page
from vmcore._fast.pagetable cimport leaf_end, next_leaf, pte_in, pte_pfn, pte_present
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.records cimport (
    PG_ACTIVE, PG_DIRTY, PG_LOCKED, PG_PRIVATE, PTE_A, PTE_D, PTE_P, PTE_SHIFT, PTE_SPECIAL, VM_LOCKED, VM_RESERVED,
    frame_t, machine_t, mm_t, vma_t,
)
from vmcore._fast.rmap.rmap cimport unmap_pte
from vmcore._fast.swap cimport add_to_swap
from vmcore._fast.vma cimport find_vma

cdef enum:
    AHEAD = 12              # ptes between the prefetch of a page's record and its turn


# ---------------------------------------------------------------- one pte

cdef int drop_one(machine_t *m, uint32_t mm, uint32_t vm_flags, uint32_t pte, int classzone) noexcept nogil:
    """The pte of an ordinary page: 1 if it went and nobody else maps the page, else 0."""
    cdef uint64_t e = m.ptes[pte]
    cdef uint32_t pfn = pte_pfn(e)
    cdef frame_t *f = &m.frames[pfn]
    cdef int freeable
    if vm_flags & VM_LOCKED or e & PTE_A:
        if not (vm_flags & VM_LOCKED):
            m.ptes[pte] = e & ~<uint64_t>PTE_A
            count(m, SWAP_OUT_YOUNG)
        mark_page_accessed(m, pfn)
        return 0
    if f.flags & PG_ACTIVE or pfn_zone(m, pfn) > classzone:
        return 0
    if page_busy(f) or not trylock_page(m, pfn):
        count(m, RMAP_TRYLOCK_FAILS)
        return 0
    f.flags |= PG_LOCKED
    if e & PTE_D:
        set_page_dirty(m, pfn)          # stays with the page even if the pte stays too
    # a file's page is found again in its file, a clean one holds nothing that a new one would not
    if not has_mapping(f) and f.flags & PG_DIRTY:
        if f.flags & PG_PRIVATE or not add_to_swap(m, pfn):
            f.flags &= ~<uint32_t>PG_LOCKED
            return 0
        count(m, SWAP_OUT_SLOTS)
    unmap_pte(m, pfn, mm, pte)
    f.flags &= ~<uint32_t>PG_LOCKED
    freeable = page_count(m, pfn) - (1 if f.flags & PG_PRIVATE else 0) <= 2
    f.refs += 1
    m.rmap.page_remove(m, pfn, pte)
    put_page(m, pfn)
    count(m, SWAP_OUT_DROPPED)
    count_n(m, SWAP_OUT_FREEABLE, freeable)
    return freeable


# ---------------------------------------------------------------- one vma, one mm

cdef inline void look_ahead(machine_t *m, uint64_t e) noexcept nogil:
    if e & PTE_P and not (e & PTE_A):
        prefetch_write(&m.frames[e >> PTE_SHIFT])
        prefetch_write(&m.mapcount[e >> PTE_SHIFT])


cdef uint32_t swap_out_leaf(machine_t *m, uint32_t mm, uint32_t vm_flags, uint32_t pte, uint32_t n, uint32_t *want,
                    int classzone) noexcept nogil:
    """n entries of one leaf table. Returns how many were visited; stops at the one that completes *want."""
    cdef uint32_t i
    cdef uint64_t e
    for i in range(n):
        if i + AHEAD < n:
            look_ahead(m, m.ptes[pte + i + AHEAD])
        e = m.ptes[pte + i]
        if pte_present(e) and not (e & PTE_SPECIAL):
            want[0] -= drop_one(m, mm, vm_flags, pte + i, classzone)
            if want[0] == 0:
                return i + 1
    return n


cdef uint32_t swap_out_vma(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, uint32_t want,
                    int classzone) noexcept nogil:
    """From addr to the end of the vma; the cursor follows, table by table. Returns what is still wanted."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t stop
    cdef uint32_t leaf, n
    count(m, RMAP_VMAS_VISITED)
    if v.flags & VM_RESERVED:
        return want
    while addr < v.end:
        leaf = next_leaf(m, mm, &addr, v.end)
        if leaf == 0:
            break
        stop = leaf_end(m, addr, v.end)
        n = <uint32_t>((stop - addr) >> PTE_SHIFT)
        n = swap_out_leaf(m, mm, v.flags, pte_in(m, leaf, addr), n, &want, classzone)
        count_n(m, SWAP_OUT_PTES, n)
        count_n(m, RMAP_PTES_EXAMINED, n)
        addr += <uint64_t>n << PTE_SHIFT
        m.mms[mm].swap_address = addr
        if want == 0 or (m.up.poll != NULL and m.up.poll(m) < 0):
            break
    return want


cdef uint32_t swap_out_mm(machine_t *m, uint32_t mm, uint32_t want, int classzone) noexcept nogil:
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t addr = p.swap_address
    cdef uint32_t vma
    count(m, RMAP_MMS_VISITED)
    spin_lock_ptl(m, mm)
    vma = find_vma(m, mm, addr)
    if vma != 0 and addr < m.vmas[vma].start:
        addr = m.vmas[vma].start
    while vma != 0:
        want = swap_out_vma(m, mm, vma, addr, want, classzone)
        if m.host_error != 0:
            spin_unlock_ptl(m, mm)
            return want             # the cursor stands where the walk stopped
        vma = m.vmas[vma].next
        if vma == 0:
            break                   # also if nothing is wanted any more: finished
        if want == 0:
            spin_unlock_ptl(m, mm)
            return 0
        addr = m.vmas[vma].start
    p.swap_address = m.rules.task_size
    spin_unlock_ptl(m, mm)
    return want


# ---------------------------------------------------------------- round the ring

cdef int next_mm(machine_t *m) noexcept nogil:
    """To an mm that is not finished; those passed begin a new lap. 0 if there is no mm."""
    cdef uint32_t mm = m.swap_mm
    if m.mmlist == 0:
        m.swap_mm = 0
        return 0
    while mm == 0 or m.mms[mm].swap_address == m.rules.task_size:
        if mm == 0:
            mm = m.mmlist
            count(m, SWAP_OUT_LAPS)
        else:
            m.mms[mm].swap_address = 0
            mm = m.mms[mm].mmlist_next
            if mm == m.mmlist:
                mm = 0              # init_mm, which has nothing
        m.swap_mm = mm
        count(m, SWAP_OUT_MMS)
    return 1


cdef int swap_out(machine_t *m, int classzone) noexcept nogil:
    cdef uint32_t want = SWAP_CLUSTER_MAX
    cdef uint64_t visits = 2 * <uint64_t>m.mmlist_nr + 1
    count(m, SWAP_OUT_CALLS)
    while visits > 0 and next_mm(m):
        want = swap_out_mm(m, m.swap_mm, want, classzone)
        if want == 0:
            return 1
        if m.host_error != 0:
            return 0
        visits -= 1
    count(m, SWAP_OUT_FAILS)
    return 0
