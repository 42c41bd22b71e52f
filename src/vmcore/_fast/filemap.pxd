# Files and their page cache. mm/filemap.c and lib/radix-tree.c of 2.6.5; fact sheet linux-2004 4.4, 4.10.
#
# A file's cache is a radix tree with 64 slots a node; a slot holds 0, RADIX_PAGE | pfn, or (shmem) RADIX_SWAP | entry.
# A cached page has one reference for the cache, mapping = file, index = page offset, no PG_ANON. A second tree of the
# same kind holds the content tokens "on disk", only after tokens came into use.
from libc.stdint cimport uint32_t, uint64_t, int64_t
from vmcore._fast.records cimport machine_t, file_t, FILE_OPEN, FILE_SHMEM, PAGE_SIZE, PAGE_SHIFT, POOL_FILE

cdef enum:
    RADIX_PAGE = 1          # tags in the low two bits of a slot; value << 2
    RADIX_SWAP = 2
    NOPAGE_SIGBUS = 0       # filemap_nopage returned no page: beyond the end of the file
    NOPAGE_OOM = 0xFFFFFFFF
    NOPAGE_MAJOR = 1        # what nopage says besides: the page had to be read
    NOPAGE_AGAIN = 2        # ... the fault let go of its locks, and begins anew
    READAROUND = 16         # window of filemap_nopage
    READ_MOST = 32          # pages that one read_pages may ask for
    MMAP_LOTSAMISS = 100
    RADIX_TAG = 3
    RADIX_VALUE_SHIFT = 2

cdef inline uint64_t file_pages(const file_t *f) noexcept nogil:
    """Pages of i_size, the last one perhaps partial."""
    return (f.size >> PAGE_SHIFT) + ((f.size & (PAGE_SIZE - 1)) != 0)

cdef inline uint64_t max_file_bytes(machine_t *m, const file_t *f) noexcept nogil:
    """s_maxbytes: of a file system on a disk what 32-bit block numbers reach, of tmpfs what the page offsets do."""
    if f.kind == FILE_SHMEM and m.rules.word_size == 8:
        return ~<uint64_t>0 >> 1
    return (((<uint64_t>1 << 32) - 1) << PAGE_SHIFT)

# ---- radix trees: root and height are two adjacent u32 (file.root/height or file.disk_root/disk_height)
cdef uint64_t radix_get(machine_t *m, uint32_t *root, uint64_t index) noexcept nogil                 # 0 if empty
# value != 0; -ENOMEM
cdef int radix_set(machine_t *m, uint32_t *root, uint64_t index, uint64_t value) noexcept nogil
# returns what was there
cdef uint64_t radix_clear(machine_t *m, uint32_t *root, uint64_t index) noexcept nogil
# First occupied index >= *index and <= last: returns the slot's value and sets *index; 0 if none.
cdef uint64_t radix_next(machine_t *m, uint32_t *root, uint64_t *index, uint64_t last) noexcept nogil

# ---- files
# New file; name is copied (63 bytes). 0 = ENOMEM. refs = 1 (the handle).
cdef uint32_t file_create(machine_t *m, uint32_t kind, uint64_t size, uint32_t flags, const char *name) noexcept nogil
# Drop one reference; at 0 the cache and swap slots of the file go, and the record.
cdef void file_put(machine_t *m, uint32_t file) noexcept nogil

# ---- page cache
# pfn or 0; no reference taken
cdef uint32_t find_page(machine_t *m, uint32_t file, uint64_t index) noexcept nogil
# takes a reference; -ENOMEM, -EEXIST
cdef int add_to_page_cache(machine_t *m, uint32_t pfn, uint32_t file, uint64_t index) noexcept nogil
# drops nothing: caller puts the reference
cdef void remove_from_page_cache(machine_t *m, uint32_t pfn) noexcept nogil
cdef inline bint file_is_open(machine_t *m, uint32_t file) noexcept nogil:
    """Whether that number, whoever made it up, is a file that the Python face holds."""
    return file != 0 and file < m.pools[<int>POOL_FILE].next and (m.files[file].flags & <uint32_t>FILE_OPEN) != 0

# Read what is not cached of n <= READ_MOST pages from first, as far as the file and memory go; returns pages read.
cdef int read_pages(machine_t *m, uint32_t file, uint64_t first, uint32_t n) noexcept nogil
# Pages [first, last), at_once <= READ_MOST in one go, as far as the file goes, or until a safe point in between ends
# it.
cdef void read_range(machine_t *m, uint32_t file, uint64_t first, uint64_t last, uint32_t at_once) noexcept nogil
# The page at index, read alone if it is not cached; without a reference. 0: no memory.
cdef uint32_t wanted_page(machine_t *m, uint32_t file, uint64_t index) noexcept nogil
# The page at index for a fault, one reference taken: NOPAGE_SIGBUS, NOPAGE_OOM or a pfn. *major = 1 if it had to be
# read. Readaround as 2.6.5.
cdef uint32_t filemap_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *major) noexcept nogil
cdef uint32_t device_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *major) noexcept nogil
# Dispatch by the kind of the vma's file: filemap_nopage, shmem_nopage (shmem.pxd), device_nopage.
# PG_DIRTY, nr_dirty for file pages
cdef void set_page_dirty(machine_t *m, uint32_t pfn) noexcept nogil
# clear PG_DIRTY keeping nr_dirty right; returns whether it was set
cdef int clear_page_dirty(machine_t *m, uint32_t pfn) noexcept nogil
# Write a locked file page whose PG_DIRTY was cleared: PG_WRITEBACK, unlocked; saves its token on disk. 0.
cdef int file_writepage(machine_t *m, uint32_t pfn) noexcept nogil
# Wait until the page has none of `bits` (PG_LOCKED, PG_WRITEBACK). The caller holds a reference. Returns at once if no
# event is under way that could end it (a lock held further up the stack).
cdef void wait_on_page(machine_t *m, uint32_t pfn, uint32_t bits) noexcept nogil
# truncate_inode_pages: pages, swap entries and disk tokens at index >= first go; waits for locks and writes. Nothing
# may be mapped.
cdef void drop_file_range(machine_t *m, uint32_t file, uint64_t first) noexcept nogil
# The same of [first, last].
cdef void drop_file_pages(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil
# Drop one unmapped page from its cache with the cache's reference; its contents are given up (truncate_complete_page).
cdef void drop_cached_page(machine_t *m, uint32_t pfn) noexcept nogil
