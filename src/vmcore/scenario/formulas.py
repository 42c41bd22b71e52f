"""Numbers of a scenario that depend on each other: ``[parameters]``, and values such as ``"= n * (s + 1)"``.

A parameter can be set by its name (``--set n=100``), and a variant (``--set variant=T3``) sets several at once, as its
table ``[variants.T3]`` says; what is set by name wins.
"""

import ast
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from vmcore.words import hint

from .model import ScenarioError, apply_settings, check_depth

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
             ast.Div: operator.truediv}
SCALED = ("ram", "swap", "size", "slice")      # and the pages of windows: StepsScenario.scaled()
LONGEST = 1000              # characters of a formula
LARGEST = 1 << 64           # of its numbers


def settle(data: dict[str, Any], settings: Iterable[str], source: str) -> dict[str, Any]:
    """The data with settings and variant carried out and every formula replaced by its number."""
    parameters = data.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ScenarioError(f"{source}: parameters = {parameters!r}: a table of names and numbers is needed")
    settings = [f"parameters.{s}" if s.partition("=")[0].strip() in parameters else s for s in settings]
    variant, variants = data.get("variant", ""), data.get("variants", {})
    for setting in settings:
        key, _, value = setting.partition("=")
        if key.strip() == "variant":
            variant = value.strip().strip("\"'")
    if not isinstance(variants, dict):
        raise ScenarioError(f"{source}: variants = {variants!r}: a table of tables is needed")
    if not isinstance(variant, str):
        raise ScenarioError(f"{source}: variant = {variant!r}: a name is needed")
    if variant:
        if not isinstance(variants.get(variant), dict):
            raise ScenarioError(f"{source}: no variant {variant!r}{hint(variant, variants)}; "
                                f"there are: {', '.join(variants) or 'none'}")
        parameters.update(variants[variant])
    for setting in settings:
        table, _, name = setting.partition("=")[0].strip().partition(".")
        if table == "parameters" and name not in parameters:
            raise ScenarioError(f"{source}: no parameter {name!r}{hint(name, parameters)}; "
                                f"there are: {', '.join(parameters) or 'none'}")
    apply_settings(data, settings)
    check_depth(data, source)
    for name, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ScenarioError(f"{source}: parameters.{name} = {value!r}: a number or a word is needed")
    if parameters:
        data["sizes"] = sizes(data, parameters)
    return _replace(data, parameters, source)


def _replace(value: Any, parameters: Mapping[str, float], source: str) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, parameters, source) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, parameters, source) for item in value]
    if isinstance(value, str) and value.startswith("="):
        return evaluate(value[1:].strip(), parameters, source)
    return value


def sizes(data: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[str]:
    """The parameters that ``scale`` multiplies: those that stand in formulas of scaled values and in no other. Of two
    that are multiplied with each other none is one, because the value is scaled once; and none that divides."""
    used: set[str] = set()
    others: set[str] = set()
    products: list[tuple[set[str], set[str]]] = []

    def look(value: Any, scaled: bool) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                look(item, name in SCALED or (name == "pages" and "windows" in value))
        elif isinstance(value, list):
            for item in value:
                look(item, scaled)
        elif isinstance(value, str) and value.startswith("="):
            tree = _tree(value[1:])
            (used if scaled else others).update(_words(tree))
            for node in ast.walk(tree):
                if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div, ast.FloorDiv)):
                    products.append((_words(node.left), _words(node.right)))
                    others.update(() if isinstance(node.op, ast.Mult) else _words(node.right))

    for key, value in data.items():
        if key not in ("parameters", "variants"):
            look(value, key in SCALED)
    found = {name for name in used - others if isinstance(parameters.get(name), (int, float))}
    twice = [found & (left | right) for left, right in products if left & found and right & found]
    return [name for name in parameters if name in found.difference(*twice)]


def _tree(text: str) -> ast.AST:
    """What is no formula is an empty one; evaluate() complains of it."""
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _words(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def evaluate(text: str, names: Mapping[str, Any], source: str) -> Any:
    """The number that a formula of names, numbers, + - * / // and brackets has; a name alone may stand for a word."""
    try:
        if len(text) > LONGEST:
            raise ValueError(f"it has {len(text)} characters, at most {LONGEST} are allowed")
        body = ast.parse(text, mode="eval").body
        if isinstance(body, ast.Name) and isinstance(names.get(body.id), str):
            return names[body.id]
        value = _number(body, names)
        return int(value) if isinstance(value, float) and value.is_integer() else value     # a quarter of 8 is a count
    except (SyntaxError, ValueError, TypeError, OverflowError, ZeroDivisionError, RecursionError, MemoryError) as error:
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise ScenarioError(f'{source}: "= {shown}": {error}; a formula has numbers, + - * / // and the parameters '
                            f"{', '.join(names) or '(none here)'}") from None


def _number(node: ast.expr, names: Mapping[str, Any]) -> int | float:
    value: int | float
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        value = node.value
    elif isinstance(node, ast.Name):
        if node.id not in names:
            raise ValueError(f"no parameter {node.id!r}{hint(node.id, names)}")
        value = names[node.id]
        if isinstance(value, str):
            raise TypeError(f"{node.id} = {value!r} is a word, where the formula needs a number")
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        value = OPERATORS[type(node.op)](_number(node.left, names), _number(node.right, names))
    else:
        raise ValueError("not a formula")
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise ValueError("a number beyond 2**64")
    return value
