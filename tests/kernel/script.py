"""Scripts of operations on address spaces: what they are, and their text, which one can read, edit and paste.

One operation a line: the process that does it, its name, its arguments.

    file f0 memfd 16                              # a file of 16 pages
    p0 mmap @0 4p rw- private|anonymous|fixed
    p0 write @1 7                                 # store a value in the page; read gives it back
    p0 fork                                       # the child is the next number: p1
    p1 touch @1 w

Addresses: `@n` page n of the window, `Hn` page n of the heap, `Tn` the n-th page below the top of the mmap area, each
with an optional `+bytes`, or plain hex. Lengths and offsets: `np` pages, with `+bytes`, or plain hex or decimal. Flags:
names joined by `|`; bits without a name as hex.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAGE = 4096
WINDOW = 0x100001E0000              # 32 pages below the end of a page table's range
HEAP = 0x20000000
TOP = 0x7FFFF7FFF000                # mmap_base where the stack may grow to 8 MiB and nothing is random
OWN = (HEAP - 0x10000, HEAP)       # what the process has besides: the runner's image, rwxp, all its own pages
AREA_PAGES = 1 << 17          # how far from these an address is still told by page

PROT = {"growsdown": 0x01000000, "growsup": 0x02000000}
MAP = {"shared": 1, "private": 2, "shared_validate": 3, "fixed": 0x10, "anonymous": 0x20, "32bit": 0x40,
       "growsdown": 0x100, "locked": 0x2000, "noreserve": 0x4000, "populate": 0x8000, "nonblock": 0x10000,
       "stack": 0x20000, "hugetlb": 0x40000, "sync": 0x80000, "fixed_noreplace": 0x100000}
MREMAP = {"maymove": 1, "fixed": 2, "dontunmap": 4}
MADV = {"normal": 0, "random": 1, "sequential": 2, "willneed": 3, "dontneed": 4, "free": 8, "remove": 9,
        "dontfork": 10, "dofork": 11, "mergeable": 12, "unmergeable": 13, "hugepage": 14, "nohugepage": 15,
        "dontdump": 16, "dodump": 17, "wipeonfork": 18, "keeponfork": 19, "cold": 20, "pageout": 21,
        "populate_read": 22, "populate_write": 23, "dontneed_locked": 24, "collapse": 25,
        "guard_install": 102, "guard_remove": 103}
MLOCK = {"onfault": 1}
MCL = {"current": 1, "future": 2, "onfault": 4}
MS = {"async": 1, "invalidate": 2, "sync": 4}
RLIMIT = {"data": 2, "stack": 3, "memlock": 8, "as": 9}
CAP = {"ipc_lock": 14, "sys_rawio": 17, "sys_admin": 21, "sys_resource": 24}
FILES = ("memfd", "file", "rofile")

# kinds of arguments, by operation
SIGNATURES: dict[str, tuple[str, ...]] = {
    "mmap": ("addr", "len", "prot", "map", "file", "len"),
    "munmap": ("addr", "len"),
    "mprotect": ("addr", "len", "prot"),
    "mremap": ("addr", "len", "len", "mremap", "addr"),
    "madvise": ("addr", "len", "madv"),
    "mlock": ("addr", "len"),
    "mlock2": ("addr", "len", "mlock"),
    "munlock": ("addr", "len"),
    "mlockall": ("mcl",),
    "munlockall": (),
    "msync": ("addr", "len", "ms"),
    "mincore": ("addr", "len"),
    "brk": ("addr",),
    "remap_file_pages": ("addr", "len", "prot", "int", "map"),
    "setrlimit": ("rlimit", "len"),
    "cap": ("cap", "int"),                  # raise (1) or drop (0) an effective capability
    "fork": (),
    "exec": (),
    "exit": (),
    "touch": ("addr", "mode"),              # r: read a byte; w: write one without changing it
    "read": ("addr",),                      # the value that the page carries
    "write": ("addr", "int"),
    "file": ("file", "kind", "int"),        # of so many pages; a file's are cached and hold (i + 1) << 32
    "ftruncate": ("file", "len"),
    "punch": ("file", "len", "len"),
    "fread": ("file", "len"),
    "fwrite": ("file", "len", "int"),
    "repeat": ("int", "len", "int", "op"),  # the call so often: address + step, third argument ^ flip; until it fails
}
_NAMES = {"map": MAP, "mremap": MREMAP, "madv": MADV, "mlock": MLOCK, "mcl": MCL, "ms": MS, "rlimit": RLIMIT,
          "cap": CAP}
_SINGLE = ("madv", "rlimit", "cap")         # a number, not bits
_AREAS = (("@", WINDOW), ("H", HEAP))


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of process `proc`. args are ints, but for names of files, their kind, r or w, and an Op."""

    proc: int
    name: str
    args: tuple

    def __str__(self) -> str:
        words = [_show(kind, value) for kind, value in zip(SIGNATURES[self.name], self.args, strict=True)]
        return " ".join([*([] if self.name == "file" else [f"p{self.proc}"]), self.name, *words])


def _show(kind: str, value: object) -> str:
    if kind == "addr":
        return show_addr(value)
    if kind == "len":
        return _show_len(value)
    if kind == "prot":
        return _show_prot(value)
    if kind in _NAMES:
        return _show_bits(value, _NAMES[kind], kind in _SINGLE)
    if kind == "op":
        return " ".join(str(value).split(" ")[1:])
    return "-" if value is None else f"{value:#x}" if type(value) is int and value > 0xFFFF else str(value)


def _plus(odd: int) -> str:
    return f"+{odd:#x}" if odd else ""


def show_addr(addr: int) -> str:
    page, odd = addr // PAGE, addr % PAGE
    for name, base in _AREAS:
        if 0 <= page - base // PAGE < AREA_PAGES:
            return f"{name}{page - base // PAGE}{_plus(odd)}"
    if 0 <= TOP // PAGE - page < AREA_PAGES:
        return f"T{TOP // PAGE - page}{_plus(odd)}"
    return f"{addr:#x}" if addr else "0"


def _show_len(length: int) -> str:
    pages, odd = divmod(length, PAGE)
    return f"{pages}p{_plus(odd)}" if 0 < pages < AREA_PAGES else f"{length:#x}" if length else "0"


def _show_prot(prot: int) -> str:
    text = "".join(c if prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
    extra = [name for name, bit in PROT.items() if prot & bit]
    left = prot & ~(7 | sum(PROT.values()))
    return "|".join([text, *extra, *([f"{left:#x}"] if left else [])])


def _show_bits(value: int, names: dict[str, int], single: bool) -> str:
    if single:
        return next((name for name, number in names.items() if number == value), str(value))
    words = []
    left = value
    if names is MAP and value & 3 == 3:
        words, left = ["shared_validate"], value & ~3
    for name, bit in names.items():
        if bit & left and bit.bit_count() == 1:
            words.append(name)
            left &= ~bit
    if left:
        words.append(f"{left:#x}")
    return "|".join(words) or "0"


def _number(word: str) -> int:
    return int(word, 16) if word.startswith("0x") else int(word)


def _parse(kind: str, word: str) -> object:
    head, _, odd = word.partition("+")
    extra = _number(odd) if odd else 0
    if kind == "addr":
        for name, base in _AREAS:
            if word.startswith(name):
                return base + _number(head[1:]) * PAGE + extra
        return TOP - _number(head[1:]) * PAGE + extra if word.startswith("T") else _number(word)
    if kind == "len":
        return _number(head[:-1]) * PAGE + extra if head.endswith("p") else _number(word)
    if kind == "prot":
        value = 0
        for part in word.split("|"):
            if len(part) == 3 and set(part) <= set("rwx-"):
                value |= sum(bit for c, bit in (("r", 1), ("w", 2), ("x", 4)) if c in part)
            else:
                value |= PROT[part] if part in PROT else _number(part)
        return value
    if kind in _NAMES:
        value = 0
        for part in word.split("|"):
            value |= _NAMES[kind][part] if part in _NAMES[kind] else _number(part)
        return value
    if kind == "int":
        return _number(word)
    if kind == "file" and word == "-":
        return None
    return word


def parse_line(line: str) -> Op | None:
    """The operation of one line of text; None if there is only a comment."""
    words = line.partition("#")[0].split()
    if not words:
        return None
    proc = 0
    if words[0][0] == "p" and words[0][1:].isdigit():
        proc, words = int(words[0][1:]), words[1:]
    name, words = words[0], words[1:]
    if name not in SIGNATURES:
        raise ValueError(f"{line!r}: no operation {name!r}; there are {', '.join(SIGNATURES)}")
    if name == "repeat":
        inner = parse_line(f"p{proc} {' '.join(words[3:])}")
        return Op(proc, name, (*(_parse(k, w) for k, w in zip(("int", "len", "int"), words[:3], strict=True)), inner))
    kinds = SIGNATURES[name]
    if name == "mmap" and len(words) == 4:
        words = [*words, "-", "0"]
    if name == "mremap" and len(words) == 4:
        words = [*words, "0"]
    if len(words) != len(kinds):
        raise ValueError(f"{line!r}: {name} takes {len(kinds)} arguments ({', '.join(kinds)}), not {len(words)}")
    return Op(proc, name, tuple(_parse(k, w) for k, w in zip(kinds, words, strict=True)))


def parse(text: str) -> list[Op]:
    """All operations of a text."""
    return [op for line in text.splitlines() if (op := parse_line(line)) is not None]


@dataclass(frozen=True)
class Script:
    """A file of operations. Its first comment says what it shows; `# without states`: only results are compared."""

    name: str
    title: str
    ops: tuple[Op, ...]
    states: bool


def load(path: Path) -> Script:
    text = path.read_text()
    title = next((line.lstrip("# ") for line in text.splitlines() if line.startswith("#")), path.stem)
    return Script(path.stem, title, tuple(parse(text)), "# without states" not in text)


def dump(ops: Iterable[Op]) -> str:
    return "".join(f"{op}\n" for op in ops)
