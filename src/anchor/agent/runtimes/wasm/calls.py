"""What a wasm module is asked to do and how it went, in sentences a person can act on."""

import math
import re
from typing import Any, Final

import msgspec
import wasmtime

from anchor.agent.workers.endings import out_of_memory, timed_out
from anchor.agent.workers.frames import MIB, Ended, Program
from anchor.core.errors import FailureCode

WASI: Final = "wasi_snapshot_preview1"
_MAGIC: Final = b"\0asm\x01\0\0\0"
_COMPONENT: Final = b"\0asm\x0d\0\x01\0"
_NAMES_SHOWN: Final = 20
_BITS: Final = {"i32": 32, "i64": 64}
_WASM_TRAP: Final = re.compile(r"wasm trap: (.+)")
_INNERMOST: Final = re.compile(r"^ +0: .*!(.+)$", re.MULTILINE)


class Unrunnable(Exception):
    """The module, or what is asked of it, is wrong; `ended` says how."""

    def __init__(self, code: FailureCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.ended = Ended(code, message, hint)


def compiled(engine: wasmtime.Engine, module: bytes) -> wasmtime.Module:
    """The module, compiled, with every import known to be there. Raises Unrunnable."""
    if module[:8] == _COMPONENT:
        raise _invalid(
            "The module is a WebAssembly component, and this runtime runs core modules.",
            "Build for wasm32-wasip1 (WASI preview 1).",
        )
    if module[:8] != _MAGIC:
        raise _invalid("The module is not WebAssembly: it does not begin with 00 61 73 6d 01 00 00 00.")
    try:
        built = wasmtime.Module(engine, module)
    except wasmtime.WasmtimeError as error:
        raise _invalid(f"The module is not valid WebAssembly: {_cause(str(error))}.") from error
    for wanted in built.imports:
        if wanted.module == "wasi_unstable":
            raise _invalid(
                "The module imports wasi_unstable, which came before WASI preview 1; this runtime does not offer it.",
                f"Rebuild it with a toolchain of 2020 or later, so that it imports {WASI}.",
            )
        if wanted.module != WASI:
            raise _invalid(
                f"The module imports {wanted.module}.{wanted.name}, which this runtime does not offer.",
                f"Only {WASI} can be imported; link everything else into the module.",
            )
    return built


def call_start(store: wasmtime.Store, instance: wasmtime.Instance) -> None:
    """Run a command. Raises Unrunnable, or wasmtime's Trap and WasmtimeError (ExitTrap for its exit code)."""
    start = instance.exports(store).get("_start")
    if not isinstance(start, wasmtime.Func):
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"The module is no command: it does not export _start. {_offered(store, instance)}",
            "Name the function to call in payload.function, or build a WASI command.",
        )
    start(store)


def call_function(store: wasmtime.Store, instance: wasmtime.Instance, name: str, args: list[Any]) -> Ended:
    """Call an exported function with numbers. Raises Unrunnable, or wasmtime's Trap and WasmtimeError."""
    exports = instance.exports(store)
    function = exports.get(name)
    if not isinstance(function, wasmtime.Func):
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"The module exports no function {name!r}. {_offered(store, instance)}",
            "Name one of them in payload.function.",
        )
    values = _arguments(name, [str(kind) for kind in function.type(store).params], args)
    initialize = exports.get("_initialize")
    if isinstance(initialize, wasmtime.Func) and name != "_initialize":
        initialize(store)
    returned = function(store, *values)
    for value in returned if isinstance(returned, list) else [returned]:
        if isinstance(value, float) and not math.isfinite(value):
            return Ended(FailureCode.RESULT_INVALID, f"The function returned {value}, which JSON cannot express.")
        if value is not None and not isinstance(value, int | float):
            return Ended(FailureCode.RESULT_INVALID, "The function returned a reference, which JSON cannot express.")
    return Ended(value=msgspec.json.encode(returned))


def _arguments(name: str, kinds: list[str], args: list[Any]) -> list[int | float]:
    signature = f"{name}({', '.join(kinds)})"
    if len(args) != len(kinds):
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"The function {signature} takes {len(kinds)} arguments, and payload.args has {len(args)}.",
        )
    return [
        _argument(signature, at, kind, value) for at, (kind, value) in enumerate(zip(kinds, args, strict=True), start=1)
    ]


def _argument(signature: str, at: int, kind: str, value: Any) -> int | float:
    bits = _BITS.get(kind)
    if isinstance(value, int) and not isinstance(value, bool) and bits is not None:
        if -(1 << (bits - 1)) <= value < 1 << bits:
            # Wasm's integers have no sign of their own: the upper half is what others call negative.
            return value - (1 << bits) if value >= 1 << (bits - 1) else value
    elif isinstance(value, int | float) and not isinstance(value, bool) and kind in ("f32", "f64"):
        return float(value)
    elif bits is None and kind not in ("f32", "f64"):
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"Argument {at} of {signature} is a {kind}, which cannot be given as JSON; only numbers can.",
        )
    wanted = f"an integer of {bits} bits" if bits else "a number"
    shown = msgspec.json.encode(value)[:60].decode("utf-8", "replace")
    raise Unrunnable(FailureCode.INVALID_PAYLOAD, f"Argument {at} of {signature} must be {wanted}, not {shown}.")


def _offered(store: wasmtime.Store, instance: wasmtime.Instance) -> str:
    exports = instance.exports(store)
    names = [name for name, item in exports.items() if isinstance(item, wasmtime.Func)]
    if not names:
        return "It exports no functions at all."
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"It exports {', '.join(names[:_NAMES_SHOWN])}{more}."


def exited(code: int, last_words: str) -> Ended:
    """How a command that left with a code other than 0 ended; `last_words` is the end of its stderr."""
    said = last_words.strip().rpartition("\n")[2]
    return Ended(FailureCode.SCRIPT_ERROR, f"The program exited with code {code}{f': {said}' if said else '.'}")


def trapped(trap: wasmtime.Trap, program: Program, memory_bytes: int) -> Ended:
    """How a program that trapped ended; `memory_bytes` is how large its memory had become."""
    if trap.trap_code is wasmtime.TrapCode.INTERRUPT:
        return timed_out(program.timeout_seconds)
    text = trap.message
    found, where = _WASM_TRAP.search(text), _INNERMOST.search(text)
    words = found[1] if found else _cause(text)
    if memory_bytes * 4 >= program.memory_mib * MIB * 3:
        # A module is told that its memory cannot grow; most of them then trap on purpose.
        return out_of_memory(program.memory_mib, f"Its memory was {memory_bytes // MIB} MiB when it trapped: {words}.")
    return Ended(FailureCode.SCRIPT_ERROR, f"The program trapped: {words}{f' (in {where[1]})' if where else ''}.")


def refused(error: wasmtime.WasmtimeError, program: Program) -> Unrunnable:
    """Why a module could not be instantiated or called."""
    text = _cause(str(error))
    if "exceeds memory limits" in str(error):
        raised = Unrunnable(FailureCode.MEMORY_LIMIT, "")
        raised.ended = out_of_memory(program.memory_mib, f"The module cannot start: {text}.")
        return raised
    return _invalid(f"The module cannot be started: {text}.")


def _invalid(message: str, hint: str = "") -> Unrunnable:
    return Unrunnable(FailureCode.INVALID_MODULE, message, hint)


def _cause(text: str) -> str:
    """The innermost cause in one of wasmtime's many-lined messages."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no reason was given"
