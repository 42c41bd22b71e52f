"""Page faults and copy-on-write.

mm/memory.c and arch/i386/mm/fault.c of 2.6.5; fact sheet linux-2004 4.1 to 4.6, 6.9. Where kernels differ, m.rules and
m.rmap say so; what is of today was asked of 6.18.44 (linux-modern 6.1 to 6.5). Wherever memory is taken, other pages
of this very mm may be reclaimed meanwhile, so the pte is read again afterwards, as the kernel does after it dropped
page_table_lock.

The page that a major swap fault read waits in a pagevec, whose reference makes can_share_swap_page refuse. With
readahead (page_cluster > 0) swapin_readahead has drained it; with page_cluster 0 the kernel's own code leaves it there,
and every write fault on a swapped page would be copied. A task that waits for a disk does not find the CPU's pagevecs
as it left them, so rules.swapin_drain (1 in all presets) drains after the read; 0 gives the letter of the code.
"""
from libc.errno cimport EFAULT, ENOMEM, EPERM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_NOPAGE_RESULT, bug
from vmcore._fast.clock cimport switch_point
from vmcore._fast.counters cimport (
    COW_COPIES, COW_REUSES, COW_ZERO, FAULT_ANON, FAULT_EARLY_COW, FAULT_FILE, FAULT_GUARD, FAULT_NONLINEAR,
    FAULT_NOTIFY, FAULT_SEGV,
    FAULT_SPURIOUS_WRITE,
    FAULT_SWAP, FAULT_SWAP_CACHE_HIT, FAULT_ZERO_PAGE, PGFAULT, PGMAJFAULT, RMAP_MISPLACED_COPIES, STACK_GROWTHS,
    count,
)
from vmcore._fast.counters cimport FAULT_SIGBUS as COUNT_SIGBUS
from vmcore._fast.fault_around cimport fault_around
from vmcore._fast.filemap cimport NOPAGE_MAJOR, NOPAGE_OOM, NOPAGE_SIGBUS, set_page_dirty, wait_on_page
from vmcore._fast.frame cimport GFP_HIGHUSER, alloc_pages, page_count
from vmcore._fast.locks cimport trylock_page
from vmcore._fast.lru cimport lru_add_drain, lru_cache_add_active, mark_page_accessed, put_page
from vmcore._fast.pagetable cimport (
    leaf_cached, pte_alloc, pte_in, pte_is_file, pte_is_swap, pte_pfn, pte_pgoff, pte_present, pte_swp, pte_unalloc,
)
from vmcore._fast.pool cimport safe_point
from vmcore._fast.populate cimport can_populate, populate
from vmcore._fast.records cimport (
    FILE_REGULAR, KILLED_FAULT, PG_ANON, PG_LAZYFREE, PG_LOCKED, PG_LRU, PG_SWAPCACHE, PG_WRITEBACK, PTE_A, PTE_ANON,
    PTE_D, PTE_EXCLUSIVE, PTE_LOW, PTE_RW, PTE_SHIFT, PTE_SPECIAL, RLIM_AS, RLIM_STACK, RMAP_NODES_ALL, TASK_ALIVE,
    TASK_DYING, VM_ACCOUNT, VM_DROPPABLE, VM_EXEC, VM_GROWSDOWN, VM_LOCKED, VM_PKEY, VM_READ, VM_RESERVED, VM_SHARED,
    VM_WRITE, frame_t, machine_t, mm_t, vma_t,
)
from vmcore._fast.shmem cimport vma_nopage
from vmcore._fast.swap cimport (
    can_share_swap_page, lookup_swap_cache, read_swap_cache_async, remove_exclusive_swap_page, swap_free,
    swapin_readahead, vm_swap_full,
)
from vmcore._fast.vma cimport find_vma, vm_stat_account, vma_page_prot, vma_pte_prot, vma_set_range


# ---------------------------------------------------------------- building blocks

cdef inline void map_anon(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, uint32_t pte, uint32_t pfn,
                    uint64_t bits) noexcept nogil:
    """Install a page that is ours (one reference, given up to the pte) as an anonymous one."""
    cdef mm_t *p = &m.mms[mm]
    p.rss += 1
    p.anon_rss += 1
    m.ptes[pte] = (<uint64_t>pfn << PTE_SHIFT) | bits | PTE_ANON
    m.rmap.page_add(m, pfn, vma, addr, pte, 1)
    m.frames[pfn].refs -= 1
    if m.vmas[vma].flags & <uint32_t>VM_DROPPABLE:
        m.frames[pfn].flags |= PG_LAZYFREE


cdef inline uint32_t new_anon_page(machine_t *m, uint32_t vma, uint64_t token) noexcept nogil:
    """What every private page needs before it can be mapped: rmap objects and a frame. 0: no memory."""
    cdef uint32_t pfn
    if m.rmap.anon_prepare(m, vma) != 0 or m.rmap.reserve(m) != 0:
        return 0
    pfn = alloc_pages(m, GFP_HIGHUSER, 0)
    if pfn != 0 and m.tokens_on:
        m.page_token[pfn] = token
    return pfn


cdef inline uint64_t exclusive_mark(machine_t *m) noexcept nogil:
    """What the pte of a page has that nobody else can see."""
    return PTE_EXCLUSIVE if m.rules.anon_exclusive else 0


cdef inline uint64_t maybe_mkwrite(machine_t *m, uint32_t vma) noexcept nogil:
    """A copy made for mremap in a vma that may not be written is no more writable than the vma."""
    return PTE_RW if m.vmas[vma].flags & VM_WRITE else 0


# ---------------------------------------------------------------- anonymous memory

cdef int do_anonymous_page(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, uint32_t pte,
                    int write) noexcept nogil:
    cdef uint32_t pfn
    cdef uint64_t bits
    if not write:
        count(m, FAULT_ZERO_PAGE)
        bits = (vma_pte_prot(m.vmas[vma].flags) | PTE_SPECIAL) & ~<uint64_t>PTE_RW
        m.ptes[pte] = (<uint64_t>m.zero_pfn << PTE_SHIFT) | bits
        return FAULT_MINOR
    pfn = new_anon_page(m, vma, 0)
    if pfn == 0:
        return FAULT_OOM
    count(m, FAULT_ANON)
    m.mms[mm].anon_written += 1
    lru_cache_add_active(m, pfn)
    mark_page_accessed(m, pfn)
    map_anon(m, mm, vma, addr, pte, pfn,
             vma_pte_prot(m.vmas[vma].flags) | PTE_RW | PTE_D | exclusive_mark(m))
    return FAULT_MINOR


# ---------------------------------------------------------------- files

cdef int check_nopage(machine_t *m, uint32_t vma, uint32_t pfn) noexcept nogil:
    """-aa1's assertions on what ->nopage returned."""
    cdef frame_t *f = &m.frames[pfn]
    if pfn >= m.nr_frames or f.flags & (PG_SWAPCACHE | PG_ANON) or f.mapping != m.vmas[vma].file:
        bug(m, BUG_NOPAGE_RESULT, vma, pfn, f.flags)
        return 0
    return 1


cdef int do_no_page(machine_t *m, uint32_t vma, uint64_t addr, uint32_t pte, int write, int fresh) noexcept nogil:
    """fresh: the page table was made for this fault."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t mm = v.mm
    cdef mm_t *p = &m.mms[mm]
    cdef int major = 0
    cdef int again
    cdef int reserved
    cdef uint32_t pfn, copy
    cdef uint32_t seq
    cdef uint64_t bits
    if v.file == 0:
        return do_anonymous_page(m, mm, vma, addr, pte, write)
    count(m, FAULT_FILE)
    if m.rules.fault_around and not write and fault_around(m, vma, addr, pte, fresh):
        return FAULT_MINOR
    if m.rules.cow_prepares and write and not v.flags & VM_SHARED and m.rmap.anon_prepare(m, vma) != 0:
        return FAULT_OOM
    while True:
        seq = m.files[v.file].truncate_count
        pfn = vma_nopage(m, vma, addr, &major)
        again = major
        major = major & NOPAGE_MAJOR
        if pfn == NOPAGE_SIGBUS:
            return FAULT_SIGBUS
        if pfn == NOPAGE_OOM:
            return FAULT_OOM
        reserved = (v.flags & VM_RESERVED) != 0     # a device's page: no reference, no rmap, no rss
        if reserved and (not write or v.flags & VM_SHARED):
            bits = vma_pte_prot(v.flags) | PTE_SPECIAL
            m.ptes[pte] = (<uint64_t>pfn << PTE_SHIFT) | bits | ((PTE_D | PTE_RW) if write else 0)
            return FAULT_MINOR
        if not reserved and not check_nopage(m, vma, pfn):
            put_page(m, pfn)
            return FAULT_SIGBUS
        copy = 0
        if write and not (v.flags & VM_SHARED):     # early copy-on-write: the page of the file is never mapped
            copy = new_anon_page(m, vma, m.page_token[pfn] if m.tokens_on else 0)
            if not reserved:
                put_page(m, pfn)
            if copy == 0:
                return FAULT_OOM
        elif m.rules.rmap_nodes == RMAP_NODES_ALL and m.rmap.reserve(m) != 0:
            put_page(m, pfn)
            return FAULT_OOM
        if seq == m.files[v.file].truncate_count:
            break
        put_page(m, copy if copy != 0 else pfn)     # truncate raced: look again
    # the fault begins anew after it has read, and with it the mapping around
    if again and not write and m.rules.fault_around and m.files[v.file].kind == FILE_REGULAR:
        fault_around(m, vma, addr, pte, fresh)
    if m.ptes[pte] != 0:
        put_page(m, copy if copy != 0 else pfn)
        return FAULT_MAJOR if major and m.rules.fault_around else FAULT_MINOR
    bits = vma_page_prot(m, vma)
    if write:
        bits |= PTE_RW | PTE_D
        if copy == 0 and m.rules.write_notify:
            set_page_dirty(m, pfn)
    if copy != 0:
        count(m, FAULT_EARLY_COW)
        p.anon_written += 1
        lru_cache_add_active(m, copy)
        map_anon(m, mm, vma, addr, pte, copy, bits | exclusive_mark(m))
    else:
        p.rss += 1
        m.ptes[pte] = (<uint64_t>pfn << PTE_SHIFT) | bits
        m.rmap.page_add(m, pfn, vma, addr, pte, 0)
        m.frames[pfn].refs -= 1
    return FAULT_MAJOR if major else FAULT_MINOR


# ---------------------------------------------------------------- copy-on-write

cdef int reuse_unmarked(machine_t *m, uint32_t pfn) noexcept nogil:
    """wp_can_reuse_anon_folio: a page that is not marked as anyone's own, but the others have gone. Pagevecs are
    drained and the slot given up for it, so that what remains is the pte's reference alone."""
    cdef frame_t *f = &m.frames[pfn]
    if page_count(m, pfn) > 3:
        return 0
    if not f.flags & PG_LRU:
        lru_add_drain(m)
    if page_count(m, pfn) > (2 if f.flags & PG_SWAPCACHE else 1):
        return 0
    if f.flags & PG_LOCKED or not trylock_page(m, pfn):
        return 0
    f.flags |= PG_LOCKED
    remove_exclusive_swap_page(m, pfn)
    f.flags &= ~<uint32_t>PG_LOCKED
    return page_count(m, pfn) == 1


cdef inline int may_reuse(machine_t *m, uint64_t e, uint32_t pfn) noexcept nogil:
    """May the writer have the page in place? A page locked now (its write-out is being set up) is always copied."""
    if m.rules.anon_exclusive:
        return e & PTE_ANON and (e & PTE_EXCLUSIVE or reuse_unmarked(m, pfn))
    return not (m.frames[pfn].flags & PG_LOCKED) and trylock_page(m, pfn) and can_share_swap_page(m, pfn)


cdef int do_wp_page(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, uint32_t pte) noexcept nogil:
    cdef uint64_t e = m.ptes[pte]
    cdef uint32_t old = pte_pfn(e)
    cdef uint32_t copy
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t bits = vma_pte_prot(m.vmas[vma].flags) | maybe_mkwrite(m, vma) | PTE_D | exclusive_mark(m)
    cdef uint64_t token
    if m.vmas[vma].flags & VM_SHARED and m.rules.write_notify and not e & PTE_SPECIAL:
        m.ptes[pte] = e | PTE_RW | PTE_D | PTE_A
        set_page_dirty(m, old)
        count(m, FAULT_NOTIFY)
        return FAULT_MINOR
    if e & PTE_SPECIAL:
        token = m.page_token[old] if m.tokens_on else 0
        copy = new_anon_page(m, vma, token)
        if copy == 0:
            return FAULT_OOM
        count(m, COW_ZERO if old == m.zero_pfn else COW_COPIES)
        p.anon_written += 1
        lru_cache_add_active(m, copy)
        map_anon(m, mm, vma, addr, pte, copy, bits)
        return FAULT_MINOR
    if may_reuse(m, e, old):
        m.ptes[pte] = e | maybe_mkwrite(m, vma) | PTE_D | PTE_A | exclusive_mark(m)
        m.rmap.page_exclusive(m, old, vma, addr)
        count(m, COW_REUSES)
        return FAULT_MINOR
    m.frames[old].refs += 1
    token = m.page_token[old] if m.tokens_on else 0
    copy = new_anon_page(m, vma, token)
    if copy == 0:
        put_page(m, old)
        return FAULT_OOM
    if m.ptes[pte] != e:                # reclaimed or aged while we waited: the access comes again
        put_page(m, copy)
        put_page(m, old)
        return FAULT_MINOR
    count(m, COW_COPIES)
    if not (e & PTE_ANON):
        p.anon_written += 1
    else:
        p.anon_rss -= 1
    p.rss -= 1
    m.rmap.page_remove(m, old, pte)
    lru_cache_add_active(m, copy)
    map_anon(m, mm, vma, addr, pte, copy, bits)
    put_page(m, old)
    return FAULT_MINOR


# ---------------------------------------------------------------- swap-in

cdef void map_misplaced(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, uint32_t pte, uint32_t pfn,
                        uint32_t copy) noexcept nogil:
    """The page of a swap pte cannot be mapped at this address (page_misplaced), so its copy is, at once writable. The
    kernel (AMM) maps the page all the same, calls do_wp_page in the same fault and lives with walks that miss it in
    between; here the copy comes first. The references on page and copy are given up."""
    if m.tokens_on:
        m.page_token[copy] = m.page_token[pfn]
    count(m, RMAP_MISPLACED_COPIES)
    count(m, COW_COPIES)
    m.mms[mm].swapents -= 1
    lru_cache_add_active(m, copy)
    map_anon(m, mm, vma, addr, pte, copy, vma_pte_prot(m.vmas[vma].flags) | maybe_mkwrite(m, vma) | PTE_D
             | exclusive_mark(m))
    put_page(m, pfn)


cdef int do_swap_page(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, uint32_t pte, int write) noexcept nogil:
    cdef uint64_t e = m.ptes[pte]
    cdef uint32_t entry = pte_swp(e)
    cdef uint32_t pfn = lookup_swap_cache(m, entry)
    cdef uint32_t copy = 0
    cdef int result = FAULT_MINOR
    cdef int exclusive = 0
    cdef uint64_t bits
    cdef frame_t *f
    count(m, FAULT_SWAP)
    if pfn == 0:
        swapin_readahead(m, entry)
        pfn = read_swap_cache_async(m, entry)
        if pfn == 0:
            return FAULT_MINOR if m.ptes[pte] != e else FAULT_OOM
        result = FAULT_MAJOR
        count(m, PGMAJFAULT)
        if m.rules.swapin_drain:
            lru_add_drain(m)
    else:
        count(m, FAULT_SWAP_CACHE_HIT)
    mark_page_accessed(m, pfn)
    if m.rmap.anon_prepare(m, vma) != 0 or m.rmap.reserve(m) != 0:
        put_page(m, pfn)
        return FAULT_OOM
    if m.rmap.page_misplaced(m, pfn, vma, addr):
        copy = new_anon_page(m, vma, 0)
        if copy == 0:
            put_page(m, pfn)
            return FAULT_OOM
    f = &m.frames[pfn]
    if f.flags & (PG_LOCKED | PG_WRITEBACK):    # 2.4 keeps a page locked while it is written
        wait_on_page(m, pfn, PG_LOCKED | (PG_WRITEBACK if m.rules.io_locks else 0))
    if copy != 0 and (m.ptes[pte] != e or not m.rmap.page_misplaced(m, pfn, vma, addr)):
        put_page(m, copy)               # while we waited for it, the page left the place where it was in our way
        copy = 0
    if m.ptes[pte] != e:
        put_page(m, pfn)
        return FAULT_MINOR
    f.flags |= PG_LOCKED
    swap_free(m, entry)
    if vm_swap_full(m):
        remove_exclusive_swap_page(m, pfn)
    bits = vma_pte_prot(m.vmas[vma].flags) & ~<uint64_t>PTE_RW
    if e & PTE_EXCLUSIVE or (write and can_share_swap_page(m, pfn)):
        # what is known to be nobody else's becomes writable even for a reader
        bits |= maybe_mkwrite(m, vma) | (<uint64_t>PTE_D if write else 0) | exclusive_mark(m)
        write = 0
        exclusive = m.rules.avc_claim_swapin
    f.flags &= ~<uint32_t>PG_LOCKED
    if copy != 0:
        map_misplaced(m, mm, vma, addr, pte, pfn, copy)
        return result
    m.mms[mm].swapents -= 1
    map_anon(m, mm, vma, addr, pte, pfn, bits)
    if exclusive:
        m.rmap.page_exclusive(m, pfn, vma, addr)
    if write:
        if not m.rules.swapin_cow:
            count(m, FAULT_SPURIOUS_WRITE)      # the CPU faults again and do_wp_page copies
        elif do_wp_page(m, mm, vma, addr, pte) == FAULT_OOM:
            return FAULT_OOM
    return result


# ---------------------------------------------------------------- nonlinear mappings

cdef int do_file_page(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, uint32_t pte, int write) noexcept nogil:
    """The page whose offset stands in the pte. Always a major fault for the task, even if the page was cached;
    pgmajfault counts only what was read. A private writer (mremap can leave file ptes there, see pte_chain) gets a copy
    of the page that linearly belongs here."""
    cdef uint64_t pgoff = pte_pgoff(m.ptes[pte])
    cdef int io = 0
    cdef int err
    if not can_populate(m, vma) or (write and not m.vmas[vma].flags & VM_SHARED):
        m.ptes[pte] = 0
        return do_no_page(m, vma, addr, pte, write, 0)
    count(m, FAULT_NONLINEAR)
    err = populate(m, vma, addr, 1, pgoff, 0, &io)
    if io:
        count(m, PGMAJFAULT)
    if err == -ENOMEM:
        return FAULT_OOM
    return FAULT_SIGBUS if err < 0 else FAULT_MAJOR


# ---------------------------------------------------------------- dispatch

cdef int fault_without_table(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr, int write) noexcept nogil:
    """A file fault that fails leaves none: since fault-around there is a table once there is something for it."""
    cdef uint32_t pte = pte_alloc(m, mm, addr)
    cdef int r
    if pte == 0:
        return FAULT_OOM
    r = do_no_page(m, vma, addr, pte, write, 1)
    if r < 0 and m.rules.fault_around and m.vmas[vma].file != 0:
        pte_unalloc(m, mm, addr)
    return r


cdef int handle_mm_fault(machine_t *m, uint32_t vma, uint64_t addr, int write) noexcept nogil:
    cdef uint32_t mm = m.vmas[vma].mm
    cdef uint32_t leaf, pte
    cdef uint64_t e
    count(m, PGFAULT)
    addr &= ~<uint64_t>PTE_LOW
    leaf = leaf_cached(m, mm, addr)
    if leaf == 0:
        return fault_without_table(m, mm, vma, addr, write)
    pte = pte_in(m, leaf, addr)
    e = m.ptes[pte]
    if not pte_present(e):
        if e == 0:
            return do_no_page(m, vma, addr, pte, write, 0)
        if pte_is_swap(e):
            return do_swap_page(m, mm, vma, addr, pte, write)
        if pte_is_file(e):
            return do_file_page(m, mm, vma, addr, pte, write)
        count(m, FAULT_GUARD)
        return FAULT_SEGV_MAPERR
    if write:
        if not (e & PTE_RW):
            return do_wp_page(m, mm, vma, addr, pte)
        e |= PTE_D
    m.ptes[pte] = e | PTE_A
    return FAULT_MINOR


cdef int expand_stack(machine_t *m, uint32_t vma, uint64_t addr) noexcept nogil:
    """A departure: the kernels of 2004 let the offset of any vma go below 0, and an index by offset then loses the vma.
    Here a vma that has such an index, or may have, does not grow so far (later kernels test that of all vmas). A stack
    whose offset nobody reads still does: those of 2.6.5 begin at offset 0."""
    cdef vma_t *v = &m.vmas[vma]
    cdef mm_t *p = &m.mms[v.mm]
    cdef uint64_t grow, start
    cdef uint64_t *rlim = m.tasks[p.task].rlim
    start = addr & ~<uint64_t>PTE_LOW
    grow = (v.start - start) >> 12
    if grow > v.pgoff and (v.file != 0 or m.rules.anon_pgoff):
        return -ENOMEM
    if v.end - start > rlim[RLIM_STACK]:
        return -ENOMEM
    if rlim[RLIM_AS] != ~<uint64_t>0 and (p.total_vm + grow) << 12 > rlim[RLIM_AS]:
        return -ENOMEM
    if m.rules.stack_prepares and m.rmap.anon_prepare(m, vma) != 0:
        return -ENOMEM
    if v.flags & VM_ACCOUNT and m.up.charge(m, p.task, grow) != 0:
        return -ENOMEM
    vma_set_range(m, vma, start, v.end, v.pgoff - grow)
    vm_stat_account(m, v.mm, v.flags, grow)
    if v.flags & VM_LOCKED:
        p.locked_vm += grow
    count(m, STACK_GROWTHS)
    return 0


cdef int fault_result(machine_t *m, uint32_t pid, int r) noexcept nogil:
    if r == FAULT_MAJOR:
        m.tasks[pid].maj_flt += 1
    elif r == FAULT_MINOR:
        m.tasks[pid].min_flt += 1
    elif r == FAULT_SIGBUS:
        count(m, COUNT_SIGBUS)
    elif r == FAULT_SEGV_MAPERR:
        count(m, FAULT_SEGV)
    elif r == FAULT_OOM and m.host_error == 0 and m.tasks[pid].state == TASK_ALIVE:
        # "VM: killing process": the fault handler's own way out
        m.tasks[pid].state = TASK_DYING
        m.tasks[pid].killed_by = KILLED_FAULT
    return r


cdef int do_page_fault(machine_t *m, uint32_t pid, uint64_t addr, int write) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t vma
    cdef vma_t *v
    cdef int r
    if addr >= m.rules.task_size:
        count(m, FAULT_SEGV)
        # with four levels of tables addresses have 48 bits, and bit 47 stands for all above it
        if m.rules.word_size == 8 and m.levels == 4 and addr >> 47 != 0 and addr >> 47 != 0x1FFFF:
            return FAULT_SEGV_GP
        return FAULT_SEGV_MAPERR
    vma = find_vma(m, mm, addr)
    v = &m.vmas[vma]
    if vma == 0 or (addr < v.start and (not (v.flags & VM_GROWSDOWN) or m.calls.expand_stack(m, vma, addr) != 0)):
        count(m, FAULT_SEGV)
        return FAULT_SEGV_MAPERR
    if m.rules.exec_only and v.flags & VM_PKEY:
        count(m, FAULT_SEGV)
        return FAULT_SEGV_PKUERR
    if not (v.flags & (VM_WRITE if write else (VM_READ | VM_EXEC | VM_WRITE))):
        count(m, FAULT_SEGV)
        return FAULT_SEGV_ACCERR
    r = handle_mm_fault(m, vma, addr, write)
    fault_result(m, pid, r)
    switch_point(m)
    return r


cdef inline int not_all_present(int err, uint64_t done) noexcept nogil:
    """get_user_pages tells how many pages it got before it failed, and who asked for more takes that for -1."""
    return err if done == 0 else -EPERM


cdef int make_pages_present(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t first = start
    cdef uint32_t vma, pte
    cdef uint64_t e
    cdef uint64_t n = 0
    cdef int r, write, _tries
    while start < end:
        vma = find_vma(m, mm, start)
        if vma == 0 or start < m.vmas[vma].start:
            return not_all_present(-EFAULT, start - first)
        write = (m.vmas[vma].flags & VM_WRITE) != 0
        if (m.rules.gup_zero and not write and m.vmas[vma].file == 0 and leaf_cached(m, mm, start) == 0
                and m.vmas[vma].flags & (VM_READ | VM_EXEC)):
            # untouched anonymous memory: the reader is given the zero page, and no table is made for it
            start = ((start >> m.leaf_shift) + 1) << m.leaf_shift
            if start > m.vmas[vma].end:
                start = m.vmas[vma].end
            continue
        if not write and not (m.vmas[vma].flags & (VM_READ | VM_EXEC)):
            return not_all_present(-EFAULT, start - first)
        for _tries in range(4):     # 2.6.5 needs a second fault after some swap-ins
            pte = pte_alloc(m, mm, start)
            if pte == 0:
                r = FAULT_OOM
            else:
                e = m.ptes[pte]
                if pte_present(e) and (not write or e & PTE_RW):
                    break
                r = handle_mm_fault(m, vma, start, write)
            fault_result(m, pid, r)
            switch_point(m)
            if r == FAULT_SIGBUS or r == FAULT_SEGV_MAPERR:
                return not_all_present(-EFAULT, start - first)
            if r < 0 or m.host_error != 0 or m.tasks[pid].state != TASK_ALIVE:
                return not_all_present(-ENOMEM, start - first)
        start += 4096
        n += 1
        if n & 1023 == 0 and safe_point(m) != 0:
            return -ENOMEM
    return 0
