"""Text that fits where it is read: a terminal of some width, or a file, which is as wide as it gets (None).

Everything that the commands print goes through three functions. ``grid`` is a table of short cells; columns for which
there is no room go below the others, with the first column, which names the rows, once more. ``listing`` is rows whose
last column is text, which is folded under itself. ``prose`` is a sentence.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Sequence
from itertools import groupby

Width = int | None
GAP, GROUP_GAP = 2, 3       # spaces between columns, and between groups of them
LEAST = 20                  # columns that folded text gets, however narrow it all is


def terminal() -> Width:
    """Columns of the terminal that stdout is; None if it is a file or a pipe, unless COLUMNS says otherwise."""
    asked = os.environ.get("COLUMNS", "")
    if sys.stdout.isatty() or (asked.isdecimal() and int(asked) > 0):
        return shutil.get_terminal_size().columns
    return None


def grid(rows: Sequence[Sequence[str]], width: Width = None, *, left: Collection[int] = (0,),
         groups: Sequence[str] | None = None) -> list[str]:
    """Rows as lines, the columns ``left`` to the left and all others to the right. ``groups`` has the title of each
    column's group, "" for none; a group stays together if it has room of its own."""
    titles = list(groups) if groups is not None else [""] * len(rows[0])
    columns = [_column([row[i] for row in rows], i in left) for i in range(len(rows[0]))]
    label = columns[0]
    blocks: list[list[tuple[str, list[str]]]] = [[]]        # (title, lines) of the pieces side by side
    for piece in _pieces(columns, titles, None if width is None else width - len(label[0])):
        if blocks[-1] and width is not None and _length(label, [*blocks[-1], piece]) > width:
            blocks.append([])
        blocks[-1].append(piece)
    lines: list[str] = []
    for block in blocks:
        lines += [""] * bool(lines)
        if any(title for title, _ in block):
            lines.append((" " * len(label[0]) + "".join(_gap(title) + title.center(len(body[0])) for title, body in
                                                        block)).rstrip())
        lines += [(name + "".join(_gap(title) + body[i] for title, body in block)).rstrip()
                  for i, name in enumerate(label)]
    return lines


def _column(cells: Sequence[str], left: bool) -> list[str]:
    size = max(map(len, cells))
    return [cell.ljust(size) if left else cell.rjust(size) for cell in cells]


def _gap(title: str) -> str:
    return " " * (GROUP_GAP if title else GAP)


def _length(label: list[str], block: list[tuple[str, list[str]]]) -> int:
    return len(label[0]) + sum(len(_gap(title)) + len(body[0]) for title, body in block)


def _pieces(columns: list[list[str]], titles: list[str], room: Width) -> list[tuple[str, list[str]]]:
    """What is not taken apart: a column without a group; a group, or as many of its columns as there is room for."""
    pieces: list[tuple[str, list[str]]] = []
    for title, numbers in groupby(range(1, len(columns)), key=lambda i: titles[i] or i):
        parts: list[list[list[str]]] = [[]]
        for column in (columns[i] for i in numbers):
            together = [*parts[-1], column]
            if parts[-1] and room is not None and sum(GAP + len(c[0]) for c in together) - GAP + GROUP_GAP > room:
                parts.append([column])
            else:
                parts[-1] = together
        for part in parts:
            body = [(" " * GAP).join(cells) for cells in zip(*part, strict=True)]
            name = title if isinstance(title, str) else ""
            pieces.append((name, [line.rjust(len(name)) for line in body]))
    return pieces


def listing(rows: Sequence[Sequence[str]], width: Width = None, indent: str = "") -> list[str]:
    """Rows as lines, every column to the left, the last one folded under itself. Where it would be a thin strip it
    stands below its row instead."""
    first = len(rows[0]) - 1
    columns = [_column([row[i] for row in rows], True) for i in range(first)]
    heads = [indent + "".join(cell + "  " for cell in cells) for cells in zip(*columns, strict=True)] or \
        [indent] * len(rows)
    lines: list[str] = []
    for head, row in zip(heads, rows, strict=True):
        if width is None:
            lines.append((head + row[-1]).rstrip())
        elif width - len(head) >= min(2 * LEAST, max(map(len, (row[-1] for row in rows)), default=0)):
            lines += _folded(head, row[-1], width, " " * len(head))
        else:
            lines.append(head.rstrip())
            lines += _folded(indent + "    ", row[-1], width, indent + "    ")
    return lines


def prose(text: str, width: Width = None, indent: str = "  ") -> list[str]:
    """A sentence, the lines after the first one indented."""
    return [text] if width is None else _folded("", text, width, indent)


def _folded(head: str, text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, max(width, len(indent) + LEAST), initial_indent=head, subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False) or [head.rstrip()]
