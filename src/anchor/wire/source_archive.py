"""The one reader of an app's source, a zip or a tar (also gzipped) that somebody uploaded: nothing in it is trusted.

What it holds is bounded while it is read (entries, bytes, how much larger than the archive, depth, length of paths),
and it holds only files, folders, and symbolic links that stay inside.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from anchor.core.detection import READ_BYTES_MAX, READ_TOTAL_BYTES_MAX, is_read
from anchor.core.errors import InvalidRequest
from anchor.core.spec import MIB
from anchor.wire.archive_entries import Entry, Kind, Room, refused
from anchor.wire.tar_entries import tar_entries
from anchor.wire.zip_entries import ZIP_STARTS, zip_entries

ENTRIES_MAX: Final = 20_000
SOURCE_UNPACKED_MAX: Final = 1024 * MIB
RATIO_MAX: Final = 100
"""How many times its own size an archive may unpack to, beyond RATIO_FREE_BYTES."""
RATIO_FREE_BYTES: Final = MIB
PATH_BYTES_MAX: Final = 1000
NAME_BYTES_MAX: Final = 255
DEPTH_MAX: Final = 50
LINK_BYTES_MAX: Final = 1000
_IGNORED: Final = ("__MACOSX", "pax_global_header")
"""What other programs add of their own."""


class SourceArchive:
    """An archive that was looked through once, entry by entry. `file` has to be seekable and stay open.

    InvalidRequest (code `bad_archive`) names the entry that is not taken. Where all of it lies in one folder, as in the
    zips of repositories, that folder is left out of all paths; not where the names begin with `./`, which says that
    somebody packed a folder's content as it is. Reads: call it in a thread.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.unpacked_bytes = 0
        self.files: dict[str, bytes | None] = {}
        """Every file and link by its path, with the content of those that detection reads."""
        self._top = ""
        found = list(self._scanned())
        self._top = _single_top(found)
        known: dict[str, Kind] = {}
        for entry, content in found:
            path = self._placed(entry, known)
            if path and entry.kind is not Kind.FOLDER:
                self.files[path] = content if is_read(path) else None

    def extract_to(self, folder: Path) -> None:
        """Write all of it into an empty folder. Files can be written by their owner, and executed where they could."""
        known: dict[str, Kind] = {}
        links: list[tuple[Path, str]] = []
        for entry in self._entries():
            path = self._placed(entry, known)
            if not path:
                continue
            target = folder / path
            if entry.kind is Kind.FOLDER:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.kind is Kind.LINK:
                links.append((target, entry.target))
                continue
            with target.open("xb") as written:
                for chunk in entry.chunks:
                    written.write(chunk)
            target.chmod(0o755 if entry.executable else 0o644)
        # Last of all: nothing is ever written through a link.
        for place, points_to in links:
            place.symlink_to(points_to)

    def _entries(self) -> Iterator[Entry]:
        """Every entry with a path that is safe, in the archive's order; it has to be read before the next one is."""
        self._file.seek(0, 2)
        size = self._file.tell()
        self._file.seek(0)
        start = self._file.read(len(ZIP_STARTS[0]))
        self._file.seek(0)
        room = Room(min(SOURCE_UNPACKED_MAX, max(RATIO_FREE_BYTES, size * RATIO_MAX)), ENTRIES_MAX, LINK_BYTES_MAX)
        for entry in zip_entries(self._file, room) if start in ZIP_STARTS else tar_entries(self._file, room):
            _require_safe(entry.path)
            if entry.path.split("/", 1)[0] not in _IGNORED:
                yield entry
        self.unpacked_bytes = room.taken

    def _scanned(self) -> Iterator[tuple[Entry, bytes | None]]:
        """Every entry, read to its end, with the content of a file that may be one that detection reads."""
        left = READ_TOTAL_BYTES_MAX
        for entry in self._entries():
            parts = _parts(entry.path)
            kept = bytearray()
            wanted = is_read("/".join(parts)) or is_read("/".join(parts[1:]))
            for chunk in entry.chunks:
                if wanted and len(kept) <= min(READ_BYTES_MAX, left):
                    kept += chunk
            wanted = wanted and entry.kind is Kind.FILE and len(kept) <= min(READ_BYTES_MAX, left)
            left -= len(kept) if wanted else 0
            yield entry, bytes(kept) if wanted else None

    def _placed(self, entry: Entry, known: dict[str, Kind]) -> str:
        """The path of an entry below the app's folder, "" for that folder itself; refused where it cannot be there
        together with what is `known` already."""
        parts = _parts(entry.path)
        if self._top:
            parts = parts[1:]
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if known.setdefault(above, Kind.FOLDER) is not Kind.FOLDER:
                raise refused(entry.path, f"lies below {above}, which is no folder")
        path = "/".join(parts)
        if not path:
            return ""
        if path in known and (entry.kind is not Kind.FOLDER or known[path] is not Kind.FOLDER):
            raise refused(entry.path, "is in the archive twice")
        if entry.kind is Kind.LINK:
            _require_inside(entry, len(parts) - 1)
        known[path] = entry.kind
        return path


def _single_top(found: list[tuple[Entry, bytes | None]]) -> str:
    """The one folder that all of it lies in, or ""."""
    tops = {_parts(entry.path)[0] if _parts(entry.path) else "" for entry, _ in found}
    as_it_is = any(entry.path == "." or entry.path.startswith("./") for entry, _ in found)
    beside = any(len(_parts(entry.path)) == 1 and entry.kind is not Kind.FOLDER for entry, _ in found)
    return "" if as_it_is or beside or len(tops) != 1 else tops.pop()


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _require_safe(path: str) -> None:
    parts = _parts(path)
    if path.startswith("/"):
        raise refused(path, "has an absolute path")
    if ".." in parts:
        raise refused(path, "leads out of the archive")
    if "\\" in path or (parts and len(parts[0]) >= 2 and parts[0][1] == ":" and parts[0][0].isalpha()):
        raise refused(path, "has a path with a drive letter or a backslash")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise refused(path, "has a control character in its path")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise refused(path, "has a path that is not UTF-8") from None
    if sum(sizes) + len(sizes) > PATH_BYTES_MAX or any(size > NAME_BYTES_MAX for size in sizes):
        raise refused(path, f"has a path of more than {PATH_BYTES_MAX} bytes, or a name of more than {NAME_BYTES_MAX}")
    if len(parts) > DEPTH_MAX:
        raise refused(path, f"lies more than {DEPTH_MAX} folders deep")


def _require_inside(entry: Entry, depth: int) -> None:
    """A link may go up as far as to the app's folder and down again, and in this order only: so that it stays inside
    whatever the names on its way down are links to."""
    parts = entry.target.split("/")
    climbs = 0
    while climbs < len(parts) and parts[climbs] in ("..", "."):
        climbs += 1
    up = parts[:climbs].count("..")
    if not entry.target or posixpath.isabs(entry.target) or "\0" in entry.target or "\\" in entry.target:
        raise refused(entry.path, "is a link to an absolute path, or to nothing")
    if up > depth or ".." in parts[climbs:]:
        raise refused(entry.path, "is a link that leads out of the app's folder")


def opened(file: BinaryIO) -> SourceArchive:
    """Look through an archive; InvalidRequest where it is none, or holds what is not taken."""
    archive = SourceArchive(file)
    if not archive.files:
        raise InvalidRequest(
            "The archive holds no files.", hint="Pack the folder that your app is in.", code="bad_archive"
        )
    return archive
