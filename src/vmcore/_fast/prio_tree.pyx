"""Radix priority search tree: which of these ranges overlap this one? See prio_tree.pxd; mm/prio_tree.c of 2.6.7, fact
sheet linux-2004 3.3.

index_bits starts at 1 and grows when a range ends beyond 2^index_bits - 1. What is stored then has zeros in all new
high bits of r, so it can only lie to the left of a new root: expand() takes old roots out one by one, a level each, and
makes them the left spine under the range that did not fit. index_bits never shrinks while the tree has a node.

A level of the trie is its depth: levels 0 to index_bits - 1 look at the bits of r, the next index_bits at those of the
size. Two ranges that agree in all of them are equal, so no way down is longer.

What that does to the size levels is the kernel's, and kept: with a bit more, what was stored lies one level lower, but
the bit of the size that a level looks at is two levels lower. So after an expansion a range below the levels of r may
stand on another side than its size says. Queries do not mind, since they never ask for bits of the size; an insert may
pass by its equal, and then the tree has two nodes of one range.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from vmcore._fast.ranges cimport range_first, range_last

cdef enum:
    PARENT = 0      # words of a node
    LEFT = 1        # member: next
    RIGHT = 2       # member: previous
    HEAD = 3


cdef inline uint64_t max_index(uint32_t bits) noexcept nogil:
    return ~<uint64_t>0 if bits >= 64 else (<uint64_t>1 << bits) - 1


cdef inline int goes_right(uint32_t bits, uint32_t depth, uint64_t r, uint64_t h) noexcept nogil:
    """Side of a range below a node of this depth."""
    if depth < bits:
        return (r >> (bits - 1 - depth)) & 1
    return ((h - r) >> (2 * bits - 1 - depth)) & 1


cdef inline void clear(uint32_t *n) noexcept nogil:
    n[PARENT] = 0
    n[LEFT] = 0
    n[RIGHT] = 0


# ---------------------------------------------------------------- the tree

cdef void replace(prio_view *v, uint32_t *root, uint32_t old, uint32_t node) noexcept nogil:
    """node takes old's place, children included. old's words stay as they are; sets stay with their nodes."""
    cdef uint32_t *o = prio_node(v, old)
    cdef uint32_t *n = prio_node(v, node)
    cdef uint32_t *p
    n[LEFT] = o[LEFT]
    n[RIGHT] = o[RIGHT]
    if o[PARENT] == old:
        n[PARENT] = node
        root[0] = node
    else:
        n[PARENT] = o[PARENT]
        p = prio_node(v, o[PARENT])
        if p[LEFT] == old:
            p[LEFT] = node
        else:
            p[RIGHT] = node
    if n[LEFT] != 0:
        prio_node(v, n[LEFT])[PARENT] = node
    if n[RIGHT] != 0:
        prio_node(v, n[RIGHT])[PARENT] = node


cdef void tree_remove(prio_view *v, uint32_t *root, uint32_t *bits, uint32_t node) noexcept nogil:
    """A leaf below goes, and every range on the way to it comes up one level."""
    cdef uint32_t at = node
    cdef uint32_t up
    cdef uint32_t *n = prio_node(v, node)
    cdef uint32_t *p
    while True:
        v.counts.remove_steps += 1
        if n[RIGHT] == 0:
            if n[LEFT] == 0:
                break
            at = n[LEFT]
        elif n[LEFT] == 0 or range_last(&v.range, n[LEFT]) < range_last(&v.range, n[RIGHT]):
            at = n[RIGHT]
        else:
            at = n[LEFT]
        n = prio_node(v, at)
    up = n[PARENT]
    if up == at:
        root[0] = 0
        bits[0] = 1
        return
    p = prio_node(v, up)
    if p[RIGHT] == at:
        p[RIGHT] = 0
    else:
        p[LEFT] = 0
    while at != node:
        replace(v, root, up, at)
        at = up
        up = prio_node(v, at)[PARENT]


cdef void expand(prio_view *v, uint32_t *root, uint32_t *bits, uint32_t node) noexcept nogil:
    """node, which the tree is too small for, becomes its root."""
    cdef uint64_t last = range_last(&v.range, node)
    cdef uint32_t spine = 0         # first and last old root taken out
    cdef uint32_t end = node
    cdef uint32_t want = bits[0]
    cdef uint32_t old
    cdef uint32_t *n = prio_node(v, node)
    if root[0] == 0:
        bits[0] = 1
        want = 1
    if last > max_index(want):
        v.counts.expansions += 1
        want += 1
    while last > max_index(want):
        want += 1
        old = root[0]
        if old == 0:
            continue
        tree_remove(v, root, bits, old)
        v.counts.roots_moved += 1
        clear(prio_node(v, old))
        if spine == 0:
            spine = old
        else:
            prio_node(v, end)[LEFT] = old
            prio_node(v, old)[PARENT] = end
        end = old
    bits[0] = want
    clear(n)
    n[PARENT] = node
    if spine != 0:
        n[LEFT] = spine
        prio_node(v, spine)[PARENT] = node
    if root[0] != 0:
        prio_node(v, end)[LEFT] = root[0]
        prio_node(v, root[0])[PARENT] = end
    root[0] = node


cdef uint32_t tree_insert(prio_view *v, uint32_t *root, uint32_t *bits, uint32_t node) noexcept nogil:
    """node if it went into the tree, the tree node that has its range if there is one, 0 if the tree is damaged."""
    cdef uint64_t r = range_first(&v.range, node)
    cdef uint64_t h = range_last(&v.range, node)
    cdef uint64_t cur_r, cur_h
    cdef uint32_t cur = root[0]
    cdef uint32_t carried = node
    cdef uint32_t depth = 0
    cdef uint32_t side
    cdef uint32_t *n
    if cur == 0 or h > max_index(bits[0]):
        expand(v, root, bits, node)
        return node
    while True:
        v.counts.insert_steps += 1
        cur_r = range_first(&v.range, cur)
        cur_h = range_last(&v.range, cur)
        if cur_r == r and cur_h == h:
            return cur
        if depth == 2 * bits[0]:
            return 0            # here all bits are spent: only an equal range can be
        # the heap: the later end stays up here, of equal ends the earlier start; the other one goes on down
        if cur_h < h or (cur_h == h and cur_r > r):
            replace(v, root, cur, carried)
            cur, carried = carried, cur
            r = cur_r
            h = cur_h
        side = RIGHT if goes_right(bits[0], depth, r, h) else LEFT
        n = prio_node(v, cur)
        if n[side] == 0:
            n[side] = carried
            n = prio_node(v, carried)
            clear(n)
            n[PARENT] = cur
            return node
        cur = n[side]
        depth += 1


# ---------------------------------------------------------------- sets

cdef inline void link_before(prio_view *v, uint32_t node, uint32_t at) noexcept nogil:
    cdef uint32_t prev = prio_node(v, at)[RIGHT]
    prio_node(v, node)[LEFT] = at
    prio_node(v, node)[RIGHT] = prev
    prio_node(v, prev)[LEFT] = node
    prio_node(v, at)[RIGHT] = node


cdef inline uint32_t unlink(prio_view *v, uint32_t node) noexcept nogil:
    """A member out of its list; returns the one after it, 0 if it was alone."""
    cdef uint32_t next = prio_node(v, node)[LEFT]
    cdef uint32_t prev = prio_node(v, node)[RIGHT]
    if next == node:
        return 0
    prio_node(v, prev)[LEFT] = next
    prio_node(v, next)[RIGHT] = prev
    return next


cdef void prio_add(prio_view *v, uint32_t node, uint32_t old) noexcept nogil:
    cdef uint32_t *n = prio_node(v, node)
    cdef uint32_t *o = prio_node(v, old)
    n[PARENT] = 0
    n[HEAD] = 0
    v.counts.duplicates += 1
    if o[PARENT] == 0:
        link_before(v, node, o[LEFT])       # right after old
    elif o[HEAD] != 0:
        link_before(v, node, o[HEAD])       # the tail
    else:
        v.counts.sets_made += 1
        n[LEFT] = node
        n[RIGHT] = node
        n[HEAD] = old
        o[HEAD] = node


cdef int prio_insert(prio_view *v, uint32_t *root, uint32_t *bits, uint32_t node) noexcept nogil:
    cdef uint32_t found
    prio_node(v, node)[HEAD] = 0
    found = tree_insert(v, root, bits, node)
    if found == 0:
        return -1
    if found != node:
        prio_add(v, node, found)
    return 0


cdef void prio_remove(prio_view *v, uint32_t *root, uint32_t *bits, uint32_t node) noexcept nogil:
    cdef uint32_t *n = prio_node(v, node)
    cdef uint32_t head = n[HEAD]
    cdef uint32_t next
    if n[PARENT] == 0:
        next = unlink(v, node)
        if head != 0:
            # the first member: its next one is first
            prio_node(v, head)[HEAD] = next
            if next != 0:
                prio_node(v, next)[HEAD] = head
    elif head == 0:
        tree_remove(v, root, bits, node)
    else:
        # the tree node of a set: its first member takes its place, without a way down
        v.counts.promotions += 1
        next = unlink(v, head)
        replace(v, root, node, head)
        prio_node(v, head)[HEAD] = next
        if next != 0:
            prio_node(v, next)[HEAD] = head
    clear(n)
    n[HEAD] = 0


# ---------------------------------------------------------------- verification

cdef struct walk_t:
    const prio_view *v
    uint64_t limit
    uint64_t found          # nodes and members
    uint32_t bits
    uint32_t height
    uint32_t bad


cdef int damaged(walk_t *w, uint32_t node) noexcept nogil:
    w.bad = node
    return -1


cdef int check_set(walk_t *w, uint32_t node) noexcept nogil:
    cdef const prio_view *v = w.v
    cdef uint32_t head = prio_node(v, node)[HEAD]
    cdef uint32_t i = head
    cdef uint32_t next
    cdef uint32_t *n
    if head == 0:
        return 0
    while True:
        if i == 0 or i >= w.limit:
            return damaged(w, node)
        n = prio_node(v, i)
        next = n[LEFT]
        if n[PARENT] != 0 or n[HEAD] != (node if i == head else 0):
            return damaged(w, i)
        if (range_first(&v.range, i) != range_first(&v.range, node)
                or range_last(&v.range, i) != range_last(&v.range, node)):
            return damaged(w, i)
        if next == 0 or next >= w.limit or prio_node(v, next)[RIGHT] != i:
            return damaged(w, i)
        w.found += 1
        if w.found > w.limit:
            return damaged(w, i)
        i = next
        if i == head:
            return 0


cdef int check_below(walk_t *w, uint32_t node, uint32_t parent, uint32_t depth, uint64_t r_bits) noexcept nogil:
    """The subtree at node, all of whose starts begin with these bits."""
    cdef const prio_view *v = w.v
    cdef uint32_t bits = w.bits
    cdef uint64_t r, h, bit
    cdef uint32_t *n
    cdef int side
    # the deepest level has used up all bits; the parent's child cannot be reached twice, as a node has one parent
    if node >= w.limit or depth > 2 * bits:
        return damaged(w, node)
    n = prio_node(v, node)
    if n[PARENT] != parent or (n[LEFT] != 0 and n[LEFT] == n[RIGHT]):
        return damaged(w, node)
    r = range_first(&v.range, node)
    h = range_last(&v.range, node)
    if r > h or h > max_index(bits):
        return damaged(w, node)
    if (r ^ r_bits) & ~max_index(bits - depth if depth < bits else 0):
        return damaged(w, node)
    if node != parent:
        if range_last(&v.range, parent) < h or (range_last(&v.range, parent) == h
                                                and range_first(&v.range, parent) > r):
            return damaged(w, node)
    w.found += 1
    if w.found > w.limit:
        return damaged(w, node)
    if depth > w.height:
        w.height = depth
    if check_set(w, node) < 0:
        return -1
    for side in range(LEFT, RIGHT + 1):
        if n[side] == 0:
            continue
        if depth >= 2 * bits or n[side] == node:
            return damaged(w, node)
        bit = <uint64_t>1 << (bits - 1 - depth) if side == RIGHT and depth < bits else 0
        if check_below(w, n[side], node, depth + 1, r_bits | bit) < 0:
            return -1
    return 0


cdef int64_t prio_check(const prio_view *v, uint32_t root, uint32_t bits, uint64_t limit, uint32_t *height,
                        uint32_t *bad) noexcept nogil:
    cdef walk_t w
    w.v = v
    w.limit = limit
    w.found = 0
    w.bits = bits
    w.height = 0
    w.bad = 0
    bad[0] = root
    height[0] = 0
    if root == 0:
        return 0 if bits <= 1 else -1
    if bits == 0 or bits > 64:
        return -1
    if check_below(&w, root, root, 0, 0) < 0:
        bad[0] = w.bad
        return -1
    bad[0] = 0
    height[0] = w.height
    return w.found


# ---------------------------------------------------------------- test shim

cdef packed struct shim_node:
    uint64_t first
    uint64_t last
    uint32_t parent
    uint32_t left
    uint32_t right
    uint32_t head
    uint32_t linked
    uint32_t pad


cdef class _py_Tree:
    """A tree of closed ranges over nodes 1 to n, for tests."""
    cdef prio_view v
    cdef prio_counts counts
    cdef shim_node *nodes
    cdef uint32_t root
    cdef uint32_t bits
    cdef uint32_t n

    def __cinit__(self, uint32_t n):
        cdef shim_node *s = <shim_node *>calloc(n + 1, sizeof(shim_node))
        if s == NULL:
            raise MemoryError
        self.nodes = s
        self.n = n
        self.v.base = <char *>s
        self.v.stride = sizeof(shim_node)
        self.v.off = <char *>&s.parent - <char *>s
        self.v.counts = &self.counts
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
        cdef uint32_t i = self.at(node)
        if self.nodes[i].linked or first > last:
            raise ValueError(node)
        self.nodes[i].first = first
        self.nodes[i].last = last
        self.nodes[i].linked = 1
        if prio_insert(&self.v, &self.root, &self.bits, i) < 0:
            raise RuntimeError(node)

    def add(self, node, old):
        """A copy of `old` into its set."""
        cdef uint32_t i = self.at(node)
        cdef uint32_t o = self.at(old)
        if self.nodes[i].linked or not self.nodes[o].linked:
            raise ValueError(node)
        self.nodes[i].first = self.nodes[o].first
        self.nodes[i].last = self.nodes[o].last
        self.nodes[i].linked = 1
        prio_add(&self.v, i, o)

    def remove(self, node):
        cdef uint32_t i = self.at(node)
        if not self.nodes[i].linked:
            raise ValueError(node)
        self.nodes[i].linked = 0
        prio_remove(&self.v, &self.root, &self.bits, i)

    def query(self, uint64_t a, uint64_t b):
        """(nodes that overlap [a, b], in order, nodes visited)"""
        cdef prio_iter it
        cdef uint64_t visited = 0
        cdef uint32_t i = prio_first(&self.v, self.root, self.bits, a, b, &it, &visited)
        out = []
        while i != 0:
            out.append(i)
            i = prio_next(&self.v, &it, &visited)
        return out, visited

    def check(self):
        """(nodes and members or -1, offending node)"""
        cdef uint32_t bad = 0
        cdef uint32_t height = 0
        cdef int64_t n = prio_check(&self.v, self.root, self.bits, <uint64_t>self.n + 1, &height, &bad)
        return n, bad

    def height(self):
        cdef uint32_t bad = 0
        cdef uint32_t height = 0
        prio_check(&self.v, self.root, self.bits, <uint64_t>self.n + 1, &height, &bad)
        return height

    def words(self, node):
        """(parent, left or next, right or previous, head)"""
        cdef shim_node *s = &self.nodes[self.at(node)]
        return s.parent, s.left, s.right, s.head

    def text(self, uint32_t node=0):
        """The tree as the fact sheet writes it: (r,h)[left,right], - for no child."""
        if node == 0:
            node = self.root
        if node == 0:
            return "-"
        cdef shim_node *s = &self.nodes[node]
        own = f"({s.first},{s.last})"
        if s.left == 0 and s.right == 0:
            return own
        return f"{own}[{self.text(s.left) if s.left else '-'},{self.text(s.right) if s.right else '-'}]"

    def damage(self, node, str what, int64_t delta):
        """Overwrite a field of a node, so that a test sees the check fail."""
        cdef shim_node *s = &self.nodes[self.at(node)]
        if what == "first":
            s.first += delta
        elif what == "last":
            s.last += delta
        elif what == "parent":
            s.parent += <uint32_t>delta
        elif what == "left":
            s.left += <uint32_t>delta
        elif what == "right":
            s.right += <uint32_t>delta
        elif what == "head":
            s.head += <uint32_t>delta
        elif what == "bits":
            self.bits += <uint32_t>delta
        else:
            raise ValueError(what)

    @property
    def root(self):
        return self.root

    @property
    def bits(self):
        return self.bits

    @property
    def counts(self):
        return dict(self.counts)
