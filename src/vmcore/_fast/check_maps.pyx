"""Verification of address spaces: pools, tasks, mms, vmas and the objects they hang on.

Invariants of fact sheet linux-2004, section 12: vmas sorted and disjoint, list = tree = map_count, total_vm and
locked_vm the sums of their lengths; every vma on the list of its file and of its anon_vma, none on another.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.check_base cimport (
    CHECK_ANON_VMA_COUNT, CHECK_FILE, CHECK_FILE_REFS, CHECK_I_MMAP, CHECK_I_MMAP_COUNT, CHECK_MM_CACHE,
    CHECK_MM_DATA_VM, CHECK_MM_LIST, CHECK_MM_LOCKED_VM, CHECK_MM_TASK, CHECK_MM_TOTAL_VM, CHECK_POOL_BOUNDS,
    CHECK_POOL_FREE_LIST, CHECK_POOL_FREE_RECORD, CHECK_TASK, CHECK_VMA_COUNT, CHECK_VMA_FLAGS, CHECK_VMA_INDEX,
    CHECK_VMA_LINKS, CHECK_VMA_OBJECT, CHECK_VMA_ORDER, CHECK_VMA_RANGE, CHECK_VMA_TREE, CHECK_VMA_TREE_ORDER, check_t,
    fail, in_pool, is_marked)
from vmcore._fast.filemap cimport file_pages
from vmcore._fast.vma cimport is_data_mapping
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_OPEN, FILE_REGULAR, FILE_SHMEM, FILE_UNLINKED, POOL_ANON_VMA, POOL_ANONMM, POOL_AVC, POOL_FILE,
    POOL_LRU_CHUNK, POOL_MM, POOL_PTE, POOL_PTE_CHAIN, POOL_RADIX, POOL_TABLE, POOL_TASK, POOL_VMA, TASK_ALIVE,
    TASK_DEAD, TASK_DYING, TASK_FREE, VM_ACCOUNT, VM_LOCKED, VM_NONLINEAR, VM_SHARED, file_t, machine_t, mm_t, pool_t,
    task_t, vma_t)

cdef enum:
    RB_DEPTH = 64           # a red-black tree of 2^32 nodes is no higher


# ---------------------------------------------------------------- pools

cdef int check_free_list(check_t *c, int id) noexcept nogil:
    """The free list holds as many records as are not in use, each of them marked free where records have a mark."""
    cdef pool_t *p = &c.m.pools[id]
    cdef uint64_t i = p.free
    cdef uint64_t n = 0
    if p.next == 0 or p.next > p.limit or p.limit > p.max:
        return fail(c, CHECK_POOL_BOUNDS, id, p.next, p.limit)
    if p.live >= p.next:
        return fail(c, CHECK_POOL_FREE_LIST, id, p.live, p.next)
    while i != 0:
        n += 1
        if i >= p.next or n > p.next - 1 - p.live:
            return fail(c, CHECK_POOL_FREE_LIST, id, i, n)
        if id == POOL_VMA and c.m.vmas[i].mm != 0:
            return fail(c, CHECK_POOL_FREE_RECORD, id, i, 0)
        if id == POOL_PTE and i < c.m.pools[<int>POOL_TABLE].next and c.m.tables[i].mm != 0:
            return fail(c, CHECK_POOL_FREE_RECORD, id, i, 0)
        if id == POOL_ANON_VMA and c.m.anon_vmas[i].nr != 0:
            return fail(c, CHECK_POOL_FREE_RECORD, id, i, 0)
        if (id == POOL_ANONMM and c.m.anonmms[i].head != 0) or (id == POOL_AVC and c.m.avcs[i].live != 0):
            return fail(c, CHECK_POOL_FREE_RECORD, id, i, 0)
        i = (<uint32_t *>(p.base + i * p.stride))[0]
    if n != p.next - 1 - p.live:
        return fail(c, CHECK_POOL_FREE_LIST, id, n, p.next - 1 - p.live)
    return 0


cdef int check_pools(check_t *c) noexcept nogil:
    cdef pool_t *tables = &c.m.pools[<int>POOL_TABLE]
    cdef pool_t *ptes = &c.m.pools[<int>POOL_PTE]
    if (check_free_list(c, POOL_PTE) < 0 or check_free_list(c, POOL_VMA) < 0 or check_free_list(c, POOL_MM) < 0
            or check_free_list(c, POOL_FILE) < 0 or check_free_list(c, POOL_ANON_VMA) < 0
            or check_free_list(c, POOL_PTE_CHAIN) < 0 or check_free_list(c, POOL_LRU_CHUNK) < 0
            or check_free_list(c, POOL_RADIX) < 0 or check_free_list(c, POOL_ANONMM) < 0
            or check_free_list(c, POOL_AVC) < 0):
        return -1
    # records of tables have the numbers of POOL_PTE, which alone keeps the free list
    if tables.next > tables.limit or tables.next > ptes.next or tables.live != ptes.live:
        return fail(c, CHECK_POOL_BOUNDS, POOL_TABLE, tables.next, tables.live)
    if c.m.pools[<int>POOL_TASK].next == 0 or c.m.pools[<int>POOL_TASK].next > c.m.pools[<int>POOL_TASK].limit:
        return fail(c, CHECK_POOL_BOUNDS, POOL_TASK, c.m.pools[<int>POOL_TASK].next, c.m.pools[<int>POOL_TASK].limit)
    return 0


# ---------------------------------------------------------------- tasks, mms, vmas

cdef int check_tasks(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t pid
    cdef task_t *t
    for pid in range(1, m.pools[<int>POOL_TASK].next):
        t = &m.tasks[pid]
        if t.state == TASK_ALIVE or t.state == TASK_DYING:
            c.tasks += 1
            if not in_pool(m, POOL_MM, t.mm) or m.mms[t.mm].task != pid:
                return fail(c, CHECK_TASK, pid, t.state, t.mm)
            c.mms += 1
        elif (t.state != TASK_DEAD and t.state != TASK_FREE) or t.mm != 0:
            return fail(c, CHECK_TASK, pid, t.state, t.mm)
    if c.tasks != m.nr_tasks:
        return fail(c, CHECK_TASK, 0, c.tasks, m.nr_tasks)
    if c.mms != m.pools[<int>POOL_MM].live:
        return fail(c, CHECK_MM_TASK, c.mms, m.pools[<int>POOL_MM].live, 0)
    return 0


cdef int mm_is_live(machine_t *m, uint64_t mm) noexcept nogil:
    """A free record's first word is the free link, so the task has to agree."""
    cdef uint32_t pid
    if not in_pool(m, POOL_MM, mm):
        return 0
    pid = m.mms[mm].task
    return in_pool(m, POOL_TASK, pid) and m.tasks[pid].mm == mm


cdef int check_mmlist(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t n = 0
    cdef uint32_t mm = m.mmlist
    cdef uint32_t next
    cdef int found = m.swap_mm == 0     # the place of swap_out (2.4) is on the ring, or at init_mm before it
    if mm == 0:
        return fail(c, CHECK_MM_LIST, 0, m.swap_mm, c.mms) if c.mms + m.mmlist_nr + m.swap_mm != 0 else 0
    while True:
        if not mm_is_live(m, mm):
            return fail(c, CHECK_MM_LIST, mm, n, c.mms)
        next = m.mms[mm].mmlist_next
        if not in_pool(m, POOL_MM, next) or m.mms[next].mmlist_prev != mm:
            return fail(c, CHECK_MM_LIST, mm, next, c.mms)
        if m.mms[mm].swap_address > m.rules.task_size:
            return fail(c, CHECK_MM_LIST, mm, m.mms[mm].swap_address, m.rules.task_size)
        found |= mm == m.swap_mm
        n += 1
        mm = next
        if mm == m.mmlist:
            break
        if n > c.mms:
            return fail(c, CHECK_MM_LIST, mm, n, c.mms)
    if n != c.mms or n != m.mmlist_nr or not found:
        return fail(c, CHECK_MM_LIST, m.swap_mm, n, c.mms)
    return 0


cdef inline int anon_object(machine_t *m, uint32_t i) noexcept nogil:
    """What a vma may name as its anon_vma."""
    if m.rules.vma_anon_vma == 2:
        return in_pool(m, POOL_ANONMM, i) and m.anonmms[i].head == i
    return in_pool(m, POOL_ANON_VMA, i) and m.anon_vmas[i].nr != 0


cdef inline int gap_is_long(mm_t *p, uint64_t start, uint64_t end) noexcept nogil:
    """Whether a gap should have been found that the top-down search believes it need not look at."""
    if start < p.gap_top:
        start = p.gap_top
    if end > p.mmap_base:
        end = p.mmap_base
    return p.gap_top != 0 and end > start and end - start >= p.gap_length


cdef int check_vma_list(check_t *c, uint32_t mm) noexcept nogil:
    cdef machine_t *m = c.m
    cdef mm_t *mp = &m.mms[mm]
    cdef uint32_t i = mp.mmap
    cdef uint32_t prev = 0
    cdef uint64_t n = 0
    cdef uint64_t end = 0
    cdef uint64_t total = 0
    cdef uint64_t locked = 0
    cdef uint64_t data = 0
    cdef uint64_t pages
    cdef vma_t *v
    while i != 0:
        if not in_pool(m, POOL_VMA, i) or m.vmas[i].mm != mm:
            return fail(c, CHECK_VMA_INDEX, mm, i, prev)
        v = &m.vmas[i]
        n += 1
        if n > mp.map_count:
            return fail(c, CHECK_VMA_COUNT, mm, n, mp.map_count)
        if v.prev != prev:
            return fail(c, CHECK_VMA_LINKS, mm, i, v.prev)
        if v.start >= v.end or ((v.start | v.end) & 4095) != 0 or v.end > m.rules.task_size:
            return fail(c, CHECK_VMA_RANGE, mm, i, v.start)
        if v.start < end:
            return fail(c, CHECK_VMA_ORDER, mm, i, v.start)
        if gap_is_long(mp, end, v.start):
            return fail(c, CHECK_MM_CACHE, mm, i, mp.gap_top)
        # a shared mapping has an object; a private one of none is anonymous
        if (v.flags & VM_SHARED) != 0 and v.file == 0:
            return fail(c, CHECK_VMA_FLAGS, mm, i, v.flags)
        # a nonlinear one is a shared mapping
        if (v.flags & (VM_NONLINEAR | VM_SHARED)) == VM_NONLINEAR:
            return fail(c, CHECK_VMA_FLAGS, mm, i, v.flags)
        c.nonlinear_vmas += (v.flags & VM_NONLINEAR) != 0
        if v.file != 0 and not in_pool(m, POOL_FILE, v.file):
            return fail(c, CHECK_VMA_OBJECT, mm, i, v.file)
        if v.anon_vma != 0 and not anon_object(m, v.anon_vma):
            return fail(c, CHECK_VMA_OBJECT, mm, i, v.anon_vma)
        c.file_vmas += v.file != 0
        c.anon_vmas += v.anon_vma != 0
        pages = (v.end - v.start) >> 12
        total += pages
        if v.flags & VM_LOCKED:
            locked += pages
        if v.flags & VM_ACCOUNT:
            c.accounted += pages
        if is_data_mapping(v.flags):
            data += pages
        end = v.end
        prev = i
        i = v.next
    if n != mp.map_count:
        return fail(c, CHECK_VMA_COUNT, mm, n, mp.map_count)
    if total != mp.total_vm:
        return fail(c, CHECK_MM_TOTAL_VM, mm, total, mp.total_vm)
    # what DONTUNMAP left counted stays so; only the calls that know of it do that
    if locked + mp.locked_lost != mp.locked_vm:
        return fail(c, CHECK_MM_LOCKED_VM, mm, locked + mp.locked_lost, mp.locked_vm)
    if data != mp.data_vm:
        return fail(c, CHECK_MM_DATA_VM, mm, data, mp.data_vm)
    if mp.mmap_cache != 0 and (not in_pool(m, POOL_VMA, mp.mmap_cache) or m.vmas[mp.mmap_cache].mm != mm):
        return fail(c, CHECK_MM_CACHE, mm, mp.mmap_cache, 0)
    if gap_is_long(mp, end, mp.mmap_base):
        return fail(c, CHECK_MM_CACHE, mm, 0, mp.gap_top)
    c.r.vmas += n
    return 0


cdef int check_vma_tree(check_t *c, uint32_t mm) noexcept nogil:
    """In order the tree must be the list; no red child of a red node; as many black nodes on every way down."""
    cdef machine_t *m = c.m
    cdef uint32_t[RB_DEPTH] stack
    cdef uint32_t[RB_DEPTH] blacks      # black nodes from the root to stack[i]
    cdef int depth = 0
    cdef uint32_t node = m.mms[mm].rb_root
    cdef uint32_t parent = 0
    cdef uint32_t black = 0
    cdef uint32_t height = 0            # black height, from the first way down that ends
    cdef uint32_t at = m.mms[mm].mmap
    cdef uint64_t n = 0
    cdef vma_t *v
    if node != 0 and in_pool(m, POOL_VMA, node) and (m.vmas[node].rb_parent & 1) == 0:
        return fail(c, CHECK_VMA_TREE, mm, node, 0)
    while True:
        while node != 0:
            if not in_pool(m, POOL_VMA, node) or m.vmas[node].mm != mm or depth == RB_DEPTH:
                return fail(c, CHECK_VMA_TREE, mm, node, parent)
            v = &m.vmas[node]
            if (v.rb_parent >> 1) != parent:
                return fail(c, CHECK_VMA_TREE, mm, node, parent)
            if (v.rb_parent & 1) == 0 and parent != 0 and (m.vmas[parent].rb_parent & 1) == 0:
                return fail(c, CHECK_VMA_TREE, mm, node, parent)
            black += v.rb_parent & 1
            stack[depth] = node
            blacks[depth] = black
            depth += 1
            parent = node
            node = v.rb_left
        if height == 0:
            height = black + 1
        elif height != black + 1:
            return fail(c, CHECK_VMA_TREE, mm, parent, black)
        if depth == 0:
            break
        depth -= 1
        node = stack[depth]
        black = blacks[depth]
        if node != at:
            return fail(c, CHECK_VMA_TREE_ORDER, mm, node, at)
        at = m.vmas[node].next
        n += 1
        if n > m.mms[mm].map_count:
            return fail(c, CHECK_VMA_COUNT, mm, n, m.mms[mm].map_count)
        parent = node
        node = m.vmas[node].rb_right
    if at != 0 or n != m.mms[mm].map_count:
        return fail(c, CHECK_VMA_COUNT, mm, n, m.mms[mm].map_count)
    return 0


cdef int check_spaces(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t mm
    if check_tasks(c) < 0 or check_mmlist(c) < 0:
        return -1
    for mm in range(1, m.pools[<int>POOL_MM].next):
        if not mm_is_live(m, mm):
            continue
        c.r.mms += 1
        if check_vma_list(c, <uint32_t>mm) < 0 or check_vma_tree(c, <uint32_t>mm) < 0:
            return -1
    if c.r.vmas != m.pools[<int>POOL_VMA].live:
        return fail(c, CHECK_VMA_COUNT, 0, c.r.vmas, m.pools[<int>POOL_VMA].live)
    return 0


# ---------------------------------------------------------------- objects that vmas hang on

cdef int64_t check_nonlinear(check_t *c, uint32_t file) noexcept nogil:
    """Vmas on the file's list of nonlinear ones; -1 after a failure. nr_i_mmap_nonlinear counts them, or, where they
    are not kept apart, is compared in sum."""
    cdef machine_t *m = c.m
    cdef file_t *f = &m.files[file]
    cdef uint32_t i = f.i_mmap_nonlinear
    cdef uint32_t next
    cdef int64_t n = 0
    c.nonlinear_counted += f.nr_i_mmap_nonlinear
    while i != 0:
        if not m.rules.nonlinear_list or not in_pool(m, POOL_VMA, i) or m.vmas[i].mm == 0 or m.vmas[i].file != file:
            return fail(c, CHECK_I_MMAP, file, i, n)
        next = m.vmas[i].shared_next
        if (m.vmas[i].flags & VM_NONLINEAR) == 0 or not in_pool(m, POOL_VMA, next) or m.vmas[next].shared_prev != i:
            return fail(c, CHECK_I_MMAP, file, i, next)
        # the cursor of the cluster scan is at the start of a cluster, and not further than one beyond the longest
        if m.vmas[i].private_data & (32 * 4096 - 1) != 0:
            return fail(c, CHECK_I_MMAP, file, i, m.vmas[i].private_data)
        n += 1
        i = next
        if i == f.i_mmap_nonlinear:
            break
        if <uint64_t>n > c.r.vmas:
            return fail(c, CHECK_I_MMAP, file, i, n)
    if m.rules.nonlinear_list and n != f.nr_i_mmap_nonlinear:
        return fail(c, CHECK_I_MMAP_COUNT, file, n, f.nr_i_mmap_nonlinear)
    return n


cdef int check_objects(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t i
    cdef uint64_t free
    cdef uint64_t words = (m.pools[<int>POOL_FILE].next >> 5) + 1
    cdef uint64_t file_vmas = 0
    cdef uint64_t vmas
    cdef int64_t n
    cdef file_t *f
    # a file takes an inode of the simulated kernel's own memory, so that there are far fewer than 32 a frame
    if words > m.nr_frames:
        return fail(c, CHECK_POOL_BOUNDS, POOL_FILE, m.pools[<int>POOL_FILE].next, m.nr_frames)
    free = m.pools[<int>POOL_FILE].free
    while free != 0:
        c.census[free >> 5] |= <uint32_t>1 << (free & 31)
        free = (<uint32_t *>&m.files[free])[0]
    for i in range(1, m.pools[<int>POOL_FILE].next):
        f = &m.files[i]
        if is_marked(c.census, i):
            continue
        c.files += 1
        if f.kind < FILE_REGULAR or f.kind > FILE_DEVICE:
            return fail(c, CHECK_FILE, i, f.kind, 0)
        n = m.i_mmap.verify(c, <uint32_t>i)
        if n < 0:
            return -1
        vmas = n
        n = check_nonlinear(c, <uint32_t>i)
        if n < 0:
            return -1
        vmas += n
        file_vmas += vmas
        if f.kind == FILE_SHMEM and (f.flags & FILE_UNLINKED) != 0:
            c.shmem_pages += file_pages(f)      # the object pays for all of its size
        if f.refs == 0 or f.refs != vmas + ((f.flags & FILE_OPEN) != 0):
            return fail(c, CHECK_FILE_REFS, i, f.refs, vmas)
    memset(c.census, 0, words * sizeof(uint32_t))
    if c.nonlinear_counted != c.nonlinear_vmas:
        return fail(c, CHECK_I_MMAP_COUNT, 0, c.nonlinear_counted, c.nonlinear_vmas)
    # each index proved its vmas to be of its file, so equal sums mean that every vma is in its index
    if file_vmas != c.file_vmas:
        return fail(c, CHECK_I_MMAP_COUNT, 0, file_vmas, c.file_vmas)
    if m.rmap.verify(c) < 0:
        return -1
    if c.r.anon_vmas != m.pools[<int>POOL_ANON_VMA].live:
        return fail(c, CHECK_ANON_VMA_COUNT, 0, c.r.anon_vmas, m.pools[<int>POOL_ANON_VMA].live)
    return 0
