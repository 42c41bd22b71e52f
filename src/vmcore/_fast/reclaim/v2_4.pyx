"""Reclaim of 2.4: one active and one inactive list over all zones, passes instead of priorities. mm/vmscan.c of
2.4.27; fact sheet linux-2004 7.2.

    active   <-- marked used twice (mark_page_accessed, by swap_out and by reads)
      |  refill_inactive: unreferenced ones, and they go as "referenced"
    inactive <-- all new pages
      |  shrink_cache, from the tail, every page rotated to the head first
      +-- mapped or held: counted; too many of them, and swap_out takes ptes down
      +-- dirty: written if nobody but its cache holds it; found clean on a later visit
      +-- clean and only its cache holds it: freed

try_to_free_zone runs up to 60 passes for 32 pages of a class. A pass looks at a sixth of the class's pages; 100 mapped
pages for each page wanted make it call swap_out in the middle. What one swap_out could not do is not tried again in the
same round.

The lists hold pages of all zones: a class that is not the highest wades through those of the zones above
(RECLAIM_ZONE_SKIPS), which is the reason why 2.6 has lists by zone.

Time. The kernel's passes take as long as they take; in this engine work costs no time. A round of 60 passes that
failed moves the clock by a second, so that the windows of the OOM killer mean what they meant. kswapd sleeps five
seconds after a failed round, as in the kernel without OOM killer; with it the kernel's goes round again at once, and
for ever if there is nothing to free: here it tries four rounds, enough for a page to lose its young bit, its place on
the active list and its pte, and then sleeps too. Where the kernel
would loop for ever (free swap, but nothing that can go there), ten such rounds count as alloc_livelock and the
victim is chosen all the same (DESIGN section 4).

Not here: buffers (our devices have none, so no page has them), dentries, inodes and quota (the engine has those of
open files only, and none is unused), pid 1 that retries where others fail (our first task is no init).
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.clock cimport wait_event
from vmcore._fast.counters cimport (
    ALLOC_LIVELOCK, KSWAPD_STEAL, OOM_KILLS, PAGEOUTRUN, PGDEACTIVATE, PGFREE, PGREFILL_HIGH, PGSCAN_DIRECT_HIGH,
    PGSCAN_KSWAPD_HIGH, PGSTEAL_HIGH, RECLAIM_ACTIVATE_WRITEPAGE, RECLAIM_KEEP_DIRTY, RECLAIM_KEEP_LOCKED,
    RECLAIM_LAUNDER_WAITS, RECLAIM_MAPPED, RECLAIM_ROUNDS_FAILED, RECLAIM_ZONE_SKIPS, count, count_zone,
)
from vmcore._fast.filemap cimport clear_page_dirty, file_writepage, remove_from_page_cache, wait_on_page
from vmcore._fast.frame cimport GFP_FS_, GFP_HIGHUSER, GFP_IO_, GFP_KERNEL, has_mapping, page_count, pfn_zone
from vmcore._fast.locks cimport trylock_page
from vmcore._fast.lru cimport (
    activate_page, lru_add_head, lru_del, lru_nr, lru_tail, page_free_now, put_page, zone_lru_nr,
)
from vmcore._fast.reclaim.classzone cimport classzone_alloc, classzone_balanced, classzone_of
from vmcore._fast.reclaim.swap_out cimport SWAP_CLUSTER_MAX, page_busy, swap_out
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_SHMEM, LRU_ACTIVE, LRU_INACTIVE, PF_KSWAPD, PF_MEMALLOC, PF_SWAPOFF_FAILED, PG_ACTIVE, PG_DIRTY,
    PG_LOCKED, PG_REFERENCED, PG_SWAPCACHE, PG_WRITEBACK, TASK_ALIVE, frame_t, machine_t, reclaim_ops,
)
from vmcore._fast.shmem cimport shmem_writepage
from vmcore._fast.slab cimport slab_reap
from vmcore._fast.swap cimport delete_from_swap_cache, swap_writepage

cdef enum:
    VM_PASSES = 60
    VM_CACHE_SCAN_RATIO = 6
    VM_MAPPED_RATIO = 100
    VM_LRU_BALANCE_RATIO = 2
    POLL_PAGES = 256        # pages between two looks at the host's signals
    SECOND = 1000000000
    LIVELOCK_SECONDS = 10
    HOPELESS_SECONDS = 30
    KSWAPD_SLEEP = 5        # seconds
    KSWAPD_ROUNDS = 4


cdef inline int poll(machine_t *m) noexcept nogil:
    return m.up.poll(m) if m.up.poll != NULL else 0


cdef uint64_t class_nr(machine_t *m, int cz, int list) noexcept nogil:
    """Pages of a class on a list: of its zone and those below."""
    cdef uint64_t n = 0
    cdef int z
    for z in range(cz + 1):
        n += zone_lru_nr(m, z, list)
    return n


# ---------------------------------------------------------------- the active list

cdef void refill_inactive(machine_t *m, int want, int cz) noexcept nogil:
    """Down go the oldest, whatever their zone: as many as keep a third of the pages inactive. A referenced one is
    passed over once; if the walk comes round to it again, it goes too."""
    cdef uint64_t n = <uint64_t>want * class_nr(m, cz, LRU_ACTIVE) // (
        class_nr(m, cz, LRU_INACTIVE) * VM_LRU_BALANCE_RATIO + 1)
    cdef uint64_t looked = 0
    cdef uint32_t pfn
    cdef int alone
    cdef frame_t *f
    while n > 0:
        pfn = lru_tail(m, 0, LRU_ACTIVE)
        if pfn == 0:
            return
        looked += 1
        if looked % POLL_PAGES == 0 and poll(m) < 0:
            return
        f = &m.frames[pfn]
        count_zone(m, PGREFILL_HIGH, pfn_zone(m, pfn), 1)
        alone = lru_nr(m, 0, LRU_ACTIVE) == 1
        lru_del(m, pfn)
        if f.flags & PG_REFERENCED:
            f.flags &= ~<uint32_t>PG_REFERENCED
            lru_add_head(m, pfn, LRU_ACTIVE)
            if alone:
                return              # the walk is over
            continue
        n -= 1
        f.flags = (f.flags & ~<uint32_t>PG_ACTIVE) | PG_REFERENCED
        lru_add_head(m, pfn, LRU_INACTIVE)
        count(m, PGDEACTIVATE)


# ---------------------------------------------------------------- the inactive list

cdef void launder(machine_t *m, uint32_t pfn) noexcept nogil:
    """Write a locked dirty page that only its cache holds. It comes back unlocked."""
    cdef frame_t *f = &m.frames[pfn]
    f.refs += 1
    clear_page_dirty(m, pfn)
    if f.flags & PG_SWAPCACHE:
        swap_writepage(m, pfn)
    elif m.files[f.mapping].kind == FILE_SHMEM:
        if shmem_writepage(m, pfn) != 0:        # no swap: the page is dirty again, and out of the way for a while
            count(m, RECLAIM_ACTIVATE_WRITEPAGE)
            activate_page(m, pfn)
            f.flags |= PG_REFERENCED
            f.flags &= ~<uint32_t>PG_LOCKED
    elif file_writepage(m, pfn) != 0:
        f.flags &= ~<uint32_t>PG_LOCKED
    put_page(m, pfn)


cdef void free_cached(machine_t *m, uint32_t pfn) noexcept nogil:
    """A locked clean page that only its cache holds."""
    cdef frame_t *f = &m.frames[pfn]
    f.refs += 1
    if f.flags & PG_SWAPCACHE:
        delete_from_swap_cache(m, pfn)
    else:
        remove_from_page_cache(m, pfn)
        f.refs -= 1
    f.flags &= ~<uint32_t>PG_LOCKED
    f.refs -= 1
    count_zone(m, PGSTEAL_HIGH, pfn_zone(m, pfn), 1)
    if m.pf & PF_KSWAPD:
        count(m, KSWAPD_STEAL)
    page_free_now(m, pfn, 1)


cdef enum:
    NEXT = 0
    MAPPED = 1
    FREED = 2


cdef int shrink_page(machine_t *m, uint32_t pfn, uint32_t gfp) noexcept nogil:
    """What shrink_cache does with one page of the class that has just been rotated."""
    cdef frame_t *f = &m.frames[pfn]
    # a page that is written has buffers in the kernel, and those are looked at closer
    if not (f.flags & PG_WRITEBACK) and (page_count(m, pfn) != 1 or not has_mapping(f)):
        return MAPPED
    if page_busy(f) or not trylock_page(m, pfn):
        if f.flags & PG_WRITEBACK and gfp & GFP_FS_:
            count(m, RECLAIM_LAUNDER_WAITS)
            f.refs += 1
            wait_on_page(m, pfn, PG_WRITEBACK)
            put_page(m, pfn)
        else:
            count(m, RECLAIM_KEEP_LOCKED)
        return NEXT
    f.flags |= PG_LOCKED
    if f.flags & PG_DIRTY:
        # a device has no writepage
        if gfp & GFP_FS_ and (f.flags & PG_SWAPCACHE or m.files[f.mapping].kind != FILE_DEVICE):
            launder(m, pfn)
        else:
            count(m, RECLAIM_KEEP_DIRTY)
            f.flags &= ~<uint32_t>PG_LOCKED
        return NEXT
    free_cached(m, pfn)
    return FREED


cdef int shrink_cache(machine_t *m, int want, int cz, uint32_t gfp, int *failed) noexcept nogil:
    """A sixth of the class, or until `want` pages are free. Returns what is still wanted."""
    cdef uint64_t max_scan = (class_nr(m, cz, LRU_INACTIVE) + class_nr(m, cz, LRU_ACTIVE)) // VM_CACHE_SCAN_RATIO
    cdef int64_t max_mapped = <int64_t>VM_MAPPED_RATIO * want
    cdef uint64_t looked = 0
    cdef uint32_t pfn
    cdef int r, z
    cdef int scan = PGSCAN_KSWAPD_HIGH if m.pf & PF_KSWAPD else PGSCAN_DIRECT_HIGH
    while max_scan > 0 and m.host_error == 0 and class_nr(m, cz, LRU_INACTIVE) != 0:
        looked += 1
        if looked % POLL_PAGES == 0 and poll(m) < 0:
            break
        pfn = lru_tail(m, 0, LRU_INACTIVE)
        lru_del(m, pfn)
        lru_add_head(m, pfn, LRU_INACTIVE)
        z = pfn_zone(m, pfn)
        if z > cz:
            count(m, RECLAIM_ZONE_SKIPS)
            continue
        max_scan -= 1
        count_zone(m, scan, z, 1)
        r = shrink_page(m, pfn, gfp)
        if r == FREED:
            want -= 1
            if want == 0:
                break
        elif r == MAPPED:
            count(m, RECLAIM_MAPPED)
            max_mapped -= 1
            if max_mapped < 0:
                want -= <int>slab_reap(m)
                if want <= 0:
                    break
                if not failed[0]:
                    failed[0] = not swap_out(m, cz)
                max_mapped = <int64_t>VM_MAPPED_RATIO * want
                refill_inactive(m, want, cz)
    return want


cdef int shrink_caches(machine_t *m, int want, int cz, uint32_t gfp, int *failed) noexcept nogil:
    want -= <int>slab_reap(m)
    if want <= 0:
        return want
    refill_inactive(m, want, cz)
    return shrink_cache(m, want, cz, gfp, failed)


# ---------------------------------------------------------------- drivers

cdef int free_round(machine_t *m, int cz, uint32_t gfp) noexcept nogil:
    """Up to 60 passes for 32 pages. 1 if they were freed."""
    cdef int want = SWAP_CLUSTER_MAX
    cdef int failed = not (gfp & GFP_IO_)
    cdef int _i
    for _i in range(VM_PASSES):
        want = shrink_caches(m, want, cz, gfp, &failed)
        if want <= 0:
            return 1
        if m.host_error != 0:
            return 0
        if not failed:
            failed = not swap_out(m, cz)
        if m.host_error != 0:
            return 0
    count(m, RECLAIM_ROUNDS_FAILED)
    return 0


cdef int try_to_free_zone(machine_t *m, int cz, uint32_t gfp) noexcept nogil:
    """A task's own reclaim. Without OOM killer it gives up after one round; with it, only when somebody's death (its
    own, perhaps) ends the shortage."""
    cdef uint64_t since = m.now
    cdef uint64_t freed = m.counters[PGFREE]
    cdef uint64_t kills = m.counters[OOM_KILLS]
    cdef int stuck
    while not free_round(m, cz, gfp):
        if m.host_error != 0 or m.rules.no_oom_killer:
            return 0
        if m.counters[PGFREE] != freed:
            freed = m.counters[PGFREE]
            since = m.now
        # with free swap the killer never acts; without, it does after ten calls, if there is anybody to kill
        stuck = m.now - since > <uint64_t>(LIVELOCK_SECONDS if m.nr_swap_pages > 0 else HOPELESS_SECONDS) * SECOND
        if stuck:
            count(m, ALLOC_LIVELOCK)
            m.livelock = 1
        m.up.out_of_memory(m)
        m.livelock = 0
        # swapoff gave up, or nobody was left to kill and the kernel panics, or it is this task that dies
        if m.pf & PF_SWAPOFF_FAILED or m.bug != 0 or (m.current != 0 and m.tasks[m.current].state != TASK_ALIVE):
            return 0
        if m.counters[OOM_KILLS] != kills:
            return 1                # its pages are free. The kernel looks for 32 of its own, and may kill more
        wait_event(m, SECOND)
        if m.host_error != 0:
            return 0
    return 1


cdef int try_to_free_pages(machine_t *m, uint32_t gfp) noexcept nogil:
    return try_to_free_zone(m, classzone_of(m, gfp), gfp)


cdef uint32_t alloc(machine_t *m, uint32_t gfp, uint32_t order) noexcept nogil:
    return classzone_alloc(m, gfp, order, try_to_free_zone)


cdef int balance_zones(machine_t *m, int *failures) noexcept nogil:
    """One look at every zone that asked for it, the highest first. 1 if some has not enough yet."""
    cdef int more = 0
    cdef int z
    for z in range(<int>m.nr_zones - 1, -1, -1):
        if not m.zones[z].need_balance:
            continue
        if not free_round(m, z, GFP_KERNEL):
            if m.host_error != 0:
                return 0
            failures[0] += 1
            # The kernel's calls the OOM killer here too. Ours does not: the task that it interrupts may be in the
            # middle of a fault, and could not be killed there; it will soon call itself.
            if not m.rules.no_oom_killer and failures[0] < KSWAPD_ROUNDS:
                more = 1
                continue
            m.zones[z].need_balance = 0
            m.kswapd_until = m.now + <uint64_t>KSWAPD_SLEEP * SECOND
            return 0                # the zones below wait as long
        failures[0] = 0
        if classzone_balanced(m, z):
            m.zones[z].need_balance = 0
        else:
            more = 1
    return more


cdef void kswapd(machine_t *m) noexcept nogil:
    cdef uint32_t pf = m.pf
    cdef uint32_t current = m.current
    cdef int failures = 0
    cdef int z
    if m.now < m.kswapd_until:
        return
    m.kswapd_awake = 0
    m.in_kswapd = 1
    m.pf = PF_KSWAPD | PF_MEMALLOC
    m.current = 0
    count(m, PAGEOUTRUN)
    while balance_zones(m, &failures) and m.host_error == 0:
        pass
    for z in range(<int>m.nr_zones):
        m.kswapd_awake |= m.zones[z].need_balance
    m.in_kswapd = 0
    m.pf = pf
    m.current = current


cdef uint64_t reclaim(machine_t *m, uint64_t pages) noexcept nogil:
    """Free about `pages` pages of all zones now: Machine.reclaim(). Ends after 60 passes that freed nothing."""
    cdef int cz = classzone_of(m, GFP_HIGHUSER)
    cdef uint32_t pf = m.pf
    cdef uint64_t total = 0
    cdef uint64_t before
    cdef int idle = 0
    cdef int failed = 0
    m.pf |= PF_MEMALLOC
    while True:
        before = stolen(m)
        shrink_caches(m, SWAP_CLUSTER_MAX, cz, GFP_KERNEL, &failed)
        total += stolen(m) - before
        idle = idle + 1 if stolen(m) == before else 0
        if total >= pages or idle == VM_PASSES or m.host_error != 0:
            break
        if idle == 0:
            failed = 0
        if not failed:
            failed = not swap_out(m, cz)
        if m.host_error != 0:
            break
        wait_event(m, SECOND // 10)
    m.pf = pf
    return total


cdef uint64_t stolen(machine_t *m) noexcept nogil:
    return m.counters[PGSTEAL_HIGH] + m.counters[PGSTEAL_HIGH + 1] + m.counters[PGSTEAL_HIGH + 2]


cdef reclaim_ops ops
ops.try_to_free_pages = try_to_free_pages
ops.alloc = alloc
ops.kswapd = kswapd
ops.reclaim = reclaim


cdef const reclaim_ops *v2_4_ops() noexcept nogil:
    return &ops
