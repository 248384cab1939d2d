"""What a script asks of its worker: files of the task's own directory, and digests."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from anchor.agent.runtimes.isolate import v8
from anchor.agent.runtimes.isolate.room import Room

_MIB: Final = 1024 * 1024
_NAME_BYTES_MAX: Final = 255
_FILES_MAX: Final = 10_000
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_HASHES: Final[dict[str, Callable[..., Any]]] = {
    "SHA-1": hashlib.sha1,
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
}


class _Asked(msgspec.Struct):
    verb: Literal["digest", "read", "text", "write", "list"]
    name: str


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Requests:
    """Answers a script's requests. `directory` is where its files are, None where it has none; they may grow to
    `disk_bytes`, 0 without a limit. What is larger than `memory_bytes` is not read."""

    def __init__(self, room: Room, directory: Path | None, disk_bytes: int, memory_bytes: int) -> None:
        self._room = room
        self._directory = directory
        self._disk_bytes = disk_bytes
        self._memory_bytes = memory_bytes
        self._used: int | None = None
        self.overrun = ""
        """What the last refused write was told, empty where none was refused for want of disk."""

    def settle(self, request: bytes) -> None:
        """Do what is asked and answer it. Raises what `Isolate.call` does."""
        isolate = self._room.isolate
        try:
            asked = msgspec.json.decode(request, type=_Asked)
            reply: dict[str, Any] = {"value": self._done(asked)}
        except _Refused as refused:
            reply = {"error": {"code": refused.code, "message": str(refused)}}
        except OSError as error:
            reply = {"error": {"code": "io", "message": f"{_call(asked)}: {_story(error)}"}}
        isolate.call(self._room.answer, isolate.text(msgspec.json.encode(reply).decode()))

    def _done(self, asked: _Asked) -> Any:
        match asked.verb:
            case "digest":
                digest = _HASHES[asked.name](self._given()).digest()
                self._take(len(digest))[:] = digest
            case "list":
                return self._list()
            case "read":
                self._read(asked)
            case "text":
                return self._text(asked)
            case "write":
                self._write(asked)
        return None

    def _given(self) -> memoryview:
        return v8.memory_of(self._room.isolate.call(self._room.wanted))

    def _take(self, size: int) -> memoryview:
        """Fresh memory of the script's for an answer of bytes. Raises ScriptError or HeapFull where there is not so
        much."""
        isolate = self._room.isolate
        return v8.memory_of(isolate.call(self._room.space, isolate.number(size)))

    def _read(self, asked: _Asked) -> None:
        with os.fdopen(self._opened(asked), "rb", buffering=0) as file:
            memory = self._take(os.fstat(file.fileno()).st_size)
            at = 0
            while at < len(memory) and (size := file.readinto(memory[at:])):
                at += size

    def _text(self, asked: _Asked) -> str:
        with os.fdopen(self._opened(asked), "rb") as file:
            return file.read().decode("utf-8-sig", "replace")

    def _write(self, asked: _Asked) -> None:
        path = self._path(asked)
        data = self._given()
        if self._used is None:
            self._used = sum(size for _, size in self._walk())
        try:
            before = path.lstat().st_size
        except FileNotFoundError:
            before = 0
        after = self._used - before + len(data)
        if self._disk_bytes and after > self._disk_bytes:
            self.overrun = (
                f"{_call(asked)}: the task's files may take {self._disk_bytes // _MIB} MiB on disk; "
                f"this would make it {after} bytes"
            )
            raise _Refused("disk_limit", self.overrun)
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_FOLLOW
        with os.fdopen(os.open(path, flags, 0o644), "wb", buffering=0) as file:
            at = 0
            while at < len(data):
                at += file.write(data[at:])
        self._used = after

    def _list(self) -> list[str]:
        names = [name for name, _ in self._walk()]
        if len(names) > _FILES_MAX:
            raise _Refused("too_many", f"anchor.files.list(): there are more than {_FILES_MAX} files")
        return sorted(names)

    def _walk(self) -> list[tuple[str, int]]:
        root = self._root("list", "")
        found = []
        for above, _, names in os.walk(root):
            for name in names:
                path = Path(above, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((path.relative_to(root).as_posix(), status.st_size))
        return found

    def _opened(self, asked: _Asked) -> int:
        path = self._path(asked)
        try:
            fd = os.open(path, os.O_RDONLY | _NO_FOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            raise _Refused("not_found", f"{_call(asked)}: there is no such file") from None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise _Refused("not_a_file", f"{_call(asked)}: it is not a file")
        if status.st_size > self._memory_bytes:
            os.close(fd)
            raise v8.HeapFull
        return fd

    def _root(self, verb: str, name: str) -> Path:
        if self._directory is None:
            raise _Refused(
                "no_files",
                f"anchor.files.{verb}({_quoted(name)}): the task has no files (payload.files, payload.outputs)",
            )
        return self._directory

    def _path(self, asked: _Asked) -> Path:
        """Where a name leads; no part of the way may be a link. Raises _Refused."""
        root = path = self._root(asked.verb, asked.name)
        parts = asked.name.split("/")
        odd = "\\" in asked.name or ":" in asked.name or any(ord(letter) < 32 for letter in asked.name)
        if odd or any(part in ("", ".", "..") for part in parts) or len(asked.name.encode()) > _NAME_BYTES_MAX:
            raise _Refused("bad_name", f"{_call(asked)}: a name is a relative path such as 'out/table.csv'")
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise _Refused("bad_name", f"{_call(asked)}: it is a link, which is not followed")
        assert path.is_relative_to(root)
        return path


def _call(asked: _Asked) -> str:
    return f"anchor.files.{asked.verb}({_quoted(asked.name)})"


def _quoted(name: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:100])
    return f"'{shown}'" if name else ""


def _story(error: OSError) -> str:
    """What went wrong, without the path that is the machine's own."""
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        return "a directory and a file would have the same name"
    return (error.strerror or "it failed").lower()
