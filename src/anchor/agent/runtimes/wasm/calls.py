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
from wasmtime._func import enter_wasm

from anchor.agent.runtimes.wasm.endings import Unrunnable
from anchor.agent.workers.frames import Ended
from anchor.core.errors import FailureCode

_NAMES_SHOWN: Final = 20
_BITS: Final = {"i32": 32, "i64": 64}
_KINDS: Final = {
    "i32": ffi.WASMTIME_I32.value,
    "i64": ffi.WASMTIME_I64.value,
    "f32": ffi.WASMTIME_F32.value,
    "f64": ffi.WASMTIME_F64.value,
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")

Signatures = dict[str, tuple[list[str], list[str]]]
"""What the functions of one module take and give, as far as they were asked for."""


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


def call_function(
    store: wasmtime.Store, instance: wasmtime.Instance, signatures: Signatures, name: str, args: list[Any]
) -> Ended:
    """Call an exported function with numbers. Raises Unrunnable, or wasmtime's Trap and WasmtimeError."""
    function = _function(store, instance, name)
    if function is None:
        raise Unrunnable(
            FailureCode.INVALID_PAYLOAD,
            f"The module exports no function {name!r}. {_offered(store, instance, name)}",
            "Name one of them in payload.function.",
        )
    if name not in signatures:
        kind = function.type(store)
        signatures[name] = [str(one) for one in kind.params], [str(one) for one in kind.results]
    given, gives = signatures[name]
    values = _arguments(name, given, args)
    initialize = _function(store, instance, "_initialize") if name != "_initialize" else None
    if initialize is not None:
        initialize(store)
    returned = _call(store, function, list(zip(given, values, strict=True)), gives)
    for value in returned:
        if value is None:
            return Ended(FailureCode.RESULT_INVALID, "The function returned a reference, which JSON cannot express.")
        if not math.isfinite(value):
            return Ended(FailureCode.RESULT_INVALID, f"The function returned {value}, which JSON cannot express.")
    if len(returned) > 1:
        return Ended(value=msgspec.json.encode(returned))
    return Ended(value=msgspec.json.encode(returned[0] if returned else None))


def _call(
    store: wasmtime.Store, function: wasmtime.Func, values: list[tuple[str, int | float]], gives: list[str]
) -> list[int | float | None]:
    """What a function returns, None for what is no number. The library's own way asks for all types at every call."""
    given = (ffi.wasmtime_val_t * len(values))()
    for slot, (kind, value) in zip(given, values, strict=True):
        slot.kind = _KINDS[kind]
        setattr(slot.of, kind, value)
    returned = (ffi.wasmtime_val_t * len(gives))()
    with enter_wasm(store) as trap:
        error = ffi.wasmtime_func_call(
            store._context(), ctypes.byref(function._func), given, len(values), returned, len(gives), trap
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
    return [getattr(slot.of, kind) if kind in _KINDS else None for slot, kind in zip(returned, gives, strict=True)]


def _function(store: wasmtime.Store, instance: wasmtime.Instance, name: str) -> wasmtime.Func | None:
    """An exported function. The library's own way makes an object of every export there is, each time."""
    encoded = name.encode(errors="replace")
    found = ffi.wasmtime_extern_t()
    # This takes parts of the library that are not public; every test of a call would notice if they went.
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
