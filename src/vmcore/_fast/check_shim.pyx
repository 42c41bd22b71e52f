"""Test shim: damages a machine, so that tests see the check fail. Imported by tests only.

Engine's memory is sealed against Python; this module reaches it through Core. Every damage can be undone by the same
call with the opposite number.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from vmcore._fast.core cimport Core
from vmcore._fast.reclaim.swap_out cimport swap_out
from vmcore._fast.records cimport NR_POOLS, PG_LOCKED, machine_t


cdef object field(machine_t *m, str name, int64_t delta):
    """Add to one number of the machine record; returns whether the name is known."""
    if name == "nr_mapped_pages":
        m.nr_mapped_pages += delta
    elif name == "nr_pagecache":
        m.nr_pagecache += delta
    elif name == "nr_swapcache":
        m.nr_swapcache += delta
    elif name == "nr_swap_pages":
        m.nr_swap_pages += delta
    elif name == "nr_dirty":
        m.nr_dirty += delta
    elif name == "nr_writeback":
        m.nr_writeback += delta
    elif name == "nr_tasks":
        m.nr_tasks += <uint32_t>delta
    elif name == "committed":
        m.committed += delta
    elif name == "swap_mm":
        m.swap_mm += <uint32_t>delta
    elif name == "mmlist_nr":
        m.mmlist_nr += <uint32_t>delta
    elif name == "due_nr":
        m.due_nr += <uint32_t>delta
    else:
        return False
    return True


def _py_damage(Core engine, str what, uint64_t index=0, int64_t delta=1, uint64_t which=0):
    """Damage one number of a machine, so that a test sees the check fail; delta -n undoes delta n.

    what: a number of the machine record, or swap.*, zone.*, lru.*, cache.*, ledger, pool.* of number `index` (and
    `which`: order, list, or per-CPU list).
    """
    cdef machine_t *m = engine.m
    cdef uint32_t d = <uint32_t>delta
    if field(m, what, delta):
        return
    if what == "swap.inuse":
        m.swap[index].inuse += d
    elif what == "swap.lowest_bit":
        m.swap[index].lowest_bit += d
    elif what == "swap.map":
        m.swap_slots[index].map += <uint16_t>delta
    elif what == "swap.prio":
        m.swap[index].prio += <int>delta
    elif what == "swap.max":
        m.swap[index].max += d
    elif what == "zone.free_pages":
        m.zones[index].free_pages += delta
    elif what == "zone.area.nr":
        m.zones[index].area[which].nr += d
    elif what == "zone.area.head":
        m.zones[index].area[which].head += d
    elif what == "zone.pcp.count":
        m.zones[index].pcp[which].count += d
    elif what == "zone.nr_lru":
        m.zones[index].nr_lru[which] += delta
    elif what == "zone.bump":
        m.zones[index].bump += d
    elif what == "lru.nr":
        m.lruvecs[index].lists[which].nr += delta
    elif what == "lru.head_chunk":
        m.lruvecs[index].lists[which].head_chunk += d
    elif what == "lru.tail_slot":
        m.lruvecs[index].lists[which].tail_slot += d
    elif what == "cache.active":
        m.caches[index].active += delta
    elif what == "cache.slabs":
        m.caches[index].slabs += delta
    elif what == "ledger":
        m.any_used[index] += delta
    elif what == "pool.live":
        m.pools[index].live += delta
    elif what == "pool.next":
        m.pools[index].next += delta
    elif what == "pool.free":
        m.pools[index].free += d
    else:
        raise ValueError(f"nothing is called {what!r}")


def _py_cap(Core engine, uint64_t pool, uint64_t records):
    """No more than so many further records of a pool can be had from now on, whatever the host has."""
    cdef machine_t *m = engine.m
    if pool >= NR_POOLS or m.pools[pool].next + records > m.pools[pool].limit:
        raise IndexError(f"pool {pool} has granted no {records} records more")
    m.pools[pool].max = m.pools[pool].limit = m.pools[pool].next + records


def _py_try_to_unmap(Core engine, uint32_t pfn):
    """try_to_unmap of one page, which is locked for it: SWAP_SUCCESS 0, SWAP_AGAIN 1, SWAP_FAIL 2."""
    cdef machine_t *m = engine.m
    cdef int r
    if pfn == 0 or pfn >= m.nr_frames or m.mapcount[pfn] == 0 or m.frames[pfn].flags & PG_LOCKED:
        raise ValueError(f"page {pfn} is not mapped, or locked")
    m.frames[pfn].flags |= PG_LOCKED
    r = m.rmap.try_to_unmap(m, pfn)
    m.frames[pfn].flags &= ~<uint32_t>PG_LOCKED
    return r


def _py_poke(Core engine, uint64_t pool, uint64_t index, uint64_t offset, uint64_t size, value=None):
    """The u16, u32 or u64 at byte `offset` of record `index` of a pool as it was; a value is written there."""
    cdef machine_t *m = engine.m
    cdef char *at
    cdef uint64_t old
    if pool >= NR_POOLS or index >= m.pools[pool].max or offset + size > m.pools[pool].stride:
        raise IndexError(f"pool {pool}, record {index}, bytes {offset} to {offset + size}")
    at = m.pools[pool].base + index * m.pools[pool].stride + offset
    if size == 2:
        old = (<uint16_t *>at)[0]
        if value is not None:
            (<uint16_t *>at)[0] = value
    elif size == 4:
        old = (<uint32_t *>at)[0]
        if value is not None:
            (<uint32_t *>at)[0] = value
    elif size == 8:
        old = (<uint64_t *>at)[0]
        if value is not None:
            (<uint64_t *>at)[0] = value
    else:
        raise ValueError(f"size {size} is not 2, 4 or 8")
    return old


def _py_swap_out(Core engine, int classzone):
    """One call of 2.4's swap_out for a class."""
    return swap_out(engine.m, classzone)
