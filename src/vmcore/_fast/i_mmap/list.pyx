"""The two lists over the vmas of a file: i_mmap (without VM_SHARED) and i_mmap_shared. mm/mmap.c of 2.6.5; fact sheet
linux-2004 3.1.

Order is arrival order, and a query looks at every vma of both lists, so its cost is the number of mappings of the file,
whatever part of it they map.

    i_mmap ->  a <-> b <-> c        circular through shared_next and shared_prev; the head is the oldest
               ^-----------'        insert: before the head, which is the tail; insert_fork: before the parent

In the kernel a vma whose borders move stays where it is on its list. Here, for the sake of indexes that are ordered by
range, every index sees remove, the change, insert. So remove leaves behind in the record who stood beside it (0 for
"nobody on this side"), and an insert that finds the same two still side by side puts the vma back between them.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.check_base cimport CHECK_I_MMAP, check_t, fail, in_pool
from vmcore._fast.counters cimport I_MMAP_LOOKUPS, I_MMAP_NODES_VISITED, count
from vmcore._fast.i_mmap.i_mmap cimport i_mmap_inserted, i_mmap_removed, member_ok, members_counted, members_t
from vmcore._fast.records cimport PAGE_SHIFT, POOL_VMA, VM_SHARED, file_t, i_mmap_iter, i_mmap_ops, machine_t, vma_t

cdef i_mmap_ops OPS


cdef inline uint32_t *head_of(machine_t *m, vma_t *v) noexcept nogil:
    cdef file_t *f = &m.files[v.file]
    return &f.i_mmap_shared if v.flags & VM_SHARED else &f.i_mmap


cdef inline void link_before(machine_t *m, uint32_t vma, uint32_t at) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t prev = m.vmas[at].shared_prev
    v.shared_next = at
    v.shared_prev = prev
    m.vmas[prev].shared_next = vma
    m.vmas[at].shared_prev = vma


cdef inline uint32_t old_place(machine_t *m, uint32_t vma, uint32_t head) noexcept nogil:
    """The vma before which this one stood when it was removed; 0 if it was the tail, is new, or that place is gone."""
    cdef vma_t *v = &m.vmas[vma]
    cdef vma_t *n = &m.vmas[v.shared_next]
    if v.shared_next == 0 or v.shared_next == vma:
        return 0
    if n.mm == 0 or n.file != v.file or ((n.flags ^ v.flags) & VM_SHARED) != 0 or n.shared_next == 0:
        return 0
    if v.shared_prev == 0:
        return head if v.shared_next == head else 0
    if v.shared_next == head or n.shared_prev != v.shared_prev or m.vmas[v.shared_prev].shared_next != v.shared_next:
        return 0
    return v.shared_next


cdef void list_insert(machine_t *m, uint32_t vma) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t *head = head_of(m, v)
    cdef uint32_t at
    i_mmap_inserted(m, v)
    if head[0] == 0:
        v.shared_next = vma
        v.shared_prev = vma
        head[0] = vma
        return
    at = old_place(m, vma, head[0])
    if at == 0:
        link_before(m, vma, head[0])
    else:
        link_before(m, vma, at)
        if at == head[0]:
            head[0] = vma


cdef void list_insert_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil:
    cdef vma_t *v = &m.vmas[child]
    cdef uint32_t *head = head_of(m, v)
    i_mmap_inserted(m, v)
    link_before(m, child, parent)
    if head[0] == parent:
        head[0] = child


cdef void list_remove(machine_t *m, uint32_t vma) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t *head = head_of(m, v)
    cdef uint32_t first = head[0]
    cdef uint32_t next = v.shared_next
    cdef uint32_t prev = v.shared_prev
    i_mmap_removed(m, v)
    m.vmas[prev].shared_next = next
    m.vmas[next].shared_prev = prev
    if first == vma:
        head[0] = 0 if next == vma else next
        v.shared_prev = 0
    if next == first:
        v.shared_next = 0


cdef uint32_t list_next(machine_t *m, i_mmap_iter *it) noexcept nogil:
    cdef file_t *f = &m.files[it.file]
    cdef uint32_t at = it.node
    cdef uint32_t next
    cdef vma_t *v
    while at != 0:
        v = &m.vmas[at]
        count(m, I_MMAP_NODES_VISITED)
        next = v.shared_next
        if next == (f.i_mmap_shared if it.aux else f.i_mmap):
            next = 0
            if not it.aux:
                it.aux = 1
                next = f.i_mmap_shared
        if v.pgoff <= it.last and v.pgoff + ((v.end - v.start) >> PAGE_SHIFT) > it.first:
            it.node = next
            return at
        at = next
    it.node = 0
    return 0


cdef uint32_t list_first(machine_t *m, uint32_t file, uint64_t first_pg, uint64_t last_pg,
                         i_mmap_iter *it) noexcept nogil:
    """node: the next vma to look at; aux: 1 once that is one of i_mmap_shared."""
    cdef file_t *f = &m.files[file]
    count(m, I_MMAP_LOOKUPS)
    it.file = file
    it.first = first_pg
    it.last = last_pg
    it.aux = f.i_mmap == 0
    it.node = f.i_mmap_shared if it.aux else f.i_mmap
    return list_next(m, it)


# ---------------------------------------------------------------- verification

cdef int check_ring(check_t *c, uint32_t file, uint32_t head, uint32_t shared, members_t *n) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint32_t i = head
    cdef uint32_t next
    while i != 0:
        if not in_pool(m, POOL_VMA, i) or (m.vmas[i].flags & VM_SHARED) != shared:
            return fail(c, CHECK_I_MMAP, file, i, shared)
        if member_ok(c, file, i, n) < 0:
            return -1
        next = m.vmas[i].shared_next
        if not in_pool(m, POOL_VMA, next) or m.vmas[next].shared_prev != i:
            return fail(c, CHECK_I_MMAP, file, i, next)
        if <uint64_t>(n.without + n.shared) > c.r.vmas:
            return fail(c, CHECK_I_MMAP, file, i, n.without + n.shared)
        i = next if next != head else 0
    return 0


cdef int64_t list_verify(void *check, uint32_t file) noexcept nogil:
    cdef check_t *c = <check_t *>check
    cdef file_t *f = &c.m.files[file]
    cdef members_t n
    n.without = 0
    n.shared = 0
    if check_ring(c, file, f.i_mmap, 0, &n) < 0 or check_ring(c, file, f.i_mmap_shared, VM_SHARED, &n) < 0:
        return -1
    return members_counted(c, file, &n)


OPS.insert = list_insert
OPS.insert_fork = list_insert_fork
OPS.remove = list_remove
OPS.first = list_first
OPS.next = list_next
OPS.verify = list_verify


cdef const i_mmap_ops *list_ops() noexcept nogil:
    return &OPS
