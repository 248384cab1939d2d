"""Functions as source text: what travels to a node is what was written, never a pickle of it."""

import ast
import builtins
import inspect
import symtable
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from anchor.core.errors import InvalidRequest

GIVEN = frozenset({"anchor", "inputs"})
"""Names that a node gives to all code, beside Python's own."""
_TAKEN = frozenset({"input", *GIVEN})


LATE_ANNOTATIONS = "from __future__ import annotations\n"
"""Before a function's source, so that nothing its annotations name has to be there."""


def source_of_function(function: Callable[..., Any]) -> str:
    """The source of a plain function as a module of its own; InvalidRequest as in `definition_of`."""
    definition = definition_of(function)
    return LATE_ANNOTATIONS + definition if function.__annotations__ else definition


def definition_of(function: Callable[..., Any]) -> str:
    """The `def` of a plain function. InvalidRequest where it would not mean elsewhere what it means here: it is no
    `def`, or uses what is defined outside."""
    name = getattr(function, "__name__", repr(function))
    if not isinstance(function, FunctionType):
        raise _cannot(name, "it is no function written in Python", "Give a `def`, or source text as a string.")
    if function.__name__ == "<lambda>":
        raise _cannot("A lambda", "it has no source of its own", "Write it as a `def`.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise _cannot(name, "it yields", "Return a list: what comes back is one JSON value.")
    if function.__code__.co_freevars:
        names = ", ".join(f"`{free}`" for free in function.__code__.co_freevars)
        raise _cannot(name, f"it uses {names} of the function around it", "Pass that as an argument.")
    try:
        source = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(source)
    except (OSError, SyntaxError) as error:
        raise _cannot(name, "its source is not to be found", "Put it into a file, or give its source text.") from error
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        raise _cannot(name, "its source is not a `def`", "Write it as one.")
    if definition.decorator_list:
        raise _cannot(name, "it has a decorator", "Give a function without one, and decorate it inside if need be.")
    if definition.name in _TAKEN:
        raise _cannot(name, "a node gives code something else by that name", "Call it something else.")
    _strip_annotations(tree)
    if outside := sorted(set(_from_outside(ast.unparse(tree), definition.name))):
        names = ", ".join(f"`{one}`" for one in outside)
        raise _cannot(
            name,
            f"it uses {names} from outside of itself",
            "Import modules inside of it, and pass values as arguments.",
        )
    return source


def _cannot(name: str, why: str, hint: str) -> InvalidRequest:
    return InvalidRequest(f"{name} cannot be sent to a node: {why}.", hint=hint, code="not_sendable")


def _strip_annotations(tree: ast.Module) -> None:
    """Take out what is not looked at where annotations are only text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)


def _from_outside(source: str, own: str) -> Iterator[str]:
    """Names that a module of this source would have to find somewhere else."""
    module = symtable.symtable(source, "function", "exec")
    known = {own, *GIVEN, *dir(builtins)}
    tables = [module]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            is_loose = symbol.is_global() or (table is module and not symbol.is_assigned())
            if is_loose and symbol.is_referenced() and symbol.get_name() not in known:
                yield symbol.get_name()
