"""Request bodies read strictly: one meaning per byte, and errors that name the place."""

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from anchor.core.errors import Fault, InvalidRequest

_AT = re.compile(r" - at `(?:key in )?\$(.*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_NESTING = "The JSON is nested too deeply."


class _Repeated(ValueError):
    pass


def decode_body(raw: bytes, decoder: msgspec.json.Decoder[Any], known: Iterable[str]) -> Any:
    """The decoded body. `known` are the field names a misspelt one could have meant.

    Raises InvalidRequest for malformed JSON, wrong types, unknown or repeated keys, NaN and lone surrogates.
    """
    try:
        value = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _unfit(str(error), known) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _malformed(raw) from None
    except RecursionError:
        raise InvalidRequest(_NESTING, hint="Anchor reads about a thousand levels; flatten the value.") from None
    _refuse_repeated_keys(raw)
    return value


def unfit(error: msgspec.ValidationError, known: Iterable[str]) -> InvalidRequest:
    """The error for a value of the wrong shape."""
    return _unfit(str(error), known)


def _unfit(text: str, known: Iterable[str]) -> InvalidRequest:
    place = _AT.search(text)
    message = _AT.sub("", text)
    pointer = ""
    if place is not None:
        pointer = "".join("/" + (name or number) for name, number in _STEP.findall(place.group(1)))
    hint = "See /api/docs for the fields of this request."
    unknown = _UNKNOWN.match(message)
    if unknown is not None:
        name = unknown.group(1)
        close = difflib.get_close_matches(name, list(known), n=1)
        message = f"There is no field {name!r} here."
        pointer = f"{pointer}/{name}"
        if close:
            hint = f"Did you mean {close[0]!r}?"
    return InvalidRequest(
        f"{message} (at {pointer or 'the top'})", hint=hint, code="invalid_field", errors=[Fault(pointer, message)]
    )


def _malformed(raw: bytes) -> InvalidRequest:
    hint = "Send one JSON value in UTF-8."
    try:
        json.loads(raw, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8: byte {error.start} cannot be read."
    except RecursionError:
        message = _NESTING
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}."
    except ValueError as error:
        message = str(error)
    else:
        message = "A text contains a lone surrogate: half of a character, as in \\ud800."
    return InvalidRequest(message, hint=hint, code="malformed_json")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number; send null or a text instead.")


def _refuse_repeated_keys(raw: bytes) -> None:
    try:
        json.loads(raw, object_pairs_hook=_once_each)
    except _Repeated as error:
        raise InvalidRequest(str(error), hint="Give each key once.", code="duplicate_key") from None


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _Repeated(f"The key {key!r} is given twice in one object.")
        seen.add(key)
