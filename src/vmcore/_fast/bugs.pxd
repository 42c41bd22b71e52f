# Broken invariants: the kernel's BUG_ON. bug() notes the first one with up to three numbers; the boundary raises
# vmcore.KernelBug with the name from BUG_NAMES (bugs.pyx) as soon as the call returns.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    BUG_NONE = 0
    BUG_UNMAP_NOT_LOCKED        # try_to_unmap: page not locked
    BUG_UNMAP_RESERVED
    BUG_UNMAP_NO_MAPPING        # pte_chain: page->mapping NULL in try_to_unmap
    BUG_UNMAP_NO_MM             # pte page without mm
    BUG_UNMAP_VM_RESERVED       # -aa1: vma is VM_RESERVED
    BUG_UNMAP_ANON_NOT_SWAPCACHE
    BUG_ANON_VMA_EMPTY          # anon walk: list empty
    BUG_ANON_VMA_MISSING        # anonymous page added to a vma without anon_vma, or that is not in its group's tree
    # first anonymous mapping, mapping already set; or later mapping with another object or index
    BUG_RMAP_ADD_ANON_MAPPING
    BUG_RMAP_ADD_FILE_ANON      # file page with PG_anon, in swap cache or without mapping (-aa)
    BUG_RMAP_REMOVE_UNMAPPED    # mapcount is 0
    BUG_NOPAGE_RESULT           # -aa: nopage returned a page that breaks the VM_RESERVED rule
    BUG_FREE_MAPPED             # page freed while mapped, in a cache, on a list
    BUG_FREE_ANON               # PG_anon still set in free_pages (-aa)
    BUG_DOUBLE_FREE
    BUG_MERGE_ANON_VMA          # merging vmas with different anon_vmas
    BUG_VMA_OVERLAP             # inserted vma overlaps
    BUG_EXIT_MMAP_COUNT         # map_count != 0 after exit_mmap
    BUG_LRU_FLAG                # PG_lru not as it must be in isolate/putback
    BUG_SWAP_CACHE_DELETE       # not locked, not in the swap cache, under writeback
    BUG_SWAP_FREE               # swap_free of a free slot
    BUG_SHMEM_WRITEPAGE         # mapped, unlocked, or entry not empty
    BUG_PTE_NOT_NONE            # a pte written over
    BUG_PAGE_CACHE_MAPPED       # page cache page removed while mapped
    BUG_FAULT_LOOP              # an access faulted again and again without getting its pte
    BUG_I_MMAP_TREE             # prio_tree: two different ranges at one place, or a set of unequal ones
    BUG_UNMAP_UNMAPPED          # anonmm: try_to_unmap of a page that nothing maps
    BUG_ANONMM_HEAD_COUNT       # the count of a head reached 0: it lost the reference of being head
    BUG_ANONMM_HEAD_MEMBERS     # a head goes while its group has members, or a group while vmas are in its tree
    BUG_ANONMM_LOST             # page_referenced: a group does not have as many ptes as the page, and no lock was busy
    BUG_ANON_TREE               # fork_tree: two different ranges at one place
    BUG_NONLINEAR_ANON          # 2.6.7, anonmm: an anonymous page in a nonlinear vma
    BUG_FORK_UNMAPPED           # -aa: fork copies a pte of a page that counts as mapped nowhere
    BUG_OOM_NO_VICTIM           # out of memory, and no task that could be killed: the kernel panics
    NR_BUGS

cdef void bug(machine_t *m, int id, uint64_t a, uint64_t b, uint64_t c) noexcept nogil
