"""How a program can end, in sentences a person can act on."""

import re
from typing import Final

import wasmtime

from anchor.agent.workers.endings import out_of_memory, timed_out
from anchor.agent.workers.frames import MIB, Ended, Program
from anchor.core.errors import FailureCode

_WASM_TRAP: Final = re.compile(r"wasm trap: (.+)")
_NO_MEMORY: Final = ("exceeds memory limits", "os error 12", "annot allocate memory")
_NUMBERED: Final = re.compile(r"^[0-9]+: ")
_INNERMOST: Final = re.compile(r"^ +0: .*!(.+)$", re.MULTILINE)


class Unrunnable(Exception):
    """The module, or what is asked of it, is wrong; `ended` says how."""

    def __init__(self, code: FailureCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.ended = Ended(code, message, hint)


def invalid(message: str, hint: str = "") -> Unrunnable:
    """The module itself is what cannot be run."""
    return Unrunnable(FailureCode.INVALID_MODULE, message, hint)


def exited(code: int, last_words: str) -> Ended:
    """How a command that left with a code other than 0 ended; `last_words` is the end of its stderr."""
    said = last_words.strip().rpartition("\n")[2]
    return Ended(FailureCode.SCRIPT_ERROR, f"The program exited with code {code}{f': {said}' if said else '.'}")


def trapped(trap: wasmtime.Trap, program: Program, memory_bytes: int) -> Ended:
    """How a program that trapped ended; `memory_bytes` is how large its memory had become."""
    if trap.trap_code is wasmtime.TrapCode.INTERRUPT:
        return timed_out(program.timeout_seconds)
    if trap.trap_code is wasmtime.TrapCode.OUT_OF_FUEL:
        return Ended(FailureCode.FUEL_LIMIT, f"It used up its fuel of {program.fuel}.", "Raise limits.fuel.")
    text = trap.message
    found, where = _WASM_TRAP.search(text), _INNERMOST.search(text)
    words = found[1] if found else cause(text)
    if memory_bytes * 4 >= program.memory_mib * MIB * 3:
        # A module is told that its memory cannot grow; most of them then trap on purpose.
        return out_of_memory(program.memory_mib, f"Its memory was {memory_bytes // MIB} MiB when it trapped: {words}.")
    return Ended(FailureCode.SCRIPT_ERROR, f"The program trapped: {words}{f' (in {where[1]})' if where else ''}.")


def refused(error: wasmtime.WasmtimeError, program: Program) -> Unrunnable:
    """Why a module could not be instantiated."""
    text = cause(str(error))
    if any(sign in str(error) for sign in _NO_MEMORY):
        raised = Unrunnable(FailureCode.MEMORY_LIMIT, "")
        raised.ended = out_of_memory(program.memory_mib, f"The module cannot start: {text}.")
        return raised
    return invalid(f"The module cannot be started: {text}.")


def misused(error: wasmtime.WasmtimeError) -> Ended:
    """How a program ended that called a function of WASI with what cannot be."""
    return Ended(FailureCode.SCRIPT_ERROR, f"The program called WASI wrongly: {cause(str(error))}.")


def cause(text: str) -> str:
    """The innermost cause in one of wasmtime's many-lined messages."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return _NUMBERED.sub("", lines[-1]).rstrip(".") if lines else "no reason was given"
