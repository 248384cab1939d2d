"""The isolate engine inside a worker process: a fresh V8 isolate for every script, the next one made ahead."""

import os
import re
import time
from array import array
from pathlib import Path
from typing import Any

import msgspec

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.agent.runtimes.isolate import v8
from anchor.agent.workers.endings import out_of_memory, timed_out, too_large
from anchor.agent.workers.frames import MIB, Ended, Script
from anchor.agent.workers.printer import Printer, Stage
from anchor.core.errors import FailureCode

_PRELUDE = Path(__file__).with_name("prelude.js").read_text("utf-8")
# The script begins on the wrapper's own line, so that V8's line numbers are the author's.
_OPENING = "("
_FUNCTION = ("async()=>{", "\n}")
_CLOSING = ")\n//# sourceURL=task.js"
_SHIFT = len(_OPENING + _FUNCTION[0])
_FRAME = re.compile(r"task\.js:(\d+):(\d+)")
_UNPARSABLE = re.compile(r"\A[^\n]*?:(\d+): ([^\n]*)\n[^\n]*\n([ \t]*)\^")
_HEADER_BYTES = 16
_HEAD, _TAIL, _TRUNCATED = 0, 1, 2
_STREAMS = {1: "stdout", 2: "stderr"}

_MODULE_WORDS = ("import statement", "require is not defined", "process is not defined", "Unexpected token 'export'")
_NO_MODULES = "An isolate is bare JavaScript without modules; use runtime native for packages, files and the network."

NEVER_SETTLED = "The script waits for a promise that nothing is left to settle."


class _Thrown(msgspec.Struct):
    name: str
    message: str
    stack: str


class _Room:
    """An isolate with the prelude in it, ready for one script."""

    def __init__(self) -> None:
        self.isolate = v8.Isolate()
        parts = self.isolate.evaluate(_PRELUDE)
        self._buffer = self.isolate.item(parts, 0)
        self.start = self.isolate.item(parts, 1)
        self.launch = self.isolate.item(parts, 2)
        self.pump = self.isolate.item(parts, 3)
        memory = v8.memory_of(self._buffer)
        self._header = memory[:_HEADER_BYTES].cast("i")
        self._units = memory[_HEADER_BYTES:]

    def drain(self, printer: Printer) -> None:
        """Take what the script has printed since the last time out of its ring."""
        head, tail = self._header[_HEAD], self._header[_TAIL]
        if self._header[_TRUNCATED]:
            printer.truncated = True
        if head == tail:
            return
        if head > tail:
            data = bytes(self._units[2 * tail : 2 * head])
        else:
            data = bytes(self._units[2 * tail :]) + bytes(self._units[: 2 * head])
        self._header[_TAIL] = head
        units = array("H", data)
        at = 0
        while at < len(units):
            stream, length = units[at], units[at + 1]
            text = data[2 * (at + 2) : 2 * (at + 2 + length)].decode("utf-16-le", "replace")
            printer.write(_STREAMS[stream], text)  # type: ignore[arg-type]
            at += 2 + length


class IsolateEngine:
    """Runs scripts one after the other. `finish` frees the last isolate and makes the next."""

    def __init__(self) -> None:
        self._room = _Room()
        self._used: _Room | None = None
        self.spent = False
        """Whether the last script left the engine in a state that nothing should run in any more."""

    def run(self, script: Script, stage: Stage) -> Ended:
        """Run one script to its end. At the deadline its ending is said and the process ends: nothing else is sure to
        stop a script that swallows terminations."""
        printer = stage.printer
        room, self._used = self._room, self._room
        room.isolate.limit_heap(script.memory_mib * MIB)

        def beat() -> None:
            room.drain(printer)
            printer.flush()

        def late() -> None:
            stage.say_last(timed_out(script.timeout_seconds))
            os._exit(0)

        stage.pulse.begin(script.timeout_seconds, beat, late)
        try:
            ended = _ended(room, script)
        finally:
            stage.pulse.end()
        beat()
        self.spent = ended.message == NEVER_SETTLED or ended.code in (FailureCode.MEMORY_LIMIT, FailureCode.CRASHED)
        return ended

    def finish(self) -> None:
        """Get ready for the next script; blocks while the last one's leftovers cannot be stopped."""
        if self._used is not None:
            self._used.isolate.close()
            self._used = None
            self._room = _Room()


def _ended(room: _Room, script: Script) -> Ended:
    isolate = room.isolate
    try:
        isolate.call(room.start, isolate.text(script.given))
        # A first line for the shell is a comment to node too.
        source = "//" + script.source[2:] if script.source.startswith("#!") else script.source
        function = source.join(_FUNCTION)
        main = isolate.evaluate(_OPENING + function + _CLOSING)
        isolate.call(room.launch, main, isolate.text(function))
        while True:
            state = v8.read(isolate.call(room.pump))
            if isinstance(state, bytes):
                return _judged(state, script)
            if state < 0:
                return Ended(
                    FailureCode.SCRIPT_ERROR, NEVER_SETTLED, "Look for an await of a promise that is never resolved."
                )
            time.sleep(state / 1000)
    except v8.ScriptError as error:
        return _unparsable(error, script) if error.parsing else _failed(error.description.splitlines()[0])
    except v8.HeapFull:
        return out_of_memory(script.memory_mib)
    except v8.Terminated:
        return Ended(FailureCode.CRASHED, "V8 stopped the script.")


def _judged(outcome: bytes, script: Script) -> Ended:
    kind, body = outcome[:1], outcome[1:]
    match kind:
        case b"V" if len(body) <= RESULT_BYTES_MAX:
            return Ended(value=body)
        case b"V" | b"L":
            return too_large()
        case b"I":
            return Ended(
                FailureCode.RESULT_INVALID,
                f"The result cannot be written as JSON: {body.decode('utf-8', 'replace')}.",
                "Return plain objects, arrays, strings, finite numbers, booleans or null.",
            )
        case _:
            thrown = msgspec.json.decode(body, type=_Thrown)
    if thrown.name == "RangeError" and thrown.message == "Array buffer allocation failed":
        return out_of_memory(script.memory_mib)
    if not thrown.name:
        return _failed(f"Thrown: {thrown.message}")
    text = f"{thrown.name}: {thrown.message}" if thrown.message else thrown.name
    place = _FRAME.search(thrown.stack)
    return _failed(f"{text} ({_at(int(place[1]), int(place[2]))})" if place else text)


def _unparsable(error: v8.ScriptError, script: Script) -> Ended:
    found = _UNPARSABLE.match(error.description)
    if found is None:
        return _failed(error.description.splitlines()[0])
    line, column = int(found[1]), len(found[3]) + 1
    if line > script.source.count("\n") + 1:
        # V8 stumbled over the wrapper's own end: something of the author's is still open there.
        last = script.source.rpartition("\n")[2]
        return _failed(f"SyntaxError: Unexpected end of input ({_at(line - 1, len(last) + 1, shifted=False)})")
    return _failed(f"{found[2]} ({_at(line, column)})")


def _at(line: int, column: int, *, shifted: bool = True) -> str:
    if line == 1 and shifted:
        column = max(1, column - _SHIFT)
    return f"line {line}, column {column}"


def _failed(message: str) -> Ended:
    hint = _NO_MODULES if any(words in message for words in _MODULE_WORDS) else ""
    return Ended(FailureCode.SCRIPT_ERROR, message, hint)


def load() -> Any:
    """The engine; raises where mini-racer is missing or does not run here."""
    return IsolateEngine()
