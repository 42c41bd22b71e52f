# Simulated time, the event queue, devices.
#
# Events due at a time are ordered by (when, order of posting). The default device takes no time: its writes end at the
# next switch point, in the order submitted; they wait in a ring (machine.due_arg) instead of the heap. Switch points:
# after a fault returns, when an allocation or a full device queue must wait. kswapd runs only there.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# Post an event; the event pool holds at most 2^20.
cdef void event_post(machine_t *m, uint64_t when, uint32_t kind, uint32_t arg) noexcept nogil
# Deliver every event with when <= now.
cdef void events_run(machine_t *m) noexcept nogil
# Wait until the next event or `timeout_ns` from now, whichever is first; deliver events; let kswapd run. Moves `now`.
cdef void wait_event(machine_t *m, uint64_t timeout_ns) noexcept nogil
# Submit the write of a frame (already PG_WRITEBACK, one reference held): posts EV_WRITE_END. A full queue
# (device.depth) waits first.
cdef void device_write(machine_t *m, uint32_t device, uint32_t pfn) noexcept nogil
# Read n pages: returns when the data is there (`now` moves by read_ns; other events due meanwhile are delivered).
cdef void device_read(machine_t *m, uint32_t device, uint32_t n) noexcept nogil
cdef void clock_init(machine_t *m) noexcept nogil

cdef inline void switch_point(machine_t *m) noexcept nogil:
    """After a fault, and whenever a task would sleep: I/O ends, kswapd runs if it was woken."""
    if m.due_nr != 0 or m.nr_events != 0:
        events_run(m)
    if m.kswapd_awake and not m.in_kswapd:
        m.reclaim.kswapd(m)
