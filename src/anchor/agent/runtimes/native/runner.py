"""Runs a task's Python source in a process of its own: a script that imports nothing of Anchor.

usage: runner.py SPEC RESULT [ARG...]   SPEC is JSON {source, input, inputs, anchor}; the answer goes to RESULT as JSON
{"value": …} or {"error": {code, message, line, column}}.

The value is what the source assigned to `result`; or else what its function `main` returns, called with the input if
it takes an argument. A source with an `if __name__ == "__main__":` of its own calls what it wants called itself.
"""

import io
import json
import linecache
import os
import sys
import types

# Whatever else is needed is imported where it is: these imports are time that every task waits for.
# ruff: noqa: PLC0415
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "task.py"


class Anchor:
    """What a task finds under the name `anchor`: which task and attempt it is, and a way to say how far it is."""

    def __init__(self, task: str, attempt: int, pipe: str) -> None:
        self.task = task
        self.attempt = attempt
        self.__pipe = pipe
        self.__descriptor = -1

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how much of the work is done, from 0 to 1, and what is being done. Never waits: it is dropped if others
        have filled the pipe."""
        line = f"{min(max(float(fraction), 0.0), 1.0):.4f} {' '.join(str(text)[:500].split())}\n"
        try:
            if self.__descriptor < 0:
                self.__descriptor = os.open(self.__pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(self.__descriptor, line.encode(errors="replace"))
        except OSError:
            return


class _ResultInvalid(Exception):
    """The value cannot be written as JSON."""


def run(source: str, given: "dict[str, Any]") -> str:
    """The value of the source as JSON text; raises what the source raises."""
    module = types.ModuleType("__main__")
    names = module.__dict__
    names.update(given, __file__=NAME, __builtins__=__builtins__)
    # So that a traceback shows the user's own lines.
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    sys.modules["__main__"] = module
    exec(compile(source, NAME, "exec"), names)
    value = names.get("result")
    entry = names.get("main")
    if "result" not in names and callable(entry) and not _starts_itself(source):
        value = entry(given["input"]) if _takes_input(entry) else entry()
        if isinstance(value, types.CoroutineType):
            import asyncio

            value = asyncio.run(value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _ResultInvalid(f"The result cannot be written as JSON: {error}.") from None


def _starts_itself(source: str) -> bool:
    import ast

    tree = ast.parse(source)
    tests = [statement.test for statement in tree.body if isinstance(statement, ast.If)]
    return any(isinstance(part, ast.Name) and part.id == "__name__" for test in tests for part in ast.walk(test))


def _takes_input(entry: "Any") -> bool:
    import inspect

    try:
        inspect.signature(entry).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def describe(error: BaseException) -> "dict[str, Any]":
    """What to report of an exception; it is also printed, without our own frames."""
    if isinstance(error, _ResultInvalid):
        return {"code": "result_invalid", "message": str(error)}
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        words = f": {error.code}" if isinstance(error.code, str) else "."
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
        return {"code": "script_error", "message": f"The script ended itself with exit code {code}{words}"}
    import traceback

    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != NAME:
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)
    if isinstance(error, MemoryError):
        return {"code": "memory_limit", "message": ""}
    if isinstance(error, SyntaxError) and error.filename == NAME:
        message = f"{type(error).__name__}: {error.msg}"
        return {"code": "script_error", "message": message, "line": error.lineno or 0, "column": error.offset or 0}
    message = traceback.format_exception_only(error)[-1].strip()
    for frame in reversed(traceback.extract_tb(frames)):
        if frame.filename == NAME:
            column = 0 if frame.colno is None else frame.colno + 1
            return {"code": "script_error", "message": message, "line": frame.lineno or 0, "column": column}
    return {"code": "script_error", "message": message}


def main(spec_file: str, result_file: str, *args: str) -> int:
    """Run the task and write its answer; the exit code is 0 exactly if there is a value."""
    with open(spec_file, encoding="utf-8") as file:
        spec = json.load(file)
    # Open from the beginning: a task may use up every file number there is.
    answers = open(result_file, "w", encoding="utf-8")  # noqa: SIM115
    anchor = Anchor(**spec["anchor"], pipe=os.environ.get("ANCHOR_PROGRESS", ""))
    sys.argv = [NAME, *args]
    sys.path[0] = os.getcwd()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    failed = False
    try:
        value = run(spec["source"], {"input": spec["input"], "inputs": spec["inputs"], "anchor": anchor})
        answer = f'{{"value":{value}}}'
    except BaseException as error:
        failed = not (isinstance(error, SystemExit) and error.code in (None, 0))
        answer = json.dumps({"error": describe(error)}) if failed else '{"value":null}'
    with answers:
        answers.write(answer)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
