"""Benchmarks: what the engine's hot paths cost beside a limit or a peer, measured side by side in one run.

`python -m bench` measures and prints the table of ratios and targets. BENCH_SCALE=0.1 makes every size a tenth; the
targets hold at 1, where tables are larger than the caches.
"""

import os

__all__ = ["SCALE", "scaled"]


def _scale() -> float:
    text = os.environ.get("BENCH_SCALE", "1")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1:
        raise SystemExit(f"BENCH_SCALE must be a number from 0.01 to 1, not {text!r}")
    return value


SCALE = _scale()


def scaled(pages: int) -> int:
    """So many pages at this scale."""
    return max(round(pages * SCALE), 1)
