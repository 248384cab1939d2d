"""Sortable 63-bit keys, and the typed text they wear on the wire (`task_01k9…`)."""

from math import inf

from anchor.core.errors import NotFound, Unavailable

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}
_LENGTH = 13
_SERVER_BITS = 8
_TICK_BITS = 12
STEP = 1 << _SERVER_BITS
"""The distance between two consecutive keys of one server."""


class KeySequence:
    """Hands out keys that rise with time and never repeat on one server.

    A key is 43 bits of Unix milliseconds, 12 bits of counter and 8 bits naming the server. When a millisecond's
    4,096 keys are used up the sequence runs ahead of the clock rather than wait for it.
    """

    def __init__(self, server: int, *, last_key: int = 0, valid_until: float = inf) -> None:
        self._server = server & (STEP - 1)
        self._last_tick = last_key >> _SERVER_BITS
        self.valid_until = valid_until
        """The Unix millisecond from which another server may use this one's number."""

    def take(self, count: int, *, now_ms: int) -> range:
        """The next `count` keys, as a range of consecutive ones; Unavailable once the number is not ours any more."""
        if now_ms >= self.valid_until:
            raise Unavailable(
                "This server has not reached the store for too long to take in work.",
                hint="Try again, or ask another server.",
                code="server_lease_lost",
                retry_after_seconds=1,
            )
        first = max(self._last_tick + 1, now_ms << _TICK_BITS)
        self._last_tick = first + count - 1
        return keys_from((first << _SERVER_BITS) | self._server, count)


def keys_from(first: int, count: int) -> range:
    """The `count` consecutive keys that start at `first`: what one bulk submit got."""
    return range(first, first + count * STEP, STEP)


def born_ms(key: int) -> int:
    """The Unix millisecond in which a key was handed out."""
    return key >> (_SERVER_BITS + _TICK_BITS)


def first_key_of(ms: int) -> int:
    """The lowest key of a Unix millisecond."""
    return ms << (_SERVER_BITS + _TICK_BITS)


_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


def wire_id(kind: str, key: int) -> str:
    """`task`, 17 → `task_000000000000h`; texts sort as their keys do."""
    return (
        f"{kind}_{ALPHABET[key >> 60]}{_PAIRS[key >> 50 & 1023]}{_PAIRS[key >> 40 & 1023]}{_PAIRS[key >> 30 & 1023]}"
        f"{_PAIRS[key >> 20 & 1023]}{_PAIRS[key >> 10 & 1023]}{_PAIRS[key & 1023]}"
    )


def key_of(kind: str, text: str) -> int:
    """The key behind a wire id; NotFound where the text is no id of this kind."""
    prefix, _, letters = text.partition("_")
    if prefix == kind and len(letters) == _LENGTH and all(letter in _VALUE for letter in letters):
        key = 0
        for letter in letters:
            key = key << 5 | _VALUE[letter]
        if key < 1 << 63:
            return key
    raise NotFound(
        f"There is no {kind} {text[:60]!r}.",
        hint=f"A {kind} id looks like {wire_id(kind, 0)}; list what there is with `anchor {kind} ls`.",
    )
