# Hints to the host's caches: never an access, any address is allowed. The empty asm keeps them: gcc takes a function
# that does nothing but prefetch for one without effects, and drops the calls of it.
cdef extern from *:
    """
    #ifndef VMCORE_PREFETCH
    #define VMCORE_PREFETCH
    #if defined(__GNUC__) || defined(__clang__)
    #define vmcore_prefetch_read(p) do { __builtin_prefetch((p), 0, 3); __asm__ volatile(""); } while (0)
    #define vmcore_prefetch_write(p) do { __builtin_prefetch((p), 1, 3); __asm__ volatile(""); } while (0)
    #else
    #define vmcore_prefetch_read(p) ((void)(p))
    #define vmcore_prefetch_write(p) ((void)(p))
    #endif
    #endif
    """
    void prefetch_read "vmcore_prefetch_read"(const void *p) noexcept nogil
    void prefetch_write "vmcore_prefetch_write"(const void *p) noexcept nogil
