# Batches of accesses: the loop that everything else waits for.
#
# A rolling window looks TOUCH_WINDOW accesses ahead: it walks the upper tables, remembers the pte index and prefetches
# the entry. Hits are served inline; a fault is handled in stream order. Safe points every TOUCH_SAFE accesses: host
# signals, pool headroom.
from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    TOUCH_WINDOW = 64
    TOUCH_SAFE = 4096
    # touch_result.status
    TOUCH_OK = 0
    TOUCH_SEGV = 1          # .addr, .code: 1 MAPERR, 2 ACCERR
    TOUCH_BUS = 2
    TOUCH_KILLED = 3        # the touching task was killed (killed_by)
    TOUCH_HOST = 4          # m.host_error: interrupted or host memory; access .index has not happened
    TOUCH_BUG = 5

cdef struct touch_result:
    uint32_t status
    uint32_t code
    uint64_t index          # accesses completed
    uint64_t addr

cdef packed struct trace_t:  # vmcore.TRACE_DTYPE
    uint64_t addr
    uint32_t task
    uint8_t op              # 0 read, 1 write
    uint8_t pad[3]

cdef struct run_result:
    uint64_t executed
    uint64_t skipped        # records of dead tasks
    uint64_t killed         # tasks that died
    uint64_t index          # records consumed
    uint32_t status         # TOUCH_OK, TOUCH_HOST, TOUCH_BUG

# n accesses; writes: NULL = all as `write`, else one u8 each.
cdef void touch_batch(machine_t *m, uint32_t pid, const uint64_t *addrs, const uint8_t *writes, int write, uint64_t n,
                    touch_result *r) noexcept nogil
# Every page of [addr, addr + length) once, in order.
cdef void touch_range(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int write,
                    touch_result *r) noexcept nogil
cdef void run_trace(machine_t *m, const trace_t *t, uint64_t n, run_result *r) noexcept nogil
# One access that carries a content token: write stores *token, read loads it.
cdef void touch_token(machine_t *m, uint32_t pid, uint64_t addr, int write, uint64_t *token,
                    touch_result *r) noexcept nogil
