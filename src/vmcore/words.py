"""Words of a user, read and answered the same way wherever they are written: sizes, and names that are mistyped."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["UNITS", "bytes_of", "hint", "near"]

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)


def bytes_of(text: str) -> int | None:
    """Of a size such as "16G", "1.5 GiB" or "4096", rounded down to whole bytes; None if it is none."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    digits = match[2] or ""
    return int(match[1] + digits) * UNITS[match[3].upper()] // 10 ** len(digits)


def near(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a word, None if there is none like it: other letter case, a few letters wrong,
    or a part of one name alone."""
    from difflib import get_close_matches  # only a mistake needs it

    names = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), names, 1)
    if close:
        return names[close[0]]
    holding = [name for name in names if len(word) > 1 and word.lower() in name]
    return names[holding[0]] if len(holding) == 1 else None


def hint(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'NAME'?)``, or nothing."""
    found = near(word, known)
    return f" (did you mean {found!r}?)" if found is not None else ""
