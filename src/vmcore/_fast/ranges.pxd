# Where the closed range [first, last] of a tree node is, as data: the trees over ranges (interval_tree, prio_tree)
# serve vmas, links that name a vma, and plain intervals, and read the range from the object itself, so that no copy can
# go stale.
#
#   record of node n:   n itself, or the u32 at via + n * via_stride if `via` is set (an avc names its vma)
#   first:              its u64 at `first`
#   last:               first + ((hi - lo) >> shift) - less, with the u64 at `lo` and `hi`
#
# A vma has first = pgoff, lo = start, hi = end, shift = PAGE_SHIFT, less = 1; a plain interval lo = first, hi = last
# and nothing to shift or subtract.
#
# Queries are inline functions over a view that their caller has just filled with constants: the compiler folds both,
# and what remains is code for that one record.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport PAGE_SHIFT, machine_t, vma_t

cdef struct range_view:
    char *base
    uint64_t stride
    char *via               # NULL: a node is its own record
    uint64_t via_stride
    uint64_t first          # offsets in the record
    uint64_t lo
    uint64_t hi
    uint32_t shift
    uint32_t less

cdef inline char *range_record(const range_view *r, uint32_t node) noexcept nogil:
    if r.via != NULL:
        node = (<uint32_t *>(r.via + node * r.via_stride))[0]
    return r.base + node * r.stride

cdef inline uint64_t record_first(const range_view *r, char *record) noexcept nogil:
    return (<uint64_t *>(record + r.first))[0]

cdef inline uint64_t record_last(const range_view *r, char *record) noexcept nogil:
    cdef uint64_t span = (<uint64_t *>(record + r.hi))[0] - (<uint64_t *>(record + r.lo))[0]
    return record_first(r, record) + (span >> r.shift) - r.less

cdef inline uint64_t range_first(const range_view *r, uint32_t node) noexcept nogil:
    return record_first(r, range_record(r, node))

cdef inline uint64_t range_last(const range_view *r, uint32_t node) noexcept nogil:
    return record_last(r, range_record(r, node))

cdef inline void vma_ranges(range_view *r, machine_t *m) noexcept nogil:
    """The pages of its object that a vma covers: nodes are vmas."""
    cdef vma_t *v = m.vmas
    r.base = <char *>v
    r.stride = sizeof(vma_t)
    r.via = NULL
    r.via_stride = 0
    r.first = <uint64_t>(<char *>&v.pgoff - <char *>v)
    r.lo = <uint64_t>(<char *>&v.start - <char *>v)
    r.hi = <uint64_t>(<char *>&v.end - <char *>v)
    r.shift = PAGE_SHIFT
    r.less = 1
