"""One ES module rewritten as a function that V8 runs without its module interface: same lines, live bindings.

The function is an async generator. Its first step yields a getter for each name that it exports, functions hoisted; its
second step is the author's code. Its parameters are the namespaces of what it imports, `import()` and `import.meta`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import tree_sitter_javascript
from tree_sitter import Language, Node, Parser

from anchor.agent.runtimes.isolate.places import Shift, Text
from anchor.agent.runtimes.isolate.scopes import DECLARED, FUNCTIONS, NAMED_INSIDE, PATTERNS, Chain, scope_of

_PARSER: Final = Parser(Language(tree_sitter_javascript.language()))
_LISTS: Final = frozenset({"program", "statement_block", "switch_case", "switch_default", "class_static_block"})
_NAMES: Final = frozenset({"identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern"})
_PLAIN: Final = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
_BREAKS: Final = re.compile("\r\n|[\n\r\u2028\u2029]")
EVERYTHING: Final = "*"
"""The imported name that stands for a module's whole namespace."""


class ModuleFault(Exception):
    """A module is not what it should be; `offset` is where, in UTF-16 units of its source."""

    def __init__(self, message: str, text: Text, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.place = text.place(offset)


@dataclass(frozen=True)
class Import:
    """A name imported from the module that `request` is the number of; `offset` is where it says so."""

    request: int
    name: str
    offset: int


@dataclass
class Module:
    """A module ready to be linked. `requests` are the specifiers it imports, in order, each with its offset."""

    text: Text
    is_module: bool = False
    is_dynamic: bool = False
    broken_at: int | None = None
    requests: dict[str, int] = field(default_factory=dict)
    imports: list[Import] = field(default_factory=list)
    local: dict[str, str] = field(default_factory=dict)
    """Exported names and the variables behind them."""
    indirect: dict[str, Import] = field(default_factory=dict)
    stars: list[Import] = field(default_factory=list)
    default_name: str = ""
    code: str = ""

    def fault(self, message: str, offset: int) -> ModuleFault:
        """An error at a place in this module."""
        return ModuleFault(message, self.text, offset)


def read(text: Text) -> Module:
    """A source taken apart and rewritten. Without import and export statements it stays a script (`is_module` False).

    Raises ModuleFault.
    """
    return _Reader(text).read()


@dataclass
class _Seen:
    """An identifier of interest, with the nodes above it from the program down and their fields."""

    name: str
    chain: Chain

    @property
    def node(self) -> Node:
        return self.chain[-1][0]


class _Reader:
    def __init__(self, text: Text) -> None:
        source = text.source
        self._data = source.encode("utf-16-le", "surrogatepass")
        self._tree = _PARSER.parse(self._data, encoding="utf16le")
        self._module = Module(text)
        self._edits: list[tuple[int, int, str]] = []
        # The names of ours begin as nothing in the source does.
        number = 0
        while (prefix := f"$_{number or ''}") in source:
            number += 1
        self._prefix = prefix
        self._imported: dict[str, Import] = {}
        self._claimed: dict[str, int] = {}
        """Local names in export clauses, and where."""

    def read(self) -> Module:
        module, root = self._module, self._tree.root_node
        if root.has_error:
            module.broken_at = self._first_error()
        statements = [child for child in root.named_children if child.type in ("import_statement", "export_statement")]
        module.is_module = bool(statements)
        for statement in statements:
            if statement.type == "import_statement":
                self._import(statement)
        for statement in statements:
            if statement.type == "export_statement":
                self._export(statement)
        self._names(root)
        if root.child_count and root.children[0].type == "hash_bang_line":
            self._edits.append((0, 2, "//"))
        module.code = self._rewritten()
        return module

    # What a module imports and exports.

    def _import(self, node: Node) -> None:
        source = node.child_by_field_name("source")
        if source is None:
            return
        request = self._request(source)
        for clause in (child for child in node.named_children if child.type == "import_clause"):
            for part in clause.named_children:
                if part.type == "identifier":
                    self._bind(part, Import(request, "default", _at(part)))
                elif part.type == "namespace_import":
                    self._bind(part.named_children[-1], Import(request, EVERYTHING, _at(part)))
                elif part.type == "named_imports":
                    for one in part.named_children:
                        name = one.child_by_field_name("name")
                        if one.type == "import_specifier" and name is not None:
                            alias = one.child_by_field_name("alias") or name
                            self._bind(alias, Import(request, self._name(name), _at(name)))
        self._replace(node, ";")

    def _bind(self, node: Node, imported: Import) -> None:
        name = self._text(node)
        if name in self._imported:
            raise self._module.fault(f"SyntaxError: Identifier '{name}' has already been declared", _at(node))
        self._imported[name] = imported
        self._module.imports.append(imported)

    def _request(self, source: Node) -> int:
        specifier = self._name(source)
        self._module.requests.setdefault(specifier, _at(source))
        return list(self._module.requests).index(specifier)

    def _export(self, node: Node) -> None:
        source = node.child_by_field_name("source")
        declaration = node.child_by_field_name("declaration")
        value = node.child_by_field_name("value")
        is_default = any(child.type == "default" for child in node.children)
        if declaration is not None or value is not None:
            kept = declaration or value
            assert kept is not None
            if is_default:
                self._export_default(node, kept)
                return
            for name in self._declared_by(kept):
                self._give(self._text(name), self._text(name), _at(name))
            self._replace(node, "", until=kept)
            return
        request = None if source is None else self._request(source)
        for part in node.named_children:
            if part.type == "export_clause":
                for one in (child for child in part.named_children if child.type == "export_specifier"):
                    self._export_specifier(one, request)
            elif part.type == "namespace_export" and request is not None:
                name = part.named_children[-1]
                self._give_indirect(self._name(name), Import(request, EVERYTHING, _at(name)))
        if request is not None and any(child.type == "*" for child in node.children):
            self._module.stars.append(Import(request, EVERYTHING, _at(node)))
        self._replace(node, ";")

    def _export_specifier(self, node: Node, request: int | None) -> None:
        name = node.child_by_field_name("name")
        if name is None:
            return
        alias = node.child_by_field_name("alias") or name
        if request is not None:
            self._give_indirect(self._name(alias), Import(request, self._name(name), _at(name)))
            return
        local = self._text(name)
        if local in self._imported:
            self._give_indirect(self._name(alias), self._imported[local])
        else:
            self._claimed.setdefault(local, _at(name))
            self._give(self._name(alias), local, _at(alias))

    def _export_default(self, node: Node, kept: Node) -> None:
        named = kept.child_by_field_name("name") if kept.type in DECLARED | NAMED_INSIDE else None
        local = self._text(named) if named is not None else f"{self._prefix}d"
        self._give("default", local, _at(node))
        if named is not None:
            self._replace(node, "", until=kept)
            return
        self._module.default_name = local
        if kept.type in ("function_expression", "generator_function", *DECLARED) and kept.type != "class_declaration":
            parameters = kept.child_by_field_name("parameters")
            assert parameters is not None
            self._replace(node, "", until=kept)
            self._edits.append((_at(parameters), _at(parameters), f" {local}"))
            return
        # As a property of that name, so that what has no name yet is called "default" as the language says.
        self._replace(node, f'const {local}=({{"default":', until=kept)
        self._edits.append((kept.end_byte // 2, kept.end_byte // 2, "}).default;"))

    def _give(self, name: str, local: str, offset: int) -> None:
        self._not_twice(name, offset)
        self._module.local[name] = local

    def _give_indirect(self, name: str, imported: Import) -> None:
        self._not_twice(name, imported.offset)
        self._module.indirect[name] = imported

    def _not_twice(self, name: str, offset: int) -> None:
        if name in self._module.local or name in self._module.indirect:
            raise self._module.fault(f"SyntaxError: Duplicate export of '{name}'", offset)

    def _declared_by(self, node: Node) -> Iterator[Node]:
        if node.type in DECLARED:
            name = node.child_by_field_name("name")
            if name is not None:
                yield name
            return
        waiting = [part.child_by_field_name("name") for part in node.named_children]
        waiting.reverse()
        while waiting:
            part = waiting.pop()
            if part is None:
                continue
            if part.type in _NAMES:
                yield part
            elif part.type in ("assignment_pattern", "object_assignment_pattern"):
                waiting.append(part.child_by_field_name("left"))
            elif part.type == "pair_pattern":
                waiting.append(part.child_by_field_name("value"))
            elif part.type in PATTERNS:
                waiting.extend(reversed(part.named_children))

    # Every name that means an import.

    def _names(self, root: Node) -> None:
        """Rewrite what refers to an import, unless something between it and the program has taken the name."""
        of_interest = self._imported.keys() | self._claimed.keys()
        seen = list(self._walk(root, of_interest))
        taken: set[tuple[int, str]] = set()
        references: list[_Seen] = []
        for one in seen:
            scope = scope_of(one.chain)
            if scope is None:
                references.append(one)
            elif scope.type == "program" and one.name in self._imported:
                raise self._module.fault(
                    f"SyntaxError: Identifier '{one.name}' has already been declared", _at(one.node)
                )
            else:
                taken.add((scope.id, one.name))
        for local, offset in self._claimed.items():
            if (root.id, local) not in taken and self._module.broken_at is None:
                raise self._module.fault(f"SyntaxError: Export '{local}' is not defined in the module", offset)
        for one in references:
            imported = self._imported.get(one.name)
            if imported is not None and not any((node.id, one.name) in taken for node, _ in one.chain):
                self._refer(one, imported)

    def _walk(self, root: Node, of_interest: set[str]) -> Iterator[_Seen]:
        cursor = root.walk()
        chain: Chain = []
        functions = 0
        while True:
            node = cursor.node
            assert node is not None
            kind = node.type
            chain.append((node, cursor.field_name))
            self._look_at(node, kind, chain, functions)
            if kind in ("import_statement", "export_clause"):
                # Their names are no expressions.
                descended = False
            elif kind in _NAMES:
                descended = False
                name = self._text(node)
                if name in of_interest:
                    yield _Seen(name, chain.copy())
            else:
                descended = cursor.goto_first_child()
            functions += kind in FUNCTIONS and descended
            if descended:
                continue
            while True:
                chain.pop()
                if cursor.goto_next_sibling():
                    break
                if not cursor.goto_parent():
                    return
                functions -= chain[-1][0].type in FUNCTIONS

    def _look_at(self, node: Node, kind: str, chain: Chain, functions: int) -> None:
        if kind == "import" and node.is_named and chain[-2][0].type == "call_expression":
            self._module.is_dynamic = True
            self._replace(node, f"{self._prefix}i")
        elif kind == "meta_property" and self._text(node).startswith("import"):
            self._module.is_module = True
            self._replace(node, f"{self._prefix}m")
        elif kind in ("return_statement", "yield_expression") and functions == 0 and self._module.is_module:
            word = "Illegal return statement" if kind[0] == "r" else "Unexpected strict mode reserved word"
            hint = (
                "; a source with import or export is a module, which answers by export default"
                if kind[0] == "r"
                else ""
            )
            raise self._module.fault(f"SyntaxError: {word}{hint}", _at(node))

    def _refer(self, one: _Seen, imported: Import) -> None:
        namespace = f"{self._prefix}{imported.request}"
        if imported.name == EVERYTHING:
            text = namespace
        elif _PLAIN.fullmatch(imported.name):
            text = f"{namespace}.{imported.name}"
        else:
            text = f"{namespace}[{json.dumps(imported.name)}]"
        node, (parent, _) = one.node, one.chain[-2]
        if node.type != "identifier":
            text = f"{one.name}:{text}"
        elif parent.type == "call_expression" and one.chain[-1][1] == "function" and imported.name != EVERYTHING:
            # Called as a function, not as a method of the namespace.
            text = f"(0,{text})"
            if any(
                above.type == "expression_statement"
                and above.start_byte == node.start_byte
                and one.chain[place - 1][0].type in _LISTS
                for place, (above, _) in enumerate(one.chain)
                if place
            ):
                text = f";{text}"
        self._edits.append((_at(node), node.end_byte // 2, text))

    # The text that V8 gets.

    def _replace(self, node: Node, text: str, until: Node | None = None) -> None:
        end = node.end_byte if until is None else until.start_byte
        breaks = "".join(_BREAKS.findall(self._slice(node.start_byte, end)))
        self._edits.append((_at(node), end // 2, text + breaks))

    def _rewritten(self) -> str:
        module = self._module
        if module.is_module:
            names = [*(f"{self._prefix}{number}" for number in range(len(module.requests))), *self._tail()]
            getters = ",".join(f"{json.dumps(name)}:()=>{local}" for name, local in module.local.items())
            head = f'async function*({",".join(names)}){{"use strict";yield[{{__proto__:null,{getters}}}];'
        else:
            head = f"async({','.join(self._tail())})=>{{"
        self._edits.sort()
        pieces: list[str] = []
        shift = Shift(len(head) + 1)
        at = 0
        for start, end, text in self._edits:
            if start < at:
                continue
            pieces += [self._slice(2 * at, 2 * start), text]
            is_called = text.endswith(")") and self._slice(2 * end, 2 * end + 2) == "("
            shift.add(module.text.lines, start, end, text, is_called=is_called)
            at = end
        pieces.append(self._slice(2 * at, len(self._data)))
        module.text.shift = shift
        return f"{head}{''.join(pieces)}\n}}"

    def _tail(self) -> tuple[str, str]:
        return f"{self._prefix}i", f"{self._prefix}m"

    def _first_error(self) -> int:
        cursor = self._tree.root_node.walk()
        while True:
            node = cursor.node
            assert node is not None
            if node.is_error or node.is_missing:
                return _at(node)
            if node.has_error and cursor.goto_first_child():
                continue
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return 0

    def _slice(self, start: int, end: int) -> str:
        return self._data[start:end].decode("utf-16-le", "surrogatepass")

    def _text(self, node: Node) -> str:
        return self._slice(node.start_byte, node.end_byte)

    def _name(self, node: Node) -> str:
        """A name that may be written as a string."""
        return "".join(self._text(part) for part in node.named_children) if node.type == "string" else self._text(node)


def _at(node: Node) -> int:
    return node.start_byte // 2
