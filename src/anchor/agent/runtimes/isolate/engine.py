"""The isolate engine inside a worker process: a fresh V8 isolate for every script, the next one made ahead."""

import codecs
import os
import re
import time
from typing import Any

import msgspec

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.agent.runtimes.isolate import v8
from anchor.agent.runtimes.isolate.bundle import Bundle, prepare
from anchor.agent.runtimes.isolate.modules import ModuleFault
from anchor.agent.runtimes.isolate.requests import Requests
from anchor.agent.runtimes.isolate.room import Room
from anchor.agent.workers.endings import out_of_memory, timed_out, too_large
from anchor.agent.workers.frames import MIB, Ended, Script
from anchor.agent.workers.printer import Stage
from anchor.core.errors import FailureCode

# Python reads a codec from disk when it is first used, and a worker at work sees no disk.
for _codec in ("utf-16-le", "utf-8-sig"):
    codecs.lookup(_codec)
_NO_SPACE = ("Array buffer allocation failed", "ArrayBuffer.prototype.resize: Out of memory")
_PREFIX = re.compile(r"\A[^\s()]*:\d+: ")
_UNPARSABLE = re.compile(r"\A[^\n]*?:(\d+): ([^\n]*)\n[^\n]*\n([ \t]*)\^")
_WANTS_NODE = re.compile(r"(?:require|process|module) is not defined|Cannot find module '(?![./])")
_NO_NODE = "An isolate has no packages and no Node; use runtime native for them, for the network and for processes."
# How V8 speaks of names that the rewriting of modules has put into the text.
_SPEECH = (
    (
        re.compile(r"Cannot set property (\S+) of \[object Module\] which has only a getter"),
        r"Assignment to import '\1'",
    ),
    (re.compile(r"\(0 ?, ?\$_\d+\.([\w$]+)\)"), r"\1"),
    (re.compile(r"\$_\d+\.([\w$]+)"), r"\1"),
    (re.compile(r"\$_\d*d\b"), "default"),
)

NEVER_SETTLED = "The script waits for a promise that nothing is left to settle."


class _Unparsable(Exception):
    def __init__(self, description: str, url: str) -> None:
        super().__init__(description)
        self.description = description
        self.url = url


class _Thrown(msgspec.Struct):
    name: str
    message: str
    stack: str


class IsolateEngine:
    """Runs scripts one after the other. `finish` frees the last isolate and makes the next."""

    def __init__(self) -> None:
        self._room = Room()
        self._used: Room | None = None
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
            ended = _ended(room, script, stage)
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
            self._room = Room()


def _ended(room: Room, script: Script, stage: Stage) -> Ended:
    try:
        bundle = prepare(script.source, script.modules)
    except ModuleFault as fault:
        return _failed(f"{fault.message} ({fault.place})")
    room.places = bundle.places
    directory = stage.directory if script.has_directory else None
    requests = Requests(room, directory, script.disk_mib * MIB, script.memory_mib * MIB)
    isolate = room.isolate
    try:
        room.begin(script.given)
        _launch(room, bundle)
        while True:
            state = v8.read(isolate.call(room.pump))
            if isinstance(state, bytes):
                if state[:1] == b"?":
                    requests.settle(state[1:])
                    continue
                return _judged(state, script, bundle, requests)
            if state < 0:
                if isolate.is_full:
                    return out_of_memory(script.memory_mib)
                return Ended(
                    FailureCode.SCRIPT_ERROR, NEVER_SETTLED, "Look for an await of a promise that is never resolved."
                )
            time.sleep(state / 1000)
    except _Unparsable as error:
        return _unparsable(error.description, bundle, error.url)
    except v8.ScriptError as error:
        message = _PREFIX.sub("", error.description.splitlines()[0])
        return out_of_memory(script.memory_mib) if message.endswith(_NO_SPACE) else _failed(message)
    except v8.HeapFull:
        return out_of_memory(script.memory_mib)
    except v8.Terminated:
        return Ended(FailureCode.CRASHED, "V8 stopped the script.")


def _launch(room: Room, bundle: Bundle) -> None:
    isolate = room.isolate
    values: list[Any] = []
    for url, code in bundle.code.items():
        try:
            values += [isolate.evaluate(f"({code})\n//# sourceURL={url}"), isolate.text(code)]
        except v8.ScriptError as error:
            raise _Unparsable(error.description, url) from error
    if bundle.plan is None:
        isolate.call(room.launch, *values)
    else:
        isolate.call(room.link, isolate.text(msgspec.json.encode(bundle.plan).decode()), *values)


def _judged(outcome: bytes, script: Script, bundle: Bundle, requests: Requests) -> Ended:
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
    if thrown.name == "RangeError" and thrown.message in _NO_SPACE:
        return out_of_memory(script.memory_mib)
    if not thrown.name:
        return _failed(f"Thrown: {thrown.message}")
    message = thrown.message
    for pattern, words in _SPEECH:
        message = pattern.sub(words, message)
    text = f"{thrown.name}: {message}" if message else thrown.name
    place = bundle.places.first(thrown.stack)
    ended = _failed(f"{text} ({place})" if place else text)
    if requests.overrun and thrown.message == requests.overrun:
        return Ended(FailureCode.DISK_LIMIT, ended.message, "Raise limits.diskMb.")
    return ended


def _unparsable(description: str, bundle: Bundle, url: str) -> Ended:
    """A source that V8 could not read; V8 says `<anonymous>` for its name."""
    found = _UNPARSABLE.match(description)
    text = bundle.places.text(url)
    if found is None or text is None:
        return _failed(_PREFIX.sub("", description.splitlines()[0]))
    fault = bundle.broken.get(url)
    line, column, message = int(found[1]), len(found[3]) + 1, found[2]
    place = text.seen(line, column)
    if line > len(text.lines):
        # V8 stumbled over the wrapper's own end: something of the author's is still open there.
        message, place = (
            "SyntaxError: Unexpected end of input",
            text.place(len(text.source.encode("utf-16-le", "surrogatepass")) // 2),
        )
    elif fault is not None and (place is None or "import" in message or "export" in message):
        message, place = fault.message, fault.place
    return _failed(f"{message} ({place})" if place else message)


def _failed(message: str) -> Ended:
    hint = _NO_NODE if _WANTS_NODE.search(message) else ""
    return Ended(FailureCode.SCRIPT_ERROR, message, hint)


def load() -> Any:
    """The engine; raises where mini-racer is missing or does not run here."""
    return IsolateEngine()
