"""Core: a machine in host memory. Boot, entry and exit of every call, views, numbers, and copying of the whole state.

A call claims the machine for its thread, looks that its task lives and that the host has room for one stretch, and
ends by looking what happened meanwhile: Ctrl-C, host memory, a broken invariant, tasks that the OOM killer chose.
"""
import importlib
from errno import ESRCH

import numpy as np

from vmcore._fast import records
from vmcore._fast.bugs import BUG_NAMES
from vmcore._fast.slab import CACHE_NAMES, LEDGER_NAMES
from vmcore.errors import KernelBug, TaskKilled

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memcpy, memset

from vmcore._fast.busy cimport vm_claim, vm_release
from vmcore._fast.clock cimport clock_init
from vmcore._fast.counters cimport NR_COUNTERS, OOM_KILLS
from vmcore._fast.fork cimport do_exit
from vmcore._fast.frame cimport frame_init, nr_free_pages
from vmcore._fast.host cimport MAX_SEGMENTS, Region, derive, host_t, pool_plan, segment_t, used_segments, wire
from vmcore._fast.lru cimport zone_lru_nr
from vmcore._fast.pool cimport host_available, pool_init, pool_reserve, pool_reserve_all
from vmcore._fast.query cimport pagemap_t
from vmcore._fast.records cimport (
    HOST_INTR, KILLED_NOT, LRU_ACTIVE, LRU_INACTIVE, MAX_SWAPFILES, NR_CACHES, NR_POOLS, PAGE_SIZE, POOL_ANON_VMA,
    POOL_ANONMM,
    POOL_FILE, POOL_FRAME, POOL_MAPCOUNT, POOL_MM, POOL_PAGE_TOKEN, POOL_PTE, POOL_PTE_CHAIN, POOL_SLOT_TOKEN,
    POOL_SWAP_SLOT, POOL_TASK, POOL_VMA, SWP_USED, TASK_ALIVE, TASK_DYING, anon_vma_t, anonmm_t,
    avc_t, cache_t,
    event_t, file_t, frame_t, i_mmap_ops, kernel_rules, lru_chunk_t, machine_t, mm_calls, mm_t, pool_t, radix_node_t,
    reclaim_ops, rmap_ops, slab_t, swap_slot_t, swap_word_t, table_t, task_t, vma_t, zone_t,
)
from vmcore._fast.slab cimport NR_LEDGER, slab_init
from vmcore._fast.swap cimport swapon
from vmcore._fast.touch cimport trace_t

ctypedef const void *(*ops_fn)() noexcept nogil

cdef enum:
    NO_SLAB = 0xFFFFFFFF        # cache_t.free: no empty slab is kept


cdef dict SIZES = {
    "frame_t": sizeof(frame_t), "table_t": sizeof(table_t), "vma_t": sizeof(vma_t), "mm_t": sizeof(mm_t),
    "task_t": sizeof(task_t), "file_t": sizeof(file_t), "radix_node_t": sizeof(radix_node_t),
    "anon_vma_t": sizeof(anon_vma_t), "anonmm_t": sizeof(anonmm_t), "avc_t": sizeof(avc_t),
    "lru_chunk_t": sizeof(lru_chunk_t), "slab_t": sizeof(slab_t), "swap_slot_t": sizeof(swap_slot_t),
    "swap_word_t": sizeof(swap_word_t),
    "event_t": sizeof(event_t),
    "kernel_rules": sizeof(kernel_rules), "trace_t": sizeof(trace_t), "pagemap_t": sizeof(pagemap_t),
}
for _name, _size in SIZES.items():
    if getattr(records, _name).itemsize != _size:
        raise ImportError(f"records.{_name} has {getattr(records, _name).itemsize} bytes, the struct {_size}")
if len(records.POOL_NAMES) != NR_POOLS or len(LEDGER_NAMES) != NR_LEDGER or len(CACHE_NAMES) != NR_CACHES:
    raise ImportError("POOL_NAMES, LEDGER_NAMES or CACHE_NAMES do not match records.pxd and slab.pxd")

cdef enum:
    COPY_STEP = 16 << 20    # bytes that clone() copies between two looks at the host's signals

# what a saved record must agree with before it is read
LAYOUT = dict(SIZES, machine_t=sizeof(machine_t), pools=NR_POOLS, counters=NR_COUNTERS)


def host_bytes():
    """Bytes that the host, or its cgroup, still has for us."""
    return host_available()


cdef const void *find_ops(str kind, str name) except NULL:
    """The table of a design: NAME_ops() of the module _fast/KIND/NAME, by the capsule that Cython exports it in."""
    capsule = importlib.import_module(f"vmcore._fast.{kind}.{name}").__pyx_capi__[name + "_ops"]
    return (<ops_fn>PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule)))()


cdef void forget_process(machine_t *m) noexcept nogil:
    """Clear what means nothing outside this process, so that equal states give equal bytes."""
    cdef int i
    m.ptes = NULL
    m.frames = NULL
    m.mapcount = NULL
    m.tables = NULL
    m.vmas = NULL
    m.mms = NULL
    m.tasks = NULL
    m.files = NULL
    m.anon_vmas = NULL
    m.anonmms = NULL
    m.avcs = NULL
    m.chains = NULL
    m.lru_chunks = NULL
    m.radix = NULL
    m.swap_slots = NULL
    m.page_token = NULL
    m.slot_token = NULL
    m.slabs = NULL
    m.events = NULL
    m.swap_words = NULL
    m.swap_any = NULL
    m.swap_full = NULL
    m.scratch = NULL
    m.rmap = NULL
    m.i_mmap = NULL
    m.reclaim = NULL
    m.calls = NULL
    memset(&m.up, 0, sizeof(m.up))
    memset(m.spans, 0, sizeof(m.spans))
    m.current = 0
    m.host_error = 0
    for i in range(NR_POOLS):
        m.pools[i].base = NULL
        m.pools[i].bytes = 0
        m.pools[i].limit = 0
        m.pools[i].max = 0
        m.pools[i].flags = 0


cdef void keep_process(machine_t *m, const machine_t *r) noexcept nogil:
    """Take over a saved record, but keep this process's memory and designs."""
    cdef pool_t pools[NR_POOLS]
    cdef const rmap_ops *rmap = m.rmap
    cdef const i_mmap_ops *i_mmap = m.i_mmap
    cdef const reclaim_ops *reclaim = m.reclaim
    cdef const mm_calls *calls = m.calls
    cdef int i
    memcpy(pools, m.pools, sizeof(pools))
    memcpy(m, r, sizeof(machine_t))
    memcpy(m.pools, pools, sizeof(pools))
    m.rmap = rmap
    m.i_mmap = i_mmap
    m.reclaim = reclaim
    m.calls = calls
    for i in range(NR_POOLS):
        m.pools[i].next = r.pools[i].next
        m.pools[i].live = r.pools[i].live
        m.pools[i].free = r.pools[i].free
        m.pools[i].limit = m.pools[i].next
    derive(m)
    wire(m)


cdef bint sound(const kernel_rules *k) noexcept nogil:
    """Whether rules that nobody checked can be booted: no size is 0 that is divided by, and all fit their tables."""
    if k.nr_zones < 2 or k.nr_zones > 3 or k.pt_shift < 9 or k.pt_shift > 10 or k.levels < 2 or k.levels > 5:
        return False
    if (k.word_size != 4 and k.word_size != 8) or (k.pte_addr_size != 4 and k.pte_addr_size != 8):
        return False
    if k.l1_line > 256 or k.l1_line < k.word_size + k.pte_addr_size or k.rmap_nodes > 2:
        return False
    if k.vma_size - 1 >= 65536 or k.mm_size - 1 >= 65536 or k.task_size_bytes - 1 >= 65536:
        return False
    return k.anon_vma_size <= 65536 and k.anonmm_size <= 65536 and k.avc_size <= 65536


cdef bint plausible(const machine_t *r) noexcept nogil:
    """Whether a record can be wired at all: what pool sizes and shifts are computed from is in range."""
    cdef const kernel_rules *k = &r.rules
    cdef int i
    if r.nr_frames == 0 or r.nr_frames >= <uint64_t>0xFFFFFFFF or r.nr_zones < 2 or r.nr_zones > 3:
        return False
    if k.pt_shift < 9 or k.pt_shift > 10 or k.levels < 2 or k.levels > 5 or (k.word_size != 4 and k.word_size != 8):
        return False
    if (k.pte_addr_size != 4 and k.pte_addr_size != 8) or k.l1_line > 256 or k.l1_line < k.word_size + k.pte_addr_size:
        return False
    if r.slots_used >= <uint64_t>1 << 32:
        return False
    for i in range(<int>r.nr_zones):
        if r.zones[i].start_pfn > r.zones[i].bump or r.zones[i].bump > r.nr_frames:
            return False
    for i in range(NR_CACHES):
        if r.caches[i].num == 0:
            return False
    return True


cdef uint64_t orphans(const machine_t *m) noexcept nogil:
    """anonmms that wait for pages of their own, or members, after their mm. A fork group names no mm."""
    cdef uint64_t i
    cdef uint64_t n = 0
    if m.rules.vma_anon_vma == 2:
        return 0
    for i in range(1, m.pools[<int>POOL_ANONMM].next):
        if m.anonmms[i].head != 0 and m.anonmms[i].mm == 0:
            n += 1
    return n


cdef class Core:
    """A machine in host memory. Everything that is state lies in its records."""

    # ---------------------------------------------------------------- life

    def __init__(self, tuple designs, bytes rules, uint64_t nr_frames, dict numbers, list swap):
        """Boot. designs: (rmap, i_mmap, reclaim, calls); rules: a kernel_rules record; numbers: fields of machine_t."""
        cdef machine_t *m
        cdef uint64_t slots = sum([pages for pages, _ in swap])
        cdef uint64_t boot = sizeof(machine_t) + (1 << 20) + slots * 9 // 4
        if self.h != NULL:
            raise RuntimeError("a machine boots once")
        if host_available() < boot:
            raise MemoryError(f"this machine needs {boot} bytes to boot, the host has {host_available()}")
        self.alloc(designs)
        m = self.m
        if len(rules) != sizeof(kernel_rules):
            raise ValueError("rules are not a kernel_rules record")
        memcpy(&m.rules, <const char *>rules, sizeof(kernel_rules))
        if not sound(&m.rules):
            raise ValueError("rules are not those of a machine: a size, a level or a shift is out of range")
        m.nr_frames = nr_frames
        m.ram_bytes = nr_frames * PAGE_SIZE
        m.arch = numbers["arch"]
        m.seed = numbers["seed"]
        m.swappiness = numbers["swappiness"]
        m.page_cluster = numbers["page_cluster"]
        m.overcommit_memory = numbers["overcommit_memory"]
        m.overcommit_ratio = numbers["overcommit_ratio"]
        m.min_free_kbytes = numbers["min_free_kbytes"]
        m.max_map_count = numbers["max_map_count"]
        m.mmap_min_addr = numbers["mmap_min_addr"]
        m.stack_guard_gap = numbers["stack_guard_gap"]
        m.read_ahead_pages = numbers["read_ahead_kb"] * 1024 // PAGE_SIZE
        m.admin_reserve_kbytes = numbers["admin_reserve_kbytes"]
        m.user_reserve_kbytes = numbers["user_reserve_kbytes"]
        m.disable_cap_mlock = numbers["disable_cap_mlock"]
        m.fault_around_bytes = 1 << (numbers["fault_around_bytes"].bit_length() - 1)
        m.lower_zone_protection = numbers["lower_zone_protection"]
        m.trylock_rate = numbers["trylock_rate"]
        m.trylock_state = numbers["trylock_seed"]
        m.swap_head = -1
        m.swap_next = -1
        self.reserve(slots)
        clock_init(m)
        if frame_init(m) != 0:
            raise ValueError(f"ram of {m.ram_bytes} bytes is too small: the kernel's image and its mem_map do not fit")
        if slab_init(m) != 0:
            raise MemoryError("the slab caches do not fit their pool")
        if pool_reserve_all(m) != 0:
            raise MemoryError(f"this machine needs {boot} bytes to boot, the host has {host_available()}")
        for pages, prio in swap:
            if swapon(m, <uint64_t>pages, <int32_t>prio) < 0:
                raise MemoryError(f"the host has no memory for the map of a swap area of {pages} pages")
        self.seal()

    cdef int alloc(self, tuple designs) except -1:
        self.h = <host_t *>calloc(1, sizeof(host_t))
        if self.h == NULL:
            raise MemoryError()
        self.m = &self.h.m
        self.h.engine = <void *>self
        self.designs = designs
        self.regions = []
        rmap, i_mmap, reclaim, calls = designs
        self.m.rmap = <const rmap_ops *>find_ops("rmap", rmap)
        self.m.i_mmap = <const i_mmap_ops *>find_ops("i_mmap", i_mmap)
        self.m.reclaim = <const reclaim_ops *>find_ops("reclaim", reclaim)
        self.m.calls = <const mm_calls *>find_ops("calls", calls)
        return 0

    cdef int reserve(self, uint64_t slots) except -1:
        """Reserve every pool and set all that points into them."""
        cdef machine_t *m = self.m
        cdef uint64_t stride[NR_POOLS]
        cdef uint64_t most[NR_POOLS]
        cdef uint32_t flags[NR_POOLS]
        cdef Region region
        cdef int i
        derive(m)
        pool_plan(m, slots, stride, most, flags)
        for i in range(NR_POOLS):
            region = Region.__new__(Region)
            if pool_init(&m.pools[i], stride[i], most[i], flags[i]) != 0:
                raise MemoryError(
                    f"the host refuses to reserve {stride[i] * most[i]} bytes of address space"
                    f" ({records.POOL_NAMES[i]} records of a machine of {m.nr_frames} frames)"
                )
            region.base = m.pools[i].base
            region.bytes = m.pools[i].bytes
            self.regions.append(region)
        wire(m)
        return 0

    cdef int seal(self) except -1:
        cdef Region region
        for region in self.regions:
            region.sealed = True
        self.oom_seen = self.m.counters[<int>OOM_KILLS]
        return 0

    def __dealloc__(self):
        if self.h != NULL:
            if self.h.pending != NULL:
                Py_DECREF(<object>self.h.pending)
            free(self.h)

    # ---------------------------------------------------------------- entry and exit of every call

    cdef machine_t *booted(self) except NULL:
        if self.m == NULL or len(self.regions) != NR_POOLS:
            raise RuntimeError("this machine has not booted")
        return self.m

    cdef machine_t *claim(self) except NULL:
        if self.m == NULL:
            raise RuntimeError("this machine has not booted")
        if vm_claim(&self.busy):
            raise RuntimeError("this machine is in a call already: of another thread, or interrupted by a signal")
        return self.m

    cdef int release(self) except -1:
        vm_release(&self.busy)
        return 0

    cdef machine_t *enter(self, uint32_t pid) except NULL:
        cdef machine_t *m = self.enter_light(pid)
        if m.host_error != 0:
            m.current = 0
            m.host_error = 0
            vm_release(&self.busy)
            raise MemoryError(f"the host has only {host_available()} bytes left")
        return m

    cdef machine_t *enter_light(self, uint32_t pid) except NULL:
        cdef machine_t *m = self.claim()
        if pid != 0 and (pid >= m.pools[POOL_TASK].next or m.tasks[pid].state != TASK_ALIVE):
            vm_release(&self.busy)
            known = pid < m.pools[POOL_TASK].next
            raise ProcessLookupError(ESRCH, f"task {pid} is dead" if known else f"there is no task {pid}")
        m.host_error = 0
        if pool_reserve_all(m) == 0 and pool_reserve(m, POOL_TASK, 16) == 0:
            pool_reserve(m, POOL_FILE, 16)
        m.current = pid
        return m

    cdef int leave(self, uint32_t pid, int64_t index) except -1:
        cdef machine_t *m = self.m
        m.current = 0
        if (m.host_error | m.bug) == 0 and m.counters[<int>OOM_KILLS] == self.oom_seen and (
            pid == 0 or m.tasks[pid].state == TASK_ALIVE
        ):
            vm_release(&self.busy)
            return 0
        return self.trouble(pid, index)

    cdef int trouble(self, uint32_t pid, int64_t index) except -1:
        """The slow half of leave: bury the dying, then raise what is worst."""
        cdef machine_t *m = self.m
        cdef uint32_t host = m.host_error
        cdef uint32_t victim, found
        cdef uint32_t killed
        pending = None
        m.host_error = 0
        if self.h.pending != NULL:
            pending = <object>self.h.pending
            Py_DECREF(pending)
            self.h.pending = NULL
        with nogil:
            if pid == 0 or m.counters[<int>OOM_KILLS] != self.oom_seen:
                for victim in range(1, <uint32_t>m.pools[POOL_TASK].next):
                    if m.tasks[victim].state == TASK_DYING:
                        do_exit(m, victim, m.tasks[victim].killed_by)
            elif m.tasks[pid].state == TASK_DYING:      # of a fault of its own: no other can be dying
                do_exit(m, pid, m.tasks[pid].killed_by)
        m.host_error = 0
        self.oom_seen = m.counters[<int>OOM_KILLS]
        found = m.bug
        m.bug = 0
        objects = (m.bug_arg[0], m.bug_arg[1], m.bug_arg[2])
        killed = m.tasks[pid].killed_by if pid != 0 and m.tasks[pid].state != TASK_ALIVE else KILLED_NOT
        vm_release(&self.busy)
        if found != 0:
            raise KernelBug(BUG_NAMES[found], objects)
        if pending is not None:
            raise pending
        if host & HOST_INTR:
            raise KeyboardInterrupt
        if host != 0:
            raise MemoryError(f"the host has only {host_available()} bytes left; what was done before it ran out stays")
        if killed != KILLED_NOT:
            raise TaskKilled(self.task(pid), records.KILLED_NAMES[killed], None if index < 0 else index)
        return 0

    cdef object task(self, uint32_t pid):
        from vmcore.task import Task
        return Task(self.owner() if self.owner is not None else None, pid)

    # ---------------------------------------------------------------- views and numbers

    def view(self, str name):
        """Read-only array over the records of a pool that are in use. It keeps the pool mapped."""
        cdef machine_t *m = self.booted()
        cdef uint32_t i = records.POOL_NAMES.index(name)
        cdef uint64_t n
        cdef uint64_t width = 1
        if i >= NR_POOLS:
            return None
        n = m.pools[i].next
        if i == POOL_FRAME or i == POOL_MAPCOUNT or i == POOL_PAGE_TOKEN:
            n = m.nr_frames
        elif i == POOL_SWAP_SLOT or i == POOL_SLOT_TOKEN:
            n = m.slots_used
        elif i == POOL_PTE:
            width = <uint64_t>1 << m.pt_shift
        elif i == POOL_PTE_CHAIN:
            width = m.chain_words
        array = np.frombuffer(self.regions[i], dtype=records.POOL_DTYPES[name], count=n * width)
        return array if width == 1 else array.reshape(n, width)

    def counters(self):
        """All counts, in the order of COUNTER_NAMES."""
        cdef machine_t *m = self.claim()
        cdef int i
        out = [m.counters[i] for i in range(NR_COUNTERS)]
        self.release()
        return out

    def numbers(self):
        """What vmstat and meminfo are made of, by the names of machine_t; pages unless the name says otherwise."""
        cdef machine_t *m = self.claim()
        cdef zone_t *z
        cdef int i
        cdef uint64_t slab = 0
        for i in range(NR_CACHES):
            slab += m.caches[i].slabs << m.caches[i].order
        zones = []
        for i in range(<int>m.nr_zones):
            z = &m.zones[i]
            zones.append({
                "name": ("DMA", "Normal", "HighMem")[i], "start_pfn": z.start_pfn, "end_pfn": z.end_pfn,
                "present": z.present,
                "reserved": z.reserved, "free": z.free_pages,
                "min": z.pages_min, "low": z.pages_low, "high": z.pages_high,
                "active": zone_lru_nr(m, i, LRU_ACTIVE), "inactive": zone_lru_nr(m, i, LRU_INACTIVE),
                "hot": z.pcp[0].count, "cold": z.pcp[1].count,
            })
        out = {
            "nr_frames": m.nr_frames, "free": nr_free_pages(m), "zones": zones, "slab": slab,
            "nr_pagecache": m.nr_pagecache, "nr_swapcache": m.nr_swapcache, "nr_mapped": m.nr_mapped_pages,
            "nr_dirty": m.nr_dirty, "nr_writeback": m.nr_writeback,
            "nr_swap_pages": m.nr_swap_pages, "total_swap_pages": m.total_swap_pages, "committed": m.committed,
            "nr_tasks": m.nr_tasks, "nr_vmas": m.pools[POOL_VMA].live, "nr_mms": m.pools[POOL_MM].live,
            "nr_anon_vmas": m.pools[POOL_ANON_VMA].live, "nr_anonmms": m.pools[POOL_ANONMM].live,
            "nr_orphan_anonmms": orphans(m), "nr_files": m.pools[POOL_FILE].live,
            "chain_nodes": m.pools[POOL_PTE_CHAIN].live - (m.chain_spare != 0), "min_free_kbytes": m.min_free_kbytes,
            "now": m.now, "arch": m.arch, "rules": m.rules,
        }
        self.release()
        return out

    def swaps(self):
        """(area, pages, in use, priority) of each active area, as in /proc/swaps; pages with the header."""
        cdef machine_t *m = self.claim()
        cdef int i
        out = []
        for i in range(MAX_SWAPFILES):
            if m.swap[i].flags & SWP_USED:
                out.append((i, m.swap[i].max, m.swap[i].inuse, m.swap[i].prio))
        self.release()
        return out

    def caches(self):
        """(name, objects, slabs, empty slabs, object size, objects a slab, pages a slab, peak slabs) of each cache."""
        cdef machine_t *m = self.claim()
        cdef cache_t *c
        cdef int i
        out = []
        for i in range(NR_CACHES):
            c = &m.caches[i]
            out.append((CACHE_NAMES[i], c.active, c.slabs, c.free != NO_SLAB, c.objsize, c.num, 1 << c.order, c.peak))
        self.release()
        return out

    def ledger(self):
        """(name, frames, frames of low memory, highest of both, refusals) of each consumer of the machine's memory."""
        cdef machine_t *m = self.claim()
        cdef int i
        out = [(LEDGER_NAMES[i], m.any_used[i], m.lowmem_used[i], m.peak_used[i], m.low_peak_used[i], m.low_refused[i])
               for i in range(NR_LEDGER)]
        self.release()
        return out

    # ---------------------------------------------------------------- the whole state: save, load, clone

    def held(self, function):
        """function() while the machine is claimed, for several of the calls below. No signal comes between the claim
        and its end: those are handled in Python code alone."""
        self.claim()
        try:
            return function()
        finally:
            self.release()

    def record(self):
        """The machine record without what belongs to this process. The caller holds the machine."""
        cdef machine_t *m = self.booted()
        cdef machine_t *copy = <machine_t *>calloc(1, sizeof(machine_t))
        if copy == NULL:
            raise MemoryError()
        memcpy(copy, m, sizeof(machine_t))
        forget_process(copy)
        out = (<const char *>copy)[:sizeof(machine_t)]
        free(copy)
        return out

    def segments(self):
        """(pool, first byte, byte after the last) of all that is state beside the record, in a fixed order."""
        cdef segment_t s[MAX_SEGMENTS]
        cdef int i
        cdef int n = used_segments(self.booted(), s)
        cdef pool_t *p
        out = []
        for i in range(n):
            p = &self.m.pools[s[i].pool]
            if s[i].first + s[i].count > p.max:
                name = records.POOL_NAMES[s[i].pool]
                raise ValueError(f"{s[i].count} {name} records from {s[i].first} do not fit their pool")
            out.append((s[i].pool, s[i].first * p.stride, (s[i].first + s[i].count) * p.stride))
        return out

    def region(self, int pool):
        """The buffer of a pool: read-only, except between restore() and sealed()."""
        return self.regions[pool]

    @classmethod
    def restore(cls, tuple designs, bytes record):
        """A machine with this record and empty pools: fill them, then call sealed()."""
        cdef Core self = cls.__new__(cls)
        cdef machine_t *m
        cdef const char *raw = record
        cdef const machine_t *r = <const machine_t *>raw
        cdef int i
        if len(record) != sizeof(machine_t) or not plausible(r):
            raise ValueError("not the record of a machine")
        self.alloc(designs)
        m = self.m
        m.rules = r.rules
        m.nr_frames = r.nr_frames
        self.reserve(r.slots_used)
        keep_process(m, r)
        for i in range(NR_POOLS):
            if m.pools[i].next > m.pools[i].max:
                raise MemoryError(f"{m.pools[i].next} {records.POOL_NAMES[i]} records are more than this host can hold")
        need = sum([end - first for _, first, end in self.segments()])
        if need > host_available():
            raise MemoryError(f"this machine has {need} bytes of state, the host has {host_available()}")
        return self

    def sealed(self):
        """End of restore(): from here on the regions are read-only to Python."""
        self.seal()
        if pool_reserve_all(self.m) != 0:
            self.m.host_error = 0
            raise MemoryError(f"the host has only {host_available()} bytes left")

    def clone(self):
        """An independent machine in the same state."""
        cdef Core other
        cdef segment_t s[MAX_SEGMENTS]
        cdef int i, n
        cdef uint64_t at, end, step
        cdef pool_t *a
        cdef pool_t *b
        self.claim()
        try:
            other = type(self).restore(self.designs, self.record())
            n = used_segments(self.m, s)
            for i in range(n):
                a = &self.m.pools[s[i].pool]
                b = &other.m.pools[s[i].pool]
                at = s[i].first * a.stride
                end = at + s[i].count * a.stride
                while at < end:
                    step = end - at if end - at < COPY_STEP else COPY_STEP
                    with nogil:
                        memcpy(b.base + at, a.base + at, step)
                    at += step
                    PyErr_CheckSignals()
        finally:
            self.release()
        other.sealed()
        return other
