"""Runs a task's Python source in its own process: a script of its own that imports nothing of Anchor.

usage: native_runner.py SPEC RESULT [ARG...]   SPEC is JSON {source, input, anchor}, RESULT the file for the answer.
"""

import ast
import asyncio
import contextlib
import inspect
import json
import linecache
import sys
import traceback
import types
from pathlib import Path
from typing import Any

NAME = "task.py"


class _ResultInvalid(Exception):
    pass


def main(spec_file: str, result_file: str, args: list[str]) -> int:
    """Run the task and write its answer; the exit code is 0 exactly if there is a value."""
    with open(spec_file, encoding="utf-8") as file:
        spec = json.load(file)
    source: str = spec["source"]
    module = types.ModuleType("__main__")
    module.__dict__.update(
        __file__=NAME, __builtins__=__builtins__, input=spec["input"], anchor=types.SimpleNamespace(**spec["anchor"])
    )
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    sys.modules["__main__"] = module
    sys.argv = [NAME, *args]
    sys.path[0] = str(Path.cwd())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        answer = {"value": json.loads(_as_json(_run(source, module)))}
        text = json.dumps(answer)
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            text, answer = json.dumps({"value": None}), {"value": None}
        else:
            code = leaving.code if isinstance(leaving.code, int) else 1
            answer = {"error": {"code": "script_error", "message": f"It exited with code {code}."}}
            text = json.dumps(answer)
            if not isinstance(leaving.code, int):
                sys.stderr.write(f"{leaving.code}\n")
    except BaseException as error:
        answer = {"error": _describe(error)}
        text = json.dumps(answer)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with open(result_file, "w", encoding="utf-8") as file:
        file.write(text)
    return 0 if "value" in answer else 1
