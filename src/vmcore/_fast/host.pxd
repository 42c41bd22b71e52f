# The host's side of a machine: the memory of its pools, its wiring, and the polls for host signals. Belongs to
# engine.pyx.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    MAX_SEGMENTS = 64

cdef struct host_t:         # the machine comes first: a machine_t * that the engine passes around is a host_t *
    machine_t m
    void *engine            # the Engine that owns it, not counted
    void *pending           # exception of a signal handler, counted: leave() raises it
    uint64_t polled         # ns, host clock: last look at host signals

cdef struct segment_t:      # records [first, first + count) of a pool are in use
    uint32_t pool
    uint64_t first
    uint64_t count

cdef class Region:
    # One pool's reservation; lives as long as its machine or any view of it.
    cdef char *base
    cdef uint64_t bytes
    cdef bint sealed        # buffers are read-only; only restore() fills a region from Python

# Stride, greatest number of records and flags of each pool; needs m.rules, m.nr_frames, m.chain_words.
cdef void pool_plan(machine_t *m, uint64_t slots, uint64_t *stride, uint64_t *most, uint32_t *flags) noexcept nogil
# Set what follows from rules and pools: pointers, shifts, upward calls. Designs are the engine's business.
cdef void wire(machine_t *m) noexcept nogil
# chain_words, nrpte and the page-table shifts, from m.rules.
cdef void derive(machine_t *m) noexcept nogil
# What save and clone must copy; returns how many segments (at most MAX_SEGMENTS).
cdef int used_segments(machine_t *m, segment_t *out) noexcept nogil
