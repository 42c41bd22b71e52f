"""vmcore does a script: the same operations on Machine(kernel="6.18"), seen in the same words."""
from __future__ import annotations

from errno import EBADF, EINVAL, EPERM
from typing import Any

from tests.kernel.linux import INFINITY, MEMLOCK, MOST_PAGES, SLOTS, STACK
from tests.kernel.script import HEAP, MREMAP, OWN, PAGE, TOP, Op
from tests.kernel.state import LETTERS, Outcome, Page, Space, State, Vma, outside

import vmcore

PERMS = ((0x1, "r"), (0x2, "w"), (0x4, "x"))
VM_MAYSHARE = 0x80
CAPS = {14: 1 << 14, 17: 1 << 17, 21: 1 << 21}


class Box:
    """A machine that does one script.

    rights: capabilities by bit, and RLIMIT_MEMLOCK, as linux.rights() says; else all of them and 8 MiB. tunables: by
    Machine's names, ram too; those that it has not are left out.
    """

    def __init__(self, kernel: str = "6.18", rights: tuple[int, int] = ((1 << 41) - 1, MEMLOCK),
                 ram: int | str = "256M", **tunables: Any) -> None:
        from vmcore.machine import TUNABLES
        known = {name: value for name, value in tunables.items() if name in TUNABLES}
        self.machine = vmcore.Machine(ram=ram, swap=0, kernel=kernel, arch="x86_64", **known)
        self.tasks: dict[int, vmcore.Task] = {}
        self.files: dict[str, Any] = {}
        self.readonly: set[str] = set()
        self.born = 1
        self.permitted, self.memlock = rights
        self.image = self.machine.open("runner", OWN[1] - OWN[0])
        self.tasks[0] = self.machine.spawn("p0", mmap_base=TOP, start_brk=HEAP)
        self.settle(self.tasks[0])

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.tasks.clear()

    def settle(self, task: vmcore.Task) -> None:
        for entry in task.maps():
            task.munmap(entry.start, entry.end - entry.start)
        task.mmap(OWN[0], OWN[1] - OWN[0], 7, vmcore.MAP_PRIVATE | vmcore.MAP_FIXED, self.image, 0)
        task.touch_range(OWN[0], OWN[1] - OWN[0], write=True)
        task.setrlimit(vmcore.RLIMIT_STACK, STACK)
        task.setrlimit(vmcore.RLIMIT_MEMLOCK, self.memlock)
        task.capset(sum(bit for number, bit in CAPS.items() if self.permitted >> number & 1))

    # ---- operations

    def do(self, op: Op) -> Outcome:
        if op.proc not in self.tasks:
            return Outcome("skipped")
        task = self.tasks[op.proc]
        if op.name == "repeat":
            return self.repeat(task, *op.args)
        method = getattr(self, f"_{op.name}", None)
        call = (lambda: method(op.proc, task, *op.args)) if method else (lambda: getattr(task, op.name)(*op.args))
        before = _faults(task)
        got = _outcome(call)
        after = _faults(task) if task.alive else before
        own = got.faults            # of what only the harness does
        return got._replace(faults=(after[0] - before[0] - own[0], after[1] - before[1] - own[1]))

    def repeat(self, task: vmcore.Task, count: int, step: int, flip: int, inner: Op) -> Outcome:
        before = _faults(task)
        method = getattr(self, f"_{inner.name}", None)
        args = list(inner.args)
        done = error = 0
        while done < count:
            call = (lambda: method(inner.proc, task, *args)) if method else (lambda: getattr(task, inner.name)(*args))
            got = _outcome(call)
            if got.kind != "ok":
                if got.kind != "errno":
                    return got
                error = got.value
                break
            done += 1
            args[0] = args[0] + step & INFINITY
            if len(args) > 2:
                args[2] ^= flip
        after = _faults(task)
        return Outcome("ok", (done, error), (after[0] - before[0], after[1] - before[1]))

    def _mmap(self, proc: int, task: vmcore.Task, addr: int, length: int, prot: int, flags: int, file: str | None,
              offset: int) -> Any:
        if file is not None and file not in self.files:
            return Outcome("skipped")
        return task.mmap(addr, length, prot, flags, None if file is None else self.files[file], offset)

    def _mremap(self, proc: int, task: vmcore.Task, addr: int, old: int, new: int, flags: int, where: int) -> int:
        given = flags & (MREMAP["fixed"] | MREMAP["dontunmap"])
        return task.mremap(addr, old, new, flags, where if given else None)

    def _mincore(self, proc: int, task: vmcore.Task, addr: int, length: int) -> str:
        return "".join("01"[bool(bit)] for bit in task.mincore(addr, length))

    def _cap(self, proc: int, task: vmcore.Task, capability: int, on: int) -> Any:
        if on and not self.permitted >> capability & 1:
            return Outcome("errno", EPERM)
        bit = CAPS.get(capability, 0)
        return task.capset(task.caps | bit if on else task.caps & ~bit)

    def _touch(self, proc: int, task: vmcore.Task, addr: int, mode: str) -> None:
        task.touch(addr, write=mode == "w")

    def _fork(self, proc: int, task: vmcore.Task) -> Any:
        if self.born >= SLOTS:
            return Outcome("skipped")
        child = task.fork(f"p{self.born}")
        number, self.born = self.born, self.born + 1
        self.tasks[number] = child
        before = _faults(task)
        for one in (task, child):       # both write their image again
            one.touch_range(OWN[0], OWN[1] - OWN[0], write=True)
        after = _faults(task)
        return Outcome("ok", number, (after[0] - before[0], after[1] - before[1]))

    def _exec(self, proc: int, task: vmcore.Task) -> Any:
        before = _faults(task)
        task.exec("again")
        self.settle(task)
        after = _faults(task)
        return Outcome("ok", 0, (after[0] - before[0], after[1] - before[1]))

    def _exit(self, proc: int, task: vmcore.Task) -> Any:
        if len(self.tasks) == 1:
            return Outcome("skipped")
        del self.tasks[proc]
        task.exit()
        return 0

    # ---- files

    def _file(self, proc: int, task: vmcore.Task, name: str, kind: str, pages: int) -> Any:
        if name in self.files or len(self.tasks) > 1:
            return Outcome("skipped")
        if kind == "memfd":
            self.files[name] = self.machine.tmpfs(name, pages * PAGE)
            return 0
        self.files[name] = file = self.machine.open(name, pages * PAGE, readonly=kind == "rofile")
        if kind == "rofile":
            self.readonly.add(name)
        for i in range(pages):
            if kind == "file":
                file.write(i * PAGE, (i + 1) << 32)
            else:
                file.read(i * PAGE)
        return 0

    def _ftruncate(self, proc: int, task: vmcore.Task, name: str, size: int) -> Any:
        if name not in self.files:
            return Outcome("skipped")
        # a File is the file; that the processes have it without write permission is said here
        return Outcome("errno", EINVAL) if name in self.readonly else self.files[name].truncate(size)

    def _punch(self, proc: int, task: vmcore.Task, name: str, offset: int, length: int) -> Any:
        if name not in self.files:
            return Outcome("skipped")
        if name in self.readonly and length != 0 and (offset | length) >> 63 == 0:
            return Outcome("errno", EBADF)
        return self.files[name].punch_hole(offset, length)

    def _fread(self, proc: int, task: vmcore.Task, name: str, offset: int) -> Any:
        return self.files[name].read(offset) if name in self.files else Outcome("skipped")

    def _fwrite(self, proc: int, task: vmcore.Task, name: str, offset: int, value: int) -> Any:
        if name not in self.files:
            return Outcome("skipped")
        return Outcome("errno", EBADF) if name in self.readonly else self.files[name].write(offset, value)

    # ---- what there is

    def state(self) -> State:
        return {proc: self.space(task) for proc, task in self.tasks.items()}

    def space(self, task: vmcore.Task) -> Space:
        machine = self.machine
        record = machine.tasks[task.pid]
        names = {file.number: name for name, file in self.files.items()}
        all_vmas = machine.vmas
        mine = all_vmas[all_vmas["mm"] == record["mm"]] if record["mm"] else all_vmas[:0]
        vmas, pages, left = [], {}, MOST_PAGES
        for v in mine[mine["start"].argsort()]:
            start, end, flags, number = (int(v[name]) for name in ("start", "end", "flags", "file"))
            if not outside(start, end):
                continue
            file = None if not number else names.get(number, ("shm", number))
            perms = "".join(c if flags & bit else "-" for bit, c in PERMS) + ("s" if flags & VM_MAYSHARE else "p")
            vmas.append(Vma(start, end, perms, " ".join(n for bit, n in LETTERS.items() if flags >> bit & 1),
                            int(v["pgoff"]) * PAGE if number else 0, file))
            look = min(end - start, left * PAGE)
            left -= look // PAGE
            if look:
                self.pages(task, start, look, pages)
        return Space(tuple(vmas), pages, self.sizes(task, machine.mms[int(record["mm"])]))

    def pages(self, task: vmcore.Task, start: int, length: int, out: dict[int, Page]) -> None:
        entries = task.pagemap(start, length)
        names = entries.dtype.names
        there = (entries["present"] != 0) | (entries["swapped"] != 0)
        if "guard" in names:
            there |= entries["guard"] != 0
        for i in there.nonzero()[0]:
            e = entries[i]
            if "guard" in names and e["guard"]:
                page = Page("guard", False, 0)
            elif e["swapped"]:
                page = Page("swap", False, 0)
            elif e["zero"]:
                page = Page("zero", False, 0)
            else:
                page = Page("file" if e["file"] else "anon", bool(e["exclusive"]), int(e["frame"]))
            out[start + int(i) * PAGE] = page

    def sizes(self, task: vmcore.Task, mm: Any) -> dict[str, int]:
        status = task.status()
        return {name: status[name] // 4 for name in ("VmSize", "VmLck", "VmData", "VmRSS", "RssAnon", "RssFile",
                                                    "RssShmem") if name in status}


def _faults(task: vmcore.Task) -> tuple[int, int]:
    if hasattr(task, "min_flt"):
        return int(task.min_flt), int(task.maj_flt)
    record = task.machine.tasks[task.pid]
    return int(record["min_flt"]), int(record["maj_flt"])


def _outcome(call: Any) -> Outcome:
    try:
        value = call()
    except vmcore.SegmentationFault as e:
        return Outcome("signal", (11, e.code, e.address))
    except vmcore.BusError as e:
        return Outcome("signal", (7, 2, e.address))
    except OSError as e:
        return Outcome("errno", e.errno)
    except AttributeError as e:
        return Outcome("missing", str(e))
    except (ValueError, TypeError, vmcore.KernelBug) as e:
        return Outcome("raised", f"{type(e).__name__}: {e}")
    if isinstance(value, Outcome):
        return value
    return Outcome("ok", 0 if value is None else value)
