"""The workload ``steps``: files, and what groups of tasks do with them, one step after the other. Data, not code.

A step names who acts (a group of tasks) and on what (a region: a range of addresses that is the same in every task).
Regions lie one behind the other, a page apart, so that every address is known beforehand; a region is either one
mapping or many windows, each a mapping of its own. What the steps do is in ``script.py``, what they need at most, from
sizes alone, in ``plan.py``.
"""

from typing import Annotated, Any, Literal, Self

import msgspec

from .model import PAGE_SIZE, Scenario, Share, Size, require

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=24)]
Number = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Access = Literal["none", "r", "rw"]


def require_pages(name: str, size: Size) -> None:
    require(size > 0 and size % PAGE_SIZE == 0, f"{name} must be a multiple of {PAGE_SIZE}, and not 0")


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="do"):
    """One thing that is done. ``phase``: its name in tables; else what it does and who."""

    phase: str = ""

    @property
    def label(self) -> str:
        if self.phase:
            return self.phase
        return " ".join([str(self.__struct_config__.tag), *filter(None, [getattr(self, "who", "")])])


class Spawn(Step, tag="spawn", frozen=True):
    """New tasks with empty address spaces."""

    who: Name
    count: Number = 1


class Fork(Step, tag="fork", frozen=True):
    """Every task of ``who`` forks so many ``times`` into the group ``into``, which may be its own; ``rounds`` over."""

    who: Name
    into: Name
    times: Number = 1
    rounds: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1


class Map(Step, tag="map", frozen=True):
    """A region comes into being: ``size`` in one mapping, or ``windows`` of ``pages`` with ``gap`` pages of the file
    between them. ``reversed``: the file's last window first, so that neighbours cannot merge. ``choose``: a task maps
    only so many of the windows, drawn by the seed. A file without a size grows to what is mapped."""

    who: Name
    region: Name
    size: Size = Size(0)
    windows: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    pages: Number = 1
    gap: Annotated[int, msgspec.Meta(ge=0)] = 0
    choose: Annotated[int, msgspec.Meta(ge=0)] = 0
    reversed: bool = False
    file: str = ""
    shared: bool = False
    access: Access = "rw"

    def __post_init__(self) -> None:
        require((self.size > 0) != (self.windows > 0), "a map step has either size or windows")
        require(self.choose <= self.windows, "choose must not be above windows")
        require(bool(self.file) or not self.reversed, "only windows of a file can be reversed")

    @property
    def count(self) -> int:
        """Mappings."""
        return self.windows or 1

    @property
    def window(self) -> int:
        """Pages of a mapping."""
        return self.pages if self.windows else -(-self.size // PAGE_SIZE)

    def offset(self, number: int) -> int:
        """The file page at which window ``number``, counted by address, begins."""
        place = self.count - 1 - number if self.reversed else number
        return place * (self.window + self.gap)


class Touch(Step, tag="touch", frozen=True):
    """Every task of ``who`` touches its pages of the region: the first ``part`` of them in order, or as many drawn at
    random; ``write`` is the share of touches that write. ``slice``: tasks take turns, so much at a time."""

    who: Name
    region: Name
    write: Share = 0.0
    order: Literal["linear", "random"] = "linear"
    part: Share = 1.0
    passes: Number = 1
    slice: Size = Size(0)


class Protect(Step, tag="protect", frozen=True):
    """mprotect of every second piece of the region to ``access``."""

    who: Name
    region: Name
    piece: Size
    access: Access = "r"

    def __post_init__(self) -> None:
        require_pages("piece", self.piece)


class Grow(Step, tag="grow", frozen=True):
    """The region, mapped with access "none", becomes usable piece by piece: mprotect the next one, write it."""

    who: Name
    region: Name
    piece: Size

    def __post_init__(self) -> None:
        require_pages("piece", self.piece)


class Move(Step, tag="move", frozen=True):
    """mremap of the whole region, in every task of ``who``, to another place, which its name means from then on.

    Other groups keep their mapping at the old place, which has no name any more: no step can touch it until they map
    the region anew. Their forks inherit it, and exit ends it."""

    who: Name
    region: Name


class Scatter(Step, tag="scatter", frozen=True):
    """remap_file_pages, page by page: the first ``part`` of the region's pages show the file's pages in reversed order,
    or in one drawn by the seed."""

    who: Name
    region: Name
    part: Share = 1.0
    order: Literal["reversed", "random"] = "random"


class Lock(Step, tag="lock", frozen=True):
    """mlock of the first ``part`` of the region."""

    who: Name
    region: Name
    part: Share = 1.0


class Reclaim(Step, tag="reclaim", frozen=True):
    """The kernel is asked to free so much."""

    size: Size


class Unmap(Step, tag="unmap", frozen=True):
    """munmap of the region."""

    who: Name
    region: Name


class Exit(Step, tag="exit", frozen=True):
    """Every task of the group exits."""

    who: Name


class FileSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file; without a size it is as large as what is mapped of it."""

    name: Name
    size: Size = Size(0)
    kind: Literal["file", "tmpfs"] = "file"
    cached: bool = False        # read into the page cache before the first step


AnyStep = (Spawn | Fork | Map | Touch | Protect | Grow | Move | Scatter | Lock | Reclaim | Unmap | Exit)


class StepsScenario(Scenario, kw_only=True, tag="steps", frozen=True):
    """Files and steps."""

    files: tuple[FileSpec, ...] = ()
    steps: tuple[AnyStep, ...]
    kills: Literal["problem", "result"] = "problem"     # what it is if the OOM killer acts
    parameters: dict[str, int | float | str] = msgspec.field(default_factory=dict)
    sizes: tuple[str, ...] = ()         # parameters that scale multiplies, found by formulas.py
    variant: str = ""
    variants: dict[str, dict[str, int | float | str]] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        from .groups import check

        check(self.files, self.steps, self.arch)

    def scaled(self) -> Self:
        """Sizes times ``scale``; of windows the pages, not the number."""
        def pages(step: Any) -> Any:
            changes = {name: getattr(step, name).times(self.scale) for name in ("size", "slice")
                       if getattr(step, name, 0)}
            if isinstance(step, Map) and step.windows:
                changes["pages"] = max(round(step.pages * self.scale), 1)
            return msgspec.structs.replace(step, **changes) if changes else step

        files = tuple(msgspec.structs.replace(file, size=file.size.times(self.scale)) for file in self.files)
        return self._scaled(steps=tuple(pages(step) for step in self.steps), files=files)

    def describe(self) -> str:
        variant = f" ({self.variant})" if self.variant else ""
        shown = ", ".join(f"{name} = {self.effective(name)}" for name in self.parameters)
        return f"{self.summary}{variant}; {self._on_what()}" + (f"; {shown}" if shown else "")

    def effective(self, name: str) -> int | float | str:
        """What a parameter amounts to in the scenario that runs."""
        value = self.parameters[name]
        if self.scale == 1 or name not in self.sizes:
            return value
        scaled = float(f"{float(value) * self.scale:.4g}")
        return int(scaled) if scaled.is_integer() else scaled

    def drive(self, run: Any) -> dict[str, Any]:
        from .script import Script

        return Script(self, run).drive()

    def plan(self, rules: Any) -> Any:
        from .plan import Plan

        return Plan(self.files, self.steps, rules)

