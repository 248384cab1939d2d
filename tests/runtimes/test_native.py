"""The native runtime, with the real node, npm, uv and bubblewrap: what users get, and what a task cannot do."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.runtimes.native_bench import Bench, reason_of, value_of

from anchor.agent.policy import Policy
from anchor.agent.runtimes.native.runtime import Native, offer
from anchor.agent.runtimes.native.toolchains import node_on_path, uv_environment, uv_program
from anchor.agent.sandbox.confinement import Confinement
from anchor.agent.sandbox.probe import probe
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(probe().level == "none", reason=f"no native tasks here: {probe().why}"),
]
needs_bwrap = pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined")
MARK = "ANCHOR_TEST_MARK"


def processes_marked(mark: str) -> list[int]:
    """Live processes whose environment holds the mark: what a task has started, wherever it hides."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


async def until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One agent directory for all tests, so that packages are installed once."""
    folder = tmp_path_factory.mktemp("agent")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["confined", "process"])
async def bench(request: pytest.FixtureRequest, state: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "confined" and probe().level != "confined":
        pytest.skip(probe().why)
    native = Native(
        state,
        policy=Policy(unconfined=True),
        confinement=probe() if request.param == "confined" else Confinement("process", "a test", cgroup=probe().cgroup),
    )
    await native.start()
    made = Bench(native, tmp_path / "jobs")
    made.level = request.param
    yield made
    await native.stop()


@pytest.fixture(scope="session")
def npm_registry() -> None:
    node = node_on_path()
    if node is None:
        pytest.skip("no node with npm on PATH")
    asked = subprocess.run(
        [node.program, node.npm, "view", "lodash", "version"], capture_output=True, timeout=60, check=False
    )
    if asked.returncode != 0:
        pytest.skip("npm's registry cannot be reached")


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    command = [uv_program(), "pip", "install", "--dry-run", "--python", sys.executable, "idna"]
    asked = subprocess.run(
        [*command, "--target", str(tmp_path_factory.mktemp("dry"))],
        capture_output=True,
        timeout=60,
        check=False,
        env=uv_environment(),
    )
    if asked.returncode != 0:
        pytest.skip("the Python package index cannot be reached")


# What users get


async def test_javascript_returns_a_value_and_sees_its_input(bench: Bench) -> None:
    source = "console.log('hello'); const n = await Promise.resolve(input.n); return {n: n + 1, anchor}"
    ran = await bench.run(source_code=source, input={"n": 1})
    assert value_of(ran) == {"n": 2, "anchor": {"task": "task_1", "attempt": 2}}
    assert bench.out() == "hello\n"
    assert ran.usage.wall_seconds > 0
    assert ran.usage.cpu_seconds > 0


async def test_the_request_of_the_specification_works(bench: Bench, npm_registry: None) -> None:
    ran = await bench.run(source_code="return require('lodash').chunk([1, 2, 3], 2)", dependencies=["lodash"])
    assert value_of(ran) == [[1, 2], [3]]


async def test_an_es_module_imports_packages_and_answers_by_export_default(bench: Bench, npm_registry: None) -> None:
    source = "import _ from 'lodash'\nimport os from 'node:os'\nexport default [_.sum(input), typeof os.EOL]"
    assert value_of(await bench.run(source_code=source, dependencies=["lodash"], input=[1, 2])) == [3, "string"]


async def test_without_a_value_javascript_ends_when_nothing_is_pending(bench: Bench) -> None:
    ran = await bench.run(source_code="setTimeout(() => console.log('later'), 30)")
    assert value_of(ran) is None
    assert bench.out() == "later\n"


async def test_a_javascript_error_names_the_users_line_and_column(bench: Bench) -> None:
    ran = await bench.run(source_code="const a = 1;\n  null.foo;")
    message = reason_of(ran, FailureCode.SCRIPT_ERROR)
    assert message == "TypeError: Cannot read properties of null (reading 'foo') (line 2, column 8)"
    assert "runner" not in bench.out("stderr")
    ran = await bench.run(source_code="throw new RangeError('first line')")
    assert reason_of(ran, FailureCode.SCRIPT_ERROR).endswith("first line (line 1, column 7)")
    ran = await bench.run(source_code="let a;\nlet b = ;")
    assert reason_of(ran, FailureCode.SCRIPT_ERROR) == "SyntaxError: Unexpected token ';' (line 2, column 9)"


@pytest.mark.parametrize(
    ("source", "code", "word"),
    [
        ("return 5n", FailureCode.RESULT_INVALID, "BigInt"),
        ("return () => 1", FailureCode.RESULT_INVALID, "function"),
        ("await new Promise(() => {})", FailureCode.SCRIPT_ERROR, "never come"),
        ("process.exit(3)", FailureCode.SCRIPT_ERROR, "exit code 3"),
        ("import fs from 'fs'\nreturn 5", FailureCode.SCRIPT_ERROR, "export default"),
        ("setTimeout(() => { throw new Error('late') }, 10)", FailureCode.SCRIPT_ERROR, "late"),
        ("return 'x'.repeat(17 * 1024 * 1024)", FailureCode.RESULT_TOO_LARGE, "16 MiB"),
    ],
)
async def test_javascript_that_gives_no_usable_value_says_why(
    bench: Bench, source: str, code: FailureCode, word: str
) -> None:
    assert word in reason_of(await bench.run(source_code=source), code)


async def test_python_returns_what_main_returns(bench: Bench) -> None:
    source = "def main(input):\n    print('hello', anchor.attempt)\n    return [input * 2, __name__]\n"
    assert value_of(await bench.run(language="python", source_code=source, input=21)) == [42, "__main__"]
    assert bench.out() == "hello 2\n"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("result = {'n': input}", {"n": 3}),
        ("async def main():\n    return 7", 7),
        ("x = 1", None),
        ("import sys\nresult = 1\nsys.exit(0)", None),
        ("runs = []\ndef main():\n    runs.append(1)\nif __name__ == '__main__':\n    main()\n    result = runs", [1]),
        ("import sys\nresult = sys.argv", ["task.py", "a", "b"]),
    ],
)
async def test_python_answers_by_result_or_main(bench: Bench, source: str, value: Any) -> None:
    assert value_of(await bench.run(language="python", source_code=source, input=3, args=["a", "b"])) == value


async def test_python_uses_packages(bench: Bench, package_index: None) -> None:
    source = "import idna, subprocess, sys\nresult = [idna.encode('ö').decode()]\n"
    source += "result.append(subprocess.run([sys.executable, '-c', 'import idna; print(1)']).returncode)"
    ran = await bench.run(language="python", source_code=source, dependencies=["idna>=3"])
    assert value_of(ran) == ["xn--nda", 0]


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("def f():\n    return 1 / 0\nf()", "script_error", "ZeroDivisionError: division by zero (line 2, column 12)"),
        ("x = (1,\ny = 2", "script_error", "SyntaxError: '(' was never closed (line 1, column 5)"),
        ("import sys\nsys.exit('no')", "script_error", "The script ended itself with exit code 1: no"),
        (
            "result = {1}",
            "result_invalid",
            "The result cannot be written as JSON: Object of type set is not JSON serializable.",
        ),
        ("result = float('nan')", "result_invalid", None),
        ("result = '\\ud800'", "result_invalid", None),
        ("import os\nos.abort()", "script_error", "The script was ended by SIGABRT."),
    ],
)
async def test_a_python_error_names_the_users_line(bench: Bench, source: str, code: str, message: str | None) -> None:
    said = reason_of(await bench.run(language="python", source_code=source), FailureCode(code))
    assert message is None or said == message
    assert "runner" not in bench.out("stderr")


async def test_a_command_reads_its_input_and_keeps_its_exit_code(bench: Bench) -> None:
    assert value_of(await bench.run(command=["cat"], input={"a": 1})) == {"exitCode": 0}
    assert bench.out() == '{"a":1}'
    await bench.run(command=["cat"], stdin="as it is\n")
    assert bench.out() == "as it is\n"
    ran = await bench.run(command=["sh", "-c"], args=["echo first >&2; echo oops >&2; exit 4"])
    assert reason_of(ran, FailureCode.SCRIPT_ERROR) == "sh ended with exit code 4: oops"
    ran = await bench.run(command=["no-such-program"])
    assert reason_of(ran, FailureCode.SCRIPT_ERROR).startswith("The program no-such-program was not found")


async def test_a_command_answers_by_result_file(bench: Bench) -> None:
    assert value_of(await bench.run(command=["sh", "-c", "echo '[1, 2]' > result.json"])) == [1, 2]
    ran = await bench.run(command=["sh", "-c", "echo nonsense > result.json"])
    assert "result.json is not JSON" in reason_of(ran, FailureCode.RESULT_INVALID)
    ran = await bench.run(command=["sh", "-c", "mkfifo result.json"])
    assert reason_of(ran, FailureCode.RESULT_INVALID) == "result.json is not a regular file."
    ran = await bench.run(command=["ln", "-s", "/etc/hostname", "result.json"])
    reason_of(ran, FailureCode.RESULT_INVALID)


async def test_output_arrives_while_the_task_runs(bench: Bench) -> None:
    source = "import time\nprint('ä first')\ntime.sleep(60)"
    task = asyncio.create_task(bench.run(language="python", source_code=source))
    await until(lambda: "ä first" in bench.out())
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_second_run_with_the_same_packages_installs_nothing(bench: Bench, npm_registry: None) -> None:
    await bench.run(source_code="return 1", dependencies=["is-odd"])
    began = time.monotonic()
    ran = await bench.run(source_code="return require('is-odd')(3)", dependencies=["is-odd"])
    assert value_of(ran) is True
    assert bench.out("progress") == ""
    assert time.monotonic() - began - ran.usage.wall_seconds < 1


async def test_two_tasks_with_the_same_new_packages_install_once(bench: Bench, npm_registry: None) -> None:
    wanted = ["is-number@7.0.0" if bench.level == "confined" else "is-number@6.0.0"]
    both = [bench.run(source_code="return require('is-number')(1)", dependencies=wanted) for _ in range(2)]
    assert [value_of(ran) for ran in await asyncio.gather(*both)] == [True, True]
    assert bench.out("progress").count("installing") == 1


@pytest.mark.parametrize("wanted", ["no-such-package-of-anchor-1", "lodash@999.0.0"])
async def test_an_npm_package_that_does_not_exist_is_explained(bench: Bench, npm_registry: None, wanted: str) -> None:
    message = reason_of(await bench.run(source_code="1", dependencies=[wanted]), FailureCode.DEPENDENCY_ERROR)
    assert wanted in message
    assert "npm" not in message
    assert "/" not in message


async def test_a_python_package_that_does_not_exist_is_explained(bench: Bench, package_index: None) -> None:
    ran = await bench.run(language="python", source_code="1", dependencies=["idna==999"])
    message = reason_of(ran, FailureCode.DEPENDENCY_ERROR)
    assert "no version of idna==999" in message
    assert "/" not in message


async def test_what_is_missing_in_a_payload_is_said(bench: Bench) -> None:
    reason_of(await bench.run(), FailureCode.INVALID_PAYLOAD)
    reason_of(await bench.run(command=["true"], dependencies=["x"]), FailureCode.INVALID_PAYLOAD)


@pytest.mark.timeout(180)
async def test_node_is_fetched_where_path_has_none(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, package_index: None
) -> None:
    native = Native(tmp_path_factory.mktemp("fetched"), path=str(tmp_path))
    await native.start()
    bench = Bench(native, tmp_path / "jobs")
    ran = await bench.run(source_code="return process.versions.node")
    assert int(value_of(ran).split(".")[0]) >= 22
    assert "fetching Node" in bench.out("progress")
    ran = await bench.run(source_code="return require('lodash').VERSION", dependencies=["lodash@4.17.21"])
    assert value_of(ran) == "4.17.21"
    await native.stop()


async def test_the_offer_names_versions_and_confinement(state: Path) -> None:
    version, _ = await asyncio.to_thread(offer, state)
    assert version is not None
    assert f"python {sys.version_info.major}.{sys.version_info.minor}" in version
    assert version.endswith(probe().level)


# What holds


SPAWN = """
import os, subprocess, sys, time
for _ in range(3):
    subprocess.Popen(["sleep", "300"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    os._exit(0)
print("ready")
"""


async def test_time_out_kills_grandchildren_and_daemons(bench: Bench) -> None:
    mark = f"{os.getpid()}-timeout-{bench.level}"
    began = time.monotonic()
    source = SPAWN + "time.sleep(300)"
    ran = await bench.run(language="python", source_code=source, env={MARK: mark}, seconds=1)
    assert ran.outcome is Outcome.TIMED_OUT
    reason_of(ran, FailureCode.TIMEOUT)
    assert "ready" in bench.out()
    assert time.monotonic() - began < 3
    assert processes_marked(mark) == []


async def test_what_a_finished_task_leaves_behind_is_ended(bench: Bench) -> None:
    mark = f"{os.getpid()}-left-{bench.level}"
    assert value_of(await bench.run(language="python", source_code=SPAWN, env={MARK: mark})) is None
    assert processes_marked(mark) == []


async def test_cancelling_ends_everything_before_it_is_let_through(bench: Bench) -> None:
    mark = f"{os.getpid()}-cancel-{bench.level}"
    source = SPAWN + "time.sleep(300)"
    task = asyncio.create_task(bench.run(language="python", source_code=source, env={MARK: mark}))
    await until(lambda: "ready" in bench.out())
    assert len(processes_marked(mark)) >= 4
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes_marked(mark) == []


async def test_stopping_the_runtime_releases_what_runs(bench: Bench) -> None:
    mark = f"{os.getpid()}-stop-{bench.level}"
    source = SPAWN + "time.sleep(300)"
    task = asyncio.create_task(bench.run(language="python", source_code=source, env={MARK: mark}))
    await until(lambda: "ready" in bench.out())
    await bench.native.stop()
    assert (await task).outcome is Outcome.RELEASED
    assert processes_marked(mark) == []


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("python", "x = []\nwhile True:\n    x.append(bytearray(1000000))"),
        ("python", "x = bytearray(8 << 30)"),
        ("python", "import os, time\nfor _ in range(4):\n    os.fork()\nx = bytes([1]) * 60_000_000\ntime.sleep(60)"),
        ("javascript", "const x = []; for (;;) x.push(new Array(1000).fill(1))"),
        ("javascript", "const x = []; for (;;) x.push(Buffer.alloc(1000000, 1))"),
    ],
)
async def test_a_memory_bomb_ends_at_its_limit(bench: Bench, language: Any, source: str) -> None:
    ran = await bench.run(language=language, source_code=source, memory_mib=192)
    assert ran.outcome is Outcome.LIMIT_EXCEEDED
    assert "192 MiB" in reason_of(ran, FailureCode.MEMORY_LIMIT)


async def test_a_tasks_processes_are_bounded_by_the_kernel(bench: Bench) -> None:
    if os.geteuid() == 0 and not probe().cgroup:
        pytest.skip(probe().why)
    mark = f"{os.getpid()}-many-{bench.level}"
    # One parent, sleeping children, a fixed number: harmless even where nothing bounds it. Never write this test with
    # processes that multiply; the limit under test is all that would stand between them and the machine.
    loop = "n=0; while [ $n -lt 700 ]; do sleep 20 & n=$((n+1)); done; echo all"
    ran = await bench.run(command=["sh", "-c", loop], env={MARK: mark}, memory_mib=4096)
    if "pids" in probe().cgroup:
        assert "512 processes" in reason_of(ran, FailureCode.PROCESS_LIMIT)
    else:
        assert "fork" in reason_of(ran, FailureCode.SCRIPT_ERROR)
    assert "all" not in bench.out()
    assert processes_marked(mark) == []


async def test_output_beyond_its_limit_is_dropped_and_marked(bench: Bench) -> None:
    source = "import sys\nfor _ in range(2000):\n    sys.stdout.write('x' * 999 + '\\n')\nresult = 'done'"
    ran = await bench.run(language="python", source_code=source, output_bytes=10_000)
    assert value_of(ran) == "done"
    assert ran.output_truncated
    assert len(bench.out()) == 10_000


async def test_a_flood_of_output_costs_the_agent_little(bench: Bench) -> None:
    before = time.process_time()
    ran = await bench.run(command=["yes"], seconds=1.5, output_bytes=10_000)
    assert ran.outcome is Outcome.TIMED_OUT
    assert time.process_time() - before < 1


async def test_bytes_that_are_no_text_are_replaced(bench: Bench) -> None:
    await bench.run(command=["printf", "a\\377b"])
    assert bench.out() == "a\ufffdb"


async def test_a_task_sees_none_of_the_agents_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCHOR_SECRET_OF_THE_AGENT", "s3cret")
    source = "return [process.env, require('fs').readFileSync('/proc/self/environ', 'utf8')]"
    env, raw = value_of(await bench.run(source_code=source, env={"MINE": "1", "ANCHOR_TASK": "forged"}))
    assert env["MINE"] == "1"
    assert (env["ANCHOR_TASK"], env["ANCHOR_ATTEMPT"]) == ("task_1", "2")
    assert env.keys() <= {
        "MINE",
        "ANCHOR_PROGRESS",
        "ANCHOR_TASK",
        "ANCHOR_ATTEMPT",
        "HOME",
        "PATH",
        "LANG",
        "USER",
        "LOGNAME",
    } | {
        "TMPDIR",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    }
    assert "s3cret" not in raw


@needs_bwrap
async def test_a_library_preloaded_by_a_task_does_not_reach_the_sandbox_itself(bench: Bench) -> None:
    if bench.level != "confined":
        pytest.skip("a matter of bubblewrap")
    ran = await bench.run(command=["true"], env={"LD_PRELOAD": "/no/such/library.so"})
    assert value_of(ran) == {"exitCode": 0}
    assert bench.out("stderr").count("cannot be preloaded") <= 2


@pytest.fixture
async def confined(state: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    if probe().level != "confined":
        pytest.skip(probe().why)
    native = Native(state)
    await native.start()
    yield Bench(native, tmp_path / "jobs")
    await native.stop()


async def test_a_confined_task_reaches_no_network(confined: Bench) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = (
        "import socket\n"
        f"for place in (('127.0.0.1', {port}), ('192.0.2.1', 80)):\n"
        "    try:\n        socket.create_connection(place, 2)\n"
        "    except OSError as error:\n        print(type(error).__name__)\n"
        "    else:\n        print('connected')\n"
        "result = sorted(name for _, name in socket.if_nameindex())"
    )
    ran = await confined.run(language="python", source_code=source)
    server.close()
    await server.wait_closed()
    assert value_of(ran) == ["lo"]
    assert "connected" not in confined.out()


async def test_a_confined_task_writes_only_where_it_may(confined: Bench, state: Path) -> None:
    source = """
import os
def writes(place):
    try:
        with open(os.path.join(place, "probe"), "w") as file:
            file.write("x")
    except OSError:
        return False
    return True
places = ["/", "/usr", "/etc", "/dev", "/anchor", "/anchor/env", "/anchor/run", "/anchor/io", "/proc", "/job", "/tmp"]
result = [place for place in places if writes(place)]
"""
    assert value_of(await confined.run(language="python", source_code=source)) == ["/job", "/tmp"]


async def test_a_confined_task_sees_neither_the_owners_files_nor_processes(confined: Bench, state: Path) -> None:
    hidden = [str(Path.home()), str(state), "/var", "/run", "/mnt", "/sys", "/etc/shadow", "/etc/hostname", "/boot"]
    source = "import os\nresult = [[p for p in input if os.path.exists(p)], "
    source += "len([p for p in os.listdir('/proc') if p.isdigit()]), os.uname().nodename, os.getuid()]"
    found, processes, host, uid = value_of(await confined.run(language="python", source_code=source, input=hidden))
    assert found == []
    assert processes <= 3
    assert (host, uid) == ("anchor", 1000)


async def test_shared_memory_and_tmp_of_a_confined_task_are_bounded(confined: Bench) -> None:
    source = """
result = {}
for place in ("/dev/shm/x", "/tmp/x"):
    written = 0
    try:
        with open(place, "wb", buffering=0) as file:
            while written < 600:
                file.write(b"x" * 1048576)
                written += 1
    except OSError:
        pass
    result[place] = written
"""
    if not probe().hardened:
        pytest.skip("this bubblewrap cannot size a tmpfs")
    written = value_of(await confined.run(language="python", source_code=source, memory_mib=512))
    assert written["/dev/shm/x"] <= 64
    assert written["/tmp/x"] <= 256


async def test_a_confined_task_cannot_make_user_namespaces(confined: Bench) -> None:
    if not probe().hardened or shutil.which("unshare") is None:
        pytest.skip("needs bubblewrap 0.8 and unshare")
    ran = await confined.run(command=["unshare", "--user", "true"])
    reason_of(ran, FailureCode.SCRIPT_ERROR)
