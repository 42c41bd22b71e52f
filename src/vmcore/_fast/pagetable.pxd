# Radix page tables: `levels` levels of tables of 1 << pt_shift entries. Level 0 is the leaf. mm/memory.c,
# asm/pgtable.h of 2.6.5.
#
# An upper entry is child << 12 | PTE_P. A table of the pool is all zero when free (but for the free link in its first
# word), so that allocation clears nothing. A leaf's place is a u32 pte index: table << pt_shift | slot; 0 is null.
# i386-PAE: the pgd (level 2, 4 entries) is a 32-byte slab object, not a frame. Leaf tables count in
# nr_page_table_pages (2004 kernels counted only those), come from highmem with rules.highpte.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.records cimport (
    SPANS, machine_t, mm_t, span_t, PTE_P, PTE_PROTNONE, PTE_SHIFT, PTE_KIND, PTE_SWAP, PTE_FILE, PTE_MARKER)

cdef enum:
    LEAF_AHEAD = 64         # entries that prefetch_leaf fetches

cdef inline int pte_present(uint64_t pte) noexcept nogil:
    """The page is there: mapped, or mapped without access (PROT_NONE)."""
    return (pte & (PTE_P | PTE_PROTNONE)) != 0

cdef inline int pte_is_swap(uint64_t pte) noexcept nogil:
    return (pte & (PTE_P | PTE_PROTNONE | PTE_KIND)) == PTE_SWAP

cdef inline int pte_is_file(uint64_t pte) noexcept nogil:
    return (pte & (PTE_P | PTE_PROTNONE | PTE_KIND)) == PTE_FILE

cdef inline int pte_is_marker(uint64_t pte) noexcept nogil:
    """A guard marker: no page, and none may come."""
    return pte == PTE_MARKER

cdef inline uint32_t pte_pfn(uint64_t pte) noexcept nogil:
    return <uint32_t>(pte >> PTE_SHIFT)

cdef inline uint64_t swp_pte(uint32_t entry) noexcept nogil:
    return (<uint64_t>entry << PTE_SHIFT) | PTE_SWAP

cdef inline uint64_t file_pte(uint64_t pgoff) noexcept nogil:
    return (pgoff << PTE_SHIFT) | PTE_FILE

cdef inline uint64_t pte_pgoff(uint64_t pte) noexcept nogil:
    return pte >> PTE_SHIFT

cdef inline uint32_t pte_swp(uint64_t pte) noexcept nogil:
    return <uint32_t>(pte >> PTE_SHIFT)

# leaf_lookup without what was remembered; remembers.
cdef uint32_t leaf_walk(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil

cdef inline uint32_t leaf_lookup(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    """Leaf table that covers addr, 0 if there is none. addr must be < task_size. The table above it is remembered, so
    that most walks are one load (a random stream over many GiB pays for every level otherwise)."""
    cdef uint64_t leaf = addr >> m.leaf_shift
    cdef uint64_t span = leaf >> m.pt_shift
    cdef span_t *s = &m.spans[(span + mm * 37) & (SPANS - 1)]
    if s.key == (<uint64_t>mm << 32 | span) and s.epoch == m.table_epoch:
        return <uint32_t>(m.ptes[(<uint64_t>s.table << m.pt_shift) | (leaf & m.pt_mask)] >> PTE_SHIFT)
    return leaf_walk(m, mm, addr)

cdef inline uint32_t leaf_cached(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    """leaf_lookup that remembers one leaf for each mm, until a table is freed anywhere."""
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t tag = addr >> m.leaf_shift
    if p.leaf_tag != tag or p.leaf_epoch != m.table_epoch or p.leaf == 0:
        p.leaf = leaf_lookup(m, mm, addr)
        p.leaf_tag = tag
        p.leaf_epoch = m.table_epoch
    return p.leaf

cdef inline void prefetch_leaf(machine_t *m, uint32_t leaf) noexcept nogil:
    """The beginning of the table that a walk comes to next: streams of the host's own prefetcher end with a page."""
    cdef uint64_t *first = &m.ptes[<uint64_t>leaf << m.pt_shift]
    cdef int i
    if leaf != 0:
        for i in range(0, LEAF_AHEAD, 8):
            prefetch_write(first + i)

cdef inline uint32_t pte_in(machine_t *m, uint32_t leaf, uint64_t addr) noexcept nogil:
    """pte index of addr in the leaf table that covers it."""
    return (leaf << m.pt_shift) | (<uint32_t>(addr >> PTE_SHIFT) & m.pt_mask)

cdef inline uint32_t pte_lookup(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    """pte index of addr, 0 if its leaf table does not exist."""
    cdef uint32_t t = leaf_lookup(m, mm, addr)
    return pte_in(m, t, addr) if t != 0 else 0

cdef inline uint64_t leaf_end(machine_t *m, uint64_t addr, uint64_t end) noexcept nogil:
    """Where a walk of [addr, end) leaves the leaf table that covers addr."""
    cdef uint64_t stop = ((addr >> m.leaf_shift) + 1) << m.leaf_shift
    return stop if stop < end else end

# pte index of addr, making the tables on the way. 0: no frame (simulated ENOMEM, or host: m.host_error).
cdef uint32_t pte_alloc(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil
# After pte_alloc for nothing: the leaf table of addr, if no entry is in it, goes. Those above stay.
cdef void pte_unalloc(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil
# The mm's top table; made at mm creation. -ENOMEM.
cdef int pgd_alloc(machine_t *m, uint32_t mm) noexcept nogil
# Free the leaf tables that lie wholly in [start, end) and the upper tables that then cover nothing; every pte in them
# must be none. Callers give spans as the kernel's free_pgtables does (bounded by neighbouring vmas). exit: start 0, end
# task_size.
cdef void free_pgtables(machine_t *m, uint32_t mm, uint64_t start, uint64_t end) noexcept nogil
cdef void pgd_free(machine_t *m, uint32_t mm) noexcept nogil
# Next leaf table that exists at or after *addr and below end: returns it and moves *addr up to its first covered
# address that is >= the given one; 0 if there is none.
cdef uint32_t next_leaf(machine_t *m, uint32_t mm, uint64_t *addr, uint64_t end) noexcept nogil
