# pte_chain (2.6.0 to 2.6.6): every page knows its ptes. Fact sheet linux-2004 2.2 has the structure, invariants and
# golden example. frame.rmap: one pte index with PG_DIRECT, or the head node. Node n: chains[n * chain_words] =
# next << 5 | idx, then nrpte slots.
from libc.stdint cimport uint32_t
from vmcore._fast.records cimport machine_t, rmap_ops

cdef const rmap_ops *pte_chain_ops() noexcept nogil
# Entries of a page's chain in order (head node from its idx up, then the next nodes) into out; returns how many. For
# check and tests.
cdef uint32_t pte_chain_list(machine_t *m, uint32_t pfn, uint32_t *out, uint32_t max) noexcept nogil
cdef uint32_t pte_chain_nodes(machine_t *m, uint32_t pfn) noexcept nogil
