"""Where a name in JavaScript is declared, told from the syntax tree above it."""

from collections.abc import Callable
from typing import Final

from tree_sitter import Node

Chain = list[tuple[Node, str | None]]
"""A node and the ones above it, from the program down, each with its field in the one above."""
FUNCTIONS: Final = frozenset(
    {
        "function_declaration",
        "generator_function_declaration",
        "function_expression",
        "generator_function",
        "arrow_function",
        "method_definition",
        "class_static_block",
    }
)
_BLOCKS: Final = FUNCTIONS | {"statement_block", "switch_body", "for_statement", "for_in_statement", "program"}
PATTERNS: Final = frozenset({"object_pattern", "array_pattern", "rest_pattern"})
DECLARED: Final = frozenset({"function_declaration", "generator_function_declaration", "class_declaration"})
NAMED_INSIDE: Final = frozenset({"function_expression", "generator_function", "class"})


def scope_of(chain: Chain) -> Node | None:
    """Where the identifier at the end of a chain declares its name; None where it only uses it."""
    at = len(chain) - 1
    while True:
        above, named = chain[at - 1][0], chain[at][1]
        if above.type in PATTERNS or (
            (above.type in ("assignment_pattern", "object_assignment_pattern") and named == "left")
            or (above.type == "pair_pattern" and named == "value")
        ):
            at -= 1
            continue
        break
    kind = above.type
    if kind == "variable_declarator" and named == "name":
        return _nearest(chain, at - 1, _is_function if chain[at - 2][0].type == "variable_declaration" else _is_block)
    if kind == "for_in_statement" and named == "left":
        word = above.child_by_field_name("kind")
        if word is None:
            return None
        return _nearest(chain, at - 1, _is_function) if word.type == "var" else above
    if kind == "formal_parameters":
        return chain[at - 2][0]
    if (kind, named) in (("arrow_function", "parameter"), ("catch_clause", "parameter")):
        return above
    if kind in DECLARED and named == "name":
        return _nearest(chain, at - 2, _is_block)
    if kind in NAMED_INSIDE and named == "name":
        return above
    return None


def _is_function(kind: str) -> bool:
    return kind in FUNCTIONS or kind == "program"


def _is_block(kind: str) -> bool:
    return kind in _BLOCKS


def _nearest(chain: Chain, at: int, fits: Callable[[str], bool]) -> Node:
    return next((node for node, _ in reversed(chain[: at + 1]) if fits(node.type)), chain[0][0])
