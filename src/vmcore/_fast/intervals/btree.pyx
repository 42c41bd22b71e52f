"""A B+ tree of closed intervals with the greatest end below each entry. See btree.pxd.

Insert walks down to the leaf, lowering `first` and raising `most` as it goes, and splits on the way back: in halves,
but a new greatest interval of the whole tree gets a node of its own, so that ascending input fills its nodes. Before it
starts it has the nodes that the splits may need, so it cannot fail halfway.

Remove mends upwards: refresh() takes over what a child's first entry and greatest end now are, and stops where nothing
changed and no node is short.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from vmcore._fast.intervals.btree_nodes cimport (
    FANOUT, LEAST, MAX_HEIGHT, btree_t, inner_alloc, inner_drop, inner_t, leaf_alloc, leaf_drop, leaf_t, more_inners,
    more_leaves)

cdef extern from *:
    """
    #if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
    #define VM_CLONES __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
    #else
    #define VM_CLONES
    #endif
    /* bit i: entry i begins by b and ends at a or later; entries that are not there give any bit */
    VM_CLONES static uint32_t vm_overlaps(const uint64_t *first, const uint64_t *last, uint64_t a, uint64_t b) {
        uint32_t mask = 0;
        for (int i = 0; i < 16; i++)
            mask |= (uint32_t)((first[i] <= b) & (last[i] >= a)) << i;
        return mask;
    }
    """
    uint32_t vm_overlaps(const uint64_t *first, const uint64_t *last, uint64_t a, uint64_t b) noexcept nogil
    int ctz "__builtin_ctz"(unsigned int x) noexcept nogil
    int popcount "__builtin_popcount"(unsigned int x) noexcept nogil

cdef struct path_t:         # from the root down: inner nodes, and the slot taken in each
    uint32_t node[20]
    uint32_t slot[20]

cdef struct entry_t:
    uint64_t first
    uint64_t last
    uint64_t value


# ---------------------------------------------------------------- entries of a node

cdef inline int is_after(const entry_t *e, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    """Is (first, last, value) greater than e?"""
    if first != e.first:
        return first > e.first
    if last != e.last:
        return last > e.last
    return value > e.value


cdef inline uint32_t not_after(const uint64_t *first, const uint64_t *last, const uint64_t *value, uint32_t n,
                               const entry_t *e) noexcept nogil:
    """How many of n ordered entries are not greater than e."""
    cdef uint32_t i = 0
    while i < n and first[i] < e.first:
        i += 1
    while i < n and not is_after(e, first[i], last[i], value[i]):
        i += 1
    return i


cdef inline void leaf_move(leaf_t *to, uint32_t at, const leaf_t *source, uint32_t start, uint32_t n) noexcept nogil:
    memmove(&to.first[at], &source.first[start], n * sizeof(uint64_t))
    memmove(&to.last[at], &source.last[start], n * sizeof(uint64_t))
    memmove(&to.value[at], &source.value[start], n * sizeof(uint64_t))


cdef inline void inner_move(inner_t *to, uint32_t at, const inner_t *source, uint32_t start, uint32_t n) noexcept nogil:
    memmove(&to.first[at], &source.first[start], n * sizeof(uint64_t))
    memmove(&to.most[at], &source.most[start], n * sizeof(uint64_t))
    memmove(&to.last[at], &source.last[start], n * sizeof(uint64_t))
    memmove(&to.value[at], &source.value[start], n * sizeof(uint64_t))
    memmove(&to.child[at], &source.child[start], n * sizeof(uint32_t))


cdef inline uint64_t greatest(const uint64_t *last, uint32_t n) noexcept nogil:
    cdef uint64_t most = last[0]
    cdef uint32_t i
    for i in range(1, n):
        if last[i] > most:
            most = last[i]
    return most


cdef inline void summary(btree_t *t, uint32_t child, int is_leaf, entry_t *least, uint64_t *most) noexcept nogil:
    """The smallest interval and the greatest last of a node."""
    cdef leaf_t *f
    cdef inner_t *p
    if is_leaf:
        f = &t.leaves[child]
        least.first = f.first[0]
        least.last = f.last[0]
        least.value = f.value[0]
        most[0] = greatest(f.last, f.n)
    else:
        p = &t.inners[child]
        least.first = p.first[0]
        least.last = p.last[0]
        least.value = p.value[0]
        most[0] = greatest(p.most, p.n)


cdef int refresh(btree_t *t, inner_t *p, uint32_t slot, int is_leaf) noexcept nogil:
    """Entry `slot` says again what its child is; 1 if that changed it."""
    cdef entry_t e
    cdef uint64_t most
    summary(t, p.child[slot], is_leaf, &e, &most)
    if p.first[slot] == e.first and p.last[slot] == e.last and p.value[slot] == e.value and p.most[slot] == most:
        return 0
    p.first[slot] = e.first
    p.last[slot] = e.last
    p.value[slot] = e.value
    p.most[slot] = most
    return 1


cdef inline void leaf_put(leaf_t *f, uint32_t at, const entry_t *e) noexcept nogil:
    leaf_move(f, at + 1, f, at, f.n - at)
    f.first[at] = e.first
    f.last[at] = e.last
    f.value[at] = e.value
    f.n += 1


# ---------------------------------------------------------------- insert

cdef uint32_t split_leaf(btree_t *t, uint32_t leaf, const entry_t *e, uint32_t at, int rightmost) noexcept nogil:
    """A full leaf gets one more; returns the new leaf behind it."""
    cdef uint32_t new = leaf_alloc(t)
    cdef leaf_t *f = &t.leaves[leaf]
    cdef leaf_t *g = &t.leaves[new]
    cdef uint32_t half = FANOUT if rightmost and at == FANOUT else FANOUT // 2
    leaf_move(g, 0, f, half, FANOUT - half)
    g.n = FANOUT - half
    f.n = half
    if at > half or half == FANOUT:
        leaf_put(g, at - half, e)
    else:
        leaf_put(f, at, e)
    return new


cdef uint32_t split_inner(btree_t *t, uint32_t node, uint32_t *at, uint32_t *to, int rightmost) noexcept nogil:
    """A full node is about to get one more at slot `at`: which node that goes to, and where, is in *to and *at after
    it. Returns the new node behind it."""
    cdef uint32_t new = inner_alloc(t)
    cdef inner_t *p = &t.inners[node]
    cdef inner_t *q = &t.inners[new]
    cdef uint32_t half = FANOUT if rightmost and at[0] == FANOUT else FANOUT // 2
    inner_move(q, 0, p, half, FANOUT - half)
    q.n = FANOUT - half
    p.n = half
    if at[0] > half or half == FANOUT:
        to[0] = new
        at[0] -= half
    else:
        to[0] = node
    return new


cdef void new_root(btree_t *t, uint32_t left, uint32_t right) noexcept nogil:
    cdef uint32_t root = inner_alloc(t)
    cdef inner_t *p = &t.inners[root]
    p.n = 2
    p.child[0] = left
    p.child[1] = right
    refresh(t, p, 0, t.height == 0)
    refresh(t, p, 1, t.height == 0)
    t.root = root
    t.height += 1


cdef int btree_insert(btree_t *t, uint64_t first, uint64_t last, uint64_t value, uint64_t *steps) noexcept nogil:
    cdef path_t path
    cdef entry_t e
    cdef inner_t *p
    cdef leaf_t *f
    cdef uint32_t node, slot, new, at, to, below
    cdef uint32_t level = 0
    cdef int rightmost = 1
    cdef int is_leaf = 1
    e.first = first
    e.last = last
    e.value = value
    if more_leaves(t, 1) < 0 or more_inners(t, t.height + 1) < 0:
        return -ENOMEM
    t.size += 1
    steps[0] += t.height + 1
    if t.root == 0:
        t.root = leaf_alloc(t)
        t.height = 0
    node = t.root
    while level < t.height:
        p = &t.inners[node]
        slot = not_after(p.first, p.last, p.value, p.n, &e)
        if slot == 0:
            p.first[0] = first
            p.last[0] = last
            p.value[0] = value
        else:
            slot -= 1
        if last > p.most[slot]:
            p.most[slot] = last
        rightmost &= slot + 1 == p.n
        path.node[level] = node
        path.slot[level] = slot
        node = p.child[slot]
        level += 1
    f = &t.leaves[node]
    at = not_after(f.first, f.last, f.value, f.n, &e)
    if f.n < <uint32_t>FANOUT:
        leaf_put(f, at, &e)
        return 0
    new = split_leaf(t, node, &e, at, rightmost)
    while level > 0:
        # `new` stands behind the child of this slot, which has less than it had
        level -= 1
        node = path.node[level]
        below = path.slot[level]
        refresh(t, &t.inners[node], below, is_leaf)
        at = below + 1
        to = node
        slot = 0
        if t.inners[node].n == <uint32_t>FANOUT:
            slot = split_inner(t, node, &at, &to, rightmost)
        p = &t.inners[to]
        inner_move(p, at + 1, p, at, p.n - at)
        p.child[at] = new
        p.n += 1
        refresh(t, p, at, is_leaf)
        if slot == 0:
            return 0
        new = slot
        is_leaf = 0
    new_root(t, t.root, new)
    return 0


# ---------------------------------------------------------------- remove

cdef void join_leaves(btree_t *t, inner_t *p, uint32_t left) noexcept nogil:
    """Two neighbours of which one is short: one node if they fit, else as many in each."""
    cdef leaf_t *f = &t.leaves[p.child[left]]
    cdef leaf_t *g = &t.leaves[p.child[left + 1]]
    cdef uint32_t sum = f.n + g.n
    cdef uint32_t half = sum // 2
    if sum <= <uint32_t>FANOUT:
        leaf_move(f, f.n, g, 0, g.n)
        f.n = sum
        leaf_drop(t, p.child[left + 1])
        inner_move(p, left + 1, p, left + 2, p.n - left - 2)
        p.n -= 1
        refresh(t, p, left, 1)
        return
    if f.n < half:
        leaf_move(f, f.n, g, 0, half - f.n)
        leaf_move(g, 0, g, half - f.n, g.n - (half - f.n))
    else:
        leaf_move(g, f.n - half, g, 0, g.n)
        leaf_move(g, 0, f, half, f.n - half)
    g.n = sum - half
    f.n = half
    refresh(t, p, left, 1)
    refresh(t, p, left + 1, 1)


cdef void join_inners(btree_t *t, inner_t *p, uint32_t left) noexcept nogil:
    """The same a level up."""
    cdef inner_t *f = &t.inners[p.child[left]]
    cdef inner_t *g = &t.inners[p.child[left + 1]]
    cdef uint32_t sum = f.n + g.n
    cdef uint32_t half = sum // 2
    if sum <= <uint32_t>FANOUT:
        inner_move(f, f.n, g, 0, g.n)
        f.n = sum
        inner_drop(t, p.child[left + 1])
        inner_move(p, left + 1, p, left + 2, p.n - left - 2)
        p.n -= 1
        refresh(t, p, left, 0)
        return
    if f.n < half:
        inner_move(f, f.n, g, 0, half - f.n)
        inner_move(g, 0, g, half - f.n, g.n - (half - f.n))
    else:
        inner_move(g, f.n - half, g, 0, g.n)
        inner_move(g, 0, f, half, f.n - half)
    g.n = sum - half
    f.n = half
    refresh(t, p, left, 0)
    refresh(t, p, left + 1, 0)


cdef int mend(btree_t *t, inner_t *p, uint32_t slot, int is_leaf) noexcept nogil:
    """After the child of this slot lost an entry. 1 if anything changed here."""
    cdef uint32_t child = p.child[slot]
    cdef uint32_t n = t.leaves[child].n if is_leaf else t.inners[child].n
    if n >= <uint32_t>LEAST:
        return refresh(t, p, slot, is_leaf)
    if p.n == 1:
        if n > 0:
            return refresh(t, p, slot, is_leaf)
        # the node that is alone below this one is empty: so is this one
        if is_leaf:
            leaf_drop(t, child)
        else:
            inner_drop(t, child)
        p.n = 0
        return 1
    if slot > 0:
        slot -= 1
    if is_leaf:
        join_leaves(t, p, slot)
    else:
        join_inners(t, p, slot)
    return 1


cdef int btree_remove(btree_t *t, uint64_t first, uint64_t last, uint64_t value, uint64_t *steps) noexcept nogil:
    cdef path_t path
    cdef entry_t e
    cdef inner_t *p
    cdef leaf_t *f
    cdef uint32_t node = t.root
    cdef uint32_t level = 0
    cdef uint32_t slot
    cdef int is_leaf = 1
    e.first = first
    e.last = last
    e.value = value
    if node == 0:
        return 0
    steps[0] += t.height + 1
    # into the last child whose smallest interval is not greater: equal ones further left can stay
    while level < t.height:
        p = &t.inners[node]
        slot = not_after(p.first, p.last, p.value, p.n, &e)
        if slot == 0:
            return 0
        path.node[level] = node
        path.slot[level] = slot - 1
        node = p.child[slot - 1]
        level += 1
    f = &t.leaves[node]
    slot = not_after(f.first, f.last, f.value, f.n, &e)
    if slot == 0 or f.first[slot - 1] != first or f.last[slot - 1] != last or f.value[slot - 1] != value:
        return 0
    leaf_move(f, slot - 1, f, slot, f.n - slot)
    f.n -= 1
    t.size -= 1
    while level > 0:
        level -= 1
        if not mend(t, &t.inners[path.node[level]], path.slot[level], is_leaf):
            return 1
        is_leaf = 0
    # a root with one child is none; one without is the end
    while t.height > 0 and t.inners[t.root].n == 1:
        node = t.root
        t.root = t.inners[node].child[0]
        inner_drop(t, node)
        t.height -= 1
    if t.height > 0 and t.inners[t.root].n == 0:
        inner_drop(t, t.root)
        t.root = 0
        t.height = 0
    elif t.height == 0 and t.leaves[t.root].n == 0:
        leaf_drop(t, t.root)
        t.root = 0
    return 1


# ---------------------------------------------------------------- query

cdef uint64_t btree_query(btree_t *t, uint64_t a, uint64_t b, uint64_t *out, uint64_t room,
                          uint64_t *visited) noexcept nogil:
    cdef uint32_t nodes[20]
    cdef uint32_t masks[20]
    cdef uint32_t height = t.height
    cdef uint32_t level = 0
    cdef uint32_t node = t.root
    cdef uint32_t mask
    cdef uint64_t hits = 0
    cdef uint64_t seen = 0
    cdef inner_t *p
    cdef leaf_t *f
    if node == 0:
        return 0
    while True:
        seen += 1
        if level < height:
            p = &t.inners[node]
            nodes[level] = node
            masks[level] = vm_overlaps(p.first, p.most, a, b) & ((<uint32_t>1 << p.n) - 1)
        else:
            f = &t.leaves[node]
            mask = vm_overlaps(f.first, f.last, a, b) & ((<uint32_t>1 << f.n) - 1)
            if hits >= room:
                hits += popcount(mask)
            else:
                while mask != 0:
                    if hits < room:
                        out[hits] = f.value[ctz(mask)]
                    hits += 1
                    mask &= mask - 1
            if height == 0:
                break
            level -= 1
        while masks[level] == 0 and level > 0:
            level -= 1
        if masks[level] == 0:
            break
        node = t.inners[nodes[level]].child[ctz(masks[level])]
        masks[level] &= masks[level] - 1
        level += 1
    visited[0] += seen
    return hits


# ---------------------------------------------------------------- all of it

cdef uint64_t dump_below(btree_t *t, uint32_t node, uint32_t level, uint64_t n, uint64_t *firsts, uint64_t *lasts,
                         uint64_t *values) noexcept nogil:
    cdef leaf_t *f
    cdef inner_t *p
    cdef uint32_t i
    if level == t.height:
        f = &t.leaves[node]
        memcpy(&firsts[n], f.first, f.n * sizeof(uint64_t))
        memcpy(&lasts[n], f.last, f.n * sizeof(uint64_t))
        memcpy(&values[n], f.value, f.n * sizeof(uint64_t))
        return n + f.n
    p = &t.inners[node]
    for i in range(p.n):
        n = dump_below(t, p.child[i], level + 1, n, firsts, lasts, values)
    return n


cdef void btree_dump(btree_t *t, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil:
    if t.root != 0:
        dump_below(t, t.root, 0, 0, firsts, lasts, values)


cdef int64_t check_below(btree_t *t, uint32_t node, uint32_t level, entry_t *prev, uint32_t *leaves,
                         uint32_t *inners) noexcept nogil:
    """Intervals below node, all of them not smaller than *prev, which becomes the last of them; or -1."""
    cdef leaf_t *f
    cdef inner_t *p
    cdef entry_t least
    cdef uint64_t most
    cdef int64_t n = 0
    cdef int64_t below
    cdef uint32_t i
    if level == t.height:
        if node == 0 or node >= t.leaves_next:
            return -1
        f = &t.leaves[node]
        leaves[0] += 1
        if f.n == 0 or f.n > <uint32_t>FANOUT:
            return -1
        for i in range(f.n):
            if is_after_entry(prev, f.first[i], f.last[i], f.value[i]) or f.first[i] > f.last[i]:
                return -1
            prev.first = f.first[i]
            prev.last = f.last[i]
            prev.value = f.value[i]
        return f.n
    if node == 0 or node >= t.inners_next:
        return -1
    p = &t.inners[node]
    inners[0] += 1
    if p.n == 0 or p.n > <uint32_t>FANOUT or (level == 0 and p.n == 1):
        return -1
    for i in range(p.n):
        below = check_below(t, p.child[i], level + 1, prev, leaves, inners)
        if below < 0:
            return -1
        summary(t, p.child[i], level + 1 == t.height, &least, &most)
        if p.first[i] != least.first or p.last[i] != least.last or p.value[i] != least.value or p.most[i] != most:
            return -1
        n += below
    return n


cdef inline int is_after_entry(const entry_t *e, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    """Is e greater than (first, last, value)?"""
    if first != e.first:
        return first < e.first
    if last != e.last:
        return last < e.last
    return value < e.value


cdef int64_t btree_check(btree_t *t) noexcept nogil:
    cdef entry_t prev
    cdef uint32_t leaves = 0
    cdef uint32_t inners = 0
    cdef int64_t n = 0
    memset(&prev, 0, sizeof(prev))
    if t.height > <uint32_t>MAX_HEIGHT:
        return -1
    if t.root != 0:
        n = check_below(t, t.root, 0, &prev, &leaves, &inners)
    if n < 0 or <uint64_t>n != t.size or leaves != t.leaves_live or inners != t.inners_live:
        return -1
    return n
