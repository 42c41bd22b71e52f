# The vmas of an mm: find, link, split, and the search for a gap. mm/mmap.c of 2.6.5; fact sheet linux-2004 6.1,
# 6.2.
#
# vmas are on an address-ordered list (next/prev, mm.mmap first) and an rbtree (mm.rb_root). mm.total_vm and locked_vm
# are the callers' business except where said.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport (
    FILE_REGULAR, PTE_A, PTE_P, PTE_PROTNONE, PTE_RW, PTE_USER, VM_EXEC, VM_GROWSDOWN, VM_PKEY, VM_READ, VM_SHARED,
    VM_WRITE, machine_t, vma_t)

cdef inline uint64_t vma_pte_prot(uint32_t vm_flags) noexcept nogil:
    """Protection bits of a fresh pte (protection_map): young; read-only in private vmas, where a write must copy first.
    On i386 and x86_64 of the day any right implies the right to read."""
    if (vm_flags & (VM_READ | VM_WRITE | VM_EXEC)) == 0:
        return PTE_PROTNONE | PTE_A
    if (vm_flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE):
        return PTE_P | PTE_USER | PTE_A | PTE_RW
    return PTE_P | PTE_USER | PTE_A

cdef inline int is_data_mapping(uint32_t flags) noexcept nogil:
    """What RLIMIT_DATA of today counts: private, writable, no stack."""
    return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) == VM_WRITE

cdef inline void vm_stat_account(machine_t *m, uint32_t mm, uint32_t flags, uint64_t pages) noexcept nogil:
    """So many pages more (a negative number: less) are mapped by vmas of these flags."""
    m.mms[mm].total_vm += pages
    if is_data_mapping(flags):
        m.mms[mm].data_vm += pages

cdef inline uint64_t vma_page_prot(machine_t *m, uint32_t vma) noexcept nogil:
    """The same for a linked vma: with rules.write_notify a shared pte of a regular file gets the right to write only
    from the fault that says so to the file system."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t bits = vma_pte_prot(v.flags)
    if m.rules.exec_only and v.flags & VM_PKEY:
        return PTE_PROTNONE | PTE_A         # nothing that this engine does is a fetch
    if bits & PTE_RW and m.rules.write_notify and v.file != 0 and m.files[v.file].kind == FILE_REGULAR:
        bits &= ~<uint64_t>PTE_RW
    return bits

# First vma with end > addr (it may start above addr), 0 if none. Uses and sets mm.mmap_cache; counts find_vma_*.
cdef uint32_t find_vma(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil
# The same without cache or counts, and the vma before it in *prev.
cdef uint32_t find_vma_prev(machine_t *m, uint32_t mm, uint64_t addr, uint32_t *prev) noexcept nogil
# First vma that intersects [start, end).
cdef uint32_t find_vma_intersection(machine_t *m, uint32_t mm, uint64_t start, uint64_t end) noexcept nogil
# A fresh vma record with its slab object; 0 = ENOMEM. All fields zero.
cdef uint32_t vma_alloc(machine_t *m) noexcept nogil
cdef void vma_free(machine_t *m, uint32_t vma) noexcept nogil
# Link a filled vma into list, tree and its file's index (file.refs + 1); map_count + 1. BUG_VMA_OVERLAP.
cdef void vma_link(machine_t *m, uint32_t mm, uint32_t vma) noexcept nogil
# A linked vma's place among the vmas of its file: in m.i_mmap, or at the tail of the file's nonlinear ones
# (rules.nonlinear_list). fork: right beside the parent.
cdef void index_insert(machine_t *m, uint32_t vma) noexcept nogil
cdef void index_insert_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil
cdef void index_remove(machine_t *m, uint32_t vma) noexcept nogil
# Take a vma out of list and tree only; map_count - 1. vma_detach (munmap) forgets mmap_cache as well.
cdef void unlink_list_tree(machine_t *m, uint32_t vma) noexcept nogil
cdef void vma_detach(machine_t *m, uint32_t vma) noexcept nogil
# remove_vma: out of file index and rmap object, file reference dropped, record freed. The vma is detached.
cdef void vma_destroy(machine_t *m, uint32_t vma) noexcept nogil
# Split at addr (strictly inside). new_below: the new vma is the lower part, else the upper. Returns the new vma, 0 =
# ENOMEM (map_count or memory).
cdef uint32_t split_vma(machine_t *m, uint32_t vma, uint64_t addr, int new_below) noexcept nogil
# The same without a look at map_count: an munmap of today may go over the limit on its way down.
cdef uint32_t split_vma_anyway(machine_t *m, uint32_t vma, uint64_t addr, int new_below) noexcept nogil
# Lowest free address for len bytes as get_unmapped_area of 2.6.5 finds it; negative errno as a huge u64 (see
# IS_ERR_VALUE in mmap.pxd).
cdef uint64_t get_unmapped_area(machine_t *m, uint32_t mm, uint64_t hint, uint64_t length, int fixed) noexcept nogil

cdef enum:
    HOLES_END = 0           # -ENOMEM at the first hole
    HOLES_LATER = 1         # the walk goes on behind holes, and is -ENOMEM at the end if there were any

# Visit what each vma has of [start, end), by address; the visit may move its *end up (a merge took in what follows).
# One that returns less than 0 ends the walk. After each vma is a safe point.
ctypedef int (*vma_visit)(machine_t *m, uint32_t vma, uint64_t start, uint64_t *end, int how) noexcept nogil
cdef int walk_vmas(machine_t *m, uint32_t mm, uint64_t start, uint64_t end, int holes, vma_visit visit,
                   int how) noexcept nogil

# ---- borders of linked vmas
# Move start, end and pgoff of a linked vma (order among its neighbours unchanged): out of its file's index, changed,
#   back in.
cdef void vma_set_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, uint64_t pgoff) noexcept nogil
