"""swapoff: every page of an area comes back before the area goes.

Source: mm/swapfile.c (sys_swapoff, try_to_unuse, unuse_process, unuse_pte) of 2.6.5; fact sheet linux-2004 8.3.

Order is the kernel's: used slots ascending; for each, its owners from the mm where the previous slot's owner was
found, round the ring of mms, with tmpfs at the ring's start (init_mm stands for it). The cost is not: for every slot
the kernel walks all page tables of the mms that it tries, slots x tables in the worst case. Here one pass over all
page tables and tmpfs trees notes who holds which slot, and the slots are served from the notes. SWAPOFF_PTES_COMPARED
and SWAPOFF_MMS_SEARCHED count such full passes: entries of leaf tables looked at, and mms.

A note is a hint: serving a slot may wait for memory, reclaim may take ptes down meanwhile (new swap ptes) and the OOM
killer whole mms. So every note is compared again before use, and a slot that has uses left when its notes are served
does what the kernel does: the page is written if dirty and leaves the swap cache, and the uses are found by the next
pass. No page of the area enters the swap cache behind our back, so the second pass finds them all, short of further
unmapping by reclaim.

Notes in POOL_SCRATCH: a word per slot (first note << 32 | last note), then notes of two words from number 1:

    next note << 32 | pte index     ring position of the mm << 1
    next note << 32 | file          page index << 1 | 1
"""
from libc.errno cimport EINTR, EINVAL, ENOMEM
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.bugs cimport BUG_SWAP_FREE, bug
from vmcore._fast.counters cimport (
    COW_COPIES, RMAP_MISPLACED_COPIES, SWAPOFF_MMS_SEARCHED, SWAPOFF_PTES_COMPARED, count, count_n)
from vmcore._fast.filemap cimport (
    RADIX_SWAP, RADIX_TAG, RADIX_VALUE_SHIFT, clear_page_dirty, radix_next, set_page_dirty, wait_on_page)
from vmcore._fast.frame cimport GFP_HIGHUSER, alloc_pages
from vmcore._fast.lru cimport lru_cache_add_active, put_page
from vmcore._fast.mmap cimport vm_enough_memory, vm_unacct_memory
from vmcore._fast.pagetable cimport next_leaf, pte_is_swap, pte_swp, swp_pte
from vmcore._fast.pool cimport pool_reserve, safe_point
from vmcore._fast.records cimport (
    FILE_SHMEM, MAX_SWAPFILES, PAGE_MASK_LOW, PAGE_SHIFT, PF_SWAPOFF, PF_SWAPOFF_FAILED, PG_DIRTY, PG_LOCKED,
    PG_SWAPCACHE, PG_WRITEBACK, POOL_FILE, POOL_SCRATCH, PTE_A, PTE_ANON, PTE_D, PTE_EXCLUSIVE, PTE_RW, PTE_SHIFT,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX, SWP_OFFSET_MASK, SWP_TYPE_SHIFT, SWP_USED, SWP_WRITEOK, TASK_DYING, file_t, frame_t, machine_t,
    swap_area_t,
)
from vmcore._fast.shmem cimport shmem_unuse_at
from vmcore._fast.swap cimport delete_from_swap_cache, read_swap_cache_async, swap_free, swap_writepage
from vmcore._fast.vma cimport find_vma_prev, vma_pte_prot

cdef enum:
    SLOT_BATCH = 32         # slots between safe points
    LEAF_BATCH = 64         # leaf tables between safe points
    TMPFS = 0               # its place on the ring

cdef struct notes_t:
    uint32_t type
    uint64_t *head          # by slot
    uint64_t *note          # two words each, from number 1
    uint64_t max
    uint64_t nr
    uint64_t start          # ring position where the next search starts
    uint64_t served         # uses and slots given back in this pass


# ---------------------------------------------------------------- who holds which slot

cdef inline void add_note(notes_t *n, uint32_t offset, uint32_t ref, uint64_t where) noexcept nogil:
    """Append to the slot's list. Without room the use is left to the next pass."""
    cdef uint64_t last = n.head[offset] & <uint64_t>0xFFFFFFFF
    if n.nr == n.max:
        return
    n.nr += 1
    n.note[2 * n.nr] = ref
    n.note[2 * n.nr + 1] = where
    if last == 0:
        n.head[offset] = n.nr << 32 | n.nr
    else:
        n.note[2 * last] |= n.nr << 32
        n.head[offset] = (n.head[offset] & ~<uint64_t>0xFFFFFFFF) | n.nr

cdef inline int holds(machine_t *m, const notes_t *n, uint32_t entry) noexcept nogil:
    return entry >> SWP_TYPE_SHIFT == n.type and (entry & SWP_OFFSET_MASK) < m.swap[n.type].max

cdef int note_tmpfs(machine_t *m, notes_t *n) noexcept nogil:
    cdef uint64_t file, index, slot
    cdef uint32_t entry
    cdef file_t *f
    for file in range(1, m.pools[POOL_FILE].next):
        f = &m.files[file]
        if f.refs == 0 or f.kind != FILE_SHMEM or f.swapped == 0:
            continue
        index = 0
        while True:
            slot = radix_next(m, &f.root, &index, ~<uint64_t>0)
            if slot == 0:
                break
            entry = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
            if (slot & RADIX_TAG) == RADIX_SWAP and holds(m, n, entry):
                add_note(n, entry & SWP_OFFSET_MASK, <uint32_t>file, index << 1 | 1)
            index += 1
        if safe_point(m) != 0:
            return -EINTR
    return 0

cdef int note_mm(machine_t *m, notes_t *n, uint32_t mm, uint64_t position) noexcept nogil:
    cdef uint64_t addr = 0, pte
    cdef uint64_t entries = <uint64_t>1 << m.pt_shift
    cdef uint64_t leaves = 0
    cdef uint32_t table, entry
    cdef uint64_t i
    while addr < m.rules.task_size:
        table = next_leaf(m, mm, &addr, m.rules.task_size)
        if table == 0:
            break
        for i in range(entries):
            pte = m.ptes[(<uint64_t>table << m.pt_shift) + i]
            if pte_is_swap(pte):
                entry = pte_swp(pte)
                if holds(m, n, entry):
                    add_note(n, entry & SWP_OFFSET_MASK, (table << m.pt_shift) + <uint32_t>i, position << 1)
        count_n(m, SWAPOFF_PTES_COMPARED, entries)
        addr = ((addr >> m.leaf_shift) + 1) << m.leaf_shift
        leaves += 1
        if leaves % LEAF_BATCH == 0 and safe_point(m) != 0:
            return -EINTR
    return 0

cdef int take_notes(machine_t *m, notes_t *n) noexcept nogil:
    """One pass. 0, -ENOMEM (the host's memory, or more notes than the pool can hold), -EINTR."""
    cdef uint64_t words, position = TMPFS, file
    cdef uint32_t mm = m.mmlist
    n.max = 0
    for file in range(1, m.pools[POOL_FILE].next):
        if m.files[file].refs != 0 and m.files[file].kind == FILE_SHMEM:
            n.max += m.files[file].swapped
    while mm != 0:
        n.max += m.mms[mm].swapents
        mm = m.mms[mm].mmlist_next
        if mm == m.mmlist:
            break
    words = m.swap[n.type].max + 2 * (n.max + 1)
    if n.max >> 32 != 0 or pool_reserve(m, POOL_SCRATCH, words) != 0:
        return -ENOMEM
    if m.pools[POOL_SCRATCH].limit < m.pools[POOL_SCRATCH].next + words:
        return -ENOMEM
    n.nr = 0
    n.head = m.scratch + m.pools[POOL_SCRATCH].next
    n.note = n.head + m.swap[n.type].max
    memset(n.head, 0, m.swap[n.type].max * sizeof(uint64_t))
    if note_tmpfs(m, n) != 0:
        return -EINTR
    mm = m.mmlist
    while mm != 0:
        position += 1
        count(m, SWAPOFF_MMS_SEARCHED)
        if note_mm(m, n, mm, position) != 0:
            return -EINTR
        mm = m.mms[mm].mmlist_next
        if mm == m.mmlist:
            break
    return 0


# ---------------------------------------------------------------- bringing pages back

cdef int unuse_pte(machine_t *m, uint32_t entry, uint32_t pfn, uint32_t pte) noexcept nogil:
    """The swap pte becomes a pte of the page, read-only and old, if it still is that swap pte. 0 or -ENOMEM."""
    cdef uint64_t swapped = swp_pte(entry)
    cdef uint32_t table = pte >> m.pt_shift
    cdef uint32_t mm, vma, copy = 0, prev = 0
    cdef uint64_t addr, exclusive
    if m.rmap.reserve(m) != 0:
        return -ENOMEM
    mm = m.tables[table].mm
    if mm == 0 or m.ptes[pte] & ~<uint64_t>PTE_EXCLUSIVE != swapped:
        return 0
    addr = (m.tables[table].base & ~<uint64_t>PAGE_MASK_LOW) + (<uint64_t>(pte & m.pt_mask) << PAGE_SHIFT)
    vma = find_vma_prev(m, mm, addr, &prev)
    if vma == 0 or m.vmas[vma].start > addr:
        return 0
    if m.rmap.anon_prepare(m, vma) != 0:
        return -ENOMEM
    if m.rmap.page_misplaced(m, pfn, vma, addr):
        copy = alloc_pages(m, GFP_HIGHUSER, 0)      # the page itself is locked, so a relative keeps it where it is
        if copy == 0:
            return -ENOMEM
    if m.tables[table].mm != mm or m.ptes[pte] & ~<uint64_t>PTE_EXCLUSIVE != swapped:
        if copy != 0:
            put_page(m, copy)
        return 0
    if copy != 0:
        if m.tokens_on:
            m.page_token[copy] = m.page_token[pfn]
        count(m, RMAP_MISPLACED_COPIES)
        count(m, COW_COPIES)
        lru_cache_add_active(m, copy)
        pfn = copy
    m.mms[mm].rss += 1
    m.mms[mm].anon_rss += 1
    m.mms[mm].swapents -= 1
    exclusive = m.ptes[pte] & PTE_EXCLUSIVE
    m.ptes[pte] = (<uint64_t>pfn << PTE_SHIFT) | PTE_ANON | exclusive | (
        vma_pte_prot(m.vmas[vma].flags) & ~<uint64_t>(PTE_RW | PTE_A | PTE_D))
    m.rmap.page_add(m, pfn, vma, addr, pte, 1)      # our own reference stays: the pte's is the mapcount
    if copy != 0:
        m.frames[copy].refs -= 1
    swap_free(m, entry)
    return 0

cdef int unuse_owners(machine_t *m, notes_t *n, uint32_t entry, uint32_t pfn, const uint16_t *uses) noexcept nogil:
    """Serve the notes of one slot, from n.start round the ring, until only the swap cache uses it."""
    cdef uint64_t start = n.start
    cdef uint64_t i, position, where
    cdef uint32_t ref
    cdef uint16_t before
    cdef int half, settled = 0, r
    for half in range(2):
        if half == 1:
            settled = 0         # past tmpfs the kernel chooses its next start anew
        i = n.head[entry & SWP_OFFSET_MASK] >> 32
        while i != 0 and uses[0] > 1:
            ref = <uint32_t>n.note[2 * i]
            where = n.note[2 * i + 1]
            i = n.note[2 * i] >> 32
            position = TMPFS if where & 1 else where >> 1
            if (position >= start) != (half == 0):
                continue
            before = uses[0]
            if where & 1:
                shmem_unuse_at(m, ref, where >> 1, entry, pfn)
            else:
                r = unuse_pte(m, entry, pfn, ref)
                if r < 0:
                    return r
            if uses[0] < before:
                n.served += 1
                if not settled:
                    n.start = position
                    settled = 1
    return 0

cdef int unuse_slot(machine_t *m, notes_t *n, uint32_t offset) noexcept nogil:
    cdef swap_area_t *a = &m.swap[n.type]
    cdef uint32_t entry = n.type << SWP_TYPE_SHIFT | offset
    cdef uint16_t *uses = &m.swap_slots[a.base + offset].map
    cdef uint32_t pfn = read_swap_cache_async(m, entry)
    cdef frame_t *p = &m.frames[pfn]
    cdef int r = 0
    if pfn == 0:
        return -ENOMEM if uses[0] != 0 else 0
    wait_on_page(m, pfn, PG_LOCKED | PG_WRITEBACK)
    if p.flags & (PG_LOCKED | PG_WRITEBACK) or (p.flags & PG_SWAPCACHE) == 0 or p.priv != entry:
        put_page(m, pfn)        # for the next pass
        return 0
    p.flags |= PG_LOCKED
    r = unuse_owners(m, n, entry, pfn, uses)
    if r == 0:
        if uses[0] == SWAP_MAP_MAX:
            # a saturated count went down with no owner, and all owners were served
            uses[0] = 1
            if (p.flags & PG_SWAPCACHE) == 0:
                swap_free(m, entry)
        if uses[0] > 1 and (p.flags & (PG_DIRTY | PG_SWAPCACHE)) == (PG_DIRTY | PG_SWAPCACHE):
            clear_page_dirty(m, pfn)
            swap_writepage(m, pfn)
            wait_on_page(m, pfn, PG_WRITEBACK)
            p.flags |= PG_LOCKED
        if p.flags & PG_SWAPCACHE:
            delete_from_swap_cache(m, pfn)
        set_page_dirty(m, pfn)
        if uses[0] == 0:
            n.served += 1
    p.flags &= ~<uint32_t>PG_LOCKED
    put_page(m, pfn)
    return r

cdef int try_to_unuse(machine_t *m, uint32_t type) noexcept nogil:
    cdef swap_area_t *a = &m.swap[type]
    cdef notes_t n
    cdef uint32_t offset, slots = 0
    cdef int idle = 0, r
    memset(&n, 0, sizeof(notes_t))
    n.type = type
    n.start = TMPFS
    while a.inuse != 0:
        r = take_notes(m, &n)
        if r < 0:
            return r
        n.served = 0
        for offset in range(1, a.max):
            if m.swap_slots[a.base + offset].map == 0 or m.swap_slots[a.base + offset].map == SWAP_MAP_BAD:
                continue
            r = unuse_slot(m, &n, offset)
            if r < 0:
                return r
            slots += 1
            if slots % SLOT_BATCH == 0 and safe_point(m) != 0:
                return -EINTR
            if m.current != 0 and m.tasks[m.current].state == TASK_DYING:
                return -EINTR
        idle = 0 if n.served != 0 else idle + 1
        if idle == 2:               # uses that no owner accounts for
            bug(m, BUG_SWAP_FREE, type, a.inuse, n.nr)
            return -ENOMEM
    return 0


# ---------------------------------------------------------------- the system call

cdef int do_swapoff(machine_t *m, uint32_t type) noexcept nogil:
    """On failure the area is in its old place again; pages that were brought back stay where they are."""
    cdef swap_area_t *a
    cdef int32_t *link = &m.swap_head
    cdef int was_next
    cdef int r
    if type >= MAX_SWAPFILES or (m.swap[type].flags & (SWP_USED | SWP_WRITEOK)) != (SWP_USED | SWP_WRITEOK):
        return -EINVAL
    a = &m.swap[type]
    if vm_enough_memory(m, m.current, a.pages) < 0:
        return -ENOMEM
    vm_unacct_memory(m, a.pages)
    while link[0] >= 0 and link[0] != <int32_t>type:
        link = &m.swap[link[0]].next
    if link[0] < 0:
        return -EINVAL
    link[0] = a.next
    was_next = m.swap_next == <int32_t>type
    if was_next:
        m.swap_next = m.swap_head
    # Slots in use left nr_swap_pages when they were taken; swap_free() gives it none of an area without SWP_WRITEOK.
    m.nr_swap_pages -= a.pages - a.inuse
    m.total_swap_pages -= a.pages
    a.flags &= ~<uint32_t>SWP_WRITEOK
    m.pf |= PF_SWAPOFF
    r = try_to_unuse(m, type)
    m.pf &= ~<uint32_t>(PF_SWAPOFF | PF_SWAPOFF_FAILED)
    if r < 0:
        link[0] = <int32_t>type
        if was_next or m.swap_next < 0:
            m.swap_next = <int32_t>type
        m.nr_swap_pages += a.pages - a.inuse
        m.total_swap_pages += a.pages
        a.flags |= SWP_WRITEOK
        return r
    m.swap_slots[a.base].map = 0
    a.flags = 0                     # base and capacity stay: the extent serves the next swapon
    a.max = 0
    a.pages = 0
    a.next = -1
    m.nr_swapfiles -= 1
    return 0
