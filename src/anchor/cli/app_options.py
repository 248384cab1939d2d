"""What is said of apps on a command line, read: replicas, variables."""

import sys
from collections.abc import Iterable
from pathlib import Path

from anchor.cli.exits import Usage

TIMEOUT_SECONDS = 900.0
DETACH_HELP = "Do not wait for it."
TIMEOUT_HELP = "How long to wait for it; 30 at most where no node fits."


def replicas_of(words: Iterable[str]) -> dict[str, int]:
    """`web=3 worker=1` by process; a number alone is that of `web`."""
    found: dict[str, int] = {}
    for word in words:
        process, equals, number = word.rpartition("=")
        if not number.isdecimal() or (equals and not process):
            raise Usage(f"{word!r} is no number of replicas.", hint="Write PROCESS=N, as in web=3.")
        found[process or "web"] = int(number)
    return found


def variables_of(words: Iterable[str], file: str | None) -> dict[str, str]:
    """`KEY=VALUE` by key, and those of a file of such lines (`-`: standard input); what is in both is as said here."""
    found = {} if file is None else _in_file(file)
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Usage(f"{word[:60]!r} names no value.", hint="Write KEY=VALUE.")
        found[name] = value
    return found


def _in_file(file: str) -> dict[str, str]:
    """Lines as `.env` files have them: `KEY=VALUE`, `export KEY=VALUE`, quotes around the value, # for comments."""
    name = "standard input" if file == "-" else file
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        lines = content.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is not UTF-8 text (byte {error.start})"
        raise Usage(f"{name} cannot be read: {why}.", hint="Check its path and permissions.") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise Usage(f"{name}, line {number}: there is no KEY=VALUE.", hint="A comment begins with #.")
        found[key.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    """A value without the quotes around it; in double ones \\n, \\" and \\\\ are what they usually are."""
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "'\"":
        return value
    inner = value[1:-1]
    if value[0] == "'":
        return inner
    return inner.replace("\\\\", "\0").replace("\\n", "\n").replace('\\"', '"').replace("\0", "\\")
