"""Linux does a script: real processes (runner.c), and what /proc shows of them.

`why_not()` says what the host lacks for it. The processes have one mapping of their own, the runner's image; stack,
vdso and vvar are unmapped before the first operation.
"""
from __future__ import annotations

import contextlib
import functools
import hashlib
import mmap
import os
import platform
import re
import resource
import select
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.script import OWN, PAGE, WINDOW, Op
from tests.kernel.state import SHOWN, Outcome, Page, Space, State, Vma, outside

HERE = Path(__file__).parent
SLOTS = 8                       # processes at one time
ORDERS = 100                    # first file descriptor of the runner that carries orders
FILES = 150                     # first file descriptor of a script's files
MOST_PAGES = 1 << 15            # of a process, whose states are read
STACK = 8 << 20                 # RLIMIT_STACK of every process: mmap_base depends on it
MEMLOCK = 8 << 20
INFINITY = (1 << 64) - 1
PR_SET_THP_DISABLE = 41

NR = {
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28,
    "fsync": 74, "ftruncate": 77, "mlock": 149, "munlock": 150, "mlockall": 151, "munlockall": 152, "prctl": 157,
    "remap_file_pages": 216, "fallocate": 285, "mlock2": 325,
}
_REAL = ("ext4", "xfs")         # file systems whose files the recordings can be compared with


@functools.cache
def why_not() -> str | None:
    """Why no script can be run here; None if it can."""
    if platform.system() != "Linux":
        return f"this is {platform.system()}, not Linux"
    if platform.machine() != "x86_64":
        return f"the runner is for x86_64, this is {platform.machine()}"
    if mmap.PAGESIZE != PAGE:
        return f"pages have {mmap.PAGESIZE} bytes here"
    if shutil.which(os.environ.get("CC", "cc")) is None:
        return "no C compiler (cc) to build the runner with"
    try:
        runner()
    except subprocess.CalledProcessError as e:
        return f"the compiler does not build the runner: {e.stderr.decode(errors='replace')[:300]}"
    try:
        with Box() as box:
            box.state()
    except (OSError, RuntimeError) as e:
        return f"the runner does not run here: {e}"
    return None


@functools.cache
def release() -> tuple[int, int]:
    """Version of the running kernel."""
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(match[1]), int(match[2])) if match else (0, 0)


@functools.cache
def frame_numbers() -> bool:
    """pagemap shows frame numbers: needs CAP_SYS_ADMIN."""
    page = mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page[0] = 1
    with open("/proc/self/maps") as maps, open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for line in maps:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            if line.split()[4] == "0" and "rw-p" in line:
                entries = os.pread(pagemap.fileno(), min(end - start, 1 << 20) // PAGE * 8, start // PAGE * 8)
                words = memoryview(entries).cast("Q")
                if any(w >> 63 and w & ((1 << 55) - 1) for w in words):
                    return True
    return False


def rights() -> tuple[int, int]:
    """Capabilities that the runners have (by bit), and what RLIMIT_MEMLOCK they begin with."""
    status = _slurp("/proc/self/status")
    held = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    return held, MEMLOCK if hard == resource.RLIM_INFINITY else min(MEMLOCK, hard)


@functools.cache
def tunables() -> dict[str, int]:
    """What of the host's settings the answers depend on, by Machine's names."""
    out = {}
    for name, path in (("max_map_count", "/proc/sys/vm/max_map_count"),
                       ("overcommit_memory", "/proc/sys/vm/overcommit_memory"),
                       ("overcommit_ratio", "/proc/sys/vm/overcommit_ratio"),
                       ("fault_around_bytes", "/sys/kernel/debug/fault_around_bytes")):
        with contextlib.suppress(OSError, ValueError):
            out[name] = int(Path(path).read_text())
    if (folder := real_folder()) is not None:
        device = os.stat(folder).st_dev
        where = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
        for queue in (where / "queue", where.parent / "queue"):
            with contextlib.suppress(OSError, ValueError):
                out.setdefault("read_ahead_kb", int((queue / "read_ahead_kb").read_text()))
    total = next(line for line in _slurp("/proc/meminfo").splitlines() if line.startswith("MemTotal"))
    out["ram"] = int(total.split()[1]) << 10
    with Box() as box:      # the sysctl is not all: a security module has a limit too, and the greater one counts
        out["mmap_min_addr"] = box.do(Op(0, "mmap", (PAGE, PAGE, 3, 0x22, None, 0))).value
    return out


@functools.cache
def runner() -> Path:
    """The runner, built in a folder of its own below the temporary directory, once for each version of its source."""
    flags = ["-O1", "-ffreestanding", "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables",
             "-fno-pic", "-mno-red-zone", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none",
             f"-Wl,-T,{HERE / 'runner.ld'}"]
    source = (HERE / "runner.c").read_bytes() + (HERE / "runner.ld").read_bytes() + " ".join(flags).encode()
    folder = Path(tempfile.gettempdir()) / f"vmcore-runner-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        folder = Path(tempfile.mkdtemp(prefix="vmcore-runner-"))
    built = folder / hashlib.sha256(source).hexdigest()[:16]
    if not built.exists():
        part = built.with_suffix(f".{os.getpid()}")
        subprocess.run([os.environ.get("CC", "cc"), *flags, "-o", part, HERE / "runner.c"], check=True,
                       capture_output=True)
        with part.open("r+b") as image:             # the empty segment lies behind the first, where ld does not put it
            image.seek(64 + 56 + 8)
            image.write(struct.pack("<QQQ", 0x1000, OWN[1], OWN[1]))
        part.rename(built)
    return built


@functools.cache
def real_folder() -> Path | None:
    """A folder on a real file system, for files that are not shmem; None if there is none."""
    for folder in (Path(tempfile.gettempdir()), Path("/var/tmp"), HERE):
        kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout.strip()
        if any(kind.startswith(name[:3]) for name in _REAL) and os.access(folder, os.W_OK):
            return folder
    return None


@functools.cache
def zero_frame() -> int:
    """Frame number of the zero page."""
    with Box() as box:
        box.do(Op(0, "mmap", (WINDOW, PAGE, 1, 0x32, None, 0)))
        box.do(Op(0, "touch", (WINDOW, "r")))
        word, = box.entries(0, WINDOW, 1)
        box.do(Op(0, "munmap", (WINDOW, PAGE)))
    return word & ((1 << 55) - 1)


class Box:
    """Processes that do one script. A context manager; the processes end with it."""

    def __init__(self, cpu: int | None = None) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.pids: dict[int, int] = {}          # by number of the process
        self.slots: dict[int, int] = {}
        self.maps: dict[int, int] = {}          # file descriptors of /proc/PID/pagemap
        self.files: dict[str, int] = {}         # file descriptors in the runner
        self.inodes: dict[str, str] = {}
        self.known: dict[int, tuple[Vma, ...]] = {}     # mappings of those that did nothing since
        self.born = 0
        self.temporary: list[Path] = []
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(SLOTS)]
        cpu = min(os.sched_getaffinity(0)) if cpu is None else cpu
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), ORDERS + i) for i, (_, theirs) in enumerate(pairs)]
        path = runner()
        self.pid = os.posix_spawn(path, ["runner", "0", f"{cpu:x}"], {}, file_actions=actions)
        for i, (ours, theirs) in enumerate(pairs):
            theirs.close()
            ours.settimeout(20)
            self.sockets[i] = ours
        self.adopt(0, self.pid, 0)
        self.settle(0)

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for fd in self.maps.values():
            os.close(fd)
        self.maps.clear()
        for s in self.sockets.values():
            s.close()
        os.waitpid(self.pid, 0)
        for path in self.temporary:
            path.unlink(missing_ok=True)

    def adopt(self, proc: int, pid: int, slot: int) -> None:
        """A new process has said that it is there."""
        hello = self.answer(slot)
        if hello[0] != "h":
            raise RuntimeError(f"the runner said {hello}")
        self.pids[proc], self.slots[proc] = pid, slot
        self.maps[proc] = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self.born = max(self.born, proc + 1)

    def settle(self, proc: int) -> None:
        """A process as the script expects it after exec: nothing mapped but the runner, limits and heap in place."""
        for line in Path(f"/proc/{self.pids[proc]}/maps").read_text().splitlines():
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            if outside(start, end) and start < 1 << 63:
                self.call(proc, NR["munmap"], start, end - start)
        for number, limit in ((3, STACK), (8, rights()[1]), (9, INFINITY), (2, INFINITY)):
            self.order(proc, f"L {number:x} {limit:x}")
        self.call(proc, NR["prctl"], PR_SET_THP_DISABLE, 1)

    # ---- orders

    def order(self, proc: int, line: str) -> list[str]:
        slot = self.slots[proc]
        self.sockets[slot].send(line.encode())
        return self.answer(slot)

    def answer(self, slot: int) -> list[str]:
        try:
            words = self.sockets[slot].recv(1 << 16).decode().split()
        except TimeoutError:
            raise RuntimeError("the runner does not answer") from None
        if not words:
            raise RuntimeError("the runner is gone")
        return words

    def call(self, proc: int, nr: int, *args: int) -> Outcome:
        words = " ".join(f"{a & INFINITY:x}" for a in (nr, *args, *[0] * (6 - len(args))))
        return _outcome(self.order(proc, f"s {words}"))

    def do(self, op: Op) -> Outcome:
        """One operation of a script."""
        if op.proc not in self.pids:
            return Outcome("skipped")
        self.known.pop(op.proc, None)
        if op.name == "repeat":
            count, step, flip, inner = op.args
            words = " ".join(f"{a & INFINITY:x}" for a in (count, step, flip, *self.numbers(inner)))
            _, done, result, *faults = self.order(op.proc, f"n {words}")
            return Outcome("ok", (int(done, 16), _errno(result)), _faults(faults))
        method = getattr(self, f"_{op.name}", None)
        if method is not None:
            return method(op.proc, *op.args)
        numbers = self.numbers(op)
        return Outcome("skipped") if numbers is None else self.call(op.proc, *numbers)

    def numbers(self, op: Op) -> tuple[int, ...] | None:
        """Number and arguments of a system call; None if it names a file that there is not."""
        args = op.args
        if op.name == "mmap":
            addr, length, prot, flags, file, offset = args
            if file is not None and file not in self.files:
                return None
            args = (addr, length, prot, flags, -1 if file is None else self.files[file], offset)
        return NR[op.name], *args, *[0] * (6 - len(args))

    def _touch(self, proc: int, addr: int, mode: str) -> Outcome:
        return _outcome(self.order(proc, f"{'T' if mode == 'w' else 't'} {addr:x}"), value=False)

    def _read(self, proc: int, addr: int) -> Outcome:
        return _outcome(self.order(proc, f"l {addr:x}"))

    def _write(self, proc: int, addr: int, value: int) -> Outcome:
        return _outcome(self.order(proc, f"S {addr:x} {value:x}"), value=False)

    def _mincore(self, proc: int, addr: int, length: int) -> Outcome:
        _, bits, result, *faults = self.order(proc, f"m {addr:x} {length:x}")
        error = _errno(result)
        return Outcome("errno", error, _faults(faults)) if error else Outcome("ok", bits[:-1], _faults(faults))

    def _setrlimit(self, proc: int, number: int, limit: int) -> Outcome:
        return _outcome(self.order(proc, f"L {number:x} {limit & INFINITY:x}"))

    def _cap(self, proc: int, capability: int, on: int) -> Outcome:
        return _outcome(self.order(proc, f"c {capability:x} {on:x}"))

    def _fork(self, proc: int) -> Outcome:
        free = list(range(self.born, SLOTS))
        if not free:
            return Outcome("skipped")
        got = _outcome(self.order(proc, f"f {free[0]:x}"))
        if got.kind != "ok":
            return got
        self.adopt(free[0], got.value, free[0])
        return Outcome("ok", free[0], got.faults)

    def _exec(self, proc: int) -> Outcome:
        hello = self.order(proc, "e")
        if hello[0] != "h":
            return _outcome(hello)
        os.close(self.maps[proc])
        self.maps[proc] = os.open(f"/proc/{self.pids[proc]}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self.settle(proc)
        return Outcome("ok", 0)

    def _exit(self, proc: int) -> Outcome:
        if len(self.pids) == 1:
            return Outcome("skipped")           # the last one stays, or there is nothing to look at
        pid = self.pids.pop(proc)
        death = os.pidfd_open(pid)
        self.sockets[self.slots.pop(proc)].send(b"x")
        select.select([death], [], [], 20)
        os.close(death)
        os.close(self.maps.pop(proc))
        return Outcome("ok", 0)

    # ---- files

    def _file(self, proc: int, name: str, kind: str, pages: int) -> Outcome:
        if name in self.files or len(self.pids) > 1:
            return Outcome("skipped")           # all processes have the files of the first, so before any fork
        fd = FILES + len(self.files)
        if kind == "memfd":
            self.order(proc, f"M {fd:x} {name}")
            self.call(proc, NR["ftruncate"], fd, pages * PAGE)
        else:
            folder = real_folder()
            if folder is None:
                return Outcome("skipped")
            handle, path = tempfile.mkstemp(prefix="vmcore-kernel-", dir=folder)
            os.close(handle)
            self.temporary.append(Path(path))
            self.order(proc, f"p {fd:x} {os.O_RDWR:x} {path}")
            for i in range(pages):
                self.order(proc, f"o {fd:x} {i * PAGE:x} {(i + 1) << 32 if kind == 'file' else 0:x}")
            if kind == "rofile":
                self.call(proc, NR["fsync"], fd)        # its pages are clean, as ones that were read
                self.order(proc, f"p {fd:x} {os.O_RDONLY:x} {path}")
        self.files[name] = fd
        info = os.stat(f"/proc/{self.pids[proc]}/fd/{fd}")
        self.inodes[f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x} {info.st_ino}"] = name
        return Outcome("ok", 0)

    def _ftruncate(self, proc: int, name: str, size: int) -> Outcome:
        return self.call(proc, NR["ftruncate"], self.files[name], size) if name in self.files else Outcome("skipped")

    def _punch(self, proc: int, name: str, offset: int, length: int) -> Outcome:
        if name not in self.files:
            return Outcome("skipped")
        return self.call(proc, NR["fallocate"], self.files[name], 3, offset, length)    # PUNCH_HOLE | KEEP_SIZE

    def _fread(self, proc: int, name: str, offset: int) -> Outcome:
        if name not in self.files:
            return Outcome("skipped")
        words = self.order(proc, f"i {self.files[name]:x} {offset:x}")
        got = _outcome(words[:-1])
        return got._replace(value=int(words[-1], 16)) if got.kind == "ok" else got

    def _fwrite(self, proc: int, name: str, offset: int, value: int) -> Outcome:
        if name not in self.files:
            return Outcome("skipped")
        got = _outcome(self.order(proc, f"o {self.files[name]:x} {offset:x} {value:x}")[:-1])
        return got._replace(value=0) if got.kind == "ok" else got

    # ---- what there is

    def state(self) -> State:
        return {proc: self.space(proc) for proc in self.pids}

    def space(self, proc: int) -> Space:
        pid = self.pids[proc]
        vmas = self.known.get(proc)
        if vmas is None:
            vmas = self.known[proc] = tuple(self.vmas(_slurp(f"/proc/{pid}/smaps")))
        sizes = {}
        for line in _slurp(f"/proc/{pid}/status").splitlines():
            name = line.partition(":")[0]
            if name in _SIZES:
                sizes[name] = int(line.split()[1]) // 4
        return Space(vmas, self.pages(proc, vmas), sizes)

    def vmas(self, smaps: str) -> Iterator[Vma]:
        header: list[str] = []
        for line in smaps.splitlines():
            if line.startswith("VmFlags:"):
                start, end = (int(x, 16) for x in header[0].split("-"))
                if outside(start, end) and start < 1 << 63:
                    flags = " ".join(f for f in line.split()[1:] if f in SHOWN)
                    key = f"{header[3]} {header[4]}"
                    file = None if header[4] == "0" else self.inodes.get(key, ("shm", key))
                    yield Vma(start, end, header[1], flags, int(header[2], 16) if file is not None else 0, file)
            elif line[0] in "0123456789abcdef":
                header = line.split(maxsplit=5)

    def entries(self, proc: int, start: int, pages: int) -> memoryview:
        return memoryview(os.pread(self.maps[proc], pages * 8, start // PAGE * 8)).cast("Q")

    def pages(self, proc: int, vmas: tuple[Vma, ...]) -> dict[int, Page]:
        out: dict[int, Page] = {}
        left = MOST_PAGES
        for vma in vmas:
            pages = min((vma.end - vma.start) // PAGE, left)
            left -= pages
            for i, word in enumerate(self.entries(proc, vma.start, pages) if pages else ()):
                if word & ~_SOFT_DIRTY:
                    out[vma.start + i * PAGE] = _page(word)
        return out


_SIZES = ("VmSize", "VmLck", "VmRSS", "RssAnon", "RssFile", "RssShmem")
_SOFT_DIRTY = 1 << 55


def _page(word: int) -> Page:
    frame = word & ((1 << 55) - 1)
    if word >> 58 & 1:
        return Page("guard", False, 0)
    if not word >> 63:
        return Page("swap", False, 0)
    once = bool(word >> 56 & 1)
    if word >> 61 & 1:
        return Page("file", once, frame)
    if not once and frame and frame == zero_frame():
        return Page("zero", False, 0)
    return Page("anon", once, frame)


def _slurp(path: str) -> str:
    with open(path) as f:
        return f.read()


def _errno(word: str) -> int:
    value = int(word, 16)
    return (1 << 64) - value if value > (1 << 64) - 4096 else 0


def _faults(words: list[str]) -> tuple[int, int]:
    return int(words[0], 16), int(words[1], 16)


def _outcome(words: list[str], value: bool = True) -> Outcome:
    """An answer of the runner. value: the number in it means something."""
    if words[0] == "g":
        return Outcome("signal", tuple(int(w, 16) for w in words[1:4]), _faults(words[4:]))
    error = _errno(words[1]) if words[0] == "r" else 0
    if error:
        return Outcome("errno", error, _faults(words[2:]))
    return Outcome("ok", int(words[1], 16) if value else 0, _faults(words[2:]))
