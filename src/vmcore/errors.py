"""What vmcore raises beside OSError (a failed system call), ValueError and TypeError (senseless arguments)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmcore.task import Task

__all__ = ["BusError", "KernelBug", "SegmentationFault", "TaskKilled"]

_SEGV_CODES = {
    1: "no mapping there",
    2: "the mapping does not allow it",
    4: "the mapping is executable only",
    128: "not a canonical address",
}


def _access(index: int | None) -> str:
    """Which access of a batch; there is nothing to say of one alone."""
    return "access" if index is None else f"access {index}"


class SegmentationFault(Exception):
    """A touch outside a mapping, or against its protection. The task lives on, as if it had a handler.

    code is that of Linux: 1 (SEGV_MAPERR) no mapping, or a guard marker in one (guard is True then), 2 (SEGV_ACCERR)
    protection, 4 (SEGV_PKUERR) memory that is executable only, 128 (SI_KERNEL) an address that no page table reaches,
    which Linux gives as 0. index is the place in the batch; what came before it has happened.
    """

    def __init__(
        self, task: Task, address: int, code: int, index: int | None = None, guard: bool = False
    ) -> None:
        super().__init__(task, address, code, index, guard)
        self.task = task
        self.address = address
        self.code = code
        self.index = 0 if index is None else index
        self.guard = guard

    def __str__(self) -> str:
        what = "a guard marker is there" if self.guard else _SEGV_CODES.get(self.code, self.code)
        return f"{self.task}: {_access(self.args[3])} to {self.address:#x}: {what}"


class BusError(Exception):
    """A touch of a mapped page beyond the end of its file. The task lives on. code is 2 (BUS_ADRERR)."""

    def __init__(self, task: Task, address: int, code: int = 2, index: int | None = None) -> None:
        super().__init__(task, address, code, index)
        self.task = task
        self.address = address
        self.code = code
        self.index = 0 if index is None else index

    def __str__(self) -> str:
        return f"{self.task}: {_access(self.args[3])} to {self.address:#x}: beyond the end of the file"


class TaskKilled(Exception):
    """The task that made the call is dead: the OOM killer chose it ("oom"), or a fault of its own found no memory
    ("fault").

    index is the place in the batch of touches, None in other calls.
    """

    def __init__(self, task: Task, by: str, index: int | None = None) -> None:
        super().__init__(task, by, index)
        self.task = task
        self.by = by
        self.index = index

    def __str__(self) -> str:
        where = "" if self.index is None else f" at access {self.index}"
        return f"{self.task}: killed by {self.by}{where}"


class KernelBug(Exception):
    """A broken invariant: where the kernel has BUG_ON, or what check() found. objects: numbers of what it concerns."""

    def __init__(self, name: str, objects: tuple[int, ...] = ()) -> None:
        super().__init__(name, objects)
        self.name = name
        self.objects = objects

    def __str__(self) -> str:
        return f"{self.name} {tuple(self.objects)}"
