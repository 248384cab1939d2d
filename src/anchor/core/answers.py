"""When two answers are the same: the comparators of verification.

`bytes` takes the text of the result as it is. `json` takes its value: the order of keys, blanks and the spelling of a
number (1, 1.0, 1e0) make no difference, nor does what the ignored JSON pointers name. `numeric` is `json`, except that
two numbers are the same when they are close. `lines` takes a text line by line, without the blanks that end a line and
the empty lines that end the text; what is no text is taken as `json`. Files are compared by name and SHA-256, always.
"""

from collections.abc import Sequence
from hashlib import sha256
from math import isfinite
from typing import Any, Final

import msgspec

from anchor.core.attempt import Result
from anchor.core.verification import Verify

COMPARED_BYTES_MAX: Final = 512 * 1024
"""A result above this is compared by its bytes, whatever the comparator: reading one of this size may take 0.3 s, and
each copy of a round may have answered something else."""
EXACT_MAX: Final = 1 << 53
"""Up to here a float holds every whole number."""


class Answer(msgspec.Struct, frozen=True):
    """What a copy answered, fit to be compared: the SHA-256 (hex) of it, and its value where numbers may be near."""

    digest: str
    files: str = ""
    value: Any = None
    is_near: bool = False


def bytes_wanted(policy: Verify, result: Result) -> bool:
    """Whether the text of a result that rests in a blob has to be read: its digest is its name."""
    return policy.compare != "bytes" and bool(result.blob) and result.size <= COMPARED_BYTES_MAX


def answer_of(policy: Verify, result: Result, text: bytes | None) -> Answer:
    """The answer in a result whose text is `text` (None: it stays in its blob, and counts by its bytes)."""
    files = _digest_of_files(result)
    if policy.compare == "bytes" or text is None or len(text) > COMPARED_BYTES_MAX:
        return _sealed(result.blob or sha256(text or b"").hexdigest(), files)
    try:
        value = msgspec.json.decode(text)
        if policy.compare == "json":
            for pointer in policy.ignore:
                _remove(value, pointer)
        elif policy.compare == "lines" and isinstance(value, str):
            value = "\n".join(line.rstrip() for line in value.splitlines()).rstrip("\n")
        value = _plain(value)
        digest = sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
    except (msgspec.DecodeError, msgspec.EncodeError, UnicodeDecodeError, RecursionError):
        return _sealed(sha256(text).hexdigest(), files)
    if policy.compare == "numeric":
        return msgspec.structs.replace(_sealed(digest, files), value=value, is_near=True)
    return _sealed(digest, files)


def same(policy: Verify, one: Answer, other: Answer) -> bool:
    """Whether two answers are the same. Not transitive where numbers may be near."""
    if one.digest == other.digest:
        return True
    if not (one.is_near and other.is_near) or one.files != other.files:
        return False
    try:
        return _is_near(one.value, other.value, policy)
    except RecursionError:  # nested as deep as can just be read
        return False


def first_difference(one: bytes, other: bytes) -> int:
    """The offset of the first byte in which two texts differ, or the length of the shorter one."""
    least = min(len(one), len(other))
    low, high = 0, least
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _sealed(digest: str, files: str) -> Answer:
    return Answer(sha256(f"{digest}\n{files}".encode()).hexdigest() if files else digest, files)


def _digest_of_files(result: Result) -> str:
    if not result.files:
        return ""
    lines = sorted(f"{file.sha256} {file.name}" for file in result.files)
    return sha256("\n".join(lines).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A JSON value with one spelling for each number."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and isfinite(value) and value.is_integer() and abs(value) <= EXACT_MAX:
        return int(value)
    return value


def _remove(value: Any, pointer: str) -> None:
    """Take away what an RFC 6901 pointer names; nothing where there is no such place."""
    *way, last = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    for token in way:
        if isinstance(value, dict):
            value = value.get(token)
        elif isinstance(value, list) and (at := _index(token, value)) is not None:
            value = value[at]
        else:
            return
    if isinstance(value, dict):
        value.pop(last, None)
    elif isinstance(value, list) and (at := _index(last, value)) is not None:
        value[at] = None  # the places of the others stay what they are


def _index(token: str, items: Sequence[Any]) -> int | None:
    is_index = token.isascii() and token.isdigit() and (token == "0" or not token.startswith("0"))
    return int(token) if is_index and len(token) < 10 and int(token) < len(items) else None


def _is_near(one: Any, other: Any, policy: Verify) -> bool:
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(_is_near(item, other[key], policy) for key, item in one.items())
        )
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(_is_near(first, second, policy) for first, second in zip(one, other, strict=True))
        )
    if _is_number(one) and _is_number(other):
        try:
            return bool(abs(one - other) <= max(policy.absolute, policy.relative * max(abs(one), abs(other))))
        except OverflowError:
            return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
