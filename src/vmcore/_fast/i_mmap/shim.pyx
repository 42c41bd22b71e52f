"""Test shim: asks the index of a file directly. Imported by tests only."""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.core cimport Core
from vmcore._fast.counters cimport I_MMAP_NODES_VISITED
from vmcore._fast.records cimport POOL_FILE, i_mmap_iter, machine_t


def _py_query(Core engine, uint32_t file, uint64_t first, uint64_t last):
    """(vmas that cover a page of [first, last], in the index's order, nodes visited)"""
    cdef machine_t *m = engine.enter(0)
    cdef i_mmap_iter it
    cdef uint64_t before = m.counters[<int>I_MMAP_NODES_VISITED]
    cdef uint32_t vma = 0
    out = []
    if file != 0 and file < m.pools[<int>POOL_FILE].next:
        vma = m.i_mmap.first(m, file, first, last, &it)
    while vma != 0:
        out.append(vma)
        vma = m.i_mmap.next(m, &it)
    visited = m.counters[<int>I_MMAP_NODES_VISITED] - before
    engine.leave(0, -1)
    return out, visited


def _py_bits(Core engine, uint32_t file):
    """index_bits of a file's prio_tree."""
    cdef machine_t *m = engine.enter(0)
    bits = m.files[file].i_mmap_bits if file < m.pools[<int>POOL_FILE].next else 0
    engine.leave(0, -1)
    return bits
