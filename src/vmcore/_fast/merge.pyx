"""Which neighbouring vmas become one, and how: vma_merge and vma_adjust of mm/mmap.c.

Source: mm/mmap.c of 2.6.5, -aa1 and 2.6.7; fact sheet linux-2004 sections 5.8, 6.2; linux-modern 1.7, 1.10, 1.11.

P is the vma below a range A, N the one above, X one that covers A already (mprotect). The numbers are those of the
comment in 2.6.7's mm/mmap.c:

      A is new:      PPPP AAAA NNNN    1 P over all   2 P over A      3 N over A
      X covers A:    PPPP XXXX NNNN    6 P over all   7 P over X      8 X over N: X stays, with N's flags
      A heads X:     PPPP AAxx         5 the border between P and X goes up
      A ends X:      xxAA NNNN         4 the border between X and N goes down

Flags must be equal, offsets must run on (anonymous ones where rules.merge_anon_pgoff says so), and the reverse map
has a veto: the pages of A, X and N must be found through whatever vma covers them afterwards. A vma that gets pages of
a neighbour and has no anon_vma of its own adopts the neighbour's first, which may need memory. When a border moves
(4, 5), 2.6.7 itself forgot that, and lost pages; the fix is of 2.6.8 and is always in here (5.8).

Flags of rules.merge_ignored may differ, and who takes in a vma that has one has it then. Not merged: who asks for a
flag of rules.merge_special. Today's kernels (rules.merge_keep_next) let N grow over X in case 8; user space cannot
tell, but links of anon_vmas are copied to the other one. VMA_MERGES counts ranges that went to a neighbour, and
neighbours that joined as well.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_VMA_OVERLAP, bug
from vmcore._fast.counters cimport VMA_MERGES, VMA_MERGES_REFUSED_ANON_VMA, VMA_MERGES_REFUSED_PGOFF, count, count_n
from vmcore._fast.filemap cimport file_put
from vmcore._fast.locks cimport down_i_shared, up_i_shared
from vmcore._fast.records cimport (
    PAGE_SHIFT, VM_EXEC, VM_READ, VM_WRITE, machine_t, vma_t)
from vmcore._fast.vma cimport index_remove, unlink_list_tree, vma_free, vma_set_range

cdef enum:
    VM_ACCESS = VM_READ | VM_WRITE | VM_EXEC


# ---------------------------------------------------------------- may they

cdef inline uint64_t pages_of(vma_t *v) noexcept nogil:
    return (v.end - v.start) >> PAGE_SHIFT


cdef inline int same_kind(machine_t *m, vma_t *v, uint32_t flags, uint32_t file) noexcept nogil:
    return ((v.flags ^ flags) & ~m.rules.merge_ignored) == 0 and v.file == file


cdef inline int pgoff_fits(machine_t *m, uint32_t file, int runs_on) noexcept nogil:
    """File offsets must run on; anonymous ones where the rules say so, and only those refusals are counted."""
    if runs_on or (file == 0 and not m.rules.merge_anon_pgoff):
        return 1
    if file == 0:
        count(m, VMA_MERGES_REFUSED_PGOFF)
    return 0


cdef inline int rmap_allows(machine_t *m, uint32_t a, uint32_t b) noexcept nogil:
    """Two vmas, or a vma and (b = 0) a range that has none yet."""
    cdef int ok = m.rmap.may_merge(m, a, b)
    if ok and b != 0 and m.rules.merge_anon_vma and m.vmas[a].anon_vma != 0 and m.vmas[b].anon_vma != 0:
        ok = m.vmas[a].anon_vma == m.vmas[b].anon_vma
    if not ok:
        count(m, VMA_MERGES_REFUSED_ANON_VMA)
    return ok


cdef inline int rmap_allows_both(machine_t *m, uint32_t p, uint32_t n) noexcept nogil:
    """Each of the two may join the range: may they join each other? Who is whose child was looked at already."""
    if not m.rules.merge_fork_child:
        return rmap_allows(m, p, n)
    if m.vmas[p].anon_vma == 0 or m.vmas[n].anon_vma == 0 or m.vmas[p].anon_vma == m.vmas[n].anon_vma:
        return 1
    count(m, VMA_MERGES_REFUSED_ANON_VMA)
    return 0


cdef int vma_may_join(machine_t *m, uint32_t a, uint32_t b) noexcept nogil:
    cdef vma_t *x = &m.vmas[a]
    return pgoff_fits(m, x.file, x.pgoff + pages_of(x) == m.vmas[b].pgoff) and rmap_allows(m, a, b)


cdef inline int mergeable_after(machine_t *m, uint32_t p, uint32_t flags, uint32_t file, uint64_t pgoff,
                                uint32_t like) noexcept nogil:
    cdef vma_t *v = &m.vmas[p]
    return (same_kind(m, v, flags, file) and pgoff_fits(m, file, v.pgoff + pages_of(v) == pgoff)
            and rmap_allows(m, p, like))


cdef inline int mergeable_before(machine_t *m, uint32_t n, uint32_t flags, uint32_t file, uint64_t pgoff,
                                 uint32_t like) noexcept nogil:
    cdef vma_t *v = &m.vmas[n]
    return same_kind(m, v, flags, file) and pgoff_fits(m, file, pgoff == v.pgoff) and rmap_allows(m, n, like)


cdef uint32_t mergeable_neighbour(machine_t *m, uint32_t vma, int above) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t near = v.next if above else v.prev
    cdef vma_t *n = &m.vmas[near]
    if near == 0 or n.anon_vma == 0 or n.file != v.file:
        return 0
    if (n.flags ^ v.flags) & ~(m.rules.merge_ignored | <uint32_t>VM_ACCESS):
        return 0
    if above:
        return near if v.end == n.start and v.pgoff + pages_of(v) == n.pgoff else 0
    return near if n.end == v.start and n.pgoff + pages_of(n) == v.pgoff else 0


# ---------------------------------------------------------------- vma_adjust

cdef inline int adopt(machine_t *m, uint32_t to, uint32_t from_) noexcept nogil:
    """`to` can find the pages of from_. 0, -ENOMEM."""
    if m.vmas[to].anon_vma != 0:
        return 0
    return m.rmap.vma_adopt(m, to, from_)


cdef void swallow(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil:
    """dying is gone; keep has adopted its pages and is yet to get its range."""
    cdef uint32_t mm = m.vmas[keep].mm
    cdef uint32_t file = m.vmas[dying].file
    if file != 0:
        down_i_shared(m, file)
        index_remove(m, dying)
        up_i_shared(m, file)
    unlink_list_tree(m, dying)
    m.vmas[keep].flags |= m.vmas[dying].flags & m.rules.merge_ignored
    if m.mms[mm].mmap_cache == dying:
        m.mms[mm].mmap_cache = keep
    m.rmap.vma_merge(m, keep, dying)
    if file != 0:
        file_put(m, file)
    vma_free(m, dying)


cdef int vma_absorb(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil:
    cdef vma_t *k = &m.vmas[keep]
    cdef uint64_t end = m.vmas[dying].end
    if adopt(m, keep, dying) < 0:
        return -ENOMEM
    swallow(m, keep, dying)
    vma_set_range(m, keep, k.start, end, k.pgoff)
    count(m, VMA_MERGES)
    return 0


cdef int vma_shift(machine_t *m, uint32_t vma, uint64_t border) noexcept nogil:
    cdef uint32_t above = m.vmas[vma].next
    cdef vma_t *v = &m.vmas[vma]
    cdef vma_t *n = &m.vmas[above]
    cdef uint64_t pgoff = n.pgoff + (border >> PAGE_SHIFT) - (n.start >> PAGE_SHIFT)
    if v.end != n.start:
        bug(m, BUG_VMA_OVERLAP, vma, above, border)
        return 0
    if (adopt(m, vma, above) if border > v.end else adopt(m, above, vma)) < 0:
        return -ENOMEM
    if border > v.end:
        v.flags |= n.flags & m.rules.merge_ignored
        vma_set_range(m, above, border, n.end, pgoff)
        vma_set_range(m, vma, v.start, border, v.pgoff)
    else:
        n.flags |= v.flags & m.rules.merge_ignored
        vma_set_range(m, vma, v.start, border, v.pgoff)
        vma_set_range(m, above, border, n.end, pgoff)
    count(m, VMA_MERGES)
    return 0


cdef int grow(machine_t *m, uint32_t keep, uint32_t x, uint32_t n, uint64_t start, uint64_t end, uint64_t pgoff,
              uint32_t like) noexcept nogil:
    """keep gets [start, end) and swallows x and n, vmas in it (0: no such). like: whose pages come with the range."""
    cdef uint32_t from_ = x
    if from_ == 0 or m.vmas[from_].anon_vma == 0:
        from_ = like
    if from_ == 0 or m.vmas[from_].anon_vma == 0:
        from_ = n
    if from_ != 0 and adopt(m, keep, from_) < 0:
        return -ENOMEM
    if x != 0:
        swallow(m, keep, x)
    if n != 0:
        swallow(m, keep, n)
    vma_set_range(m, keep, start, end, pgoff)
    count_n(m, VMA_MERGES, 1 + (n != 0))
    return 0


# ---------------------------------------------------------------- vma_merge

cdef uint32_t merge_up(machine_t *m, uint32_t prev, uint32_t x, uint32_t n, uint64_t end,
                       uint32_t like) noexcept nogil:
    """P takes the range up to end: cases 1, 6 (n joins too), 2, 7, and 5 (x is not covered to its end)."""
    cdef vma_t *p = &m.vmas[prev]
    if x != 0 and m.vmas[x].end > end:
        return prev if vma_shift(m, prev, end) == 0 else 0
    if n != 0:
        end = m.vmas[n].end
    return prev if grow(m, prev, x, n, p.start, end, p.pgoff, like) == 0 else 0


cdef uint32_t merge_range(machine_t *m, uint32_t mm, uint32_t prev, uint64_t addr, uint64_t end, uint32_t flags,
                          uint32_t file, uint64_t pgoff, uint32_t like) noexcept nogil:
    cdef uint64_t pages = (end - addr) >> PAGE_SHIFT
    cdef uint32_t next = m.vmas[prev].next if prev != 0 else m.mms[mm].mmap
    cdef uint32_t x = 0             # starts where the range does and is part of it
    cdef vma_t *p = &m.vmas[prev]
    cdef vma_t *n
    if flags & m.rules.merge_special or (file != 0 and m.rules.merge_anon_only):
        return 0
    if next != 0 and m.vmas[next].start < end:
        x = next
        next = m.vmas[next].next if m.vmas[next].end == end else 0
    n = &m.vmas[next]
    if next != 0 and n.start != end:
        next = 0
    # the range's own vma reaches below it (prev) or is prev's neighbour (x)
    if prev != 0 and p.end == addr and mergeable_after(m, prev, flags, file, pgoff, like):
        if (next != 0 and mergeable_before(m, next, flags, file, pgoff + pages, like)
                and rmap_allows_both(m, prev, next)):
            return merge_up(m, prev, x, next, end, like)
        return merge_up(m, prev, x, 0, end, like)
    if next == 0 or not mergeable_before(m, next, flags, file, pgoff + pages, like):
        return 0
    if prev != 0 and p.end > addr:
        return next if vma_shift(m, prev, addr) == 0 else 0                            # case 4
    # 2.6.5 anonymous: the offset means nothing and may wrap
    if x == 0 or m.rules.merge_keep_next:
        return next if grow(m, next, x, 0, addr, n.end, n.pgoff - pages, like) == 0 else 0  # case 3; 8 as of today
    return x if grow(m, x, next, 0, addr, n.end, n.pgoff - pages, like) == 0 else 0     # case 8


cdef uint32_t vma_merge(machine_t *m, uint32_t mm, uint32_t prev, uint64_t addr, uint64_t end, uint32_t flags,
                        uint32_t file, uint64_t pgoff, uint32_t like) noexcept nogil:
    cdef uint32_t vma = merge_range(m, mm, prev, addr, end, flags, file, pgoff, like)
    if vma != 0:
        m.vmas[vma].flags |= flags & m.rules.merge_ignored
    return vma
