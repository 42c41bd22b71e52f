"""argparse with help that fits the terminal, and a hint at what a mistyped word may have meant."""

import argparse
import re
from collections.abc import Callable
from itertools import groupby
from typing import Any, NoReturn

from vmcore.report import layout
from vmcore.words import hint


class Formatter(argparse.HelpFormatter):
    """Paragraphs are folded; indented lines are examples: a command, two spaces, what it does."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = layout.terminal()
        super().__init__(prog, max_help_position=32, width=None if width is None else max(width - 2, 40), **options)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if action.nargs == argparse.PARSER:         # commands stand further in than what argparse makes room for
            self._action_max_length += self._indent_increment

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for kind, found in groupby(text.strip("\n").splitlines(), lambda line: (bool(line.strip()), line[:1] == " ")):
            block = list(found)
            if kind == (True, True):
                lines += layout.listing([re.split(r"  +", line.strip(), maxsplit=1) for line in block], width, "  ")
            elif kind[0]:
                lines += layout.prose(" ".join(block), width, "")
            else:
                lines.append("")
        return "\n".join(lines)


class Parser(argparse.ArgumentParser):
    """A parser whose errors say what is near to what was given. ``meant``: what else a word says that is no choice."""

    meant: Callable[[str], str | None] = staticmethod(lambda word: None)

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, **options)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            meant = self.meant(str(value))
            said = hint(str(value), known) if meant is None else f" (did you mean {meant!r}?)"
            raise argparse.ArgumentError(action, f"invalid choice {value!r}{said}; there are: {', '.join(known)}")

    def refuse(self, words: list[str]) -> NoReturn:
        """Words that nothing takes: an option of another name, or one argument too many."""
        known = self._option_string_actions
        said = [word + hint(word.partition("=")[0], known) if word[:1] == "-" else word for word in words]
        self.error(f"unrecognized arguments: {' '.join(said)}")
