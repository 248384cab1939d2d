"""Inline source maps (the format of ECMA-426): from a place in generated code to the place its author wrote."""

import base64
import binascii
import bisect
import re
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

MAP_LENGTH_MAX: Final = 16 * 1024 * 1024
"""Longer maps are not read: an error is then told with its place in the generated code."""
_COMMENT: Final = re.compile(r"//[#@]\s*sourceMappingURL=data:application/json((?:;[\w=.+-]+)*),([^\s'\"]+)")
_DIGITS: Final = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}


class _Map(msgspec.Struct):
    version: int
    mappings: str
    sources: list[str | None]
    source_root: str | None = msgspec.field(default=None, name="sourceRoot")


class SourceMap:
    """Places by generated line: (generated column, source, line, column), all from 0."""

    def __init__(self, sources: list[str], lines: list[list[tuple[int, int, int, int]]]) -> None:
        self._sources = sources
        self._lines = lines

    def original(self, line: int, column: int) -> tuple[str, int, int] | None:
        """The source, line and column (from 0) behind a generated place; None where the map has nothing."""
        if line >= len(self._lines):
            return None
        places = self._lines[line]
        at = bisect.bisect_right(places, (column, 1 << 62, 0, 0)) - 1
        if at < 0 or places[at][1] < 0:
            return None
        _, source, theirs, their_column = places[at]
        return self._sources[source], theirs, their_column


def map_in(code: str) -> SourceMap | None:
    """The map at the end of some code; None where there is none that can be read."""
    start = code.rfind("sourceMappingURL=data:")
    if start < 0 or len(code) - start > MAP_LENGTH_MAX:
        return None
    found = _COMMENT.match(code, max(0, code.rfind("//", 0, start)))
    if found is None:
        return None
    try:
        is_base64 = found[1].endswith(";base64")
        raw = base64.b64decode(found[2], validate=True) if is_base64 else unquote_to_bytes(found[2])
        body = msgspec.json.decode(raw, type=_Map)
        if body.version != 3:
            return None
        lines = _decoded(body.mappings, len(body.sources))
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        return None
    return SourceMap([_shown(body.source_root, name) for name in body.sources], lines)


def _shown(root: str | None, name: str | None) -> str:
    path = name or "source"
    if root and not path.startswith("/"):
        path = f"{root.rstrip('/')}/{path}"
    return re.sub(r"[\x00-\x1f\x7f]", "?", path.removeprefix("./"))[-200:]


def _decoded(mappings: str, sources: int) -> list[list[tuple[int, int, int, int]]]:
    """The places of `mappings`: lines end with a semicolon, places with a comma; numbers are differences as VLQ."""
    lines: list[list[tuple[int, int, int, int]]] = []
    source = line = column = 0
    for group in mappings.split(";"):
        places: list[tuple[int, int, int, int]] = []
        generated = 0
        for segment in filter(None, group.split(",")):
            numbers = _numbers(segment)
            generated += numbers[0]
            if len(numbers) not in (1, 4, 5):
                raise ValueError("a mapping of so many numbers")
            if len(numbers) > 1:
                source, line, column = source + numbers[1], line + numbers[2], column + numbers[3]
                if not 0 <= source < sources or line < 0 or column < 0:
                    raise ValueError("a place outside the sources")
                places.append((generated, source, line, column))
            else:
                places.append((generated, -1, 0, 0))
        places.sort()
        lines.append(places)
    return lines


def _numbers(segment: str) -> list[int]:
    numbers: list[int] = []
    value = shift = 0
    for digit in segment:
        bits = _DIGITS.get(digit)
        if bits is None or shift > 30:
            raise ValueError(f"{digit!r} in a mapping")
        value |= (bits & 31) << shift
        if bits & 32:
            shift += 5
            continue
        numbers.append(-(value >> 1) if value & 1 else value >> 1)
        value = shift = 0
    if shift or not numbers:
        raise ValueError("half a number in a mapping")
    return numbers
