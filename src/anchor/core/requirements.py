"""Python requirements as apps may state them: names and versions of the package index, also with hashes."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from anchor.core.errors import InvalidRequest

REQUIREMENTS: Final = "requirements.txt"
LOCK: Final = "requirements.lock"
PYPROJECT: Final = "pyproject.toml"
UV_LOCK: Final = "uv.lock"
_INCLUDES_MAX: Final = 20
_LINE_MAX: Final = 2000
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[A-Za-z0-9._, -]*\])?\s*"
    r"\(?(?:(?:[<>=!~]=?=?\s*[0-9A-Za-z.*+!_-]+)(?:\s*,\s*[<>=!~]=?=?\s*[0-9A-Za-z.*+!_-]+)*,?)?\s*\)?\s*"
    r"(?:;[\w\s.'\"<>=!~(),-]*)?"
)
_HASH: Final = re.compile(r"\s--hash[= ](\w+:[0-9a-f]+)")
_INCLUDE: Final = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]\s*(\S+)")
_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")

Files = Mapping[str, bytes | None]


def is_read(path: str) -> bool:
    """Whether the content of this file matters here."""
    return path in (PYPROJECT, UV_LOCK) or (
        "/" not in path and path.endswith((".txt", ".lock", ".in")) and "requir" in path
    )


def is_one(files: Files) -> bool:
    """Whether the source states requirements."""
    return any(name in files for name in (REQUIREMENTS, LOCK, PYPROJECT))


def stated(files: Files) -> list[str]:
    """Each requirement of the source as one line, those of included files among them; none where it states none.

    InvalidRequest (`dependency_error`) where one comes from anywhere but the package index, with its line.
    """
    for name in (LOCK, REQUIREMENTS):
        if name in files:
            return list(_lines(files, name, [name]))
    if PYPROJECT in files:
        return _of_pyproject(pyproject(files))
    if "Pipfile" in files:
        raise _unsupported("A Pipfile is not read here", "Run `pipenv requirements > requirements.txt`.")
    return []


def is_locked(lines: list[str]) -> bool:
    """Whether every requirement is pinned with a hash, so that nothing else would be installed."""
    return bool(lines) and all(_HASH.search(line) for line in lines)


def names_in(lines: list[str]) -> set[str]:
    """The normalised names of the packages that are required by name."""
    found = (_REQUIREMENT.match(line) for line in lines)
    return {normal(match["name"]) for match in found if match}


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def checked(line: str, where: str) -> str:
    """A requirement without its comment; InvalidRequest (`dependency_error`) where it is none of the index."""
    # With single spaces and a bounded length, whatever is tried here takes no time.
    bare = " ".join(_HASH.sub("", line).split())
    if len(bare) > _LINE_MAX or not _REQUIREMENT.fullmatch(bare):
        raise _unsupported(f"{where} is {line[:200]!a}, which is no package of the index with a version")
    return line


def pyproject(files: Files) -> dict[str, Any]:
    """pyproject.toml as a table; InvalidRequest (`bad_pyproject`) with the line where it is none."""
    content = files.get(PYPROJECT)
    if content is None:
        raise _bad_pyproject("is larger than 256 KiB, or missing")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _bad_pyproject("is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise _bad_pyproject(f"is not TOML: {error}") from None


def _of_pyproject(told: dict[str, Any]) -> list[str]:
    project = told.get("project")
    if not isinstance(project, dict):
        if isinstance(told.get("tool"), dict) and "poetry" in told["tool"]:
            raise _unsupported(
                "pyproject.toml states its dependencies for Poetry only, which is not read here",
                "Run `poetry export -o requirements.txt`, or state them under [project].",
            )
        return []
    wanted = project.get("dependencies", [])
    if "dependencies" in project.get("dynamic", []):
        raise _unsupported("pyproject.toml leaves its dependencies to a build (dynamic)", "State them under [project].")
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise _bad_pyproject("has something else than a list of texts under project.dependencies")
    return [checked(one.strip(), f"Dependency {number} of pyproject.toml") for number, one in enumerate(wanted, 1)]


def _lines(files: Files, name: str, way: list[str]) -> Iterator[str]:
    content = files.get(name)
    if content is None:
        raise _unsupported(f"{way[0]} includes {name[:200]!a}, which is not among the source's requirements files")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unsupported(f"{name} is not UTF-8 text") from None
    begun, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        start = start if begun else number
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        line, begun = (begun + line).strip(), ""
        if not line:
            continue
        if included := _INCLUDE.fullmatch(line):
            inner = included[1].removeprefix("./")
            if inner in way or len(way) > _INCLUDES_MAX:
                raise _unsupported(f"Line {start} of {name} includes {inner}, which includes it")
            yield from _lines(files, inner, [*way, inner])
        elif line.startswith("-"):
            raise _unsupported(
                f"Line {start} of {name} is the option {line.split()[0][:100]!a}, which is not taken here"
            )
        else:
            yield checked(line, f"Line {start} of {name}")


def _unsupported(what: str, hint: str = "") -> InvalidRequest:
    hint = hint or "Write name==version, one a line; the node's owner says which index is used."
    return InvalidRequest(f"{what}.", hint=hint, code="dependency_error")


def _bad_pyproject(what: str) -> InvalidRequest:
    return InvalidRequest(f"pyproject.toml {what}.", hint="Mend it, and deploy again.", code="bad_pyproject")
