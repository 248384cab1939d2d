"""How fast a machine works: a chain of hashes from a fresh nonce, which can be neither made ahead nor shared out."""

import hashlib
from collections.abc import Iterator, Sequence

SEGMENTS = 16
ROUNDS = 6_000
SECONDS_MAX = 0.25
"""After this an agent stops and shows how far it came."""
FASTEST = 50_000.0
"""Thousands of rounds a second: far more than one core of any machine does."""
_DOMAIN = b"anchor-speed-1"


def segment(seed: bytes, rounds: int) -> bytes:
    """One piece of the chain: 64 bytes."""
    return hashlib.pbkdf2_hmac("sha512", seed, _DOMAIN, rounds)


def chain(nonce: bytes, rounds: int) -> Iterator[bytes]:
    """The ends of all segments, for as long as they are asked for."""
    seed = nonce
    while True:
        seed = segment(seed, rounds)
        yield seed


def is_right(nonce: bytes, marks: Sequence[bytes], rounds: int, number: int) -> bool:
    """Whether one segment of a chain ends where it should."""
    return segment(marks[number - 1] if number else nonce, rounds) == marks[number]


def speed_from(count: int, rounds: int, seconds: float) -> float:
    """Thousands of rounds a second, from so many segments in that time."""
    return count * rounds / 1000 / max(seconds, 1e-6)
