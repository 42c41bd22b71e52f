"""Broken invariants: bug() notes the first one, BUG_NAMES names it for vmcore.KernelBug. The list stands in bugs.pxd;
fact sheet linux-2004 12.1 says where each kernel asserts it.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_NONE, NR_BUGS
from vmcore._fast.records cimport machine_t

# names of the enum in bugs.pxd, in its order
BUG_NAMES = (
    "none", "unmap_not_locked", "unmap_reserved", "unmap_no_mapping", "unmap_no_mm", "unmap_vm_reserved",
    "unmap_anon_not_swapcache", "anon_vma_empty", "anon_vma_missing", "rmap_add_anon_mapping", "rmap_add_file_anon",
    "rmap_remove_unmapped", "nopage_result", "free_mapped", "free_anon", "double_free", "merge_anon_vma",
    "vma_overlap", "exit_mmap_count", "lru_flag", "swap_cache_delete", "swap_free", "shmem_writepage", "pte_not_none",
    "page_cache_mapped", "fault_loop", "i_mmap_tree", "unmap_unmapped", "anonmm_head_count", "anonmm_head_members",
    "anonmm_lost", "anon_tree", "nonlinear_anon", "fork_unmapped", "oom_no_victim",
)

if len(BUG_NAMES) != NR_BUGS:
    raise ImportError(f"BUG_NAMES has {len(BUG_NAMES)} names, the enum {NR_BUGS} bugs")


cdef void bug(machine_t *m, int id, uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    if m.bug != BUG_NONE:
        return          # what follows the first broken invariant is mostly its consequence
    m.bug = <uint32_t>id
    m.bug_arg[0] = a
    m.bug_arg[1] = b
    m.bug_arg[2] = c
