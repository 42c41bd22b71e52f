"""The targets: ratios that the engine keeps, measured in one run at full size."""

from typing import NamedTuple


class Target(NamedTuple):
    """A bound on the ratio of a row: at most so much; at least, where the row gives a rate (peer / ours)."""

    engine: float | None = None
    speed: float | None = None
    label: str | None = None    # where it is not the id


TARGETS = {
    "P1": Target(0.75, 0.60),
    "P2": Target(None, 2.0),
    "P3": Target(None, 2.5),
    "P4": Target(4, 2),
    "P5": Target(12, 8),
    "P6": Target(8, 4.5),
    "P7": Target(3, 4),
    "P8": Target(None, 6),
    "P9": Target(None, 1.3),
    "P10": Target(1, None),
    "P10 speed": Target(None, 1, label="P10"),
    "P11": Target(1, 0.5),
    "P11 trees": Target(2, None, label="P11"),
    "P12": Target(5, None),
    "P13": Target(None, 0.3),
    "P14": Target(1.3, None),
    "P15": Target(None, 0.65),
    "help": Target(None, 1, label="CLI"),
    "one touch": Target(None, 1, label="py"),
    "batch": Target(None, 1.2, label="py"),
    "outside": Target(0.05, None, label="CLI"),
}
