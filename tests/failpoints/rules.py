"""Where failpoints have to be, so that nobody forgets one: between a durable effect and whatever comes after it."""

import ast
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from tests.failpoints.points import ROOT, name_of

WRITES = frozenset(
    {"insert", "swap", "insert_node", "swap_node", "append", "claim", "fulfil", "add_key", "swap_key", "remove_key"}
    | {"swap_duty", "audit_append", "remove_finished", "set_epoch", "put", "push", "sweep"}
    | {"insert_run", "swap_run", "remove_runs", "insert_case", "swap_case", "remove_cases"}
    | {"insert_app", "swap_app", "remove_app", "trim_log"}
    | {"add_usage", "forget_usage"}
)
READS = frozenset(
    {"get", "due", "queued", "page", "count", "counts", "pulse", "payloads", "has_room", "node", "nodes", "read", "key"}
    | {"duty", "duties", "audit_tail", "audit_page", "epoch", "close", "size", "missing", "pop", "shapes"}
    | {"states", "run", "runs_due", "runs_page", "run_counts", "case", "cases_page", "round_counts"}
    | {"app", "app_named", "app_versions", "apps_due", "usage", "endings", "keys"}
)
"""The methods of the ports for truth, blobs and hints. `pop` takes away a hint, which may be lost."""
_HOLDERS = frozenset({"store", "_keys", "blobs", "ready"})
"""What such a port is called where it is used."""
_OF_MONGO = frozenset(
    {"insert_one", "insert_many", "update_one", "replace_one", "delete_one", "delete_many", "bulk_write", "rename"}
)
Function = ast.FunctionDef | ast.AsyncFunctionDef
Test = Callable[[ast.AST], bool]


def functions_in(*folders: str) -> Iterator[tuple[str, Function, ast.Module]]:
    """Every function below folders (or in files) of the package, with what to call it."""
    for folder in folders:
        place = ROOT / folder
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            module = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(module):
                if isinstance(node, Function):
                    yield f"{path.relative_to(ROOT).as_posix()} {node.name}", node, module


def unfollowed(function: Function, is_effect: Test, *, last_too: bool = True) -> list[int]:
    """Lines of effects that no failpoint follows before the next effect (or, with `last_too`, the function's end)."""
    marks = sorted(
        {(_line(node), name_of(node) is not None) for node in ast.walk(function) if _counts(node, is_effect)}
    )
    missing = [line for (line, is_point), (_, next_is_point) in pairwise(marks) if not is_point and not next_is_point]
    if last_too and marks and not marks[-1][1]:
        missing.append(marks[-1][0])
    return missing


def _counts(node: ast.AST, is_effect: Test) -> bool:
    return name_of(node) is not None or is_effect(node)


def _line(node: ast.AST) -> int:
    line: int = getattr(node, "lineno", 0)
    return line


def writes_through_a_port(node: ast.AST) -> bool:
    """`await ….store.swap(…)` and its like."""
    if not (isinstance(node, ast.Await) and isinstance(node.value, ast.Call)):
        return False
    called = node.value.func
    if not (isinstance(called, ast.Attribute) and called.attr in WRITES):
        return False
    holder = called.value
    return (holder.id if isinstance(holder, ast.Name) else getattr(holder, "attr", "")) in _HOLDERS


def writes_to_mongo(node: ast.AST) -> bool:
    """A call, or a bound method to be called, that changes documents."""
    return isinstance(node, ast.Attribute) and node.attr in _OF_MONGO


def changes_a_disk(node: ast.AST) -> bool:
    """COMMIT, fsync, and putting a file under its name."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    first = node.args[0] if node.args else None
    match node.func.attr:
        case "execute":
            return isinstance(first, ast.Constant) and first.value == "COMMIT"
        case "fsync":
            return True
        case "replace" | "rename":
            return len(node.args) == 1 and not node.keywords
    return False


def has_point_near(function: Function, module: ast.Module) -> bool:
    """Whether a function has a failpoint, or one that calls it in the same file, however far up."""
    asked: set[str] = set()
    near = [function]
    while near:
        one = near.pop()
        if any(name_of(node) is not None for node in ast.walk(one)):
            return True
        asked.add(one.name)
        near += [
            other
            for other in ast.walk(module)
            if isinstance(other, Function) and other.name not in asked and one.name in _names_in(other)
        ]
    return False


def _names_in(function: Function) -> set[str]:
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}


def methods_of_ports() -> set[str]:
    """What the ports for truth, blobs and hints can do."""
    found: set[str] = set()
    for name in ("store", "blobs", "ready"):
        module = ast.parse(Path(ROOT / "ports" / f"{name}.py").read_text(encoding="utf-8"))
        found |= {
            method.name
            for protocol in ast.walk(module)
            if isinstance(protocol, ast.ClassDef)
            for method in protocol.body
            if isinstance(method, Function)
        }
    return found
