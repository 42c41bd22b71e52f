"""Progress bars on a terminal, a line for each kernel that runs; nothing anywhere else."""

import shutil
import sys
from time import monotonic
from typing import TextIO


class ProgressBar:
    """The lines of a comparison, drawn ten times a second at most."""

    def __init__(self, names: list[str], stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.on = self.stream.isatty()
        self.shares = dict.fromkeys(names, 0.0)
        self.labels: dict[str, str] = {}        # of those that run
        self.begin = monotonic()
        self.drawn = 0.0
        self.lines = 0                          # on the screen now

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
        done = sum(share == 1.0 for share in self.shares.values())
        left = max(map(len, self.labels), default=0)
        lines = []
        for name, label in self.labels.items():
            tail = f" {self.shares[name]:4.0%} {label}"
            room = min(width - left - 30, 40)
            bar = f" [{('#' * round(room * self.shares[name])).ljust(room)}]" if room >= 8 else ""
            lines.append((name.ljust(left) + bar + tail)[:width])
        if len(self.shares) > 1 and lines:
            lines[-1] = (lines[-1] + f"   {done} of {len(self.shares)} done, {self.drawn - self.begin:.1f} s")[:width]
        self.erase()
        self.stream.write("\n".join(lines))
        self.stream.flush()
        self.lines = len(lines)

    def erase(self) -> None:
        """The cursor to where the first line began, and everything below gone."""
        up = f"\033[{self.lines - 1}A" if self.lines > 1 else ""
        self.stream.write(f"\r{up}\033[J")
        self.lines = 0

    def clear(self) -> None:
        """Leave an empty line behind."""
        if self.on and self.drawn:
            self.erase()
            self.stream.flush()
