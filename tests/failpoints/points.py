"""The list of failpoints, read from the source: nobody keeps it by hand."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import anchor

ROOT = Path(anchor.__file__).parent
_NAME = re.compile(r"[a-z_]+\.[a-z_]+")


@dataclass(frozen=True)
class Point:
    """A call of `reached`; `file` is relative to the package."""

    name: str
    file: str
    line: int


class BadPoint(Exception):
    """A failpoint that cannot be listed."""


def points_in(root: Path = ROOT) -> list[Point]:
    """Every failpoint below a directory, by name; BadPoint for one whose name is no literal, odd, or used twice."""
    found: dict[str, Point] = {}
    for path in sorted(root.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "reached" not in source:  # most files: to parse them all takes seconds
            continue
        for node in ast.walk(ast.parse(source)):
            if not _is_point(node):
                continue
            where = f"{path.relative_to(root)}:{node.lineno}"
            name = name_of(node)
            if name is None or not _NAME.fullmatch(name):
                raise BadPoint(f"{where}: a failpoint's name is one literal like 'part.step'")
            if name in found:
                raise BadPoint(f"{where}: {name} is at {found[name].file}:{found[name].line} already")
            found[name] = Point(name, path.relative_to(root).as_posix(), node.lineno)
    return sorted(found.values(), key=lambda point: point.name)


def _is_point(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return (called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")) == "reached"


def name_of(node: ast.AST) -> str | None:
    """The name in a call of `reached`, where it is a literal; None for any other node."""
    if _is_point(node) and isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        [name] = node.args
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return name.value
    return None
