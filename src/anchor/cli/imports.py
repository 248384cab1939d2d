"""The files that a JavaScript module imports by relative paths, so that they can travel with it."""

import os
import re
from pathlib import Path

from anchor.cli.exits import Usage
from anchor.core.spec import FILES_MAX

_IMPORT = re.compile(r"""\b(?:from|import)\s*\(?\s*(["'])(\.{1,2}/[^"'\n]+)\1""")


def relative_imports(file: Path, source: str) -> dict[str, str]:
    """The source of every module that `file` imports, directly or by way of another, by its path from the folder of
    `file`. What is not there is left for the runtime to complain about, which knows line and column."""
    top = Path(os.path.abspath(file.parent))
    entry = Path(os.path.abspath(file))
    modules: dict[str, str] = {}
    waiting = [(entry, source)]
    while waiting:
        importer, text = waiting.pop()
        for found in _IMPORT.finditer(text):
            path = Path(os.path.normpath(importer.parent / found[2]))
            if not path.is_file():
                continue
            name = _name_in(top, path, importer)
            if name not in modules:
                modules[name] = _source_of(path)
                waiting.append((path, modules[name]))
        if len(modules) > FILES_MAX:
            raise Usage(
                f"{file} imports more than {FILES_MAX} files.",
                hint="Bundle them into one, with a tool such as esbuild.",
            )
    return modules


def _name_in(top: Path, path: Path, importer: Path) -> str:
    if not path.is_relative_to(top):
        raise Usage(
            f"{importer} imports {path}, which lies outside of the folder of the file to run.",
            hint=f"Run a file in a folder above both, or bundle them into one. The folder is {top}.",
        )
    return path.relative_to(top).as_posix()


def _source_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(
            f"{path} cannot be read as UTF-8 text: {error}.", hint="Check its permissions and encoding."
        ) from error
