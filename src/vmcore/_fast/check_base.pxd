# What the parts of check share: the census, the ids of the checks, and the first failure.
#
# check reads a state that may be damaged, so every index is compared with the bounds of its pool before it is followed
# and every list walk is bounded by the records that the pool has handed out. A part returns 0, or -1 after fail(): the
# first failure ends the check, because what comes later relies on what was proved before. So does Ctrl-C.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from vmcore._fast.pool cimport interrupted as signalled
from vmcore._fast.records cimport machine_t, pool_t, NR_POOLS
from vmcore._fast.check cimport check_report

cdef extern from *:
    void prefetch_read "__builtin_prefetch"(const void *p) nogil

cdef enum:
    # ids; names, explanations and the meaning of the three numbers: CHECK_NAMES in check.pyx
    CHECK_OK = 0
    CHECK_POOL_BOUNDS
    CHECK_POOL_FREE_LIST
    CHECK_POOL_FREE_RECORD
    CHECK_TASK
    CHECK_MM_TASK
    CHECK_MM_LIST
    CHECK_VMA_INDEX
    CHECK_VMA_RANGE
    CHECK_VMA_ORDER
    CHECK_VMA_LINKS
    CHECK_VMA_FLAGS
    CHECK_VMA_TREE
    CHECK_VMA_TREE_ORDER
    CHECK_VMA_COUNT
    CHECK_VMA_OBJECT
    CHECK_MM_TOTAL_VM
    CHECK_MM_LOCKED_VM
    CHECK_MM_DATA_VM
    CHECK_MM_CACHE
    CHECK_TABLE_INDEX
    CHECK_TABLE_META
    CHECK_TABLE_ENTRY
    CHECK_TABLE_COUNT
    CHECK_PTE_NO_VMA
    CHECK_PTE_KIND
    CHECK_PTE_PFN
    CHECK_PTE_PROT
    CHECK_PTE_SPECIAL
    CHECK_PTE_ANON
    CHECK_PTE_RMAP_ANON
    CHECK_PTE_RMAP_FILE
    CHECK_PTE_FRAME
    CHECK_PTE_SWAP
    CHECK_PTE_EXCLUSIVE
    CHECK_PTE_MARKER
    CHECK_MM_RSS
    CHECK_MM_ANON_RSS
    CHECK_MM_SWAPENTS
    CHECK_MAPCOUNT
    CHECK_COW_WRITABLE
    CHECK_NR_MAPPED
    CHECK_CHAIN_NODE
    CHECK_CHAIN_SHAPE
    CHECK_CHAIN_COUNT
    CHECK_CHAIN_ENTRY
    CHECK_CHAIN_NODES
    CHECK_WALK
    CHECK_I_MMAP
    CHECK_I_MMAP_COUNT
    CHECK_FILE
    CHECK_FILE_REFS
    CHECK_ANON_VMA
    CHECK_ANON_VMA_COUNT
    CHECK_ANONMM
    CHECK_ANONMM_COUNT
    CHECK_ANON_TREE
    CHECK_RADIX_NODE
    CHECK_CACHED_PAGE
    CHECK_FILE_PAGES
    CHECK_FILE_SWAPPED
    CHECK_NR_PAGECACHE
    CHECK_SWAP_AREA
    CHECK_SWAP_LIST
    CHECK_SWAP_CACHE
    CHECK_SWAP_MAP
    CHECK_SWAP_BOUNDS
    CHECK_SWAP_BITS
    CHECK_SWAP_NODE
    CHECK_RADIX_COUNT
    CHECK_SWAP_INUSE
    CHECK_NR_SWAP_PAGES
    CHECK_NR_SWAPCACHE
    CHECK_ZONE
    CHECK_FREE_AREA
    CHECK_FREE_TWICE
    CHECK_FREE_PAGES
    CHECK_PCP
    CHECK_FREE_IN_USE
    CHECK_OWNER
    CHECK_KERNEL_FRAME
    CHECK_REFS
    CHECK_LEAKED
    CHECK_PAGE_FLAGS
    CHECK_OFF_LRU
    CHECK_PAGEVEC
    CHECK_LRU_CHUNK
    CHECK_LRU_ENTRY
    CHECK_LRU_COUNT
    CHECK_SLAB
    CHECK_SLAB_COUNT
    CHECK_LEDGER
    CHECK_COMMITTED
    CHECK_WRITEBACK
    CHECK_NR_DIRTY
    CHECK_EVENT
    NR_CHECKS

cdef enum:
    # owners of a frame, in the census of check_frames: bits above the count of expected references
    OWN_FREE = 1 << 8           # in a free block
    OWN_PCP = 1 << 9
    OWN_RESERVED = 1 << 10      # image and mem_map
    OWN_TABLE = 1 << 11
    OWN_SLAB = 1 << 12
    OWN_STACK = 1 << 13
    OWN_CACHE = 1 << 14         # page cache of a file
    OWN_SWAPCACHE = 1 << 15
    OWN_LRU = 1 << 16
    OWN_PAGEVEC = 1 << 17
    OWN_TAIL = 1 << 18          # not the first frame of a block of the kernel's
    OWN_WRITE = 1 << 19         # a write of it is under way
    OWN_KERNEL = OWN_RESERVED | OWN_TABLE | OWN_SLAB | OWN_STACK
    OWN_REFS = 0xFF
    # the census of check_maps: ptes that map the frame, and whether one of them is a writable private one
    CENSUS_WRITABLE = 1 << 31

cdef struct check_t:
    machine_t *m
    check_report *r
    uint32_t *census            # by pfn
    uint16_t *slots             # by global slot: uses found
    uint64_t hash_ptes          # sum of mix(pte index, pfn) over the ptes that map a frame
    uint64_t mapped_ptes
    uint64_t leaf_tables
    uint64_t upper_tables
    uint64_t upper_frames
    uint64_t accounted          # pages of VM_ACCOUNT vmas
    uint64_t file_vmas
    uint64_t nonlinear_vmas     # vmas with VM_NONLINEAR, and what the files' counts add up to
    uint64_t nonlinear_counted
    uint64_t anon_vmas          # vmas that name an anon_vma
    uint64_t shmem_pages        # pages charged through shmem objects
    uint64_t cached
    uint64_t radix_nodes        # nodes of page trees
    uint64_t disk_nodes         # nodes of trees of disk tokens
    uint64_t swap_nodes         # nodes of the swap cache
    uint64_t swapcached
    uint64_t writing            # writes under way
    uint64_t files
    uint64_t mms
    uint64_t tasks

cdef inline int fail(check_t *c, int id, uint64_t a, uint64_t b, uint64_t d) noexcept nogil:
    """The first failure is the one that is reported. Returns -1."""
    if c.r.failed == 0:
        c.r.failed = <uint32_t>id
        c.r.arg[0] = a
        c.r.arg[1] = b
        c.r.arg[2] = d
    return -1

cdef inline int interrupted(check_t *c) noexcept nogil:
    """Ctrl-C: the check ends, without a failure. A check changes nothing, so anywhere is a good place to ask."""
    return signalled(c.m)

cdef inline int stretch_ends(check_t *c, uint64_t i) noexcept nogil:
    """interrupted(), once every 65,536 of a loop's i."""
    return i & 0xFFFF == 0 and interrupted(c)

cdef inline int in_pool(machine_t *m, int id, uint64_t i) noexcept nogil:
    return i != 0 and i < m.pools[id].next

cdef inline uint64_t mix(uint32_t pte, uint32_t pfn) noexcept nogil:
    """Equal multisets of (pte, pfn) have equal sums of mix(); unequal ones, as good as never."""
    cdef uint64_t z = (<uint64_t>pte << 32) | pfn
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)

cdef inline int used_pfn(machine_t *m, uint64_t pfn) noexcept nogil:
    """The frame exists and was handed out, or given to the free lists, at some time."""
    cdef int z
    if pfn >= m.nr_frames:
        return 0
    for z in range(<int>m.nr_zones):
        if pfn >= m.zones[z].start_pfn and pfn < m.zones[z].end_pfn:
            return pfn < m.zones[z].bump
    return 0

# Is record i of a pool on its free list? Needs the bitmap that mark_free made.
cdef inline int is_marked(uint32_t *bitmap, uint64_t i) noexcept nogil:
    return (bitmap[i >> 5] >> (i & 31)) & 1
