"""What a mistyped name may have meant, said the same way wherever a user writes one."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["hint", "near"]


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
