"""Packs an app's folder, or files given as text, into a tar.gz: the same content always into the same bytes."""

import contextlib
import gzip
import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from anchor.core.app import SOURCE_BYTES_MAX
from anchor.core.errors import InvalidRequest
from anchor.core.spec import MIB

IGNORE_FILES: Final = (".anchorignore", ".gitignore")
"""Of these the first one that is in the folder says what is left out."""
IGNORED: Final = (
    ".git/",
    ".hg/",
    ".svn/",
    "node_modules/",
    "__pycache__/",
    "*.pyc",
    ".venv/",
    "venv/",
    ".env",
    ".env.*",
    ".DS_Store",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
)
"""What is left out in any case, unless a pattern with ! in the folder's own list takes it back."""
_LEVEL: Final = 6


class Packed(msgspec.Struct, frozen=True):
    """What was packed: how many files, their bytes, the digest (64 hex digits) and size of the archive, and what was
    left out (folders end with /)."""

    files: int
    bytes: int
    digest: str
    size: int
    ignored: tuple[str, ...] = ()


class _Found(NamedTuple):
    path: str
    status: os.stat_result


def packed(folder: Path, into: IO[bytes]) -> Packed:
    """Pack a folder into a file that can be read and written, left at its beginning.

    InvalidRequest where a link in it leads out of it, where it is not to be read, or larger than an app may be.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder.", hint="Name the folder that your app is in.", code="not_an_app")
    ignored: list[str] = []
    found = sorted(_walked(folder, "", _Patterns(_patterns_of(folder)), ignored))
    with _writing(into) as archive:
        for path, status in found:
            with _said(path):
                _add(archive, folder, path, status)
    size = into.seek(0, os.SEEK_END)
    if size > SOURCE_BYTES_MAX:
        raise InvalidRequest(
            f"The packed folder has {size / MIB:,.0f} MiB; at most {SOURCE_BYTES_MAX // MIB} MiB are taken.",
            hint="List what the app does not need in a file .anchorignore.",
            code="too_large",
        )
    into.seek(0)
    digest = hashlib.file_digest(into, "sha256").hexdigest()  # type: ignore[arg-type]
    into.seek(0)
    files = [status for _, status in found if stat.S_ISREG(status.st_mode)]
    return Packed(len(files), sum(status.st_size for status in files), digest, size, tuple(ignored))


def packed_files(files: Mapping[str, str | bytes]) -> bytes:
    """An archive of these files by their paths. What is wrong with a path is said by whoever reads it."""
    made = io.BytesIO()
    with _writing(made) as archive:
        for path in sorted(files):
            content = files[path]
            data = content.encode() if isinstance(content, str) else content
            member = _member(path, tarfile.REGTYPE, 0o644)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


@contextlib.contextmanager
def _writing(into: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """A tar.gz into a file, without anything of the time or the machine it was made on."""
    with (
        gzip.GzipFile(filename="", fileobj=into, mode="wb", compresslevel=_LEVEL, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        # A first entry of this name tells the reader that the paths are as they are meant.
        archive.addfile(_member(".", tarfile.DIRTYPE, 0o755))
        yield archive


def _member(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.mtime = kind, mode, 0
    return member


def _add(archive: tarfile.TarFile, folder: Path, path: str, status: os.stat_result) -> None:
    whole = folder / path
    if stat.S_ISLNK(status.st_mode):
        member = _member(path, tarfile.SYMTYPE, 0o777)
        member.linkname = _inner_target(folder, path)
        archive.addfile(member)
        return
    if stat.S_ISDIR(status.st_mode):
        archive.addfile(_member(path, tarfile.DIRTYPE, 0o755))
        return
    with whole.open("rb") as content:
        member = _member(path, tarfile.REGTYPE, 0o755 if status.st_mode & 0o100 else 0o644)
        member.size = os.fstat(content.fileno()).st_size
        archive.addfile(member, content)


def _inner_target(folder: Path, path: str) -> str:
    """Where a link leads, from where it lies; it has to be inside the folder."""
    place = folder / path
    top = folder.resolve()
    target = place.resolve()
    if not target.is_relative_to(top):
        raise InvalidRequest(
            f"{path} is a link that leads out of the folder.",
            hint="Copy what it points to into the folder, or list it in a file .anchorignore.",
            code="bad_archive",
        )
    return os.path.relpath(target, place.parent.resolve()).replace(os.sep, "/")


@contextlib.contextmanager
def _said(path: str) -> Iterator[None]:
    """Turns what the system says of a file into what is said to the user."""
    try:
        yield
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be packed: {error.strerror or error}.",
            hint="Make it readable and leave it alone meanwhile, or list it in a file .anchorignore.",
            code="bad_archive",
        ) from error


def _walked(folder: Path, below: str, patterns: "_Patterns", ignored: list[str]) -> Iterator[_Found]:
    with _said(below or "."):
        entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    for entry in entries:
        path = f"{below}/{entry.name}".lstrip("/")
        is_folder = entry.is_dir(follow_symlinks=False)
        if patterns.ignores(path, is_folder=is_folder):
            ignored.append(path + "/" * is_folder)
            continue
        status = entry.stat(follow_symlinks=False)
        if is_folder:
            yield _Found(path, status)
            yield from _walked(folder, path, patterns, ignored)
        elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield _Found(path, status)
        else:
            ignored.append(path)


def _patterns_of(folder: Path) -> list[str]:
    for name in IGNORE_FILES:
        if (folder / name).is_file():
            with _said(name):
                return (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
    return []


class _Patterns:
    """Patterns as those of a .gitignore: the last one that matches counts, ! takes back, / at the front or inside
    means from the folder itself, / at the end means folders only, ** is any number of folders."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._rules: list[tuple[re.Pattern[str], bool, bool]] = []
        for line in (*IGNORED, *lines):
            text = line.rstrip()
            if not text or text.startswith("#"):
                continue
            takes_back = text.startswith("!")
            text = text.removeprefix("!").removeprefix("\\")
            only_folders = text.endswith("/")
            text = text.rstrip("/")
            if text:
                anchored = "/" in text
                expression = _expression(text.lstrip("/"))
                self._rules.append(
                    (re.compile(expression if anchored else f"(?:.*/)?{expression}"), takes_back, only_folders)
                )

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether this path is left out."""
        ignored = False
        for expression, takes_back, only_folders in self._rules:
            if (is_folder or not only_folders) and expression.fullmatch(path):
                ignored = not takes_back
        return ignored


def _expression(pattern: str) -> str:
    parts = []
    at = 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            parts.append("(?:[^/]+/)*")
            at += 3
        elif rest.startswith("**"):
            parts.append(".*")
            at += 2
        elif rest[0] == "*":
            parts.append("[^/]*")
            at += 1
        elif rest[0] == "?":
            parts.append("[^/]")
            at += 1
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            inner = rest[1:end].replace("\\", "\\\\")
            parts.append(f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]")
            at += end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            parts.append(re.escape(rest[1]))
            at += 2
        else:
            parts.append(re.escape(rest[0]))
            at += 1
    return "".join(parts)
