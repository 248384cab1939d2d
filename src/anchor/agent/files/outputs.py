"""Takes the output files of a job that succeeded out of its directory, as they are named by its glob patterns."""

import asyncio
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from anchor.agent.files.folder import Folder
from anchor.agent.parcels import Changed, NotTaken, Parcels
from anchor.agent.threads import in_thread
from anchor.core.attempt import OutputFile
from anchor.core.errors import FailureCode
from anchor.core.file_names import FILE_NAME_BYTES_MAX, fault_in_name
from anchor.core.globs import Glob
from anchor.core.spec import MIB

OUTPUT_FILES_MAX = 200
ENTRIES_MAX = 100_000
"""Files and folders that are looked at to find the outputs of one job."""
UPLOADS_MAX = 4
"""Files of one job brought to the server at the same time."""
NAMED_MAX = 10
READ_BYTES = MIB


class OutputProblem(Exception):
    """The outputs cannot be kept: a code, a sentence, and what to do."""

    def __init__(self, code: FailureCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Found(NamedTuple):
    """A file that is an output: its path in the directory, and what must not have changed when it has been read."""

    name: str
    size: int
    inode: int
    changed_ns: int


async def keep(directory: Path, patterns: Sequence[str], parcels: Parcels, *, bytes_max: int) -> tuple[OutputFile, ...]:
    """Bring the files that the patterns name to the server; they, sorted by name. Raises OutputProblem."""
    found = await in_thread(find, directory, patterns, bytes_max=bytes_max)
    uploads = asyncio.Semaphore(UPLOADS_MAX)

    async def bring(one: Found) -> OutputFile:
        async with uploads:
            return await _bring(directory, one, parcels)

    try:
        async with asyncio.TaskGroup() as group:
            brought = [group.create_task(bring(one)) for one in found]
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return tuple(task.result() for task in brought)


def find(directory: Path, patterns: Sequence[str], *, bytes_max: int) -> list[Found]:
    """The regular files that the patterns name, sorted; no link is followed. Raises OutputProblem."""
    search = _Search(patterns, bytes_max)
    try:
        opened = Folder.open(directory)
    except OSError as error:
        raise _changed("", error) from error
    with opened as top:
        search.run(top)
        unmatched = [pattern for pattern in patterns if pattern not in search.matched]
        if unmatched:
            there = _contents(top)
            why = search.passed_over.get(unmatched[0], "")
            raise OutputProblem(
                FailureCode.OUTPUT_MISSING,
                f"No file matches the output pattern {unmatched[0]}{why}; the directory holds {there}.",
                "Have the task write it into its working directory, or correct the pattern in payload.outputs.",
            )
    return sorted(search.found)


class _Search:
    def __init__(self, patterns: Sequence[str], bytes_max: int) -> None:
        self._globs = [Glob(pattern) for pattern in patterns]
        self._left = bytes_max
        self._bytes_max = bytes_max
        self._seen = 0
        self.found: list[Found] = []
        self.matched: set[str] = set()
        self.passed_over: dict[str, str] = {}
        """By pattern, why something that it names is no output."""

    def run(self, top: Folder) -> None:
        waiting: list[tuple[tuple[str, ...], list[Glob]]] = [((), self._globs)]
        while waiting:
            path, globs = waiting.pop()
            try:
                waiting.extend(self._folders_in(top, path, path, globs))
            except OSError as error:
                raise _changed("/".join(path), error) from error

    def _folders_in(
        self, folder: Folder, way: tuple[str, ...], path: tuple[str, ...], globs: list[Glob]
    ) -> list[tuple[tuple[str, ...], list[Glob]]]:
        """Look through the folder at the end of `way`; those in it in which something may match."""
        if way:
            with folder.folder(way[0]) as inner:
                return self._folders_in(inner, way[1:], path, globs)
        folders = []
        for name, status in folder.entries():
            self._seen += 1
            if self._seen > ENTRIES_MAX:
                raise OutputProblem(
                    FailureCode.OUTPUT_LIMIT,
                    f"There are more than {ENTRIES_MAX} files to look through for outputs.",
                    "Write the outputs into a folder of their own and name that folder in the patterns.",
                )
            if stat.S_ISDIR(status.st_mode):
                entered = [deeper for glob in globs if (deeper := glob.entering(name)) is not None]
                if entered:
                    _require_fit((*path, name))
                    folders.append(((*path, name), entered))
            meant = [glob.pattern for glob in globs if glob.matches(name)]
            if meant and stat.S_ISREG(status.st_mode):
                self.matched.update(meant)
                self._take("/".join((*path, name)), status)
                continue
            for pattern in meant:
                self.passed_over.setdefault(pattern, f" ({'/'.join((*path, name))!a} is {_kind(status.st_mode)})")
        return folders

    def _take(self, name: str, status: os.stat_result) -> None:
        _require_fit(tuple(name.split("/")))
        if (wrong := fault_in_name(name)) is not None:
            raise OutputProblem(FailureCode.RESULT_INVALID, f"The name of the output file {name!a} {wrong}.")
        if len(self.found) == OUTPUT_FILES_MAX:
            raise OutputProblem(
                FailureCode.OUTPUT_LIMIT,
                f"The output patterns name more than {OUTPUT_FILES_MAX} files.",
                "Pack them into one archive, or choose fewer with narrower patterns.",
            )
        self._left -= status.st_size
        if self._left < 0:
            raise OutputProblem(
                FailureCode.DISK_LIMIT,
                f"The output files are larger than the limit of {self._bytes_max // MIB} MiB.",
                "Raise limits.diskMb, or keep less.",
            )
        self.found.append(Found(name, status.st_size, status.st_ino, status.st_mtime_ns))


async def _bring(directory: Path, one: Found, parcels: Parcels) -> OutputFile:
    try:
        fd = await in_thread(_opened, directory, one)
        try:
            digest = await in_thread(_digest_of, fd, one)
            await parcels.bring_file(digest, fd, one.size)
            await in_thread(_require_same, fd, one)
        finally:
            os.close(fd)
    except OSError as error:
        raise _changed(one.name, error) from error
    except NotTaken as error:
        raise OutputProblem(
            FailureCode.OUTPUT_LIMIT, f"The output file {one.name} was not kept: {error.message}", error.hint
        ) from error
    return OutputFile(one.name, digest, one.size)


def _opened(directory: Path, one: Found) -> int:
    with Folder.open(directory) as top:
        fd = _file_in(top, one.name.split("/"))
    try:
        _require_same(fd, one)
    except Changed:
        os.close(fd)
        raise
    return fd


def _file_in(folder: Folder, way: list[str]) -> int:
    if len(way) == 1:
        return folder.file(way[0])
    with folder.folder(way[0]) as inner:
        return _file_in(inner, way[1:])


def _digest_of(fd: int, one: Found) -> str:
    hashed = hashlib.sha256()
    left = one.size
    while left and (chunk := os.read(fd, min(READ_BYTES, left))):
        hashed.update(chunk)
        left -= len(chunk)
    _require_same(fd, one)
    return hashed.hexdigest()


def _require_same(fd: int, one: Found) -> None:
    now = os.fstat(fd)
    if (now.st_size, now.st_ino, now.st_mtime_ns) != (one.size, one.inode, one.changed_ns):
        raise Changed("it was changed while it was read")


def _require_fit(path: tuple[str, ...]) -> None:
    name = "/".join(path)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise OutputProblem(
            FailureCode.RESULT_INVALID, f"The name of the output file {name!a} is not UTF-8.", "Rename it."
        ) from None
    if size > FILE_NAME_BYTES_MAX:
        raise OutputProblem(
            FailureCode.OUTPUT_LIMIT,
            f"The path of an output has {size} bytes, and at most {FILE_NAME_BYTES_MAX} are allowed: {name[:60]!a}…",
            "Use shorter names or fewer folders.",
        )


def _changed(name: str, error: OSError) -> OutputProblem:
    why = error.strerror or str(error)
    return OutputProblem(
        FailureCode.OUTPUT_MISSING,
        f"The output {name or 'directory'} changed or went away while it was collected: {why}.",
        "Have the task wait for everything it started before it ends.",
    )


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder, whose files are matched by its name and /**"
    return "a link, which is not followed" if stat.S_ISLNK(mode) else "no regular file"


def _contents(top: Folder) -> str:
    """What is in a directory, in words."""
    names = sorted(f"{name!a}"[1:-1] + ("/" if stat.S_ISDIR(status.st_mode) else "") for name, status in top.entries())
    if not names:
        return "nothing"
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
