"""What can be said of steps before anything runs: whether each group has tasks, and whether they may do what a step
says.

Steps are followed in order, and of each group and region all is kept that its pages may be: mapped with some access,
or not mapped at all (`OUT`). Tasks of a group may differ (some came later, some are forks of others), so that is a set,
and a step that not all of them could do is refused. What depends on the machine, memory above all, is not looked at.
"""

from collections.abc import Iterable
from typing import Any

from vmcore.kernels import KERNELS
from vmcore.words import hint

from .layout import Layout
from .model import PAGE_SIZE, require
from .steps import Exit, FileSpec, Fork, Grow, Map, Move, Protect, Scatter, Spawn, Touch, Unmap

OUT = ""                        # not mapped
NAME_BYTES = 24                 # of a group or a file
FILE_PAGES = (1 << 32) - 1      # the largest file, from 0 on
SCATTER_PAGES = 1 << 26         # a permutation of them has to be drawn


class Group:
    """What the pages of each region are to its tasks; a region that is not there is OUT."""

    def __init__(self) -> None:
        self.regions: dict[str, set[str]] = {}
        self.left: dict[str, str] = {}      # regions that another group moved, and where: mapped, but at the old place

    def pages(self, region: str) -> set[str]:
        return self.regions.get(region, {OUT})

    def join(self, other: "Group") -> None:
        """Forks of the other group's tasks come in."""
        for region in {*self.regions, *other.regions}:
            self.regions[region] = self.pages(region) | other.pages(region)
        self.left |= other.left


def check(files: Iterable[FileSpec], steps: Iterable[Any], arch: str) -> None:
    """ValueError that names the step, if one of them cannot be done."""
    files, steps = list(files), list(steps)
    known = {file.name for file in files}
    for file in files:
        check_name("files", "name", file.name)
        require(file.size < FILE_PAGES * PAGE_SIZE, f"file {file.name!r} is too large: below 16 TiB, not {file.size}")
    groups: dict[str, Group] = {}       # those that have tasks
    gone: dict[str, str] = {}           # those whose tasks have left, and where
    regions: dict[str, Map] = {}
    for number, step in enumerate(steps):
        where = f"steps[{number}] ({step.__struct_config__.tag})"
        for key in ("who", "into"):
            check_name(where, key, getattr(step, key, "x"))
        if isinstance(step, Spawn):
            enter(groups, gone, step.who, Group())
            continue
        who = getattr(step, "who", None)
        if who is None:
            continue
        require(who in groups, f"{where}: no group {who!r} "
                + (f"any more, its tasks left in {gone[who]}" if who in gone else f"yet{hint(who, groups)}")
                + f"; there are: {names(groups)}")
        group = groups[who]
        if isinstance(step, Fork):
            enter(groups, gone, step.into, group)
        elif isinstance(step, Exit):
            del groups[who]
            gone[who] = where
        elif isinstance(step, Map):
            check_map(where, step, regions.setdefault(step.region, step), known)
            group.regions[step.region] = {step.access}
            group.left.pop(step.region, None)
        else:
            require(step.region in regions, f"{where}: no region {step.region!r} yet{hint(step.region, regions)}; "
                    f"there are: {names(regions)}")
            act(where, step, group, regions[step.region], groups)
    check_room(steps, arch)


def enter(groups: dict[str, Group], gone: dict[str, str], into: str, of: Group) -> None:
    """Tasks like those of a group come into a group."""
    if into in groups:
        groups[into].join(of)
    else:
        groups[into] = Group()
        groups[into].regions = {region: set(pages) for region, pages in of.regions.items()}
        groups[into].left = dict(of.left)
    gone.pop(into, None)


def check_name(where: str, key: str, name: str) -> None:
    raw = name.encode(errors="replace")
    require(len(raw) <= NAME_BYTES and b"\0" not in raw,
            f"{where}: {key} = {name!r}: at most {NAME_BYTES} bytes of UTF-8 and no NUL are allowed")


def check_map(where: str, step: Map, old: Map, known: set[str]) -> None:
    require((old.count, old.window) == (step.count, step.window),
            f"{where}: region {step.region!r} was mapped with another size before")
    require(not step.file or step.file in known,
            f"{where}: no file {step.file!r}{hint(step.file, known)}; there are: {names(known)}")
    last = (step.count - 1) * (step.window + step.gap) + step.window
    require(not step.file or last <= FILE_PAGES,
            f"{where}: {last} pages of file {step.file!r} from the first window to the last; a file has {FILE_PAGES}")


def act(where: str, step: Any, group: Group, spec: Map, groups: dict[str, Group]) -> None:
    """A step on a region: what it needs, and what the pages are after it."""
    region = step.region
    pages = group.pages(region)
    if isinstance(step, Touch) and step.part == 0:
        return
    if OUT in pages and region in group.left:
        require(False, f"{where}: region {region!r} is at the place to which {group.left[region]} moved it; group "
                       f"{step.who!r} has it at the old one, which has no name any more")
    require(pages != {OUT}, f"{where}: group {step.who!r} does not map region {region!r}")
    require(OUT not in pages, f"{where}: not all tasks of group {step.who!r} map region {region!r}")
    if isinstance(step, Touch):
        allowed = {"rw"} if step.write else {"r", "rw"}
        require(pages <= allowed, f"{where}: region {region!r} cannot be {'written' if step.write else 'read'}: "
                f"its access is {names(pages)}")
    elif isinstance(step, Protect):
        group.regions[region] = pages | {step.access}
    elif isinstance(step, Grow):
        group.regions[region] = {"rw"}
    elif isinstance(step, Move):
        require(spec.windows == 0, f"{where}: a region of windows cannot be moved")
        for other in groups.values():       # who has it at the old place is never asked for it again
            if other is not group and other.pages(region) != {OUT}:
                other.regions[region] = {OUT}
                other.left[region] = where
    elif isinstance(step, Scatter):
        most = round(step.part * spec.count * spec.window)
        require(most <= SCATTER_PAGES, f"{where}: {most} pages; at most {SCATTER_PAGES} are allowed")
    elif isinstance(step, Unmap):
        group.regions[region] = {OUT}


def check_room(steps: list[Any], arch: str) -> None:
    """All regions, and their places after moves, must lie in the largest address space that a kernel of this arch has;
    whether that of the kernel that runs is large enough is seen when it runs."""
    layout = Layout(steps, 0)
    for step in steps:
        if isinstance(step, Move):
            layout.move(step.region)
    room = max(kernel.rules(arch)["task_size"] for kernel in KERNELS.values() if arch in kernel.archs)
    require(layout.length <= room, f"steps: the regions take {layout.length} bytes of addresses, {arch} has {room}")


def names(of: Iterable[str]) -> str:
    return ", ".join(sorted(of)) or "none"
