"""Traces as text: a header line `addr,task,op`, then one access a line. addr decimal or 0x..., op 0, 1, r or w."""

from __future__ import annotations

import numpy as np

from vmcore._fast.records import trace_t

HEADER = ["addr", "task", "op"]
_OPS = {"0": 0, "r": 0, "1": 1, "w": 1}


def read(path: str) -> np.ndarray:
    rows: list[tuple[int, int, int]] = []
    number = 0
    with open(path, "rb") as f:
        for number, raw in enumerate(f, 1):
            where = f"{path}:{number}"
            try:
                line = raw.decode("ascii").strip()
            except UnicodeDecodeError:
                raise ValueError(f"{where}: not a text file") from None
            fields = [field.strip() for field in line.split(",")]
            if number == 1:
                if fields != HEADER:
                    raise ValueError(f"{where}: the first line must be {','.join(HEADER)!r}, not {line[:60]!r}")
            elif line and not line.startswith("#"):
                rows.append(_row(fields, where, line))
    if number == 0:
        raise ValueError(f"{path}: empty; the first line must be {','.join(HEADER)!r}")
    out = np.zeros(len(rows), trace_t)
    if rows:
        for name, column in zip(HEADER, zip(*rows, strict=True), strict=True):
            out[name] = np.array(column, np.uint64)
    return out


def _row(fields: list[str], where: str, line: str) -> tuple[int, int, int]:
    if len(fields) != 3:
        raise ValueError(f"{where}: {len(fields)} fields where there must be 3: {line[:60]!r}")
    numbers = []
    for name, field, most in (("addr", fields[0], (1 << 64) - 1), ("task", fields[1], (1 << 32) - 1)):
        try:
            value = int(field, 16 if field[:2].lower() == "0x" else 10)
        except ValueError:
            raise ValueError(f"{where}: {name} must be a number, not {field[:40]!r}") from None
        if not 0 <= value <= most:
            raise ValueError(f"{where}: {name} must be in 0..{most}, not {field[:40]}")
        numbers.append(value)
    op = _OPS.get(fields[2].lower())
    if op is None:
        raise ValueError(f"{where}: op must be 0, 1, r or w, not {fields[2][:40]!r}")
    return numbers[0], numbers[1], op


def write(path: str, records: np.ndarray) -> None:
    with open(path, "w", encoding="ascii") as f:
        f.write(",".join(HEADER) + "\n")
        for addr, task, op in records[HEADER].tolist():
            f.write(f"{addr:#x},{task},{'w' if op else 'r'}\n")
