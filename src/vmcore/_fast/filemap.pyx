"""Files and their page cache: radix trees, lookup, read on fault, write-back.

Source: mm/filemap.c, mm/truncate.c and lib/radix-tree.c of 2.6.5; fact sheet linux-2004 4.4, 4.10, 7.1, 8.4, 9.1.

Radix tree: 64 slots a node, `height` levels, root 0 = empty. A lookup costs `height` steps, at most 11. The tree
grows at the root when an index does not fit and loses a node as soon as the node is empty; its height shrinks only
when it is empty, as in the kernel. Two differences from the kernel: a tree of one page at index 0 has a node (the
kernel keeps it in the root), and a tmpfs entry stays in this tree instead of a vector beside it. Nodes of page trees
are CACHE_RADIX objects, those of the trees of disk tokens are the host's alone; the top bit of node.shift tells them
apart. A node that is not in a tree is all zero but for its free link.

Readaround window: 16 pages, aligned. With `misses > hits + 100` a file is read page by page.
"""
from libc.errno cimport EEXIST, ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset, strncpy
from posix.mman cimport munmap

from vmcore._fast.bugs cimport BUG_PAGE_CACHE_MAPPED, bug
from vmcore._fast.clock cimport device_read, device_write, wait_event
from vmcore._fast.counters cimport FILEMAP_READS, FILEMAP_WRITES, PGMAJFAULT, PGPGIN, PGPGOUT, count, count_n
from vmcore._fast.frame cimport GFP_HIGHUSER_COLD, GFP_KERNEL, alloc_pages, get_page
from vmcore._fast.lru cimport lru_cache_add, mark_page_accessed, put_page
from vmcore._fast.pool cimport pool_alloc, pool_free, pool_init, pool_reserve, safe_point
from vmcore._fast.records cimport (
    CACHE_DENTRY, CACHE_FILP, CACHE_INODE, CACHE_RADIX, DEV_FILE, FILE_REGULAR, FILE_SHMEM, FILE_UNLINKED, HOST_NOMEM,
    PG_ANON, PG_DIRTY, PG_LOCKED, PG_READAHEAD, PG_RECLAIM, PG_SWAPCACHE, PG_TABLE, PG_UPTODATE, PG_WRITEBACK,
    POOL_FILE, POOL_RADIX, VM_RAND_READ, VM_SEQ_READ, ZONE_DMA, file_t, frame_t, machine_t, radix_node_t, vma_t)
from vmcore._fast.slab cimport LEDGER_PAGE_CACHE, cache_alloc, cache_free, ledger_note
from vmcore._fast.swap cimport free_swap_and_cache

cdef enum:
    MAP_SHIFT = 6               # 64 slots a node
    MAP_MASK = 63
    MAX_HEIGHT = 11             # 66 bits: any u64 index
    MAX_NEW_NODES = 22          # an insert grows the tree by at most 10 levels and adds a path of 10 below the new root
    STORE_SLAB = 1              # nodes are CACHE_RADIX objects
    STORE_EXCL = 2              # -EEXIST if the slot is taken
    KIB_PAGE = 4                # pgpgin and pgpgout count KiB
    TRIES = 8                   # of reading a page that reclaim takes again
    WAIT_NS = 100000000

cdef uint32_t NODE_SLAB = <uint32_t>1 << 31     # node.shift: the node is a slab object


# ---------------------------------------------------------------- radix trees

cdef inline uint64_t max_index(uint32_t height) noexcept nogil:
    if height >= MAX_HEIGHT:
        return ~<uint64_t>0
    return (<uint64_t>1 << (MAP_SHIFT * height)) - 1

cdef inline uint32_t levels_for(uint64_t index) noexcept nogil:
    cdef uint32_t height = 1
    while index > max_index(height):
        height += 1
    return height

cdef uint32_t node_alloc(machine_t *m, int how) noexcept nogil:
    cdef uint32_t node = pool_alloc(m, POOL_RADIX)
    cdef radix_node_t *n = &m.radix[node]
    if node == 0:
        return 0
    n.slot[0] = 0               # the free link
    n.count = 0
    n.shift = 0
    if how & STORE_SLAB and m.caches[CACHE_RADIX].num != 0 and not m.rules.page_hash:
        if cache_alloc(m, CACHE_RADIX, node, GFP_KERNEL) != 0:
            pool_free(m, POOL_RADIX, node)
            return 0
        n.shift = NODE_SLAB
    return node

cdef void node_free(machine_t *m, uint32_t node) noexcept nogil:
    cdef radix_node_t *n = &m.radix[node]
    if n.shift & NODE_SLAB:
        cache_free(m, CACHE_RADIX, node)
    n.shift = 0
    pool_free(m, POOL_RADIX, node)

cdef uint32_t nodes_needed(machine_t *m, const uint32_t *root, uint64_t index) noexcept nogil:
    """New nodes that a store at index takes."""
    cdef uint32_t height = root[1]
    cdef uint32_t node = root[0]
    cdef int shift
    if node == 0:
        return levels_for(index)
    if index > max_index(height):
        # (levels - height) new roots one above the other, and a path below the topmost
        return 2 * levels_for(index) - height - 1
    shift = (<int>height - 1) * MAP_SHIFT
    while shift > 0:
        node = <uint32_t>m.radix[node].slot[(index >> shift) & MAP_MASK]
        if node == 0:
            return <uint32_t>(shift // MAP_SHIFT)
        shift -= MAP_SHIFT
    return 0

cdef int radix_store(machine_t *m, uint32_t *root, uint64_t index, uint64_t value, int how) noexcept nogil:
    cdef uint32_t spare[MAX_NEW_NODES]
    cdef uint32_t nr = 0, node, child
    cdef int shift, result = 0
    cdef radix_node_t *n
    # Taking a node may reclaim, which may take pages and nodes out of this very tree: so all nodes come first, and the
    # need is worked out again after each. The store itself cannot fail or sleep.
    while nr < nodes_needed(m, root, index):
        node = node_alloc(m, how)
        if node == 0:
            result = -ENOMEM
            break
        spare[nr] = node
        nr += 1
    if result == 0:
        if root[0] == 0:
            nr -= 1
            root[0] = spare[nr]
            root[1] = levels_for(index)
        while index > max_index(root[1]):
            nr -= 1
            n = &m.radix[spare[nr]]
            n.slot[0] = root[0]
            n.count = 1
            root[0] = spare[nr]
            root[1] += 1
        node = root[0]
        shift = (<int>root[1] - 1) * MAP_SHIFT
        while shift > 0:
            n = &m.radix[node]
            child = <uint32_t>n.slot[(index >> shift) & MAP_MASK]
            if child == 0:
                nr -= 1
                child = spare[nr]
                n.slot[(index >> shift) & MAP_MASK] = child
                n.count += 1
            node = child
            shift -= MAP_SHIFT
        n = &m.radix[node]
        if n.slot[index & MAP_MASK] == 0:
            n.count += 1
            n.slot[index & MAP_MASK] = value
        elif how & STORE_EXCL:
            result = -EEXIST
        else:
            n.slot[index & MAP_MASK] = value
    while nr != 0:
        nr -= 1
        node_free(m, spare[nr])
    return result

cdef uint64_t radix_get(machine_t *m, uint32_t *root, uint64_t index) noexcept nogil:
    cdef uint32_t node = root[0]
    cdef int shift
    if node == 0 or index > max_index(root[1]):
        return 0
    shift = (<int>root[1] - 1) * MAP_SHIFT
    while shift > 0:
        node = <uint32_t>m.radix[node].slot[(index >> shift) & MAP_MASK]
        if node == 0:
            return 0
        shift -= MAP_SHIFT
    return m.radix[node].slot[index & MAP_MASK]

cdef int radix_set(machine_t *m, uint32_t *root, uint64_t index, uint64_t value) noexcept nogil:
    return radix_store(m, root, index, value, STORE_SLAB)

cdef uint64_t radix_clear(machine_t *m, uint32_t *root, uint64_t index) noexcept nogil:
    cdef uint32_t path[MAX_HEIGHT]
    cdef uint32_t node = root[0]
    cdef int depth = 0, shift
    cdef uint64_t value
    cdef radix_node_t *n
    if node == 0 or index > max_index(root[1]):
        return 0
    shift = (<int>root[1] - 1) * MAP_SHIFT
    while shift > 0:
        path[depth] = node
        depth += 1
        node = <uint32_t>m.radix[node].slot[(index >> shift) & MAP_MASK]
        if node == 0:
            return 0
        shift -= MAP_SHIFT
    value = m.radix[node].slot[index & MAP_MASK]
    if value == 0:
        return 0
    # upwards: a slot goes, and with its last slot the node
    while True:
        n = &m.radix[node]
        n.slot[(index >> shift) & MAP_MASK] = 0
        n.count -= 1
        if n.count != 0:
            break
        node_free(m, node)
        if depth == 0:
            root[0] = 0
            root[1] = 0
            break
        depth -= 1
        node = path[depth]
        shift += MAP_SHIFT
    return value

cdef uint64_t radix_next(machine_t *m, uint32_t *root, uint64_t *index, uint64_t last) noexcept nogil:
    cdef uint64_t at = index[0], after, value
    cdef uint32_t node
    cdef int shift
    while root[0] != 0 and at <= last and at <= max_index(root[1]):
        node = root[0]
        shift = (<int>root[1] - 1) * MAP_SHIFT
        while True:
            value = m.radix[node].slot[(at >> shift) & MAP_MASK]
            if value != 0:
                if shift == 0:
                    index[0] = at
                    return value
                node = <uint32_t>value
                shift -= MAP_SHIFT
                continue
            after = ((at >> shift) + 1) << shift            # past the empty subtree
            if after < at or after > last:                  # the end of all indexes, or of the range
                return 0
            at = after
            if ((at >> shift) & MAP_MASK) == 0:             # past this node: from the root again
                break
    return 0


# ---------------------------------------------------------------- files

cdef uint32_t file_create(machine_t *m, uint32_t kind, uint64_t size, uint32_t flags, const char *name) noexcept nogil:
    cdef uint32_t file = pool_alloc(m, POOL_FILE)
    cdef file_t *f = &m.files[file]
    if file == 0:
        return 0
    if cache_alloc(m, CACHE_INODE, file, GFP_KERNEL) != 0:
        pool_free(m, POOL_FILE, file)
        return 0
    if cache_alloc(m, CACHE_DENTRY, file, GFP_KERNEL) != 0:
        cache_free(m, CACHE_INODE, file)
        pool_free(m, POOL_FILE, file)
        return 0
    if cache_alloc(m, CACHE_FILP, file, GFP_KERNEL) != 0:
        cache_free(m, CACHE_DENTRY, file)
        cache_free(m, CACHE_INODE, file)
        pool_free(m, POOL_FILE, file)
        return 0
    memset(f, 0, sizeof(file_t))
    f.kind = kind
    f.flags = flags
    f.size = size
    f.refs = 1
    f.device = DEV_FILE
    f.ra_prev = ~<uint64_t>0
    strncpy(f.name, name, sizeof(f.name) - 1)
    return file

cdef void file_free(machine_t *m, uint32_t file) noexcept nogil:
    cdef file_t *f = &m.files[file]
    f.refs = 1                  # dropping pages may wait: whoever looks at the file meanwhile must find it whole
    drop_file_range(m, file, 0)
    if f.kind == FILE_SHMEM and f.flags & FILE_UNLINKED:
        m.committed -= file_pages(f)        # the object's own charge (fact sheet 6.10)
    cache_free(m, CACHE_FILP, file)
    cache_free(m, CACHE_DENTRY, file)
    cache_free(m, CACHE_INODE, file)
    memset(f, 0, sizeof(file_t))
    pool_free(m, POOL_FILE, file)

cdef void file_put(machine_t *m, uint32_t file) noexcept nogil:
    cdef file_t *f = &m.files[file]
    f.refs -= 1
    if f.refs == 0:
        file_free(m, file)

cdef void wait_on_page(machine_t *m, uint32_t pfn, uint32_t bits) noexcept nogil:
    while m.frames[pfn].flags & bits:
        if m.due_nr == 0 and m.nr_events == 0:
            return
        wait_event(m, WAIT_NS)

cdef void drop_cached_page(machine_t *m, uint32_t pfn) noexcept nogil:
    clear_page_dirty(m, pfn)
    m.frames[pfn].flags &= ~<uint32_t>PG_UPTODATE
    remove_from_page_cache(m, pfn)
    put_page(m, pfn)

cdef void drop_file_pages(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = first, slot
    cdef uint32_t pfn
    # Every turn either empties the slot at index or finds it changed after a wait (a tmpfs page that went to swap).
    while True:
        slot = radix_next(m, &f.root, &index, last)
        if slot == 0:
            break
        if (slot & RADIX_TAG) == RADIX_SWAP:
            radix_clear(m, &f.root, index)
            f.swapped -= 1
            free_swap_and_cache(m, <uint32_t>(slot >> RADIX_VALUE_SHIFT))
            continue
        pfn = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
        get_page(m, pfn)
        wait_on_page(m, pfn, PG_LOCKED | PG_WRITEBACK)
        if radix_get(m, &f.root, index) == slot:
            drop_cached_page(m, pfn)
        put_page(m, pfn)
    index = first
    while radix_next(m, &f.disk_root, &index, last) != 0:
        radix_clear(m, &f.disk_root, index)


cdef void drop_file_range(machine_t *m, uint32_t file, uint64_t first) noexcept nogil:
    drop_file_pages(m, file, first, ~<uint64_t>0)


# ---------------------------------------------------------------- page cache

cdef inline int is_file_page(machine_t *m, const frame_t *p) noexcept nogil:
    """The page belongs to a regular file: only such pages count in nr_dirty (tmpfs is memory backed)."""
    return (p.mapping != 0 and (p.flags & (PG_ANON | PG_SWAPCACHE | PG_TABLE)) == 0
            and m.files[p.mapping].kind == FILE_REGULAR)

cdef uint32_t find_page(machine_t *m, uint32_t file, uint64_t index) noexcept nogil:
    cdef uint64_t slot = radix_get(m, &m.files[file].root, index)
    if (slot & RADIX_TAG) != RADIX_PAGE:
        return 0
    return <uint32_t>(slot >> RADIX_VALUE_SHIFT)

cdef int add_to_page_cache(machine_t *m, uint32_t pfn, uint32_t file, uint64_t index) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef frame_t *p = &m.frames[pfn]
    cdef int r = radix_store(m, &f.root, index, (<uint64_t>pfn << RADIX_VALUE_SHIFT) | RADIX_PAGE,
                             STORE_SLAB | STORE_EXCL)
    if r < 0:
        return r
    p.refs += 1
    p.mapping = file
    p.index = index
    f.nrpages += 1
    m.nr_pagecache += 1
    ledger_note(m, LEDGER_PAGE_CACHE, pfn, 1)
    if p.flags & PG_DIRTY and is_file_page(m, p):
        m.nr_dirty += 1
    return 0

cdef void remove_from_page_cache(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *p = &m.frames[pfn]
    cdef file_t *f = &m.files[p.mapping]
    if m.mapcount[pfn] != 0:
        bug(m, BUG_PAGE_CACHE_MAPPED, pfn, p.mapping, p.index)
    if p.flags & PG_DIRTY and is_file_page(m, p):
        m.nr_dirty -= 1
    radix_clear(m, &f.root, p.index)
    f.nrpages -= 1
    p.mapping = 0
    p.index = 0
    m.nr_pagecache -= 1
    ledger_note(m, LEDGER_PAGE_CACHE, pfn, -1)

cdef void set_page_dirty(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *p = &m.frames[pfn]
    if p.flags & PG_READAHEAD:
        p.flags &= ~<uint32_t>(PG_READAHEAD | PG_RECLAIM)
    if (p.flags & PG_DIRTY) == 0:
        p.flags |= PG_DIRTY
        if is_file_page(m, p):
            m.nr_dirty += 1

cdef int clear_page_dirty(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *p = &m.frames[pfn]
    if (p.flags & PG_DIRTY) == 0:
        return 0
    p.flags &= ~<uint32_t>PG_DIRTY
    if is_file_page(m, p):
        m.nr_dirty -= 1
    return 1


# ---------------------------------------------------------------- reading

cdef int read_pages(machine_t *m, uint32_t file, uint64_t first, uint32_t n) noexcept nogil:
    """Read what is not cached of n <= READ_MOST pages from first, as far as there is memory; returns pages read."""
    cdef file_t *f = &m.files[file]
    cdef uint32_t got[READ_MOST]
    cdef uint64_t at[READ_MOST]
    cdef uint64_t end = file_pages(f)
    cdef uint32_t i, nr = 0, read = 0, pfn
    # All frames first: allocating may reclaim, and reclaim must not meet pages that are cached but not yet read.
    for i in range(n):
        if first + i >= end or first + i < first:
            break
        if find_page(m, file, first + i) != 0:
            continue
        pfn = alloc_pages(m, GFP_HIGHUSER_COLD, 0)
        if pfn == 0:
            break
        got[nr] = pfn
        at[nr] = first + i
        nr += 1
    for i in range(nr):
        pfn = got[i]
        if add_to_page_cache(m, pfn, file, at[i]) < 0:
            put_page(m, pfn)
            continue
        m.frames[pfn].flags |= PG_LOCKED
        lru_cache_add(m, pfn)
        put_page(m, pfn)
        got[read] = pfn
        at[read] = at[i]
        read += 1
    if read == 0:
        return 0
    count_n(m, FILEMAP_READS, read)
    count_n(m, PGPGIN, KIB_PAGE * read)
    device_read(m, f.device, read)
    for i in range(read):
        pfn = got[i]
        if m.tokens_on:
            m.page_token[pfn] = radix_get(m, &f.disk_root, at[i])
        m.frames[pfn].flags = (m.frames[pfn].flags | PG_UPTODATE) & ~<uint32_t>PG_LOCKED
    return <int>read

cdef void read_range(machine_t *m, uint32_t file, uint64_t first, uint64_t last, uint32_t at_once) noexcept nogil:
    cdef uint64_t end = file_pages(&m.files[file])
    if last > end:
        last = end
    while first < last:
        read_pages(m, file, first, <uint32_t>(last - first if last - first < at_once else at_once))
        first += at_once
        if first < last and safe_point(m) < 0:
            break

cdef uint32_t wanted_page(machine_t *m, uint32_t file, uint64_t index) noexcept nogil:
    cdef uint32_t pfn = 0
    cdef int _tries
    for _tries in range(TRIES):
        pfn = find_page(m, file, index)
        if pfn != 0 or (read_pages(m, file, index, 1) == 0 and find_page(m, file, index) == 0):
            break
    return pfn

cdef uint32_t filemap_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *major) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t file = v.file, pfn, n
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = v.pgoff + ((addr - v.start) >> PAGE_SHIFT), first
    cdef int around = 0, windowed = 0
    major[0] = 0
    while True:
        if index >= file_pages(f):
            return NOPAGE_SIGBUS
        pfn = find_page(m, file, index)
        if pfn != 0:
            break
        first = index
        n = 1
        if v.flags & VM_SEQ_READ:
            if not windowed:
                n = READAROUND
        elif (v.flags & VM_RAND_READ) == 0:
            f.ra_miss += 1
            if not windowed and f.ra_miss <= <uint64_t>f.ra_hit + MMAP_LOTSAMISS:
                around = 1
                first = index & ~<uint64_t>(READAROUND - 1)
                n = READAROUND
        windowed = 1            # a window that did not bring the page is followed by a read of just the page
        if read_pages(m, file, first, n) > 0:
            if major[0] == 0:
                count(m, PGMAJFAULT)
            major[0] = 1
        elif n == 1 and find_page(m, file, index) == 0:
            return NOPAGE_OOM
    # A page read alone is found on the second look and counts as a hit: misses outrun hits only while windows are read.
    if not around:
        f.ra_hit += 1
    get_page(m, pfn)
    mark_page_accessed(m, pfn)
    return pfn

cdef uint32_t device_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *major) noexcept nogil:
    """A frame of the kernel's image above the zero page, by page offset; a device larger than those (766 and more)
    shows them again and again. It is reserved: no reference is taken, its record not touched."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t index = v.pgoff + ((addr - v.start) >> PAGE_SHIFT)
    cdef uint32_t first = m.zero_pfn + 1
    cdef uint32_t end = m.zones[ZONE_DMA].start_pfn + m.zones[ZONE_DMA].reserved
    major[0] = 0
    if index >= file_pages(&m.files[v.file]):
        return NOPAGE_SIGBUS
    return first + <uint32_t>(index % (end - first))


# ---------------------------------------------------------------- writing

cdef int file_writepage(machine_t *m, uint32_t pfn) noexcept nogil:
    """0 = write submitted. 1 = the host had no memory for the token: the page is dirty again and still locked."""
    cdef frame_t *p = &m.frames[pfn]
    cdef file_t *f = &m.files[p.mapping]
    cdef uint64_t token
    if m.tokens_on:
        token = m.page_token[pfn]
        if token == 0:
            radix_clear(m, &f.disk_root, p.index)
        elif radix_store(m, &f.disk_root, p.index, token, 0) != 0:
            m.host_error |= HOST_NOMEM
            set_page_dirty(m, pfn)
            return 1
    p.flags = (p.flags | PG_WRITEBACK) & ~<uint32_t>PG_LOCKED
    p.refs += 1
    m.nr_writeback += 1
    count(m, FILEMAP_WRITES)
    count_n(m, PGPGOUT, KIB_PAGE)
    device_write(m, f.device, pfn)
    return 0


# ---------------------------------------------------------------- test shim

cdef class _py_Radix:
    """One radix tree in a machine that has nothing but POOL_RADIX, for tests of the tree alone."""
    cdef machine_t *m
    cdef uint32_t root[2]

    def __cinit__(self, max_nodes=1 << 16):
        self.m = <machine_t *>calloc(1, sizeof(machine_t))
        if self.m == NULL or pool_init(&self.m.pools[POOL_RADIX], sizeof(radix_node_t), max_nodes, 0) != 0:
            raise MemoryError()
        self.m.radix = <radix_node_t *>self.m.pools[POOL_RADIX].base
        self.root[0] = self.root[1] = 0

    def __dealloc__(self):
        if self.m != NULL and self.m.pools[POOL_RADIX].base != NULL:
            munmap(self.m.pools[POOL_RADIX].base, self.m.pools[POOL_RADIX].bytes)
        free(self.m)

    def set(self, uint64_t index, uint64_t value):
        pool_reserve(self.m, POOL_RADIX, MAX_NEW_NODES)
        return radix_set(self.m, self.root, index, value)

    def get(self, uint64_t index):
        return radix_get(self.m, self.root, index)

    def clear(self, uint64_t index):
        return radix_clear(self.m, self.root, index)

    def next(self, uint64_t index, uint64_t last=~<uint64_t>0):
        """(index, value) of the first occupied place in [index, last], or None."""
        cdef uint64_t value = radix_next(self.m, self.root, &index, last)
        return (index, value) if value else None

    @property
    def height(self):
        return self.root[1]

    @property
    def nodes(self):
        return self.m.pools[POOL_RADIX].live

    def check(self):
        """Every node's count is its occupied slots, none is empty, free nodes are zero; returns the nodes reached."""
        cdef uint32_t node = self.m.pools[POOL_RADIX].free
        cdef int i
        while node:
            for i in range(1, 64):
                assert self.m.radix[node].slot[i] == 0, f"free node {node} slot {i}"
            node = <uint32_t>self.m.radix[node].slot[0]
        reached = self._walk(self.root[0], self.root[1]) if self.root[0] else 0
        assert reached == self.nodes, f"{reached} nodes reached, {self.nodes} in use"
        return reached

    def _walk(self, uint32_t node, uint32_t height):
        cdef radix_node_t *n = &self.m.radix[node]
        used = [n.slot[i] for i in range(64) if n.slot[i]]
        assert used and len(used) == n.count, f"node {node}: count {n.count}, {len(used)} occupied"
        return 1 + (sum(self._walk(child, height - 1) for child in used) if height > 1 else 0)
