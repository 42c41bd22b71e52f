"""A machine as a file: save and load.

    offset  bytes
         0      8   magic
         8      4   n, length of the header (little endian)
        12      n   header, JSON: format, layout (sizes of all records), designs, kernel
      12+n      r   machine record (layout["machine_t"] bytes)
                    segments of the pools, in the order of Core.segments()
       end      4   CRC-32 of all before it

The state has no pointers and no host-dependent numbers: equal machines give equal files. A file that is truncated,
damaged, of another format or layout is refused before anything is built from it.
"""

from __future__ import annotations

import contextlib
import json
import os
from errno import EINVAL
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from vmcore._fast.engine import Engine

MAGIC = b"VMCORE\r\n"
FORMAT = 1
BLOCK = 4 << 20
MAX_HEADER = 1 << 20


def _create(part: str, name: str) -> BinaryIO:
    """`part`, which an error calls by the name that was given."""
    try:
        return open(part, "wb")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, name) from None


def save(engine: Engine, path: str | os.PathLike[str], meta: dict[str, Any]) -> None:
    """Write a machine. The file appears under its name when it is complete."""
    import zlib

    from vmcore._fast.engine import LAYOUT

    name = os.fsdecode(path)
    target = os.path.realpath(name)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(EINVAL, "a machine is saved to a regular file, and this is none", name)
    part = f"{target}.part"
    header = json.dumps({"format": FORMAT, "layout": LAYOUT, "designs": engine.designs, "meta": meta}).encode()

    def write() -> None:
        crc = 0
        with _create(part, name) as f:
            for piece in (MAGIC, len(header).to_bytes(4, "little"), header, engine.record()):
                crc = zlib.crc32(piece, crc)
                f.write(piece)
            for pool, first, end in engine.segments():
                memory = memoryview(engine.region(pool))
                for at in range(first, end, BLOCK):
                    block = memory[at : min(at + BLOCK, end)]
                    crc = zlib.crc32(block, crc)
                    f.write(block)
            f.write(crc.to_bytes(4, "little"))
        os.replace(part, target)

    try:
        engine.held(write)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise


def load(path: str | os.PathLike[str]) -> tuple[Engine, dict[str, Any]]:
    """A machine, and the meta of its save()."""
    from vmcore._fast.engine import LAYOUT, Engine
    from vmcore.kernels import CALLS, I_MMAP, RECLAIM, RMAP

    name = os.fsdecode(path)
    with open(name, "rb") as f:
        header = _header(f, name)
        if header.get("format") != FORMAT or header.get("layout") != LAYOUT:
            raise ValueError(f"{name}: saved by another version of vmcore, whose records differ")
        designs, meta = header.get("designs"), header.get("meta")
        if not isinstance(designs, list) or [type(d) for d in designs] != [str] * 4 or not isinstance(meta, dict):
            raise ValueError(f"{name}: its header is damaged")
        for design, known in zip(designs, (RMAP, I_MMAP, RECLAIM, CALLS), strict=True):
            if design not in known:
                raise ValueError(f"{name}: this vmcore has no design {design!r}; it has {', '.join(known)}")
        start = f.tell()
        size = _verify(f, name)
        f.seek(start)
        record = f.read(LAYOUT["machine_t"])
        try:
            engine = Engine.restore(tuple(designs), record)
            segments = engine.segments()
        except ValueError as e:
            raise ValueError(f"{name}: {e}") from None
        if start + len(record) + sum(end - first for _, first, end in segments) + 4 != size:
            raise ValueError(f"{name}: its length does not match its header")
        for pool, first, end in segments:
            memory = memoryview(engine.region(pool))
            for at in range(first, end, BLOCK):
                piece = memory[at : min(at + BLOCK, end)]
                if f.readinto(piece) != len(piece):
                    raise ValueError(f"{name}: truncated")
        engine.sealed()
    return engine, meta


def _header(f: BinaryIO, name: str) -> dict[str, Any]:
    head = f.read(12)
    if head[:8] != MAGIC or len(head) < 12:
        raise ValueError(f"{name}: not a machine saved by vmcore")
    n = int.from_bytes(head[8:], "little")
    raw = f.read(n) if n <= MAX_HEADER else b""
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{name}: its header is damaged")
    return header


def _verify(f: BinaryIO, name: str) -> int:
    """Compare the checksum at the end of the file; returns the file's size."""
    import zlib

    size = f.seek(0, os.SEEK_END)
    f.seek(0)
    crc = 0
    left = size - 4
    while left > 0:
        piece = f.read(min(BLOCK, left))
        if not piece:
            break
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
    if left != 0 or f.read(4) != crc.to_bytes(4, "little"):
        raise ValueError(f"{name}: truncated or damaged (its checksum does not match)")
    return size
