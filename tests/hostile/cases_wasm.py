"""WebAssembly that means harm: what it tries, and how each attempt has to end."""

import base64
from typing import Any

import wasmtime
from tests.hostile.case import Case
from tests.runtimes.wasm_steps import Steps, module

TIMEOUT, SCRIPT, MEMORY, INVALID = "timeout", "script_error", "memory_limit", "invalid_module"
OUTSIDE = 0xFFFFFF00
PAGE = 65536


def wasm(code: str | bytes, **more: Any) -> dict[str, Any]:
    """A payload with this module."""
    binary = bytes(wasmtime.wat2wasm(code)) if isinstance(code, str) else code
    return {"module": base64.b64encode(binary).decode(), **more}


def start(body: str, **more: Any) -> dict[str, Any]:
    """A command whose `_start` has this body, and all of WASI."""
    return wasm(module(body, head=more.pop("head", "")), **more)


def steps(made: Steps, **more: Any) -> dict[str, Any]:
    """A call of the function that answers for each step; it has the job's directory, for it is to leave a file."""
    made.open("left", 1)
    return wasm(made.wat, function="go", outputs=["left"], **more)


def forever(call: str) -> str:
    """Do it over and over."""
    return f"(loop {call} (br 0))"


def dropped(call: str) -> str:
    """Call without looking at the answer."""
    return f"(drop (call {call}))"


def number(value: int) -> bytes:
    """An unsigned LEB128."""
    return bytes([value & 127 | 128]) + number(value >> 7) if value > 127 else bytes([value])


def section(kind: int, content: bytes) -> bytes:
    """A section of a binary module."""
    return bytes([kind]) + number(len(content)) + content


def many_functions(count: int, body: bytes) -> bytes:
    """A module of many functions that are all alike."""
    body = b"\0" + body + b"\x0b"
    return (
        b"\0asm\1\0\0\0"
        + section(1, b"\1\x60\0\0")
        + section(3, number(count) + bytes(count))
        + section(10, number(count) + (number(len(body)) + body) * count)
    )


def escapes() -> Steps:
    """Every way out of the directory that names and links offer; nothing of it may answer 0."""
    made = Steps()
    for path in ("/etc/passwd", "../../../../../../etc/passwd", "/proc/self/environ", "/proc/1/mem", "..", "/dev/mem"):
        made.call("path_open", 3, 1, *made.text(path), 0, 2, 2, 0, made.room())
        made.call("path_filestat_get", 3, 1, *made.text(path), made.room(64))
    made.call("path_link", 3, 1, *made.text("/etc/passwd"), 3, *made.text("p"))
    made.call("path_rename", 3, *made.text("."), 3, *made.text("../../stolen"))
    made.call("path_create_directory", 3, *made.text("../made"))
    made.call("path_unlink_file", 3, *made.text("../../journal.db"))
    made.call("path_remove_directory", 3, *made.text("../../jobs"))
    return made


def links() -> Steps:
    """Links to the outside: making one may or may not be allowed, following it is not."""
    made = Steps()
    for name, target in (("a", "/etc"), ("b", "../../.."), ("c", "/proc/self/root")):
        made.value(f"(i32.const 0) {dropped(_named('path_symlink', made, target, name))}")
        made.call("path_open", 3, 1, *made.text(f"{name}/passwd"), 0, 2, 2, 0, made.room())
        made.call("path_open", 3, 1, *made.text(name), 2, 2, 2, 0, made.room())
    return made


def _named(name: str, made: Steps, target: str, link: str) -> str:
    at, size = made.text(target)
    where, length = made.text(link)
    numbers = " ".join(f"(i32.const {one})" for one in (at, size, 3, where, length))
    return f"${name} {numbers}"


WRITE = "$fd_write (i32.const {fd}) (i32.const 0) (i32.const 1) (i32.const 8)"
PIECES = "(i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const {size}))"
OPEN = """$path_open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 1)
  (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 8)"""
NAME = '(data (i32.const 16) "f")'
BIG = 2**31 - 1

CASES = [
    # Loops
    Case("an endless loop", wasm('(module (func (export "_start") (loop (br 0))))'), TIMEOUT),
    Case(
        "an endless loop over br_table",
        wasm(
            '(module (func (export "f") (param i32)'
            " (loop (loop (loop (br_table 0 1 2 2 (local.get 0))) (br 0)) (br 0))))",
            function="f",
            args=[1],
        ),
        TIMEOUT,
    ),
    Case(
        "two functions that call each other's tail for ever",
        wasm('(module (func $a (return_call $b)) (func $b (return_call $a)) (export "_start" (func $a)))'),
        TIMEOUT,
    ),
    Case(
        "an indirect call to itself for ever",
        wasm(
            '(module (table funcref (elem $f)) (type $t (func)) (func $f (export "_start")'
            " (return_call_indirect (type $t) (i32.const 0))))"
        ),
        TIMEOUT,
    ),
    Case("a start function that never ends", wasm("(module (func $f (loop (br 0))) (start $f))"), TIMEOUT),
    Case(
        "an _initialize that never ends",
        wasm('(module (func (export "_initialize") (loop (br 0))) (func (export "f")))', function="f"),
        TIMEOUT,
    ),
    Case(
        "memory filled over and over",
        start(forever(f"(memory.fill (i32.const 0) (i32.const 7) (i32.const {4 * PAGE}))")),
        TIMEOUT,
    ),
    Case("sched_yield for ever", start(forever(dropped("$sched_yield"))), TIMEOUT),
    Case(
        "clocks read for ever",
        start(forever(dropped("$clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)"))),
        TIMEOUT,
    ),
    Case(
        "clocks read for ever, deterministically",
        start(forever(dropped("$clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)")), deterministic=True),
        TIMEOUT,
    ),
    Case(
        "a loop out of fuel",
        wasm('(module (func (export "_start") (loop (br 0))))'),
        "fuel_limit",
        limits={"fuel": 10**6},
    ),
    Case(
        "a sleep of a century",
        start(
            "(i32.store (i32.const 80) (i32.const 1)) (i64.store (i32.const 88) (i64.const 3155760000000000000))"
            + dropped("$poll_oneoff (i32.const 64) (i32.const 1024) (i32.const 1) (i32.const 8)")
        ),
        TIMEOUT,
    ),
    Case(
        "a sleep of 584 years over and over, deterministically",
        start(
            "(i32.store (i32.const 80) (i32.const 1)) (i64.store (i32.const 88) (i64.const -1))"
            + forever(dropped("$poll_oneoff (i32.const 64) (i32.const 1024) (i32.const 1) (i32.const 8)")),
            deterministic=True,
        ),
        TIMEOUT,
    ),
    Case(
        "poll_oneoff with four thousand million subscriptions",
        start(dropped("$poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 8)") + "unreachable"),
        SCRIPT,
    ),
    Case(
        "poll_oneoff with all subscriptions that fit, for ever",
        start(forever(dropped("$poll_oneoff (i32.const 0) (i32.const 0) (i32.const 5400) (i32.const 8)"))),
        (TIMEOUT, SCRIPT),
    ),
    # Stack
    Case("endless recursion", wasm('(module (func $f (export "_start") (call $f)))'), SCRIPT, "call stack exhausted"),
    Case(
        "endless recursion with large frames",
        wasm(
            '(module (func $f (export "f") (param i64) (result i64) (local i64 i64 i64 i64 i64 i64 i64 i64)'
            " (local.set 1 (call $f (local.get 0))) (i64.add (local.get 1) (call $f (local.get 1)))))",
            function="f",
            args=[1],
        ),
        SCRIPT,
        "call stack exhausted",
    ),
    Case(
        "recursion that calls the host at its deepest",
        wasm(
            module(
                "(call $deep)",
                head=f"(func $deep {dropped('$random_get (i32.const 0) (i32.const 65536)')} (call $deep))",
            )
        ),
        (SCRIPT, TIMEOUT),
    ),
    # Memory
    Case(
        "memory.grow until it is refused, then a trap",
        wasm(
            '(module (memory (export "memory") 1) (func (export "_start")'
            " (loop (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) (br 0))))"
        ),
        MEMORY,
        alone=True,
    ),
    Case(
        "memory.grow and every page touched",
        wasm(
            '(module (memory (export "memory") 1) (func (export "_start") (local $at i32)'
            " (loop (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))"
            " (i32.store (local.get $at) (i32.const 1))"
            " (local.set $at (i32.add (local.get $at) (i32.const 4096))) (br 0))))"
        ),
        (MEMORY, TIMEOUT),
        alone=True,
    ),
    Case(
        "four memories that each grow to the limit, filled",
        wasm(
            "(module (memory $a 1) (memory $b 1) (memory $c 1) (memory $d 1)"
            + '(func (export "_start") '
            + " ".join(
                f"(drop (memory.grow ${one} (i32.const 2000)))"
                f"(memory.fill ${one} (i32.const 0) (i32.const 1) (i32.mul (memory.size ${one}) (i32.const 65536)))"
                for one in "abcd"
            )
            + " unreachable))"
        ),
        (MEMORY, SCRIPT),
        alone=True,
    ),
    Case("more memory declared than the limit", wasm('(module (memory 60000) (func (export "_start")))'), MEMORY),
    Case(
        "memory64 declared with the whole address space",
        wasm('(module (memory i64 0x100000000) (func (export "_start")))'),
        MEMORY,
    ),
    Case(
        "more memories than are allowed",
        wasm(f'(module {"(memory 1)" * 50} (func (export "_start")))'),
        (MEMORY, INVALID),
    ),
    Case(
        "table.grow until it is refused, then a trap",
        wasm(
            '(module (table $t 1 funcref) (func (export "_start") (loop (if (i32.eq (table.grow $t (ref.null func)'
            " (i32.const 65536)) (i32.const -1)) (then unreachable)) (br 0))))"
        ),
        (SCRIPT, MEMORY),
        alone=True,
    ),
    Case(
        "a table of two thousand million",
        wasm(f'(module (table {BIG} funcref) (func (export "_start")))'),
        (MEMORY, INVALID),
    ),
    Case(
        "sixteen tables as large as they may be",
        wasm(f'(module {"(table 1000000 funcref)" * 16} (func (export "_start")))'),
        (MEMORY, INVALID),
        limits={"memoryMb": 16},
        alone=True,
    ),
    Case("too many tables", wasm(f'(module {"(table 1 funcref)" * 90} (func (export "_start")))'), (MEMORY, INVALID)),
    Case(
        "a data segment outside the memory",
        wasm('(module (memory 1) (data (i32.const 0xfffffff0) "beyond") (func (export "_start")))'),
        SCRIPT,
        "out of bounds memory access",
    ),
    Case(
        "a data segment of megabytes in a module of many",
        wasm(f'(module (memory 40) (data (i32.const 0) "{"x" * 500_000}") (func (export "_start") unreachable))'),
        SCRIPT,
    ),
    Case(
        "exceptions thrown and kept by the million",
        wasm(
            "(module (tag $e) (table $kept 1000000 exnref)"
            ' (func (export "_start") (local $at i32) (local $thrown exnref)'
            " (loop (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $e)) unreachable)"
            " (local.set $thrown) (table.set $kept (local.get $at) (local.get $thrown))"
            " (local.set $at (i32.rem_u (i32.add (local.get $at) (i32.const 1)) (i32.const 1000000))) (br 0))))"
        ),
        (TIMEOUT, MEMORY, SCRIPT),
        alone=True,
    ),
    # Host functions
    Case("random_get of 4 GiB", start(dropped("$random_get (i32.const 0) (i32.const -1)")), SCRIPT, "WASI wrongly"),
    Case(
        "random_get of 4 GiB, deterministically",
        start(dropped("$random_get (i32.const 0) (i32.const -1)"), deterministic=True),
        SCRIPT,
        "WASI wrongly",
    ),
    Case(
        "fd_write of pieces outside the memory",
        start(dropped("$fd_write (i32.const 1) (i32.const -8) (i32.const 9) (i32.const 0)")),
        SCRIPT,
    ),
    Case(
        "fd_write of a thousand million pieces",
        start(dropped("$fd_write (i32.const 1) (i32.const 0) (i32.const 1000000000) (i32.const 0)") + "unreachable"),
        SCRIPT,
    ),
    Case(
        "fd_read into a piece of 4 GiB",
        start(
            "(i32.store (i32.const 4) (i32.const -1))"
            + dropped("$fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)")
            + "unreachable",
            stdin="x" * 1000,
        ),
        SCRIPT,
    ),
    Case(
        "paths at bad pointers",
        start(dropped(f"$path_unlink_file (i32.const 3) (i32.const {OUTSIDE}) (i32.const 99)")),
        SCRIPT,
    ),
    Case(
        "a WASI call with no memory exported",
        wasm(module(dropped("$sched_yield") + dropped("$random_get (i32.const 0) (i32.const 8)"), memory="(memory 1)")),
        SCRIPT,
    ),
    Case(
        "a WASI call in the start function with bad pointers",
        wasm(
            f'(module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))'
            f' (memory (export "memory") 1)'
            f" (func $s (drop (call $r (i32.const {OUTSIDE}) (i32.const 4096)))) (start $s))"
        ),
        (INVALID, SCRIPT),
    ),
    Case("proc_exit with an odd code", start("(call $proc_exit (i32.const 125))"), SCRIPT, "exited with code 125"),
    Case("proc_exit with a code that is none", start("(call $proc_exit (i32.const -1))"), SCRIPT),
    Case(
        "proc_exit in the start function",
        wasm(
            '(module (import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32))) (memory (export "memory") 1)'
            ' (func $s (call $e (i32.const 3))) (start $s) (func (export "_start")))'
        ),
        SCRIPT,
        "exited with code 3",
    ),
    Case("proc_raise of SIGKILL", start(dropped("$proc_raise (i32.const 9)") + "unreachable"), SCRIPT),
    Case(
        "sockets that are not there",
        wasm(
            module(
                " ".join(
                    dropped(one)
                    for one in (
                        "$sock_accept (i32.const 3) (i32.const 0) (i32.const 0)",
                        f"$sock_recv (i32.const 1) {'(i32.const 0)' * 5}",
                        "$sock_send (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 8)",
                        "$sock_shutdown (i32.const 7) (i32.const 3)",
                    )
                )
                + "unreachable"
            )
        ),
        SCRIPT,
    ),
    Case("stdout in a flood", start(PIECES.format(size=60_000) + forever(dropped(WRITE.format(fd=1)))), TIMEOUT),
    Case("stderr in a flood", start(PIECES.format(size=60_000) + forever(dropped(WRITE.format(fd=2)))), TIMEOUT),
    Case(
        "stdout in a flood of single bytes",
        start(PIECES.format(size=1) + forever(dropped(WRITE.format(fd=1)))),
        TIMEOUT,
    ),
    # Files
    # 63: not permitted, 44: no such entry, 28: invalid.
    Case("every path out of the directory", steps(escapes()), result=[63] * 12 + [28] + [63] * 4 + [0]),
    Case("every link out of the directory", steps(links()), result=[0, 44, 44, 0, 63, 63, 0, 44, 44, 0]),
    Case("descriptors in a flood", start(forever(dropped(OPEN)), head=NAME), TIMEOUT),
    Case(
        "a file written until it may not grow",
        start(
            dropped(OPEN)
            + PIECES.format(size=60_000)
            .replace("(i32.const 0) (i32.const 1024)", "(i32.const 64) (i32.const 0)")
            .replace("(i32.const 4)", "(i32.const 68)")
            + "(loop (if (call $fd_write (i32.load (i32.const 8)) (i32.const 64) (i32.const 1) (i32.const 80))"
            " (then unreachable)) (br 0))",
            head=NAME,
        ),
        (SCRIPT, "disk_limit", TIMEOUT),
        limits={"diskMb": 2},
    ),
    Case(
        "a file stretched to an exabyte",
        start(
            dropped(OPEN) + "(if (call $fd_filestat_set_size (i32.load (i32.const 8)) (i64.const 0x1000000000000000))"
            " (then unreachable))",
            head=NAME,
        ),
        SCRIPT,
        limits={"diskMb": 2},
    ),
    # Modules
    Case("a trap at once", wasm('(module (func (export "_start") unreachable))'), SCRIPT, "unreachable"),
    Case(
        "a trap in _initialize",
        wasm('(module (func (export "_initialize") unreachable) (func (export "f")))', function="f"),
        SCRIPT,
    ),
    Case("a trap in the start function", wasm("(module (func $f unreachable) (start $f))"), SCRIPT),
    Case("bytes that only begin like a module", wasm(b"\0asm\1\0\0\0" + b"\xff" * 200), INVALID),
    Case("a module cut in the middle", wasm(bytes(wasmtime.wat2wasm(module("")))[:-40]), INVALID),
    Case(
        "twelve thousand functions to compile",
        wasm(many_functions(12_000, bytes([0x41, 1, 0x41, 2, 0x6A, 0x1A]) * 8)),
        (TIMEOUT, MEMORY),
        limits={"timeoutSeconds": 0.1},
    ),
    Case(
        "blocks nested fifty thousand deep",
        wasm(many_functions(1, b"\x02\x40" * 50_000 + b"\x0b" * 50_000)),
        (INVALID, "invalid_payload", TIMEOUT, MEMORY),
    ),
    Case("a name section that lies about its length", wasm(b"\0asm\1\0\0\0\0\xff\xff\xff\xff\x0fname"), INVALID),
    Case(
        "an import of the host's own",
        wasm('(module (import "env" "system" (func (param i32) (result i32))))'),
        INVALID,
        "env.system",
    ),
    Case("shared memory and threads", wasm('(module (memory 1 2 shared) (func (export "_start")))'), INVALID),
    Case(
        "fifty thousand parameters",
        wasm(b"\0asm\1\0\0\0" + section(1, b"\1\x60" + number(50_000) + b"\x7f" * 50_000 + b"\0")),
        INVALID,
    ),
    Case(
        "a function asked for that is the memory",
        wasm('(module (memory (export "m") 1))', function="m"),
        "invalid_payload",
    ),
]
