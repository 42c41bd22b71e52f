"""COUNTER_NAMES: the counts of machine.counters, by index. What each one counts stands in counters.pxd.

The first block has the names and the order of /proc/vmstat of 2.6.5 after its six nr_* lines (fact sheet linux-2004
9.1).
"""
from vmcore._fast.counters cimport NR_COUNTERS
from vmcore._fast.records cimport MAX_COUNTERS

# names of the enum in counters.pxd, in its order
COUNTER_NAMES = (
    "pgpgin", "pgpgout", "pswpin", "pswpout", "pgalloc_high", "pgalloc_normal", "pgalloc_dma", "pgfree", "pgactivate",
    "pgdeactivate", "pgfault", "pgmajfault", "pgrefill_high", "pgrefill_normal", "pgrefill_dma", "pgsteal_high",
    "pgsteal_normal", "pgsteal_dma", "pgscan_kswapd_high", "pgscan_kswapd_normal", "pgscan_kswapd_dma",
    "pgscan_direct_high", "pgscan_direct_normal", "pgscan_direct_dma", "pginodesteal", "slabs_scanned",
    "kswapd_steal", "kswapd_inodesteal", "pageoutrun", "allocstall", "pgrotated", "touches", "touch_hits",
    "fault_zero_page", "fault_anon", "fault_file", "fault_early_cow", "fault_swap", "fault_swap_cache_hit",
    "fault_spurious_write", "fault_around_pages", "fault_notify", "fault_guard", "fault_segv", "fault_sigbus",
    "stack_growths", "cow_copies", "cow_reuses", "cow_zero",
    "forks", "fork_vmas", "fork_ptes_copied", "fork_tables", "fork_vmas_skipped", "execs", "exits", "vmas_allocated",
    "zap_ptes", "guard_markers", "pglazyfree", "pglazyfreed", "mremap_moves", "mremap_ptes_moved", "mremap_cows",
    "mremap_undone", "remap_file_pages",
    "remap_cursor_refused", "populate_pages", "populate_file_ptes", "fault_nonlinear", "truncate_orphans",
    "rmap_nonlinear_scans", "rmap_nonlinear_clusters", "rmap_nonlinear_ptes", "rmap_nonlinear_unmapped",
    "rmap_nonlinear_unfound",
    "rmap_pages_walked", "rmap_ptes_examined", "rmap_vmas_visited", "rmap_mms_visited", "rmap_nodes_allocated",
    "rmap_nodes_freed", "rmap_chain_conversions", "rmap_chain_collapses", "rmap_chain_slots_searched",
    "rmap_chain_adds", "rmap_chain_nodes_searched", "rmap_range_skips", "rmap_trylock_fails", "rmap_unmap_success",
    "rmap_unmap_again", "rmap_unmap_fail", "anon_vmas_allocated", "anon_vmas_freed", "rmap_group_mms",
    "rmap_mms_skipped", "rmap_shortcut_hits", "rmap_migrations", "rmap_index_updates", "rmap_misplaced_copies",
    "rmap_candidates_missed", "anonmms_allocated", "anonmms_freed", "anonmm_group_max", "anon_tree_lookups",
    "anon_tree_nodes_visited", "anon_tree_inserts", "anon_tree_removes", "anon_tree_duplicates",
    "anon_tree_expansions", "anon_tree_promotions", "anon_vmas_adopted", "anon_vmas_reused",
    "anon_vma_chains_allocated", "anon_vma_chains_freed", "anon_vma_nodes_visited", "rmap_pages_claimed",
    "rmap_empty_mm_skips", "rmap_fail_locked", "rmap_fail_young", "rmap_fail_gup", "i_mmap_lookups",
    "i_mmap_nodes_visited", "i_mmap_inserts", "i_mmap_removes", "i_mmap_insert_steps", "i_mmap_remove_steps",
    "i_mmap_expansions", "i_mmap_roots_moved", "i_mmap_duplicates", "i_mmap_sets_made", "i_mmap_promotions",
    "find_vma_calls", "find_vma_cache_hits", "find_vma_steps", "vma_merges", "vma_splits", "vma_merges_refused_pgoff",
    "vma_merges_refused_anon_vma", "filemap_reads", "filemap_writes", "shmem_swizzle_out", "shmem_swizzle_in",
    "swap_cache_add", "swap_cache_del", "swap_cache_find", "swap_cache_find_success", "swap_readahead",
    "swap_slots_allocated", "swap_cluster_searches", "swap_slots_scanned", "swapoff_ptes_compared",
    "swapoff_mms_searched", "reclaim_activate_referenced", "reclaim_activate_unmap", "reclaim_activate_noswap",
    "reclaim_activate_writepage", "reclaim_keep_locked", "reclaim_keep_writeback", "reclaim_keep_again",
    "reclaim_keep_dirty", "reclaim_keep_count", "reclaim_priority_min", "swap_out_calls", "swap_out_fails",
    "swap_out_mms", "swap_out_laps", "swap_out_ptes", "swap_out_young", "swap_out_dropped", "swap_out_freeable",
    "swap_out_slots", "reclaim_zone_skips", "reclaim_mapped", "reclaim_launder_waits", "reclaim_rounds_failed",
    "slab_reaped", "alloc_failures", "alloc_refusals", "alloc_livelock", "oom_calls", "oom_kills",
    "slab_pages_allocated", "slab_pages_freed",
)

if len(COUNTER_NAMES) != NR_COUNTERS or <int>NR_COUNTERS > <int>MAX_COUNTERS:
    raise ImportError(f"COUNTER_NAMES has {len(COUNTER_NAMES)} names, the enum {NR_COUNTERS} counters")
