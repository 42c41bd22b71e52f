# anon_vma_chains: links of vmas to anon_vmas, many to many, and the index of an anon_vma over its links. mm/rmap.c of
# 2.6.34 and later; fact sheet linux-modern 1.1, 1.2 (I5).
#
# A link is on two containers: the list of its vma (vma.avc, vma_next/prev, newest first) and the index of its anon_vma
# (anon_vma.head): a list in order of arrival (2.6.34), or an interval tree by the pages of the link's vma (3.7;
# anon_vma.leftmost is its first node). rules.avc_tree says which.
#
#   vma child  --avc-->  link  -->  link
#                          |          |          a page of the child's own: 1 link to visit; one that it shares with
#                       anon_vma   anon_vma      its parent: all links of the parent's anon_vma
#                       of child   of parent --> link of vma parent
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.check_base cimport check_t
from vmcore._fast.records cimport machine_t
from vmcore._fast.rmap.anon_walk cimport anon_walk

# A link; 0 = no memory.
cdef uint32_t avc_alloc(machine_t *m) noexcept nogil
cdef void avc_free(machine_t *m, uint32_t avc) noexcept nogil
# Onto the head of vma's list and into the index of a; off the list again (the index has been left).
cdef void avc_link(machine_t *m, uint32_t avc, uint32_t vma, uint32_t a) noexcept nogil
cdef void avc_unlist(machine_t *m, uint32_t avc) noexcept nogil
cdef void avc_insert(machine_t *m, uint32_t avc) noexcept nogil
cdef void avc_remove(machine_t *m, uint32_t avc) noexcept nogil
# 1 if vma has exactly one link.
cdef int avc_singular(machine_t *m, uint32_t vma) noexcept nogil
# The vmas of w.object that may map the page w.index (interval tree), or all (list).
cdef void avc_walk(machine_t *m, anon_walk *w) noexcept nogil
# For check: the structure of the index of a. Links, or -1 after fail(); *active gets how many vmas have a as their own.
cdef int64_t avc_check(check_t *c, uint32_t a, uint64_t *active) noexcept nogil
