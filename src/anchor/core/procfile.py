"""Procfiles: one process a line, as `name: command`."""

import re
from typing import Final

from anchor.core.errors import InvalidRequest

PROCFILE: Final = "Procfile"
_COMMAND_MAX: Final = 4000
_LINE: Final = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(.*)")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}")


def processes_in(content: bytes) -> dict[str, str]:
    """The command of each process by its name; InvalidRequest (`bad_procfile`) says which line is wrong."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad("is not UTF-8 text", 0) from None
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or not match[2]:
            raise _bad("is not of the form name: command", number)
        name, command = match[1], match[2]
        if not _NAME.fullmatch(name):
            raise _bad(f"names the process {name}; a name has small letters, digits, - and _, at most 31", number)
        if name in found:
            raise _bad(f"names the process {name} a second time", number)
        if len(command) > _COMMAND_MAX or "\0" in command:
            raise _bad(f"has a command of more than {_COMMAND_MAX} characters, or with a NUL in it", number)
        found[name] = command
    if not found:
        raise _bad("names no process", 0)
    return found


def _bad(what: str, line: int) -> InvalidRequest:
    where = f"Line {line} of the Procfile" if line else "The Procfile"
    return InvalidRequest(
        f"{where} {what}.", hint="Write one process a line, such as web: node server.js.", code="bad_procfile"
    )
