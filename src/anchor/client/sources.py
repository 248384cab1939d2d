"""What is uploaded: bytes, or a file that is read as it is sent."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from anchor.core.errors import InvalidRequest

CHUNK_BYTES = 256 * 1024


class Source(msgspec.Struct, frozen=True):
    """Bytes with their SHA-256 (64 hex digits) and size; `content` is they themselves, or the file they are in. `told`
    hears how many bytes of a file were read to be sent."""

    digest: str
    size: int
    content: bytes | Path
    told: Callable[[int], None] | None = None

    def body(self, start: int = 0) -> "bytes | Body":
        """The bytes from `start` on."""
        return self.content[start:] if isinstance(self.content, bytes) else Body(self.content, start, self.told)


class Body:
    """What a file holds from `start` on; it can be iterated over more than once."""

    def __init__(self, path: Path, start: int, told: Callable[[int], None] | None = None) -> None:
        self._path = path
        self._start = start
        self._told = told

    def __iter__(self) -> Iterator[bytes]:
        """The bytes in chunks."""
        with self._path.open("rb") as file:
            file.seek(self._start)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                if self._told is not None:
                    self._told(file.tell())


def source_of(content: "bytes | str | os.PathLike[str]") -> Source:
    """Bytes, or the file at a path, read once for its digest; InvalidRequest where it cannot be read."""
    if isinstance(content, bytes):
        return Source(hashlib.sha256(content).hexdigest(), len(content), content)
    path = Path(content)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror or error}.", hint="Check its path and permissions."
        ) from error
    return Source(digest, size, path)
