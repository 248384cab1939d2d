"""The Python engine inside a worker process: a fresh interpreter in WebAssembly for every task."""

import base64
import codecs
import os
import re
from pathlib import Path
from typing import Any, Final

import eryx  # type: ignore[import-not-found,unused-ignore]  # not for every Python
import msgspec

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.agent.runtimes.python import files
from anchor.agent.workers.endings import out_of_memory, timed_out, too_large
from anchor.agent.workers.frames import MIB, Ended, Source
from anchor.agent.workers.printer import Stage, Stream
from anchor.core.errors import FailureCode
from anchor.core.progress import progress_text

INTERPRETER_BYTES: Final = 16 * MIB
"""What the interpreter needs before the first line of a task runs; it goes on top of the task's own limit."""
FILES: Final = files.folder()
"""What the interpreter reads besides its package; the agent's offer has unpacked it there."""
ON_DEMAND: Final = True
"""A worker loads it with its first script (0.1 s) and not ahead: it takes 50 MiB."""
ANSWER_BYTES_MAX: Final = RESULT_BYTES_MAX + MIB
_GUEST: Final = Path(__file__).with_name("guest.py").read_text("utf-8")
_COMPILED: Final = """import base64, marshal
result = base64.b64encode(marshal.dumps(compile({!r}, "guest.py", "exec"))).decode()
"""
_STARTED: Final = "import marshal\nexec(marshal.loads({!r}))\nstart({!r})\n"
_DIRECTORY: Final = "/job"
FULL_SHARE: Final = 0.75
"""Of its memory, what a broken interpreter held where the lack of it is taken for the cause."""
_OUTPUT: Final[dict[bytes, Stream]] = {b"o": "stdout", b"e": "stderr"}
_EXITED: Final = re.compile(r"Exited with i32 exit status (\d+)")
_TRAPPED: Final = re.compile(r"wasm trap: ([^\n]*)")


class _Error(msgspec.Struct, frozen=True):
    code: FailureCode
    message: str
    line: int = 0
    column: int = 0


class _Answer(msgspec.Struct, frozen=True):
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


_answers: Final = msgspec.json.Decoder(_Answer)
_shares: Final = msgspec.json.Decoder(tuple[float, str])


class _Ear:
    """Takes what the guest says: output to the printer, the latest share of the work done, the last answer."""

    def __init__(self, stage: Stage, budget_bytes: int) -> None:
        self._printer = stage.printer
        # One byte more, so that the printer sees that there was more.
        self._left = budget_bytes + 1
        self._decoders = {letter: codecs.getincrementaldecoder("utf-8")("replace") for letter in _OUTPUT}
        self._share: bytes | None = None
        self.answer: bytes | None = None
        self.is_answer_too_large = False

    def hear(self, piece: bytes) -> None:
        """Take one piece; foreign code can say anything here, and harms only its own task with it."""
        letter = piece[:1]
        if letter in _OUTPUT:
            # Pieces wait in memory until they are heard: what is too much has to be dropped faster than it comes.
            if self._left > 0:
                kept = piece[1 : self._left + 1]
                self._left -= len(kept)
                self._printer.write(_OUTPUT[letter], self._decoders[letter].decode(kept))
        elif letter == b"p":
            self._share = piece[1:]
        elif letter == b"r":
            self.is_answer_too_large = len(piece) > ANSWER_BYTES_MAX
            self.answer = None if self.is_answer_too_large else piece

    def beat(self) -> None:
        """Send what there is. Of shares only the latest counts, so a flood of them costs nothing."""
        share, self._share = self._share, None
        if share is not None:
            try:
                text = progress_text(*_shares.decode(share))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                text = ""
            self._printer.write("progress", text)
        self._printer.flush()

    def close(self) -> None:
        """Send the rest, and of characters that were never completed that they were there."""
        for letter, decoder in self._decoders.items():
            self._printer.write(_OUTPUT[letter], decoder.decode(b"", True))
        self.beat()


class PythonEngine:
    """Runs sources one after the other, each in an interpreter of its own."""

    def __init__(self) -> None:
        # The first one also starts the engine's threads, opens its files and reserves its address space.
        self._guest = base64.b64decode(eryx.Sandbox().execute(_COMPILED.format(_GUEST)).result)
        self.spent = False
        """Whether the last task ended in a way after which nothing else should run in this process."""

    def run(self, source: Source, stage: Stage) -> Ended:
        """Run one source to its end. At the deadline its ending is said and the process ends."""
        ear = _Ear(stage, source.output_bytes)

        def late() -> None:
            stage.say_last(timed_out(source.timeout_seconds))
            os._exit(0)

        sandbox = eryx.Sandbox(
            resource_limits=eryx.ResourceLimits(
                execution_timeout_ms=None,
                callback_timeout_ms=None,
                max_memory_bytes=source.memory_mib * MIB + INTERPRETER_BYTES,
                max_callback_invocations=0,
            ),
            volumes=None if stage.directory is None else [(str(stage.directory), _DIRECTORY, False)],
            on_stdout=lambda piece: ear.hear(b"o" + piece),
            on_stderr=ear.hear,
        )
        stage.pulse.begin(source.timeout_seconds, ear.beat, late)
        try:
            ran = sandbox.execute(_STARTED.format(self._guest, _told(source, stage)))
            fuel = ran.fuel_consumed or 0
        except eryx.EryxError as error:
            self.spent = True
            return _broken(str(error), source, stage.peak_mib())
        finally:
            stage.pulse.end()
            ear.close()
        ended = _ended(ear, source)
        self.spent = ended.code is FailureCode.MEMORY_LIMIT
        return msgspec.structs.replace(ended, fuel=fuel)

    def finish(self) -> None:
        """Nothing outlives a sandbox."""


def _told(source: Source, stage: Stage) -> str:
    told = {
        "source": source.source,
        "given": msgspec.Raw(source.given.encode()),
        "args": source.args,
        "env": source.env,
        "stdin": source.stdin.decode("utf-8", "replace"),
        "budget": source.output_bytes,
        "files": stage.directory is not None,
    }
    return msgspec.json.encode(told).decode()


def _ended(ear: _Ear, source: Source) -> Ended:
    if ear.is_answer_too_large:
        return too_large()
    if ear.answer is None:
        return Ended(FailureCode.SCRIPT_ERROR, "The script ended its interpreter before its own end.")
    try:
        answer = _answers.decode(memoryview(ear.answer)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Ended(FailureCode.RESULT_INVALID, "The result is not usable as JSON.")
    error = answer.error
    if error is None:
        value = bytes(answer.value)
        return too_large() if len(value) > RESULT_BYTES_MAX else Ended(value=value)
    if error.code is FailureCode.MEMORY_LIMIT:
        return out_of_memory(source.memory_mib)
    if error.code is FailureCode.RESULT_INVALID:
        return Ended(error.code, error.message, "Return dicts, lists, strings, finite numbers, booleans or None.")
    column = f", column {error.column}" if error.column else ""
    place = f" (line {error.line}{column})" if error.line else ""
    return Ended(FailureCode.SCRIPT_ERROR, error.message + place, _hint(error.message))


def _hint(message: str) -> str:
    if "ModuleNotFoundError" in message or "does not support processes" in message or "networking" in message:
        return "The sandbox has the standard library only; use runtime native for packages, processes and the network."
    return ""


def _broken(said: str, source: Source, peak_mib: float) -> Ended:
    """What there is to say where the interpreter itself did not come to its end.

    One to which memory is refused in the middle of its own work gives up without a word of memory.
    """
    if (exited := _EXITED.search(said)) is not None:
        if exited[1] == "0":
            return Ended()
        return Ended(
            FailureCode.SCRIPT_ERROR, "The script ended its interpreter with os._exit and another code than 0."
        )
    pressed = peak_mib > FULL_SHARE * source.memory_mib
    if pressed or "MemoryError" in said or "memory" in said.partition("\n")[0]:
        return out_of_memory(source.memory_mib)
    trap = _TRAPPED.search(said)
    why = f": {trap[1]}" if trap else ""
    return Ended(FailureCode.SCRIPT_ERROR, f"The script broke its interpreter{why}.")


def load() -> Any:
    """The engine; raises where pyeryx is missing or does not run here."""
    files.use(FILES)
    return PythonEngine()
