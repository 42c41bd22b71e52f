"""Random scripts: ten profiles, each a mixture of operations that meet each other often.

A script is some short lists of independent drafts in a row (drafts.py), so that hypothesis can leave out any of them
when it shrinks.
"""
from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from tests.kernel.drafts import At, Draft, written
from tests.kernel.script import CAP, FILES, HEAP, MADV, MAP, MREMAP, PAGE, RLIMIT, TOP, WINDOW, Op

Strategy = st.SearchStrategy[Draft]

FIXED, ANON, PRIVATE, SHARED = MAP["fixed"], MAP["anonymous"], MAP["private"], MAP["shared"]
# the files that a script may name; they are made before it begins
SIZES = {"f0": ("memfd", 16), "f1": ("file", 20), "f2": ("rofile", 6), "f3": ("memfd", 5)}
assert {kind for kind, _ in SIZES.values()} <= set(FILES)


procs = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4))
prots = st.sampled_from((3, 3, 3, 3, 3, 3, 3, 1, 1, 0, 2, 4, 5, 7))
# pages near each other and around the end of the first page table (page 32)
near = st.one_of(st.integers(0, 12), st.integers(0, 24), st.integers(26, 40))
places = near.map(lambda n: WINDOW + n * PAGE)
below_top = st.integers(1, 24).map(lambda n: TOP - n * PAGE)
heap = st.integers(0, 12).map(lambda n: HEAP + n * PAGE)
odd = st.sampled_from((1, 8, 0x800, 0xFFF))
crooked = st.tuples(places, odd).map(sum)
mapped = st.integers(0, 127).map(lambda n: At("mapped", n))
crooked_mapped = st.tuples(st.integers(0, 127), odd).map(lambda p: At("mapped", *p))
under = st.tuples(st.integers(0, 7), st.one_of(st.integers(1, 4), st.integers(1, 270))).map(
    lambda p: At("below", p[0], far=p[1]))
lengths = st.one_of(st.integers(1, 3), st.integers(1, 4), st.integers(1, 10), st.sampled_from((16, 20, 32))).map(
    lambda n: n * PAGE)
small = st.integers(1, 4).map(lambda n: n * PAGE)
bad_lengths = st.one_of(st.just(0), st.tuples(small, odd).map(lambda p: p[0] - p[1]),
                        st.sampled_from((1 << 47, (1 << 64) - PAGE, (1 << 64) - 1, 1 << 40)))
values = st.integers(1, 255)


def op(name: str, *args: st.SearchStrategy) -> Strategy:
    return st.builds(lambda proc, *a: Draft(proc, name, a), procs, *args)


def mostly(usual: st.SearchStrategy, rare: st.SearchStrategy, ratio: int = 12) -> st.SearchStrategy:
    return st.integers(0, ratio).flatmap(lambda n: rare if n == ratio else usual)


some = mostly(mapped, st.one_of(places, below_top), 7)
edges = st.sampled_from((PAGE, 0x7FFFFFFFE000, 0x7FFFFFFFF000, 0xFFFFFFFFFF600000, 1 << 63, (1 << 64) - PAGE))
addrs = mostly(some, st.one_of(crooked_mapped, crooked_mapped, edges), 25)
lens = mostly(lengths, bad_lengths, 25)


def bits(*choices: int) -> st.SearchStrategy[int]:
    return st.sampled_from(choices)


def mmap(kinds: st.SearchStrategy[int], extra: st.SearchStrategy[int] | None = None,
         where: st.SearchStrategy[int] = places, length: st.SearchStrategy[int] = lengths) -> Strategy:
    """Anonymous memory at a place."""
    return st.builds(lambda p, a, n, prot, kind, more: Draft(p, "mmap", (a, n, prot, kind | more | ANON, None, 0)),
                     procs, where, length, prots, kinds, st.just(FIXED) if extra is None else extra)


def mmap_file(files: Iterable[str], where: st.SearchStrategy[int] = places) -> Strategy:
    offsets = st.integers(0, 8).map(lambda n: n * PAGE)
    kinds = bits(SHARED, SHARED, PRIVATE, PRIVATE, SHARED | MAP["populate"], PRIVATE | MAP["populate"],
                 MAP["shared_validate"], PRIVATE | MAP["locked"])
    return st.builds(lambda p, a, n, prot, kind, file, off: Draft(p, "mmap", (a, n, prot, kind | FIXED, file, off)),
                     procs, where, lengths, prots, kinds, st.sampled_from(sorted(files)), offsets)


private, shared = st.just(PRIVATE), st.just(SHARED)
either = bits(PRIVATE, PRIVATE, PRIVATE, SHARED)
fixed_extra = bits(FIXED, FIXED, FIXED, FIXED, FIXED | MAP["noreserve"], FIXED | MAP["populate"],
                   MAP["fixed_noreplace"], FIXED | MAP["locked"], FIXED | MAP["stack"])
anywhere = mostly(st.one_of(st.just(0), some, crooked), edges)
big = st.sampled_from((511, 512, 513, 1024, 1025)).map(lambda n: n * PAGE)      # around the size of a huge page
hint_extra = bits(0, 0, 0, MAP["noreserve"], MAP["populate"], MAP["32bit"], MAP["fixed_noreplace"])

map_anon = mmap(either, fixed_extra)
map_plain = mmap(private)
map_shared = mmap(shared)
map_hint = mmap(either, hint_extra, anywhere)
map_big = mmap(either, bits(0, MAP["noreserve"]), anywhere, big)
map_odd = op("mmap", addrs, lens, st.sampled_from((3, 0, 8, 0xFF, 0x01000003)),
             bits(PRIVATE | ANON | FIXED, ANON | FIXED, SHARED | PRIVATE | ANON | FIXED, PRIVATE | FIXED,
                  PRIVATE | ANON | MAP["growsdown"], SHARED | ANON | MAP["growsdown"] | FIXED,
                  PRIVATE | ANON | FIXED | MAP["hugetlb"], PRIVATE | ANON | MAP["sync"] | FIXED),
             st.none(), bits(0, 0, 0, 1, PAGE))
# flags that go together; MAP_DROPPABLE is 8
map_strange = mmap(bits(PRIVATE, PRIVATE, PRIVATE, SHARED, 8),
                   bits(FIXED, FIXED | MAP["locked"] | MAP["noreserve"], FIXED | MAP["populate"] | MAP["nonblock"],
                        FIXED | MAP["locked"] | MAP["nonblock"], FIXED | MAP["locked"] | MAP["populate"],
                        MAP["fixed_noreplace"] | MAP["populate"], FIXED | MAP["growsdown"] | MAP["locked"],
                        FIXED | MAP["stack"] | MAP["noreserve"]))
munmap = op("munmap", addrs, lens)
mprotect = op("mprotect", addrs, lens,
              mostly(prots, st.sampled_from((8, 0x10, 0x01000003, 0x02000001))))
touch = op("touch", some, st.sampled_from("rw"))
write = op("write", some, values)
read = op("read", some)
fork = op("fork")
leave = op("exit")
mincore = op("mincore", addrs, lens.filter(lambda n: n < 1 << 24 or n > 1 << 41))
msync = op("msync", addrs, lens, bits(1, 2, 4, 4, 6, 3, 5, 8))


def advise(names: Iterable[str], where: st.SearchStrategy[int] = addrs) -> Strategy:
    return op("madvise", where, lens, st.sampled_from([MADV[n] for n in names]))


FLAG_ADVICE = ("dontfork", "dofork", "dontdump", "dodump", "wipeonfork", "keeponfork", "sequential", "random", "normal",
               "mergeable", "unmergeable", "hugepage", "nohugepage")
PAGE_ADVICE = ("dontneed", "dontneed", "free", "cold", "pageout", "willneed", "populate_read", "populate_write",
               "dontneed_locked", "remove")
GUARDS = ("guard_install", "guard_install", "guard_remove")

_mremap_flags = bits(0, 1, 1, 3, 3, 3, 5, 7, 7, 2, 4, 8)


def mremap(where: st.SearchStrategy[int] = addrs, flags: st.SearchStrategy[int] = _mremap_flags) -> Strategy:
    """Often of equal length, as a pure move."""
    return st.builds(
        lambda p, a, old, new, same, f, to: Draft(p, "mremap", (a, old, old if same or f & 4 else new, f,
                                                             to if f & (MREMAP["fixed"] | 4) else 0)),
        procs, where, mostly(lens, st.just(0)), lens, st.booleans(), flags,
        mostly(places, addrs, 5))


# around whole page tables, which mremap moves at once
tables = st.integers(1, 4).map(lambda n: WINDOW + (n * 512 - 480) * PAGE)
map_tables = mmap(either, st.just(FIXED), tables, big)
move_tables = st.builds(lambda p, a, off, n, f, to: Draft(p, "mremap", (a + off * PAGE, n, n, f, to + off * PAGE)),
                        procs, tables, bits(0, 0, 0, 1, 8), big, bits(3, 3, 7), tables)
mlock = op("mlock", addrs, lens)
mlock2 = op("mlock2", addrs, lens, bits(0, 1, 1, 1, 2))
munlock = op("munlock", addrs, lens)
mlockall = op("mlockall", bits(1, 2, 3, 3, 5, 6, 7, 4, 0, 8))
munlockall = op("munlockall")
brk = op("brk", st.one_of(heap, heap, heap, st.just(0), st.tuples(heap, odd).map(sum)))
remap_file_pages = op("remap_file_pages", addrs, lens, bits(0, 0, 0, 3), st.integers(0, 8), bits(0, 0, 0x10000))
memlock = op("setrlimit", st.just(RLIMIT["memlock"]), st.sampled_from((0, 1, 4, 8, 12, 16, 24, 48, 2048)).map(
    lambda n: n * PAGE))
limit = op("setrlimit", st.sampled_from((RLIMIT["as"], RLIMIT["data"])),
           st.sampled_from((16, 20, 24, 32, 40, 64, 1 << 20)).map(lambda n: n * PAGE))
stack_limit = op("setrlimit", st.just(RLIMIT["stack"]), st.sampled_from((4, 8, 64, 2048)).map(lambda n: n * PAGE))
cap = op("cap", st.just(CAP["ipc_lock"]), bits(0, 0, 1))
ALL_FILES = tuple(SIZES)
MEMFDS = ("f0", "f3")
sizes = mostly(st.integers(0, 24).map(lambda n: n * PAGE), st.tuples(st.integers(0, 12), odd).map(
    lambda p: p[0] * PAGE + p[1]))
file_offsets = st.integers(0, 20).map(lambda n: n * PAGE)


def truncate(files: Iterable[str] = ALL_FILES) -> Strategy:
    return op("ftruncate", st.sampled_from(sorted(files)), sizes)


def file_ops(files: Iterable[str] = ALL_FILES) -> list[Strategy]:
    name = st.sampled_from(sorted(files))
    return [truncate(files), op("punch", name, mostly(file_offsets, sizes), mostly(small, bad_lengths)),
            op("fread", name, file_offsets), op("fread", name, file_offsets), op("fwrite", name, file_offsets, values)]


grows = mmap(private, bits(FIXED | MAP["growsdown"]), places, small)
far = st.integers(0, 300).map(lambda n: WINDOW + n * PAGE)
grows_far = mmap(private, bits(FIXED | MAP["growsdown"]), st.integers(40, 330).map(lambda n: WINDOW + n * PAGE), small)
map_far = mmap(either, st.just(FIXED), far, small)
touch_far = op("touch", mostly(under, far, 6), st.sampled_from("rw"))

PROFILES: dict[str, list[Strategy]] = {
    "mapping": [*[map_anon] * 4, *[map_hint] * 3, map_big, map_odd, map_strange, *[munmap] * 3, *[mprotect] * 4,
                *[write] * 3, touch, read, advise(FLAG_ADVICE), advise(("dontdump", "dodump")), fork, mremap()],
    "cow": [*[map_plain] * 3, map_anon, mmap_file(MEMFDS), *[write] * 6, *[touch] * 3, *[read] * 4, *[fork] * 2,
            leave, munmap, mprotect, advise(("dontneed", "free", "wipeonfork", "dontfork")), mremap(),
            mmap_file(ALL_FILES), truncate(),
            advise(("pageout", "cold", "populate_write", "populate_read", "guard_install", "dontfork"))],
    "files": [*[mmap_file(ALL_FILES)] * 5, *file_ops(), *file_ops(), *[touch] * 4, *[write] * 3, *[read] * 2, mincore,
              msync, munmap, mprotect, fork, leave, advise(PAGE_ADVICE), advise(("remove", "dontneed")), mremap(),
              remap_file_pages, map_plain],
    "locking": [*[map_anon] * 3, map_hint, map_strange, mmap_file(ALL_FILES), *[mlock] * 3, *[mlock2] * 2,
                *[munlock] * 3, mlockall, munlockall, memlock, cap, *[touch] * 2, write, munmap, mprotect, mremap(),
                fork, leave, brk, advise(("dontneed", "dontneed_locked", "free", "pageout", "cold", "guard_install"))],
    "advice": [*[map_anon] * 3, map_strange, mmap_file(ALL_FILES), *[advise(FLAG_ADVICE)] * 4,
               *[advise(PAGE_ADVICE)] * 4, *[advise(GUARDS)] * 2, *[write] * 3, *[touch] * 3, read, munmap, mprotect,
               fork, leave, mincore, mlock, op("madvise", addrs, lens, st.integers(0, 30))],
    "heap": [*[brk] * 7, mmap(either, fixed_extra, heap), mmap_file(MEMFDS, heap), op("munmap", heap, small),
             op("mprotect", heap, small, prots), *[op("write", heap, values)] * 3,
             op("touch", heap, st.sampled_from("rw")), op("read", heap), limit, limit, mlockall, munlockall, memlock,
             cap, fork, leave, map_hint, op("mlock", heap, small),
             op("mremap", heap, small, small, bits(1, 0), st.just(0)), advise(("dontneed", "dontdump"), heap)],
    "mremap": [*[map_anon] * 4, mmap_file(ALL_FILES), *[mremap()] * 6, mremap(below_top), *[map_tables] * 2,
               *[move_tables] * 2, *[write] * 4, touch, read, munmap, mprotect, fork, mlock, limit,
               advise(("dontdump", "dontneed", "guard_install", "dontfork", "wipeonfork")), truncate(MEMFDS)],
    "shared": [*[map_shared] * 5, mmap(shared, hint_extra, st.just(0)), *[write] * 5, *[read] * 4, *[touch] * 3,
               *[fork] * 2, leave, munmap, mprotect, mremap(), advise(PAGE_ADVICE), advise(("remove", "dontneed")),
               mincore, mlock, map_plain, remap_file_pages, advise(GUARDS)],
    "mixed": [map_anon, map_plain, map_shared, map_hint, map_odd, map_strange, op("exec"), mmap_file(ALL_FILES),
              munmap, mprotect, mremap(), advise(FLAG_ADVICE), advise(PAGE_ADVICE), advise(GUARDS), mlock, mlock2,
              munlock, mlockall, munlockall, msync, mincore, brk, remap_file_pages, memlock, limit, stack_limit, cap,
              fork, leave, touch, touch, write, write, read, read, *file_ops()],
    "stacks": [*[grows] * 3, *[grows_far] * 2, map_strange, munlockall, map_plain, map_far, map_anon, *[touch] * 4,
               *[touch_far] * 4, write, read, munmap, mprotect,
               op("mprotect", far, small, st.sampled_from((0x01000003, 0x01000001, 0x01000000))),
               *[advise(GUARDS)] * 4, advise(("dontneed", "free", "populate_write", "remove")), mlock, stack_limit,
               limit, fork, leave, mremap(), mlockall],
}
# what a script of a profile begins with, where that is not private anonymous memory
OPENINGS: dict[str, list[Strategy]] = {
    "files": [mmap_file(ALL_FILES)],
    "heap": [brk, mmap(private, None, heap)],
    "mremap": [map_anon, map_shared, mmap_file(MEMFDS)],
    "shared": [map_shared],
    "mixed": [map_anon, map_shared, mmap_file(ALL_FILES)],
    "stacks": [grows, grows_far, map_plain],
}


def scripts(profile: str, groups: int = 12) -> st.SearchStrategy[tuple[Op, ...]]:
    """Scripts of a profile: two mappings or more, then some 3 operations a group, never more than 6."""
    one = st.sampled_from(PROFILES[profile]).flatmap(lambda s: s)
    begin = st.sampled_from(OPENINGS.get(profile, [map_plain, map_anon])).flatmap(lambda s: s)
    first = st.lists(begin, min_size=2, max_size=4)
    chunks = st.lists(st.lists(one, max_size=6), min_size=groups, max_size=groups)
    return st.builds(lambda begin, lists: with_files(written([*begin, *(d for chunk in lists for d in chunk)])), first,
                     chunks)


def with_files(ops: Iterable[Op]) -> tuple[Op, ...]:
    """The operations, and before them the files that they name."""
    ops = tuple(ops)
    named = {arg for o in ops for arg in o.args if isinstance(arg, str) and arg in SIZES}
    return (*(Op(0, "file", (name, *SIZES[name])) for name in sorted(named)), *ops)
