"""What an attempt prints reaches the server while it runs, and what it moved in and out is counted."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.agent.blob_server import BlobServer, blob_server

from anchor.agent.executor import Executor
from anchor.agent.job import Emit, Job, Ran
from anchor.agent.journal import Journal
from anchor.agent.parcels import Parcels
from anchor.core.attempt import Ending, Outcome
from anchor.core.progress import progress_text
from anchor.core.spec import Payload, ResolvedLimits
from anchor.wire.link import Assignment, FromAgent, Output

LATE_SECONDS = 0.15
OVERLAP_SECONDS = 0.02
"""Jobs that may run at once meet in this time."""
MIB = 1024 * 1024


class Stage:
    """A runtime that prints one line, writes what the test wants, and waits to be let go."""

    name = "stage"

    def __init__(self) -> None:
        self.seen: dict[str, bytes] = {}
        self.leaves: dict[str, bytes] = {}
        self.goes = asyncio.Event()
        self.running = self.most = 0

    def wants_directory(self, _: Payload) -> bool:
        return False

    async def start(self) -> None:
        return

    async def run(self, job: Job, emit: Emit) -> Ran:
        self.running += 1
        self.most = max(self.most, self.running)
        emit("stdout", "a line\n")
        for share in range(10):
            emit("progress", progress_text(share / 10))
        if job.has_directory:
            self.seen = {path.name: path.read_bytes() for path in job.directory.iterdir()}
            for name, content in self.leaves.items():
                (job.directory / name).write_bytes(content)
        await self.goes.wait()
        await asyncio.sleep(OVERLAP_SECONDS)
        self.running -= 1
        return Ran(outcome=Outcome.SUCCEEDED, value=b"12345")

    async def stop(self) -> None:
        return


class Node:
    """An executor, and what it sent."""

    def __init__(self, directory: Path, parcels: Parcels, disk_mib: int | None) -> None:
        self.stage = Stage()
        self.sent: list[tuple[float, FromAgent]] = []
        self.endings: list[Ending] = []
        self.journal = Journal(directory / "journal.db")
        self.executor = Executor(
            self.journal,
            {"stage": self.stage},
            parcels,
            directory / "jobs",
            send=lambda frame: self.sent.append((time.monotonic(), frame)),
            report=self._report,
            disk_mib=disk_mib,
        )

    def _report(self, endings: Sequence[Ending]) -> None:
        self.endings.extend(endings)

    def printed(self) -> list[tuple[float, str]]:
        return [(at, chunk.text) for at, frame in self.sent if isinstance(frame, Output) for chunk in frame.items]

    async def end(self) -> list[Ending]:
        self.stage.goes.set()
        async with asyncio.timeout(20):
            await self.executor.idle()
        return self.endings


@asynccontextmanager
async def node(directory: Path, blobs: BlobServer, disk_mib: int | None = None) -> AsyncIterator[Node]:
    parcels = Parcels()
    parcels.url, parcels.token = blobs.url, "token"
    one = Node(directory, parcels, disk_mib)
    try:
        yield one
    finally:
        await parcels.close()
        one.journal.close()


def assignment(payload: bytes, *, task: int = 7, disk_mib: int = 16) -> Assignment:
    return Assignment(task, 1, "stage", ResolvedLimits(128, 30.0, 1000, disk_mib), payload, "", "t")


@pytest.mark.anyio
async def test_a_line_with_nothing_behind_it_is_sent_at_once_and_only_the_newest_share(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as it:
        it.executor.take([assignment(b"{}")])
        async with asyncio.timeout(20):
            while not it.stage.running:  # noqa: ASYNC110 - it is in another task's hands
                await asyncio.sleep(0.001)
        began = time.monotonic()
        await asyncio.sleep(LATE_SECONDS)
        printed = it.printed()
        assert [text for _, text in printed] == ["a line\n", "90%\n"]
        assert printed[0][0] - began < LATE_SECONDS
        [ending] = await it.end()
        assert ending.outcome is Outcome.SUCCEEDED


@pytest.mark.anyio
async def test_files_go_in_and_out_and_every_byte_of_them_is_counted(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as it:
        digest = blobs.add(b"input")
        it.stage.leaves = {"out.txt": b"output"}
        payload = f'{{"files": {{"in.txt": "sha256:{digest}"}}, "outputs": ["*.txt"]}}'.encode()
        it.executor.take([assignment(payload)])
        [ending] = await it.end()
        assert it.stage.seen == {"in.txt": b"input"}
        assert ending.result is not None
        assert [(file.name, blobs.blobs[file.sha256]) for file in ending.result.files] == [
            ("in.txt", b"input"),
            ("out.txt", b"output"),
        ]
        assert ending.usage is not None
        assert ending.usage.bytes_in == len(payload) + len(b"input")
        shares = sum(len(progress_text(share / 10)) for share in range(10))
        assert ending.usage.bytes_out == len(b"a line\n") + shares + len(b"12345") + len(b"input") + len(b"output")
        assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"files": {"../in": "sha256:%s"}}', "invalid_payload"),
        (b'{"files": {"a": "sha256:%s", "a/b": "sha256:%s"}}', "invalid_payload"),
        (b'{"outputs": ["../../*"]}', "invalid_payload"),
        (b'{"files": {"large": "sha256:%s"}}', "disk_limit"),
        (b'{"files": {"absent": "sha256:' + b"0" * 64 + b'"}}', "input_unavailable"),
        (b'{"outputs": ["absent"]}', "output_missing"),
    ],
)
async def test_a_node_takes_nobodys_word_for_what_files_are_called_or_how_large_they_are(
    tmp_path: Path, payload: bytes, code: str
) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as it:
        digest = blobs.add(bytes(2 * MIB))
        it.executor.take([assignment(payload.replace(b"%s", digest.encode()), disk_mib=1)])
        [ending] = await it.end()
        assert ending.reason is not None
        assert ending.reason.code == code
        assert str(tmp_path) not in ending.reason.message + ending.reason.hint
        assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.anyio
async def test_directories_together_stay_within_the_owners_share_of_the_disk(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs, disk_mib=64) as it:
        it.stage.leaves = {"x": b""}
        it.stage.goes.set()
        it.executor.take([assignment(b'{"outputs": ["x"]}', task=task, disk_mib=20) for task in range(4)])
        it.executor.take([assignment(b'{"outputs": ["x"]}', task=9, disk_mib=1000)])
        endings = await it.end()
        assert [ending.outcome for ending in endings] == [Outcome.SUCCEEDED] * 5
        assert it.stage.most == 1
