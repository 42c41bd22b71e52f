"""Simulated system time: what the counted events of a run would have cost a processor of 2004, split by cause.

    seconds(cause) = time_unit * sum over its events of count * (cycles + lines * line) / hertz
    seconds("process") = process * forks

The costs are data (costs.toml), each with its reason; a user's file replaces them. Two scalars, time_unit and process,
are shared by all kernels and fitted once to four measured system times of the thread (calibrate()). Counts are exact,
so the same run has the same simulated time on every host.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from vmcore._fast.counters import COUNTER_NAMES
from vmcore.words import hint

__all__ = ["MEASURED", "CostError", "CostModel", "Measured", "calibrate", "load", "loads"]

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e15)]
Hertz = Annotated[float, msgspec.Meta(ge=1, le=1e15)]       # so that the highest counts and costs have seconds
Count = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class CostError(ValueError):
    """A table of costs that makes no sense."""


class Hardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The processor."""

    hertz: Hertz
    line: Positive              # cycles for a cache line from memory


class Scalars(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What calibration fits."""

    time_unit: Positive = 1.0
    process: Count = 0.0        # seconds for each process forked


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One counter's cost."""

    cycles: Count
    lines: Count = 0.0
    why: str = ""


class CostModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of costs: events[cause][counter]."""

    machine: Hardware
    scalars: Scalars = Scalars()
    events: dict[str, dict[str, Event]]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for cause, events in self.events.items():
            if cause in ("system", "wait", "total", "process"):
                raise ValueError(f"events.{cause}: this name is taken by a sum or a scalar")
            for counter in events:
                if counter not in COUNTER_NAMES:
                    raise ValueError(f"events.{cause}.{counter}: no counter of vmstat has this name"
                                     f"{hint(counter, COUNTER_NAMES)}")
                if counter in seen:
                    raise ValueError(f"events.{cause}.{counter}: its cost stands in events.{seen[counter]} already")
                if not math.isfinite(events[counter].cycles + events[counter].lines):
                    raise ValueError(f"events.{cause}.{counter}: cycles and lines must be numbers of 0 or more")
                seen[counter] = cause
        if not all(map(math.isfinite, (self.machine.hertz, self.machine.line, self.scalars.time_unit))):
            raise ValueError("hertz, line and time_unit must be numbers above 0")
        if not math.isfinite(self.scalars.process):
            raise ValueError("process must be a number of 0 or more")

    def raw(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Seconds by cause before the scalars: cycles and lines alone. A counter that a run lacks counts as 0."""
        tick = 1 / self.machine.hertz
        return {
            cause: sum(counts.get(name, 0) * (e.cycles + e.lines * self.machine.line) for name, e in events.items())
            * tick
            for cause, events in self.events.items()
        }

    def system(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Seconds of system time by cause."""
        out = {cause: self.scalars.time_unit * value for cause, value in self.raw(counts).items()}
        out["process"] = self.scalars.process * counts.get("forks", 0)
        return out

    def simulated(self, counts: Mapping[str, int], waited: float) -> dict[str, float]:
        """System time by cause, its sum, the time that tasks waited (the machine's clock), and the sum of the two."""
        causes = self.system(counts)
        system = sum(causes.values())
        return {"total": system + waited, "system": system, "wait": waited, **causes}

    def with_scalars(self, time_unit: float, process: float) -> CostModel:
        return msgspec.structs.replace(self, scalars=Scalars(time_unit=time_unit, process=process))


def loads(text: str, source: str = "costs") -> CostModel:
    """A table from TOML text, checked."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:       # ValueError: an integer of thousands of digits, too
        raise CostError(f"{source}: not valid TOML: {error}") from None
    try:
        return msgspec.convert(data, CostModel)
    except (msgspec.ValidationError, RecursionError) as error:
        raise CostError(f"{source}: {error}") from None


def default_text() -> str:
    """The TOML of the built-in table."""
    return (resources.files("vmcore") / "costs.toml").read_text(encoding="utf-8")


def load(path: str | Path | None = None) -> CostModel:
    """The table of a file; None: the built-in one."""
    if path is None:
        return loads(default_text(), "costs.toml")
    try:
        return loads(Path(path).read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise CostError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CostError(f"{path}: not UTF-8 text (byte {error.start})") from None


def to_builtins(model: CostModel) -> dict[str, Any]:
    """As plain data, for JSON."""
    return msgspec.to_builtins(model)


def from_builtins(data: Mapping[str, Any]) -> CostModel:
    return msgspec.convert(data, CostModel)


# ---------------------------------------------------------------- calibration


class Measured(NamedTuple):
    """A system time that somebody measured: forktree with so many levels on one kernel."""

    kernel: str
    levels: int
    seconds: float


# Andrea Arcangeli, 18 March 2004 (fact sheet linux-2004 10.1): the middle of what two runs gave
MEASURED = (
    Measured("2.6.5", 6, 17.95),        # 17.8 to 18.1, on 2.6.2
    Measured("2.6.5", 7, 38.25),        # 38.0 to 38.5
    Measured("2.6.5-aa1", 6, 11.9),     # 11.8 to 12.0, on 2.6.5-rc1-aa1
    Measured("2.6.5-aa1", 7, 22.0),
)


class Fit(NamedTuple):
    """What calibration found: the scalars, and what the model says for each measured figure."""

    time_unit: float
    process: float
    predicted: tuple[float, ...]


def calibrate(model: CostModel, measured: Sequence[Measured], counts: Sequence[Mapping[str, Any]]) -> Fit:
    """The two scalars with the least sum of squared relative errors, neither of them below 0.

    counts[i] are the counters at the end of the run that measured[i] describes.
    """
    work = [sum(model.raw(c).values()) for c in counts]
    forks = [float(c.get("forks", 0)) for c in counts]
    # rows of the problem: (work u + forks p) / seconds = 1
    a = [(w / m.seconds, f / m.seconds) for w, f, m in zip(work, forks, measured, strict=True)]
    uu, up, pp = (sum(x[i] * x[j] for x in a) for i, j in ((0, 0), (0, 1), (1, 1)))
    u, p = sum(x[0] for x in a), sum(x[1] for x in a)
    if uu == 0:
        raise CostError("the events of this table explain nothing of what was measured: none of them was counted")
    det = uu * pp - up * up
    unit, process = ((pp * u - up * p) / det, (uu * p - up * u) / det) if det > 1e-12 * uu * pp else (u / uu, 0.0)
    if process < 0:
        unit, process = u / uu, 0.0     # the nearest allowed point: a process cannot cost less than nothing
    elif unit <= 0:
        raise CostError("no time unit above 0 fits: the events of this table explain nothing of what was measured")
    return Fit(unit, process, tuple(w * unit + f * process for w, f in zip(work, forks, strict=True)))
