"""What is the same on Linux kernels other than 6.18, so that something can be compared there.

Between versions mappings merge otherwise, faults are counted otherwise and errors have other names; what a program
reads, which of its accesses are refused, and where what is mapped with which permissions must not differ. So: the
operations below, and of the answers those two.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.kernel.compare import Step
from tests.kernel.script import MADV, MAP, PAGE, Op
from tests.kernel.state import Space, Vma

LEVELS = ("result", "vmas")
CALLS = frozenset(("mmap", "munmap", "mprotect", "madvise", "touch", "read", "write", "fork", "exit", "file", "fread",
                   "fwrite", "ftruncate", "punch"))
_FLAGS = MAP["shared"] | MAP["private"] | MAP["fixed"] | MAP["anonymous"] | MAP["populate"] | MAP["noreserve"]


def same_everywhere(op: Op) -> bool:
    """No errors of argument checks, no placement, nothing newer than 5.10, no memory that is executable only."""
    if op.name not in CALLS:
        return False
    if op.name in ("mmap", "munmap", "mprotect", "madvise") and (op.args[0] % PAGE or not 0 < op.args[1] < 1 << 30):
        return False
    if op.name == "mmap":
        _, _, prot, flags, file, offset = op.args
        return (flags & ~_FLAGS == 0 and flags & 3 in (1, 2) and bool(flags & MAP["fixed"]) and prot in (0, 1, 3, 5, 7)
                and (file is not None or bool(flags & MAP["anonymous"])) and offset % PAGE == 0)
    if op.name == "mprotect":
        return op.args[2] in (0, 1, 3, 5, 7)
    if op.name == "madvise":
        return op.args[2] in (MADV["dontneed"], MADV["normal"], MADV["dontdump"], MADV["dodump"])
    return op.name != "punch" or (op.args[1] % PAGE == 0 and 0 < op.args[2] < 1 << 30)


def coarse(steps: Iterable[Step]) -> Iterable[Step]:
    """Steps without what may differ: neighbours of equal permissions joined, no VmFlags, no pages, no counts."""
    for step in steps:
        state = {proc: _joined(space) for proc, space in (step.state or {}).items()}
        yield Step(step.outcome._replace(faults=(0, 0)), state)


def _joined(space: Space) -> Space:
    out: list[Vma] = []
    for vma in space.vmas:
        last = out[-1] if out else None
        shared = vma.perms[3] == "s"
        named = vma.file is not None and not str(vma.file).startswith("shm")
        file = vma.file if named else "shared" if shared else None
        if (last and last.end == vma.start and (last.perms, last.file) == (vma.perms, file)
                and (file in (None, "shared") or last.offset + last.end - last.start == vma.offset)):
            out[-1] = replace(last, end=vma.end)
        else:
            out.append(replace(vma, flags="", file=file, offset=vma.offset if file not in (None, "shared") else 0))
    return Space(tuple(out))
