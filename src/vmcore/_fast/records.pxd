# Every packed record of the engine, and the machine record: the one place where data is laid out.
#
# Rules that hold everywhere:
#   - objects name each other by u32 index into a pool; 0 is null (record 0 of a pool is never used);
#   - addresses, page offsets and byte sizes are u64; a page is 4096 bytes; a pfn is a u32, and pfn 0 is null;
#   - a function that fails returns a negative errno; nothing below engine.pyx knows Python;
#   - the numpy dtype of each record is in records.py under the same name, and engine.pyx asserts equal sizes.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int32_t, int64_t

cdef enum:
    PAGE_SHIFT = 12
    PAGE_SIZE = 4096
    PAGE_MASK_LOW = 4095

# ---------------------------------------------------------------- pools (see pool.pxd)

cdef struct pool_t:
    char *base              # first record; never moves
    uint64_t stride         # bytes of a record
    uint64_t max            # records that the reservation holds, record 0 included
    uint64_t limit          # records granted by the host check so far; alloc below it never fails
    uint64_t next           # bump: first index never used
    uint64_t live           # records in use
    uint32_t free           # head of the free list, linked through the first u32 of a free record
    uint32_t flags          # POOL_HUGE: madvise(MADV_HUGEPAGE)
    uint64_t bytes          # bytes reserved

cdef enum:
    # pools of the machine, in save/load order; names in POOL_NAMES of records.py
    POOL_FRAME = 0          # frame_t, index = pfn
    POOL_MAPCOUNT = 1       # u32, index = pfn
    POOL_PTE = 2            # a table of u64 entries (1 << pt_shift of them)
    POOL_TABLE = 3          # table_t, same index as POOL_PTE
    POOL_VMA = 4
    POOL_MM = 5
    POOL_TASK = 6
    POOL_FILE = 7
    POOL_ANON_VMA = 8
    POOL_PTE_CHAIN = 9      # chain node: u32 next_and_idx + nrpte u32 slots
    POOL_LRU_CHUNK = 10     # lru_chunk_t
    POOL_RADIX = 11         # radix_node_t
    POOL_SWAP_SLOT = 12     # swap_slot_t per global slot
    POOL_SWAP_ANY = 13      # u64 word: bit = 1 if that swap_word_t has a free slot
    POOL_PAGE_TOKEN = 14    # u64 content token, index = pfn
    POOL_SLOT_TOKEN = 15    # u64 content token, index = global slot
    POOL_SLAB = 16          # slab_t: one slab of any cache
    POOL_EVENT = 17         # event_t: binary heap
    POOL_SCRATCH = 18       # u64 scratch for walks
    POOL_SWAP_WORD = 19     # swap_word_t per 64 global slots
    POOL_SWAP_FULL = 20     # u64 word: bit = 1 if all 64 slots of that swap_word_t are free
    POOL_ANONMM = 21
    POOL_AVC = 22           # avc_t: anon_vma_chain
    NR_POOLS = 23

# ---------------------------------------------------------------- page frames

cdef enum:
    # frame_t.flags: bits of 2.6.5 (fact sheet 1.2) where the kernel has one, ours above
    PG_LOCKED = 1 << 0
    PG_ERROR = 1 << 1
    PG_REFERENCED = 1 << 2
    PG_UPTODATE = 1 << 3
    PG_DIRTY = 1 << 4
    PG_LRU = 1 << 5
    PG_ACTIVE = 1 << 6
    PG_SLAB = 1 << 7
    PG_HIGHMEM = 1 << 8
    PG_LAZYFREE = 1 << 9    # anonymous and not swap-backed (MADV_FREE): reclaim drops it if it is clean
    PG_READAHEAD = 1 << 10  # who comes to this page of a file has the next window read (readahead.pyx)
    PG_RESERVED = 1 << 11
    PG_PRIVATE = 1 << 12    # has buffers
    PG_WRITEBACK = 1 << 13
    PG_MLOCKED = 1 << 14    # mlocked, though no vma may say so (calls/mlocked_6.pxd)
    PG_MAPLOCK = 1 << 15
    PG_DIRECT = 1 << 16     # rmap holds one pte index, not a chain head (pte_chain design)
    PG_SWAPCACHE = 1 << 17  # priv is the swap entry; 2.6.5 says mapping == &swapper_space
    PG_RECLAIM = 1 << 18    # rotate to the inactive tail when the write ends
    PG_COMPOUND = 1 << 19
    PG_ANON = 1 << 20       # mapping is an anon object (aa1, 2.6.7); never set by designs without it
    PG_BUDDY = 1 << 21      # head of a free buddy block; order in bits 24..27
    PG_TABLE = 1 << 22      # a page-table page: mapping = mm, index = virtual base
    PG_PCP = 1 << 23        # free, on a per-CPU list
    PG_ORDER_SHIFT = 24     # 4 bits: order of an allocated or free block
    PG_MLOCK_UNCOUNTED = 1 << 28    # and its mlock_count is 0

cdef packed struct frame_t:     # 32 bytes: struct page without its mapcount
    uint32_t flags
    int32_t refs            # references other than ptes: page_count() = refs + mapcount[pfn]; 0 and unmapped = free
    uint32_t mapping        # file, or anon_vma if PG_ANON, or mm if PG_TABLE; 2.6.5 anonymous pages: 0
    uint32_t priv           # swap entry if PG_SWAPCACHE; buddy/free links otherwise
    uint64_t index          # page offset in mapping (linear pgoff for anon_vma)
    uint32_t rmap           # pte_chain design: pte index if PG_DIRECT, else first chain node; anon_vma: a hint
    uint32_t lru            # place on its lru list: chunk << LRU_SLOT_BITS | slot; valid iff PG_LRU

# ---------------------------------------------------------------- page tables

cdef enum:
    # a pte, host u64 on every architecture. Present: pfn << 12 | bits. Not present: kind in PTE_KIND, value << 12.
    PTE_P = 1 << 0
    PTE_RW = 1 << 1         # only if present or PROT_NONE
    PTE_USER = 1 << 2       # only if present or PROT_NONE
    PTE_A = 1 << 5          # accessed ("young")
    PTE_D = 1 << 6          # dirty
    PTE_PROTNONE = 1 << 7   # page is there, no access; pte_present() is true
    PTE_ANON = 1 << 9       # software: the page is anonymous (private copy), so walks need no frame
    PTE_SPECIAL = 1 << 10   # software: reserved page (zero page, device): no rss, no rmap
    # software, rules.anon_exclusive: nobody else can have the anonymous page, or swap slot, of this pte. The kernel
    # marks the page (PG_anon_exclusive) and the swap pte; such a page has one pte, and there fork clears it for nothing
    PTE_EXCLUSIVE = 1 << 11
    PTE_SWAP = 1 << 3       # not present: value is a swap entry
    PTE_FILE = 1 << 4       # not present: value is a file page offset (nonlinear)
    PTE_MARKER = 3 << 3     # not present: guard marker
    PTE_KIND = 3 << 3
    PTE_SHIFT = 12          # pfn or value starts here
    PTE_LOW = 4095

cdef packed struct table_t:     # 16 bytes: what the kernel keeps in the struct page of a table page
    uint64_t base           # first virtual address that the table covers | level (0 = leaf) in the low bits
    uint32_t frame          # its simulated page frame (0 for a PAE pgd, which is a slab object)
    uint32_t mm             # owner; 0 = free

cdef enum:
    SPANS = 256             # remembered second-lowest tables, by (mm, address)

cdef struct span_t:         # 16 bytes: a walk that need not start at the top
    uint64_t key            # mm << 32 | address >> (leaf_shift + pt_shift)
    uint32_t table          # the level-1 table that covers it
    uint32_t epoch          # machine.table_epoch when it was found

# ---------------------------------------------------------------- virtual memory areas

cdef enum:
    # vma_t.flags: values of today's include/linux/mm.h, which are those of fact sheet linux-2004 1.6 where that has
    # the flag; but VM_RESERVED, 0x80000 in 2004, has the place of its heir
    VM_READ = 0x1
    VM_WRITE = 0x2
    VM_EXEC = 0x4
    VM_SHARED = 0x8
    VM_MAYREAD = 0x10
    VM_MAYWRITE = 0x20
    VM_MAYEXEC = 0x40
    VM_MAYSHARE = 0x80
    VM_GROWSDOWN = 0x100
    VM_GROWSUP = 0x200
    VM_PKEY = 0x200                 # today: the protection key of executable memory, which allows no data access
    VM_PFNMAP = 0x400
    VM_RESERVED = 0x400
    VM_DENYWRITE = 0x800
    VM_MAYBE_GUARD = 0x800          # today: guard markers were put here once
    VM_NONLINEAR = 0x1000           # 0x800000 in 2004, which is VM_SYNC today
    VM_LOCKED = 0x2000
    VM_IO = 0x4000
    VM_SEQ_READ = 0x8000
    VM_RAND_READ = 0x10000
    VM_DONTCOPY = 0x20000
    VM_DONTEXPAND = 0x40000
    VM_LOCKONFAULT = 0x80000
    VM_ACCOUNT = 0x100000
    VM_NORESERVE = 0x200000
    VM_HUGETLB = 0x400000
    VM_SYNC = 0x800000
    VM_DROPPABLE = 0x1000000        # bit 40 today
    VM_WIPEONFORK = 0x2000000
    VM_DONTDUMP = 0x4000000
    VM_SOFTDIRTY = 0x8000000
    VM_MIXEDMAP = 0x10000000
    VM_HUGEPAGE = 0x20000000
    VM_NOHUGEPAGE = 0x40000000
    VM_MERGEABLE = 0x80000000
    VM_STACK_FLAGS = 0x100177       # READ WRITE EXEC MAY* GROWSDOWN ACCOUNT
    VM_DATA_DEFAULT_FLAGS = 0x77    # READ WRITE EXEC MAY*

cdef packed struct vma_t:       # 128 bytes; what find_vma and the walks of a page read comes first
    uint64_t start          # first byte; free record: free link
    uint64_t end            # byte after the last
    uint64_t pgoff          # page offset of start in file, or linear offset (anon_vma), or don't-care (2.6.5 anonymous)
    uint32_t flags          # VM_*
    uint32_t mm             # owner; 0 = free record
    uint32_t file           # file or shmem object, 0 = anonymous
    uint32_t anon_vma       # its anon_vma (or fork group, rules.vma_anon_vma), 0 before the first anonymous page
    uint32_t rb_parent      # parent << 1 | black
    uint32_t rb_left
    uint32_t rb_right
    uint32_t next           # by address
    uint32_t prev           # by address (the kernel of the day has none; costs nothing simulated)
    uint32_t avc            # anon_vma_chain designs: its first link
    # node in the index over the file's vmas: the index's own business. A list has next and prev; a tree parent, left
    # (next), right (prev) and, if it is augmented, last; a prio_tree overlays sets and nodes on the four words
    uint32_t shared_parent
    uint32_t shared_next
    uint32_t shared_prev
    uint32_t shared_head
    # node in the index of the anonymous reverse map, in the same manner
    uint32_t anon_parent
    uint32_t anon_next
    uint32_t anon_prev
    uint32_t anon_head
    uint64_t shared_last
    uint64_t anon_last
    uint64_t private_data   # vm_private_data: cursor of the scan for nonlinear ptes
    uint64_t spare

cdef packed struct mm_t:        # mm_struct
    uint32_t task           # owner; 0 = free record
    uint32_t pgd            # top table, 0 = none yet
    uint32_t mmap           # first vma by address
    uint32_t rb_root
    uint32_t mmap_cache     # last vma that find_vma returned
    uint32_t map_count
    uint32_t def_flags      # VM_LOCKED after mlockall(MCL_FUTURE)
    uint32_t nr_ptes        # leaf tables
    uint32_t nr_upper       # upper tables, the pgd included
    uint32_t leaf           # walk cache: leaf table of leaf_tag, 0 = none
    uint32_t mmlist_next    # ring of all mms in fork order (swapoff searches it)
    uint32_t mmlist_prev
    uint64_t leaf_tag       # addr >> leaf span
    uint64_t free_area_cache
    uint64_t mmap_base      # where the search for a gap starts (TASK_UNMAPPED_BASE of this mm)
    uint64_t gap_top        # top-down search: no gap from here up to mmap_base is as long as gap_length; 0: not known
    uint64_t gap_length
    uint64_t total_vm       # pages
    uint64_t locked_vm      # pages
    uint64_t locked_lost    # of locked_vm: what no vma is locked for, since an mremap with DONTUNMAP
    uint64_t data_vm        # pages of private writable vmas that are no stack (RLIMIT_DATA of today)
    uint64_t rss            # present ptes of non-reserved pages
    uint64_t anon_rss       # of these, PTE_ANON
    uint64_t swapents       # swap ptes
    uint64_t anon_written   # pages that were ever made anonymous here by a write (first touch, COW); host statistic
    uint32_t leaf_epoch     # machine.table_epoch when leaf was found
    uint32_t anonmm         # its anonmm, or fork group
    uint64_t swap_address   # 2.4: where swap_out goes on; task_size = done with this lap
    uint64_t start_code, end_code, start_data, end_data
    uint64_t start_brk, brk, start_stack
    uint64_t arg_start, arg_end, env_start, env_end

cdef enum:
    TASK_FREE = 0
    TASK_ALIVE = 1
    TASK_DYING = 2          # chosen by the OOM killer or a signal; exits at the next boundary
    TASK_DEAD = 3
    # task_t.killed_by
    KILLED_NOT = 0          # exit() or alive
    KILLED_OOM = 1          # the OOM killer
    KILLED_FAULT = 2        # a fault that found no memory
    KILLED_SEGV = 3         # m.run only: no handler there
    KILLED_BUS = 4
    RLIM_STACK = 0
    RLIM_AS = 1
    RLIM_MEMLOCK = 2
    RLIM_DATA = 3
    NR_RLIM = 4
    # task_t.caps
    CAP_IPC_LOCK = 1 << 14
    CAP_SYS_ADMIN = 1 << 21
    CAP_SYS_RAWIO = 1 << 17

cdef packed struct task_t:      # index = pid; records are never reused
    uint32_t state
    uint32_t mm             # 0 when dead
    uint32_t parent
    uint32_t killed_by
    uint32_t caps
    uint32_t stack          # frame of its kernel stack (order 1)
    uint32_t memdie         # PF_MEMDIE: may take the last pages
    int32_t nice
    uint64_t min_flt
    uint64_t maj_flt
    uint64_t start_ns
    uint64_t cpu_ns
    uint64_t rlim[4]        # RLIM_*: soft limits; ~0 = infinity
    uint64_t rlim_max[4]    # hard ones
    uint64_t mmap_base      # of its address space, as spawn was asked for it; exec keeps that. 0: the kernel's choice
    uint64_t start_brk
    char comm[32]

# ---------------------------------------------------------------- files

cdef enum:
    FILE_REGULAR = 1
    FILE_SHMEM = 2          # tmpfs file, or the object behind MAP_SHARED | MAP_ANONYMOUS
    FILE_DEVICE = 3         # reserved pages, mapped VM_RESERVED
    # file_t.flags
    FILE_READONLY = 1       # opened without write permission: MAP_SHARED loses VM_SHARED and VM_MAYWRITE
    FILE_UNLINKED = 2       # anonymous shared memory: goes with its last mapping
    FILE_TRUNCATED = 4
    FILE_OPEN = 8           # the Python face holds a reference

cdef packed struct file_t:      # inode + address_space
    uint32_t kind           # FILE_*; 0 = free record
    uint32_t flags
    uint64_t size           # bytes (i_size)
    uint64_t nrpages        # pages in the page cache
    uint64_t swapped        # shmem: pages whose entry is in the vector
    uint32_t root           # radix tree of pages: RADIX_PAGE | pfn, or RADIX_SWAP | entry
    uint32_t height
    uint32_t disk_root      # radix tree of content tokens on disk; only once tokens are in use
    uint32_t disk_height
    uint32_t i_mmap         # vmas without VM_SHARED: head; list circular through vma.shared_next/prev
    uint32_t i_mmap_shared  # vmas with VM_SHARED
    uint32_t nr_i_mmap
    uint32_t nr_i_mmap_shared
    uint32_t truncate_count
    uint32_t refs           # user handle (1) + one per mapping vma
    uint32_t device         # device_t that reads and writes it
    uint32_t ra_hit         # filemap_nopage: mmap hits and misses; readahead.pyx has only the misses
    uint32_t ra_miss
    uint32_t i_mmap_nonlinear       # vmas with VM_NONLINEAR, where the kernel keeps them apart: list like i_mmap
    uint32_t nr_i_mmap_nonlinear    # vmas with VM_NONLINEAR, on that list or in the index
    uint32_t i_mmap_bits    # prio_tree: index_bits of the tree whose root is i_mmap
    uint32_t i_mmap_shared_bits
    uint32_t ra_order       # readahead.pyx: log2 pages of the folios of a window
    uint64_t ra_start       # ... the last window: first page, pages, how many of them nobody asked for
    uint32_t ra_size
    uint32_t ra_async
    uint64_t ra_prev        # ... where the last read() ended, in bytes; all ones: there was none
    char name[64]

cdef packed struct radix_node_t:    # 64 slots, as the kernel's
    uint64_t slot[64]
    uint32_t count
    uint32_t shift          # free record: unused

cdef packed struct anon_vma_t:      # 32 bytes
    uint32_t head           # first vma; list circular through vma.anon_next/prev. Free record: free link
    uint32_t nr             # vmas on the list, or links; 0 = free record
    # with anon_vma_chains only
    uint32_t root           # oldest of its fork tree: the lock of all
    uint32_t parent
    uint32_t refs
    uint32_t num_children
    uint32_t num_active_vmas
    uint32_t leftmost       # interval tree: its first node

cdef packed struct avc_t:           # 40 bytes: one vma on one anon_vma
    uint32_t vma            # 0 = free record; then the free link overlays it
    uint32_t anon_vma
    uint32_t vma_next       # the vma's other links
    uint32_t vma_prev
    uint32_t rb_parent      # node in the anon_vma: list (left = next, right = prev) or interval tree
    uint32_t rb_left
    uint32_t rb_right
    uint32_t live           # 1 = in use
    uint64_t last           # interval tree: greatest last page in the subtree

cdef packed struct anonmm_t:        # 32 bytes; also the fork group of the fork_tree design
    uint32_t mm             # 0 when the mm is gone. Free record: free link
    uint32_t head           # anonmm made at exec; itself for that one; 0 = free record
    uint32_t count
    uint32_t next           # group: circular
    uint32_t prev
    uint32_t root           # fork_tree: the group's tree of anonymous vmas
    uint32_t bits           # ... its index_bits
    uint32_t nr             # ... its vmas; anonmm, in a head: members of the group, itself included

# ---------------------------------------------------------------- LRU lists

cdef enum:
    LRU_SLOT_BITS = 10
    LRU_SLOTS = 1020        # frames a chunk: with its header 4096 bytes
    LRU_TOMB = 0xFFFFFFFF   # a removed entry
    LRU_INACTIVE = 0
    LRU_ACTIVE = 1
    NR_LRU = 2

cdef packed struct lru_chunk_t:     # 4096 bytes
    uint32_t prev           # towards the head
    uint32_t next           # towards the tail
    uint32_t alive
    uint32_t list           # list id, for check
    uint32_t pfn[1020]

cdef struct lru_list_t:     # entries from the head (newest) to the tail (oldest)
    uint32_t head_chunk     # 0 = list has no chunk
    uint32_t head_slot      # first used slot in head_chunk
    uint32_t tail_chunk
    uint32_t tail_slot      # one past the last used slot in tail_chunk
    uint64_t nr             # frames alive on the list
    uint32_t chunks
    uint32_t id             # zone * NR_LRU + list

cdef struct lruvec_t:
    lru_list_t lists[2]     # LRU_INACTIVE, LRU_ACTIVE

# ---------------------------------------------------------------- zones

cdef enum:
    ZONE_DMA = 0
    ZONE_NORMAL = 1
    ZONE_HIGHMEM = 2
    MAX_ZONES = 3
    MAX_ORDER = 11
    PCP_RING = 512

cdef struct pcp_t:          # one per-CPU list: a ring; head side is hot
    uint32_t count
    uint32_t low
    uint32_t high
    uint32_t batch
    uint32_t head           # ring index of the first entry
    uint32_t ring[512]

cdef struct free_area_t:
    uint32_t head           # first free block of this order, linked by frame.priv (next) and frame.lru (prev)
    uint32_t nr

cdef struct zone_t:
    uint32_t start_pfn
    uint32_t end_pfn
    uint32_t present        # pages
    uint32_t bump           # first frame never given to the buddy lists; [bump, end_pfn) is free and untouched
    uint32_t reserved       # frames taken at boot from the zone's start (image, mem_map)
    uint32_t pages_min
    uint32_t pages_low
    uint32_t pages_high
    uint64_t free_pages     # buddy + bump, not the per-CPU lists
    uint32_t lruvec         # index of its lruvec
    uint32_t all_unreclaimable
    uint64_t pages_scanned
    uint64_t nr_scan_active
    uint64_t nr_scan_inactive
    int32_t temp_priority
    int32_t prev_priority
    # 2.4
    uint32_t need_balance   # kswapd has work here
    uint32_t class_reserve[3]       # on top of this zone's marks, for an allocation whose class is that zone
    uint64_t nr_lru[2]      # with global_lru: pages of this zone on each list
    free_area_t area[11]
    uint32_t ahead          # frame.pyx: place on the order-0 free list that is prefetched; a hint
    pcp_t pcp[2]            # 0 hot, 1 cold
    # a scan of the whole active list that changed nothing (v2_6.pyx, "idle passes"): when, and what it counted
    uint64_t idle_serial
    uint64_t idle_changes
    uint64_t idle_active
    uint64_t idle_inactive
    uint64_t idle_delta[256]

# ---------------------------------------------------------------- swap areas

cdef enum:
    MAX_SWAPFILES = 32
    SWP_TYPE_SHIFT = 27     # a swap entry is type << 27 | offset in a u32; the kernel has type in the top 5 bits too
    SWP_OFFSET_MASK = 0x7FFFFFF
    SWAP_MAP_MAX = 0x7FFF
    SWAP_MAP_BAD = 0x8000
    SWP_USED = 1
    SWP_WRITEOK = 2

cdef struct swap_area_t:
    uint32_t flags          # SWP_*
    int32_t prio
    uint32_t max            # slots, the header (slot 0) included
    uint32_t capacity       # slots of its extent in the global arrays
    uint64_t base           # global slot number of its slot 0
    uint32_t lowest_bit
    uint32_t highest_bit
    uint32_t cluster_next
    uint32_t cluster_nr
    uint32_t pages          # usable slots
    uint32_t inuse
    int32_t next            # next area in priority order, -1 = end
    uint32_t device
    uint64_t cluster_from   # no 256 free slots begin before this swap_word_t (swap.pyx, find_cluster)
    uint64_t ahead          # hint: free slots up to this global one are prefetched for the next allocations
    uint64_t words_ahead    # hint: the same of swap_word_t

cdef packed struct swap_slot_t:     # 8 bytes: who takes a slot, or gives it back, needs both
    uint16_t map            # swap_map: uses, 0 = free; SWAP_MAP_*
    uint16_t pad
    uint32_t cache          # frame in the swap cache, 0 = not cached

cdef packed struct swap_word_t:     # 16 bytes: 64 slots
    uint64_t free           # bit = 1: the slot is free and usable
    uint32_t radix          # POOL_RADIX record that stands for the node over them (its slots are not used), 0 = none
    uint32_t count          # cached slots of the 64

# ---------------------------------------------------------------- slab caches

cdef enum:
    CACHE_VMA = 0
    CACHE_MM = 1
    CACHE_ANON_VMA = 2
    CACHE_PTE_CHAIN = 3
    CACHE_TASK = 4
    CACHE_RADIX = 5
    CACHE_INODE = 6
    CACHE_FILP = 7
    CACHE_DENTRY = 8
    CACHE_PGD = 9           # i386-PAE: 32-byte pgd
    CACHE_FS = 10           # files_struct, fs_struct, sighand, signal: one lump a task
    CACHE_ANONMM = 11
    CACHE_AVC = 12
    NR_CACHES = 13

cdef packed struct slab_t:      # one slab: its frames and objects in use
    uint32_t frame          # first frame, 0 = slab has none now
    uint32_t inuse
    uint32_t cache
    uint32_t pad

cdef struct cache_t:
    uint32_t objsize        # as the kernel's slabinfo shows it (after alignment)
    uint32_t rawsize        # sizeof
    uint32_t num            # objects a slab
    uint32_t order          # pages a slab = 1 << order
    uint64_t active         # objects in use
    uint64_t slabs          # slabs that hold frames
    uint64_t peak           # highest `slabs`
    uint64_t max_index      # first object number never used
    uint64_t map            # slab k of this cache is POOL_SLAB record map[k]: first record of its extent
    uint64_t map_max        # records of the extent
    uint32_t free           # ids of freed objects without a pool of their own: count
    uint32_t pad

# ---------------------------------------------------------------- time, devices

cdef enum:
    EV_NONE = 0
    EV_WRITE_END = 1        # arg = frame
    EV_TIMER = 2
    DEV_FILE = 0
    DEV_SWAP = 1
    NR_DEVICES = 4
    DUE_RING = 4096         # events of the default device: due at the next switch point, in order

cdef packed struct event_t:
    uint64_t when           # ns
    uint64_t seq            # ties go in order of posting
    uint32_t kind
    uint32_t arg

cdef struct device_t:
    uint64_t read_ns        # 0: a read ends at once
    uint64_t write_ns       # 0: a write ends at the next switch point
    uint64_t busy_until
    uint32_t depth          # requests in flight before a submitter must wait
    uint32_t inflight
    uint64_t reads
    uint64_t writes

# ---------------------------------------------------------------- what a kernel is: data

cdef enum:
    RMAP_NODES_NONE = 0
    RMAP_NODES_ALL = 1      # every ordinary page's
    RMAP_NODES_ANON = 2     # those of pages with PTE_ANON in their ptes

cdef packed struct kernel_rules:    # filled by a preset (kernels.py); source of each value there
    uint32_t page_anon      # 1: PG_anon and mapping of anonymous pages (aa1, 2.6.7); 0: mapping NULL until swap (2.6.5)
    uint32_t merge_anon_pgoff       # 1: anonymous vmas merge only with contiguous pgoff
    uint32_t merge_anon_vma         # 1: ... and compatible anon_vmas
    uint32_t merge_mprotect         # mprotect merges: 0 never, 1 private anonymous (2.6.5), 2 all (vma_merge, 2.6.7)
    uint32_t merge_mremap   # the target of mremap merges: 0 never, 1 private anonymous, 2 all (copy_vma)
    uint32_t mremap_link_first      # 1: mremap links the new vma, then moves ptes upwards; 0: ptes first, downwards
    uint32_t mremap_map_slack       # mremap moves nothing if map_count >= max_map_count - this; 0: it does not look
    uint32_t merge_anon_only        # 1: vmas of files never merge (2.4)
    # 2.4: lists and allocator
    uint32_t global_lru     # 1: one active and one inactive list over all zones (lruvec 0)
    uint32_t lru_direct     # 1: no pagevecs, a page is on its list at once
    uint32_t anon_inactive  # 1: anonymous pages and swap-ins start on the inactive list
    uint32_t no_pcp         # 1: no per-CPU lists of free pages
    uint32_t classzone      # 1: watermarks by class, with reserves in lower zones
    uint32_t page_hash      # 1: page and swap cache are a hash through struct page: no radix-tree nodes
    uint32_t io_locks       # 1: a page under write-out is locked until the write ends; swap-in waits for it
    uint32_t no_oom_killer  # 1: an allocation that finds nothing fails (2.4.23 made the OOM killer an option)
    uint32_t oom_rough_sqrt     # 1: badness divides by a rough square root that is never 0
    uint32_t overcommit_old     # 1: mode 0 asks if the pages are there, fork is not asked, other modes say yes
    uint32_t mlock_half     # 1: locked memory is at most half of RAM; what mlock's faults meet is no error
    uint32_t vma_hwalign    # 1: slab of vm_area_struct is SLAB_HWCACHE_ALIGN
    uint32_t meminfo_old    # 1: /proc/meminfo of 2.4
    uint32_t merge_fork_child       # 1: a vma with links from its parent takes no range that has none (3.1)
    uint32_t merge_keep_next        # 1: of X and N it is N that stays (case 8 of merge.pyx)
    uint32_t merge_special  # VM_*: who asks for one of these gets a vma of its own
    uint32_t merge_ignored  # VM_*: flags that need not be equal
    uint32_t anon_vma_adopt         # 1: a vma takes the anon_vma of a mergeable neighbour (2.6.7)
    uint32_t fork_skips_unfaulted   # 1: fork copies no page tables of vmas without anon_vma (2.6.15)
    uint32_t anon_pgoff     # 1: mmap/brk set pgoff = addr >> 12 for private anonymous memory
    uint32_t swapin_cow     # 1: write fault on a shared swap page copies in the same fault (2.6.7)
    uint32_t gup_test       # 1: do not unmap a swap-cache page with count != mapcount + 2 (2.6.7)
    uint32_t unmap_young_fails      # 1: try_to_unmap of a young pte is FAIL
    uint32_t walk_counts_down       # 1: page_referenced stops when it has seen as many ptes as the page has (2.6.7)
    uint32_t walk_skips_empty       # 1: walks pass over mms with rss 0 (2.6.7)
    # page_referenced counts 1 and stops: 1 at a VM_LOCKED | VM_MAYSHARE vma of a file (2.6.7), 2 at any VM_LOCKED vma
    # that maps the page (2.6.28)
    uint32_t walk_locked_stops
    uint32_t avc_tree       # anon_vma_chain: links of an anon_vma are on 0 a list (2.6.34), 1 an interval tree (3.7)
    # ... a fork takes an anon_vma of an ancestor: 0 never, 1 degree < 2 (3.19), 2 no active vma, <= 1 child (6.0)
    uint32_t avc_reuse
    uint32_t avc_root_lock  # ... 1: one lock a fork tree (2.6.36), and page_referenced only tries to get it
    uint32_t avc_claim_swapin       # ... 1: a page found exclusive at swap-in goes to its vma's own anon_vma
    uint32_t anon_exclusive         # 1: who may write an anonymous page in place is known by PTE_EXCLUSIVE (5.19)
    uint32_t fault_around   # 1: a read fault on a file maps cached pages around (3.15): m.fault_around_bytes
    uint32_t readahead      # regular files: 0 windows of 16 pages, aligned (2.6.5), 1 as today (readahead.pyx)
    uint32_t cow_prepares   # 1: a private write fault on a file makes the vma ready before it asks for the page
    uint32_t write_notify   # 1: shared ptes of regular files are read-only until the page is written (2.6.19)
    uint32_t exec_only      # 1: memory that is executable only cannot be read (a protection key, 4.9): VM_PKEY
    uint32_t reserved_unmap_bug     # 1: an unmap in a VM_RESERVED vma is a BUG (-aa1), else FAIL
    uint32_t anonmm_full_walk       # 1: walks of a group begin at its head, not at the page's own mm (anonmm of 2003)
    uint32_t rmap_nodes     # RMAP_NODES_*: whose further mappings take pte_chain nodes
    uint32_t struct_page_size       # bytes of simulated mem_map per frame
    uint32_t vma_size       # raw sizeof of the simulated vm_area_struct
    uint32_t anon_vma_size
    uint32_t anonmm_size
    uint32_t avc_size
    uint32_t mm_size
    uint32_t task_size_bytes        # sizeof task_struct
    uint32_t l1_line        # L1_CACHE_BYTES
    uint32_t pte_addr_size  # sizeof pte_addr_t: 4, or 8 with PAE + highpte or on x86_64
    uint32_t highpte        # 1: leaf tables may live in highmem (i386)
    uint32_t levels         # page-table levels of a process: 2, 3, 4, 5
    uint32_t pt_shift       # log2 entries of a table: 10 (i386 2-level) or 9
    uint32_t swap_offset_bits       # 24 on i386
    uint32_t max_map_count
    uint32_t min_free_min   # clamp of min_free_kbytes
    uint32_t min_free_max
    uint32_t nr_zones       # 2 or 3
    uint32_t pgd_slab       # 1: the pgd is a 32-byte slab object (PAE)
    uint32_t word_size      # 4 or 8: word of the simulated machine
    uint32_t swapin_drain   # 1: a major swap fault leaves no page in the pagevecs (see swap.pyx)
    uint32_t nonlinear_list     # 1: nonlinear vmas leave the index for the file's i_mmap_nonlinear
    uint32_t nonlinear_unmap    # how reclaim by objects unmaps nonlinear pages: NONLINEAR_* of rmap/nonlinear.pxd
    uint32_t remap_cursor_einval    # 1: remap_file_pages refuses a vma with vm_private_data (the cursor of that scan)
    uint32_t remap_missing      # 1: remap_file_pages is ENOSYS (2.4)
    uint32_t populate_prot      # 1: MAP_POPULATE hands on the user's prot, which must be 0: mostly it does nothing
    uint32_t pte_file_bits      # bits of a page offset in a file pte; 0: as many as the word has
    uint32_t vma_anon_vma   # a vma that holds anonymous pages, in memory or swap, names 1 its anon_vma, 2 its group
    # v2_6 reclaim, and what belongs to it; 0 is 2.6.5, 1 is 2.6.7
    uint32_t scan_by_priority   # how much a call scans: the active list too goes by the priority
    uint32_t scanned_late       # pages drive the slab shrinkers only if they are neither locked nor being written
    uint32_t progress_each      # direct reclaim: one priority must free enough; and !GFP_FS goes on to the next
    uint32_t prev_priority_now  # prev_priority falls while zones are scanned, not only at the end
    uint32_t kswapd_to_zero     # kswapd goes down to priority 0, else to 1
    uint32_t zone_protection    # allocation: thresholds by preferred zone; the last pass asks for them too
    uint32_t zap_accessed       # young pte zapped: 0 page of a file is marked accessed, 1 swap-cache page too, 2 none
    uint32_t zap_anon_clean     # dirty pte of an anonymous page zapped: who else maps the page has a dirty pte, too
    uint32_t gup_zero           # get_user_pages to read untouched anonymous memory makes no page table
    uint32_t stack_prepares     # stack growth makes the vma ready for anonymous pages first
    # address spaces
    uint32_t topdown        # 1: mmap goes down from below the stack's room, to unmapped_base and up if that is full
    uint32_t stack_room     # pages that exec adds below the arguments (128 KiB since 2.6.12)
    uint32_t data_exec      # 1: heap and stack are executable
    uint32_t fork_def_flags     # 1: mlockall(MCL_FUTURE) holds for the child too
    uint32_t maps_anon_offset   # 1: /proc/PID/maps shows the offset of anonymous vmas too
    uint32_t overcommit_guess   # 1: mode 0 refuses only what RAM and swap together could never hold
    # mlock: who may (MLOCK_*), and what share of RAM all together (percent; 0: no such cap)
    uint32_t mlock_right
    uint32_t mlock_share
    uint32_t memlock_pages  # RLIMIT_MEMLOCK of a new task; 0: infinity
    uint64_t task_size      # TASK_SIZE
    uint64_t unmapped_base  # TASK_UNMAPPED_BASE
    uint64_t stack_top      # STACK_TOP
    uint64_t page_offset    # i386: 0xC0000000
    uint64_t lowmem_pages   # frames below highmem (i386: 896 MiB)

# ---------------------------------------------------------------- counters: enum in counters.pxd

cdef enum:
    MAX_COUNTERS = 256

# ---------------------------------------------------------------- designs: tables of functions

cdef struct machine_t

cdef struct rmap_ops:       # one reverse-mapping design; each function is explained in rmap/README text of rmap.pxd
    # rules: pte locations are u32 pte indexes (table << pt_shift | slot); vma may be 0 only where said
    int (*anon_prepare)(machine_t *m, uint32_t vma) noexcept nogil
    int (*reserve)(machine_t *m) noexcept nogil
    void (*page_add)(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil
    void (*page_remove)(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil
    int (*page_referenced)(machine_t *m, uint32_t pfn) noexcept nogil
    int (*try_to_unmap)(machine_t *m, uint32_t pfn) noexcept nogil
    void (*prefetch)(machine_t *m, uint32_t pfn) noexcept nogil
    # vmas
    int (*vma_fork)(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil
    int (*vma_split)(machine_t *m, uint32_t new, uint32_t old) noexcept nogil
    int (*vma_copy)(machine_t *m, uint32_t new, uint32_t old) noexcept nogil
    int (*vma_adopt)(machine_t *m, uint32_t to, uint32_t from_) noexcept nogil
    void (*vma_unlink)(machine_t *m, uint32_t vma) noexcept nogil
    int (*may_merge)(machine_t *m, uint32_t a, uint32_t b) noexcept nogil
    void (*vma_merge)(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil
    void (*vma_adjust_begin)(machine_t *m, uint32_t vma) noexcept nogil
    void (*vma_adjust_end)(machine_t *m, uint32_t vma) noexcept nogil
    # mms
    int (*mm_init)(machine_t *m, uint32_t mm, uint32_t parent) noexcept nogil
    void (*mm_exit)(machine_t *m, uint32_t mm) noexcept nogil
    # pages that move, or come back elsewhere
    int (*page_move)(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t old, uint32_t new) noexcept nogil
    int (*page_misplaced)(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil
    void (*page_exclusive)(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil
    # verification (check.pyx); nothing is counted
    uint64_t (*find)(machine_t *m, uint32_t pfn) noexcept nogil
    int (*page_fits)(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil
    int (*verify)(void *check) noexcept nogil

cdef struct mm_calls:       # the system calls on an address space, as one time has them; see calls/calls.pxd
    int64_t (*mmap)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags,
                    uint32_t file, uint64_t offset) noexcept nogil
    int (*munmap)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil
    int (*mprotect)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot) noexcept nogil
    int64_t (*mremap)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags,
                      uint64_t new_addr) noexcept nogil
    uint64_t (*brk)(machine_t *m, uint32_t pid, uint64_t brk) noexcept nogil
    int (*remap_file_pages)(machine_t *m, uint32_t pid, uint64_t start, uint64_t size, uint32_t prot, uint64_t pgoff,
                            uint32_t flags) noexcept nogil
    int (*madvise)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int advice) noexcept nogil
    int (*mlock)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil
    int (*mlock2)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil
    int (*munlock)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil
    int (*mlockall)(machine_t *m, uint32_t pid, uint32_t flags) noexcept nogil
    int (*munlockall)(machine_t *m, uint32_t pid) noexcept nogil
    int (*msync)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil
    int (*mincore)(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint8_t *vec) noexcept nogil
    # not calls themselves, but parts of them
    int (*expand_stack)(machine_t *m, uint32_t vma, uint64_t addr) noexcept nogil
    void (*populate)(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil

cdef struct i_mmap_iter:    # where a query stands; what the fields mean is the index's business
    uint32_t file
    uint32_t node
    uint32_t aux
    uint32_t level
    uint64_t first          # pages asked for
    uint64_t last
    uint64_t value
    uint64_t mask

cdef struct i_mmap_ops:     # one index over the vmas of a file; see i_mmap/i_mmap.pxd
    void (*insert)(machine_t *m, uint32_t vma) noexcept nogil
    void (*insert_fork)(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil
    void (*remove)(machine_t *m, uint32_t vma) noexcept nogil
    uint32_t (*first)(machine_t *m, uint32_t file, uint64_t first_pg, uint64_t last_pg, i_mmap_iter *it) noexcept nogil
    uint32_t (*next)(machine_t *m, i_mmap_iter *it) noexcept nogil
    int64_t (*verify)(void *check, uint32_t file) noexcept nogil

cdef struct reclaim_ops:    # one reclaim policy
    int (*try_to_free_pages)(machine_t *m, uint32_t gfp) noexcept nogil
    uint32_t (*alloc)(machine_t *m, uint32_t gfp, uint32_t order) noexcept nogil    # __alloc_pages; NULL: that of 2.6
    void (*kswapd)(machine_t *m) noexcept nogil
    uint64_t (*reclaim)(machine_t *m, uint64_t pages) noexcept nogil
    # One page on the LRU, young or not, as MADV_PAGEOUT wants it: unmapped, and freed or on its way to swap if it can
    # be. NULL: this policy does not have it
    void (*reclaim_page)(machine_t *m, uint32_t pfn) noexcept nogil

cdef struct up_ops:         # the calls that go up the import order; set by engine
    int (*poll)(machine_t *m) noexcept nogil                            # host signals; < 0: interrupted
    int (*out_of_memory)(machine_t *m) noexcept nogil                   # oom.pyx
    void (*end_writeback)(machine_t *m, uint32_t pfn) noexcept nogil    # swap/filemap: a write ended
    int (*writepage)(machine_t *m, uint32_t pfn) noexcept nogil         # start the write of a locked, clean-marked page
    int (*charge)(machine_t *m, uint32_t pid, uint64_t pages) noexcept nogil    # vm_enough_memory: 0, -ENOMEM

# ---------------------------------------------------------------- the machine

cdef enum:
    PF_MEMALLOC = 1         # m.pf: reclaim is running in this context
    PF_KSWAPD = 2
    PF_SWAPOFF = 4
    PF_SWAPOFF_FAILED = 8   # the OOM killer chose the swapoff that runs
    HOST_INTR = 1           # m.host_error: Ctrl-C
    HOST_NOMEM = 2          # the host refused a pool step
    PAGEVEC_SIZE = 16

cdef struct pagevec_t:
    uint32_t nr
    uint32_t pfn[16]

cdef struct machine_t:
    # -- hot: read by every touch
    uint64_t *ptes          # POOL_PTE base; pte index i is ptes[i]
    frame_t *frames
    uint32_t *mapcount
    table_t *tables
    vma_t *vmas
    mm_t *mms
    task_t *tasks
    file_t *files
    anon_vma_t *anon_vmas
    anonmm_t *anonmms
    avc_t *avcs
    uint32_t *chains        # POOL_PTE_CHAIN base; node n starts at chains[n * chain_words]
    lru_chunk_t *lru_chunks
    radix_node_t *radix
    swap_slot_t *swap_slots
    uint64_t *page_token
    uint64_t *slot_token
    slab_t *slabs
    event_t *events
    swap_word_t *swap_words
    uint64_t *swap_any
    uint64_t *swap_full
    uint64_t *scratch
    uint32_t pt_shift       # rules.pt_shift
    uint32_t pt_mask        # (1 << pt_shift) - 1
    uint32_t levels
    uint32_t leaf_shift     # log2 bytes that a leaf table covers
    uint32_t table_epoch    # bumped when a table page is freed: remembered pte indexes are void
    span_t spans[256]       # of leaf_lookup; hints, by hash
    uint32_t tokens_on      # 1 after the first write()
    uint32_t zero_pfn
    uint32_t chain_words    # u32 words of a chain node = nrpte + 1
    uint32_t nrpte
    uint32_t chain_spare    # one-deep per-CPU cache of chain nodes
    const rmap_ops *rmap
    const i_mmap_ops *i_mmap
    const reclaim_ops *reclaim
    const mm_calls *calls
    up_ops up
    # -- who runs
    uint32_t current        # pid whose call this is, 0 = none
    uint32_t pf             # PF_*
    uint32_t host_error     # HOST_*, set at a safe point; the call unwinds and the boundary raises
    uint32_t bug            # id of the first broken invariant, 0 = none (check_ids.pxd)
    uint64_t bug_arg[3]
    uint64_t scan_serial    # reclaim runs begun; between two of them tasks may touch memory
    uint32_t kswapd_awake
    uint32_t in_kswapd
    uint64_t poll_count
    uint64_t poll_ptes      # RMAP_PTES_EXAMINED at the last look at the host's signals
    # -- time
    uint64_t now            # ns
    uint64_t event_seq
    uint64_t nr_events      # in the heap
    uint32_t due_head       # ring of due events
    uint32_t due_nr
    uint32_t due_arg[4096]
    device_t devices[4]
    # -- memory
    uint64_t nr_frames      # max pfn (frames of RAM)
    uint64_t total_pages    # pages that the page cache could use, at boot
    uint32_t nr_zones
    uint32_t min_free_kbytes
    zone_t zones[3]
    lruvec_t lruvecs[3]
    pagevec_t lru_add
    pagevec_t lru_add_active
    cache_t caches[13]
    uint64_t lowmem_used[16]        # frames by LEDGER_* consumer (slab.pxd)
    uint64_t any_used[16]
    uint64_t peak_used[16]
    uint64_t low_peak_used[16]      # the same of low memory
    uint64_t low_refused[16]        # allocations that ALLOC_REFUSALS counts, by who asked (1.8)
    # -- swap
    swap_area_t swap[32]
    int32_t swap_head       # first area in priority order, -1 = none
    int32_t swap_next       # where the next allocation looks first
    uint32_t nr_swapfiles
    int32_t least_priority
    uint64_t nr_swap_pages  # free slots
    uint64_t total_swap_pages
    uint64_t nr_swapcache   # pages in the swap cache
    uint64_t slots_used     # global slots handed to areas (bump)
    # -- page cache
    uint64_t nr_pagecache   # pages in page and swap caches
    uint64_t nr_mapped_pages
    uint64_t nr_dirty
    uint64_t nr_writeback
    # -- processes
    uint32_t mmlist         # first mm of the ring, 0 = none
    uint32_t mmlist_nr      # mms on it
    uint32_t swap_mm        # 2.4: where swap_out is on the ring; 0 = at init_mm, which stands before the first
    uint32_t reap_next      # 2.4: the slab cache that kmem_cache_reap looks at next
    uint64_t kswapd_until   # 2.4: kswapd found nothing to free and sleeps
    uint32_t nr_tasks       # alive
    uint64_t committed      # vm_committed_space, pages
    # -- oom
    uint64_t oom_first, oom_last, oom_lastkill, oom_count
    uint32_t livelock       # out_of_memory is asked where the kernel would loop for ever: it kills all the same
    # -- tunables, by the kernel's names
    uint32_t swappiness
    uint32_t page_cluster
    uint32_t overcommit_memory
    uint32_t overcommit_ratio
    uint32_t lower_zone_protection
    uint32_t max_map_count
    uint32_t fault_around_bytes     # a power of two
    uint32_t stack_guard_gap        # pages
    uint32_t read_ahead_pages       # read_ahead_kb of the disk
    uint32_t disable_cap_mlock      # -aa's sysctl of 2004: mlock needs no capability
    uint64_t mmap_min_addr          # bytes
    uint64_t admin_reserve_kbytes   # overcommit_memory 2 of today
    uint64_t user_reserve_kbytes
    uint64_t seed
    uint64_t trylock_state  # test builds of a machine: splitmix64 state; 0 = trylocks never fail
    uint32_t trylock_rate   # failures per 1024
    uint32_t arch           # ARCH_* of records.py
    kernel_rules rules
    uint64_t counters[256]
    uint64_t ram_bytes
    pool_t pools[23]
