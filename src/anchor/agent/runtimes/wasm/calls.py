"""Calling what a module exports: a command's `_start`, or a function with numbers from JSON."""

import ctypes
import difflib
import math
import re
from typing import Any, Final

import msgspec
import wasmtime
from wasmtime import _ffi as ffi
from wasmtime._extern import wrap_extern

from anchor.agent.runtimes.wasm.endings import Unrunnable
from anchor.agent.workers.frames import Ended
from anchor.core.errors import FailureCode

_NAMES_SHOWN: Final = 20
_BITS: Final = {"i32": 32, "i64": 64}
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")


def call_start(store: wasmtime.Store, instance: wasmtime.Instance) -> None:
    """Run a command. Raises Unrunnable, or wasmtime's Trap and WasmtimeError (ExitTrap for its exit code)."""
    start = _function(store, instance, "_start")
    if start is None:
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"The module is no command: it does not export _start. {_offered(store, instance)}",
            "Name the function to call in payload.function, or build a WASI command.",
        )
    start(store)


def call_function(store: wasmtime.Store, instance: wasmtime.Instance, name: str, args: list[Any]) -> Ended:
    """Call an exported function with numbers. Raises Unrunnable, or wasmtime's Trap and WasmtimeError."""
    function = _function(store, instance, name)
    if function is None:
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"The module exports no function {name!r}. {_offered(store, instance, name)}",
            "Name one of them in payload.function.",
        )
    values = _arguments(name, [str(kind) for kind in function.type(store).params], args)
    initialize = _function(store, instance, "_initialize") if name != "_initialize" else None
    if initialize is not None:
        initialize(store)
    returned = function(store, *values)
    for value in returned if isinstance(returned, list) else [returned]:
        if isinstance(value, float) and not math.isfinite(value):
            return Ended(FailureCode.RESULT_INVALID, f"The function returned {value}, which JSON cannot express.")
        if value is not None and not isinstance(value, int | float):
            return Ended(FailureCode.RESULT_INVALID, "The function returned a reference, which JSON cannot express.")
    return Ended(value=msgspec.json.encode(returned))


def _function(store: wasmtime.Store, instance: wasmtime.Instance, name: str) -> wasmtime.Func | None:
    """An exported function. The library's own way makes an object of every export there is, each time."""
    encoded = name.encode(errors="replace")
    found = ffi.wasmtime_extern_t()
    # The parts of the library that are not public are the price; the version is pinned and the tests call this first.
    if not ffi.wasmtime_instance_export_get(
        store._context(), ctypes.byref(instance._instance), encoded, len(encoded), ctypes.byref(found)
    ):
        return None
    item = wrap_extern(found)
    return item if isinstance(item, wasmtime.Func) else None


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
    given = value
    if kind == "i64" and isinstance(value, str) and _WHOLE.fullmatch(value):
        # Many languages cannot write such a number in JSON without rounding it.
        given = int(value)
    if isinstance(given, int) and not isinstance(given, bool) and bits is not None:
        if -(1 << (bits - 1)) <= given < 1 << bits:
            # Wasm's integers have no sign of their own: the upper half is what others call negative.
            return given - (1 << bits) if given >= 1 << (bits - 1) else given
    elif isinstance(given, int | float) and not isinstance(given, bool) and kind in ("f32", "f64"):
        return float(given)
    elif bits is None and kind not in ("f32", "f64"):
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"Argument {at} of {signature} is a {kind}, which cannot be given as JSON; only numbers can.",
        )
    wanted = f"an integer of {bits} bits" if bits else "a number"
    shown = msgspec.json.encode(value)[:60].decode("utf-8", "replace")
    raise Unrunnable(FailureCode.INVALID_PAYLOAD, f"Argument {at} of {signature} must be {wanted}, not {shown}.")


def _offered(store: wasmtime.Store, instance: wasmtime.Instance, wanted: str = "") -> str:
    exports = instance.exports(store)
    names = [name for name, item in exports.items() if isinstance(item, wasmtime.Func)]
    if not names:
        return "It exports no functions at all."
    if close := difflib.get_close_matches(wanted, names, 1):
        return f"Did you mean {close[0]}?"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"It exports {', '.join(names[:_NAMES_SHOWN])}{more}."
