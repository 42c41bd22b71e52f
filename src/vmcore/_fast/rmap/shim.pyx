"""Test shim: the two questions of reclaim about one page. Imported by tests only."""
from libc.stdint cimport uint32_t

from vmcore._fast.core cimport Core
from vmcore._fast.records cimport PG_ANON, PG_LOCKED, PG_SWAPCACHE, machine_t
from vmcore._fast.swap cimport add_to_swap


def _py_referenced(Core engine, uint32_t pfn):
    """page_referenced of the machine's design."""
    cdef machine_t *m = engine.enter(0)
    cdef int n = -1
    if pfn != 0 and pfn < m.nr_frames:
        n = m.rmap.page_referenced(m, pfn)
    engine.leave(0, -1)
    return n


def _py_unmap(Core engine, uint32_t pfn, bint lock=True, bint swap=True):
    """try_to_unmap as shrink_list calls it: of a locked page, with a slot if it is anonymous. lock, swap: without them
    it is a bug that the design must see."""
    cdef machine_t *m = engine.enter(0)
    cdef int r = -1
    if pfn != 0 and pfn < m.nr_frames:
        if lock:
            m.frames[pfn].flags |= <uint32_t>PG_LOCKED
        if swap and (m.frames[pfn].mapping == 0 or m.frames[pfn].flags & <uint32_t>PG_ANON):
            if not m.frames[pfn].flags & <uint32_t>PG_SWAPCACHE:
                add_to_swap(m, pfn)
        r = m.rmap.try_to_unmap(m, pfn)
        m.frames[pfn].flags &= ~<uint32_t>PG_LOCKED
    engine.leave(0, -1)
    return r
