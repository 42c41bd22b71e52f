"""Red-black tree over u32 indexes: the balance of lib/rbtree.c of Linux 2.6.5, over records instead of pointers.

A node is three u32 inside a record: parent << 1 | black, left, right; 0 is no node. The properties that rb_check
verifies: the root is black, a red node has black children, every way from the root to a missing child passes equally
many black nodes, and each child names its parent. Keys are the caller's: it walks down and says where to link.

In an augmented tree (rb_view.augment) a value is a function of the node's key and its children's values, so a change
below matters above only as long as values change: propagate() climbs that far. A rotation keeps the set of nodes below
its place, so the node that comes up takes over the value of the one that goes down.

Drawn: upper case is black, lower case red; N the node at hand, P its parent, G the grandparent, U the uncle, S the
sibling. Each case is drawn for a left child; the mirror image is the same code with `side` and `other` exchanged.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from libc.stdlib cimport calloc, free

cdef enum:
    BLACK = 1
    LEFT = 1                # word of the node that names the child
    RIGHT = 2
    MAX_DEPTH = 64          # a red-black tree of 2^32 nodes is no deeper


cdef inline int is_black(const rb_view *v, uint32_t i) noexcept nogil:
    """A missing node is black."""
    return i == 0 or (rb_node(v, i)[0] & BLACK) != 0


cdef inline void set_parent(rb_view *v, uint32_t i, uint32_t parent) noexcept nogil:
    cdef uint32_t *n = rb_node(v, i)
    n[0] = (parent << 1) | (n[0] & BLACK)


cdef inline void paint(rb_view *v, uint32_t i, uint32_t black) noexcept nogil:
    cdef uint32_t *n = rb_node(v, i)
    n[0] = (n[0] & ~<uint32_t>BLACK) | black


cdef inline void replace_child(rb_view *v, uint32_t *root, uint32_t parent, uint32_t old, uint32_t new) noexcept nogil:
    """Whoever named `old` from above names `new`."""
    cdef uint32_t *p
    if parent == 0:
        root[0] = new
        return
    p = rb_node(v, parent)
    if p[LEFT] == old:
        p[LEFT] = new
    else:
        p[RIGHT] = new


cdef void propagate(rb_view *v, uint32_t node) noexcept nogil:
    """The values from node upwards, until one stays as it was."""
    cdef uint64_t value
    while node != 0:
        value = v.augment(v, node)
        if rb_value(v, node)[0] == value:
            return
        rb_value(v, node)[0] = value
        node = rb_parent(v, node)


cdef void rotate(rb_view *v, uint32_t *root, uint32_t top, int side) noexcept nogil:
    """`top` goes down to `side`; its child of the other side takes its place. Colours stay with the nodes."""
    cdef int other = LEFT + RIGHT - side
    cdef uint32_t *t = rb_node(v, top)
    cdef uint32_t up = t[other]
    cdef uint32_t *u = rb_node(v, up)
    cdef uint32_t above = t[0] >> 1
    t[other] = u[side]
    if u[side] != 0:
        set_parent(v, u[side], top)
    u[side] = top
    set_parent(v, up, above)
    replace_child(v, root, above, top, up)
    set_parent(v, top, up)
    if v.augment != NULL:
        rb_value(v, up)[0] = rb_value(v, top)[0]
        rb_value(v, top)[0] = v.augment(v, top)


cdef void rb_insert(rb_view *v, uint32_t *root, uint32_t node, uint32_t parent, int right) noexcept nogil:
    cdef uint32_t *n = rb_node(v, node)
    cdef uint32_t grand, uncle
    cdef int side, other
    n[0] = parent << 1
    n[LEFT] = 0
    n[RIGHT] = 0
    if parent == 0:
        root[0] = node
    else:
        rb_node(v, parent)[RIGHT if right else LEFT] = node
    if v.augment != NULL:
        rb_value(v, node)[0] = v.augment(v, node)
        propagate(v, parent)

    # the only property that may not hold: node and its parent are both red
    while True:
        parent = rb_parent(v, node)
        if parent == 0 or is_black(v, parent):
            break
        grand = rb_parent(v, parent)            # exists, because a red node is not the root
        side = LEFT if rb_node(v, grand)[LEFT] == parent else RIGHT
        other = LEFT + RIGHT - side
        uncle = rb_node(v, grand)[other]
        if not is_black(v, uncle):
            # case 1: G(p(n), u) -> g(P(n), U), and g may now be the red child of a red node
            paint(v, parent, BLACK)
            paint(v, uncle, BLACK)
            paint(v, grand, 0)
            node = grand
            continue
        if rb_node(v, parent)[other] == node:
            # case 2: G(p(-, n), U) -> G(n(p), U): now an outer child, with the roles exchanged
            rotate(v, root, parent, side)
            parent = node
        # case 3: G(p(n), U) -> P(n, g(-, U)): done
        paint(v, parent, BLACK)
        paint(v, grand, 0)
        rotate(v, root, grand, other)
        break
    paint(v, root[0], BLACK)


cdef void erase_fixup(rb_view *v, uint32_t *root, uint32_t node, uint32_t parent) noexcept nogil:
    """Every way through `node` (0: a missing child of parent) lacks one black node."""
    cdef uint32_t sibling
    cdef uint32_t *s
    cdef int side, other
    while node != root[0] and is_black(v, node):
        # with node missing, both children of parent cannot be missing: the other side has a black node more
        side = LEFT if rb_node(v, parent)[LEFT] == node else RIGHT
        other = LEFT + RIGHT - side
        sibling = rb_node(v, parent)[other]
        if not is_black(v, sibling):
            # case 1: P(N, s(A, B)) -> S(p(N, A), B): a black sibling
            paint(v, sibling, BLACK)
            paint(v, parent, 0)
            rotate(v, root, parent, side)
            sibling = rb_node(v, parent)[other]
        s = rb_node(v, sibling)
        if is_black(v, s[LEFT]) and is_black(v, s[RIGHT]):
            # case 2: (N, S(A, B)) -> (N, s(A, B)): now the whole of parent lacks one
            paint(v, sibling, 0)
            node = parent
            parent = rb_parent(v, node)
            continue
        if is_black(v, s[other]):
            # case 3: (N, S(a, B)) -> (N, A(-, s(-, B))): the outer child is red
            paint(v, s[side], BLACK)
            paint(v, sibling, 0)
            rotate(v, root, sibling, other)
            sibling = rb_node(v, parent)[other]
            s = rb_node(v, sibling)
        # case 4: p(N, S(-, b)) -> s(P(N, -), B) with p's old colour on top: done
        paint(v, sibling, rb_node(v, parent)[0] & BLACK)
        paint(v, parent, BLACK)
        paint(v, s[other], BLACK)
        rotate(v, root, parent, side)
        node = root[0]
        break
    if node != 0:
        paint(v, node, BLACK)


cdef void rb_erase(rb_view *v, uint32_t *root, uint32_t node) noexcept nogil:
    cdef uint32_t *n = rb_node(v, node)
    cdef uint32_t *s
    cdef uint32_t child, parent, black
    cdef uint32_t heir = 0
    if n[LEFT] != 0 and n[RIGHT] != 0:
        # two children: the next node in order leaves its place, where it has no left child, and takes over this one
        heir = n[RIGHT]
        while rb_node(v, heir)[LEFT] != 0:
            heir = rb_node(v, heir)[LEFT]
        s = rb_node(v, heir)
        child = s[RIGHT]
        parent = s[0] >> 1
        black = s[0] & BLACK
        if parent == node:
            parent = heir
        else:
            rb_node(v, parent)[LEFT] = child
            if child != 0:
                set_parent(v, child, parent)
            s[RIGHT] = n[RIGHT]
            set_parent(v, n[RIGHT], heir)
        s[LEFT] = n[LEFT]
        set_parent(v, n[LEFT], heir)
        s[0] = n[0]
        replace_child(v, root, n[0] >> 1, node, heir)
    else:
        child = n[LEFT] if n[LEFT] != 0 else n[RIGHT]
        parent = n[0] >> 1
        black = n[0] & BLACK
        if child != 0:
            set_parent(v, child, parent)
        replace_child(v, root, parent, node, child)
    if v.augment != NULL:
        # the values above the heir knew the node's value in its place
        if heir != 0:
            rb_value(v, heir)[0] = rb_value(v, node)[0]
        propagate(v, parent)
        if heir != parent:
            propagate(v, heir)
    if black and root[0] != 0:
        erase_fixup(v, root, child, parent)


cdef uint32_t rb_first(const rb_view *v, uint32_t root) noexcept nogil:
    if root == 0:
        return 0
    while rb_node(v, root)[LEFT] != 0:
        root = rb_node(v, root)[LEFT]
    return root


cdef uint32_t rb_step(const rb_view *v, uint32_t node, int side) noexcept nogil:
    """The neighbour in order: side RIGHT is the next one, LEFT the one before."""
    cdef int other = LEFT + RIGHT - side
    cdef uint32_t at = rb_node(v, node)[side]
    if at != 0:
        while rb_node(v, at)[other] != 0:
            at = rb_node(v, at)[other]
        return at
    at = rb_parent(v, node)
    while at != 0 and rb_node(v, at)[side] == node:
        node = at
        at = rb_parent(v, node)
    return at


cdef uint32_t rb_next(const rb_view *v, uint32_t node) noexcept nogil:
    return rb_step(v, node, RIGHT)


cdef uint32_t rb_prev(const rb_view *v, uint32_t node) noexcept nogil:
    return rb_step(v, node, LEFT)


cdef int64_t check_below(rb_view *v, uint32_t node, uint32_t parent, uint64_t limit, int depth, int64_t *nodes,
                         uint32_t *bad) noexcept nogil:
    """Black height of the subtree at node, or -1. A node has one parent field, so a loop or a shared subtree fails."""
    cdef uint32_t *n
    cdef int64_t left, right
    if node == 0:
        return 0
    if node >= limit or depth > MAX_DEPTH:
        bad[0] = node
        return -1
    n = rb_node(v, node)
    if (n[0] >> 1) != parent or (n[LEFT] != 0 and n[LEFT] == n[RIGHT]) or n[LEFT] >= limit or n[RIGHT] >= limit:
        bad[0] = node
        return -1
    if (n[0] & BLACK) == 0 and (parent == 0 or not is_black(v, n[LEFT]) or not is_black(v, n[RIGHT])):
        bad[0] = node
        return -1
    left = check_below(v, n[LEFT], node, limit, depth + 1, nodes, bad)
    if left < 0:
        return -1
    right = check_below(v, n[RIGHT], node, limit, depth + 1, nodes, bad)
    if right < 0:
        return -1
    if left != right or (v.augment != NULL and rb_value(v, node)[0] != v.augment(v, node)):
        bad[0] = node
        return -1
    nodes[0] += 1
    return left + (n[0] & BLACK)


cdef int64_t rb_check(rb_view *v, uint32_t root, uint64_t limit, uint32_t *bad) noexcept nogil:
    cdef int64_t nodes = 0
    bad[0] = 0
    if check_below(v, root, 0, limit, 0, &nodes, bad) < 0:
        return -1
    return nodes


# ---------------------------------------------------------------- test shim

cdef packed struct shim_node:
    uint64_t key
    uint32_t parent
    uint32_t left
    uint32_t right
    uint8_t linked


cdef class _py_Tree:
    """A tree of u64 keys over nodes 1 to n, for tests: it only walks down and forwards."""
    cdef rb_view v
    cdef shim_node *nodes
    cdef uint32_t root
    cdef uint32_t n

    def __cinit__(self, uint32_t n):
        self.nodes = <shim_node *>calloc(n + 1, sizeof(shim_node))
        if self.nodes == NULL:
            raise MemoryError
        self.n = n
        self.v.base = <char *>self.nodes
        self.v.stride = sizeof(shim_node)
        self.v.off = <uint64_t>(<char *>&self.nodes.parent - <char *>self.nodes)

    def __dealloc__(self):
        free(self.nodes)

    cdef uint32_t at(self, object node) except 0:
        if not 1 <= node <= self.n:
            raise IndexError(node)
        return node

    def insert(self, node, uint64_t key):
        cdef uint32_t i = self.at(node)
        cdef uint32_t parent = 0
        cdef uint32_t here = self.root
        cdef int right = 0
        if self.nodes[i].linked:
            raise ValueError(node)
        while here != 0:
            parent = here
            right = key >= self.nodes[here].key
            here = self.nodes[here].right if right else self.nodes[here].left
        self.nodes[i].key = key
        self.nodes[i].linked = 1
        rb_insert(&self.v, &self.root, i, parent, right)

    def erase(self, node):
        cdef uint32_t i = self.at(node)
        if not self.nodes[i].linked:
            raise ValueError(node)
        self.nodes[i].linked = 0
        rb_erase(&self.v, &self.root, i)

    def check(self):
        """(number of nodes or -1, offending node)"""
        cdef uint32_t bad = 0
        cdef int64_t n = rb_check(&self.v, self.root, <uint64_t>self.n + 1, &bad)
        return n, bad

    def forward(self):
        """Nodes in order, by rb_first and rb_next."""
        cdef uint32_t i = rb_first(&self.v, self.root)
        out = []
        while i != 0:
            out.append(i)
            i = rb_next(&self.v, i)
        return out

    def backward(self):
        """Nodes in reverse order, by rb_prev from the rightmost node."""
        cdef uint32_t i = self.root
        while i != 0 and self.nodes[i].right != 0:
            i = self.nodes[i].right
        out = []
        while i != 0:
            out.append(i)
            i = rb_prev(&self.v, i)
        return out

    def key(self, node):
        return self.nodes[self.at(node)].key

    def links(self, node):
        """(parent, black, left, right)"""
        cdef shim_node *s = &self.nodes[self.at(node)]
        return s.parent >> 1, s.parent & 1, s.left, s.right

    def damage(self, node, uint32_t parent, uint32_t black, uint32_t left, uint32_t right):
        """Overwrite a node's links, so that a test sees rb_check fail."""
        cdef shim_node *s = &self.nodes[self.at(node)]
        s.parent = (parent << 1) | (black & 1)
        s.left = left
        s.right = right

    @property
    def root(self):
        return self.root
