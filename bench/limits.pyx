# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Limits of this host as plain C loops, and the integer streams of the benchmarks.

The loops do what any page-table simulation must do at least, with no simulation around it. The streams come from
splitmix64 and integer tables, so that a seed means the same on every Python and numpy.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    ctypedef unsigned long long u128 "unsigned __int128"


# ---- limits

def gather_or(uint64_t[::1] a, const int64_t[::1] index, uint64_t mask):
    """a[index[i]] |= mask, item by item."""
    cdef Py_ssize_t i, n = index.shape[0]
    cdef uint64_t *p = &a[0]
    cdef const int64_t *ix = &index[0]
    with nogil:
        for i in range(n):
            p[ix[i]] |= mask


def sequential_or(uint64_t[::1] a, uint64_t mask):
    """a[i] |= mask, without an index."""
    cdef Py_ssize_t i, n = a.shape[0]
    cdef uint64_t *p = &a[0]
    with nogil:
        for i in range(n):
            p[i] |= mask


def copy(uint64_t[::1] to, const uint64_t[::1] source):
    """memcpy of all of source."""
    with nogil:
        memcpy(&to[0], &source[0], <size_t>source.shape[0] * sizeof(uint64_t))


def chase(const uint32_t[:, ::1] records, uint32_t start, int64_t hops):
    """Follow the first word of each record, one after the other; returns where it ends."""
    cdef const uint32_t *p = &records[0, 0]
    cdef size_t width = records.shape[1]
    cdef uint32_t at = start
    cdef int64_t _i
    with nogil:
        for _i in range(hops):
            at = p[at * width]
    return at


def chase8(const uint32_t[:, ::1] records, const uint32_t[::1] starts, int64_t hops):
    """Eight chases at once, `hops` in all."""
    cdef const uint32_t *p = &records[0, 0]
    cdef size_t width = records.shape[1]
    cdef uint32_t at[8]
    cdef int64_t _i
    cdef int k
    cdef uint64_t total = 0
    for k in range(8):
        at[k] = starts[k]
    with nogil:
        for _i in range(hops // 8):
            for k in range(8):
                at[k] = p[at[k] * width]
        for k in range(8):
            total += at[k]
    return total


# ---- streams

cdef inline uint64_t draw(uint64_t *state) noexcept nogil:
    cdef uint64_t z
    state[0] += <uint64_t>0x9E3779B97F4A7C15
    z = state[0]
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


cdef inline uint64_t below(uint64_t *state, uint64_t n) noexcept nogil:
    return <uint64_t>((<u128>draw(state) * n) >> 64)


def uniform(int64_t[::1] out, uint64_t n, uint64_t seed):
    """Fill with numbers below n, each as likely as any other."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(out.shape[0]):
            out[i] = <int64_t>below(&seed, n)


def permutation(int64_t[::1] out, uint64_t seed):
    """Fill with 0, 1, 2, ... in random order (Fisher and Yates)."""
    cdef Py_ssize_t i, j
    cdef int64_t t
    with nogil:
        for i in range(out.shape[0]):
            out[i] = i
        for i in range(out.shape[0] - 1, 0, -1):
            j = <Py_ssize_t>below(&seed, <uint64_t>i + 1)
            t = out[i]
            out[i] = out[j]
            out[j] = t


def from_table(int64_t[::1] out, const uint64_t[::1] cumulated, const int64_t[::1] guide, int shift, uint64_t seed):
    """Fill with k, as often as cumulated[k] - cumulated[k - 1] of cumulated[-1] says.

    guide[j] is the first k with cumulated[k] > j << shift, so that a draw searches only between two of its entries.
    """
    cdef Py_ssize_t i
    cdef int64_t low, high, middle
    cdef uint64_t x, total = cumulated[cumulated.shape[0] - 1]
    with nogil:
        for i in range(out.shape[0]):
            x = below(&seed, total)
            low = guide[x >> shift]
            high = guide[(x >> shift) + 1]
            while low < high:
                middle = (low + high) >> 1
                if cumulated[middle] > x:
                    high = middle
                else:
                    low = middle + 1
            out[i] = low
