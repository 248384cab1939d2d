"""Files that go with a task: `--file PATH[=NAME]`, found, named and uploaded."""

from collections.abc import Sequence
from pathlib import Path

from anchor.cli.exits import Usage
from anchor.client import Client
from anchor.core.file_names import fault_in_name
from anchor.core.spec import FILES_MAX


def files_of(given: Sequence[str]) -> dict[str, Path]:
    """The files meant, by the names they have in the task's directory: a file by its own, a folder with all it holds.

    Usage where one is not there, or is named like another.
    """
    found: dict[str, Path] = {}
    for text in given:
        path, name = _split(text)
        if path.is_dir():
            _add_folder(found, path, name)
        elif path.is_file():
            _add(found, name or path.name, path)
        else:
            raise Usage(f"--file: there is no file {path}.", hint="Write --file PATH, or --file PATH=NAME.")
    return found


def uploaded(client: Client, files: dict[str, Path]) -> dict[str, str]:
    """The same as a payload's `files`; what the server has already is not sent again."""
    return {name: f"sha256:{client.upload(path)}" for name, path in files.items()}


def _split(text: str) -> tuple[Path, str]:
    """Path and name; a path that is there as it stands may have an equals sign in it."""
    path, equals, name = text.rpartition("=")
    if not equals or Path(text).exists():
        return Path(text), ""
    return Path(path), name


def _add_folder(found: dict[str, Path], folder: Path, name: str) -> None:
    """`NAME/…` for each file below it; `.` as NAME puts them into the task's directory itself."""
    top = "" if name == "." else f"{name or folder.resolve().name}/"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if len(files) > FILES_MAX:
        raise Usage(
            f"--file: {folder} holds {len(files):,} files; a task takes {FILES_MAX}.",
            hint="Pack them into one archive and unpack it in the task.",
        )
    for path in files:
        _add(found, top + path.relative_to(folder).as_posix(), path)


def _add(found: dict[str, Path], name: str, path: Path) -> None:
    if (fault := fault_in_name(name)) is not None:
        raise Usage(f"--file: the name {name!r} {fault}.")
    if name in found:
        raise Usage(f"--file: {found[name]} and {path} are both named {name}.", hint="Write --file PATH=NAME.")
    found[name] = path
    if len(found) > FILES_MAX:
        raise Usage(
            f"--file: these are more than the {FILES_MAX} files that a task takes.",
            hint="Pack them into one archive and unpack it in the task.",
        )
