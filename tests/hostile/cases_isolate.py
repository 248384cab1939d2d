"""Hostile JavaScript for isolates: what it tries, and how each attempt has to end."""

from typing import Any

from tests.hostile.case import Case

QUICK: dict[str, Any] = {"timeoutSeconds": 0.5}
PATIENT: dict[str, Any] = {"timeoutSeconds": 10}
SMALL: dict[str, Any] = {"memoryMb": 64, "timeoutSeconds": 10}


def _case(name: str, source: str, code: str | tuple[str, ...] | None = None, **more: Any) -> Case:
    modules = more.pop("modules", {})
    payload = {"sourceCode": source, **({"modules": modules} if modules else {})}
    return Case(name, payload, code, **more)


def _endless(name: str, source: str) -> Case:
    return _case(name, source, "timeout", limits=QUICK, says=r"after its 0\.5 s")


def _bomb(name: str, source: str, *, alone: bool = False) -> Case:
    return _case(name, source, "memory_limit", limits=SMALL, alone=alone)


CASES = [
    # Loops.
    _endless("an empty loop", "for (;;);"),
    _endless("a loop that swallows whatever stops it", "for (;;) { try { for (;;); } catch {} finally { continue } }"),
    _endless(
        "a microtask that makes the next", "const f = () => Promise.resolve().then(f); f(); await new Promise(() => {})"
    ),
    _endless("an await for ever", "for (;;) await 1"),
    _endless("a timer that sets itself again", "const f = () => setTimeout(f, 0); f(); await new Promise(() => {})"),
    _endless("an interval that never ends", "setInterval(() => {}, 1); await new Promise(() => {})"),
    _endless("a regular expression that backtracks", "/(a+)+b/.test('a'.repeat(50))"),
    _endless("a BigInt that takes years", "let x = 3n; for (;;) x = (x * x) % (1n << 200000n)"),
    _endless("a comparator that never answers", "[3, 2, 1].sort(() => { for (;;); })"),
    _endless("a generator without an end", "for (const _ of (function* () { for (;;) yield 1 })());"),
    _endless("a getter of the result that never returns", "return { get x() { for (;;); } }"),
    _endless("a toJSON that never returns", "return { toJSON() { for (;;); } }"),
    _endless("a proxy as result whose traps never return", "return new Proxy({}, { ownKeys() { for (;;); } })"),
    _endless("a thenable that never settles and keeps busy", "return { then() { for (;;); } }"),
    _endless(
        "an error whose message never comes",
        "throw Object.assign(new Error, { get name() { return 1 } , message: { toString() { for (;;); } } })",
    ),
    _endless("a stack that is never told", "Error.prepareStackTrace = () => { for (;;); }; throw new Error('x')"),
    _case(
        "a module that never ends", "import './a.js'", "timeout", modules={"a.js": "export {}; for (;;);"}, limits=QUICK
    ),
    _endless(
        "a constructor tampered with to catch the end",
        "Promise.prototype.constructor = function () { for (;;); }; for (;;) await 1",
    ),
    _endless(
        "a symbol that keeps string building",
        "return { toJSON: () => ({ [Symbol.toPrimitive]() { for (;;); }, get a() { return `${this}` } }) }",
    ),
    # Promises that nothing settles.
    _case(
        "a promise that is never settled",
        "await new Promise(() => {})",
        "script_error",
        says="nothing is left to settle",
    ),
    _case("a thenable that never settles", "return { then() {} }", "script_error", says="nothing is left to settle"),
    # Memory.
    _bomb("arrays without an end", "const all = []; for (;;) all.push(new Array(1000).fill(1.5))"),
    _bomb("buffers outside the heap", "const all = []; for (;;) all.push(new Uint8Array(1e6).fill(1))", alone=True),
    _bomb("one huge buffer", "new ArrayBuffer(3e9)"),
    _bomb(
        "a buffer that grows",
        "const b = new ArrayBuffer(1, { maxByteLength: 2e9 }); for (;;) { b.resize(b.byteLength + 1e6); new "
        "Uint8Array(b).fill(1) }",
        alone=True,
    ),
    _bomb("long texts", "const all = []; for (let i = 0; ; i++) all.push('x'.repeat(1e6) + i)"),
    _bomb(
        "texts that are joined and made flat",
        "const all = []; for (let i = 0; ; i++) all.push((i + 'ab'.repeat(1e5)).split('').join('-'))",
    ),
    _bomb("closures and promises", "const all = []; for (;;) all.push(new Promise(() => all), () => all)"),
    _bomb(
        "a map of maps",
        "const m = new Map(); for (let i = 0; ; i++) m.set({}, new Map([[i, new Set([i])]]))",
        alone=True,
    ),
    _bomb(
        "memory between awaits", "const all = []; for (;;) { all.push(new Array(1000).fill(1.5)); await 1 }", alone=True
    ),
    _bomb(
        "code made by code",
        "const all = []; for (let i = 0; ; i++) all.push(new Function('return ' + JSON.stringify('x'.repeat(1e5) "
        "+ i)))",
    ),
    _bomb("a BigInt that grows", "const all = []; for (let i = 1n; ; i++) all.push((1n << 8000000n) + i)"),
    _bomb("copies by structuredClone", "let a = [new Array(1e5).fill(1.5)]; for (;;) a = [a, structuredClone(a)]"),
    _bomb(
        "a result that multiplies as it is written",
        "const all = []; const one = { toJSON: () => 'x'.repeat(1e6) }; return { toJSON() { for (;;) "
        "all.push(JSON.stringify([one, all.length])) } }",
    ),
    _case("a result that is too large", "return 'x'.repeat(17 << 20)", "result_too_large", limits=PATIENT),
    # Recursion.
    _case("a function that calls itself", "const f = () => f(); f()", "script_error", says="Maximum call stack"),
    _case(
        "recursion inside JSON",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a",
        "result_invalid",
        says="nested too deeply",
    ),
    _case(
        "recursion through proxies",
        "const p = new Proxy({}, {}); Object.setPrototypeOf(p, p); p.x",
        ("script_error",),
        says="call stack|[Cc]yclic",
    ),
    _case(
        "a depth that structuredClone does not mind",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; structuredClone(a); return 1",
        result=1,
        limits=PATIENT,
    ),
    _case(
        "a source nested without end",
        "return " + "(" * 50_000 + "1" + ")" * 50_000,
        ("script_error", "memory_limit", "crashed"),
    ),
    _case(
        "a module nested without end",
        "export default " + "[" * 20_000 + "]" * 20_000,
        ("script_error", "result_invalid", "memory_limit", "crashed"),
        limits=PATIENT,
    ),
    # Floods.
    _case(
        "a flood of lines",
        "for (let i = 0; i < 2e5; i++) console.log('x'.repeat(50)); return 'over'",
        result="over",
        limits=PATIENT,
    ),
    _endless("lines without an end", "for (;;) console.log('x'.repeat(1000))"),
    _case(
        "one line of a hundred megabytes",
        "console.log('x'.repeat(3e7)); return 1",
        result=1,
        limits={"timeoutSeconds": 10, "memoryMb": 256},
    ),
    _endless("progress without an end", "for (let i = 0; ; i++) anchor.progress(i % 100 / 100, 'x'.repeat(1000))"),
    _case("many timers", "for (let i = 0; i < 1e4; i++) setTimeout(() => {}, 1e6); return 2", result=2, limits=PATIENT),
    # Results that are traps.
    _case(
        "a proxy that lies about itself",
        "return new Proxy({}, { get: (_, k) => k === 'toJSON' ? undefined : 1, ownKeys: () => ['a'], "
        "getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) })",
        result={"a": 1},
    ),
    _case("a thenable that answers twice", "return { then(yes) { yes(1); yes(2); throw 3 } }", result=1),
    _case(
        "a result that throws as it is read",
        "return { get x() { throw new Error('no') } }",
        "result_invalid",
        says="no",
    ),
    _case(
        "an error that is nothing but traps",
        "throw new Proxy(new Error('x'), { get() { throw 1 }, getPrototypeOf() { throw 2 } })",
        "script_error",
        says="cannot be described|Thrown",
    ),
    _case(
        "an error that is no error",
        "throw { get stack() { throw 1 }, get name() { throw 2 } }",
        "script_error",
        says="cannot be described",
    ),
    _case("half a surrogate pair", "return '\\ud800'", "result_invalid", says="surrogate"),
    # Tampering: with everything that the worker uses, before the result is written.
    _case(
        "every prototype broken before the result",
        """
        for (const kind of [Array, String, Promise, Map, RegExp, Function, Object, Number]) {
          for (const name of Object.getOwnPropertyNames(kind.prototype)) {
            if (kind === Object && name === 'constructor') continue;
            try { kind.prototype[name] = () => { throw new Error('broken') } } catch {}
          }
        }
        JSON.stringify = () => '"forged"'; globalThis.Promise = globalThis.Reflect = globalThis.JSON = null;
        return { honest: true };
        """,
        result={"honest": True},
    ),
    _case(
        "the next task after that",
        "return [[3, 1].map(String).join(), JSON.stringify({}), typeof Promise, 'x'.slice(0)]",
        result=["3,1", "{}", "function", "x"],
    ),
    _case(
        "a ring of lines that is tampered with",
        "String.prototype.charCodeAt = () => 65535; String.prototype.slice = () => ({ length: 1e9 }); "
        "console.log('fine'); return 1",
        result=1,
    ),
    _case("a global left for the next task", "globalThis.left = 1; Object.prototype.left = 1; return 1", result=1),
    _case("what the last task left", "return [typeof left, 'left' in {}]", result=["undefined", False]),
    # Ways out.
    _case(
        "a way out through constructors",
        "return (() => {}).constructor('return typeof process + typeof require + typeof globalThis.Deno')()",
        result="undefinedundefinedundefined",
    ),
    _case(
        "a way out through console",
        "return console.log.constructor.constructor('return [typeof process, this === globalThis]')()",
        result=["undefined", True],
    ),
    _case(
        "a way out through call sites",
        "Error.prepareStackTrace = (_, sites) => "
        "sites.map((site) => [site.getFileName(), site.getFunction(), site.getThis()]); "
        "return new Error().stack.filter(([file, ...rest]) => /anchor/.test(file) && rest.some((one) => one !== "
        "undefined)).length",
        result=0,
    ),
    _case(
        "a way out through callers",
        "function f() { return f.caller.caller } return String(f())",
        "script_error",
        says="may not be accessed",
    ),
    _case(
        "a way out through arguments",
        "import { a } from './a.js'\nexport default a",
        modules={
            "a.js": "export const a = [typeof this, [...arguments].some((one) => Object(one) === one && 'main' in one)]"
        },
        result=["undefined", False],
    ),
    _case("an import of the machine", "await import('fs')", "script_error", says="Cannot find module 'fs'"),
    _case("an import by URL", "await import('file:///etc/passwd')", "script_error", says="Cannot find module"),
    _case("a module out of the bundle", "import '../../etc/passwd'", "script_error", says="Cannot find module"),
    _case(
        "a module that closes its wrapper",
        "export default 1 }; (async function* () { yield [{}]",
        "script_error",
        says="SyntaxError",
    ),
    _case(
        "a script that closes its wrapper", "}); globalThis.x = 5; (async () => {", "script_error", says="SyntaxError"
    ),
    _case(
        "shared memory and WebAssembly",
        "return ['WebAssembly', 'SharedArrayBuffer', 'ShadowRealm', '__timer_manager'].filter((name) => name in "
        "globalThis)",
        result=[],
    ),
    _case(
        "a wait that blocks", "Atomics.wait(new Int32Array(new ArrayBuffer(8)), 0, 0)", "script_error", says="TypeError"
    ),
    _case(
        "a worker or a socket",
        "return ['Worker', 'fetch', 'WebSocket', 'XMLHttpRequest', 'process', 'require', 'Deno', 'Bun', 'd8', "
        "'gc', 'print', 'load', 'read', 'readline', 'quit'].filter((name) => name in globalThis)",
        result=[],
    ),
    _case(
        "files where there are none",
        "await anchor.files.read('/etc/passwd')",
        "script_error",
        says="the task has no files",
    ),
    _case("natives syntax", "%DebugPrint(1)", "script_error", says="SyntaxError"),
    _case(
        "the worker's own functions by name",
        "return Object.getOwnPropertyNames(globalThis).filter((name) => /pump|launch|answer|settle|^ring/i.test(name))",
        result=[],
    ),
    _case(
        "anchor replaced",
        "try { 'use strict'; anchor.task = 'x'; anchor.files = 1 } catch {} return Object.isFrozen(anchor)",
        result=True,
    ),
]
