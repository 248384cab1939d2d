"""YAML as JSON values: only what JSON can say, bounded, and with the line and column of every place.

Words are read as YAML 1.2's core schema has it (`yes`, `no` and `on` are texts, dates are texts). Anchors, aliases and
merge keys work; a file whose aliases make it grow beyond all bounds is refused before it grows.
"""

import math
import re
from typing import Any, Final

import yaml

from anchor.core.errors import InvalidRequest

DEPTH_MAX = 100
DIGITS_MAX = 300
VALUES_MAX = 5_000_000
"""Values once all aliases are written out; of a text every TEXT_VALUE characters count as one more."""
TEXT_VALUE = 64
HINT = "A graph is plain YAML or JSON; docs/graphs.md has examples."
_YAML = "tag:yaml.org,2002:"
_TEXT = f"{_YAML}str"
_MERGE = f"{_YAML}merge"
_SCALARS = frozenset(
    f"{_YAML}{word}" for word in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)
_COLLECTIONS = frozenset((f"{_YAML}map", f"{_YAML}seq"))
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Places:
    """Where the values of a document are in its text."""

    def __init__(self, root: yaml.Node | None, text: str = "") -> None:
        self._root = root
        self._text = text

    @classmethod
    def found_late(cls, text: str) -> "Places":
        """Places that are looked for once somebody asks."""
        return cls(None, text)

    def of(self, pointer: str) -> tuple[int, int] | None:
        """Line and column (from 1) of the value at a JSON pointer, or of the nearest one around it."""
        if self._root is None and self._text:
            try:
                self._root = _composed("", self._text)
            except InvalidRequest:
                self._text = ""
        if self._root is None:
            return None
        node = self._root
        for token in pointer.split("/")[1:]:
            found = _child(node, token.replace("~1", "/").replace("~0", "~"))
            if found is None:
                break
            node = found
        return node.start_mark.line + 1, node.start_mark.column + 1


def read(name: str, text: str, *, values_max: int = VALUES_MAX) -> tuple[Any, Places]:
    """The one document in a text, and its places; InvalidRequest with line and column where it is none."""
    root = _composed(name, text)
    _refuse_growth(name, root, values_max)
    return _value(name, root), Places(root)


def _composed(name: str, text: str) -> yaml.Node:
    try:
        _refuse_depth(name, text)
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise InvalidRequest(f"{name}{where}: {what}.", hint=HINT) from error
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="replace")
        where = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        raise InvalidRequest(f"{name}, {where}: {error.reason}.", hint=HINT) from error
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{name} is not YAML: {str(error).splitlines()[0]}.", hint=HINT) from error
    if root is None:
        raise InvalidRequest(f"{name} is empty.", hint=HINT)
    return root


def _refuse_depth(name: str, text: str) -> None:
    """Composing recurses: what is too deep for it is found in the flat events."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise _wrong(name, event, f"this is nested more than {DEPTH_MAX} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_growth(name: str, root: yaml.Node, values_max: int) -> None:
    sizes: dict[int, tuple[int, int]] = {}
    size, depth = _size(name, root, sizes, set())
    if size > values_max:
        raise _wrong(name, root, f"its aliases make it grow beyond {values_max:,} values")
    if depth > DEPTH_MAX:
        raise _wrong(name, root, f"its aliases nest it more than {DEPTH_MAX} levels deep")


def _size(name: str, node: yaml.Node, sizes: dict[int, tuple[int, int]], within: set[int]) -> tuple[int, int]:
    """How many values a node stands for and how deep they are, aliases written out; each node is looked at once.

    An alias stands behind what it names, which has been looked at by then: this goes no deeper than the text does.
    """
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in within:
        raise _wrong(name, node, "this contains itself")
    size, depth = 1, 0
    if isinstance(node, yaml.ScalarNode):
        size += len(node.value) // TEXT_VALUE
    if isinstance(node, yaml.CollectionNode):
        within.add(id(node))
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        for part in parts:
            more, below = _size(name, part, sizes, within)
            size, depth = size + more, max(depth, below + 1)
        within.discard(id(node))
    sizes[id(node)] = size, depth
    return size, depth


def _value(name: str, node: yaml.Node) -> Any:
    if node.tag not in (_SCALARS if isinstance(node, yaml.ScalarNode) else _COLLECTIONS):
        raise _wrong(name, node, f"the tag {node.tag!r} has no place in a graph")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(name, node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(name, part) for part in node.value]
    assert isinstance(node, yaml.MappingNode)
    return _mapping(name, node)


def _mapping(name: str, node: yaml.MappingNode) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(name, key, "a key has to be a text")
        if key.tag == _MERGE:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, yaml.MappingNode):
                    raise _wrong(name, source, "`<<` takes a mapping, or a list of them")
                for word, one in _mapping(name, source).items():
                    merged.setdefault(word, one)
            continue
        if key.value in own:
            raise _wrong(name, key, f"the key {key.value[:60]!r} is given twice")
        own[key.value] = _value(name, value)
    return {**merged, **own}


def _scalar(name: str, node: yaml.ScalarNode) -> Any:
    text: str = node.value
    # A plain word that is a text to YAML 1.1, or was said to be one, may be a number to YAML 1.2 only as 0o17 or 1e3.
    said_text = node.tag == _TEXT and not re.match(r"0o|[-+.0-9]+[eE]", text)
    if node.style or said_text:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > DIGITS_MAX:
            raise _wrong(name, node, "this number is too long")
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise _wrong(name, node, "this number is too large")
        return number
    return text


def _child(node: yaml.Node, token: str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode):
        return node.value[int(token)] if token.isdecimal() and int(token) < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if getattr(key, "value", None) == token), None)
    return None


def _wrong(name: str, at: Any, message: str) -> InvalidRequest:
    mark = at.start_mark
    return InvalidRequest(f"{name}, line {mark.line + 1}, column {mark.column + 1}: {message}.", hint=HINT)
