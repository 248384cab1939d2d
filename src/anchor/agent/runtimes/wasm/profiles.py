"""The three ways in which a module is compiled, and the name that a module compiled in one of them goes by."""

import hashlib
from typing import Final, Literal

Profile = Literal["plain", "metered", "deterministic"]
"""`metered` counts fuel, which costs speed; `deterministic` counts it, too, and leaves nothing to the machine."""

_MARKS: Final[dict[Profile, bytes]] = {"plain": b"", "metered": b"m", "deterministic": b"d"}


def profile_of(deterministic: bool, fuel: int) -> Profile:
    """The profile for what a task asks for; `fuel` 0 is no limit."""
    if deterministic:
        return "deterministic"
    return "metered" if fuel else "plain"


def name_of(module_digest: bytes, profile: Profile) -> bytes:
    """32 bytes that name the module with this SHA-256 as it is compiled in this profile."""
    mark = _MARKS[profile]
    return hashlib.sha256(mark + module_digest).digest() if mark else module_digest
