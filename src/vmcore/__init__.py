"""vmcore: the virtual memory of a whole Linux machine, simulated page by page.

Machine is a simulated box, Task an address space with its system calls, KERNELS the kernels to compare.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vmcore import _command  # noqa: F401 - before all that takes time

if TYPE_CHECKING:
    from vmcore._fast.records import trace_t as TRACE_DTYPE
    from vmcore.constants import (
        CAP_IPC_LOCK,
        CAP_SYS_ADMIN,
        CAP_SYS_RAWIO,
        MADV_COLD,
        MADV_COLLAPSE,
        MADV_DODUMP,
        MADV_DOFORK,
        MADV_DONTDUMP,
        MADV_DONTFORK,
        MADV_DONTNEED,
        MADV_DONTNEED_LOCKED,
        MADV_FREE,
        MADV_GUARD_INSTALL,
        MADV_GUARD_REMOVE,
        MADV_HUGEPAGE,
        MADV_KEEPONFORK,
        MADV_MERGEABLE,
        MADV_NOHUGEPAGE,
        MADV_NORMAL,
        MADV_PAGEOUT,
        MADV_POPULATE_READ,
        MADV_POPULATE_WRITE,
        MADV_RANDOM,
        MADV_REMOVE,
        MADV_SEQUENTIAL,
        MADV_UNMERGEABLE,
        MADV_WILLNEED,
        MADV_WIPEONFORK,
        MAP_ANONYMOUS,
        MAP_DROPPABLE,
        MAP_FIXED,
        MAP_FIXED_NOREPLACE,
        MAP_GROWSDOWN,
        MAP_HUGETLB,
        MAP_LOCKED,
        MAP_NONBLOCK,
        MAP_NORESERVE,
        MAP_POPULATE,
        MAP_PRIVATE,
        MAP_SHARED,
        MAP_SHARED_VALIDATE,
        MAP_STACK,
        MAP_SYNC,
        MCL_CURRENT,
        MCL_FUTURE,
        MCL_ONFAULT,
        MLOCK_ONFAULT,
        MREMAP_DONTUNMAP,
        MREMAP_FIXED,
        MREMAP_MAYMOVE,
        MS_ASYNC,
        MS_INVALIDATE,
        MS_SYNC,
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
    )
    from vmcore.errors import BusError, KernelBug, SegmentationFault, TaskKilled
    from vmcore.kernels import KERNELS, Kernel
    from vmcore.machine import File, Machine, load
    from vmcore.task import Task

__version__ = "0.1.0"

__all__ = [
    "CAP_IPC_LOCK",
    "CAP_SYS_ADMIN",
    "CAP_SYS_RAWIO",
    "KERNELS",
    "MADV_COLD",
    "MADV_COLLAPSE",
    "MADV_DODUMP",
    "MADV_DOFORK",
    "MADV_DONTDUMP",
    "MADV_DONTFORK",
    "MADV_DONTNEED",
    "MADV_DONTNEED_LOCKED",
    "MADV_FREE",
    "MADV_GUARD_INSTALL",
    "MADV_GUARD_REMOVE",
    "MADV_HUGEPAGE",
    "MADV_KEEPONFORK",
    "MADV_MERGEABLE",
    "MADV_NOHUGEPAGE",
    "MADV_NORMAL",
    "MADV_PAGEOUT",
    "MADV_POPULATE_READ",
    "MADV_POPULATE_WRITE",
    "MADV_RANDOM",
    "MADV_REMOVE",
    "MADV_SEQUENTIAL",
    "MADV_UNMERGEABLE",
    "MADV_WILLNEED",
    "MADV_WIPEONFORK",
    "MAP_ANONYMOUS",
    "MAP_DROPPABLE",
    "MAP_FIXED",
    "MAP_FIXED_NOREPLACE",
    "MAP_GROWSDOWN",
    "MAP_HUGETLB",
    "MAP_LOCKED",
    "MAP_NONBLOCK",
    "MAP_NORESERVE",
    "MAP_POPULATE",
    "MAP_PRIVATE",
    "MAP_SHARED",
    "MAP_SHARED_VALIDATE",
    "MAP_STACK",
    "MAP_SYNC",
    "MCL_CURRENT",
    "MCL_FUTURE",
    "MCL_ONFAULT",
    "MLOCK_ONFAULT",
    "MREMAP_DONTUNMAP",
    "MREMAP_FIXED",
    "MREMAP_MAYMOVE",
    "MS_ASYNC",
    "MS_INVALIDATE",
    "MS_SYNC",
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

# The engine and numpy are imported by the first use of a name: what needs neither (vmcore --help, a program that may or
# may not simulate) does not wait for them. Names that are not in _HOME are constants.
_HOME = {
    "BusError": "errors",
    "File": "machine",
    "KERNELS": "kernels",
    "Kernel": "kernels",
    "KernelBug": "errors",
    "Machine": "machine",
    "SegmentationFault": "errors",
    "Task": "task",
    "TaskKilled": "errors",
    "load": "machine",
}
_MODULES = frozenset({
    "constants", "cost", "designs", "errors", "footprint", "intervals", "invariants", "kernels", "machine", "report",
    "rules", "scenario", "stats", "sweep", "task", "trace",
})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"vmcore.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'vmcore' has no attribute {name!r}")
    if name == "TRACE_DTYPE":
        value = import_module("vmcore._fast.records").trace_t
    else:
        value = getattr(import_module("vmcore." + _HOME.get(name, "constants")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
