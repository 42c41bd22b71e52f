"""Batches of accesses. See touch.pxd.

A hit is what the processor does without the kernel: the pte is present and allows the access; accessed and dirty bits
are set. Everything else is do_page_fault. The window looks ahead only to prefetch and to remember pte indexes; those
are void as soon as a page table is freed (m.table_epoch), and an access is always judged by the pte as it is at its
turn.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_FAULT_LOOP, bug
from vmcore._fast.counters cimport TOUCH_HITS, TOUCHES, count_n
from vmcore._fast.fault cimport (
    FAULT_SEGV_ACCERR, FAULT_SEGV_GP, FAULT_SEGV_MAPERR, FAULT_SEGV_PKUERR, FAULT_SIGBUS, do_page_fault,
)
from vmcore._fast.fork cimport do_exit
from vmcore._fast.pagetable cimport leaf_cached, leaf_lookup, pte_in
from vmcore._fast.pool cimport safe_point
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.records cimport (
    KILLED_BUS, KILLED_SEGV, PG_DIRECT, POOL_FRAME, POOL_PTE, POOL_PTE_CHAIN, POOL_TASK, PTE_A, PTE_D, PTE_KIND, PTE_P,
    PTE_PROTNONE, PTE_RW, PTE_SHIFT, PTE_SPECIAL, PTE_SWAP, TASK_ALIVE, frame_t, machine_t)
from vmcore._fast.swap cimport swp_slot

cdef enum:
    NEED_READ = PTE_P | PTE_A
    NEED_WRITE = PTE_P | PTE_A | PTE_RW | PTE_D
    HALF = TOUCH_WINDOW // 2    # its entry has arrived by then
    QUARTER = TOUCH_WINDOW // 4
    WMASK = TOUCH_WINDOW - 1
    # faults of one access before it counts as a bug: 2.6.5 needs two, reclaim in between adds some
    MAX_FAULTS = 10000


cdef inline uint32_t look_up(machine_t *m, uint32_t mm, uint64_t addr, uint64_t *tag, uint32_t *leaf) noexcept nogil:
    """pte index, 0 if there is no leaf table. One remembered leaf serves sequential streams."""
    cdef uint64_t t
    if addr >= m.rules.task_size:
        return 0
    t = addr >> m.leaf_shift
    if t != tag[0]:
        leaf[0] = leaf_lookup(m, mm, addr)
        tag[0] = t if leaf[0] != 0 else ~<uint64_t>0
    if leaf[0] == 0:
        return 0
    return pte_in(m, leaf[0], addr)


cdef inline void prefetch_fault(machine_t *m, uint32_t pte) noexcept nogil:
    """The entry has arrived: what a fault on it will want. Map and cache entry of the slot of a page that is out;
    the record and mapcount of one that may not be written (a read of it faults as little as any other)."""
    cdef uint64_t e = m.ptes[pte]
    cdef uint64_t slot
    if (e & (PTE_P | PTE_PROTNONE | PTE_KIND)) == PTE_SWAP:
        slot = swp_slot(m, <uint32_t>(e >> PTE_SHIFT))
        prefetch_write(&m.swap_slots[slot])
        prefetch_write(&m.swap_words[slot >> 6])
    elif (e & (PTE_P | PTE_RW)) == PTE_P:
        prefetch_write(&m.frames[e >> PTE_SHIFT])
        prefetch_write(&m.mapcount[e >> PTE_SHIFT])


cdef inline void prefetch_chain(machine_t *m, uint32_t pte) noexcept nogil:
    """Half as far ahead: the record has arrived, and names the chain."""
    cdef uint64_t e = m.ptes[pte]
    cdef frame_t *f
    if (e & (PTE_P | PTE_RW | PTE_SPECIAL)) == PTE_P:
        f = &m.frames[e >> PTE_SHIFT]
        if not f.flags & <uint32_t>PG_DIRECT:
            prefetch_write(&m.chains[<uint64_t>f.rmap * m.chain_words])


cdef inline int short_of(machine_t *m, int id, uint64_t n) noexcept nogil:
    return m.pools[id].next + n > m.pools[id].limit and m.pools[id].limit < m.pools[id].max


cdef inline int short_of_pools(machine_t *m) noexcept nogil:
    """Half of the headroom that safe_point gave is used: time for the next one."""
    return short_of(m, POOL_PTE, 3072) or short_of(m, POOL_PTE_CHAIN, 8192) or short_of(m, POOL_FRAME, 65536)


cdef int access_slow(machine_t *m, uint32_t pid, uint64_t addr, int write, uint32_t *out,
                    touch_result *r) noexcept nogil:
    """An access that may need the kernel: fault until the pte allows it. *out: the pte that the caller saw, which does
    not allow the access, or 0; afterwards the pte index. TOUCH_OK, or the status to stop with."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t leaf
    cdef uint32_t pte
    cdef uint64_t e
    cdef int n, f
    for n in range(MAX_FAULTS):
        leaf = leaf_cached(m, mm, addr) if (n != 0 or out[0] == 0) and addr < m.rules.task_size else 0
        if leaf != 0:
            pte = pte_in(m, leaf, addr)
            e = m.ptes[pte]
            if e & PTE_P and (not write or e & PTE_RW):
                m.ptes[pte] = e | (PTE_A | PTE_D if write else PTE_A)
                out[0] = pte
                return TOUCH_OK
        f = do_page_fault(m, pid, addr, write)
        if m.host_error != 0:
            return TOUCH_HOST
        if m.bug != 0:
            return TOUCH_BUG
        if m.tasks[pid].state != TASK_ALIVE:
            return TOUCH_KILLED
        if f < 0:
            r.addr = addr
            if f == FAULT_SEGV_MAPERR:
                r.code = 1
                return TOUCH_SEGV
            if f == FAULT_SEGV_ACCERR:
                r.code = 2
                return TOUCH_SEGV
            if f == FAULT_SEGV_GP:
                r.code = 128                    # SI_KERNEL, and no address
                r.addr = 0
                return TOUCH_SEGV
            if f == FAULT_SEGV_PKUERR:
                r.code = 4
                return TOUCH_SEGV
            if f == FAULT_SIGBUS:
                r.code = 2
                return TOUCH_BUS
            return TOUCH_KILLED
    bug(m, BUG_FAULT_LOOP, pid, addr, write)
    return TOUCH_BUG


cdef void touch_batch(machine_t *m, uint32_t pid, const uint64_t *addrs, const uint8_t *writes, int write, uint64_t n,
                    touch_result *r) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t *ptes = m.ptes
    cdef uint32_t slot[TOUCH_WINDOW]
    cdef uint64_t tag = ~<uint64_t>0
    cdef uint64_t i, j, e, need
    cdef uint64_t faulted = 0
    cdef uint64_t next_safe = TOUCH_SAFE
    cdef uint32_t leaf = 0
    cdef uint32_t pte
    cdef uint32_t epoch = m.table_epoch
    cdef int w = write
    cdef int faulting = 0       # an entry that was there has faulted: others will
    cdef int status = TOUCH_OK
    r.status = TOUCH_OK
    r.code = 0
    r.addr = 0
    need = NEED_WRITE if w else NEED_READ
    for j in range(TOUCH_WINDOW if n > TOUCH_WINDOW else n):
        pte = look_up(m, mm, addrs[j], &tag, &leaf)
        prefetch_write(&ptes[pte])
        slot[j] = pte
    i = 0
    while i < n:
        pte = slot[i & WMASK]
        j = i + TOUCH_WINDOW
        if j < n:
            slot[i & WMASK] = look_up(m, mm, addrs[j], &tag, &leaf)
            prefetch_write(&ptes[slot[i & WMASK]])
        if faulting and i + HALF < n:
            prefetch_fault(m, slot[(i + HALF) & WMASK])
            if m.rules.rmap_nodes != 0:
                prefetch_chain(m, slot[(i + QUARTER) & WMASK])
        if writes != NULL:
            w = writes[i]
            need = NEED_WRITE if w else NEED_READ
        e = ptes[pte]
        if (e & need) == need:
            pass
        elif e & PTE_P and (not w or e & PTE_RW):
            ptes[pte] = e | need
        else:
            faulting |= e != 0
            status = access_slow(m, pid, addrs[i], w, &pte, r)
            if status != TOUCH_OK:
                break
            faulted += 1
            if m.table_epoch != epoch:          # remembered places are void: look again, for the whole window
                epoch = m.table_epoch
                tag = ~<uint64_t>0
                for j in range(i + 1, i + TOUCH_WINDOW + 1):
                    if j < n:
                        slot[j & WMASK] = look_up(m, mm, addrs[j], &tag, &leaf)
            if short_of_pools(m):
                next_safe = i + 1
        i += 1
        if i >= next_safe:
            next_safe = i + TOUCH_SAFE
            if safe_point(m) != 0:
                if i < n:
                    status = TOUCH_HOST
                break
    r.status = status
    r.index = i
    count_n(m, TOUCHES, i)
    count_n(m, TOUCH_HITS, i - faulted)


cdef uint64_t run_of_hits(uint64_t *p, uint64_t n, uint64_t right, uint64_t need) noexcept nogil:
    """Accesses to n neighbouring entries, up to the first that does not allow it: how many. Sixteen at once are only
    read if all their bits are set already, which the compiler does in vectors."""
    cdef uint64_t i = 0
    cdef uint64_t j, all
    while i + 16 <= n:
        all = need
        for j in range(16):
            all &= p[i + j]
        if all != need:
            for j in range(i, i + 16):
                if (p[j] & right) != right:
                    return j
                p[j] |= need
        i += 16
    while i < n and (p[i] & right) == right:
        p[i] |= need
        i += 1
    return i


cdef void touch_range(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int write,
                    touch_result *r) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t at = addr >> PTE_SHIFT                        # page numbers
    cdef uint64_t end = (addr + length + 4095) >> PTE_SHIFT
    cdef uint64_t first = at
    cdef uint64_t need = NEED_WRITE if write else NEED_READ
    cdef uint64_t right = PTE_P | PTE_RW if write else PTE_P
    cdef uint64_t stop
    cdef uint64_t faulted = 0
    cdef uint64_t since = 0
    cdef uint64_t *p
    cdef uint32_t leaf, pte
    cdef uint32_t epoch
    cdef int status = TOUCH_OK
    r.status = TOUCH_OK
    r.code = 0
    r.addr = 0
    if addr + length < addr:
        end = <uint64_t>1 << 52
    while at < end:
        stop = ((at >> m.pt_shift) + 1) << m.pt_shift
        if stop > end:
            stop = end
        leaf = leaf_lookup(m, mm, at << PTE_SHIFT) if at << PTE_SHIFT < m.rules.task_size else 0
        epoch = m.table_epoch
        p = m.ptes + (<uint64_t>leaf << m.pt_shift)
        since += stop - at
        while at < stop:
            if leaf != 0:
                at += run_of_hits(p + (at & m.pt_mask), stop - at, right, need)
                if at == stop:
                    break
            pte = pte_in(m, leaf, at << PTE_SHIFT) if leaf != 0 else 0
            if leaf != 0 and at + HALF < stop:
                prefetch_fault(m, pte + <uint32_t>HALF)
                if m.rules.rmap_nodes != 0:
                    prefetch_chain(m, pte + <uint32_t>QUARTER)
            status = access_slow(m, pid, at << PTE_SHIFT if at != first else addr, write, &pte, r)
            if status != TOUCH_OK:
                break
            at += 1
            faulted += 1
            since += 8
            if leaf == 0 or m.table_epoch != epoch or short_of_pools(m):
                since += TOUCH_SAFE if m.table_epoch == epoch and leaf != 0 else 0
                break                           # look the table up again
        if status != TOUCH_OK:
            break
        if since >= TOUCH_SAFE:
            since = 0
            if safe_point(m) != 0:
                if at < end:
                    status = TOUCH_HOST
                break
    r.status = status
    r.index = at - first
    count_n(m, TOUCHES, at - first)
    count_n(m, TOUCH_HITS, at - first - faulted)


cdef void run_trace(machine_t *m, const trace_t *t, uint64_t n, run_result *r) noexcept nogil:
    cdef uint64_t i, j, e, need
    cdef uint64_t next_safe = TOUCH_SAFE
    cdef uint64_t hits = 0
    cdef uint32_t slot[TOUCH_WINDOW]
    cdef uint32_t tasks = <uint32_t>m.pools[POOL_TASK].next
    cdef uint32_t pid, pte
    cdef uint32_t epoch = m.table_epoch
    cdef touch_result one
    cdef int w, status
    r.executed = 0
    r.skipped = 0
    r.killed = 0
    r.status = TOUCH_OK
    for j in range(TOUCH_WINDOW if n > TOUCH_WINDOW else n):
        slot[j] = trace_slot(m, &t[j], tasks)
    i = 0
    while i < n:
        pte = slot[i & WMASK]
        j = i + TOUCH_WINDOW
        if j < n:
            slot[i & WMASK] = trace_slot(m, &t[j], tasks)
        if i + HALF < n:
            prefetch_fault(m, slot[(i + HALF) & WMASK])
        pid = t[i].task
        w = t[i].op
        if pid == 0 or pid >= tasks or m.tasks[pid].state != TASK_ALIVE:
            r.skipped += 1
        else:
            need = NEED_WRITE if w else NEED_READ
            e = m.ptes[pte]
            if (e & need) == need:
                hits += 1
                r.executed += 1
            elif e & PTE_P and (not w or e & PTE_RW):
                m.ptes[pte] = e | need
                hits += 1
                r.executed += 1
            else:
                m.current = pid
                status = access_slow(m, pid, t[i].addr, w, &pte, &one)
                m.current = 0
                if status == TOUCH_HOST or status == TOUCH_BUG:
                    r.status = status
                    break
                if status == TOUCH_OK:
                    r.executed += 1
                elif status == TOUCH_KILLED:
                    if m.tasks[pid].state == TASK_ALIVE:        # cannot be: killed means dying
                        r.status = TOUCH_BUG
                        break
                    do_exit(m, pid, m.tasks[pid].killed_by)
                    r.killed += 1
                else:                                           # nobody handles the signal
                    do_exit(m, pid, KILLED_SEGV if status == TOUCH_SEGV else KILLED_BUS)
                    r.killed += 1
                if m.table_epoch != epoch:
                    epoch = m.table_epoch
                    for j in range(i + 1, i + TOUCH_WINDOW + 1):
                        if j < n:
                            slot[j & WMASK] = trace_slot(m, &t[j], tasks)
                if short_of_pools(m):
                    next_safe = i + 1
        i += 1
        if i >= next_safe:
            next_safe = i + TOUCH_SAFE
            if safe_point(m) != 0:
                if i < n:
                    r.status = TOUCH_HOST
                break
    r.index = i
    count_n(m, TOUCHES, r.executed)
    count_n(m, TOUCH_HITS, hits)


cdef inline uint32_t trace_slot(machine_t *m, const trace_t *t, uint32_t tasks) noexcept nogil:
    """Look-ahead of a mixed stream: each mm remembers its own last leaf table."""
    cdef uint32_t leaf, pte
    if t.task == 0 or t.task >= tasks or m.tasks[t.task].state != TASK_ALIVE or t.addr >= m.rules.task_size:
        return 0
    leaf = leaf_cached(m, m.tasks[t.task].mm, t.addr)
    if leaf == 0:
        return 0
    pte = pte_in(m, leaf, t.addr)
    prefetch_write(&m.ptes[pte])
    return pte


cdef void touch_token(machine_t *m, uint32_t pid, uint64_t addr, int write, uint64_t *token,
                    touch_result *r) noexcept nogil:
    cdef uint32_t pte
    cdef uint64_t e
    r.code = 0
    r.addr = 0
    r.index = 0
    pte = 0
    r.status = access_slow(m, pid, addr, write, &pte, r)
    if r.status != TOUCH_OK:
        return
    r.index = 1
    count_n(m, TOUCHES, 1)
    e = m.ptes[pte]
    if write:
        m.tokens_on = 1
        m.page_token[e >> PTE_SHIFT] = token[0]
    else:
        token[0] = m.page_token[e >> PTE_SHIFT] if m.tokens_on else 0
