"""The python runtime, with real worker processes: what a script has, and every way in which it can end."""

import asyncio
import importlib.util
import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.python.runtime import Python, offer
from anchor.agent.workers.pool import Pool
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits

LACK = "" if importlib.util.find_spec("eryx") else offer()[1]

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(bool(LACK), reason=LACK)]

numbers = itertools.count()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def python(anyio_backend: str) -> AsyncIterator[Python]:
    assert offer()[0] is not None, offer()[1]
    runtime = Python(Pool(warm=2))
    await runtime.start()
    yield runtime
    await runtime.stop()


@pytest.fixture
def run(python: Python, tmp_path: Path) -> Any:
    async def runner(
        source: str,
        *,
        memory: int = 128,
        seconds: float = 10.0,
        output: int = 1 << 20,
        emit: Any = None,
        **payload: Any,
    ) -> Ran:
        directory = tmp_path / f"job{next(numbers)}"
        directory.mkdir()
        for name, text in payload.pop("given_files", {}).items():
            (directory / name).write_text(text)
        limits = ResolvedLimits(memory_mib=memory, timeout_seconds=seconds, output_bytes=output)
        job = Job(
            task="task_7", attempt=2, payload=Payload(source_code=source, **payload), limits=limits, directory=directory
        )
        return await python.run(job, emit or (lambda *_: None))

    return runner


def value(ran: Ran) -> Any:
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    return json.loads(bytes(ran.value))


def failure(ran: Ran) -> tuple[str, str]:
    assert ran.reason is not None, ran.value
    return ran.reason.code, ran.reason.message


def heard() -> tuple[dict[str, str], Any]:
    said: dict[str, str] = {}

    def emit(stream: str, text: str) -> None:
        said[stream] = said.get(stream, "") + text

    return said, emit


async def test_the_result_is_what_the_script_assigns_to_it_or_what_its_main_returns(run: Any) -> None:
    assert value(await run("result = {'sum': sum(input)}", input=[1, 2, 3])) == {"sum": 6}
    assert value(await run("def main(given):\n    return given * 2", input="ab")) == "abab"
    assert value(await run("def main():\n    return 7")) == 7
    assert value(await run("import asyncio\nasync def main():\n    await asyncio.sleep(0.01)\n    return 8")) == 8
    assert value(await run("def main(): return 1\nif __name__ == '__main__': pass")) is None
    assert value(await run("print('only this')")) is None


async def test_a_script_has_its_arguments_environment_input_and_the_words_of_anchor(run: Any) -> None:
    source = """
import os, sys, anchor as module
result = [sys.argv, dict(os.environ), sys.stdin.read(), anchor.task, anchor.attempt, module is anchor]
"""
    ran = await run(source, args=["a", "ü"], env={"LANG": "C"}, stdin="lines\n")
    assert value(ran) == [["task.py", "a", "ü"], {"LANG": "C"}, "lines\n", "task_7", 2, True]


async def test_the_standard_library_is_there(run: Any) -> None:
    source = """
import collections, csv, datetime, decimal, fractions, hashlib, io, itertools, math, random, re, sqlite3, statistics
import string, textwrap, uuid, xml.etree.ElementTree, zlib, dataclasses, functools, heapq, bisect, base64, secrets
result = [hashlib.sha256(b"x").hexdigest()[:8], str(decimal.Decimal(1) / 3)[:6], len(secrets.token_bytes(4))]
"""
    assert value(await run(source)) == ["2d711642", "0.3333", 4]


async def test_coroutines_run_side_by_side_and_a_wait_for_nothing_is_an_error(run: Any) -> None:
    source = """
import asyncio, time
async def one(n):
    await asyncio.sleep(0.2)
    return n
async def main():
    began = time.monotonic()
    values = await asyncio.gather(*map(one, range(5)))
    return values, time.monotonic() - began < 0.9
"""
    assert value(await run(source)) == [[0, 1, 2, 3, 4], True]
    code, message = failure(await run("import asyncio\nasync def main():\n    await asyncio.Future()"))
    assert code == FailureCode.SCRIPT_ERROR
    assert "nothing is left to do" in message


async def test_output_and_progress_are_there_while_the_script_still_runs(run: Any) -> None:
    seen: dict[str, float] = {}

    def emit(stream: str, text: str) -> None:
        seen.setdefault(stream, time.monotonic())

    source = "print('now')\nanchor.progress(0.4, 'half\\nway')\nimport time; time.sleep(1)"
    await run(source, emit=emit)
    ended = time.monotonic()
    assert seen.keys() == {"stdout", "progress"}
    assert all(ended - at > 0.8 for at in seen.values())


async def test_streams_are_kept_apart_and_progress_is_a_line_of_its_own(run: Any) -> None:
    said, emit = heard()
    source = "import sys\nprint('à', 1)\nsys.stderr.write('err\\n')\nsys.stdout.buffer.write(b'raw\\xff\\n')\n"
    await run(source + "print('\\ud800', end='')\nanchor.progress(0.25)", emit=emit)
    assert said == {"stdout": "à 1\nraw�\n\\ud800", "stderr": "err\n", "progress": "25%\n"}


async def test_a_flood_of_output_is_cut_at_its_limit_and_marked(run: Any) -> None:
    said, emit = heard()
    ran = await run("for i in range(100000): print('x' * 80)", output=1000, emit=emit)
    assert ran.output_truncated
    assert len(said["stdout"]) == 1000
    assert not (await run("print('x' * 999)", output=1000)).output_truncated


async def test_an_error_names_its_line_and_column_and_its_traceback_shows_the_script_alone(run: Any) -> None:
    said, emit = heard()
    code, message = failure(await run("def f(x):\n    return 1 / x\nf(0)\n", emit=emit))
    assert (code, message) == (FailureCode.SCRIPT_ERROR, "ZeroDivisionError: division by zero (line 2, column 12)")
    assert said["stderr"].startswith(
        'Traceback (most recent call last):\n  File "task.py", line 3, in <module>\n    f(0)'
    )
    assert "guest" not in said["stderr"]
    assert "eryx" not in said["stderr"]
    code, message = failure(await run("x = 1\ny = (\n"))
    assert message == "SyntaxError: '(' was never closed (line 2, column 5)"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys; sys.exit(3)", "The script ended itself with exit code 3."),
        ("raise SystemExit('why')", "The script ended itself with exit code 1: why"),
        ("import os; os._exit(3)", "The script ended its interpreter with os._exit and another code than 0."),
        ("import os; os.abort()", "The script broke its interpreter: wasm `unreachable` instruction executed."),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (line 1, column 1)"),
    ],
)
async def test_a_script_that_ends_itself_says_how(run: Any, source: str, message: str) -> None:
    assert failure(await run(source)) == (FailureCode.SCRIPT_ERROR, message)


async def test_an_exit_with_code_zero_is_a_success_without_a_value(run: Any) -> None:
    assert value(await run("import sys; sys.exit()")) is None
    assert value(await run("import os; os._exit(0)")) is None


@pytest.mark.parametrize(
    "source", ["result = {1, 2}", "result = float('nan')", "result = []; result.append(result)", "result = b'x'"]
)
async def test_what_is_no_json_is_no_result(run: Any, source: str) -> None:
    code, message = failure(await run(source))
    assert code == FailureCode.RESULT_INVALID
    assert message.startswith("The result cannot be written as JSON: ")


async def test_results_are_whole_up_to_their_limit_and_refused_beyond_it(run: Any) -> None:
    assert value(await run("result = 'é' * 1_000_000")) == "é" * 1_000_000
    assert failure(await run("result = 'x' * (17 << 20)"))[0] == FailureCode.RESULT_TOO_LARGE
    assert value(await run("result = len(input)", input="é" * 1_000_000)) == 1_000_000


async def test_a_script_ends_at_its_deadline_whatever_it_does(run: Any) -> None:
    sources = ["while True: pass", "import time; time.sleep(60)", "import re; re.match('(a+)+$', 'a' * 40 + 'b')"]
    ended = await asyncio.gather(*(run(source, seconds=0.5) for source in sources))
    for ran in ended:
        assert ran.outcome is Outcome.TIMED_OUT
        assert ran.usage.wall_seconds < 0.75


async def test_the_memory_limit_holds_and_what_fits_runs(run: Any) -> None:
    fits = "x = bytearray(100 << 20)\nresult = len(x)"
    assert value(await run(fits, memory=128)) == 100 << 20
    assert failure(await run("x = bytearray(200 << 20)", memory=128))[0] == FailureCode.MEMORY_LIMIT
    assert failure(await run("x = []\nwhile True: x.append([])", memory=16))[0] == FailureCode.MEMORY_LIMIT
    assert value(await run("result = 1", memory=16)) == 1


async def test_what_a_sandbox_has_not_is_refused_in_python_s_own_words(run: Any) -> None:
    asked = {
        "import subprocess; subprocess.run(['ls'])": "does not support processes",
        "import threading; threading.Thread(target=print).start()": "can't start new thread",
        "import socket; socket.create_connection(('127.0.0.1', 80))": "networking not enabled",
        "import ctypes": "No module named '_ctypes'",
        "open('/etc/passwd')": "No such file or directory",
        "import numpy": "No module named 'numpy'",
    }
    for source, words in asked.items():
        code, message = failure(await run(source))
        assert code == FailureCode.SCRIPT_ERROR
        assert words in message


async def test_every_task_has_a_new_interpreter(run: Any) -> None:
    tamper = (
        "import builtins, sys, json\nbuiltins.len = None\nsys.modules['math'] = None\njson.dumps = None\nsys.exit()"
    )
    for _ in range(4):
        await run(tamper)
    assert value(await run("import math\nresult = len([math.pi])")) == 1


async def test_a_result_that_is_made_up_is_only_a_wrong_result(run: Any) -> None:
    say = "import _eryx\ndef say(piece): _eryx._eryx_report_output(1, piece)\n"
    assert failure(await run(say + "say(b'rjunk')\nimport os\nos.kill(0, 9)"))[0] == FailureCode.SCRIPT_ERROR
    assert value(await run(say + "say(b'r{\"value\":1}')\nsay(b'pjunk')\nsay(b'')\nsay(b'p[9e999,\"\"]')")) is None
    assert (
        failure(await run(say + "say(b'r' + b'x' * (18 << 20))\nimport os\nos.abort()"))[0] == FailureCode.SCRIPT_ERROR
    )


async def test_what_a_script_used_is_measured(run: Any) -> None:
    usage = (await run("x = bytes(60 << 20)\nfor i in range(300000): pass")).usage
    assert usage.cpu_seconds > 0
    assert usage.fuel > 1_000_000


async def test_an_agent_on_an_old_python_or_without_a_source_is_told_so(python: Python, tmp_path: Path) -> None:
    limits = ResolvedLimits(memory_mib=64, timeout_seconds=1, output_bytes=1)
    job = Job(task="t", attempt=1, payload=Payload(), limits=limits, directory=tmp_path / "none")
    assert failure(await python.run(job, lambda *_: None))[0] == FailureCode.INVALID_PAYLOAD


async def test_what_is_nested_too_deeply_for_the_interpreter_s_own_stack_is_an_error_of_the_script(run: Any) -> None:
    code, message = failure(await run("import json\njson.loads('[' * 200_000)"))
    assert code == FailureCode.SCRIPT_ERROR
    assert "nested more deeply" in message
    assert value(await run("result = 1")) == 1
