"""The entries of a tar, gzipped or not, read once from the beginning to the end."""

import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, Final

from anchor.wire.archive_entries import Entry, Kind, Room, damaged, refused

_GZIP_START: Final = b"\x1f\x8b"
_CHUNK_BYTES: Final = 256 * 1024
_READ_MAX: Final = 1024 * 1024
"""The most that is read at once; only the header of an entry that is made to fill memory is larger."""


def tar_entries(file: BinaryIO, room: Room) -> Iterator[Entry]:
    """Every entry in the archive's order; InvalidRequest where it is damaged or not taken."""
    stream = _Forward(file, room)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                # Kept by tarfile for looking up, which nobody here does.
                archive.members = []
                room.enter()
                stream.path = member.name
                yield _entry(archive, member, room)
    except (tarfile.TarError, UnicodeError, ValueError, RecursionError) as error:
        raise damaged("it is neither a zip nor a tar, or it is damaged") from error


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, room: Room) -> Entry:
    if member.isdir():
        return Entry(path=member.name, kind=Kind.FOLDER)
    if member.issym():
        if len(member.linkname) > room.link_bytes_max:
            raise refused(member.name, "is a link with too long a target")
        return Entry(path=member.name, kind=Kind.LINK, target=member.linkname)
    if member.islnk():
        raise refused(member.name, "is a hard link; pack with --hard-dereference")
    if member.issparse() or not member.isreg():
        raise refused(member.name, "is neither a file nor a folder")
    content = archive.extractfile(member)
    if content is None:
        raise damaged("a file in it has no content")
    return Entry(
        path=member.name,
        kind=Kind.FILE,
        executable=bool(member.mode & 0o100),
        chunks=_chunks(content, member),
    )


def _chunks(content: IO[bytes], member: tarfile.TarInfo) -> Iterator[bytes]:
    left = member.size
    while left:
        try:
            chunk = content.read(min(left, _CHUNK_BYTES))
        except tarfile.TarError:
            chunk = b""
        if not chunk:
            raise damaged("it is cut off")
        left -= len(chunk)
        yield chunk


class _Forward:
    """A file for tarfile that unpacks as it goes, counts what it gives, and never goes back further than one byte."""

    def __init__(self, file: BinaryIO, room: Room) -> None:
        self._file = file
        self._room = room
        file.seek(0)
        packed = file.read(len(_GZIP_START)) == _GZIP_START
        file.seek(0)
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS + 16) if packed else None
        self._waiting = bytearray()
        self._at = 0
        self._last = b""
        self.path = "its beginning"

    def tell(self) -> int:
        return self._at

    def seek(self, position: int, whence: int = 0) -> int:
        if whence != 0 or position < self._at - len(self._last):
            raise tarfile.ReadError("an entry points back")
        if position < self._at:
            self._waiting[:0] = self._last
            self._at, self._last = position, b""
        while self._at < position and self._read(min(_CHUNK_BYTES, position - self._at)):
            pass
        return self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _READ_MAX:
            raise tarfile.ReadError("a header is larger than any should be")
        parts = []
        while size and (chunk := self._read(size)):
            parts.append(chunk)
            size -= len(chunk)
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        if not self._waiting:
            self._waiting = bytearray(self._fresh())
        chunk = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._at += len(chunk)
        self._last = chunk[-1:] or self._last
        return chunk

    def _fresh(self) -> bytes:
        """More bytes, unpacked; none at the end."""
        while True:
            if self._unpack is None:
                chunk = self._file.read(_CHUNK_BYTES)
                self._room.take(len(chunk), self.path)
                return chunk
            if self._unpack.eof:
                return b""
            packed = self._unpack.unconsumed_tail or self._file.read(_CHUNK_BYTES)
            if not packed:
                raise damaged("it is cut off")
            try:
                chunk = self._unpack.decompress(packed, _CHUNK_BYTES)
            except zlib.error as error:
                raise damaged("it is not packed as gzip does") from error
            self._room.take(len(chunk), self.path)
            if chunk:
                return chunk
