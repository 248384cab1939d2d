"""Request bodies read strictly: one meaning per byte, and errors that name the place."""

import difflib
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import inspect

from anchor.core.errors import Fault, InvalidRequest

DEPTH_MAX = 100
"""Arrays and objects inside each other, the body's own included: what every reader of JSON can follow."""
_NAME_SHOWN_MAX = 60
_AT = re.compile(r" - at `(?:(key)` in `)?\$(.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_UP_AND_DOWN = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SLICE = 1 << 16


class _Repeated(ValueError):
    pass


def decode_body(raw: bytes, decoder: msgspec.json.Decoder[Any], known: Iterable[str]) -> Any:
    """The decoded body. `known` are the field names a misspelt one could have meant.

    Raises InvalidRequest for malformed or deeply nested JSON, wrong types, unknown or repeated keys, NaN, lone
    surrogates and bytes that are not UTF-8.
    """
    _refuse_what_is_not_utf8(raw)
    if is_deep(raw):
        raise InvalidRequest(
            f"The JSON is nested more than {DEPTH_MAX} levels deep.",
            hint="Flatten the value, or send it as a text of its own.",
            code="nested_too_deeply",
        )
    try:
        value = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise unfit(error, known, decoder.type) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(raw, error) from None
    _refuse_repeated_keys(raw)
    return value


def is_deep(raw: bytes) -> bool:
    """Whether JSON is nested deeper than DEPTH_MAX; of malformed JSON it may say either."""
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_MAX:
        return False
    outside_texts = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    steps = array("b", outside_texts.translate(_UP_AND_DOWN, _NO_BRACKETS))
    depth = 0
    for first in range(0, len(steps), _SLICE):  # in slices, so that other threads get their turn
        depths = list(accumulate(steps[first : first + _SLICE], initial=depth))
        if max(depths) > DEPTH_MAX:
            return True
        depth = depths[-1]
    return False


def unfit(error: msgspec.ValidationError, known: Iterable[str], kind: Any = Any) -> InvalidRequest:
    """The error for a value that does not fit the type `kind`: what is wrong, where, and what would be right."""
    text = str(error)
    place = _AT.search(text)
    message = _AT.sub("", text)
    steps = [name or number for name, number in _STEP.findall(place[2])] if place is not None else []
    hint = "See /api/docs for the fields of this request."
    unknown, missing = _UNKNOWN.match(message), _MISSING.match(message)
    if unknown is not None:
        name = unknown.group(1)[:_NAME_SHOWN_MAX]
        steps.append(name)
        message = f"There is no field {name!r} here."
        names = list(known)
        close = difflib.get_close_matches(name, names, n=1)
        if name in names:
            hint = f"{name!r} belongs to another part of this request; /api/docs shows which."
        elif close:
            hint = f"Did you mean {close[0]!r}?"
    elif missing is not None:
        steps.append(missing.group(1))
        message = f"The field {missing.group(1)!r} is missing."
    elif message.startswith("Invalid enum value"):
        words = _words_at(kind, steps)
        if words:
            close = difflib.get_close_matches(message.split("'", 1)[-1][:_NAME_SHOWN_MAX].rstrip("'"), words, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            hint += f"Use one of {', '.join(words)}."
    elif described := _described_at(kind, steps, is_key=place is not None and place[1] is not None):
        message = f"Expected {described}"
    message = message if len(message) < 300 else f"{message[:300]}…"
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    return InvalidRequest(
        f"{message} (at {pointer or 'the top'})", hint=hint, code="invalid_field", errors=[Fault(pointer, message)]
    )


def _words_at(kind: Any, steps: list[str]) -> list[str]:
    """The words that a place of a type takes, where it takes nothing else."""
    arms = _arms(_kinds_at(kind, steps))
    return [str(word) for one in arms if isinstance(one, inspect.LiteralType) for word in one.values]


def _described_at(kind: Any, steps: list[str], *, is_key: bool) -> str:
    """What a place of a type takes (or a key there is to be), in the words of the type; "" where it has none."""
    kinds = _kinds_at(kind, steps)
    if is_key:
        kinds = [one.key_type for one in _arms(kinds) if isinstance(one, inspect.DictType)]
    for one in kinds:
        for arm in one.types if isinstance(one, inspect.UnionType) else [one]:
            schema = arm.extra_json_schema if isinstance(arm, inspect.Metadata) else None
            if schema and "description" in schema:
                return str(schema["description"])
    return ""


def _kinds_at(kind: Any, steps: list[str]) -> list[inspect.Type]:
    """The types that a place of a type may have."""
    kinds = [inspect.type_info(kind)]
    for step in steps:
        found: list[inspect.Type] = []
        for one in _arms(kinds):
            if isinstance(one, inspect.StructType):
                found += [field.type for field in one.fields if field.encode_name == step]
            elif isinstance(one, inspect.ListType):
                found.append(one.item_type)
            elif isinstance(one, inspect.DictType):
                found.append(one.value_type)
        kinds = found
    return kinds


def _arms(kinds: list[inspect.Type]) -> list[inspect.Type]:
    arms: list[inspect.Type] = []
    for kind in kinds:
        bare = kind.type if isinstance(kind, inspect.Metadata) else kind
        arms += _arms(list(bare.types)) if isinstance(bare, inspect.UnionType) else [bare]
    return arms


def _refuse_what_is_not_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The body is not UTF-8: byte {error.start} cannot be read.",
            hint="Send one JSON value in UTF-8; bytes of another kind go in base64 or to /api/blobs.",
            code="malformed_json",
        ) from None


def _malformed(raw: bytes, error: Exception) -> InvalidRequest:
    hint = "Send one JSON value in UTF-8."
    message = ""
    try:
        json.loads(raw.decode(), parse_constant=_refuse_constant, parse_int=str)
    except json.JSONDecodeError as wrong:
        what = wrong.msg.lower().removesuffix(" at")
        message = f"The body is not JSON: {what} at line {wrong.lineno}, column {wrong.colno}."
    except ValueError as wrong:
        message = str(wrong)
    else:
        if re.search(rb"\\u[dD][89a-fA-F]", raw):
            message = "A text contains a lone surrogate: half of a character, as in \\ud800."
        else:
            message = f"The body is not JSON: {error}."
    if not raw.strip():
        message = "The body is empty."
    return InvalidRequest(message, hint=hint, code="malformed_json")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number; send null or a text instead.")


def _refuse_repeated_keys(raw: bytes) -> None:
    try:
        _UNIQUE_KEYS.decode(raw.decode())
    except _Repeated as error:
        raise InvalidRequest(str(error), hint="Give each key once.", code="duplicate_key") from None


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        again, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _Repeated(f"The key {again[:_NAME_SHOWN_MAX]!r} is given twice in one object.")


_UNIQUE_KEYS = json.JSONDecoder(object_pairs_hook=_once_each, parse_int=str)
