"""Interval tree: which of these ranges overlap this one? See interval_tree.pxd; fact sheets linux-2004 3.4 and
linux-modern 2.

The tree is rbtree's, with the greatest end of a subtree as its augmentation. What stands here is the order: by first,
equal firsts to the right, so that they keep the order in which they came.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from vmcore._fast.ranges cimport range_first, range_last
from vmcore._fast.rbtree cimport (
    rb_check, rb_erase, rb_first, rb_insert, rb_left, rb_next, rb_right, rb_value, rb_view)


cdef uint64_t greatest_last(rb_view *v, uint32_t node) noexcept nogil:
    """The augmentation: greatest last of the node and what is below it."""
    cdef uint64_t most = range_last(&(<it_view *>v).range, node)
    cdef uint32_t child = rb_left(v, node)
    if child != 0 and rb_value(v, child)[0] > most:
        most = rb_value(v, child)[0]
    child = rb_right(v, node)
    if child != 0 and rb_value(v, child)[0] > most:
        most = rb_value(v, child)[0]
    return most


cdef void it_init(it_view *v, void *base, uint64_t stride, uint64_t off, uint64_t value) noexcept nogil:
    v.rb.base = <char *>base
    v.rb.stride = stride
    v.rb.off = off
    v.rb.augment = greatest_last
    v.rb.value = value


cdef uint64_t it_insert(it_view *v, uint32_t *root, uint32_t *leftmost, uint32_t node) noexcept nogil:
    cdef uint64_t first = range_first(&v.range, node)
    cdef uint64_t steps = 0
    cdef uint32_t parent = 0
    cdef uint32_t here = root[0]
    cdef int right = 0
    cdef int before_all = 1
    while here != 0:
        steps += 1
        parent = here
        right = first >= range_first(&v.range, here)
        if right:
            before_all = 0
            here = rb_right(&v.rb, here)
        else:
            here = rb_left(&v.rb, here)
    rb_insert(&v.rb, root, node, parent, right)
    if leftmost != NULL and before_all:
        leftmost[0] = node
    return steps


cdef uint64_t it_insert_after(it_view *v, uint32_t *root, uint32_t *leftmost, uint32_t node,
                              uint32_t prev) noexcept nogil:
    cdef uint64_t steps = 1
    cdef uint32_t parent = prev
    cdef uint32_t here = rb_right(&v.rb, prev)
    cdef int right = here == 0
    while here != 0:
        steps += 1
        parent = here
        here = rb_left(&v.rb, here)
    rb_insert(&v.rb, root, node, parent, right)
    return steps


cdef void it_remove(it_view *v, uint32_t *root, uint32_t *leftmost, uint32_t node) noexcept nogil:
    if leftmost != NULL and leftmost[0] == node:
        leftmost[0] = rb_next(&v.rb, node)
    rb_erase(&v.rb, root, node)


cdef int64_t it_check(it_view *v, uint32_t root, uint32_t leftmost, uint64_t limit, uint32_t *bad) noexcept nogil:
    cdef int64_t n = rb_check(&v.rb, root, limit, bad)
    cdef uint32_t i, prev
    if n < 0:
        return -1
    i = rb_first(&v.rb, root)
    if i != leftmost:
        bad[0] = leftmost
        return -1
    while i != 0:
        prev = i
        i = rb_next(&v.rb, i)
        if range_last(&v.range, prev) < range_first(&v.range, prev) or (
                i != 0 and range_first(&v.range, i) < range_first(&v.range, prev)):
            bad[0] = prev
            return -1
    return n


# ---------------------------------------------------------------- test shim

cdef packed struct shim_node:
    uint64_t first
    uint64_t last
    uint64_t most
    uint32_t parent
    uint32_t left
    uint32_t right
    uint32_t linked


cdef class _py_Tree:
    """A tree of closed ranges over nodes 1 to n, for tests."""
    cdef it_view v
    cdef shim_node *nodes
    cdef uint32_t root
    cdef uint32_t leftmost
    cdef uint32_t n

    def __cinit__(self, uint32_t n):
        cdef shim_node *s = <shim_node *>calloc(n + 1, sizeof(shim_node))
        if s == NULL:
            raise MemoryError
        self.nodes = s
        self.n = n
        it_init(&self.v, s, sizeof(shim_node), <char *>&s.parent - <char *>s, <char *>&s.most - <char *>s)
        self.v.range.base = <char *>s
        self.v.range.stride = sizeof(shim_node)
        self.v.range.first = <char *>&s.first - <char *>s
        self.v.range.lo = self.v.range.first
        self.v.range.hi = <char *>&s.last - <char *>s

    def __dealloc__(self):
        free(self.nodes)

    cdef uint32_t at(self, object node) except 0:
        if not 1 <= node <= self.n:
            raise IndexError(node)
        return node

    def insert(self, node, uint64_t first, uint64_t last):
        """Nodes compared on the way down."""
        cdef uint32_t i = self.at(node)
        if self.nodes[i].linked or first > last:
            raise ValueError(node)
        self.nodes[i].first = first
        self.nodes[i].last = last
        self.nodes[i].linked = 1
        return it_insert(&self.v, &self.root, &self.leftmost, i)

    def insert_after(self, node, prev):
        """A copy of prev right behind it."""
        cdef uint32_t i = self.at(node)
        cdef uint32_t p = self.at(prev)
        if self.nodes[i].linked or not self.nodes[p].linked:
            raise ValueError(node)
        self.nodes[i].first = self.nodes[p].first
        self.nodes[i].last = self.nodes[p].last
        self.nodes[i].linked = 1
        return it_insert_after(&self.v, &self.root, &self.leftmost, i, p)

    def remove(self, node):
        cdef uint32_t i = self.at(node)
        if not self.nodes[i].linked:
            raise ValueError(node)
        self.nodes[i].linked = 0
        it_remove(&self.v, &self.root, &self.leftmost, i)

    def query(self, uint64_t a, uint64_t b):
        """(nodes that overlap [a, b], in order, nodes visited)"""
        cdef uint64_t visited = 0
        cdef uint32_t i = it_first(&self.v, self.root, self.leftmost, a, b, &visited)
        out = []
        while i != 0:
            out.append(i)
            i = it_next(&self.v, i, a, b, &visited)
        return out, visited

    def check(self):
        """(number of nodes or -1, offending node)"""
        cdef uint32_t bad = 0
        cdef int64_t n = it_check(&self.v, self.root, self.leftmost, <uint64_t>self.n + 1, &bad)
        return n, bad

    def most(self, node):
        """The greatest last below a node."""
        return self.nodes[self.at(node)].most

    def links(self, node):
        """(parent, black, left, right)"""
        cdef shim_node *s = &self.nodes[self.at(node)]
        return s.parent >> 1, s.parent & 1, s.left, s.right

    def damage(self, node, str what, int64_t delta):
        """Overwrite a field of a node, so that a test sees the check fail."""
        cdef shim_node *s = &self.nodes[self.at(node)]
        if what == "first":
            s.first += delta
        elif what == "last":
            s.last += delta
        elif what == "most":
            s.most += delta
        elif what == "left":
            s.left += <uint32_t>delta
        elif what == "leftmost":
            self.leftmost += <uint32_t>delta
        else:
            raise ValueError(what)

    @property
    def root(self):
        return self.root
