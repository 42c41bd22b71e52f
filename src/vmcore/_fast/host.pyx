"""Memory and wiring of a machine on its host: pool sizes, regions, pointers, upward calls, host signals.

A pool is reserved once (pool.pyx) and handed to a Region, which unmaps it when the last of machine and views is gone.
What is in use is a short list of segments: save, load and clone copy these, and nothing else is state.
"""
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from vmcore._fast.oom cimport out_of_memory
from vmcore._fast.pool cimport POOL_HUGE
from vmcore._fast.records cimport (
    HOST_INTR, NR_CACHES, NR_POOLS, POOL_ANON_VMA, POOL_ANONMM, POOL_AVC, POOL_EVENT, POOL_FILE, POOL_FRAME,
    POOL_LRU_CHUNK, POOL_MAPCOUNT, POOL_MM, POOL_PAGE_TOKEN, POOL_PTE, POOL_PTE_CHAIN, POOL_RADIX, POOL_SCRATCH,
    POOL_SLAB, POOL_SLOT_TOKEN, POOL_SWAP_ANY, POOL_SWAP_FULL, POOL_SWAP_SLOT, POOL_SWAP_WORD,
    POOL_TABLE, POOL_TASK, POOL_VMA, anon_vma_t, anonmm_t, avc_t, event_t, file_t, frame_t, lru_chunk_t, machine_t,
    mm_t, radix_node_t, slab_t, swap_slot_t, swap_word_t, table_t, task_t, vma_t, zone_t)
from vmcore._fast.mmap cimport vm_enough_memory
from vmcore._fast.slab cimport cache_pool
from vmcore._fast.swap cimport end_page_writeback

cdef extern from "<sys/mman.h>" nogil:
    int munmap(void *addr, size_t length)

cdef extern from "<unistd.h>" nogil:
    long sysconf(int name)
    int _SC_PAGESIZE, _SC_PHYS_PAGES

cdef enum:
    POLL_NS = 30000000          # host signals are looked at this often: Ctrl-C answers within 0.2 s
    HUGE_FROM = 1 << 18         # frames: machines below 1 GiB stay on small host pages


# ---------------------------------------------------------------- regions

cdef class Region:
    """The memory of one pool. Numpy views are made over its buffer and keep it mapped."""

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.bytes)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.base, <Py_ssize_t>self.bytes, self.sealed, flags)


# ---------------------------------------------------------------- pools

cdef void pool_plan(machine_t *m, uint64_t slots, uint64_t *stride, uint64_t *most, uint32_t *flags) noexcept nogil:
    cdef uint64_t frames = (m.nr_frames + 4096) & ~<uint64_t>4095
    cdef uint64_t table = <uint64_t>8 << m.pt_shift
    cdef uint64_t tables = (<uint64_t>1 << 32) >> m.pt_shift
    cdef uint64_t host = <uint64_t>sysconf(_SC_PHYS_PAGES) * <uint64_t>sysconf(_SC_PAGESIZE)
    cdef uint32_t huge = POOL_HUGE if m.nr_frames >= HUGE_FROM else 0
    cdef int i
    slots = 2 * slots
    if slots < <uint64_t>1 << 26:
        slots = <uint64_t>1 << 26
    if tables * table > 2 * host and tables > 65536:    # the host refuses a step long before these are used up
        tables = 2 * host // table
        if tables < 65536:
            tables = 65536
    for i in range(NR_POOLS):
        flags[i] = 0
    stride[<int>POOL_FRAME] = sizeof(frame_t)
    stride[<int>POOL_MAPCOUNT] = sizeof(uint32_t)
    stride[<int>POOL_PAGE_TOKEN] = sizeof(uint64_t)
    most[<int>POOL_FRAME] = frames
    most[<int>POOL_MAPCOUNT] = frames
    most[<int>POOL_PAGE_TOKEN] = frames
    stride[<int>POOL_PTE] = table
    stride[<int>POOL_TABLE] = sizeof(table_t)
    most[<int>POOL_PTE] = tables
    most[<int>POOL_TABLE] = tables
    stride[<int>POOL_VMA] = sizeof(vma_t)
    most[<int>POOL_VMA] = 1 << 24
    stride[<int>POOL_MM] = sizeof(mm_t)
    most[<int>POOL_MM] = 1 << 20
    stride[<int>POOL_TASK] = sizeof(task_t)
    most[<int>POOL_TASK] = 1 << 22
    stride[<int>POOL_FILE] = sizeof(file_t)
    most[<int>POOL_FILE] = 1 << 20
    stride[<int>POOL_ANON_VMA] = sizeof(anon_vma_t)
    most[<int>POOL_ANON_VMA] = 1 << 24
    stride[<int>POOL_ANONMM] = sizeof(anonmm_t)
    most[<int>POOL_ANONMM] = 1 << 22
    stride[<int>POOL_AVC] = sizeof(avc_t)
    most[<int>POOL_AVC] = 1 << 26
    stride[<int>POOL_PTE_CHAIN] = 4 * <uint64_t>m.chain_words
    most[<int>POOL_PTE_CHAIN] = 1 << 27
    stride[<int>POOL_LRU_CHUNK] = sizeof(lru_chunk_t)
    most[<int>POOL_LRU_CHUNK] = m.nr_frames // 400 + 4096
    stride[<int>POOL_RADIX] = sizeof(radix_node_t)
    most[<int>POOL_RADIX] = 1 << 22
    stride[<int>POOL_SWAP_SLOT] = sizeof(swap_slot_t)
    stride[<int>POOL_SLOT_TOKEN] = 8
    most[<int>POOL_SWAP_SLOT] = slots
    most[<int>POOL_SLOT_TOKEN] = slots
    stride[<int>POOL_SWAP_WORD] = sizeof(swap_word_t)
    stride[<int>POOL_SWAP_ANY] = 8
    stride[<int>POOL_SWAP_FULL] = 8
    most[<int>POOL_SWAP_WORD] = slots // 64 + 64
    most[<int>POOL_SWAP_ANY] = slots // 4096 + 64
    most[<int>POOL_SWAP_FULL] = slots // 4096 + 64
    stride[<int>POOL_SLAB] = sizeof(slab_t)
    most[<int>POOL_SLAB] = 1 << 26
    stride[<int>POOL_EVENT] = sizeof(event_t)
    most[<int>POOL_EVENT] = 1 << 20
    stride[<int>POOL_SCRATCH] = 8
    most[<int>POOL_SCRATCH] = 1 << 28
    flags[<int>POOL_FRAME] = huge
    flags[<int>POOL_MAPCOUNT] = huge
    flags[<int>POOL_PTE] = huge
    flags[<int>POOL_PTE_CHAIN] = huge
    flags[<int>POOL_SWAP_SLOT] = huge
    flags[<int>POOL_SWAP_WORD] = huge
    flags[<int>POOL_LRU_CHUNK] = huge
    flags[<int>POOL_TABLE] = huge


cdef int used_segments(machine_t *m, segment_t *out) noexcept nogil:
    cdef int n = 0
    cdef int i, z
    cdef zone_t *zone
    for i in range(NR_POOLS):
        if i == POOL_SCRATCH or (m.tokens_on == 0 and (i == POOL_PAGE_TOKEN or i == POOL_SLOT_TOKEN)):
            continue
        if i == POOL_FRAME or i == POOL_MAPCOUNT or i == POOL_PAGE_TOKEN:
            for z in range(<int>m.nr_zones):
                zone = &m.zones[z]
                out[n].pool = i
                out[n].first = zone.start_pfn
                out[n].count = zone.bump - zone.start_pfn
                # frames of mem_map are held by no record: of the reserved ones only the zero page's exists
                if zone.start_pfn > m.zero_pfn:
                    out[n].first += zone.reserved
                    out[n].count -= zone.reserved
                n += 1
        elif i == POOL_SWAP_SLOT or i == POOL_SLOT_TOKEN:
            out[n].pool = i
            out[n].first = 0
            out[n].count = m.slots_used
            n += 1
        elif i == POOL_SWAP_WORD or i == POOL_SWAP_ANY or i == POOL_SWAP_FULL:
            out[n].pool = i
            out[n].first = 0
            out[n].count = (m.slots_used + 4095) >> (6 if i == POOL_SWAP_WORD else 12)
            n += 1
        elif i == POOL_SLAB:
            for z in range(NR_CACHES):
                out[n].pool = i
                out[n].first = m.caches[z].map
                out[n].count = m.pools[cache_pool(z)].next // m.caches[z].num + 1
                if out[n].count > m.caches[z].map_max:
                    out[n].count = m.caches[z].map_max
                n += 1
        else:
            out[n].pool = i
            out[n].first = 0
            out[n].count = m.pools[i].next
            n += 1
    return n


# ---------------------------------------------------------------- wiring

cdef void derive(machine_t *m) noexcept nogil:
    m.pt_shift = m.rules.pt_shift
    m.pt_mask = (<uint32_t>1 << m.pt_shift) - 1
    m.levels = m.rules.levels
    m.leaf_shift = 12 + m.pt_shift
    m.nrpte = (m.rules.l1_line - m.rules.word_size) // m.rules.pte_addr_size
    m.chain_words = m.nrpte + 1


cdef void wire(machine_t *m) noexcept nogil:
    m.ptes = <uint64_t *>m.pools[POOL_PTE].base
    m.frames = <frame_t *>m.pools[POOL_FRAME].base
    m.mapcount = <uint32_t *>m.pools[POOL_MAPCOUNT].base
    m.tables = <table_t *>m.pools[POOL_TABLE].base
    m.vmas = <vma_t *>m.pools[POOL_VMA].base
    m.mms = <mm_t *>m.pools[POOL_MM].base
    m.tasks = <task_t *>m.pools[POOL_TASK].base
    m.files = <file_t *>m.pools[POOL_FILE].base
    m.anon_vmas = <anon_vma_t *>m.pools[POOL_ANON_VMA].base
    m.anonmms = <anonmm_t *>m.pools[POOL_ANONMM].base
    m.avcs = <avc_t *>m.pools[POOL_AVC].base
    m.chains = <uint32_t *>m.pools[POOL_PTE_CHAIN].base
    m.lru_chunks = <lru_chunk_t *>m.pools[POOL_LRU_CHUNK].base
    m.radix = <radix_node_t *>m.pools[POOL_RADIX].base
    m.swap_slots = <swap_slot_t *>m.pools[POOL_SWAP_SLOT].base
    m.page_token = <uint64_t *>m.pools[POOL_PAGE_TOKEN].base
    m.slot_token = <uint64_t *>m.pools[POOL_SLOT_TOKEN].base
    m.slabs = <slab_t *>m.pools[POOL_SLAB].base
    m.events = <event_t *>m.pools[POOL_EVENT].base
    m.swap_words = <swap_word_t *>m.pools[POOL_SWAP_WORD].base
    m.swap_any = <uint64_t *>m.pools[POOL_SWAP_ANY].base
    m.swap_full = <uint64_t *>m.pools[POOL_SWAP_FULL].base
    m.scratch = <uint64_t *>m.pools[POOL_SCRATCH].base
    m.up.poll = poll
    m.up.out_of_memory = out_of_memory
    m.up.end_writeback = end_page_writeback
    m.up.writepage = NULL
    m.up.charge = vm_enough_memory


# ---------------------------------------------------------------- host signals

cdef int take_signals(host_t *h) noexcept with gil:
    """Run the handlers of signals that arrived (main thread only). An exception of one is kept for the boundary."""
    try:
        PyErr_CheckSignals()
    except BaseException as e:
        Py_INCREF(e)
        h.pending = <void *>e
        h.m.host_error |= HOST_INTR
        return -1
    return 0


cdef int poll(machine_t *m) noexcept nogil:
    cdef host_t *h = <host_t *>m
    cdef timespec t
    cdef uint64_t ns
    if h.pending != NULL:
        return -1
    clock_gettime(CLOCK_MONOTONIC, &t)
    ns = <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec
    if ns - h.polled < POLL_NS:
        return 0
    h.polled = ns
    return take_signals(h)
