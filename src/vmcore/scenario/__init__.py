"""Scenarios: a machine and what is done on it, as TOML; the built-in ones; and the runner.

>>> from vmcore import scenario
>>> tiny = scenario.load("hundred-tasks", settings=["scale=0.01", "tasks=10"])
>>> result = scenario.run(tiny, "2.6.5-aa1")
"""

import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from vmcore.words import hint

from .forktree import ForkTreeScenario
from .formulas import settle
from .model import Scenario, ScenarioError, Size, convert, parse_toml, to_builtins
from .runner import CannotRun, Interrupted, Progress, Refused, Result, run
from .steps import StepsScenario
from .tasks import TasksScenario

__all__ = [
    "DEFAULT", "CannotRun", "ForkTreeScenario", "Interrupted", "Progress", "Refused", "Result", "Scenario",
    "ScenarioError", "Size", "StepsScenario", "TasksScenario", "builtin_names", "builtin_text", "from_builtins", "load",
    "loads", "run", "to_builtins",
]

DEFAULT = "hundred-tasks"
KINDS = TasksScenario | ForkTreeScenario | StepsScenario
_BUILTIN = resources.files(__name__) / "builtin"


def builtin_names() -> list[str]:
    """The names of the built-in scenarios, the default one first."""
    names = sorted(entry.name.removesuffix(".toml") for entry in _BUILTIN.iterdir() if entry.name.endswith(".toml"))
    return sorted(names, key=lambda name: name != DEFAULT)


def builtin_text(name: str) -> str:
    """The TOML of a built-in scenario, to be copied and edited."""
    if name not in builtin_names():
        raise ScenarioError(f"no built-in scenario {name!r}{hint(name, builtin_names())}; "
                            f"there are: {', '.join(builtin_names())}")
    return (_BUILTIN / f"{name}.toml").read_text(encoding="utf-8")


def loads(text: str, *, settings: Iterable[str] = (), source: str = "scenario") -> Scenario:
    """A scenario from TOML text, with ``key=value`` settings carried out, checked and scaled: ready to run."""
    data = parse_toml(text, source)
    settings = list(settings)
    data = settle(data, settings, source)
    if settings:
        source = f"{source} with --set {' '.join(settings)}"
    checked = convert(data, KINDS, source)
    try:
        return checked.scaled()
    except ValueError as error:
        raise ScenarioError(f"{source}: scaled by {checked.scale}: {error}") from None


def from_builtins(data: Mapping[str, Any]) -> Scenario:
    """What ``to_builtins`` gave, as it was: nothing is scaled again."""
    return convert(data, KINDS, "scenario")


def load(name: str | Path, *, settings: Iterable[str] = ()) -> Scenario:
    """A built-in scenario by its name, or one from the path of a TOML file."""
    if isinstance(name, str) and name in builtin_names():
        return loads(builtin_text(name), settings=settings, source=name)
    path = Path(name)
    if path.suffix != ".toml" and not os.path.exists(path):     # False for what can be no path, too
        raise ScenarioError(
            f"no scenario {str(name)!r}{hint(str(name), builtin_names())}: "
            f"it is neither built in ({', '.join(builtin_names())}) nor a TOML file")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except ValueError as error:         # a NUL in the path
        raise ScenarioError(f"{str(path)!r}: {error}") from None
    return loads(text, settings=settings, source=str(path))
