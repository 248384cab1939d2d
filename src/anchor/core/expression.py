"""What a task says of the node it wants, beyond its other requirements: `node.ram >= "2GiB" and "lab" in node.labels`.

    expression = or        or = and ("or" and)*       and = not ("and" not)*      not = "not" not | comparison
    comparison = operand [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") operand]  |  "(" or ")"
    operand = node.NAME | number with or without a unit | "text" | 'text' | [operand, …]

There are no calls, and no names but those of `NAMES`. Every expression ends after as many steps as it has parts.
"""

import difflib
import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal

import msgspec

LENGTH_MAX = 1000
DEPTH_MAX = 20
"""Parentheses, `not` and lists inside each other."""
PARTS_MAX = 200
"""Names, values and operators."""
PARSED_KEPT = 1024
"""Expressions kept parsed; one of the longest takes 60 KB."""

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
LIVE: Final = frozenset({"speed", "free_ram", "free_disk", "load", "reliability"})
"""Names whose values change while a node is connected."""
_UNITS: Final = {"KiB": 2.0**-20, "MiB": 2.0**-10, "GiB": 1.0, "TiB": 2.0**10} | {
    "KB": 1e3 / 2**30,
    "MB": 1e6 / 2**30,
    "GB": 1e9 / 2**30,
    "TB": 1e12 / 2**30,
}
"""In GiB."""
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?P<unit>[A-Za-z]*)|(?P<text>"[^"]*"|'[^']*')|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"""
    r"""|(?P<sign><=|>=|==|!=|<|>|\(|\)|\[|\]|,)|(?P<end>$))"""
)
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


class _Part(msgspec.Struct, frozen=True):
    """A part of an expression: `test` says whether it holds; `names` are those in it, and `text` is as written."""

    text: str
    names: tuple[str, ...]
    test: Callable[[Facts], bool]
    kind: Literal["and", "or", "leaf"] = "leaf"
    parts: tuple["_Part", ...] = ()


class Expression(msgspec.Struct, frozen=True):
    """A parsed expression. `is_live` where its answer may change while a node stays connected."""

    root: _Part
    is_live: bool

    def holds(self, facts: Facts) -> bool:
        """Whether a node with these values meets it."""
        return self.root.test(facts)

    def failing(self, facts: Facts) -> list[str]:
        """The parts that are not met, as written, each with the values it looked at; empty where it holds."""
        return [f"{part.text} ({_values(part.names, facts)})" for part in _failing(self.root, facts)]


def _failing(part: _Part, facts: Facts) -> list[_Part]:
    if part.test(facts):
        return []
    if part.kind == "and":
        return [deeper for one in part.parts for deeper in _failing(one, facts)]
    return [part]


def _values(names: tuple[str, ...], facts: Facts) -> str:
    return ", ".join(f"{name} is {shown(name, facts[name])}" for name in dict.fromkeys(names))


def shown(name: str, value: Any) -> str:
    """A node's value as a person reads it."""
    if NAMES[name] == "size":
        return f"{value:g} GiB"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(sorted(map(str, value))) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


@functools.lru_cache(maxsize=PARSED_KEPT)
def parse(text: str) -> Expression:
    """The expression behind a text; WrongExpression where it is none."""
    if len(text) > LENGTH_MAX:
        raise WrongExpression(f"is longer than {LENGTH_MAX} characters; shorten it", LENGTH_MAX + 1)
    root = _Reader(text).whole()
    return Expression(root, not LIVE.isdisjoint(root.names))


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    start: int
    end: int


class _Operand(msgspec.Struct, frozen=True):
    """A name (`value` is its own) or a literal: `kind` is that of its value, `any` that of an empty list."""

    kind: str
    value: Any
    start: int
    end: int
    name: str = ""


class _Reader:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0
        self._depth = 0

    def _split(self) -> Iterator[_Token]:
        at, count = 0, 0
        while True:
            found = _TOKEN.match(self._text, at)
            if found is None:
                start = at + len(self._text[at:]) - len(self._text[at:].lstrip())
                letter = self._text[start]
                more = "; a text ends with the quote it began with" if letter in "\"'" else ""
                more = "; write == to compare" if letter == "=" else more
                raise WrongExpression(f"has an unexpected {letter!r}{more}", start + 1)
            kind = str(found.lastgroup)
            kind = "number" if kind == "unit" else kind
            start = found.start("number") if kind == "number" else found.start(kind)
            yield _Token(kind, self._text[start : found.end()], start, found.end())
            if kind == "end":
                return
            at, count = found.end(), count + 1
            if count > 2 * PARTS_MAX:
                raise WrongExpression(f"has more than {2 * PARTS_MAX} parts; shorten it", start + 1)

    def whole(self) -> _Part:
        if self._next.kind == "end":
            raise WrongExpression("is empty; leave it out", 1)
        part = self._or()
        if self._next.kind != "end":
            raise self._unexpected("`and`, `or` or the end")
        return part

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> bool:
        if self._next.text in texts and self._next.kind in ("name", "sign"):
            self._at += 1
            return True
        return False

    def _unexpected(self, wanted: str) -> WrongExpression:
        found = f"{self._next.text!r}" if self._next.kind != "end" else "the end"
        return WrongExpression(f"has {found} where {wanted} was expected", self._next.start + 1)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise WrongExpression(f"is nested more than {DEPTH_MAX} deep; simplify it", self._next.start + 1)

    def _or(self) -> _Part:
        return self._chain("or", self._and)

    def _and(self) -> _Part:
        return self._chain("and", self._not)

    def _chain(self, word: Literal["and", "or"], below: Callable[[], _Part]) -> _Part:
        start = self._next.start
        parts = [below()]
        while self._take(word):
            parts.append(below())
        if len(parts) == 1:
            return parts[0]
        tests = tuple(part.test for part in parts)
        names = tuple(name for part in parts for name in part.names)
        test = _all(tests) if word == "and" else _any(tests)
        return _Part(self._since(start), names, test, word, tuple(parts))

    def _since(self, start: int) -> str:
        return self._text[start : self._tokens[self._at - 1].end]

    def _not(self) -> _Part:
        start = self._next.start
        if self._take("not"):
            self._deeper()
            inner = self._not()
            self._depth -= 1
            return _Part(self._since(start), inner.names, _opposite(inner.test))
        if self._take("("):
            self._deeper()
            part = self._or()
            self._depth -= 1
            if not self._take(")"):
                raise self._unexpected("`)`")
            return msgspec.structs.replace(part, text=self._since(start))
        return self._comparison()

    def _comparison(self) -> _Part:
        left = self._operand()
        sign = self._next
        if self._take("not"):
            if not self._take("in"):
                raise self._unexpected("`in`")
            word = "not in"
        elif self._take(*_ORDER, "in"):
            word = sign.text
        else:
            raise self._unexpected("a comparison (==, !=, <, <=, >, >=, in, not in)")
        right = self._operand()
        names = tuple(operand.name for operand in (left, right) if operand.name)
        if not names:
            wrong = "compares two values of its own; name one of the node's, as in node.ram"
            raise WrongExpression(wrong, left.start + 1)
        return _Part(self._since(left.start), names, _comparing(left, word, right, sign.start + 1))

    def _operand(self) -> _Operand:
        token = self._next
        if token.kind == "sign" and token.text == "[":
            return self._list()
        self._at += 1
        match token.kind:
            case "number":
                return _number(token)
            case "text":
                return _Operand("text", token.text[1:-1], token.start, token.end)
            case "name" if token.text.startswith("node."):
                name = token.text.removeprefix("node.")
                if name not in NAMES:
                    raise WrongExpression(f"asks for node.{name}, which there is not{_meant(name)}", token.start + 1)
                return _Operand(NAMES[name], None, token.start, token.end, name)
            case "name" if token.text in NAMES:
                raise WrongExpression(f"has a name {token.text}; did you mean node.{token.text}?", token.start + 1)
        self._at -= 1
        raise self._unexpected("node.NAME or a value")

    def _list(self) -> _Operand:
        start = self._next.start
        self._at += 1
        self._deeper()
        values: list[_Operand] = []
        while not self._take("]"):
            if values and not self._take(","):
                raise self._unexpected("`,` or `]`")
            one = self._operand()
            if one.name or isinstance(one.value, tuple):
                raise WrongExpression("has a list of something else than texts or numbers", one.start + 1)
            if values and one.kind != values[0].kind:
                raise WrongExpression("mixes kinds in one list", one.start + 1)
            values.append(one)
        self._depth -= 1
        kind = f"{values[0].kind} list" if values else "any list"
        return _Operand(kind, tuple(one.value for one in values), start, self._tokens[self._at - 1].end)


def _number(token: _Token) -> _Operand:
    found = _QUANTITY.fullmatch(token.text)
    amount, unit = (found[1], found[2]) if found is not None else (token.text, "")
    if not unit:
        return _Operand("number", float(amount), token.start, token.end)
    if unit not in _UNITS:
        close = difflib.get_close_matches(unit, _UNITS, 1, 0.3)
        more = f"; did you mean {close[0]}?" if close else f"; use one of {', '.join(_UNITS)}"
        raise WrongExpression(f"has an unknown unit {unit!r}{more}", token.start + 1)
    return _Operand("size", float(amount) * _UNITS[unit], token.start, token.end)


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, NAMES, 1, 0.5)
    return f"; did you mean node.{close[0]}?" if close else f"; there are {', '.join(NAMES)}"


def _all(tests: tuple[Callable[[Facts], bool], ...]) -> Callable[[Facts], bool]:
    return lambda facts: all(test(facts) for test in tests)


def _any(tests: tuple[Callable[[Facts], bool], ...]) -> Callable[[Facts], bool]:
    return lambda facts: any(test(facts) for test in tests)


def _opposite(test: Callable[[Facts], bool]) -> Callable[[Facts], bool]:
    return lambda facts: not test(facts)


def _comparing(left: _Operand, sign: str, right: _Operand, column: int) -> Callable[[Facts], bool]:
    """The test of one comparison, once both sides are of kinds that go together."""
    if sign in ("in", "not in"):
        return _member(left, right, column, wanted=sign == "in")
    if left.kind == "texts" or right.kind == "texts":
        lists = {left.kind, right.kind} <= {"texts", "text list", "any list"}
        if sign not in ("==", "!=") or not lists:
            raise WrongExpression('compares a list; ask for one of it: "lab" in node.labels', column)
        return _test(_set_of(left), _ORDER[sign], _set_of(right))
    kind = NAMES[left.name or right.name]
    if kind == "text" and sign not in ("==", "!="):
        raise WrongExpression(f"compares texts with {sign}; use == or !=", column)
    return _test(_as(left, kind), _ORDER[sign], _as(right, kind))


def _member(left: _Operand, right: _Operand, column: int, *, wanted: bool) -> Callable[[Facts], bool]:
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
    return test if wanted else _opposite(test)


def _of_list(whole: _Operand, value: Any) -> _Operand:
    return _Operand(whole.kind.removesuffix(" list"), value, whole.start, whole.end)


def _test(
    left: Callable[[Facts], Any], compare: Callable[[Any, Any], bool], right: Callable[[Facts], Any]
) -> Callable[[Facts], bool]:
    return lambda facts: bool(compare(left(facts), right(facts)))


def _set_of(operand: _Operand) -> Callable[[Facts], Any]:
    if operand.name:
        return lambda facts: frozenset(facts[operand.name])
    fixed = frozenset(operand.value)
    return lambda facts: fixed


def _as(operand: _Operand, kind: str) -> Callable[[Facts], Any]:
    if operand.name:
        if NAMES[operand.name] != kind:
            raise WrongExpression(f"compares node.{operand.name} with a {kind}", operand.start + 1)
        return _read(operand, kind)
    value = _value(operand, kind)
    return lambda facts: value


def _read(operand: _Operand, kind: str = "") -> Callable[[Facts], Any]:
    name = operand.name
    if kind == "version":
        return lambda facts: _version(facts[name])
    return lambda facts: facts[name]


def _value(operand: _Operand, kind: str) -> Any:
    """A literal as a value of the kind it is compared with."""
    value = operand.value
    if kind == "size" and operand.kind == "text" and (found := _QUANTITY.fullmatch(value)) is not None:
        token = _Token("number", found[1] + found[2], operand.start, operand.end)
        value = _number(token).value
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
