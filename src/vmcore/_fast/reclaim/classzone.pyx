"""__alloc_pages of 2.4: watermarks by class. mm/page_alloc.c of 2.4.27; fact sheet linux-2004 7.2.

A class is named by the highest zone that an allocation may use. A lower zone serves it only above its own mark and a
reserve that grows with what lies between (zone_t.class_reserve), so that memory that everybody can use is not filled by
those who could go higher.

    mark                      own     + reserve
    NORMAL for HIGHMEM        min 255 + HIGHMEM / 32
    DMA for HIGHMEM           min  32 + (HIGHMEM + NORMAL) / 256
    DMA for NORMAL            min  32 + NORMAL / 256

Whoever finds no zone above min frees pages himself (balance_classzone), again and again as long as that frees
something; the first page that he frees is his own. What `balance` does when it frees nothing is its business: with the
OOM killer compiled in it does not come back empty-handed unless the caller is the victim.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport ALLOC_REFUSALS, ALLOCSTALL, OOM_KILLS, count
from vmcore._fast.frame cimport (
    GFP_COLD_, GFP_WAIT_, alloc_failed, buffered_rmqueue, current_dying, only_low_is_short, prepare, top_zone,
)
from vmcore._fast.records cimport PF_MEMALLOC, PF_SWAPOFF_FAILED, machine_t, zone_t

cdef enum:
    MARK_NONE = 0
    MARK_MIN = 1
    MARK_LOW = 2
    MARK_HIGH = 3
    MARK_ATOMIC = 4         # a quarter of min


cdef int classzone_of(machine_t *m, uint32_t gfp) noexcept nogil:
    cdef int z = top_zone(m, gfp)
    while z > 0 and m.zones[z].present == 0:
        z -= 1
    return z


cdef uint64_t mark_of(machine_t *m, int z, int classzone, int mark) noexcept nogil:
    cdef zone_t *zone = &m.zones[z]
    cdef uint64_t reserve = zone.class_reserve[classzone]
    if mark == MARK_LOW:
        return zone.pages_low + reserve
    if mark == MARK_HIGH:
        return zone.pages_high + reserve
    return (zone.pages_min + reserve) >> (2 if mark == MARK_ATOMIC else 0)


cdef int classzone_balanced(machine_t *m, int classzone) noexcept nogil:
    cdef int z
    for z in range(classzone, -1, -1):
        if m.zones[z].present and m.zones[z].free_pages > mark_of(m, z, classzone, MARK_HIGH):
            return 1
    return 0


cdef uint32_t take(machine_t *m, int classzone, uint32_t gfp, uint32_t order, int mark) noexcept nogil:
    cdef uint64_t pages = <uint64_t>1 << order
    cdef uint32_t pfn
    cdef int z
    for z in range(classzone, -1, -1):
        if m.zones[z].present == 0:
            continue
        if mark != MARK_NONE and m.zones[z].free_pages <= mark_of(m, z, classzone, mark) + pages:
            continue
        pfn = buffered_rmqueue(m, z, order, gfp & GFP_COLD_)
        if pfn != 0:
            return prepare(m, pfn, z, order)
    return 0


cdef uint32_t alloc_slow(machine_t *m, int cz, uint32_t gfp, uint32_t order, free_pages_fn balance) noexcept nogil:
    cdef uint32_t pfn, pf
    cdef uint64_t kills
    cdef int freed, low
    cdef int refused = 0
    m.zones[cz].need_balance = 1
    m.kswapd_awake = 1
    pfn = take(m, cz, gfp, order, MARK_MIN if gfp & GFP_WAIT_ else MARK_ATOMIC)
    if pfn != 0:
        return pfn
    while True:
        if m.pf & PF_MEMALLOC or (m.current != 0 and m.tasks[m.current].memdie):
            pfn = take(m, cz, gfp, order, MARK_NONE)
            return pfn if pfn != 0 else alloc_failed(m)
        if not (gfp & GFP_WAIT_):
            return alloc_failed(m)
        pf = m.pf
        m.pf |= PF_MEMALLOC
        low = only_low_is_short(m, cz)
        kills = m.counters[OOM_KILLS]
        count(m, ALLOCSTALL)
        freed = balance(m, cz, gfp)
        m.pf = pf | (m.pf & PF_SWAPOFF_FAILED)
        if m.host_error != 0:
            return 0
        if m.pf & PF_SWAPOFF_FAILED or m.bug != 0:
            return alloc_failed(m)
        # one of the pages that were freed was kept for us (local_pages)
        if freed and order == 0:
            pfn = take(m, cz, gfp, 0, MARK_NONE)
        else:
            pfn = take(m, cz, gfp, order, MARK_MIN if freed else MARK_HIGH)
        if low and not refused and (pfn == 0 or m.counters[OOM_KILLS] != kills):
            count(m, ALLOC_REFUSALS)
            refused = 1
        if pfn != 0:
            return pfn
        if m.current != 0 and m.tasks[m.current].memdie:
            continue                            # chosen meanwhile: the last pages are its own now
        if not freed or current_dying(m):
            return alloc_failed(m)


cdef uint32_t classzone_alloc(machine_t *m, uint32_t gfp, uint32_t order, free_pages_fn balance) noexcept nogil:
    cdef int cz = classzone_of(m, gfp)
    cdef uint32_t pfn = take(m, cz, gfp, order, MARK_LOW)
    if pfn != 0:
        return pfn
    return alloc_slow(m, cz, gfp, order, balance)
