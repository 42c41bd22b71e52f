# cython: language_level=3
"""What callgrind is told from inside: count from here to there. Outside of valgrind both calls do nothing."""

cdef extern from *:
    """
    #include <valgrind/callgrind.h>
    static void counting_begins(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
    static void counting_ends(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
    """
    void counting_begins() nogil
    void counting_ends(const char *name) nogil


def counted(bytes name, action):
    """Call it; what callgrind counted meanwhile is dumped under that name."""
    counting_begins()
    action()
    counting_ends(name)
