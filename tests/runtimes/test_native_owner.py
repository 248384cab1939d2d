"""What native tasks get of a machine beside time and memory: progress, disk, and what its owner allows."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.native_bench import Bench, reason_of, value_of

from anchor.agent.files.removal import remove
from anchor.agent.policy import Policy
from anchor.agent.runtimes.native.progress import read_line
from anchor.agent.runtimes.native.runtime import Native, offer
from anchor.agent.sandbox.bubblewrap import options
from anchor.agent.sandbox.confinement import DEPTH_MAX, Cell, Confinement, Mount
from anchor.agent.sandbox.probe import probe
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined"),
]


@contextlib.asynccontextmanager
async def bench_of(state: Path, jobs: Path, **settings: Any) -> AsyncIterator[Bench]:
    native = Native(state, **settings)
    await native.start()
    yield Bench(native, jobs)
    await native.stop()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("agent")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def bench(state: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_of(state, tmp_path / "jobs") as made:
        yield made


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("0.4 resizing", "40% resizing\n"),
        ("40% resizing", "40% resizing\n"),
        ("1", "100%\n"),
        ("7", "100%\n"),
        (" .25 ", "25%\n"),
        ("forty", None),
        ("", None),
        ("-1", None),
        ("0.4resizing", None),
    ],
)
def test_a_line_of_progress_is_a_share_and_a_text(line: str, text: str | None) -> None:
    assert read_line(line) == text


@pytest.mark.parametrize(
    "payload",
    [
        {"language": "python", "source_code": "import time\nanchor.progress(0.4, 'half\\nway')\ntime.sleep(60)"},
        {"source_code": "anchor.progress(0.4, 'half way'); await new Promise((ok) => setTimeout(ok, 60000))"},
        {"command": ["sh", "-c", 'echo "40% half way" > "$ANCHOR_PROGRESS"; sleep 60']},
    ],
    ids=["python", "javascript", "command"],
)
async def test_progress_arrives_while_the_task_runs(bench: Bench, payload: dict[str, Any]) -> None:
    task = asyncio.create_task(bench.run(**payload))
    deadline = time.monotonic() + 20
    while "half" not in bench.out("progress"):
        assert time.monotonic() < deadline
        assert not task.done()
        await asyncio.sleep(0.02)
    assert bench.out("progress") == "40% half way\n"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_last_progress_of_a_task_that_ends_at_once_is_not_lost(bench: Bench) -> None:
    source = "for n in range(11):\n    anchor.progress(n / 10, f'step {n}')"
    value_of(await bench.run(language="python", source_code=source))
    assert bench.out("progress").endswith("100% step 10\n")


async def test_more_on_disk_than_the_limit_ends_a_task(bench: Bench) -> None:
    source = "import time\nfor n in range(100):\n    open(f'f{n}', 'wb').write(bytes(1 << 20))\n    time.sleep(0.02)"
    ran, one = await asyncio.gather(
        bench.run(language="python", source_code=source, disk_mib=8, seconds=30),
        bench.run(command=["dd", "if=/dev/zero", "of=big", "bs=1M", "count=64"], disk_mib=8, seconds=30),
    )
    assert ran.outcome is Outcome.LIMIT_EXCEEDED
    assert reason_of(ran, FailureCode.DISK_LIMIT) == "It kept more than 8 MiB in its directory."
    assert reason_of(one, FailureCode.DISK_LIMIT) == "It kept more than 8 MiB in its directory."


async def test_folders_too_deep_for_anybody_end_a_task(bench: Bench, tmp_path: Path) -> None:
    source = f"import os\nfor _ in range({DEPTH_MAX} + 100):\n    os.mkdir('d')\n    os.chdir('d')"
    assert "deep" in reason_of(await bench.run(language="python", source_code=source), FailureCode.DISK_LIMIT)
    remove(tmp_path / "jobs")  # deeper than what cleans up after tests can reach


async def test_the_network_is_there_only_if_asked_for_and_allowed(bench: Bench, state: Path, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = f"import os, socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\n"
    source += "result = os.path.exists('/etc/ssl/certs')"
    message = reason_of(
        await bench.run(language="python", source_code=source, network=True), FailureCode.RUNTIME_UNAVAILABLE
    )
    assert message == "The owner of this node does not let tasks use the network."
    async with bench_of(state, tmp_path / "open", policy=Policy(network=True)) as allowed:
        asked, unasked = await asyncio.gather(
            allowed.run(language="python", source_code=source, network=True),
            allowed.run(language="python", source_code=source),
        )
        value_of(asked)
        assert "refused" in reason_of(unasked, FailureCode.SCRIPT_ERROR)
    server.close()
    await server.wait_closed()


async def test_only_the_programs_the_owner_names_are_started(state: Path, tmp_path: Path) -> None:
    async with bench_of(state, tmp_path / "jobs", policy=Policy(programs=("cat",))) as bench:
        value_of(await bench.run(command=["cat"], input=1))
        for other in ("sh", "/usr/bin/cat", "./cat"):
            ran = await bench.run(command=[other])
            assert ran.outcome is Outcome.REJECTED
            assert f"use the program {other}." in reason_of(ran, FailureCode.RUNTIME_UNAVAILABLE)


async def test_the_gpu_is_shown_only_if_asked_for_and_allowed(bench: Bench, tmp_path: Path) -> None:
    reason_of(await bench.run(command=["true"], gpu=True), FailureCode.RUNTIME_UNAVAILABLE)
    cell = Cell(directory=Mount(tmp_path, "/job"), memory_mib=64, gpu=True)
    assert "/sys/dev/char" in options(Confinement("confined", bwrap="bwrap"), cell, {})


async def test_without_confinement_nothing_runs_unless_the_owner_says_so(state: Path, tmp_path: Path) -> None:
    weak = Confinement("process", "bubblewrap is not installed", fix="Install the package bubblewrap.")
    async with bench_of(state, tmp_path / "jobs", confinement=weak) as bench:
        ran = await bench.run(command=["true"])
        assert ran.outcome is Outcome.REJECTED
        assert "Install the package bubblewrap." in reason_of(ran, FailureCode.RUNTIME_UNAVAILABLE)
    async with bench_of(state, tmp_path / "trusted", confinement=weak, policy=Policy(unconfined=True)) as bench:
        value_of(await bench.run(command=["true"]))


async def test_a_task_that_used_up_every_file_number_still_answers(bench: Bench) -> None:
    source = "import os\ntry:\n    while True: os.dup(1)\nexcept OSError:\n    result = 'full'"
    assert value_of(await bench.run(language="python", source_code=source)) == "full"
    script = "const fs = require('fs'); try { for (;;) fs.openSync('/dev/null') } catch {} return 'full'"
    assert value_of(await bench.run(source_code=script)) == "full"


async def test_nothing_is_left_in_the_agents_folders(bench: Bench, state: Path) -> None:
    await bench.run(command=["true"])
    assert list((state / "runs").iterdir()) == []
    assert [
        name for folder in probe().cgroup.values() for name in os.listdir(folder) if f"-{os.getpid()}-" in name
    ] == []


async def test_the_offer_says_what_is_missing_and_how_to_get_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = Confinement("process", "bubblewrap is not installed", fix="Install the package bubblewrap.")
    monkeypatch.setattr("anchor.agent.runtimes.native.runtime.probe", lambda: weak)
    assert offer(state) == (None, "bubblewrap is not installed. Install the package bubblewrap.")
    version, _ = offer(state, Policy(unconfined=True))
    assert version is not None
    assert version.endswith("process")


async def test_a_short_program_is_measured(bench: Bench) -> None:
    source = "import time\nkept = bytes([1]) * 50_000_000\ntime.sleep(0.3)"
    ran = await bench.run(language="python", source_code=source)
    assert 50 <= ran.usage.peak_memory_mb <= 120
    assert ran.usage.cpu_seconds > 0
