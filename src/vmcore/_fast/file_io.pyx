"""read and write of a file through the page cache: File.read and File.write.

Source: generic_file_read and generic_file_write of mm/filemap.c, mm/shmem.c; what becomes resident was asked of
6.18.44.

A page has one token, whatever the offset in it. A read of a hole in tmpfs finds zero and makes no page; a page of a
regular file that is not cached is read alone, as a random read is, by the kernels of 2004 (how a reader that goes on is
read ahead for, is not simulated there), and with what readahead.pyx brings by today's. A write to a page that the file
has reads it first, one to a new page makes it; the page is dirty then, and who maps it sees the write. Private copies
do not.

This is the file itself, not a descriptor of a task: a file that tasks have without write permission is written too, as
somebody else would.
"""
from libc.errno cimport EEXIST, EFBIG, EINVAL, EIO, ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.filemap cimport (
    add_to_page_cache, file_pages, max_file_bytes, radix_get, set_page_dirty, wanted_page)
from vmcore._fast.frame cimport GFP_HIGHUSER, alloc_pages, get_page
from vmcore._fast.lru cimport lru_cache_add, mark_page_accessed, put_page
from vmcore._fast.readahead cimport filemap_read_page
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_REGULAR, FILE_SHMEM, PAGE_SHIFT, PG_UPTODATE, file_t, machine_t)
from vmcore._fast.shmem cimport shmem_getpage

cdef enum:
    WORD = 8

cdef uint64_t MAX_OFFSET = (~<uint64_t>0 >> 1) - WORD       # offsets are signed in the kernel


cdef uint32_t existing_page(machine_t *m, uint32_t file, uint64_t index) noexcept nogil:
    """The page of a place below the end of the file, with a reference; 0: no memory."""
    cdef uint32_t pfn
    cdef int major = 0
    if m.files[file].kind == FILE_SHMEM:
        return shmem_getpage(m, file, index, &major)
    pfn = wanted_page(m, file, index)
    if pfn != 0:
        get_page(m, pfn)
    return pfn


cdef uint32_t new_page(machine_t *m, uint32_t file, uint64_t index) noexcept nogil:
    """A page behind the end of the file as it is, with a reference; 0: no memory."""
    cdef uint32_t pfn = alloc_pages(m, GFP_HIGHUSER, 0)
    cdef int err
    if pfn == 0:
        return 0
    err = add_to_page_cache(m, pfn, file, index)
    if err < 0:
        put_page(m, pfn)
        return existing_page(m, file, index) if err == -EEXIST else 0
    if m.tokens_on:
        m.page_token[pfn] = 0
    m.frames[pfn].flags |= PG_UPTODATE
    lru_cache_add(m, pfn)
    return pfn


cdef int do_pread(machine_t *m, uint32_t file, uint64_t offset, uint64_t *token) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = offset >> PAGE_SHIFT
    cdef uint64_t left
    cdef uint32_t pfn
    token[0] = 0
    if f.kind == FILE_DEVICE:
        return -EIO
    if offset > MAX_OFFSET:
        return -EINVAL
    if offset >= f.size:
        return 0
    left = f.size - offset
    if f.kind != FILE_SHMEM or radix_get(m, &f.root, index) != 0:
        if m.rules.readahead and f.kind == FILE_REGULAR:
            pfn = filemap_read_page(m, file, index, offset + (left if left < WORD else WORD))
        else:
            pfn = existing_page(m, file, index)
        if pfn == 0:
            return -ENOMEM
        if m.tokens_on:
            token[0] = m.page_token[pfn]
        mark_page_accessed(m, pfn)
        put_page(m, pfn)
    return <int>(left if left < WORD else WORD)


cdef int do_pwrite(machine_t *m, uint32_t file, uint64_t offset, uint64_t token) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = offset >> PAGE_SHIFT
    cdef uint32_t pfn
    if f.kind == FILE_DEVICE:
        return -EINVAL
    if offset > MAX_OFFSET:
        return -EINVAL
    if offset >= max_file_bytes(m, f):
        return -EFBIG
    pfn = existing_page(m, file, index) if index < file_pages(f) else new_page(m, file, index)
    if pfn == 0:
        return -ENOMEM
    m.tokens_on = 1
    m.page_token[pfn] = token
    if f.size < offset + WORD:
        f.size = offset + WORD
        if f.size > max_file_bytes(m, f):       # the rest of the word is not written
            f.size = max_file_bytes(m, f)
    set_page_dirty(m, pfn)
    mark_page_accessed(m, pfn)
    put_page(m, pfn)
    return WORD
