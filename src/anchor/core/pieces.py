"""Which bytes a task names: those of an uploaded blob, or a piece of them."""

import re

import msgspec

_REFERENCE = re.compile(r"sha256:([0-9a-f]{64})(?:\[([0-9]{0,18}):([0-9]{0,18})\])?")
_NAME = re.compile(r"([0-9a-f]{64})(?:\.([0-9]{1,18})-([0-9]{0,18}))?")


class Piece(msgspec.Struct, frozen=True):
    """The bytes of the blob `digest` (64 hex digits) from `start` to before `end`; None: to its last."""

    digest: str
    start: int = 0
    end: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the blob, which its digest proves."""
        return not self.start and self.end is None

    @property
    def name(self) -> str:
        """A file name for it, on any system."""
        if self.is_whole:
            return self.digest
        return f"{self.digest}.{self.start}-{'' if self.end is None else self.end}"


def piece_of(reference: str) -> Piece | None:
    """The piece that `sha256:…` or `sha256:…[start:end]` means; None where it is neither, or no byte is in it."""
    return _piece(_REFERENCE.fullmatch(reference))


def piece_named(name: str) -> Piece | None:
    """The piece with this `name`; None for other names."""
    return _piece(_NAME.fullmatch(name))


def _piece(found: "re.Match[str] | None") -> Piece | None:
    if found is None:
        return None
    start, end = int(found[2] or 0), int(found[3]) if found[3] else None
    return None if end is not None and end <= start else Piece(found[1], start, end)
