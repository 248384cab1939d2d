"""What a comparison of an expression means: kinds that go together, sizes with units, versions by their numbers."""

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final, Literal

import msgspec

Kind = Literal["size", "number", "text", "version", "texts"]
NAMES: Final[dict[str, Kind]] = {
    "id": "text",
    "owner": "text",
    "os": "text",
    "arch": "text",
    "cores": "number",
    "ram": "size",
    "disk": "size",
    "gpus": "texts",
    "labels": "texts",
    "runtimes": "texts",
    "version": "version",
    "confinement": "text",
    "speed": "number",
    "free_ram": "size",
    "free_disk": "size",
    "load": "number",
    "reliability": "number",
}
"""What can be asked of a node. Sizes are GiB; `load` and `reliability` are from 0 to 1; `speed` is Node.speed."""
_UNITS: Final = {"KiB": 2.0**-20, "MiB": 2.0**-10, "GiB": 1.0, "TiB": 2.0**10} | {
    "KB": 1e3 / 2**30,
    "MB": 1e6 / 2**30,
    "GB": 1e9 / 2**30,
    "TB": 1e12 / 2**30,
}
"""In GiB."""
ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
"""What each sign says of two values."""
_VERSION_DIGITS = 18
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
Facts = Mapping[str, Any]
"""A node's values, by name: see `NAMES`."""


class WrongExpression(Exception):
    """An expression that cannot be understood; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


class Operand(msgspec.Struct, frozen=True):
    """A name (`value` is its own) or a literal: `kind` is that of its value, `any` that of an empty list."""

    kind: str
    value: Any
    start: int
    end: int
    name: str = ""


def number(text: str, start: int, end: int) -> Operand:
    """A number as it is written, perhaps with a unit."""
    found = _QUANTITY.fullmatch(text)
    amount, unit = (found[1], found[2]) if found is not None else (text, "")
    if not unit:
        return Operand("number", float(amount), start, end)
    if unit not in _UNITS:
        close = difflib.get_close_matches(unit, _UNITS, 1, 0.3)
        more = f"; did you mean {close[0]}?" if close else f"; use one of {', '.join(_UNITS)}"
        raise WrongExpression(f"has an unknown unit {unit!r}{more}", start + 1)
    return Operand("size", float(amount) * _UNITS[unit], start, end)


def opposite(test: Callable[[Facts], bool]) -> Callable[[Facts], bool]:
    """The test that holds where this one does not."""
    return lambda facts: not test(facts)


def comparing(left: Operand, sign: str, right: Operand, column: int) -> Callable[[Facts], bool]:
    """The test of one comparison, once both sides are of kinds that go together."""
    if sign in ("in", "not in"):
        return _member(left, right, column, wanted=sign == "in")
    if left.kind == "texts" or right.kind == "texts":
        lists = {left.kind, right.kind} <= {"texts", "text list", "any list"}
        if sign not in ("==", "!=") or not lists:
            raise WrongExpression('compares a list; ask for one of it: "lab" in node.labels', column)
        return _test(_set_of(left), ORDER[sign], _set_of(right))
    kind = NAMES[left.name or right.name]
    if kind == "text" and sign not in ("==", "!="):
        raise WrongExpression(f"compares texts with {sign}; use == or !=", column)
    return _test(_as(left, kind), ORDER[sign], _as(right, kind))


def _member(left: Operand, right: Operand, column: int, *, wanted: bool) -> Callable[[Facts], bool]:
    if right.kind == "texts":
        if left.kind != "text":
            raise WrongExpression(f"looks for something else than a text in node.{right.name}", column)
        test = _test(_as(left, "text"), lambda one, many: one in many, _read(right))
    elif left.name and right.kind.endswith(" list") and left.kind != "texts":
        kind = NAMES[left.name]
        values = tuple(_value(_of_list(right, one), kind) for one in right.value)
        test = _test(_read(left, kind), lambda one, many: one in many, lambda facts: values)
    else:
        raise WrongExpression('needs a list on its right: "lab" in node.labels, or node.arch in ["x86_64"]', column)
    return test if wanted else opposite(test)


def _of_list(whole: Operand, value: Any) -> Operand:
    return Operand(whole.kind.removesuffix(" list"), value, whole.start, whole.end)


def _test(
    left: Callable[[Facts], Any], compare: Callable[[Any, Any], bool], right: Callable[[Facts], Any]
) -> Callable[[Facts], bool]:
    return lambda facts: bool(compare(left(facts), right(facts)))


def _set_of(operand: Operand) -> Callable[[Facts], Any]:
    if operand.name:
        return lambda facts: frozenset(facts[operand.name])
    fixed = frozenset(operand.value)
    return lambda facts: fixed


def _as(operand: Operand, kind: str) -> Callable[[Facts], Any]:
    if operand.name:
        if NAMES[operand.name] != kind:
            raise WrongExpression(f"compares node.{operand.name} with a {kind}", operand.start + 1)
        return _read(operand, kind)
    value = _value(operand, kind)
    return lambda facts: value


def _read(operand: Operand, kind: str = "") -> Callable[[Facts], Any]:
    name = operand.name
    if kind == "version":
        return lambda facts: _version(facts[name])
    return lambda facts: facts[name]


def _value(operand: Operand, kind: str) -> Any:
    """A literal as a value of the kind it is compared with."""
    value = operand.value
    if kind == "size" and operand.kind == "text" and (found := _QUANTITY.fullmatch(value)) is not None:
        value = number(found[1] + found[2], operand.start, operand.end).value
    elif kind in ("size", "number") and operand.kind not in ("number", kind):
        example = '"2GiB"' if kind == "size" else "2"
        raise WrongExpression(f"compares a {kind} with something else; write it as {example}", operand.start + 1)
    elif kind in ("text", "version") and operand.kind != "text":
        raise WrongExpression('compares a text with something else; put it in quotes: "…"', operand.start + 1)
    return _version(value) if kind == "version" else value


def _version(text: str) -> tuple[int, ...]:
    # A node may call its version anything: no more of a number is read than any version has.
    numbers = [int(found[0][:_VERSION_DIGITS]) for found in islice(re.finditer("[0-9]+", text), 4)]
    return tuple(numbers + [0] * (4 - len(numbers)))
