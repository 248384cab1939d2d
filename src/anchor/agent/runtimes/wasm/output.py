"""What a command wrote: on its way to the printer, and stdout also kept whole, for it is the result."""

import codecs
from typing import Final

import msgspec

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.agent.workers.endings import too_large
from anchor.agent.workers.frames import Ended
from anchor.agent.workers.printer import Printer

LAST_WORDS_LENGTH: Final = 300


class Output:
    """The two streams of one program."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in ("stdout", "stderr")}
        self._stdout = bytearray()
        self._stdout_bytes = 0
        self.last_words = ""

    def stdout(self, data: bytes) -> None:
        """Take what was written to stdout."""
        self._stdout_bytes += len(data)
        if self._stdout_bytes <= RESULT_BYTES_MAX:
            self._stdout += data
        self._printer.write("stdout", self._decoders["stdout"].decode(data))

    def stderr(self, data: bytes) -> None:
        """Take what was written to stderr."""
        text = self._decoders["stderr"].decode(data)
        self.last_words = (self.last_words + text)[-LAST_WORDS_LENGTH:]
        self._printer.write("stderr", text)

    def close(self) -> None:
        """Send what the decoders still hold: bytes of a character that never was completed."""
        self._printer.write("stdout", self._decoders["stdout"].decode(b"", True))
        self._printer.write("stderr", self._decoders["stderr"].decode(b"", True))

    def result(self) -> Ended:
        """Stdout as the result: the JSON value it is, or its text as it stands."""
        if self._stdout_bytes > RESULT_BYTES_MAX:
            return too_large()
        written = bytes(self._stdout).strip()
        try:
            msgspec.json.decode(written)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            text = self._stdout.decode("utf-8", "replace")
            return Ended(value=msgspec.json.encode(text) if text else b"null")
        return Ended(value=written)
