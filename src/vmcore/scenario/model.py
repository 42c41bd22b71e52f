"""What a scenario is: TOML to frozen structs, with errors that say what was given and what is allowed.

One struct holds what every workload has (the machine), and each workload adds its own (``tasks.py``, ``forktree.py``).
``workload = "..."`` in the file says which one it is. Nothing here knows the engine.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

import msgspec

from vmcore.words import UNITS, bytes_of, hint

PAGE_SIZE = 4096
DEEPEST = 20                # tables and lists in each other

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ScenarioError(ValueError):
    """A scenario that makes no sense: its file, a key, or a value."""


class Size(int):
    """A number of bytes; in TOML an integer, or a string such as ``"64K"`` or ``"1.5G"``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Size":
        if isinstance(value, str):
            number = bytes_of(value)
        else:
            number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if number is None:
            raise ValueError(f"{value!r} is no size: give bytes, or a number with K, M, G or T")
        if not 0 <= number < 1 << 62:
            raise ValueError(f"{value!r} is no size: it must be 0 or more, and below 4 EiB")
        return cls(number)

    def __str__(self) -> str:
        for unit in "TGM":
            if self >= UNITS[unit]:
                return f"{self / UNITS[unit]:.4g} {unit}iB"
        return f"{self / 1024:.4g} KiB"

    def times(self, factor: float) -> "Size":
        """Scaled, to whole pages; what is not 0 keeps one page at least."""
        if factor == 1 or self == 0:
            return self
        return Size(max(round(self * factor / PAGE_SIZE), 1) * PAGE_SIZE)


class SwapArea(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One swap area; those of higher priority fill first."""

    size: Size
    priority: Annotated[int, msgspec.Meta(ge=-1, le=32767)] = -1


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="workload"):
    """The machine, and the name: what every workload has."""

    name: str
    summary: str = ""
    raised: str = ""            # by whom and where: the mail
    shows: str = ""             # what can be seen
    look_at: tuple[str, ...] = ()       # and in which figures of the table: "GROUP: HEADING" (report/figures.py)
    ram: Size
    swap: tuple[SwapArea, ...] = ()
    arch: Literal["i386", "i386-pae", "x86_64"]
    scale: Annotated[float, msgspec.Meta(gt=0, le=64)] = 1.0
    tunables: dict[str, int | bool] = {}

    def scaled(self) -> Self:
        """The scenario that runs: every size times ``scale``, which stays as a record of what was done."""
        raise NotImplementedError

    def describe(self) -> str:
        """One line that says what runs, with the sizes that it has."""
        raise NotImplementedError

    def drive(self, run: Any) -> dict[str, Any]:
        """Do it all on ``run.machine`` (runner.py) and return the state to be reported."""
        raise NotImplementedError

    def plan(self, rules: Mapping[str, int]) -> Any:
        """What it needs at most, in counts (plan.py), on a machine with these rules."""
        raise NotImplementedError

    def _on_what(self) -> str:
        swap = Size(sum(area.size for area in self.swap))
        scaled = f", all sizes times {self.scale:g}" if self.scale != 1 else ""
        return f"{self.arch} with {self.ram} of RAM and {f'{swap} of' if swap else 'no'} swap{scaled}"

    def _scaled(self, **sizes: object) -> Self:
        swap = tuple(SwapArea(size=area.size.times(self.scale), priority=area.priority) for area in self.swap)
        return msgspec.structs.replace(self, ram=self.ram.times(self.scale), swap=swap, **sizes)


def require(condition: bool, message: str) -> None:
    """For ``__post_init__``: a relation between fields that a type cannot say."""
    if not condition:
        raise ValueError(message)


def _decode(kind: type, value: object) -> object:
    if kind is Size:
        return Size.parse(value)
    raise NotImplementedError(kind)


def to_builtins(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain data, for JSON; sizes are bytes."""
    return msgspec.to_builtins(scenario, enc_hook=int)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """The tables of a TOML text; ScenarioError names the source and the line."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:       # ValueError: an integer of thousands of digits, too
        raise ScenarioError(f"{source}: not valid TOML: {error}") from None
    check_depth(data, source)
    return data


def check_depth(value: Any, source: str) -> None:
    """What comes after works its way down by recursion."""
    level = [value]
    for _ in range(DEEPEST):
        level = [item for one in level if isinstance(one, (dict, list))
                 for item in (one.values() if isinstance(one, dict) else one)]
    if level:
        raise ScenarioError(f"{source}: its tables and lists are more than {DEEPEST} levels deep")


def apply_settings(data: dict[str, Any], settings: Iterable[str]) -> None:
    """Carry out ``key=value`` in order; a dotted key goes into a table. Values are TOML, or bare strings."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            raise ScenarioError(f"--set {setting}: give it as key=value, such as sweeps=3 or libraries.count=10")
        value = setting_value(text, f"--set {setting}")
        table = data
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ScenarioError(f"--set {setting}: {part!r} is a value, not a table of values")
        table[path[-1]] = value


def setting_value(text: str, said: str) -> Any:
    """A value of TOML, or a bare string; ``said`` is the option that gave it."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
    except (ValueError, RecursionError) as error:
        shown = said if len(said) <= 66 else said[:63] + "..."
        raise ScenarioError(f"{shown}: not a value of TOML: {error}") from None


def _normalise(data: dict[str, Any]) -> None:
    """A swap area may be written as its size alone, and one area without a list."""
    swap = data.get("swap")
    if isinstance(swap, (str, int)) and not isinstance(swap, bool):
        swap = [swap] if swap else []
    if isinstance(swap, list):
        data["swap"] = [area if isinstance(area, dict) else {"size": area} for area in swap]


def convert(data: Mapping[str, Any], kinds: Any, source: str) -> Scenario:
    """Plain data to the struct of its workload, checked and not scaled yet."""
    data = dict(data)
    check_depth(data, source)
    _normalise(data)
    try:
        return msgspec.convert(data, kinds, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{source}: {_explain(str(error), data, kinds)}") from None


def _explain(message: str, data: Mapping[str, Any], kinds: Any) -> str:
    """msgspec's message with the key as a user writes it, the value, and what is allowed there."""
    message, _, path = message.partition(" - at `$")
    where = path.rstrip("`").lstrip(".")
    field = re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", message)
    if field:
        key = f"{where}.{field[2]}" if where else field[2]
        if field[1] == "missing required":
            tags = _tags(data, kinds, key)
            return f"the key {key!r} is missing" + (f"; there are: {', '.join(tags)}" if tags else "")
        known = _keys(_type_at(data, kinds, where))
        if not where:
            known += sorted(data.get("parameters", {}))     # which --set takes for keys
        return f"unknown key {key!r}{hint(field[2], known)}" + (f"; known here: {', '.join(known)}" if known else "")
    tags = _tags(data, kinds, where)
    if tags:
        value = _value_at(data, where)
        what = "workload" if where == "workload" else f"{where}:"
        return f"unknown {what} {value!r}{hint(str(value), tags)}; there are: {', '.join(tags)}"
    choices = getattr(_type_at(data, kinds, where), "__args__", ())
    if message.startswith("Invalid enum value") and choices:
        given = str(_value_at(data, where))
        message = "one of " + ", ".join(map(repr, choices)) + " is needed" + hint(given, map(str, choices))
    for name, words in (("object", "a table"), ("array", "a list"), ("str", "a string"), ("int", "an integer"),
                        ("float", "a number"), ("bool | int", "an integer or a boolean")):
        message = message.replace(f"`{name}`", words)
    value = _value_at(data, where)
    return (f"{where} = {value!r}: " if where else "") + re.sub("^(Expected|Invalid)", lambda m: m[0].lower(), message)


def _parts(where: str) -> list[str]:
    """``swap[1].size`` as swap, 1, size; ``[...]``, msgspec's word for some key of a dict, ends it."""
    return re.findall(r"[^.\[\]]+", where.partition("[...]")[0])


def _value_at(data: Any, where: str) -> Any:
    for part in _parts(where):
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data


def _type_at(data: Mapping[str, Any], kinds: Any, where: str) -> Any:
    """The type of a key, None if it has none."""
    found: Any = next((kind for kind in kinds.__args__ if kind.__struct_config__.tag == data.get("workload")), None)
    value: Any = data
    for part in _parts(where):
        if part.isdigit():
            found = found.__args__[0]           # tuple[SwapArea, ...]
            value = value[int(part)]
            kinds_here = [kind for kind in getattr(found, "__args__", ()) if _is_struct(kind)]
            if kinds_here:                      # one of several kinds of step, by its tag
                tag = value.get("do") if isinstance(value, dict) else None
                found = next((kind for kind in kinds_here if kind.__struct_config__.tag == tag), None)
        elif not _is_struct(found):
            return None
        else:
            found = {field.name: field.type for field in msgspec.structs.fields(found)}.get(part)
            value = value.get(part) if isinstance(value, dict) else None
    return found


def _tags(data: Mapping[str, Any], kinds: Any, where: str) -> list[str]:
    """What the word at ``where`` chooses from, if it is the one that says which struct a table is."""
    above, _, key = where.rpartition(".")
    found = kinds.__args__ if not above else []
    if above.endswith("]"):         # an item of a list, of one of several kinds
        several = _type_at(data, kinds, above.rpartition("[")[0])
        found = getattr(getattr(several, "__args__", (None,))[0], "__args__", ())
    return [str(kind.__struct_config__.tag) for kind in found if _is_struct(kind)
            and kind.__struct_config__.tag_field == key]


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _keys(kind: Any) -> list[str]:
    if not _is_struct(kind):
        return []
    own = [field.name for field in msgspec.structs.fields(kind) if field.name != "sizes"]      # which nobody gives
    tag = kind.__struct_config__.tag_field
    return sorted([*own, tag] if tag else own)
