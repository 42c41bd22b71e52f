# An object that belongs to one thread at a time: who finds the flag set is told so (RuntimeError) instead of waiting.
cdef extern from *:
    """
    static inline int vm_claim(int *busy) { return __atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE); }
    static inline void vm_release(int *busy) { __atomic_store_n(busy, 0, __ATOMIC_RELEASE); }
    """
    int vm_claim(int *busy) noexcept nogil
    void vm_release(int *busy) noexcept nogil
