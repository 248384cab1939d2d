"""ES modules in an isolate: every form of import and export, live bindings, cycles, and what is said of errors."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtimes import isolate_stage

from anchor.agent.runtimes.isolate.bundle import Bundle, prepare
from anchor.agent.runtimes.isolate.modules import ModuleFault
from anchor.agent.runtimes.isolate.sourcemap import map_in
from anchor.agent.workers.frames import Ended
from anchor.core.errors import FailureCode

MODULES = {
    "a.js": "export let n = 1; export function bump() { n++; return n }\n"
    "export default class { hi() { return 'hi' } }\nexport { n as 'odd name', bump as again };",
    "b.js": "export * from './a.js'; export * as whole from './a.js';\n"
    "import { c } from './c.js'; export const b = 'b'; export const useC = () => c;",
    "c.js": "import { b } from './b.js'; export const c = 'c'; export const useB = () => b;\n"
    "export { c2 }; const c2 = await Promise.resolve(5);",
    "lib/d.js": "import x, { bump } from '../a.js'\nexport default (1 + 1)\n"
    "export const {p, q: [r = 7], ...s} = {p: 1, q: [], z: 3}\nbump()\nexport async function* g() { yield bump() }",
    "tdz1.js": "import { t2 } from './tdz2.js'; export const t1 = 1;",
    "tdz2.js": "import { t1 } from './tdz1.js';\nexport const t2 =\n   t1 + 1;",
    "side.js": "globalThis.side = (globalThis.side ?? 0) + 1",
    "data.json": '{"k": [1, 2]}',
    "left.js": "export const both = 1; export const left = 1;",
    "right.js": "export const both = 2;",
    "two.js": "export * from './left.js'; export * from './right.js';",
    "throws.js": "import { n } from './a.js'\nexport function boom() {\n  const é = '😀', z = n + n; "
    "throw new Error(`boom`)\n}",
    "names.js": "export default () => 1\nexport { f as then }; function f(yes) { yes('then') }",
    "hoisted.js": "import { early } from './early.js'; export default early;",
    "early.js": "import './hoisted.js'; export function early() { return 'ready' }",
}


def run(source: str, modules: dict[str, str] | None = None) -> tuple[Ended, isolate_stage.Printed]:
    return isolate_stage.run(source, MODULES if modules is None else modules)


def value_of(source: str, value: Any = None) -> Any:
    return isolate_stage.value_of(source, MODULES, value)


def message_of(source: str, modules: dict[str, str] | None = None) -> str:
    return isolate_stage.message_of(source, MODULES if modules is None else modules)


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("import D from './a.js'; export default new D().hi()", "hi"),
        ("import { n, bump as b } from './a.js'\nb()\nexport default [n, b(), n]", [2, 3, 3]),
        ("import { 'odd name' as odd } from './a.js'; export default odd", 1),
        (
            "import D, * as all from './a.js'; export default [all.n, all.default === D, typeof all]",
            [1, True, "object"],
        ),
        (
            "import * as b from './b.js'; export default Object.keys(b)",
            ["again", "b", "bump", "n", "odd name", "useC", "whole"],
        ),
        ("import { whole, again } from './b.js'; again(); export default whole.n", 2),
        ("import './side.js'; import './side.js'; export default side", 1),
        (
            "import two, { p, r, s, g } from './lib/d.js'; export default [two, p, r, s, (await g().next()).value]",
            [2, 1, 7, {"z": 3}, 3],
        ),
        (
            "import { useB, c2 } from './c.js'; import { useC } from './b.js'; export default [useB(), useC(), c2]",
            ["b", "c", 5],
        ),
        ("import h from './hoisted.js'; export default h()", "ready"),
        ("import d from './data.json' with { type: 'json' }; export default d.k", [1, 2]),
        ("import { left } from './two.js'; export default left", 1),
        ("import f from './names.js'; export default f.name", "default"),
        ("export default (await import('./lib/d.js')).default", 2),
        ("const { n } = await import('./a.js'); return n", 1),
        ("export default import.meta.url", "file:///main.js"),
        ("export default (input) => input * 2", 42),
        ("export default async function () { return [this === undefined, arguments.length] }", [True, 1]),
        ("export default function named() { return named.name }", "named"),
        ("export default function () { return 1 }\nexport const x = 2", 1),
        ("export default Promise.resolve(7)", 7),
        ("export default class { static toJSON() { return this.name } }", None),
        ("export const nothing = 1", None),
        ("export default [typeof this, typeof require]", ["undefined", "undefined"]),
        ("#!/usr/bin/env node\nexport default 3", 3),
        ("export default /*a*/ 1 // b", 1),
        ("export default\n  [1]", [1]),
    ],
)
def test_what_modules_import_and_export(source: str, result: Any) -> None:
    if "static toJSON" in source:
        assert run(source)[0].code is FailureCode.RESULT_INVALID
    else:
        assert value_of(source, value=21) == result


def test_a_name_means_the_import_only_where_nothing_has_taken_it() -> None:
    source = """import { n, bump } from './a.js'
const o = { n, bump, k: n }; const f = (n) => n; function g({ n }) { return n } class K { n() { return n } }
const r = []
for (const n of [9]) r.push(n)
for (let n = 6; n < 7; n++) r.push(n)
{ let n = 8; r.push(n) }
try { throw 3 } catch (n) { r.push(n) }
const h = function n() { return typeof n }; const [q = n] = []; const { m = n, ...rest } = {}
switch (1) { case 1: let n = 4; r.push(n) }
n: for (;;) { break n }
r.push(n, f(1), g({ n: 2 }), o.k, new K().n(), `${n}`, (() => { var n = 5; return n })(), h(), q, m, o.n, { n }.n)
bump()
bump``
export default [...r, n]"""
    assert value_of(source) == [9, 6, 8, 3, 4, 1, 1, 2, 1, 1, "1", 5, "function", 1, 1, 1, 1, 3]


@pytest.mark.parametrize(
    "lines",
    [
        "const x = 1\nbump()\nexport default n",
        "if (true)\nbump()\nelse\nbump()\nexport default n",
        "let i = 0\ndo bump(); while (i++ < 0)\nexport default n",
        "for (const _ of [1])\n  bump()\nexport default n",
        "label: bump()\nexport default n",
        "switch (1) { case 1: bump() }\nexport default n",
        "const f = () => bump()\nf()\nexport default n",
    ],
)
def test_a_call_of_an_import_begins_no_argument_list_of_the_line_before(lines: str) -> None:
    assert value_of(f"import {{ n, bump }} from './a.js'\n{lines}") == 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import { zzz } from './a.js'",
            "SyntaxError: The requested module './a.js' does not provide an export named 'zzz' "
            "(main.js, line 1, column 10)",
        ),
        (
            "import { both } from './two.js'",
            "'./two.js' provides conflicting exports named 'both' (main.js, line 1, column 10)",
        ),
        ("\n  import './a'", "Error: Cannot find module './a'; did you mean './a.js'? (main.js, line 2, column 10)"),
        ("import _ from 'lodash'", "Error: Cannot find module 'lodash' (main.js, line 1, column 15)"),
        ("import './tdz1.js'", "ReferenceError: Cannot access 't1' before initialization (tdz2.js, line 3, column 4)"),
        ("import { n } from './a.js';\n  n = 5", "TypeError: Assignment to import 'n' (main.js, line 2, column 5)"),
        (
            "import { n } from './a.js';\nlet x = 1;  n(5)",
            "TypeError: n is not a function (main.js, line 2, column 13)",
        ),
        ("export { zz }", "SyntaxError: Export 'zz' is not defined in the module (main.js, line 1, column 10)"),
        (
            "import './a.js'\nreturn 5",
            "SyntaxError: Illegal return statement; a source with import or export is a module, "
            "which answers by export default (main.js, line 2, column 1)",
        ),
        ("import { boom } from './throws.js'; boom()", "Error: boom (throws.js, line 3, column 36)"),
        (
            "import { n } from './a.js'; let n = 1",
            "SyntaxError: Identifier 'n' has already been declared (main.js, line 1, column 33)",
        ),
        ("import { n } from './a.js'\nif (n) { (", "SyntaxError: Unexpected end of input (main.js, line 2, column 11)"),
        ("export const a = 1; export { a }", "SyntaxError: Duplicate export of 'a' (main.js, line 1, column 30)"),
        ("export default 1; yield 5", "SyntaxError: Unexpected strict mode reserved word (main.js, line 1, column 19)"),
        ("import './broken.js'", "SyntaxError: Unexpected token ';' (broken.js, line 2, column 18)"),
        ("import './bad.json'", "SyntaxError: The module is not JSON"),
        ("await import('./nowhere.js')", "TypeError: Cannot find module './nowhere.js' (main.js, line 1, column 7)"),
        ("import { n from './a.js'", "SyntaxError: Unexpected token (main.js, line 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_its_place(source: str, message: str) -> None:
    broken = {"broken.js": "\nexport const x = ;", "bad.json": "{"} if "bad" in source or "broken" in source else {}
    told = message_of(source, {**MODULES, **broken})
    assert message in told
    assert "$_" not in told
    assert "\n" not in told


def test_a_stack_that_is_printed_has_the_authors_places_and_nothing_of_ours() -> None:
    _, printed = run("import { boom } from './throws.js'\ntry { boom() } catch (e) { console.error(e) }")
    text = printed.on("stderr")
    assert text.startswith("Error: boom\n    at boom (throws.js:3:36)\n")
    assert "main.js:2:7" in text
    assert "anchor:" not in text


def mapped(code: str, mappings: str, **more: Any) -> str:
    body = {"version": 3, "sources": ["src/app.ts"], "names": [], "mappings": mappings, **more}
    data = base64.b64encode(json.dumps(body).encode()).decode()
    return f"{code}\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,{data}"


def test_places_are_told_through_an_inline_source_map() -> None:
    # Generated line 1, column 0 is line 5, column 3 of the original; line 2, column 2 is line 8, column 9.
    source = mapped("const x = 1;\n  throw new Error('late')", "AAIE;EAGM")
    assert message_of(source, {}) == "Error: late (src/app.ts, line 8, column 9)"
    assert (
        message_of("import './lib.js'", {"lib.js": f"export {{}};\n{source[13:]}"})
        == "Error: late (src/app.ts, line 8, column 9)"
    )


@pytest.mark.parametrize("mappings", ["", "!", "AAAAAAAAAAAAAAAAAAAAAA", "gggggggggg", "AZAA", ";;;;", "A,A;A"])
def test_a_source_map_that_makes_no_sense_changes_nothing(mappings: str) -> None:
    assert message_of(mapped("throw new Error('x')", mappings), {}) == "Error: x (line 1, column 7)"


@given(st.text(alphabet="ABCDgZz+/,;!", max_size=40))
@settings(max_examples=100, deadline=None)
def test_no_mapping_whatsoever_breaks_the_reader(mappings: str) -> None:
    found = map_in(mapped("x", mappings))
    assert found is None or found.original(0, 0) is None or found.original(0, 0)[0] == "src/app.ts"  # type: ignore[index]


PIECES = [
    "import ",
    "export ",
    "default ",
    "{",
    "}",
    "a",
    "b",
    " from './a.js'",
    "*",
    " as ",
    ";",
    "\n",
    "(",
    ")",
    "=>",
    "function ",
    "class ",
    "const ",
    "=",
    "'",
    "`",
    "${",
    "/*",
    "return ",
    "import(",
    "é",
    "😀",
    ",",
    "[",
    "]",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_no_source_whatsoever_breaks_the_module_loader(source: str) -> None:
    bundle: Bundle | None = None
    with contextlib.suppress(ModuleFault):
        bundle = prepare(source, {"a.js": "export const a = 1, b = 2"})
    for text in [] if bundle is None else bundle.texts:
        code = bundle.code[text.url]
        # The author's lines stay where they are.
        assert code.count("\n") >= text.source.count("\n")
