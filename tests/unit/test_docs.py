"""What README and docs show: Python runs as it stands there, scenarios load, commands are understood."""
from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import vmcore
from vmcore import intervals, scenario
from vmcore.cli import parser

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def blocks(language: str) -> list[Any]:
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)):
            found.append(pytest.param(text, id=f"{page.name}-{number}"))
    return found


def commands() -> list[str]:
    """Lines of plain blocks, and of the text, that call vmcore."""
    text = "\n".join(page.read_text() for page in PAGES)
    lines = re.findall(r"^(vmcore [a-z].*)$", "\n".join(re.findall(r"^```\n(.*?)^```", text, re.M | re.S)), re.M)
    lines += re.findall(r"`(vmcore [a-z][^`]*)`", text.replace("\n", " "))
    return sorted({re.split(r"  +", line)[0].strip() for line in lines})


@pytest.mark.parametrize("page", [p for p in PAGES if "```python" in p.read_text()], ids=lambda page: page.name)
def test_python(page: Path) -> None:
    """One block after the other, as a reader would."""
    seen: dict[str, Any] = {"__name__": "docs"}
    for text in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
        exec(compile(text, page.name, "exec"), seen)


@pytest.mark.parametrize("text", blocks("toml"))
def test_scenarios(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert scenario.load(str(path)).summary


@pytest.mark.parametrize("line", commands())
def test_commands(line: str) -> None:
    words = shlex.split(line)[1:]
    if any(word.isupper() for word in words) or words[0] == "--help":
        words = [words[0], "--help"]        # a pattern, not a command
    try:
        parser(words).parse_args(words)
    except SystemExit as ended:
        assert ended.code == 0, line


CLASSES = (vmcore.Machine, vmcore.Task, vmcore.File, vmcore.Kernel,
           *(getattr(intervals, name) for name in intervals.__all__))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_public_name_has_a_docstring(kind: type) -> None:
    assert kind.__doc__
    fields = getattr(kind, "__dataclass_fields__", {})
    named = {name: inspect.getdoc(getattr(kind, name)) for name in dir(kind) if name[0] != "_" and name not in fields}
    assert [name for name, text in named.items() if not text] == []


def test_the_reference_shows_them() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for kind in CLASSES:
        where = "vmcore.intervals." if kind.__name__ in intervals.__all__ else "vmcore."
        assert f"autoclass:: {where}{kind.__name__}" in page
