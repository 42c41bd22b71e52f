"""Machine: a simulated box. File: a file in its page cache.

Neither holds state of the engine: a File or Task is its machine and a number.
"""

from __future__ import annotations

import os
import warnings
import weakref
from errno import EBADF, ENOMEM
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from vmcore import footprint, kernels, stats, words
from vmcore._fast import arguments, records
from vmcore._fast.engine import Engine, host_bytes
from vmcore.errors import KernelBug
from vmcore.task import Task, failed

if TYPE_CHECKING:
    import numpy as np

    from vmcore.kernels import Kernel

__all__ = ["TUNABLES", "File", "Machine", "RunResult", "load", "parse_size"]

PAGE = 4096

# tunables by the kernel's names: default, least, most. None: the kernel computes it.
TUNABLES: dict[str, tuple[int | None, int, int]] = {
    "swappiness": (60, 0, 100),
    "page_cluster": (None, 0, 10),  # 3; 2 below 16 MiB of RAM
    "overcommit_memory": (0, 0, 2),
    "overcommit_ratio": (50, 0, 10000),
    "min_free_kbytes": (None, 1, 1 << 30),  # by the size of low memory
    "max_map_count": (None, 1, (1 << 31) - 1),  # of the kernel
    "fault_around_bytes": (65536, PAGE, 512 * PAGE),  # rounded down to a power of two
    "read_ahead_kb": (128, 0, 1 << 20),  # of the disk; kernels that read ahead as today
    "lower_zone_protection": (0, 0, 1 << 16),
    "mmap_min_addr": (65536, 0, 1 << 40),  # kernels since 2.6.24
    "stack_guard_gap": (256, 0, 1 << 20),  # pages; kernels since 4.12
    "admin_reserve_kbytes": (None, 0, 1 << 40),  # kernels since 3.10; 1/32 of RAM, at most 8 MiB
    "user_reserve_kbytes": (None, 0, 1 << 40),  # kernels since 3.10; 1/32 of RAM, at most 128 MiB
    "disable_cap_mlock": (0, 0, 1),  # -aa's sysctl of 2004: mlock needs no capability
    "cpus": (1, 1, 1),
    "seed": (0, 0, arguments.U64_MAX),
    "trylock_rate": (0, 0, 1024),  # of 1024 trylocks, so many fail (for tests)
    "trylock_seed": (None, 0, arguments.U64_MAX),  # the seed
}
_OTHERS = ("highpte", "l1_line")  # tunables that are choices of the kernel's configuration


class RunResult(NamedTuple):
    """What Machine.run() did: accesses executed, records of dead tasks skipped, tasks killed."""

    executed: int
    skipped: int
    killed: int


class CheckReport(NamedTuple):
    """What Machine.check() looked at, all of it in order."""

    frames: int
    ptes: int
    present: int
    swap_ptes: int
    tables: int
    vmas: int
    mms: int
    anon_vmas: int
    chain_nodes: int
    lru_pages: int
    cached_pages: int
    slots_used: int
    walked: int


def parse_size(name: str, value: int | str) -> int:
    """Bytes of a size: an int, or a string such as "16G" or "1.5G" (K, M, G, T are binary)."""
    if not isinstance(value, str):
        return arguments.integer(name, value, 0, 1 << 70)
    size = words.bytes_of(value)
    if size is None:
        raise ValueError(
            f'{name} must be an int of bytes or a string such as "16G" or "1.5G" (units K, M, G, T), not {value!r}'
        )
    return size


def _pages(name: str, value: int | str) -> int:
    size = parse_size(name, value)
    if size % PAGE:
        raise ValueError(f"{name} must be a multiple of the page size {PAGE}, not {size}")
    return size // PAGE


def swap_areas(swap: Any, most: int) -> list[tuple[int, int]]:
    """(pages, priority) of each area, checked; an area has at most so many pages."""
    if swap is None:
        return []
    if isinstance(swap, (list, tuple)):
        areas = swap
    elif isinstance(swap, str) or hasattr(swap, "__index__"):
        areas = [(swap, -1)] if parse_size("swap", swap) else []
    else:
        raise TypeError(f"swap must be a size or a list of (size, priority), not {swap!r}")
    if len(areas) > records.MAX_SWAPFILES:
        raise ValueError(f"swap has {len(areas)} areas, this kernel takes {records.MAX_SWAPFILES}")
    out = []
    for i, area in enumerate(areas):
        if not isinstance(area, (list, tuple)) or len(area) != 2:
            raise TypeError(f"swap area {i} must be (size, priority), not {area!r}")
        pages = _pages(f"size of swap area {i}", area[0])
        if not 2 <= pages <= most:
            raise ValueError(f"swap area {i} has {pages} pages, an area must have 2..{most} here")
        out.append((pages, arguments.integer(f"priority of swap area {i}", area[1], -1, 32767)))
    return out


def _numbers(tunables: dict[str, Any], kernel: Kernel, arch: str, frames: int) -> dict[str, int]:
    """Every tunable as a number, checked."""
    for name in tunables:
        if name not in TUNABLES and name not in _OTHERS:
            allowed = [*TUNABLES, *_OTHERS]
            raise TypeError(f"unknown tunable {name!r}{words.hint(name, allowed)}; known are {', '.join(allowed)}")
    numbers: dict[str, int] = {"arch": kernels.ARCHS[arch].number}
    for name, (default, least, most) in TUNABLES.items():
        value = tunables.get(name)
        if value is None:
            value = 0 if default is None else default
            if name == "page_cluster":
                value = 3 if frames >= (16 << 20) // PAGE else 2
            elif name == "max_map_count":
                value = kernel.data["max_map_count"]
            elif name == "admin_reserve_kbytes":
                value = min(frames * 4 // 32, 8 << 10)
            elif name == "user_reserve_kbytes":
                value = min(frames * 4 // 32, 128 << 10)
            elif name == "trylock_seed":
                value = numbers["seed"]
        else:
            value = arguments.integer(name, value, least, most)
        numbers[name] = value
    return numbers


class Machine:
    """A simulated box: its memory, its swap, a kernel.

    ram and swap are bytes or strings such as "16G"; swap may be a list of (size, priority). kernel names a preset of
    vmcore.KERNELS, or is a Kernel. Tunables have the kernel's names: see vmcore.machine.TUNABLES.
    """

    def __init__(
        self,
        ram: int | str = "1G",
        swap: Any = None,
        kernel: str | Kernel = "2.6.5",
        arch: str = "x86_64",
        **tunables: Any,
    ) -> None:
        preset = kernels.get(kernel)
        if arch not in kernels.ARCHS:
            raise ValueError(f"unknown arch {arch!r}; known are {', '.join(kernels.ARCHS)}")
        frames = _pages("ram", ram)
        if frames >= (1 << 32) - 1:
            raise ValueError(
                f"ram of {frames * PAGE} bytes is {frames} frames; a machine has fewer than {(1 << 32) - 1}"
            )
        if not 0 < frames * PAGE <= kernels.ARCHS[arch].max_ram:
            raise ValueError(f"ram must be 1..{kernels.ARCHS[arch].max_ram} bytes on {arch}, not {frames * PAGE}")
        numbers = _numbers(tunables, preset, arch, frames)
        highpte = arguments.flag("highpte", tunables.get("highpte", False))
        line = tunables.get("l1_line")
        rules = preset.rules(
            arch, highpte=highpte, l1_line=None if line is None else arguments.integer("l1_line", line)
        )
        areas = swap_areas(swap, (1 << rules["swap_offset_bits"]) - 1)
        slots = sum(pages for pages, _ in areas)
        records_then = footprint.full_use(frames, [pages for pages, _ in areas], rules)
        full = sum(footprint.host_bytes(records_then, frames, rules).values())
        if full > (free := host_bytes()):
            warnings.warn(
                f"a machine of {frames * PAGE} bytes with {slots * PAGE} of swap takes about {full} bytes in full use,"
                f" the host has {free}",
                RuntimeWarning,
                stacklevel=2,
            )
        record = preset.record(arch, highpte=highpte, l1_line=rules["l1_line"])
        self._adopt(Engine(preset.designs, record, frames, numbers, areas), preset)

    def _adopt(self, engine: Engine, kernel: Kernel) -> None:
        self._engine = engine
        self._kernel = kernel
        self._files: weakref.WeakValueDictionary[int, File] = weakref.WeakValueDictionary()
        engine.owner = weakref.ref(self)

    @cached_property
    def _rules(self) -> dict[str, int]:
        """The kernel's rules, which never change."""
        rules: dict[str, int] = self._engine.numbers()["rules"]
        return rules

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError("a Machine is no pickle: save(path) writes it, vmcore.load(path) reads it, clone() copies it")

    def __repr__(self) -> str:
        return f"<Machine ram={self.ram} kernel={self._kernel.name!r} arch={self.arch!r}>"

    # ---- what it is

    @property
    def kernel(self) -> Kernel:
        """The Kernel that it was made with."""
        return self._kernel

    @property
    def arch(self) -> str:
        """"i386", "i386-pae" or "x86_64"."""
        return records.ARCH_NAMES[self._engine.numbers()["arch"]]

    @property
    def ram(self) -> int:
        """Bytes."""
        return int(self._engine.numbers()["nr_frames"]) * PAGE

    @property
    def now(self) -> int:
        """Simulated nanoseconds since boot."""
        return int(self._engine.numbers()["now"])

    # ---- tasks

    def spawn(self, name: str, mmap_base: int | None = None, start_brk: int | None = None) -> Task:
        """A task with an empty address space, as after exec. A pid, and its record, is never used again."""
        comm = arguments.text("name of a task", name, 31)
        top = self._rules["task_size"]
        base, brk = (
            0 if value is None else arguments.integer(what, value, PAGE, top - PAGE)
            for what, value in (("mmap_base", mmap_base), ("start_brk", start_brk))
        )
        if base % PAGE or brk % PAGE:
            raise ValueError(f"mmap_base and start_brk must be multiples of {PAGE}, not {base:#x} and {brk:#x}")
        return Task(self, failed(self._engine.spawn(comm, base, brk), "spawn", name))

    def task(self, pid: int) -> Task:
        """The task of that pid; it may be dead."""
        task = Task(self, arguments.integer("pid", pid, 1, arguments.U32_MAX))
        self._engine.task_record(task.pid)
        return task

    def processes(self) -> list[Task]:
        """Every task that lives, by pid."""
        return [Task(self, pid) for pid in self._engine.pids()]

    def run(self, trace: np.ndarray) -> RunResult:
        """Execute a mixed stream of many tasks (vmcore.TRACE_DTYPE).

        A task that faults dies, as on Linux, and the run goes on.
        """
        return RunResult(*self._engine.run(trace))

    # ---- files

    def open(self, name: str, size: int | str, readonly: bool = False) -> File:
        """Create a file on the disk, of `size` bytes of zeros, to be mapped, read and written through the page cache.
        Each call makes another file, of the same name too; file() finds one that is open. readonly: tasks have it
        without write permission."""
        flags = records.FILE_READONLY if arguments.flag("readonly", readonly) else 0
        return self._create(records.FILE_REGULAR, name, size, flags)

    def tmpfs(self, name: str, size: int | str) -> File:
        """Create a file in memory and swap, of `size` bytes."""
        return self._create(records.FILE_SHMEM, name, size, 0)

    def device(self, name: str, size: int | str) -> File:
        """A device whose pages are reserved; its mappings are VM_RESERVED."""
        return self._create(records.FILE_DEVICE, name, size, 0)

    def _create(self, kind: int, name: str, size: int | str, flags: int) -> File:
        raw = arguments.text("name of a file", name, 63)
        length = _file_size(size)
        number = self._engine.file_create(kind, length, flags, raw)
        if number == 0:
            raise OSError(ENOMEM, f"open({name!r}, size={length}): {os.strerror(ENOMEM)}")
        return self._file(number)

    def _file(self, number: int) -> File:
        file = self._files.get(number)
        if file is None or file._closed:
            file = self._files[number] = File(self, number)
        return file

    def file(self, name: str | int) -> File:
        """The open file of that name or number, as after load() or clone()."""
        view = self._engine.view("file")
        open_ = view["flags"] & records.FILE_OPEN != 0
        if isinstance(name, str):
            raw = arguments.text("name of a file", name, 63)
            found = (open_ & (view["name"] == raw)).nonzero()[0]
        else:
            number = arguments.integer("number of a file", name)
            found = [number] if number < len(open_) and open_[number] else []
        if len(found) == 0:
            raise FileNotFoundError(f"no open file {name!r}")
        return self._file(int(found[0]))

    # ---- numbers

    def vmstat(self) -> dict[str, int]:
        """/proc/vmstat, and vmcore's own counts after it."""
        return stats.vmstat(self._engine)

    def meminfo(self) -> dict[str, int]:
        """/proc/meminfo, in kB."""
        return stats.meminfo(self._engine)

    def slabinfo(self) -> list[stats.SlabInfo]:
        """/proc/slabinfo."""
        return stats.slabinfo(self._engine)

    def ledger(self) -> dict[str, dict[str, int]]:
        """Bytes, low_bytes, the highest of both, and low_refusals of each consumer of the machine's memory."""
        return stats.ledger(self._engine)

    def zones(self) -> list[dict[str, Any]]:
        """Pages, free pages, watermarks and list lengths of each zone."""
        zones: list[dict[str, Any]] = self._engine.numbers()["zones"]
        return zones

    # ---- memory and swap

    def reclaim(self, pages: int) -> int:
        """Ask the kernel to free so many pages; returns how many it freed."""
        return int(self._engine.reclaim(arguments.integer("pages", pages, 0, arguments.U32_MAX)))

    def swapon(self, size: int | str, priority: int = -1) -> int:
        """A further swap area; returns its number. A priority below 0 takes the next of -1, -2, ..."""
        pages = min(_pages("size", size), arguments.U64_MAX)  # which is too large as well
        prio = arguments.integer("priority", priority, -1, 32767)
        return failed(self._engine.swapon(pages, prio), "swapon", size, priority)

    def swapoff(self, area: int | None = None) -> None:
        """Bring every page of an area back; None: of all areas.

        OSError(ENOMEM) if they do not fit; that area is then as it was.
        """
        if area is not None:
            failed(self._engine.swapoff(arguments.integer("area", area, 0, arguments.U32_MAX)), "swapoff", area)
            return
        for number, _, _, _ in self._engine.swaps():
            failed(self._engine.swapoff(number), "swapoff", number)

    def swaps(self) -> list[tuple[int, int, int, int]]:
        """(area, pages, pages in use, priority) of each active swap area."""
        return list(self._engine.swaps())

    # ---- the whole state

    def check(self, walk: int = 0) -> CheckReport:
        """Verify the whole state, and follow the reverse map of `walk` sampled pages. KernelBug if it does not hold."""
        return CheckReport(**self._engine.check(arguments.integer("walk", walk)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the machine to a file for vmcore.load()."""
        from vmcore._fast import image

        image.save(self._engine, path, {"kernel": self._kernel.fields()})

    def clone(self) -> Machine:
        """An independent machine in the same state."""
        other = Machine.__new__(Machine)
        other._adopt(self._engine.clone(), self._kernel)
        return other

    # ---- views of the pools: read-only, zero copy, dtypes of vmcore._fast.records; index = number of the object

    def view(self, pool: str) -> np.ndarray:
        """Read-only array over the records of a pool that are in use. It stays valid when the machine is gone."""
        if pool not in records.POOL_NAMES:
            known = records.POOL_NAMES
            raise ValueError(f"unknown pool {pool!r}{words.hint(str(pool), known)}; known are {', '.join(known)}")
        return self._engine.view(pool)

    @property
    def frames(self) -> np.ndarray:
        """Page frames, by pfn: shape (ram / 4096,), dtype frame_t (flags, refs, mapping, index, ...)."""
        return self._engine.view("frame")

    @property
    def mapcounts(self) -> np.ndarray:
        """How many ptes map each frame, by pfn: u32, shape (ram / 4096,)."""
        return self._engine.view("mapcount")

    @property
    def ptes(self) -> np.ndarray:
        """Page-table entries, u64, shape (tables, entries): a row for each record of tables; bits as in records.pxd."""
        return self._engine.view("pte")

    @property
    def tables(self) -> np.ndarray:
        """Page tables: dtype table_t (base, the first address; frame, mm)."""
        return self._engine.view("table")

    @property
    def vmas(self) -> np.ndarray:
        """VMAs of all address spaces: dtype vma_t (start, end, flags, pgoff, mm, file, ...); a free one has mm 0."""
        return self._engine.view("vma")

    @property
    def mms(self) -> np.ndarray:
        """Address spaces: dtype mm_t (rss, anon_rss, swapents, total_vm, locked_vm, ...); a free one has task 0."""
        return self._engine.view("mm")

    @property
    def tasks(self) -> np.ndarray:
        """Records of all tasks that ever were, by pid; processes() gives Task objects."""
        return self._engine.view("task")

    @property
    def files(self) -> np.ndarray:
        """Files: dtype file_t (name, size, nrpages, flags, ...), by File.number."""
        return self._engine.view("file")

    @property
    def anon_vmas(self) -> np.ndarray:
        """anon_vmas of the designs that have them: dtype anon_vma_t."""
        return self._engine.view("anon_vma")

    @property
    def anonmms(self) -> np.ndarray:
        """anonmms, or the fork groups of fork_tree: dtype anonmm_t."""
        return self._engine.view("anonmm")

    @property
    def pte_chains(self) -> np.ndarray:
        """Nodes of pte_chains: u32 words, shape (nodes, slots + 1); word 0 has the next node."""
        return self._engine.view("pte_chain")

    @property
    def swap_map(self) -> np.ndarray:
        """Users of each swap slot of all areas: u16, shape (slots,); Task.pagemap() has indices into it."""
        return self._engine.view("swap_slot")["map"]

    @property
    def swap_cache(self) -> np.ndarray:
        """The frame that each swap slot has in the swap cache, 0 if none: u32, shape (slots,)."""
        return self._engine.view("swap_slot")["cache"]

    @property
    def page_tokens(self) -> np.ndarray:
        """Content token of each frame: u64, by pfn; all 0 until something is written with Task.write or File.write."""
        return self._engine.view("page_token")

    @property
    def slot_tokens(self) -> np.ndarray:
        """Content token of each swap slot: u64, shape (slots,)."""
        return self._engine.view("slot_token")


class File:
    """A file of a machine: open until close(). Closed, it lives on while something maps it, like an unlinked one."""

    __slots__ = ("__weakref__", "_closed", "_machine", "_number")

    def __init__(self, machine: Machine, number: int) -> None:
        self._machine = machine
        self._number = arguments.integer("number of a file", number, 1, arguments.U32_MAX)
        self._closed = False

    def __repr__(self) -> str:
        if self._closed or self._machine._engine.file(self._number) is None:
            return f"<File {self._number} closed>"
        return f"<File {self._number} {self.name!r} size={self.size}>"

    def _open(self) -> int:
        if self._closed:
            raise OSError(EBADF, f"file {self._number} is closed")
        return self._number

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] | None = self._machine._engine.file(self._open())
        if state is None:       # closed through another handle
            raise OSError(EBADF, f"there is no open file {self._number}")
        return state

    @property
    def machine(self) -> Machine:
        """The machine it belongs to."""
        return self._machine

    @property
    def number(self) -> int:
        """Index in Machine.files."""
        return self._number

    @property
    def closed(self) -> bool:
        """Whether close() was called; every other call is OSError(EBADF) then."""
        return self._closed

    @property
    def name(self) -> str:
        """As given to open(), tmpfs() or device(): at most 63 bytes of UTF-8."""
        name: bytes = self._state()["name"]
        return name.decode(errors="replace")

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self._state()["size"])

    @property
    def nrpages(self) -> int:
        """Pages in the page cache."""
        return int(self._state()["nrpages"])

    def truncate(self, size: int | str) -> None:
        """A new size, up or down. Pages beyond the end go, private copies of them too."""
        length = arguments.integer("size of a file", parse_size("size of a file", size))
        failed(self._machine._engine.truncate(self._open(), length), "truncate", self, size)

    def punch_hole(self, offset: int, length: int) -> None:
        """Give the pages of a range back, as fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) does.

        The range reads zero then; private copies of its pages stay.
        """
        start, n = arguments.integer("offset", offset), arguments.integer("length", length)
        failed(self._machine._engine.punch_hole(self._open(), start, n), "punch_hole", self, offset, length)

    def read(self, offset: int) -> int:
        """The token of the page at offset, read through the page cache; 0 in a hole and behind the end."""
        got, token = self._machine._engine.file_read(self._open(), arguments.integer("offset", offset))
        failed(got, "read", self, offset)
        # at the end of the file there may be fewer bytes than a token has
        return int(token) & ((1 << 8 * got) - 1)

    def write(self, offset: int, value: int) -> None:
        """A token for the page at offset, written through the page cache; the file grows to offset + 8."""
        start, token = arguments.integer("offset", offset), arguments.integer("value", value)
        failed(self._machine._engine.file_write(self._open(), start, token), "write", self, offset, value)

    def invalidate(self, mapped: bool = False) -> int:
        """Drop clean cached pages that nobody maps; mapped=True: unmap and drop those too. Returns how many went."""
        return int(self._machine._engine.invalidate(self._open(), arguments.flag("mapped", mapped)))

    def sync(self) -> int:
        """Write every dirty page; returns how many were submitted."""
        return int(self._machine._engine.sync(self._open()))

    def close(self) -> None:
        """Give up the handle. A second close does nothing."""
        if not self._closed:
            self._closed = True     # first: interrupted in between, this handle must not close another's file later
            self._machine._engine.file_close(self._number)


def _file_size(size: int | str) -> int:
    length = parse_size("size of a file", size)
    if length >= 1 << 44:
        raise ValueError(f"size of a file must be below {1 << 44} bytes, not {length}")
    return length


def load(path: str | os.PathLike[str]) -> Machine:
    """A machine saved by Machine.save(). ValueError if the file is not one."""
    from vmcore._fast import image

    engine, meta = image.load(path)
    try:
        kernel = _kernel_of(engine, meta.get("kernel"))
    except (ValueError, KernelBug) as e:
        raise ValueError(f"{os.fsdecode(path)}: its record and its designs do not belong together: {e}") from None
    machine = Machine.__new__(Machine)
    machine._adopt(engine, kernel)
    return machine


def _kernel_of(engine: Engine, name: object) -> Kernel:
    """The kernel of a loaded engine. What is no preset to the last rule is looked at before anything is done with it:
    KernelBug or ValueError if the record is not one of these designs."""
    rmap, i_mmap, reclaim, calls = engine.designs
    rules = engine.numbers()["rules"]
    kernel = kernels.KERNELS.get(name) if isinstance(name, str) else None
    if isinstance(name, dict):
        kernel = kernels.Kernel.of_fields(name)
        if kernel.designs != engine.designs:
            raise ValueError(f"its kernel {kernel.name!r} has other designs")
        kernel = kernels.KERNELS[kernel.name] if kernels.KERNELS.get(kernel.name) == kernel else kernel
    if kernel is not None and kernel.designs == engine.designs:
        arch, highpte, line = records.ARCH_NAMES[engine.numbers()["arch"]], bool(rules["highpte"]), rules["l1_line"]
        if arch in kernel.archs and rules == kernel.rules(arch, highpte=highpte, l1_line=line):
            return kernel
    else:
        base = next((k for k in kernels.KERNELS.values() if k.rmap == rmap), kernels.KERNELS["2.6.5"])
        kernel = base.replace(name=str(name), rmap=rmap, i_mmap=i_mmap, reclaim=reclaim, calls=calls)
    if not kernels.brought_along(rmap, rules):
        raise ValueError(f"its rules are not those of the reverse map {rmap!r}")
    engine.check(0)
    return kernel
