# The counts. One u64 each in machine.counters, exact and the same on every host; names in COUNTER_NAMES (counters.pyx),
# which Machine.vmstat() shows. The first block has the order of /proc/vmstat of 2.6.5 (fact sheet linux-2004 9.1) after
# the six nr_*.
from libc.stdint cimport uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    PGPGIN = 0
    PGPGOUT
    PSWPIN
    PSWPOUT
    PGALLOC_HIGH
    PGALLOC_NORMAL
    PGALLOC_DMA
    PGFREE
    PGACTIVATE
    PGDEACTIVATE
    PGFAULT
    PGMAJFAULT
    PGREFILL_HIGH
    PGREFILL_NORMAL
    PGREFILL_DMA
    PGSTEAL_HIGH
    PGSTEAL_NORMAL
    PGSTEAL_DMA
    PGSCAN_KSWAPD_HIGH
    PGSCAN_KSWAPD_NORMAL
    PGSCAN_KSWAPD_DMA
    PGSCAN_DIRECT_HIGH
    PGSCAN_DIRECT_NORMAL
    PGSCAN_DIRECT_DMA
    PGINODESTEAL
    SLABS_SCANNED
    KSWAPD_STEAL
    KSWAPD_INODESTEAL
    PAGEOUTRUN
    ALLOCSTALL
    PGROTATED
    # ours: touches
    TOUCHES                     # accesses executed
    TOUCH_HITS                  # of these, served by a present pte that allows them
    # faults
    FAULT_ZERO_PAGE             # read faults that mapped the zero page
    FAULT_ANON                  # first writes to untouched anonymous memory
    FAULT_FILE                  # do_no_page on a file
    FAULT_EARLY_COW             # write fault on a private file page that was copied before it was mapped
    FAULT_SWAP                  # do_swap_page
    FAULT_SWAP_CACHE_HIT        # of these, found in the swap cache
    FAULT_SPURIOUS_WRITE        # second fault of 2.6.5: write to a page just swapped in read-only
    FAULT_AROUND_PAGES          # pages mapped by read faults on files besides, or with, their own
    FAULT_NOTIFY                # first writes to shared pages of regular files
    FAULT_GUARD                 # accesses to guard markers
    FAULT_SEGV
    FAULT_SIGBUS
    STACK_GROWTHS
    COW_COPIES
    COW_REUSES
    COW_ZERO                    # copies whose source was the zero page
    # fork
    FORKS
    FORK_VMAS
    FORK_PTES_COPIED            # entries copied, present and swap
    FORK_TABLES                 # leaf tables made for children
    FORK_VMAS_SKIPPED           # vmas whose page tables were not copied, having no anonymous pages
    EXECS
    EXITS
    VMAS_ALLOCATED              # vm_area_structs made, by whatever call
    ZAP_PTES                    # entries taken out of page tables by munmap, exec, exit, truncate
    GUARD_MARKERS               # put into ptes by MADV_GUARD_INSTALL
    PGLAZYFREE                  # pages that MADV_FREE made clean and not swap-backed
    PGLAZYFREED                 # of these, dropped by reclaim
    # mremap
    MREMAP_MOVES                # mappings that went to another address
    MREMAP_PTES_MOVED           # entries moved there, those that came back after a failure not counted
    MREMAP_COWS                 # pages copied because their sharing had to be broken before they could move
    MREMAP_UNDONE               # moves that failed on the way, and went back
    # nonlinear mappings
    REMAP_FILE_PAGES            # calls that passed their checks
    REMAP_CURSOR_REFUSED        # calls that 2.6.7 refused because reclaim's scan had left a cursor in the vma
    POPULATE_PAGES              # pages mapped without a fault of their own, and by faults on file ptes
    POPULATE_FILE_PTES          # file ptes put where the page was not cached
    FAULT_NONLINEAR             # faults on file ptes that populate served
    TRUNCATE_ORPHANS            # pages beyond the new end that the kernel's walk over linear ranges has missed
    RMAP_NONLINEAR_SCANS        # scans and walks of nonlinear vmas in reclaim
    RMAP_NONLINEAR_CLUSTERS
    RMAP_NONLINEAR_PTES         # present ptes looked at there
    RMAP_NONLINEAR_UNMAPPED     # of these, taken down
    RMAP_NONLINEAR_UNFOUND      # walks that ended with the page mapped somewhere in a nonlinear vma
    # reverse map
    RMAP_PAGES_WALKED           # calls of page_referenced and try_to_unmap on a mapped page
    RMAP_PTES_EXAMINED
    RMAP_VMAS_VISITED
    RMAP_MMS_VISITED            # page tables looked up for a page (one per vma in range)
    RMAP_NODES_ALLOCATED        # pte_chain nodes linked
    RMAP_NODES_FREED
    RMAP_CHAIN_CONVERSIONS      # direct -> chain
    RMAP_CHAIN_COLLAPSES        # chain -> direct
    RMAP_CHAIN_SLOTS_SEARCHED   # slots looked at by remove
    RMAP_CHAIN_ADDS             # ptes put into a node: not the first of a page, which is direct
    RMAP_CHAIN_NODES_SEARCHED   # nodes, and so cache lines, looked at by remove
    RMAP_RANGE_SKIPS            # vmas on the list that do not cover the page
    RMAP_TRYLOCK_FAILS
    RMAP_UNMAP_SUCCESS
    RMAP_UNMAP_AGAIN
    RMAP_UNMAP_FAIL
    ANON_VMAS_ALLOCATED
    ANON_VMAS_FREED
    # reverse map by fork groups
    RMAP_GROUP_MMS              # mms that the groups of walked anonymous pages have, summed over the walks
    RMAP_MMS_SKIPPED            # anonmm: members passed over, because the mm is gone or maps nothing
    RMAP_SHORTCUT_HITS          # anonmm: walks by page_referenced that ended at the page's own mm
    RMAP_MIGRATIONS             # anonmm: pages whose mm is gone, handed on to a relative
    RMAP_INDEX_UPDATES          # anonmm: pages that mremap moved alone
    RMAP_MISPLACED_COPIES       # pages copied at swap-in or swapoff, because a relative has them at another address
    RMAP_CANDIDATES_MISSED      # fork_tree: vmas that cover a page's offset and do not map it
    ANONMMS_ALLOCATED           # anonmms, or fork groups
    ANONMMS_FREED
    ANONMM_GROUP_MAX            # mms of the largest group there was
    ANON_TREE_LOOKUPS           # fork_tree: walks
    ANON_TREE_NODES_VISITED
    ANON_TREE_INSERTS
    ANON_TREE_REMOVES
    ANON_TREE_DUPLICATES        # vmas that went into a vm_set
    ANON_TREE_EXPANSIONS        # index_bits grew for a vma
    ANON_TREE_PROMOTIONS        # the head of a vm_set took the place of its tree node
    ANON_VMAS_ADOPTED           # vmas that took the anon_vma of a mergeable neighbour
    ANON_VMAS_REUSED            # forks of a vma that took an anon_vma of an ancestor
    ANON_VMA_CHAINS_ALLOCATED              # anon_vma_chains: links of a vma to an anon_vma
    ANON_VMA_CHAINS_FREED
    ANON_VMA_NODES_VISITED      # links, or tree nodes, that queries of an anon_vma looked at
    RMAP_PAGES_CLAIMED          # exclusive pages that went to their vma's own anon_vma
    RMAP_EMPTY_MM_SKIPS         # vmas passed over because their mm has rss 0
    RMAP_FAIL_LOCKED            # why try_to_unmap failed: VM_LOCKED, young, held by get_user_pages
    RMAP_FAIL_YOUNG
    RMAP_FAIL_GUP
    # indexes
    I_MMAP_LOOKUPS
    I_MMAP_NODES_VISITED
    I_MMAP_INSERTS              # vmas that came into their file's index, by fork or after a change of a border too
    I_MMAP_REMOVES
    I_MMAP_INSERT_STEPS         # nodes compared on the way down; the next seven are prio_counts (prio_tree.pxd)
    I_MMAP_REMOVE_STEPS         # prio_tree: nodes on the way to the leaf that goes in place of the vma
    I_MMAP_EXPANSIONS           # prio_tree: index_bits grew for a vma
    I_MMAP_ROOTS_MOVED          # ... and so many old roots went to the left spine
    I_MMAP_DUPLICATES           # prio_tree: vmas that went into a vm_set
    I_MMAP_SETS_MADE            # ... of these, as its first member
    I_MMAP_PROMOTIONS           # prio_tree: the head of a vm_set took the place of its tree node
    FIND_VMA_CALLS
    FIND_VMA_CACHE_HITS
    FIND_VMA_STEPS              # tree nodes visited
    VMA_MERGES
    VMA_SPLITS
    VMA_MERGES_REFUSED_PGOFF
    VMA_MERGES_REFUSED_ANON_VMA
    # page cache and swap
    FILEMAP_READS               # pages read by nopage, readaround included
    FILEMAP_WRITES              # dirty file pages written back
    SHMEM_SWIZZLE_OUT
    SHMEM_SWIZZLE_IN
    SWAP_CACHE_ADD
    SWAP_CACHE_DEL
    SWAP_CACHE_FIND
    SWAP_CACHE_FIND_SUCCESS
    SWAP_READAHEAD              # pages read by swapin_readahead beside the wanted one
    SWAP_SLOTS_ALLOCATED
    SWAP_CLUSTER_SEARCHES       # scans for 256 free slots
    SWAP_SLOTS_SCANNED          # slots looked at by the allocator
    SWAPOFF_PTES_COMPARED
    SWAPOFF_MMS_SEARCHED
    # reclaim decisions of shrink_list
    RECLAIM_ACTIVATE_REFERENCED
    RECLAIM_ACTIVATE_UNMAP
    RECLAIM_ACTIVATE_NOSWAP
    RECLAIM_ACTIVATE_WRITEPAGE
    RECLAIM_KEEP_LOCKED
    RECLAIM_KEEP_WRITEBACK
    RECLAIM_KEEP_AGAIN
    RECLAIM_KEEP_DIRTY
    RECLAIM_KEEP_COUNT
    RECLAIM_PRIORITY_MIN        # 12 - lowest priority reached
    # reclaim of 2.4
    SWAP_OUT_CALLS
    SWAP_OUT_FAILS              # of these, gave up: two visits to every mm did not free 32 pages
    SWAP_OUT_MMS                # mm switches
    SWAP_OUT_LAPS               # times round the ring of mms
    SWAP_OUT_PTES               # ptes visited, empty ones included
    SWAP_OUT_YOUNG              # of these, young
    SWAP_OUT_DROPPED            # ptes taken down
    SWAP_OUT_FREEABLE           # of these, nobody else maps the page
    SWAP_OUT_SLOTS              # pages that got a swap slot for it
    RECLAIM_ZONE_SKIPS          # pages of the global inactive list that are not of the class
    RECLAIM_MAPPED              # pages of the inactive list that somebody maps or holds
    RECLAIM_LAUNDER_WAITS       # waits for a page's write to end
    RECLAIM_ROUNDS_FAILED       # 60 passes that did not free 32 pages
    SLAB_REAPED                 # pages that kmem_cache_reap gave back
    # memory
    ALLOC_FAILURES
    ALLOC_REFUSALS              # low memory had nothing after reclaim, or a task was killed, while high memory was free
    ALLOC_LIVELOCK              # allocations that the kernel would have retried for ever
    OOM_CALLS
    OOM_KILLS
    SLAB_PAGES_ALLOCATED
    SLAB_PAGES_FREED
    NR_COUNTERS

cdef inline void count(machine_t *m, int c) noexcept nogil:
    m.counters[c] += 1

cdef inline void count_n(machine_t *m, int c, uint64_t n) noexcept nogil:
    m.counters[c] += n

# Per-zone counters stand in the order high, normal, dma: `base` is the _HIGH one.
cdef inline void count_zone(machine_t *m, int base, int zone, uint64_t n) noexcept nogil:
    m.counters[base + 2 - zone] += n
