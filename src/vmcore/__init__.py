"""vmcore: the virtual memory of a whole Linux machine, simulated page by page.

Machine is a simulated box, Task an address space with its system calls, KERNELS the kernels to compare.
"""

from vmcore._fast.records import trace_t as TRACE_DTYPE
from vmcore.errors import BusError, KernelBug, SegmentationFault, TaskKilled
from vmcore.kernels import KERNELS, Kernel
from vmcore.machine import File, Machine, load
from vmcore.task import (
    CAP_IPC_LOCK,
    CAP_SYS_ADMIN,
    CAP_SYS_RAWIO,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    MCL_FUTURE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    RLIM_INFINITY,
    RLIMIT_AS,
    RLIMIT_DATA,
    RLIMIT_MEMLOCK,
    RLIMIT_STACK,
    Task,
)

__version__ = "0.1.0"

__all__ = [
    "CAP_IPC_LOCK",
    "CAP_SYS_ADMIN",
    "CAP_SYS_RAWIO",
    "KERNELS",
    "MAP_ANONYMOUS",
    "MAP_FIXED",
    "MAP_GROWSDOWN",
    "MAP_LOCKED",
    "MAP_NONBLOCK",
    "MAP_NORESERVE",
    "MAP_POPULATE",
    "MAP_PRIVATE",
    "MAP_SHARED",
    "MCL_CURRENT",
    "MCL_FUTURE",
    "MREMAP_FIXED",
    "MREMAP_MAYMOVE",
    "PROT_EXEC",
    "PROT_GROWSDOWN",
    "PROT_GROWSUP",
    "PROT_NONE",
    "PROT_READ",
    "PROT_WRITE",
    "RLIMIT_AS",
    "RLIMIT_DATA",
    "RLIMIT_MEMLOCK",
    "RLIMIT_STACK",
    "RLIM_INFINITY",
    "TRACE_DTYPE",
    "BusError",
    "File",
    "Kernel",
    "KernelBug",
    "Machine",
    "SegmentationFault",
    "Task",
    "TaskKilled",
    "__version__",
    "load",
]
