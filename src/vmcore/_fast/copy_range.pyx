"""copy_page_range: the ptes of a vma for the child of a fork.

Source: copy_page_range of mm/memory.c 2.6.5; fact sheet linux-2004 sections 6.11, 2.2, 2.5.

Every pte that is there is copied, file pages too. Without chains the loop reads ptes and counts mapcounts, which are an
array of their own; no frame record is touched. With chains every pte is an operation on its page's chain; where only
anonymous pages have them (rules.rmap_nodes), those of file pages are counted only.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.records cimport (
    machine_t, mm_t, vma_t, frame_t, PAGE_SHIFT, PG_DIRECT, PTE_A, PTE_ANON, PTE_D, PTE_EXCLUSIVE, PTE_P,
    PTE_PROTNONE, PTE_RW, PTE_SHIFT, PTE_SPECIAL, RMAP_NODES_ANON, VM_MAYBE_GUARD, VM_MAYWRITE, VM_NONLINEAR,
    VM_RESERVED, VM_SHARED, VM_WIPEONFORK)
from vmcore._fast.pool cimport safe_point
from vmcore._fast.locks cimport spin_lock_ptl, spin_unlock_ptl
from vmcore._fast.bugs cimport BUG_FORK_UNMAPPED, bug
from vmcore._fast.counters cimport count, count_n, FORK_PTES_COPIED, FORK_TABLES, FORK_VMAS_SKIPPED
from vmcore._fast.pagetable cimport (
    leaf_end, leaf_lookup, next_leaf, prefetch_leaf, pte_alloc, pte_in, pte_is_swap, pte_swp)
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.swap cimport swap_duplicate, swp_slot

cdef enum:
    COPY_AHEAD = 48         # entries between the prefetch of a page's mapcount and its increment; a multiple of 8
    STREAM_AHEAD = 32       # entries between the prefetch of a line of the tables themselves and its first use
    CHAIN_AHEAD = 8         # the same for the chain node, once the frame record is there


# ---------------------------------------------------------------- one leaf table

cdef inline void copy_other(machine_t *m, mm_t *cp, uint64_t *src, uint64_t *dst, uint64_t pte) noexcept nogil:
    """An entry that is no page of ours: swapped (nobody's alone from now on), nonlinear, a guard marker, or of a
    reserved page: as it is."""
    if pte_is_swap(pte):
        swap_duplicate(m, pte_swp(pte))
        cp.swapents += 1
        pte &= ~<uint64_t>PTE_EXCLUSIVE
        src[0] = pte
    dst[0] = pte


cdef inline int is_page(uint64_t pte) noexcept nogil:
    """Present (PROT_NONE too), and a page with a frame record and a mapcount."""
    return (pte & (PTE_P | PTE_PROTNONE)) != 0 and (pte & PTE_SPECIAL) == 0


cdef inline void ahead_plain(machine_t *m, uint64_t pte) noexcept nogil:
    if pte & PTE_P:
        prefetch_write(&m.mapcount[pte >> PTE_SHIFT])
    elif pte_is_swap(pte):
        prefetch_write(&m.swap_slots[swp_slot(m, pte_swp(pte))])


cdef inline uint64_t all_of(const uint64_t *e) noexcept nogil:
    return e[0] & e[1] & e[2] & e[3] & e[4] & e[5] & e[6] & e[7]


cdef inline uint64_t any_of(const uint64_t *e) noexcept nogil:
    return e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7]


cdef void copy_mixed(machine_t *m, uint32_t cmm, uint64_t *src, uint64_t *dst, uint32_t n, uint64_t keep,
                     uint64_t keep_child) noexcept nogil:
    """n entries of any kind."""
    cdef mm_t *cp = &m.mms[cmm]
    cdef uint64_t pte
    cdef uint32_t i
    for i in range(n):
        pte = src[i]
        if pte == 0:
            continue
        count(m, FORK_PTES_COPIED)
        if is_page(pte):
            if m.mapcount[pte >> PTE_SHIFT] == 0:
                bug(m, BUG_FORK_UNMAPPED, pte >> PTE_SHIFT, cmm, pte)
            m.mapcount[pte >> PTE_SHIFT] += 1
            cp.rss += 1
            cp.anon_rss += (pte & PTE_ANON) != 0
            src[i] = pte & keep
            dst[i] = pte & keep_child
        else:
            copy_other(m, cp, &src[i], &dst[i], pte)


cdef void copy_ptes(machine_t *m, uint32_t cmm, uint32_t from_, uint32_t to, uint32_t n, uint64_t keep,
                    uint64_t keep_child) noexcept nogil:
    """n entries of one leaf. keep, keep_child: the bits that the parent's and the child's present entries keep.
    The loop that a design without chains is judged by: no call but for swap entries, no frame record, and no test an
    entry where the eight of a cache line are all pages, or all none."""
    cdef uint64_t *src = &m.ptes[from_]
    cdef uint64_t *dst = &m.ptes[to]
    cdef uint64_t *stop = src + n           # pointers: an index of 32 bits would be computed anew for each entry
    cdef uint64_t *near
    cdef uint32_t *mapcount = m.mapcount
    cdef uint64_t all, some
    cdef uint64_t pages = 0
    cdef uint64_t anon = 0
    cdef uint32_t unmapped = 0      # its top bit: some mapcount was 0
    cdef uint32_t mapped
    cdef int k
    near = src + COPY_AHEAD if n > <uint32_t>COPY_AHEAD else stop
    while near > src:
        near -= 1
        ahead_plain(m, near[0])
    while src + 8 <= stop:
        near = src + COPY_AHEAD
        prefetch_write(near + STREAM_AHEAD)
        prefetch_write(dst + STREAM_AHEAD)
        if near + 8 <= stop:
            if all_of(near) & PTE_P:
                for k in range(8):
                    prefetch_write(&mapcount[near[k] >> PTE_SHIFT])
            elif any_of(near) != 0:
                for k in range(8):
                    ahead_plain(m, near[k])
        all = all_of(src)
        some = any_of(src)
        if all & PTE_P and not some & PTE_SPECIAL:
            for k in range(8):
                mapped = mapcount[src[k] >> PTE_SHIFT]
                unmapped |= mapped - 1
                mapcount[src[k] >> PTE_SHIFT] = mapped + 1
            for k in range(8):
                dst[k] = src[k] & keep_child
            if all & PTE_ANON:
                anon += 8
            elif some & PTE_ANON:
                for k in range(8):
                    anon += (src[k] & PTE_ANON) != 0
            if some & ~keep:                    # a second fork leaves the parent's lines clean
                for k in range(8):
                    src[k] &= keep
            pages += 8
        elif some != 0:
            copy_mixed(m, cmm, src, dst, 8, keep, keep_child)
        src += 8
        dst += 8
    copy_mixed(m, cmm, src, dst, <uint32_t>(stop - src), keep, keep_child)
    if unmapped >> 31 != 0:
        bug(m, BUG_FORK_UNMAPPED, 0, cmm, from_)
    m.mms[cmm].rss += pages
    m.mms[cmm].anon_rss += anon
    count_n(m, FORK_PTES_COPIED, pages)


cdef inline void ahead_chain(machine_t *m, uint64_t pte, uint64_t near) noexcept nogil:
    cdef frame_t *f
    if pte & PTE_P:
        prefetch_write(&m.frames[pte >> PTE_SHIFT])
        prefetch_write(&m.mapcount[pte >> PTE_SHIFT])
    elif pte_is_swap(pte):
        prefetch_write(&m.swap_slots[swp_slot(m, pte_swp(pte))])
    if near & PTE_P and not near & PTE_SPECIAL:
        f = &m.frames[near >> PTE_SHIFT]
        if not f.flags & <uint32_t>PG_DIRECT:
            prefetch_write(&m.chains[<uint64_t>f.rmap * m.chain_words])


cdef int copy_ptes_chained(machine_t *m, uint32_t cmm, uint32_t vma, uint64_t addr, uint32_t from_, uint32_t to,
                           uint32_t n, uint64_t keep, uint64_t keep_child) noexcept nogil:
    """The same for designs with rules.rmap_nodes. 0, or -ENOMEM with what was copied so far in place."""
    cdef uint64_t *src = &m.ptes[from_]
    cdef uint64_t *dst = &m.ptes[to]
    cdef mm_t *cp = &m.mms[cmm]
    cdef uint64_t chained = PTE_ANON if m.rules.rmap_nodes == RMAP_NODES_ANON else 0     # bits of who has a chain
    cdef uint64_t pte
    cdef uint64_t copied = 0
    cdef uint32_t i
    cdef int err = 0
    for i in range(n):
        if i + <uint32_t>COPY_AHEAD < n:
            ahead_chain(m, src[i + <uint32_t>COPY_AHEAD], src[i + <uint32_t>CHAIN_AHEAD])
        if src[i] == 0:
            continue
        if m.chain_spare == 0 and (src[i] & chained) == chained:
            # both page_table_locks are dropped for this: reclaim may unmap what we copied, and what we are about to
            err = m.rmap.reserve(m)
            if err < 0:
                break
        pte = src[i]
        if is_page(pte):
            src[i] = pte & keep
            dst[i] = pte & keep_child
            cp.rss += 1
            cp.anon_rss += (pte & PTE_ANON) != 0
            if (pte & chained) == chained:
                m.rmap.page_add(m, <uint32_t>(pte >> PTE_SHIFT), vma, addr + (<uint64_t>i << PAGE_SHIFT), to + i,
                                (pte & PTE_ANON) != 0)
            else:
                m.mapcount[pte >> PTE_SHIFT] += 1
            copied += 1
        elif pte != 0:
            copy_other(m, cp, &src[i], &dst[i], pte)
            copied += 1
    count_n(m, FORK_PTES_COPIED, copied)
    return err


# ---------------------------------------------------------------- one vma

cdef int copy_page_range(machine_t *m, uint32_t cmm, uint32_t pmm, uint32_t child, uint32_t parent) noexcept nogil:
    """Every pte of the parent's vma. A table is made for the child wherever the parent has one, even if it is empty.
    With rules.fork_skips_unfaulted a vma without anonymous pages and markers is left to the child's own faults."""
    cdef vma_t *v = &m.vmas[parent]
    cdef uint32_t chained = m.rules.rmap_nodes
    cdef uint64_t keep = ~<uint64_t>0
    cdef uint64_t keep_child = ~<uint64_t>PTE_A
    cdef uint64_t a = v.start
    cdef uint64_t stop
    cdef uint32_t t, to, from_, n, tables
    cdef int err
    if v.flags & <uint32_t>VM_WIPEONFORK:
        return 0
    if m.rules.fork_skips_unfaulted and v.anon_vma == 0 and not v.flags & <uint32_t>(
            VM_RESERVED | VM_NONLINEAR | VM_MAYBE_GUARD):
        count(m, FORK_VMAS_SKIPPED)
        return 0
    if (v.flags & <uint32_t>(VM_SHARED | VM_MAYWRITE)) == <uint32_t>VM_MAYWRITE:
        keep = ~<uint64_t>(PTE_RW | PTE_EXCLUSIVE)
    if v.flags & <uint32_t>VM_SHARED:
        keep_child &= ~<uint64_t>PTE_D
    keep_child &= keep
    while a < v.end:
        t = next_leaf(m, pmm, &a, v.end)
        if t == 0:
            break
        if safe_point(m) < 0:
            return -ENOMEM
        tables = m.mms[cmm].nr_ptes
        to = pte_alloc(m, cmm, a)
        if to == 0:
            return -ENOMEM
        count_n(m, FORK_TABLES, m.mms[cmm].nr_ptes - tables)
        stop = leaf_end(m, a, v.end)
        n = <uint32_t>((stop - a) >> PAGE_SHIFT)
        from_ = pte_in(m, t, a)
        if stop < v.end:
            prefetch_leaf(m, leaf_lookup(m, pmm, stop))
        spin_lock_ptl(m, cmm)
        spin_lock_ptl(m, pmm)
        if chained:
            err = copy_ptes_chained(m, cmm, child, a, from_, to, n, keep, keep_child)
        else:
            err = 0
            copy_ptes(m, cmm, from_, to, n, keep, keep_child)
        spin_unlock_ptl(m, pmm)
        spin_unlock_ptl(m, cmm)
        if err < 0:
            return err
        a = stop
    return 0
