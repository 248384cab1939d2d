"""What a task says of the node it wants, beyond its other requirements: `node.ram >= "2GiB" and "lab" in node.labels`.

    expression = or        or = and ("or" and)*       and = not ("and" not)*      not = "not" not | comparison
    comparison = operand [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") operand]  |  "(" or ")"
    operand = node.NAME | number with or without a unit | "text" | 'text' | [operand, …]

There are no calls, and no names but those of `NAMES`. Every expression ends after as many steps as it has parts.
"""

import difflib
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import msgspec

from anchor.core.comparison import NAMES, ORDER, Facts, Operand, WrongExpression, comparing, number, opposite

LENGTH_MAX = 1000
DEPTH_MAX = 20
"""Parentheses, `not` and lists inside each other."""
PARTS_MAX = 200
"""Names, values and operators."""
PARSED_KEPT = 1024
"""Expressions kept parsed; one of the longest takes 60 KB."""

LIVE: Final = frozenset({"speed", "free_ram", "free_disk", "load", "reliability"})
"""Names whose values change while a node is connected."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?P<unit>[A-Za-z]*)|(?P<text>"[^"]*"|'[^']*')|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"""
    r"""|(?P<sign><=|>=|==|!=|<|>|\(|\)|\[|\]|,)|(?P<end>$))"""
)


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
            return _Part(self._since(start), inner.names, opposite(inner.test))
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
        elif self._take(*ORDER, "in"):
            word = sign.text
        else:
            raise self._unexpected("a comparison (==, !=, <, <=, >, >=, in, not in)")
        right = self._operand()
        names = tuple(operand.name for operand in (left, right) if operand.name)
        if not names:
            wrong = "compares two values of its own; name one of the node's, as in node.ram"
            raise WrongExpression(wrong, left.start + 1)
        return _Part(self._since(left.start), names, comparing(left, word, right, sign.start + 1))

    def _operand(self) -> Operand:
        token = self._next
        if token.kind == "sign" and token.text == "[":
            return self._list()
        self._at += 1
        match token.kind:
            case "number":
                return number(token.text, token.start, token.end)
            case "text":
                return Operand("text", token.text[1:-1], token.start, token.end)
            case "name" if token.text.startswith("node."):
                name = token.text.removeprefix("node.")
                if name not in NAMES:
                    raise WrongExpression(f"asks for node.{name}, which there is not{_meant(name)}", token.start + 1)
                return Operand(NAMES[name], None, token.start, token.end, name)
            case "name" if token.text in NAMES:
                raise WrongExpression(f"has a name {token.text}; did you mean node.{token.text}?", token.start + 1)
        self._at -= 1
        raise self._unexpected("node.NAME or a value")

    def _list(self) -> Operand:
        start = self._next.start
        self._at += 1
        self._deeper()
        values: list[Operand] = []
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
        return Operand(kind, tuple(one.value for one in values), start, self._tokens[self._at - 1].end)


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, NAMES, 1, 0.5)
    return f"; did you mean node.{close[0]}?" if close else f"; there are {', '.join(NAMES)}"


def _all(tests: tuple[Callable[[Facts], bool], ...]) -> Callable[[Facts], bool]:
    return lambda facts: all(test(facts) for test in tests)


def _any(tests: tuple[Callable[[Facts], bool], ...]) -> Callable[[Facts], bool]:
    return lambda facts: any(test(facts) for test in tests)
