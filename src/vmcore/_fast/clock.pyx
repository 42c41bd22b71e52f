"""Simulated time, the event queue and the devices. See clock.pxd; DESIGN section 3, "Time".

The queue is a binary heap of event_t ordered by (when, seq) in POOL_EVENT. Writes of a device that takes no time never
enter it: they are due at the next switch point and wait in a ring. wait_event() delivers the ring before time moves, so
ring entries always come before heap entries, as their posting times demand.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.records cimport (
    DEV_FILE, DEV_SWAP, DUE_RING, EV_WRITE_END, NR_DEVICES, PG_SWAPCACHE, POOL_EVENT, device_t, event_t, machine_t,
)

cdef enum:
    NR_REQUESTS = 128       # requests a queue takes before get_request waits (2.6 block layer)


cdef void clock_init(machine_t *m) noexcept nogil:
    cdef int d
    m.now = 0
    m.event_seq = 0
    m.nr_events = 0
    m.due_head = 0
    m.due_nr = 0
    for d in range(NR_DEVICES):
        m.devices[d].depth = NR_REQUESTS


cdef inline bint earlier(event_t *a, event_t *b) noexcept nogil:
    return a.when < b.when or (a.when == b.when and a.seq < b.seq)


cdef void event_post(machine_t *m, uint64_t when, uint32_t kind, uint32_t arg) noexcept nogil:
    cdef uint64_t i = m.nr_events
    cdef uint64_t up
    cdef event_t e
    cdef event_t *h = m.events + 1          # record 0 of the pool is null
    e.when = when
    e.seq = m.event_seq
    e.kind = kind
    e.arg = arg
    m.event_seq += 1
    m.nr_events += 1
    if m.nr_events + 1 > m.pools[POOL_EVENT].next:
        m.pools[POOL_EVENT].next = m.nr_events + 1
    while i > 0:
        up = (i - 1) >> 1
        if not earlier(&e, h + up):
            break
        h[i] = h[up]
        i = up
    h[i] = e


cdef event_t event_pop(machine_t *m) noexcept nogil:
    cdef event_t *h = m.events + 1
    cdef event_t top = h[0]
    cdef event_t last
    cdef uint64_t n, i, c
    m.nr_events -= 1
    n = m.nr_events
    last = h[n]
    i = 0
    while 2 * i + 1 < n:
        c = 2 * i + 1
        if c + 1 < n and earlier(h + c + 1, h + c):
            c += 1
        if not earlier(h + c, &last):
            break
        h[i] = h[c]
        i = c
    h[i] = last
    return top


cdef void write_ended(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef int d = DEV_SWAP if m.frames[pfn].flags & PG_SWAPCACHE else DEV_FILE
    m.devices[d].inflight -= 1
    m.up.end_writeback(m, pfn)


cdef void due_run(machine_t *m, uint32_t n) noexcept nogil:
    cdef uint32_t pfn
    while n > 0 and m.due_nr > 0:
        pfn = m.due_arg[m.due_head & (DUE_RING - 1)]
        m.due_head += 1
        m.due_nr -= 1
        n -= 1
        write_ended(m, pfn)


cdef void events_run(machine_t *m) noexcept nogil:
    cdef event_t e
    due_run(m, m.due_nr)
    while m.nr_events > 0 and m.events[1].when <= m.now:
        e = event_pop(m)
        if e.kind == EV_WRITE_END:
            write_ended(m, e.arg)


cdef void wait_event(machine_t *m, uint64_t timeout_ns) noexcept nogil:
    cdef uint64_t until = m.now + timeout_ns
    if m.due_nr == 0:
        if m.nr_events > 0 and m.events[1].when < until:
            until = m.events[1].when
        if until > m.now:
            m.now = until
    events_run(m)
    if m.kswapd_awake and not m.in_kswapd:
        m.reclaim.kswapd(m)


cdef void device_write(machine_t *m, uint32_t device, uint32_t pfn) noexcept nogil:
    cdef device_t *d = &m.devices[device]
    while d.inflight >= d.depth:
        if m.due_nr != 0:
            due_run(m, d.depth // 2)    # interrupts, not a switch: the older half ends
        else:
            m.now = m.events[1].when
            events_run(m)
    d.inflight += 1
    d.writes += 1
    if d.write_ns == 0 and m.due_nr < DUE_RING:
        m.due_arg[(m.due_head + m.due_nr) & (DUE_RING - 1)] = pfn
        m.due_nr += 1
        return
    if d.busy_until < m.now:
        d.busy_until = m.now
    d.busy_until += d.write_ns
    event_post(m, d.busy_until, EV_WRITE_END, pfn)


cdef void device_read(machine_t *m, uint32_t device, uint32_t n) noexcept nogil:
    cdef device_t *d = &m.devices[device]
    cdef uint64_t until
    d.reads += n
    if d.read_ns == 0:
        return
    if d.busy_until < m.now:
        d.busy_until = m.now
    d.busy_until += d.read_ns * n
    until = d.busy_until
    while m.now < until:
        wait_event(m, until - m.now)
