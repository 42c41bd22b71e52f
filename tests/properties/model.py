"""What user space may see, in plain Python: the twin of a machine that knows no page tables, no frames and no swap.

A page of an address space is a line of a dict: its protection, whether it is shared, and what lies behind it. What a
task has written to private memory stands in `Space.private`; all else is read from the object behind the page, or is 0.
Copy-on-write, swap and reclaim are invisible here, which is the point: whatever the machine does, it must look like
this.
"""
from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

PAGE = 4096
READ, WRITE, EXEC = 1, 2, 4
MAPERR, ACCERR = 1, 2
STACK_PAGES = 1000          # less than RLIMIT_STACK: no test comes near that


@dataclass(eq=False)
class Object:
    """A file, or the memory behind MAP_SHARED | MAP_ANONYMOUS: contents by page, and a length in pages."""

    name: str
    pages: int
    readonly: bool = False
    content: dict[int, int] = field(default_factory=dict)

    @property
    def anonymous(self) -> bool:
        return not self.name


class Page(NamedTuple):
    """One page of an address space."""

    prot: int
    shared: bool
    object: Object | None       # None: private anonymous memory
    index: int                  # page of the object
    grows: bool = False         # VM_GROWSDOWN: an access below makes it longer
    home: int | None = None     # page of the object that belongs here linearly, if another one is here

    @property
    def linear(self) -> int:
        return self.index if self.home is None else self.home


@dataclass(eq=False)
class Space:
    """An address space by page number."""

    pages: dict[int, Page] = field(default_factory=dict)
    private: dict[int, int] = field(default_factory=dict)       # pages of its own, and what they hold
    locked: set[int] = field(default_factory=set)
    swappable: set[int] = field(default_factory=set)    # locked, but nobody has brought them in since
    brk: int = 0
    start_brk: int = 0

    def copy(self) -> Space:
        """The address space of a child: the same contents from now on, no locks."""
        return Space(dict(self.pages), dict(self.private), set(), set(), self.brk, self.start_brk)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """(first, last + 1) of each run of mapped pages."""
        run: list[int] = []
        for page in sorted(self.pages):
            if run and page != run[-1] + 1:
                yield run[0], run[-1] + 1
                run = []
            run.append(page)
        if run:
            yield run[0], run[-1] + 1

    def span(self, page: int, pages: int) -> Iterator[int]:
        """Pages of [page, page + pages) up to the first hole."""
        for at in range(page, page + pages):
            if at not in self.pages:
                return
            yield at


class Outcome(NamedTuple):
    """What a call did: kind is ok, errno, segv or bus."""

    kind: str
    value: object = None
    address: int = 0
    index: int = 0


OK = Outcome("ok")


class Ways(NamedTuple):
    """What the calls of one time do otherwise than those of another, as far as user space sees it. Defaults: 2004."""

    data: int = READ | WRITE | EXEC     # rights of heap and stack
    # mremap looks at its range before it changes anything; else a refused MREMAP_FIXED has unmapped its target, and a
    # range that only shrinks need not be mapped. Old length 0 is for shared memory alone then
    mremap_looks: bool = False
    populates_last: bool = False        # mlock sets all its flags before it faults a page in, and then every page
    locked_writable: bool = False       # locked pages that may be written now are there at once
    gap: int = 0                        # pages that stay free below a stack
    stack_room: int = 0                 # pages that exec adds below the arguments
    brk_needs_heap: bool = False        # a heap that is unmapped altogether does not shrink


def failed(number: int) -> Outcome:
    return Outcome("errno", number)


class Model:
    """All address spaces and objects. A method that takes a space does what the call of the same name does to it."""

    def __init__(self, ways: Ways = Ways()) -> None:        # noqa: B008
        self.ways = ways
        self.spaces: dict[int, Space] = {}
        self.objects: dict[int, Object] = {}
        self._next = 0

    # ---- tasks and files

    def spawn(self, start_brk: int) -> int:
        self._next += 1
        self.spaces[self._next] = Space(brk=start_brk, start_brk=start_brk)
        return self._next

    def fork(self, task: int) -> int:
        self._next += 1
        self.spaces[self._next] = self.spaces[task].copy()
        return self._next

    def exit(self, task: int) -> None:
        del self.spaces[task]

    def exec(self, task: int, start: int, pages: int, brk: int) -> None:
        """Nothing but a stack at the place that the machine chose: room to grow, and pages of arguments."""
        page = Page(self.ways.data, False, None, 0, grows=True)
        end = start + self.ways.stack_room + pages
        self.spaces[task] = Space(dict.fromkeys(range(start, end), page), dict.fromkeys(range(end - pages, end), 0),
                                  brk=brk, start_brk=brk)

    def open(self, name: str, pages: int, readonly: bool = False) -> int:
        self._next += 1
        self.objects[self._next] = Object(name, pages, readonly)
        return self._next

    def truncate(self, number: int, pages: int) -> None:
        """Private copies beyond the new end go too."""
        obj = self.objects[number]
        obj.pages = pages
        for index in [i for i in obj.content if i >= pages]:
            del obj.content[index]
        for space in self.spaces.values():
            for at in list(space.private):
                page = space.pages[at]
                if page.object is obj and page.index >= pages:
                    del space.private[at]

    # ---- mappings

    def map(self, space: Space, page: int, pages: int, prot: int, shared: bool, obj: Object | None, index: int) -> None:
        """The caller has seen to it that a read-only file is not mapped shared and writable."""
        self.unmap(space, page, pages)
        if shared and obj is None:
            obj = Object("", pages)
        for i in range(pages):
            space.pages[page + i] = Page(prot, shared, obj, index + i)

    def unmap(self, space: Space, page: int, pages: int) -> None:
        for at in range(page, page + pages):
            space.pages.pop(at, None)
            space.private.pop(at, None)
            space.locked.discard(at)
            space.swappable.discard(at)

    def mprotect(self, space: Space, page: int, pages: int, prot: int) -> Outcome:
        """What lies before a hole, or before what may not be written, is changed."""
        for at in range(page, page + pages):
            if at not in space.pages:
                return failed(errno.ENOMEM)
            old = space.pages[at]
            if old.shared and old.object.readonly and prot & WRITE:
                return failed(errno.EACCES)
            space.pages[at] = old._replace(prot=prot)
            if self.ways.locked_writable and at in space.locked and prot & WRITE and not old.prot & WRITE:
                self.touch(space, at * PAGE, True)
        return OK

    def mremap(self, space: Space, page: int, old: int, new: int, to: int | None) -> Outcome:
        """[page, page + old), which lies in one mapping, becomes `new` pages long and begins at `to` afterwards; `to`
        None: the caller has found that it cannot grow where it is, and may not move. Only a mapping that could be made
        for this call comes here: the caller unmaps the target of MREMAP_FIXED. old 0: a second mapping."""
        if new <= old:
            self.unmap(space, page + new, old - new)
            old = new
        if to is None:
            return failed(errno.ENOMEM) if new > old else Outcome("ok", page * PAGE)
        first = space.pages[page]
        locked = page in space.locked
        moved = [(space.pages[page + i], space.private.get(page + i), page + i in space.swappable) for i in range(old)]
        self.unmap(space, page, old)
        for i, (what, token, swappable) in enumerate(moved):
            space.pages[to + i] = what
            if swappable:
                space.swappable.add(to + i)
            if token is not None:
                space.private[to + i] = token
        for i in range(old, new):
            space.pages[to + i] = first._replace(index=first.linear + i, home=None)
        if locked:
            space.locked.update(range(to, to + new))
            for i in range(old, new):
                write = bool(first.prot & WRITE)
                if self.touch(space, (to + i) * PAGE, write) is not OK:
                    break
        return Outcome("ok", to * PAGE)

    def remap_file_pages(self, space: Space, page: int, pages: int, index: int) -> Outcome:
        """Pages [index, index + pages) of the object, at a stretch that lies in one shared writable mapping of it."""
        if index + pages > space.pages[page].object.pages:
            return failed(errno.EINVAL)
        for i in range(pages):
            old = space.pages[page + i]
            space.pages[page + i] = old._replace(index=index + i, home=old.linear)
        return OK

    def may_mlock(self, space: Space, page: int, pages: int) -> bool:
        """Every page up to the first hole can be faulted in."""
        return all(self.reason(space, at, write=False) is None for at in space.span(page, pages))

    def mlock(self, space: Space, page: int, pages: int) -> Outcome:
        done = list(space.span(page, pages))
        hole = len(done) < pages
        come = done if self.ways.populates_last else [at for at in done if at not in space.locked]
        space.locked.update(done)
        if hole and self.ways.populates_last:
            space.swappable.update(done)
            come = []
        for at in come:
            self.touch(space, at * PAGE, bool(space.pages[at].prot & WRITE))
        return failed(errno.ENOMEM) if hole else OK

    def munlock(self, space: Space, page: int, pages: int) -> Outcome:
        done = list(space.span(page, pages))
        space.locked.difference_update(done)
        return OK if len(done) == pages else failed(errno.ENOMEM)

    def set_brk(self, space: Space, brk: int) -> int:
        """The new brk; the old one if a mapping is in the way."""
        old = -(-space.brk // PAGE)
        new = -(-brk // PAGE)
        if new > old and any(page in space.pages for page in range(old, new + 1)):
            return space.brk
        if new > old and any(space.pages[page].grows for page in range(new, new + 1 + self.ways.gap)
                             if page in space.pages):
            return space.brk
        if new < old:
            if self.ways.brk_needs_heap and not any(page in space.pages for page in range(new, old)):
                return space.brk
            self.unmap(space, new, old - new)
        elif new > old:
            self.map(space, old, new - old, self.ways.data, False, None, 0)
        space.brk = brk
        return brk

    # ---- accesses

    def grow(self, space: Space, at: int) -> None:
        """An access to a hole makes the stack above it longer, if that is what is above it; the protection is looked at
        afterwards."""
        if at in space.pages:
            return
        above = min((page for page in space.pages if page > at), default=None)
        if above is None or above - at > STACK_PAGES or not space.pages[above].grows:
            return
        below = max((page for page in space.pages if page < at), default=None)
        if (below is not None and at - below - 1 < self.ways.gap and space.pages[below].prot
                and not space.pages[below].grows):
            return
        for page in range(at, above):
            space.pages[page] = space.pages[above]
            if above in space.locked:
                space.locked.add(page)

    def reason(self, space: Space, at: int, write: bool) -> Outcome | None:
        """Why an access to page `at` fails, None if it does not."""
        page = space.pages.get(at)
        if page is None:
            return Outcome("segv", MAPERR)
        if not page.prot & (WRITE if write else READ | EXEC):
            return Outcome("segv", ACCERR)
        if page.object is not None and at not in space.private and page.index >= page.object.pages:
            return Outcome("bus")
        return None

    def read(self, space: Space, address: int) -> Outcome:
        self.grow(space, address // PAGE)
        why = self.reason(space, address // PAGE, write=False)
        if why is not None:
            return why._replace(address=address)
        space.swappable.discard(address // PAGE)
        return Outcome("ok", self.content(space, address // PAGE))

    def content(self, space: Space, at: int) -> int:
        page = space.pages[at]
        if at in space.private:
            return space.private[at]
        return page.object.content.get(page.index, 0) if page.object is not None else 0

    def write(self, space: Space, address: int, token: int) -> Outcome:
        at = address // PAGE
        self.grow(space, at)
        why = self.reason(space, at, write=True)
        if why is not None:
            return why._replace(address=address)
        page = space.pages[at]
        if page.shared:
            page.object.content[page.index] = token
        else:
            space.private[at] = token
        space.swappable.discard(at)
        return OK

    def touch(self, space: Space, address: int, write: bool) -> Outcome:
        """A write that changes nothing, but makes a private page the space's own."""
        at = address // PAGE
        self.grow(space, at)
        why = self.reason(space, at, write)
        if why is not None:
            return why._replace(address=address)
        if write and not space.pages[at].shared:
            space.private.setdefault(at, self.content(space, at))
        space.swappable.discard(at)
        return OK

    def touch_all(self, space: Space, accesses: list[tuple[int, bool]]) -> Outcome:
        """A batch: what came before a failing access has happened."""
        for i, (address, write) in enumerate(accesses):
            result = self.touch(space, address, write)
            if result is not OK:
                return result._replace(index=i)
        return OK

    # ---- what there is

    def needed(self) -> int:
        """Pages that must be in memory or swap, at most."""
        pages = [p for s in self.spaces.values() for p in s.pages.values()]
        shared = {id(p.object): p.object for p in pages if p.object is not None}
        shared.update((id(o), o) for o in self.objects.values())
        return (sum(len(s.private) for s in self.spaces.values()) + sum(o.pages for o in shared.values()))

    def maps(self, space: Space) -> list[Mapping]:
        """What /proc/PID/maps says, with neighbours of the same kind joined."""
        out: list[Mapping] = []
        for at in sorted(space.pages):
            page = space.pages[at]
            perms = "".join(c if page.prot & bit else "-" for c, bit in (("r", READ), ("w", WRITE), ("x", EXEC)))
            named = page.object is not None and not page.object.anonymous
            join(out, Mapping(at * PAGE, (at + 1) * PAGE, perms + ("s" if page.shared else "p"),
                              page.object.name if named else "", page.linear * PAGE if named else None))
        return out


class Mapping(NamedTuple):
    """A line of maps. offset is None for memory without a file: what it says is the kernel's affair."""

    start: int
    end: int
    perms: str
    name: str
    offset: int | None


def join(lines: list[Mapping], line: Mapping) -> None:
    """Append a line, or extend the last one if the two are one mapping to user space."""
    if lines:
        last = lines[-1]
        follows = line.offset is None or (
            last.offset is not None and last.offset + last.end - last.start == line.offset
        )
        if last.end == line.start and last.perms == line.perms and last.name == line.name and follows:
            lines[-1] = last._replace(end=line.end)
            return
    lines.append(line)
