"""A backup in one file: a plain tar whose first member, the manifest, is filled in last and has the digests of all."""

import errno
import os
import tarfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import msgspec

from anchor.adapters.files.blobs import sync_folder
from anchor.core.errors import AnchorError, Conflict, NotFound, OutOfSpace, Unavailable, Unprocessable
from anchor.failpoints import reached
from anchor.wire.archive import BLOBS, FORMAT, KINDS, MANIFEST, BlobDocument, Manifest, sealed

BLOCK = 512
MANIFEST_BYTES = 16 * 1024
"""Room kept for the manifest; what it does not need is spaces."""
CHUNK_BYTES = 1024 * 1024
END = bytes(2 * BLOCK)
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)  # Windows has the last one


class ArchiveWriter:
    """Writes `FILE.part`, which becomes FILE once all of it is on the disk. Only its owner may read it.

    Conflict where FILE exists, unless `force`; Unavailable or OutOfSpace where it cannot be written.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self._path = path
        self._force = force
        self._part = path.with_name(f"{path.name}.part")
        self._refuse_to_overwrite()
        try:
            self._file = os.fdopen(os.open(self._part, _FLAGS, 0o600), "w+b")
        except OSError as error:
            raise _explained(error, path) from error
        self._name = ""
        self._begun_at = 0
        self._hash = sha256()
        self._size = 0
        self._put(bytes(BLOCK + MANIFEST_BYTES))

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def begin(self, name: str) -> None:
        """Start a member."""
        self._name = name
        self._begun_at = self._file.tell()
        self._hash = sha256()
        self._size = 0
        self._put(bytes(BLOCK))

    def write(self, lines: Iterable[bytes]) -> None:
        """Append bytes to it."""
        content = b"".join(lines)
        self._hash.update(content)
        self._size += len(content)
        self._put(content)

    def end(self) -> tuple[int, str]:
        """Finish it; its size in bytes and its SHA-256."""
        self._put(_padding(self._size))
        after = self._file.tell()
        self._file.seek(self._begun_at)
        self._put(_header(self._name, self._size))
        self._file.seek(after)
        return self._size, self._hash.hexdigest()

    def drop(self) -> None:
        """Forget the member that was begun."""
        self._file.seek(self._begun_at)
        self._file.truncate()

    def finish(self, manifest: Manifest) -> None:
        """Put the manifest in its place and the file under its name."""
        self._put(END)
        self._file.seek(0)
        self._put(_header(MANIFEST, MANIFEST_BYTES))
        self._put(msgspec.json.encode(manifest).ljust(MANIFEST_BYTES))
        self._refuse_to_overwrite()
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            reached("backup.written")
            self._part.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise _explained(error, self._path) from error

    def _put(self, content: bytes) -> None:
        try:
            self._file.write(content)
        except OSError as error:
            raise _explained(error, self._path) from error

    def _refuse_to_overwrite(self) -> None:
        if self._path.exists() and not self._force:
            raise Conflict(
                f"{self._path} exists already.",
                hint="Choose another name, or overwrite it with --force.",
                code="exists",
            )


class ArchiveReader:
    """A backup file that has been read once from end to end and found whole.

    NotFound where there is none; Unprocessable where it is cut, altered, of a newer format or no backup at all.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"There is no file {path}.", hint="Name the file that `anchor backup` wrote.") from error
        except OSError as error:
            raise _explained(error, path) from error
        self._places: dict[str, tuple[int, int]] = {}
        self._blobs: list[BlobDocument] = []
        try:
            self.manifest = self._verified()
        except OSError as error:
            self._file.close()
            raise _explained(error, path) from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "ArchiveReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def lines(self, kind: str, batch: int) -> Iterator[list[bytes]]:
        """The documents of a kind as JSON, some at a time; none where the backup is too old to have the kind."""
        start, size = self._places.get(f"{kind}.jsonl", (0, 0))
        left = size
        self._file.seek(start)
        found: list[bytes] = []
        while left > 0:
            line = self._file.readline()
            left -= len(line)
            found.append(line)
            if len(found) == batch:
                at = self._file.tell()
                yield found
                self._file.seek(at)  # others may have read elsewhere meanwhile
                found = []
        if found:
            yield found

    def blobs(self) -> Iterator[BlobDocument]:
        """The blobs in it."""
        yield from self._blobs

    def blob(self, digest: str) -> Iterator[bytes]:
        """The bytes of one of them."""
        start, size = self._places[BLOBS + digest]
        for at in range(0, size, CHUNK_BYTES):
            self._file.seek(start + at)
            yield self._file.read(min(CHUNK_BYTES, size - at))

    def _verified(self) -> Manifest:
        manifest = self._manifest()
        at = self._file.tell()
        *kinds, listing = manifest.members
        for member in kinds:
            at = self._member(at, member.name, member.sha256, member.size)
        while True:
            name = self._name_at(at)
            if not name.startswith(BLOBS):
                break
            at = self._member(at, name, name.removeprefix(BLOBS), None)
            self._blobs.append(BlobDocument(name.removeprefix(BLOBS), self._places[name][1]))
        at = self._member(at, listing.name, listing.sha256, listing.size)
        listed = [msgspec.json.decode(line, type=BlobDocument) for lines in self.lines("blobs", 1000) for line in lines]
        if listed != self._blobs or len(listed) != manifest.blobs:
            raise self._damaged("it does not have the blobs that it lists")
        self._file.seek(at)
        if self._file.read() != END:
            raise self._damaged("it does not end where it should")
        return manifest

    def _manifest(self) -> Manifest:
        head = self._file.read(BLOCK)
        if self._told(head) != (MANIFEST, MANIFEST_BYTES):
            raise Unprocessable(
                f"{self._path} is not a backup made by Anchor.",
                hint="Name the file that `anchor backup` wrote.",
                code="not_a_backup",
            )
        content = self._file.read(MANIFEST_BYTES)
        try:
            number = int(bytes(msgspec.json.decode(content, type=dict[str, msgspec.Raw])["format"]))
            if number > FORMAT:
                raise Conflict(
                    f"{self._path} was written by a newer Anchor (format {number}; this one knows {FORMAT}).",
                    hint="Install at least the version that wrote it.",
                    code="backup_too_new",
                )
            manifest = msgspec.json.decode(content, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError) as error:
            raise self._damaged("its manifest cannot be read") from error
        if sealed(manifest) != manifest or [member.name for member in manifest.members] != [
            f"{kind}.jsonl" for kind in KINDS.get(number, ())
        ]:
            raise self._damaged("its manifest was altered")
        return manifest

    def _name_at(self, at: int) -> str:
        self._file.seek(at)
        name, _ = self._told(self._file.read(BLOCK))
        return name

    def _member(self, at: int, name: str, digest: str, size: int | None) -> int:
        """Check the member that starts here; where the next one does."""
        self._file.seek(at)
        told, length = self._told(self._file.read(BLOCK))
        if told != name or (size is not None and size != length):
            raise self._damaged(f"{name} is not where it should be")
        hashed = sha256()
        for start in range(0, length, CHUNK_BYTES):
            hashed.update(self._file.read(min(CHUNK_BYTES, length - start)))
        if hashed.hexdigest() != digest or self._file.read(-length % BLOCK) != _padding(length):
            raise self._damaged(f"{name} is not what was written")
        self._places[name] = (at + BLOCK, length)
        return self._file.tell()

    def _told(self, head: bytes) -> tuple[str, int]:
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            return "", 0
        return (info.name, info.size) if info.isreg() else ("", 0)

    def _damaged(self, why: str) -> Unprocessable:
        return Unprocessable(
            f"{self._path} is damaged: {why}.",
            hint="Nothing was changed. Copy the file again from where it was kept, or use another backup.",
            code="backup_damaged",
        )


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _explained(error: OSError, path: Path) -> AnchorError:
    trouble = OutOfSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
    return trouble(
        f"{path} cannot be used: {error.strerror or error}.", hint="Choose a place with room that this user may use."
    )
