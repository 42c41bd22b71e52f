"""Task: an address space and its system calls, under their names and with their argument order.

A call returns what Linux returns and raises OSError where Linux fails, with its errno. Arguments that no caller could
pass (a negative length, a file of another machine) are a ValueError or TypeError. A call on a dead task is
ProcessLookupError (ESRCH).
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOMEM
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vmcore._fast import records
from vmcore._fast.arguments import U32_MAX, U64_MAX, flag, integer, text
from vmcore.constants import (
    MAP_ANONYMOUS,
    MREMAP_FIXED,
    RLIMIT_AS,
    RLIMIT_DATA,
    RLIMIT_MEMLOCK,
    RLIMIT_STACK,
)

if TYPE_CHECKING:
    from vmcore.machine import File, Machine

__all__ = ["MapsEntry", "SmapsEntry", "Task"]

_RLIMITS = {
    RLIMIT_DATA: records.RLIM_DATA,
    RLIMIT_STACK: records.RLIM_STACK,
    RLIMIT_MEMLOCK: records.RLIM_MEMLOCK,
    RLIMIT_AS: records.RLIM_AS,
}
_NLIMITS = 11  # RLIM_NLIMITS of 2.6.5
I32_MAX = (1 << 31) - 1
_STATES = {records.TASK_ALIVE: "R (running)", records.TASK_DYING: "R (running)", records.TASK_DEAD: "X (dead)"}
_PAGE = 4096
_LARGE = 1 << 36
# VmFlags of smaps by bit of vm_flags, in their order: droppable memory is bit 40 there. Protection keys have no letters
_VM_LETTERS = {
    0: "rd", 1: "wr", 2: "ex", 3: "sh", 4: "mr", 5: "mw", 6: "me", 7: "ms", 8: "gd", 10: "pf", 11: "gu", 12: "nl",
    13: "lo", 14: "io", 15: "sr", 16: "rr", 17: "dc", 18: "de", 19: "lf", 20: "ac", 21: "nr", 22: "ht", 23: "sf",
    25: "wf", 26: "dd", 28: "mm", 29: "hg", 30: "nh", 31: "mg", 24: "dp",
}  # fmt: skip


class MapsEntry(NamedTuple):
    """One line of /proc/PID/maps: [start, end) in bytes, perms such as "rw-p", offset in the file in bytes, name."""

    start: int
    end: int
    perms: str
    offset: int
    name: str

    def __str__(self) -> str:
        return f"{self.start:08x}-{self.end:08x} {self.perms} {self.offset:08x} {self.name}".rstrip()


class SmapsEntry(NamedTuple):
    """One mapping of /proc/PID/smaps; sizes in kB. flags: the letters of VmFlags, by bit."""

    start: int
    end: int
    perms: str
    offset: int
    name: str
    size: int
    rss: int
    pss: int
    shared_clean: int
    shared_dirty: int
    private_clean: int
    private_dirty: int
    referenced: int
    anonymous: int
    swap: int
    locked: int
    nonlinear: int
    flags: str


def failed(result: Any, call: str, *args: Any) -> int:
    """`result` as an int, or the OSError that it stands for, which says what was called."""
    if result < 0:
        shown = ", ".join(f"{a:#x}" if type(a) is int and a > 0xFFFF else repr(a) for a in args)
        raise OSError(-result, f"{call}({shown}): {os.strerror(-result)}")
    return int(result)


def _perms(flags: int) -> str:
    return (
        ("r" if flags & records.VM_READ else "-")
        + ("w" if flags & records.VM_WRITE else "-")
        + ("x" if flags & records.VM_EXEC else "-")
        + ("s" if flags & records.VM_MAYSHARE else "p")
    )


def _pages(addr: int, length: int) -> tuple[int, int]:
    """First page and number of pages that a range touches."""
    addr, length = integer("addr", addr), integer("length", length)
    first = addr // _PAGE
    end = addr + length
    if end > U64_MAX + 1:
        raise ValueError(f"addr + length must not exceed 2**64, {addr:#x} + {length:#x} does")
    return first, -(-end // _PAGE) - first if length else 0


class Task:
    """A task of a machine. It is alive until exit(), or until it is killed: killed_by then says by what.

    Two Task objects are equal if they are the same task; the object itself holds nothing but the machine and the pid.
    """

    __slots__ = ("__weakref__", "_engine", "_machine", "_pid", "_touch")

    def __init__(self, machine: Machine, pid: int) -> None:
        self._machine = machine
        self._pid = integer("pid", pid, 1, U32_MAX)
        self._engine = machine._engine
        self._touch = machine._engine.touch  # one look-up less in each touch

    def __reduce__(self) -> tuple[Any, ...]:
        return Task, (self._machine, self._pid)

    def __repr__(self) -> str:
        return f"<Task {self._pid}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and other._pid == self._pid and other._engine is self._engine

    def __hash__(self) -> int:
        return hash((id(self._engine), self._pid))

    # ---- what it is

    @property
    def machine(self) -> Machine:
        """The machine it runs on."""
        return self._machine

    @property
    def pid(self) -> int:
        """Its number, never used again on this machine; its index in Machine.tasks."""
        return self._pid

    @property
    def name(self) -> str:
        """As given to spawn(), fork() or exec(): at most 31 bytes of UTF-8."""
        return str(self._engine.task_record(self._pid)["comm"])

    @property
    def alive(self) -> bool:
        """Whether it can still make calls; for a dead task, killed_by says more."""
        return bool(self._engine.task_record(self._pid)["state"] == records.TASK_ALIVE)

    @property
    def killed_by(self) -> str | None:
        """None (alive, or it left by itself), or what killed it.

        "oom", "fault" (no memory for a fault of its own); in Machine.run also "segv" and "bus".
        """
        return records.KILLED_NAMES[self._engine.task_record(self._pid)["killed_by"]]

    @property
    def parent(self) -> int:
        """pid of the task that forked it, 0 if it was spawned."""
        return int(self._engine.task_record(self._pid)["parent"])

    @property
    def min_flt(self) -> int:
        """Page faults that were served without reading anything, as getrusage counts them."""
        return int(self._engine.task_record(self._pid)["min_flt"])

    @property
    def maj_flt(self) -> int:
        """Page faults that had to read."""
        return int(self._engine.task_record(self._pid)["maj_flt"])

    # ---- accesses

    def touch(self, addresses: Any, write: Any = False) -> None:
        """Access one address (an int) or many (an array of u64, shape (n,)) in order; write: a bool, or one bool each.

        Many are done without the GIL. SegmentationFault or BusError ends the batch: `index` says where, what came
        before has happened, and the task lives on. TaskKilled if memory ran out and the task died of it.
        """
        self._touch(self._pid, addresses, write)

    def touch_range(self, addr: int, length: int, write: bool = False) -> None:
        """Access every page of [addr, addr + length) once, in order. Errors as in touch(), index in pages."""
        addr, length = integer("addr", addr), integer("length", length)
        if addr + length > U64_MAX + 1:
            raise ValueError(f"addr + length must not exceed 2**64, {addr:#x} + {length:#x} does")
        self._engine.touch_range(self._pid, addr, length, flag("write", write))

    def write(self, addr: int, value: int) -> None:
        """One write that leaves a content token (u64) in the page, as its first eight bytes. Errors as in touch()."""
        self._engine.token(self._pid, integer("addr", addr), True, integer("value", value))

    def read(self, addr: int) -> int:
        """One read of a page's content token: that of the last write to this page, 0 if there was none. Errors as in
        touch()."""
        return int(self._engine.token(self._pid, integer("addr", addr), False, 0))

    # ---- the address space

    def mmap(
        self, addr: int | None, length: int, prot: int, flags: int, file: File | None = None, offset: int = 0
    ) -> int:
        """Map memory or a file; returns its address. addr is a hint, a demand with MAP_FIXED; None: the kernel chooses.

        length and offset in bytes. prot: PROT_*, flags: MAP_*, MAP_SHARED or MAP_PRIVATE among them. OSError: EINVAL
        (senseless flags, no length, an address or offset that is no multiple of 4096), ENOMEM (no room, too many VMAs,
        overcommit or RLIMIT_AS say no), EAGAIN (locked memory beyond RLIMIT_MEMLOCK), EACCES (a file that allows less),
        EEXIST (MAP_FIXED_NOREPLACE), EPERM (below mmap_min_addr; MAP_LOCKED without the right). mm/mmap.c (do_mmap).
        """
        args = (addr, length, prot, flags, file, offset)
        where = 0 if addr is None else integer("addr", addr)
        number = 0
        if file is not None:
            from vmcore.machine import File

            if not isinstance(file, File):
                raise TypeError(f"file must be a File or None, not {file!r}")
            if file.machine._engine is not self._engine:
                raise ValueError(f"{file!r} belongs to another machine")
        flags = integer("flags", flags, 0, U32_MAX)
        if flags & MAP_ANONYMOUS == 0 and file is not None:
            number = file._open()
        return failed(
            self._engine.mmap(
                self._pid,
                where,
                integer("length", length),
                integer("prot", prot, 0, U32_MAX),
                flags,
                number,
                integer("offset", offset),
            ),
            "mmap",
            *args,
        )

    def munmap(self, addr: int, length: int) -> None:
        """Take every mapping out of [addr, addr + length); where there is none, nothing happens.

        addr is a multiple of 4096, length is rounded up to one. OSError: EINVAL (addr, a length of 0, beyond the
        address space), ENOMEM (a VMA would be split beyond max_map_count). mm/mmap.c (do_munmap).
        """
        failed(self._engine.munmap(self._pid, integer("addr", addr), integer("length", length)), "munmap", addr, length)

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        """Change the access of [addr, addr + length) to prot (PROT_*); the first hole in it ends the work.

        OSError: EINVAL (addr is no multiple of 4096), ENOMEM (a hole, or too many VMAs; what lies before is changed),
        EACCES (a file that allows less). mm/mprotect.c (sys_mprotect).
        """
        r = self._engine.mprotect(
            self._pid, integer("addr", addr), integer("length", length), integer("prot", prot, 0, U32_MAX)
        )
        failed(r, "mprotect", addr, length, prot)

    def mremap(
        self, addr: int, old_len: int, new_len: int, flags: int = 0, new_addr: int | None = None
    ) -> int:
        """Grow, shrink or move a mapping; returns its address. new_addr is for MREMAP_FIXED, which needs it.

        Lengths in bytes, rounded up to pages; an old_len of 0 maps a shared mapping once more. flags: MREMAP_MAYMOVE,
        MREMAP_FIXED, MREMAP_DONTUNMAP. OSError: EINVAL (flags, an address that is no multiple of 4096, overlap), EFAULT
        (no mapping there, or more than one where the kernel takes one), ENOMEM (no room, or it may not move), EAGAIN
        (locked memory beyond its limit). mm/mremap.c (do_mremap).
        """
        args = (addr, old_len, new_len, flags) if new_addr is None else (addr, old_len, new_len, flags, new_addr)
        flags = integer("flags", flags, 0, U32_MAX)
        if flags & MREMAP_FIXED and new_addr is None:
            raise ValueError("MREMAP_FIXED needs new_addr")
        return failed(
            self._engine.mremap(
                self._pid,
                integer("addr", addr),
                integer("old_len", old_len),
                integer("new_len", new_len),
                flags,
                0 if new_addr is None else integer("new_addr", new_addr),
            ),
            "mremap",
            *args,
        )

    def remap_file_pages(self, addr: int, size: int, prot: int, pgoff: int, flags: int = 0) -> None:
        """Pages from pgoff on of the file behind a shared mapping, at addr. prot: 0. Of flags, MAP_NONBLOCK counts.

        addr and size in bytes, pgoff in pages. OSError: EINVAL (prot, a mapping that is not shared, an offset that no
        pte can hold), ENOSYS on kernels without the call. mm/fremap.c; since 4.0 it is mmap in disguise.
        """
        r = self._engine.remap_file_pages(
            self._pid,
            integer("addr", addr),
            integer("size", size),
            integer("prot", prot, 0, U32_MAX),
            integer("pgoff", pgoff),
            integer("flags", flags, 0, U32_MAX),
        )
        failed(r, "remap_file_pages", addr, size, prot, pgoff, flags)

    def brk(self, addr: int = 0) -> int:
        """Move the end of the heap; returns the new one, or the old one where the kernel refuses. 0 only asks.

        Never OSError, as the system call has none. mm/mmap.c (sys_brk).
        """
        return int(self._engine.brk(self._pid, integer("addr", addr)))

    def madvise(self, addr: int, length: int, advice: int) -> None:
        """Advice (MADV_*) about [addr, addr + length); what there is depends on the kernel.

        OSError: EINVAL (addr is no multiple of 4096, advice that the kernel does not know, a mapping that cannot take
        it), ENOMEM (a hole; what is mapped has been done), EBADF, EACCES, EPERM by advice. mm/madvise.c.
        """
        r = self._engine.madvise(
            self._pid, integer("addr", addr), integer("length", length), integer("advice", advice, -(1 << 31), I32_MAX)
        )
        failed(r, "madvise", addr, length, advice)

    def mlock(self, addr: int, length: int) -> None:
        """Bring the pages of [addr, addr + length) in and keep them there. munlock() or munmap() lets them go.

        OSError: EPERM (no CAP_IPC_LOCK where the kernel asks for it), ENOMEM (beyond RLIMIT_MEMLOCK, or a hole; what
        lies before it is locked). A page that cannot come in, behind the end of a file or for want of memory, leaves
        the range locked: ENOMEM or EAGAIN on 6.18; in 2.6 of 2004 EFAULT or ENOMEM if it is the first of its mapping,
        else EPERM; nothing on 2.4. Who may lock how much: docs/locking. mm/mlock.c, make_pages_present of mm/memory.c.
        """
        r = self._engine.mlock(self._pid, integer("addr", addr), integer("length", length))
        failed(r, "mlock", addr, length)

    def mlock2(self, addr: int, length: int, flags: int = 0) -> None:
        """mlock() with flags: MLOCK_ONFAULT locks each page when it comes in. Errors as mlock().

        OSError: EINVAL for other flags, ENOSYS on kernels before 4.4. mm/mlock.c.
        """
        r = self._engine.mlock2(
            self._pid, integer("addr", addr), integer("length", length), integer("flags", flags, 0, U32_MAX)
        )
        failed(r, "mlock2", addr, length, flags)

    def munlock(self, addr: int, length: int) -> None:
        """The pages of [addr, addr + length) may be reclaimed again. OSError(ENOMEM) for a hole. mm/mlock.c."""
        r = self._engine.munlock(self._pid, integer("addr", addr), integer("length", length))
        failed(r, "munlock", addr, length)

    def mlockall(self, flags: int) -> None:
        """Lock all that is mapped (MCL_CURRENT), all that will be (MCL_FUTURE), or both; MCL_ONFAULT as in mlock2().

        OSError: EINVAL (flags), EPERM and ENOMEM as in mlock(). mm/mlock.c.
        """
        failed(self._engine.mlockall(self._pid, integer("flags", flags, 0, U32_MAX)), "mlockall", flags)

    def munlockall(self) -> None:
        """Undo mlock() and mlockall() for the whole address space, MCL_FUTURE included. mm/mlock.c."""
        failed(self._engine.munlockall(self._pid), "munlockall")

    def msync(self, addr: int, length: int, flags: int) -> None:
        """Write dirty pages of shared file mappings in [addr, addr + length): MS_SYNC now, MS_ASYNC marks them dirty.

        OSError: EINVAL (addr, flags), ENOMEM (a hole; what is mapped has been done), EBUSY (MS_INVALIDATE of locked
        memory). mm/msync.c.
        """
        r = self._engine.msync(
            self._pid, integer("addr", addr), integer("length", length), integer("flags", flags, 0, U32_MAX)
        )
        failed(r, "msync", addr, length, flags)

    def mincore(self, addr: int, length: int) -> np.ndarray:
        """Whether each page of [addr, addr + length) needs no read: bool, shape (pages,).

        OSError: EINVAL (addr is no multiple of 4096), ENOMEM (part of the range is not mapped). mm/mincore.c.
        """
        addr, length = integer("addr", addr), integer("length", length)
        if addr % _PAGE:
            return _raise(EINVAL, "mincore", addr, length)
        if addr + length > self._task_size() + _PAGE:
            return _raise(ENOMEM, "mincore", addr, length)
        if length > _LARGE and not self._covers(addr, addr + length):
            return _raise(ENOMEM, "mincore", addr, length)      # before an array is made for it
        out = self._engine.mincore(self._pid, addr, length)
        if isinstance(out, int):
            failed(out, "mincore", addr, length)
        return out

    def _covers(self, start: int, end: int) -> bool:
        for vma in self.maps():
            if vma.start <= start < vma.end:
                start = vma.end
        return start >= end

    # ---- life

    def fork(self, name: str | None = None) -> Task:
        """A child with a copy of this address space; its name is the parent's unless given.

        OSError: ENOMEM (no memory for its structures, or overcommit says no), EAGAIN (no pid left); then there is no
        child. TaskKilled if memory ran out and this task was chosen. kernel/fork.c, mm/memory.c (copy_page_range).
        """
        comm = None if name is None else text("name of a task", name, 31)
        return Task(
            self._machine, failed(self._engine.fork(self._pid, comm), "fork", *(() if name is None else (name,)))
        )

    def exec(self, name: str | None = None, argpages: int = 1) -> None:
        """A new address space: a stack with so many pages of arguments. name: None keeps the old one.

        OSError: E2BIG (more pages than the kernel allows), ENOMEM; the task keeps its old address space then.
        fs/exec.c.
        """
        comm = None if name is None else text("name of a task", name, 31)
        failed(self._engine.exec(self._pid, comm, integer("argpages", argpages, 0, U32_MAX)), "exec", name, argpages)

    def exit(self) -> None:
        """The task ends and gives its memory back. ProcessLookupError if it is dead already. kernel/exit.c."""
        self._engine.exit(self._pid)

    def setrlimit(self, resource: int, limit: int | tuple[int, int]) -> None:
        """Set RLIMIT_AS, _DATA, _MEMLOCK or _STACK, in bytes: the soft limit, or (soft, hard). -1 is infinity.

        OSError(EINVAL): no such resource, or soft above hard. ValueError: a resource that is not simulated.
        """
        number = integer("resource", resource, 0, U32_MAX)
        if number >= _NLIMITS:
            failed(-EINVAL, "setrlimit", resource, limit)
        if number not in _RLIMITS:
            raise ValueError(
                f"resource {number} is not simulated; RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK, RLIMIT_AS are"
            )
        pair = limit if isinstance(limit, tuple) else (limit, -1)
        if len(pair) != 2:
            raise ValueError(f"limit must be an int or (soft, hard), not {limit!r}")
        soft, hard = (integer("limit", v, -1) & U64_MAX for v in pair)
        if soft > hard:
            failed(-EINVAL, "setrlimit", resource, limit)
        self._engine.set_rlimit(self._pid, _RLIMITS[number], soft, hard)

    def getrlimit(self, resource: int) -> int:
        """The soft limit in bytes; RLIM_INFINITY if there is none. ValueError: a resource that is not simulated."""
        number = integer("resource", resource, 0, U32_MAX)
        if number not in _RLIMITS:
            raise ValueError(
                f"resource {number} is not simulated; RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK, RLIMIT_AS are"
            )
        return int(self._engine.task_record(self._pid)["rlim"][_RLIMITS[number]])

    @property
    def caps(self) -> int:
        """Capabilities, an or of CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_ADMIN; a new task has all of them."""
        return int(self._engine.task_record(self._pid)["caps"])

    def capset(self, caps: int) -> None:
        """Set the capabilities; 0 is an ordinary user. A fork inherits them."""
        self._engine.set_caps(self._pid, integer("caps", caps, 0, U32_MAX))

    # ---- /proc/PID

    def maps(self) -> list[MapsEntry]:
        """/proc/PID/maps. Anonymous memory has no name, but today's kernels say which is [heap] and which [stack]; the
        older show its offset where they number it. Ordered by address."""
        lines = [_maps_entry(line) for line in self._engine.maps(self._pid)]
        if self._machine._rules["maps_anon_offset"]:
            return lines
        mm = self._engine.mm(self._pid)
        return [line if line.name else line._replace(name=_anon_name(line, mm)) for line in lines]

    def smaps(self) -> list[SmapsEntry]:
        """/proc/PID/smaps: an entry for each VMA, by address, sizes in kB. pss is rounded down in bytes first."""
        out = []
        for line in self._engine.maps(self._pid):
            vma, start, end, flags = line[:4]
            kb = self._engine.smaps(self._pid, vma)
            kb["size"] = end - start
            # its share of what is there, as Pss: a page that was not touched, or is guarded, holds no memory
            kb["locked"] = kb["pss"] if flags & records.VM_LOCKED else 0
            sizes = (kb[name] >> 10 for name in SmapsEntry._fields[5:-1])
            letters = " ".join(name for bit, name in _VM_LETTERS.items() if flags >> bit & 1)
            out.append(SmapsEntry._make((*_maps_entry(line), *sizes, letters)))
        return out

    def status(self) -> dict[str, Any]:
        """/proc/PID/status of 2.6.5, in kB, with VmPTE, VmSwap and RssAnon of later kernels; of a dead task the first
        four lines."""
        task = self._engine.task_record(self._pid)
        out: dict[str, Any] = {
            "Name": task["comm"],
            "State": _STATES[task["state"]],
            "Pid": self._pid,
            "PPid": task["parent"],
        }
        if task["state"] != records.TASK_ALIVE:
            return out
        data = stack = lib = 0
        for _, start, end, flags, _, name in self._engine.maps(self._pid):
            kb = (end - start) >> 10
            if not name:
                if flags & records.VM_GROWSDOWN:
                    stack += kb
                else:
                    data += kb
            elif flags & records.VM_EXEC and not flags & records.VM_WRITE:
                lib += kb
        mm = self._engine.mm(self._pid)
        out.update(
            VmSize=mm["total_vm"] * 4,
            VmLck=mm["locked_vm"] * 4,
            VmRSS=mm["rss"] * 4,
            VmData=data,
            VmStk=stack,
            VmExe=0,  # no program file is mapped
            VmLib=lib,
            VmPTE=mm["nr_ptes"] * 4,
            VmSwap=mm["swapents"] * 4,
            RssAnon=mm["anon_rss"] * 4,
        )
        return out

    def pagemap(self, addr: int, length: int) -> np.ndarray:
        """One record a page of [addr, addr + length), shape (pages,), whether mapped or not: all fields are 0 then.

        Fields, bool unless said: present, swapped, zero, file, anon, exclusive (mapped once), dirty, accessed,
        writable, guard (a guard marker, which is swapped too, as in pagemap), frame (u32, index in Machine.frames),
        slot (u64, index in Machine.swap_map).
        """
        addr, length = integer("addr", addr), integer("length", length)
        first, n = _pages(addr, length)
        most = self._task_size() // _PAGE
        if n > most:
            raise ValueError(f"length must be at most the address space, {most * _PAGE:#x} bytes, not {length:#x}")
        return self._engine.pagemap(self._pid, first, n)

    def _task_size(self) -> int:
        return int(self._machine._rules["task_size"])


def _maps_entry(line: tuple[int, int, int, int, int, str]) -> MapsEntry:
    _, start, end, flags, pgoff, name = line
    return MapsEntry(start, end, _perms(flags), pgoff * _PAGE, name)


def _anon_name(line: MapsEntry, mm: dict[str, int]) -> str:
    if line.start < mm["brk"] and line.end > mm["start_brk"]:
        return "[heap]"
    return "[stack]" if line.start <= mm["start_stack"] <= line.end else ""


def _raise(errno: int, call: str, *args: Any) -> Any:
    failed(-errno, call, *args)
