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
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport I_MMAP_LOOKUPS, I_MMAP_NODES_VISITED, count
from vmcore._fast.records cimport PAGE_SHIFT, VM_SHARED, file_t, i_mmap_ops, machine_t, vma_t

cdef enum:
    # a cursor is the next vma to look at, with CURSOR_SHARED if it is on i_mmap_shared; 0: nothing is left
    CURSOR_SHARED = 1 << 31

cdef i_mmap_ops OPS


cdef inline uint32_t *head_of(machine_t *m, vma_t *v) noexcept nogil:
    cdef file_t *f = &m.files[v.file]
    return &f.i_mmap_shared if v.flags & VM_SHARED else &f.i_mmap


cdef inline uint32_t *nr_of(machine_t *m, vma_t *v) noexcept nogil:
    cdef file_t *f = &m.files[v.file]
    return &f.nr_i_mmap_shared if v.flags & VM_SHARED else &f.nr_i_mmap


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
    nr_of(m, v)[0] += 1
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
    nr_of(m, v)[0] += 1
    link_before(m, child, parent)
    if head[0] == parent:
        head[0] = child


cdef void list_remove(machine_t *m, uint32_t vma) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t *head = head_of(m, v)
    cdef uint32_t first = head[0]
    cdef uint32_t next = v.shared_next
    cdef uint32_t prev = v.shared_prev
    nr_of(m, v)[0] -= 1
    m.vmas[prev].shared_next = next
    m.vmas[next].shared_prev = prev
    if first == vma:
        head[0] = 0 if next == vma else next
        v.shared_prev = 0
    if next == first:
        v.shared_next = 0


cdef uint32_t list_next(machine_t *m, uint32_t file, uint64_t first_pg, uint64_t last_pg,
                        uint64_t *cursor) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint32_t at = <uint32_t>cursor[0] & ~<uint32_t>CURSOR_SHARED
    cdef uint32_t shared = <uint32_t>cursor[0] & <uint32_t>CURSOR_SHARED
    cdef uint32_t head, next
    cdef vma_t *v
    while at != 0:
        v = &m.vmas[at]
        count(m, I_MMAP_NODES_VISITED)
        head = f.i_mmap_shared if shared else f.i_mmap
        next = v.shared_next
        if next == head:
            next = 0
            if not shared:
                shared = <uint32_t>CURSOR_SHARED
                next = f.i_mmap_shared
        if v.pgoff <= last_pg and v.pgoff + ((v.end - v.start) >> PAGE_SHIFT) > first_pg:
            cursor[0] = next | shared
            return at
        at = next
    cursor[0] = 0
    return 0


cdef uint32_t list_first(machine_t *m, uint32_t file, uint64_t first_pg, uint64_t last_pg,
                         uint64_t *cursor) noexcept nogil:
    cdef file_t *f = &m.files[file]
    count(m, I_MMAP_LOOKUPS)
    if f.i_mmap != 0:
        cursor[0] = f.i_mmap
    elif f.i_mmap_shared != 0:
        cursor[0] = f.i_mmap_shared | <uint32_t>CURSOR_SHARED
    else:
        cursor[0] = 0
    return list_next(m, file, first_pg, last_pg, cursor)


OPS.insert = list_insert
OPS.insert_fork = list_insert_fork
OPS.remove = list_remove
OPS.first = list_first
OPS.next = list_next


cdef const i_mmap_ops *list_ops() noexcept nogil:
    return &OPS
