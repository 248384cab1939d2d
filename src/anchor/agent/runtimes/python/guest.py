"""Runs a task's source in the sandboxed interpreter: a script that goes ahead of every task and imports nothing of
Anchor.

What it has to say goes to the engine in pieces, each behind a letter: `o` standard output, `e` standard error, `p` a
share of the work done (JSON [fraction, message]), `r` the answer: JSON {"value": …} or {"error": {code, message, line,
column}}.

The value is what the source assigned to `result`; or else what its function `main` returns, called with the input if
it takes an argument. A source with an `if __name__ == "__main__":` of its own calls what it wants called itself.
"""

import ast
import asyncio
import atexit
import inspect
import io
import json
import linecache
import os
import sys
import time
import traceback
import types
from typing import Any

import _eryx  # type: ignore[import-not-found,unused-ignore]  # the host of the sandbox

NAME = "task.py"
DIRECTORY = "/job"
MESSAGE_LENGTH_MAX = 2000
_TAGGED = 1
_dumps = json.dumps  # as it is now: a script can put something else into its module


class _ResultInvalid(Exception):
    """The value cannot be written as JSON."""


class _Pipe(io.RawIOBase):
    """A stream to the engine; what goes beyond the budget that the streams share is dropped."""

    left = 0

    def __init__(self, letter: bytes) -> None:
        self._letter = letter

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = len(data)
        if _Pipe.left > 0:
            _tell(self._letter, bytes(data[: _Pipe.left]))
            _Pipe.left -= size
        return size


class _Loop(asyncio.BaseEventLoop):
    """An event loop for timers and coroutines, which is all that can happen in here."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self

    def select(self, seconds: float | None) -> list[Any]:
        """Wait for the next timer."""
        if seconds is None:
            raise RuntimeError("the program waits for something that nothing is left to do")
        time.sleep(seconds)
        return []

    def _process_events(self, _: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else could be waiting."""


class _Policy(asyncio.events._BaseDefaultEventLoopPolicy):  # type: ignore[name-defined,misc,unused-ignore]
    _loop_factory = _Loop


def _tell(letter: bytes, data: bytes) -> None:
    _eryx._eryx_report_output(_TAGGED, letter + data)


def _stream(letter: bytes) -> io.TextIOWrapper:
    buffered = io.BufferedWriter(_Pipe(letter))
    return io.TextIOWrapper(buffered, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _progress(fraction: float, message: str = "") -> None:
    """Say which share of the work is done, from 0 to 1, and what is being done."""
    _tell(b"p", _dumps([float(fraction), str(message)]).encode())


def _run(source: str, names: dict[str, Any]) -> str:
    exec(compile(source, NAME, "exec", dont_inherit=True), names)
    value = names.get("result")
    entry = names.get("main")
    if "result" not in names and callable(entry) and not _starts_itself(source):
        value = entry(names["input"]) if _takes_input(entry) else entry()
        if isinstance(value, types.CoroutineType):
            value = asyncio.run(value)
    try:
        return _dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _ResultInvalid(f"The result cannot be written as JSON: {error}.") from None


def _starts_itself(source: str) -> bool:
    tests = [statement.test for statement in ast.parse(source).body if isinstance(statement, ast.If)]
    return any(isinstance(part, ast.Name) and part.id == "__name__" for test in tests for part in ast.walk(test))


def _takes_input(entry: Any) -> bool:
    try:
        inspect.signature(entry).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _described(error: BaseException) -> dict[str, Any]:
    """What to report of an exception; it is also printed, without the frames of this file."""
    if isinstance(error, _ResultInvalid):
        return {"code": "result_invalid", "message": str(error)[:MESSAGE_LENGTH_MAX]}
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        words = f": {error.code[:MESSAGE_LENGTH_MAX]}" if isinstance(error.code, str) else "."
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
        return {"code": "script_error", "message": f"The script ended itself with exit code {code}{words}"}
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != NAME:
        frames = frames.tb_next
    if isinstance(error, MemoryError):
        return {"code": "memory_limit", "message": ""}
    traceback.print_exception(type(error), error, frames)
    message = traceback.format_exception_only(error)[-1].strip()[:MESSAGE_LENGTH_MAX]
    if isinstance(error, SyntaxError) and error.filename == NAME:
        message = f"{type(error).__name__}: {error.msg}"
        return {"code": "script_error", "message": message, "line": error.lineno or 0, "column": error.offset or 0}
    for frame in reversed(traceback.extract_tb(frames)):
        if frame.filename == NAME:
            column = 0 if frame.colno is None else frame.colno + 1
            return {"code": "script_error", "message": message, "line": frame.lineno or 0, "column": column}
    return {"code": "script_error", "message": message}


def _answer(source: str, names: dict[str, Any]) -> str:
    try:
        try:
            return f'{{"value":{_run(source, names)}}}'
        except BaseException as error:
            if isinstance(error, SystemExit) and error.code in (None, 0):
                return '{"value":null}'
            # So that a traceback shows the user's own lines.
            linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
            return _dumps({"error": _described(error)})
        finally:
            atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
    except MemoryError:
        return '{"error":{"code":"memory_limit","message":""}}'
    except BaseException as error:
        kind = type(error).__name__
        return _dumps({"error": {"code": "script_error", "message": f"{kind} at the end of the script."}})


def start(told: str) -> None:
    """Run the task that `told` describes: JSON {source, given, args, env, stdin, budget, files}."""
    task = json.loads(told)
    own = sys.modules["__main__"]
    module = types.ModuleType("__main__")
    anchor = types.ModuleType("anchor")
    anchor.__dict__.update(task["given"]["anchor"], progress=_progress)
    given = {name: task["given"][name] for name in ("input", "inputs")}
    module.__dict__.update(given, anchor=anchor, __file__=NAME, __builtins__=__builtins__)
    sys.modules.update({"__main__": module, "anchor": anchor})
    sys.argv = [NAME, *task["args"]]
    sys.dont_write_bytecode = True  # a directory whose files are kept is no place for it
    os.environ.clear()
    os.environ.update(task["env"])
    # One byte more, so that the engine sees that there was more.
    _Pipe.left = task["budget"] + 1
    sys.stdout = sys.__stdout__ = _stream(b"o")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(b"e")  # type: ignore[misc]
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO(task["stdin"].encode()), encoding="utf-8")  # type: ignore[misc]
    if task["files"]:
        os.chdir(DIRECTORY)
        sys.path.insert(0, DIRECTORY)
    asyncio.events._event_loop_policy = _Policy()  # type: ignore[attr-defined]
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        answer = _answer(task["source"], module.__dict__)
    finally:
        asyncio._set_running_loop(outer)
        sys.modules["__main__"] = own
    _tell(b"r", answer.encode())
