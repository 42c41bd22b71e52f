"""Whole-state verification: DESIGN section 8, invariants of fact sheet linux-2004 section 12.

The order matters: what a part follows without asking, an earlier part has proved. Pools and vmas, then one pass over
all page tables, then the reverse map against its census, then files and swap against the swap ptes found, then every
frame against its owners, at last the sums. The first failure ends the check. Nothing is changed, a damaged state
included.

| part | proves |
| check_maps | pools, tasks, mms, vmas, i_mmap and anon_vma indexes |
| check_tables | page tables, every pte |
| check_rmap | mapcounts, pte_chains, and page by page on request |
| check_frames | free lists, owners, references, LRU lists |
| check_cache | page cache, swap areas, swap cache |
| check_slab | slabs, ledger, commit charge |
"""
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.check_base cimport *
from vmcore._fast.check_cache cimport check_files, check_swap
from vmcore._fast.check_frames cimport check_frames, check_lru, check_owners
from vmcore._fast.check_maps cimport check_objects, check_pools, check_spaces
from vmcore._fast.check_rmap cimport check_chains, check_mapcounts, check_walk
from vmcore._fast.check_slab cimport check_slabs, check_sums
from vmcore._fast.check_tables cimport check_tables
from vmcore._fast.records cimport POOL_SWAP_SLOT, machine_t

# id -> (name, what must hold and what the three numbers are)
CHECK_NAMES = {
    CHECK_POOL_BOUNDS: ("pool-bounds", "a pool's bump index lies within what was granted: pool, next, limit"),
    CHECK_POOL_FREE_LIST: ("pool-free-list", "a pool's free list has as many records as are free: pool, record, steps"),
    CHECK_POOL_FREE_RECORD: ("pool-free-record", "a record on a free list is marked free: pool, record"),
    CHECK_TASK: ("task", "a live task has an mm that names it, a dead one none; nr_tasks: pid, state, mm"),
    CHECK_MM_TASK: ("mm-task", "every mm belongs to a live task: mms of tasks, mms in use"),
    CHECK_MM_LIST: ("mm-list", "the ring of mms holds each mm once: mm, next, mms"),
    CHECK_VMA_INDEX: ("vma-index", "the vma list holds vmas of its mm: mm, vma, the one before"),
    CHECK_VMA_RANGE: ("vma-range", "a vma is page aligned, not empty and below TASK_SIZE: mm, vma, start"),
    CHECK_VMA_ORDER: ("vma-order", "vmas are sorted and disjoint: mm, vma, start"),
    CHECK_VMA_LINKS: ("vma-links", "prev is the vma before on the list: mm, vma, prev"),
    CHECK_VMA_FLAGS: ("vma-flags", "a shared vma has an object: mm, vma, flags"),
    CHECK_VMA_TREE: ("vma-tree", "the tree of vmas is a red-black tree: mm, vma, parent"),
    CHECK_VMA_TREE_ORDER: ("vma-tree-order", "the tree in order is the list: mm, vma in the tree, vma on the list"),
    CHECK_VMA_COUNT: ("vma-count", "list = tree = map_count, and every vma belongs to an mm: mm, found, counted"),
    CHECK_VMA_OBJECT: ("vma-object", "file and anon_vma of a vma are in use: mm, vma, object"),
    CHECK_MM_TOTAL_VM: ("total-vm", "total_vm is the sum of the vmas: mm, sum, total_vm"),
    CHECK_MM_LOCKED_VM: ("locked-vm", "locked_vm is the sum of the VM_LOCKED vmas and of what DONTUNMAP left: mm, sum, "
                                      "locked_vm"),
    CHECK_MM_DATA_VM: ("data-vm", "data_vm is the sum of private writable vmas that are no stack: mm, sum, data_vm"),
    CHECK_MM_CACHE: ("mm-cache", "mmap_cache, the cached leaf table and the gaps known to be short are the mm's own:"
                     " mm, vma or table, tag"),
    CHECK_TABLE_INDEX: ("table-index", "an upper entry leads to a table: mm, table, from table"),
    CHECK_TABLE_META: ("table-meta", "a table knows its mm, base, level, and its frame knows it: mm, table, value"),
    CHECK_TABLE_ENTRY: ("table-entry", "an upper entry is none or present, below TASK_SIZE: mm, table, entry"),
    CHECK_TABLE_COUNT: ("table-count", "tables found are nr_ptes, nr_upper, and all in use: mm, found, counted"),
    CHECK_PTE_NO_VMA: ("pte-no-vma", "a pte that is not none lies in a vma: mm, address, pte"),
    CHECK_PTE_KIND: ("pte-kind", "a pte is present or swap, or a file offset, in range, in a nonlinear vma: "
                                 "mm, address, pte"),
    CHECK_PTE_PFN: ("pte-pfn", "a present pte names a frame that was handed out: mm, address, pte"),
    CHECK_PTE_PROT: ("pte-prot", "a pte allows no more than its vma; writable private ones are anonymous: mm, "
        "address, pte"),
    CHECK_PTE_SPECIAL: ("pte-special", "a reserved page is the zero page in private anonymous memory, "
        "read-only, or in a "
                                       "VM_RESERVED vma: mm, address, pte"),
    CHECK_PTE_ANON: ("pte-anon", "PTE_ANON says what the frame says: mm, address, pte"),
    CHECK_PTE_RMAP_ANON: ("pte-rmap-anon", "what an anonymous page says of itself leads to its pte: mm, address, pfn"),
    CHECK_PTE_RMAP_FILE: ("pte-rmap-file", "a file page is found from its file and index: mm, address, pfn"),
    CHECK_PTE_FRAME: ("pte-frame", "a mapped frame is neither free nor the kernel's own: mm, address, pfn"),
    CHECK_PTE_SWAP: ("pte-swap", "a swap pte names a slot of an area in use, in a private vma: mm, address, pte"),
    CHECK_PTE_EXCLUSIVE: ("pte-exclusive", "where anonymous pages are marked as one's own, a private pte that may be "
        "written is, and no other: mm, address, pte"),
    CHECK_PTE_MARKER: ("pte-marker", "a guard marker stands in a vma that says that it may have some: mm, address, "
        "pte"),
    CHECK_MM_RSS: ("rss", "rss is the present ptes of ordinary pages: mm, found, rss"),
    CHECK_MM_ANON_RSS: ("anon-rss", "anon_rss is the anonymous ones of rss: mm, found, anon_rss"),
    CHECK_MM_SWAPENTS: ("swapents", "swapents is the swap ptes: mm, found, swapents"),
    CHECK_MAPCOUNT: ("mapcount", "mapcount is the ptes that map the frame: pfn, found, mapcount"),
    CHECK_COW_WRITABLE: ("cow-writable", "a private page that is writable somewhere has one mapper, and its "
        "slot no other "
                                         "user: pfn, mapcount, entry"),
    CHECK_NR_MAPPED: ("nr-mapped", "nr_mapped is the mapped pages: found, counted"),
    CHECK_CHAIN_NODE: ("chain-node", "a pte_chain leads to nodes: pfn, node, entries before"),
    CHECK_CHAIN_SHAPE: ("chain-shape", "only the head of a pte_chain has free slots, the low ones: pfn, node, slot"),
    CHECK_CHAIN_COUNT: ("chain-count", "a pte_chain has mapcount entries: pfn, found, mapcount"),
    CHECK_CHAIN_ENTRY: ("chain-entry", "the entries of a pte_chain are the ptes that map the page: pfn, pte "
        "index, pte"),
    CHECK_CHAIN_NODES: ("chain-nodes", "every pte_chain node in use is on a chain or spare: on chains, spare, in use"),
    CHECK_WALK: ("rmap-walk", "the reverse map of a page leads to all its ptes: pfn, found, mapcount"),
    CHECK_I_MMAP: ("i-mmap", "the index of a file's vmas is well formed and holds vmas of the file: file, vma, place"),
    CHECK_I_MMAP_COUNT: ("i-mmap-count", "every vma of a file is in its index: file, found, counted"),
    CHECK_FILE: ("file", "a file has a kind: file, kind"),
    CHECK_FILE_REFS: ("file-refs", "a file's references are its vmas and at most one handle: file, refs, vmas"),
    CHECK_ANON_VMA: ("anon-vma", "an anon_vma's list is a ring of vmas that name it: anon_vma, vma, place"),
    CHECK_ANON_VMA_COUNT: ("anon-vma-count", "every vma that names an anon_vma is on its list: anon_vma, found, nr"),
    CHECK_ANONMM: ("anonmm", "an anonmm is on the ring of its group, and its mm names it: anonmm, next or head, mm or "
        "page"),
    CHECK_ANONMM_COUNT: ("anonmm-count", "a group counts its members, an anonmm its mm, members and pages: anonmm, "
        "found, counted"),
    CHECK_ANON_TREE: ("anon-tree", "a group's tree holds the vmas that name the group: group, vma, height or rest"),
    CHECK_RADIX_NODE: ("radix-node", "a tree's node is in use and counts its slots: file, node, height or count"),
    CHECK_RADIX_COUNT: ("radix-count", "every radix node belongs to a tree: of files, of swap, in use"),
    CHECK_CACHED_PAGE: ("cached-page", "a file's tree holds its pages under their index, below its end: file, "
        "index, value"),
    CHECK_FILE_PAGES: ("file-pages", "nrpages is the pages in the tree: file, found, nrpages"),
    CHECK_FILE_SWAPPED: ("file-swapped", "swapped is the entries in the tree: file, found, swapped"),
    CHECK_NR_PAGECACHE: ("nr-pagecache", "nr_pagecache is the pages in the page and swap caches: found, counted"),
    CHECK_SWAP_AREA: ("swap-area", "a swap area lies in its extent, slot 0 is bad: area, base, max"),
    CHECK_SWAP_LIST: ("swap-list", "the areas in use stand on the list by priority: area, found, counted"),
    CHECK_SWAP_CACHE: ("swap-cache", "a page in the swap cache knows its entry: area, slot, pfn"),
    CHECK_SWAP_MAP: ("swap-map", "a slot's count is its ptes, file entries and cached page: entry, found, count"),
    CHECK_SWAP_BOUNDS: ("swap-bounds", "free slots lie between lowest_bit and highest_bit: area, slot, lowest_bit"),
    CHECK_SWAP_BITS: ("swap-bits", "the bitmap of free slots agrees with the swap map: area, slot, bit"),
    CHECK_SWAP_NODE: ("swap-node", "the swap cache's tree nodes count their pages: area, slot, count"),
    CHECK_SWAP_INUSE: ("swap-inuse", "inuse is the slots in use: area, found, inuse"),
    CHECK_NR_SWAP_PAGES: ("nr-swap-pages", "nr_swap_pages is the free slots: found, counted, total found"),
    CHECK_NR_SWAPCACHE: ("nr-swapcache", "nr_swapcache is the pages in the swap cache: found, counted"),
    CHECK_ZONE: ("zone", "a zone's borders are in order: zone, bump, end or present"),
    CHECK_FREE_AREA: ("free-area", "a free list links free blocks of its order, nr of them: zone, order, pfn"),
    CHECK_FREE_TWICE: ("free-twice", "a frame is in one free block: pfn, zone, order"),
    CHECK_FREE_PAGES: ("free-pages", "free_pages is the frames in free blocks and never used: zone, found, counted"),
    CHECK_PCP: ("pcp", "a per-CPU list holds free frames of its zone: zone, place, pfn"),
    CHECK_FREE_IN_USE: ("free-in-use", "nothing holds a free frame: pfn, flags, refs"),
    CHECK_OWNER: ("owner", "a frame has one owner: pfn, owner, owner before"),
    CHECK_KERNEL_FRAME: ("kernel-frame", "a frame of the kernel's own is held once, is mapped and listed nowhere: pfn, "
                                         "flags, refs"),
    CHECK_REFS: ("refs", "a page's references are its caches', pagevecs' and writes': pfn, found, refs"),
    CHECK_LEAKED: ("leaked", "a frame that is not free belongs to somebody: pfn, flags, owner"),
    CHECK_PAGE_FLAGS: ("page-flags", "a page's flags say where it is: pfn, flags, owner"),
    CHECK_OFF_LRU: ("off-lru", "a page is on a list of the LRU or in a pagevec: pfn, flags, owner"),
    CHECK_PAGEVEC: ("pagevec", "a page in a pagevec is not on the LRU yet: pfn, place"),
    CHECK_LRU_CHUNK: ("lru-chunk", "a list's chunks are linked both ways and count their pages: list, chunk, value"),
    CHECK_LRU_ENTRY: ("lru-entry", "a page on a list knows its place, zone and list: list, chunk, pfn"),
    CHECK_LRU_COUNT: ("lru-count", "nr is the pages on the list: list, found, nr"),
    CHECK_SLAB: ("slab", "a slab has frames and at most as many objects as fit: cache, slab, count"),
    CHECK_SLAB_COUNT: ("slab-count", "the objects of a cache are the engine's: cache, found, counted"),
    CHECK_LEDGER: ("ledger", "the ledger is what is held: consumer, frames found, frames noted"),
    CHECK_COMMITTED: ("committed", "vm_committed_space is the accounted vmas and shared objects: vmas, "
        "objects, committed"),
    CHECK_WRITEBACK: ("writeback", "each page under writeback has one write under way: pfn, found, counted"),
    CHECK_NR_DIRTY: ("nr-dirty", "nr_dirty is the dirty pages of regular files: found, counted"),
    CHECK_EVENT: ("event", "the event queue is a heap: place, when, when above"),
}


cdef int run(check_t *c, uint64_t walk) noexcept nogil:
    if check_pools(c) < 0 or check_spaces(c) < 0 or check_objects(c) < 0:
        return -1
    if check_tables(c) < 0 or check_mapcounts(c) < 0:
        return -1
    if c.m.rules.rmap_nodes and check_chains(c) < 0:
        return -1
    if check_walk(c, walk) < 0:
        return -1
    # the census of ptes ends here, that of owners begins
    if check_owners(c) < 0 or check_slabs(c) < 0 or check_files(c) < 0 or check_swap(c) < 0:
        return -1
    if check_lru(c) < 0 or check_frames(c) < 0:
        return -1
    return check_sums(c)


cdef void check_machine(machine_t *m, uint64_t walk, uint32_t *frame_scratch, uint16_t *slot_scratch,
                        check_report *r) noexcept nogil:
    cdef check_t c
    cdef int z
    memset(&c, 0, sizeof(check_t))
    memset(r, 0, sizeof(check_report))
    c.m = m
    c.r = r
    c.census = frame_scratch
    c.slots = slot_scratch
    # only what was ever used is cleared, so that an idle large machine stays untouched on the host
    for z in range(<int>m.nr_zones):
        if m.zones[z].start_pfn > m.zones[z].bump or m.zones[z].bump > m.nr_frames:
            fail(&c, CHECK_ZONE, z, m.zones[z].bump, m.nr_frames)
            return
        memset(&frame_scratch[m.zones[z].start_pfn], 0,
               (m.zones[z].bump - m.zones[z].start_pfn) * sizeof(uint32_t))
    if m.slots_used > m.pools[<int>POOL_SWAP_SLOT].max:
        fail(&c, CHECK_SWAP_AREA, 0, m.slots_used, m.pools[<int>POOL_SWAP_SLOT].max)
        return
    memset(slot_scratch, 0, m.slots_used * sizeof(uint16_t))
    run(&c, walk)
