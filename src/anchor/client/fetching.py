"""Downloads: bytes that arrive beside their place, go on after a break, are verified, and only then put into it."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from anchor.client import calls
from anchor.client.answers import TRANSIENT, Answer, failure_of, stranger
from anchor.client.exchange import Manners, backoff_seconds, unreachable
from anchor.core.errors import Conflict, InvalidRequest, Unavailable
from anchor.core.file_names import fault_in_name
from anchor.wire.rest import TaskFile

PART_SUFFIX = ".anchor-part"
CHUNK_BYTES = 256 * 1024


class Wanted(msgspec.Struct, frozen=True):
    """Bytes to fetch: where on the server, their SHA-256 (64 hex digits), and the file to put them into."""

    url: str
    digest: str
    to: Path


class Fetching:
    """One file being fetched over however many connections that takes. Close it.

    What has arrived waits in a file beside the target, and with `resume` is gone on with another day.
    """

    def __init__(self, wanted: Wanted, manners: Manners, *, resume: bool, overwrite: bool) -> None:
        self._wanted = wanted
        self._manners = manners
        self._overwrite = overwrite
        self._part = wanted.to.with_name(f".{wanted.digest}{PART_SUFFIX}")
        self._failures = 0
        self._spent = 0.0
        self.is_over = False
        self._hashed = hashlib.sha256()
        self._size = 0
        _refuse_to_overwrite(wanted.to, overwrite)
        try:
            self._file = self._part.open("r+b" if resume and self._part.is_file() else "w+b")
            while chunk := self._file.read(CHUNK_BYTES):
                self._hashed.update(chunk)
                self._size += len(chunk)
        except OSError as error:
            raise _unwritable(wanted.to, error) from error

    def call(self) -> calls.Call[None]:
        """The request that goes on where the last connection broke off."""
        return calls.fetch(self._wanted.url, self._size, self._wanted.digest)

    def is_open(self, status: int) -> bool:
        """Whether a response brings bytes; those before are forgotten where it begins with the first."""
        if status == 200 and self._size:
            self._start_over()
        if status == 416:  # everything is here already, or what is here is something else
            if self._hashed.hexdigest() == self._wanted.digest:
                self.finish()
            else:
                self._start_over()
        return status in (200, 206)

    def refused(self, answer: Answer) -> str:
        """Why there are no bytes this time; raises where there never will be."""
        if answer.status == 416:
            return "the server has other bytes"
        error = failure_of(answer, self._manners.url) or stranger(answer, self._manners.url)
        if answer.status not in TRANSIENT:
            raise error
        return error.message

    def feed(self, chunk: bytes) -> None:
        """Keep bytes that arrived."""
        self._failures, self._spent = 0, 0.0
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _unwritable(self._wanted.to, error) from error
        self._hashed.update(chunk)
        self._size += len(chunk)

    def finish(self) -> None:
        """All of it has arrived: verify it and put it into its place."""
        digest = self._hashed.hexdigest()
        if digest != self._wanted.digest:
            self._file.close()
            self._part.unlink(missing_ok=True)
            raise Unavailable(
                f"The bytes for {self._wanted.to} have the SHA-256 {digest}, not {self._wanted.digest}.",
                hint="They were changed on the way or at the server, and thrown away. Try again.",
                code="digest_mismatch",
            )
        _refuse_to_overwrite(self._wanted.to, self._overwrite)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._wanted.to)
        except OSError as error:
            raise _unwritable(self._wanted.to, error) from error
        self.is_over = True

    def broke(self, why: str, took_seconds: float = 0.0) -> float:
        """How long to wait before the next connection; Unavailable where patience is at its end."""
        self._failures += 1
        pause = backoff_seconds(self._failures, self._manners.chance())
        self._spent += took_seconds + pause
        if self._spent > self._manners.patience_seconds:
            raise unreachable(self._manners.url, why)
        return pause

    def close(self) -> None:
        """Let go of the file; what has arrived stays, to be gone on with."""
        self._file.close()

    def _start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hashed = hashlib.sha256()
        self._size = 0


def wanted_files(files: Sequence[TaskFile], directory: Path, *, overwrite: bool) -> list[Wanted]:
    """Where in a directory a task's files go, its folders made.

    InvalidRequest for a name that leads elsewhere, Conflict where something is in the way.
    """
    wanted = []
    for file in files:
        fault = fault_in_name(file.name)
        if fault is not None or file.name.endswith(PART_SUFFIX) or (os.name == "nt" and ":" in file.name):
            raise InvalidRequest(
                f"The file {file.name[:100]!r} is not saved: its name {fault or 'is not usable here'}.",
                hint=f"Fetch it by itself under a name of yours: GET {file.url}",
                code="unsafe_name",
            )
        wanted.append(Wanted(file.url, file.sha256, directory / file.name))
    for one in wanted:
        _refuse_to_overwrite(one.to, overwrite)
    for one in wanted:
        _make_folders(directory, one.to.parent)
    return wanted


def _make_folders(directory: Path, folder: Path) -> None:
    """Make a folder inside the directory, on a way without links: one could lead outside."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for part in reversed([folder, *folder.parents][: len(folder.relative_to(directory).parts)]):
            if part.is_symlink():
                raise Conflict(
                    f"{part} is a link, and nothing is saved through it.",
                    hint="Remove it, or save into another directory.",
                    code="unsafe_name",
                )
            part.mkdir(exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _refuse_to_overwrite(target: Path, overwrite: bool) -> None:
    if not overwrite and (target.exists() or target.is_symlink()):
        raise Conflict(
            f"{target} is there already.",
            hint="Save into another directory, or ask for it to be overwritten.",
            code="file_exists",
        )


def _unwritable(target: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(
        f"{target} cannot be written: {error.strerror or error}.", hint="Check its path, its permissions and the disk."
    )
