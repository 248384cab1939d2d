"""Turns the end of a native program, and what it left as its answer, into a Ran."""

import os
import re
import signal
import stat
from pathlib import Path
from typing import Literal

import msgspec

from anchor.agent.job import RESULT_BYTES_MAX, Job, Ran, failed
from anchor.agent.result_text import require_json
from anchor.agent.sandbox.confinement import FILE_BYTES_MAX, PROCESSES_MAX
from anchor.agent.sandbox.supervise import Ended
from anchor.agent.workers import endings
from anchor.agent.workers.frames import Ended as Ending
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode

_REPORT_BYTES_MAX = RESULT_BYTES_MAX + 1024
_ERROR_BYTES_MAX = 1024 * 1024
_MESSAGE_CHARACTERS = 2000
_OWN_RESULT = "result.json"
_NOT_RUNNABLE, _NOT_FOUND = 126, 127
_ABSENT = ("not found", "No such file or directory")
_PACKAGES = "It is no package of this task: name it in payload.dependencies."
_NO_PACKAGE = re.compile(r"(?:ModuleNotFoundError: No module named|Error: Cannot find (?:module|package)) '[^./]")
_JSON_IN = {
    "python": "Return dicts, lists, strings, finite numbers, booleans or None.",
    "javascript": "Return plain objects, arrays, strings, finite numbers, booleans or null.",
}


class _Error(msgspec.Struct, frozen=True):
    code: Literal["script_error", "result_invalid", "memory_limit"]
    message: str
    line: int = 0
    column: int = 0


class _Report(msgspec.Struct, frozen=True):
    value: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Unusable(Exception):
    def __init__(self, ran: Ran) -> None:
        super().__init__()
        self.ran = ran


def read(job: Job, ended: Ended, report_file: Path) -> Ran:
    """How the job ended. A task writes these files, so nothing in them is taken on trust."""
    if ended.never_started:
        return failed(FailureCode.RUNTIME_UNAVAILABLE, f"The sandbox could not be set up: {_line(ended.never_started)}")
    if ended.cut is FailureCode.TIMEOUT:
        return _from(endings.timed_out(job.limits.timeout_seconds))
    if ended.cut is FailureCode.MEMORY_LIMIT:
        return _from(endings.out_of_memory(job.limits.memory_mib))
    if ended.cut is FailureCode.DISK_LIMIT:
        return failed(ended.cut, f"It kept {ended.overfull} in its directory.", "Raise limits.diskMb, or keep less.")
    if ended.cut is not None:
        return failed(ended.cut, f"It had more than {PROCESSES_MAX} processes.", "Start fewer at a time.")
    try:
        return _of_command(job, ended) if job.payload.command is not None else _of_script(job, ended, report_file)
    except _Unusable as unusable:
        return unusable.ran


def _of_command(job: Job, ended: Ended) -> Ran:
    if ended.code != 0:
        return _bad_exit(job, ended, (job.payload.command or [""])[0])
    value = _content(job.directory / _OWN_RESULT, RESULT_BYTES_MAX)
    return _succeeded(value if value is not None else b'{"exitCode":0}', _OWN_RESULT)


def _of_script(job: Job, ended: Ended, report_file: Path) -> Ran:
    content = _content(report_file, _REPORT_BYTES_MAX)
    if not content:
        return _succeeded(b"null", "") if ended.code == 0 else _bad_exit(job, ended, "The script")
    try:
        report = msgspec.json.decode(content, type=_Report)
        if len(error_text := memoryview(report.error)) > _ERROR_BYTES_MAX:
            return failed(FailureCode.SCRIPT_ERROR, "The script failed with a message that is too long to be told.")
        error = msgspec.json.decode(error_text, type=_Error | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _Unusable(failed(FailureCode.RESULT_INVALID, "The result is not usable as JSON.")) from None
    if error is not None:
        return _of_error(job, error)
    if ended.code != 0:
        return _bad_exit(job, ended, "The script")
    value = memoryview(report.value)
    if len(value) > RESULT_BYTES_MAX:
        return _from(endings.too_large())
    return _succeeded(value, "")


def _of_error(job: Job, error: _Error) -> Ran:
    if error.code == "memory_limit":
        return _from(endings.out_of_memory(job.limits.memory_mib, "It was refused more memory."))
    column = f", column {error.column}" if error.column else ""
    place = f" (line {error.line}{column})" if error.line else ""
    message = _without_paths(job, error.message)[:_MESSAGE_CHARACTERS]
    if error.code == "result_invalid":
        return failed(FailureCode.RESULT_INVALID, message, _JSON_IN[job.payload.language or "javascript"])
    return failed(FailureCode.SCRIPT_ERROR, message + place, _PACKAGES if _NO_PACKAGE.match(message) else "")


def _bad_exit(job: Job, ended: Ended, who: str) -> Ran:
    last = _without_paths(job, _line(ended.stderr_tail))
    if "out of memory" in ended.stderr_tail and ended.code > 128:
        return _from(endings.out_of_memory(job.limits.memory_mib))
    # Said by what starts the program, where it cannot. A program itself may leave with these codes, too.
    unstarted = re.search(rf"(?:^| ){re.escape(who)}: (.+)$", last)
    if ended.code == _NOT_FOUND and unstarted is not None and unstarted[1] in _ABSENT:
        hint = "A task finds the programs of the node's system, of its packages and of its own directory."
        return failed(FailureCode.SCRIPT_ERROR, f"The program {who} was not found (exit code 127).", hint)
    if ended.code == _NOT_RUNNABLE and unstarted is not None:
        hint = "It has to be a file that may be executed; name an interpreter before its script."
        return failed(FailureCode.SCRIPT_ERROR, f"The program {who} cannot be run: {unstarted[1]}.", hint)
    name = _signal(ended.code - 128)
    if name == "SIGXFSZ":
        return failed(FailureCode.SCRIPT_ERROR, f"It wrote a file larger than {FILE_BYTES_MAX // 1024**3} GiB.")
    how = f"was ended by {name}" if name else f"ended with exit code {ended.code}"
    return failed(FailureCode.SCRIPT_ERROR, f"{who} {how}" + (f": {last}" if last else "."))


def _succeeded(value: bytes | memoryview, file: str) -> Ran:
    try:
        require_json(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what = f"{file} is not JSON" if file else "The result cannot be written as JSON"
        return failed(FailureCode.RESULT_INVALID, f"{what}: {str(error).rstrip('.')}.")
    return Ran(outcome=Outcome.SUCCEEDED, value=value)


def _content(path: Path, most: int) -> bytes | None:
    """A file the task may have written or swapped for a link, a pipe or a device; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _Unusable(failed(FailureCode.RESULT_INVALID, f"{path.name} cannot be read: {error.strerror}.")) from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise _Unusable(failed(FailureCode.RESULT_INVALID, f"{path.name} is not a regular file."))
        if about.st_size > most:
            raise _Unusable(_from(endings.too_large()))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise _Unusable(_from(endings.too_large()))
    return content


def _from(ending: Ending) -> Ran:
    return failed(ending.code or FailureCode.CRASHED, ending.message, ending.hint)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


def _without_paths(job: Job, text: str) -> str:
    return text.replace(f"{job.directory}/", "").replace(str(job.directory), ".")
