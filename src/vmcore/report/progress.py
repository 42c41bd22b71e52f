"""A progress bar on a terminal; nothing anywhere else."""

import shutil
import sys
from time import monotonic
from typing import TextIO


class ProgressBar:
    """One line for all kernels of a comparison, drawn ten times a second at most."""

    def __init__(self, names: list[str], stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.on = self.stream.isatty()
        self.shares = dict.fromkeys(names, 0.0)
        self.labels: dict[str, str] = {}
        self.begin = monotonic()
        self.drawn = 0.0

    def update(self, name: str, label: str, share: float) -> None:
        """Kernel ``name`` does ``label``, and ``share`` of its work is done."""
        self.shares[name] = share
        self.labels[name] = label
        if self.on and monotonic() - self.drawn >= 0.1:
            self.draw()

    def finish(self, name: str) -> None:
        """Kernel ``name`` is done."""
        self.shares[name] = 1.0
        self.labels.pop(name, None)

    def draw(self) -> None:
        self.drawn = monotonic()
        width = shutil.get_terminal_size().columns - 1
        share = sum(self.shares.values()) / len(self.shares)
        doing = ", ".join(f"{name} {label}" for name, label in self.labels.items())
        tail = f" {share:4.0%} {self.drawn - self.begin:6.1f} s"
        room = max(min(width - len(doing) - len(tail) - 3, 40), 0)
        bar = f" [{('#' * round(room * share)).ljust(room)}]" if room >= 8 else ""
        self.stream.write("\r\033[K" + (doing + bar + tail)[:width])
        self.stream.flush()

    def clear(self) -> None:
        """Leave an empty line behind."""
        if self.on and self.drawn:
            self.stream.write("\r\033[K")
            self.stream.flush()
