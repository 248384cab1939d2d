"""The container runtime, with a real Podman where there is one: an image made from this machine's own programs."""

import asyncio
import itertools
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.own_image import IMAGE, podman_with_image

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.container import engine as engines
from anchor.agent.runtimes.container.runtime import Containers, offer
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits

pytestmark = pytest.mark.anyio

numbers = itertools.count()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with podman_with_image(tmp_path_factory.mktemp("podman")) as path:
        yield path


@pytest.fixture(scope="module")
async def containers(
    podman: str, anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Containers]:
    version, why = offer()
    if version is None:
        pytest.skip(why)
    assert re.fullmatch(r"podman \d+\.\d+.*", version)
    runtime = Containers(tmp_path_factory.mktemp("agent"))
    await runtime.start()
    yield runtime
    await runtime.stop()


@pytest.fixture
def run(containers: Containers, tmp_path: Path) -> Any:
    async def runner(*command: str, memory: int = 128, seconds: float = 20.0, emit: Any = None, **payload: Any) -> Ran:
        directory = tmp_path / f"job{next(numbers)}"
        directory.mkdir(mode=0o700)
        for name, text in payload.pop("given_files", {}).items():
            (directory / name).write_text(text)
        limits = ResolvedLimits(memory_mib=memory, timeout_seconds=seconds, output_bytes=10_000)
        asked = Payload(**{"image": IMAGE, "command": list(command) or None, **payload})
        job = Job(task="task_1", attempt=3, payload=asked, limits=limits, directory=directory)
        return await containers.run(job, emit or (lambda *_: None))

    return runner


def shell(source: str) -> tuple[str, ...]:
    return ("sh", "-c", source)


def value(ran: Ran) -> Any:
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    return json.loads(ran.value)


def failure(ran: Ran) -> tuple[str, str]:
    assert ran.reason is not None, ran.value
    return ran.reason.code, ran.reason.message


async def left(podman: str) -> str:
    process = await asyncio.create_subprocess_exec(podman, "ps", "--all", "--quiet", stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode()


async def test_a_command_has_its_files_input_arguments_and_environment_and_its_result_comes_back(run: Any) -> None:
    source = """read line
echo "{\\"in\\": $line, \\"file\\": $(cat data), \\"env\\": \\"$X\\", \\"arg\\": \\"$0\\"}" > result.json
"""
    ran = await run(*shell(source), args=["ü"], input=[1], given_files={"data": "2"}, env={"X": "a b=c"})
    assert value(ran) == {"in": [1], "file": 2, "env": "a b=c", "arg": "ü"}
    assert ran.usage.wall_seconds > 0


async def test_output_comes_by_stream_and_a_bad_exit_says_its_code(run: Any, podman: str) -> None:
    said: dict[str, str] = {}
    ran = await run(
        *shell("echo out; echo err >&2; exit 3"),
        emit=lambda stream, text: said.update({stream: said.get(stream, "") + text}),
    )
    assert said == {"stdout": "out\n", "stderr": "err\n"}
    assert failure(ran) == (FailureCode.SCRIPT_ERROR, "sh ended with exit code 3: err")
    assert await left(podman) == ""


async def test_a_container_has_no_network_no_rights_and_one_place_to_write(run: Any) -> None:
    source = """
id -u > result.txt
grep -c : /proc/net/dev >> result.txt
grep -E 'CapEff|CapBnd' /proc/self/status | grep -vc 0000000000000000 >> result.txt
grep NoNewPrivs /proc/self/status >> result.txt
touch /etc/x 2>/dev/null && echo wrote >> result.txt
touch /tmp/x && touch x && echo fine >> result.txt
said=$(cat result.txt)
printf '"' > result.json; for w in $said; do printf '%s ' "$w" >> result.json; done; printf '"' >> result.json
"""
    words = value(await run(*shell(source))).split()
    assert words[0] != "0"
    assert words[1] == "1"
    assert words[2:] == ["0", "NoNewPrivs:", "1", "fine"]


async def test_time_and_memory_are_bounded_and_nothing_is_left(run: Any, podman: str) -> None:
    hungry = shell("x=x; while :; do x=$x$x; done")
    late, full = await asyncio.gather(run("sleep", "60", seconds=2.0), run(*hungry, memory=64))
    assert late.outcome is Outcome.TIMED_OUT
    assert late.usage.wall_seconds < 4
    assert failure(full)[0] == FailureCode.MEMORY_LIMIT
    assert await left(podman) == ""


async def test_a_cancelled_container_is_gone_before_the_cancellation_is_let_through(run: Any, podman: str) -> None:
    task = asyncio.create_task(run("sleep", "60"))
    async with asyncio.timeout(20):
        while not await left(podman):  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(podman) == ""


async def test_what_a_killed_agent_left_is_removed_at_the_next_start(podman: str, tmp_path: Path) -> None:
    runtime = Containers(tmp_path)
    found = engines.find()
    if isinstance(found, str):
        pytest.skip(found)
    (tmp_path / "variables").touch()
    (tmp_path / "job").mkdir()
    orphan = engines.Container(
        name="anchor-orphan",
        label=runtime._label,
        image=IMAGE,
        command=["sleep", "60"],
        directory=tmp_path / "job",
        variables=tmp_path / "variables",
        memory_mib=64,
        timeout_seconds=60,
        network=False,
        has_stdin=False,
    )
    line = engines.run_line(found, orphan)
    line.insert(2, "--detach")
    assert (await asyncio.to_thread(subprocess.run, line, capture_output=True, check=False)).returncode == 0
    assert await left(podman) != ""
    await runtime.start()
    assert await left(podman) == ""


async def test_what_cannot_be_run_says_why(run: Any) -> None:
    code, message = failure(await run("id", image="localhost/no-such-image:1"))
    assert (code, "is not on this node" in message) == (FailureCode.DEPENDENCY_ERROR, True)
    assert "was not found in the image" in failure(await run("no-such-program"))[1]
    for wrong in ({"image": None}, {"image": "--privileged"}, {"source_code": "1"}, {"env": {"X": "a\nb"}}):
        assert failure(await run("id", **wrong))[0] == FailureCode.INVALID_PAYLOAD
    assert failure(await run("id", network=True))[0] == FailureCode.RUNTIME_UNAVAILABLE
