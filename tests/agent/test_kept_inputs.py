"""Input files a node keeps: fetched once, whatever happens to the line, never wrong, never more than their share."""

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.agent.blob_server import BlobServer, blob_server

from anchor.agent import parcels as parcels_module
from anchor.agent.files.inputs import Inputs
from anchor.agent.files.room import NoRoom
from anchor.agent.parcels import Parcels
from anchor.core.errors import Unavailable

MIB = 1024 * 1024
PATIENCE_SECONDS = 20.0

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anchor.agent.files.inputs.RETRY_SECONDS", 0.01)
    monkeypatch.setattr(parcels_module, "RETRY_SECONDS", 0.01)


@asynccontextmanager
async def node(directory: Path, blobs: BlobServer, *, bytes_max: int = 100 * MIB) -> AsyncIterator[Inputs]:
    parcels = Parcels()
    parcels.url, parcels.token = blobs.url, "token"
    try:
        yield Inputs(directory / "inputs", parcels, bytes_max=bytes_max)
    finally:
        await parcels.close()


def some(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "inputs").rglob("*") if path.is_file())


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not met():  # noqa: ASYNC110 - the other side of a socket tells no event
            await asyncio.sleep(0.01)


async def test_two_thousand_tasks_that_name_one_file_fetch_it_once(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(some(MIB))

        async def task() -> bytes:
            async with inputs.held([digest]) as files:
                return files[digest][0].read_bytes()[:100]

        read = await asyncio.gather(*(task() for _ in range(2000)))
        assert set(read) == {some(MIB)[:100]}
        assert blobs.asked["GET"] == 1
        assert left_in(tmp_path) == [digest]


async def test_a_line_that_is_cut_again_and_again_costs_no_byte_twice(tmp_path: Path) -> None:
    content = some(3 * MIB)
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(content)
        blobs.cuts = [300_000, 700_000, 10, 1_300_000]
        assert await inputs.read(digest) == content
        assert blobs.asked["GET"] == 5
        assert blobs.bytes_out == len(content)


async def test_a_server_that_gives_no_ranges_is_read_from_the_start(tmp_path: Path) -> None:
    content = some(MIB)
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(content)
        blobs.cuts, blobs.knows_ranges = [500_000], False
        assert await inputs.read(digest) == content


async def test_an_agent_that_comes_back_goes_on_where_it_was(tmp_path: Path) -> None:
    content = some(3 * MIB)
    async with blob_server() as blobs:
        digest = blobs.add(content)
        async with node(tmp_path, blobs) as inputs:
            blobs.gate.clear()
            blobs.stands_at = 3 * MIB // 2
            reading = asyncio.create_task(inputs.read(digest))
            part = tmp_path / "inputs" / "unfinished" / digest
            await until(lambda: part.exists() and part.stat().st_size >= MIB)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        blobs.gate.set()
        before = part.stat().st_size
        async with node(tmp_path, blobs) as inputs:
            assert await inputs.read(digest) == content
        assert blobs.starts == [0, before]
        async with node(tmp_path, blobs) as inputs:
            assert await inputs.read(digest) == content
        assert blobs.starts == [0, before]


async def test_what_arrived_before_a_fetch_was_given_up_is_always_the_beginning_of_the_file(tmp_path: Path) -> None:
    content = some(12 * MIB)
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(content)
        part = tmp_path / "inputs" / "unfinished" / digest
        for turn in range(40):
            reading = asyncio.create_task(inputs.read(digest))
            await asyncio.sleep(0.001 * turn)
            reading.cancel()
            await asyncio.wait({reading})
            if not part.exists():
                continue
            arrived = part.read_bytes()
            assert content.startswith(arrived)
        assert await inputs.read(digest) == content


async def test_whoever_still_waits_gets_the_file_when_another_gives_up(tmp_path: Path) -> None:
    content = some(MIB)
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(content)
        blobs.gate.clear()
        first, second = (asyncio.create_task(inputs.read(digest)) for _ in range(2))
        await until(lambda: blobs.bytes_out > 0)
        first.cancel()
        await asyncio.wait({first})
        blobs.gate.set()
        assert await second == content
        assert blobs.asked["GET"] == 1


async def test_one_who_asks_while_the_last_is_giving_up_gets_the_file(tmp_path: Path) -> None:
    content = some(MIB)
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(content)
        blobs.gate.clear()
        first = asyncio.create_task(inputs.read(digest))
        await until(lambda: blobs.bytes_out > 0)
        first.cancel()
        second = asyncio.create_task(inputs.read(digest))
        await asyncio.wait({first})
        blobs.gate.set()
        assert await second == content


@pytest.mark.parametrize("lie", ["other bytes", "more bytes", "fewer bytes"])
async def test_a_server_that_lies_is_found_out_and_leaves_nothing_behind(tmp_path: Path, lie: str) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(some(100_000))
        size = {"other bytes": 100_000, "more bytes": 100_001, "fewer bytes": 99_999}[lie]
        blobs.blobs[digest] = some(size, seed=1)
        with pytest.raises(Unavailable) as refused:
            await inputs.read(digest)
        assert digest in refused.value.message
        assert left_in(tmp_path) == []
        assert inputs.bytes_kept == 0
        blobs.blobs[digest] = some(100_000)
        assert await inputs.read(digest) == some(100_000)


async def test_a_server_that_claims_a_larger_size_and_breaks_off_is_asked_for_the_rest(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        digest = blobs.add(some(100_000))
        blobs.claims_size, blobs.cuts = 200_000, [100_000]
        assert await inputs.read(digest) == some(100_000)


async def test_a_blob_that_does_not_exist_is_said_at_once(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        with pytest.raises(Unavailable, match="could not be fetched"):
            await inputs.read("0" * 64)
        assert blobs.asked["GET"] == 1
        assert left_in(tmp_path) == []


async def test_the_least_recently_used_make_room_and_those_in_use_never_do(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs, bytes_max=3 * MIB) as inputs:
        one, two, three, four = (blobs.add(some(MIB, seed)) for seed in range(4))
        for digest in (one, two, three):
            await inputs.read(digest)
        async with inputs.held([one]):
            await inputs.read(two)
            await inputs.read(four)
            assert left_in(tmp_path) == sorted([one, two, four])
            large = blobs.add(some(2 * MIB + 1, 9))
            with pytest.raises(NoRoom, match="no room"):
                await inputs.read(large)
            assert (tmp_path / "inputs" / one).exists()
            assert not (tmp_path / "inputs" / large).exists()
        assert len(await inputs.read(large)) == 2 * MIB + 1
        assert inputs.bytes_kept <= 3 * MIB


async def test_files_that_are_needed_together_must_fit_together(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs, bytes_max=3 * MIB) as inputs:
        digests = [blobs.add(some(MIB, seed)) for seed in range(4)]
        with pytest.raises(NoRoom):
            async with inputs.held(digests):
                pass
        async with inputs.held(digests[:3]) as files:
            assert all(path.stat().st_size == size == MIB for path, size in files.values())


async def test_a_kept_file_that_was_damaged_or_removed_is_fetched_again(tmp_path: Path) -> None:
    content = some(MIB)
    async with blob_server() as blobs:
        digest = blobs.add(content)
        kept = tmp_path / "inputs" / digest
        async with node(tmp_path, blobs) as inputs:
            assert await inputs.read(digest) == content
            kept.unlink()
            assert await inputs.read(digest) == content
        kept.chmod(0o600)
        kept.write_bytes(b"x" + content[1:])
        async with node(tmp_path, blobs) as inputs:
            assert await inputs.read(digest) == content


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


async def test_the_last_of_a_disk_is_never_taken(small_disk: Path) -> None:
    async with blob_server() as blobs, node(small_disk, blobs) as inputs:
        with pytest.raises(NoRoom):
            await inputs.read(blobs.add(some(4 * MIB)))
        assert left_in(small_disk) == []
        fits = blobs.add(some(2 * MIB))
        assert len(await inputs.read(fits)) == 2 * MIB
        with pytest.raises(NoRoom):
            await inputs.require_room(2 * MIB)
