"""Pools: reservation, host check, safe points. See pool.pxd for the contract.

Host memory is asked for in steps of at least 16 MiB, against MemAvailable of /proc/meminfo, the limits of the memory
cgroups that this process is in, and RLIMIT_RSS (ulimit -m), which Linux itself does not enforce: who sets it bounds the
engine by it. 3 % of that and 64 MiB are always left to others, and what check() needs: the engine is refused before the
host's own OOM killer would have to choose.
"""
from libc.errno cimport EINTR, ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport FILE, fclose, fgets, fopen, snprintf, sscanf
from libc.string cimport strchr, strncmp, strrchr, strstr

from vmcore._fast.records cimport (
    HOST_NOMEM, POOL_ANON_VMA, POOL_ANONMM, POOL_AVC, POOL_EVENT, POOL_FRAME, POOL_LRU_CHUNK, POOL_MM, POOL_PTE,
    POOL_PTE_CHAIN,
    POOL_RADIX, POOL_TABLE, POOL_VMA, machine_t, pool_t,
)

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int madvise(void *addr, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MADV_HUGEPAGE
    void *MAP_FAILED

cdef extern from "<sys/resource.h>" nogil:
    ctypedef unsigned long long rlim_t
    struct rlimit:
        rlim_t rlim_cur
    int getrlimit(int resource, rlimit *rlim)
    int RLIMIT_RSS
    rlim_t RLIM_INFINITY

cdef extern from "<unistd.h>" nogil:
    long sysconf(int name)
    int _SC_PAGESIZE

cdef enum:
    HUGE = 2 << 20
    STEP = 16 << 20
    MARGIN = 64 << 20


cdef int pool_init(pool_t *p, uint64_t stride, uint64_t max, uint32_t flags) noexcept nogil:
    cdef uint64_t want = stride * max
    cdef uint64_t bytes = (want + 2 * HUGE - 1) & ~(<uint64_t>HUGE - 1)     # one huge page more: room to align the base
    cdef uint64_t at, head, tail
    cdef void *a
    if max == 0 or want // stride != max or bytes < want:
        return -ENOMEM
    a = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if a == MAP_FAILED:
        return -ENOMEM
    at = (<uint64_t>a + HUGE - 1) & ~(<uint64_t>HUGE - 1)
    head = at - <uint64_t>a
    tail = bytes - head - ((want + 4095) & ~<uint64_t>4095)
    if head:
        munmap(a, head)
    if tail:
        munmap(<void *>(<uint64_t>a + bytes - tail), tail)
    p.base = <char *>at
    p.bytes = bytes - head - tail
    p.stride = stride
    p.max = max
    p.limit = 1
    p.next = 1              # record 0 is null
    p.live = 0
    p.free = 0
    p.flags = flags
    if flags & POOL_HUGE:
        madvise(p.base, p.bytes, MADV_HUGEPAGE)     # harmless where the host has none
    return 0


cdef void pool_destroy(pool_t *p) noexcept nogil:
    if p.base != NULL:
        munmap(p.base, p.bytes)
        p.base = NULL


cdef uint64_t read_number(const char *path, const char *prefix) noexcept nogil:
    """The number after `prefix` at the start of a line of a file (prefix "" = first line); ~0 if there is none."""
    cdef char line[256]
    cdef unsigned long long v = 0
    cdef uint64_t found = ~<uint64_t>0
    cdef size_t n = 0
    cdef FILE *f = fopen(path, "r")
    if f == NULL:
        return found
    while prefix[n] != 0:
        n += 1
    while fgets(line, 256, f) != NULL:
        if strncmp(line, prefix, n) == 0:
            if sscanf(line + n, " %llu", &v) == 1:
                found = v
            break
    fclose(f)
    return found


cdef uint64_t cgroup_room(
    const char *base, char *path, const char *limit, const char *used, const char *cached,
) noexcept nogil:
    """The least that a cgroup and those above it leave; page cache that nobody uses counts as free. ~0: no limit."""
    cdef char name[1024]
    cdef uint64_t room = ~<uint64_t>0
    cdef uint64_t most, now, cache
    cdef char *slash
    while True:
        snprintf(name, sizeof(name), "%s%s/%s", base, path, limit)
        most = read_number(name, "")
        snprintf(name, sizeof(name), "%s%s/%s", base, path, used)
        now = read_number(name, "")
        if most != ~<uint64_t>0 and now != ~<uint64_t>0:
            snprintf(name, sizeof(name), "%s%s/memory.stat", base, path)
            cache = read_number(name, cached)
            if cache < now:     # not ~0, which is no such line
                now -= cache
            room = min(room, most - now if most > now else 0)
        slash = strrchr(path, b"/")
        if slash == NULL:
            return room
        slash[0] = 0


cdef uint64_t cgroups_room() noexcept nogil:
    """The same for the cgroups of this process: a line of /proc/self/cgroup is ID:CONTROLLERS:PATH, and that of v2 has
    no controllers. In a container the path may be the host's; the limit is then found at the root."""
    cdef char line[768]
    cdef uint64_t room = ~<uint64_t>0
    cdef char *controllers
    cdef char *path
    cdef char *end
    cdef FILE *f = fopen("/proc/self/cgroup", "r")
    if f == NULL:
        return room
    while fgets(line, sizeof(line), f) != NULL:
        controllers = strchr(line, b":")
        path = strchr(controllers + 1, b":") if controllers != NULL else NULL
        end = strchr(path, b"\n") if path != NULL else NULL
        if end == NULL:
            continue
        controllers[0] = path[0] = end[0] = 0
        path += 1
        if path[0] == b"/" and path[1] == 0:
            path += 1
        if controllers[1] == 0:
            room = min(room, cgroup_room("/sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file"))
        elif strstr(controllers + 1, "memory") != NULL:
            room = min(room, cgroup_room("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes",
                                         "memory.usage_in_bytes", "total_inactive_file"))
    fclose(f)
    return room


cdef uint64_t resident() noexcept nogil:
    """Bytes of this process in the host's memory: the second number of /proc/self/statm, in pages."""
    cdef char line[128]
    cdef unsigned long long size = 0, pages = 0
    cdef FILE *f = fopen("/proc/self/statm", "r")
    if f == NULL:
        return 0
    if fgets(line, sizeof(line), f) != NULL:
        sscanf(line, "%llu %llu", &size, &pages)
    fclose(f)
    return pages * <uint64_t>sysconf(_SC_PAGESIZE)


cdef uint64_t host_available() noexcept nogil:
    cdef uint64_t avail = read_number("/proc/meminfo", "MemAvailable:")
    cdef rlimit most
    cdef uint64_t now
    if avail == ~<uint64_t>0:
        avail = <uint64_t>1 << 62       # a host that does not say: let mmap decide
    else:
        avail <<= 10
    avail = min(avail, cgroups_room())
    if getrlimit(RLIMIT_RSS, &most) == 0 and most.rlim_cur != RLIM_INFINITY:
        now = resident()
        avail = min(avail, most.rlim_cur - now if most.rlim_cur > now else 0)
    return avail


cdef int pool_reserve(machine_t *m, int id, uint64_t n) noexcept nogil:
    cdef pool_t *p = &m.pools[id]
    cdef uint64_t goal, bytes, check, avail
    if p.limit >= p.next + n or p.limit == p.max:
        return 0
    goal = p.next + n
    if (goal - p.limit) * p.stride < STEP:
        goal = p.limit + STEP // p.stride
    if goal > p.max:
        goal = p.max
    bytes = (goal - p.limit) * p.stride
    check = 4 * m.pools[<int>POOL_FRAME].next + 2 * m.slots_used     # what check() takes while it looks (engine.pyx)
    avail = host_available()
    if bytes + check + MARGIN + avail // 32 > avail:
        m.host_error |= HOST_NOMEM
        return -ENOMEM
    p.limit = goal
    return 0


cdef int pool_reserve_all(machine_t *m) noexcept nogil:
    if pool_reserve(m, POOL_PTE, 3 * POOL_SAFE_TABLES) != 0 or pool_reserve(m, POOL_TABLE, 3 * POOL_SAFE_TABLES) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_FRAME, 8 * POOL_SAFE_OTHERS) != 0 or pool_reserve(m, POOL_PTE_CHAIN, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_LRU_CHUNK, 256) != 0 or pool_reserve(m, POOL_RADIX, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_VMA, POOL_SAFE_OTHERS) != 0 or pool_reserve(m, POOL_ANON_VMA, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if m.rules.avc_size != 0 and pool_reserve(m, POOL_AVC, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_EVENT, POOL_SAFE_OTHERS) != 0 or pool_reserve(m, POOL_MM, 16) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_ANONMM, 16) != 0:
        return -ENOMEM
    return 0


cdef bint interrupted(machine_t *m) noexcept nogil:
    return m.host_error != 0 or (m.up.poll != NULL and m.up.poll(m) < 0)


cdef int safe_point(machine_t *m) noexcept nogil:
    if interrupted(m):
        return -EINTR
    return pool_reserve_all(m)
