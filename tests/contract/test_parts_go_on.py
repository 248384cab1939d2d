"""Uploads under way: what has arrived is kept, by one request at a time, within bounds, for a day."""

import asyncio
import os
import time

import pytest

from anchor.adapters.files.parts import FileParts
from anchor.core.errors import Conflict, OutOfSpace, TooManyRequests, Unavailable

pytestmark = pytest.mark.anyio
DIGEST = "ab" * 32


async def pieces(content: bytes, size: int = 100_000):
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def breaks_off(content: bytes):
    yield content
    raise ConnectionResetError("gone")


async def content_of(part) -> bytes:
    return b"".join([chunk async for chunk in part.read()])


async def bring(parts: FileParts, digest: str, total: int, content: bytes, owner: str = "ann") -> None:
    async with parts.hold(owner, digest, total) as part:
        await part.append(pieces(content))


async def test_what_arrived_is_there_for_whoever_goes_on_also_after_a_restart(tmp_path):
    content = os.urandom(1_000_000)
    parts = FileParts(tmp_path)
    assert await parts.held("ann", DIGEST, 1_000_000) == 0
    await bring(parts, DIGEST, 1_000_000, content[:600_000])
    parts = FileParts(tmp_path)
    assert await parts.held("ann", DIGEST, 1_000_000) == 600_000
    async with parts.hold("ann", DIGEST, 1_000_000) as part:
        await part.append(pieces(content[600_000:]))
        assert part.size == 1_000_000
        assert await content_of(part) == content
        await part.drop()
    assert await parts.held("ann", DIGEST, 1_000_000) == 0


async def test_what_came_before_a_break_is_kept(tmp_path):
    parts = FileParts(tmp_path)
    with pytest.raises(ConnectionResetError):
        async with parts.hold("ann", DIGEST, 500) as part:
            await part.append(breaks_off(b"x" * 300))
    assert await parts.held("ann", DIGEST, 500) == 300


async def test_a_part_is_held_by_one_at_a_time_and_let_go_by_whoever_is_cancelled(tmp_path):
    parts = FileParts(tmp_path)
    begun = asyncio.Event()

    async def silent():
        yield b"x"
        begun.set()
        await asyncio.Event().wait()

    async def bring_and_wait():
        async with parts.hold("ann", DIGEST, 500) as part:
            await part.append(silent())

    holder = asyncio.create_task(bring_and_wait())
    await begun.wait()
    with pytest.raises(Conflict) as busy:
        await bring(parts, DIGEST, 500, b"y")
    assert busy.value.code == "upload_busy"
    assert busy.value.retry_after_seconds
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)
    assert await parts.held("ann", DIGEST, 500) == 1
    await bring(parts, DIGEST, 500, b"y")


async def test_owners_do_not_see_each_others_parts_nor_those_of_another_size(tmp_path):
    parts = FileParts(tmp_path)
    await bring(parts, DIGEST, 500, b"x" * 10)
    assert await parts.held("../ann", DIGEST, 500) == 0
    assert await parts.held("ann", DIGEST, 501) == 0


async def test_too_many_and_too_large_parts_push_out_the_one_idle_longest(tmp_path):
    parts = FileParts(tmp_path, per_owner_max=2, bytes_per_owner_max=1000)
    names = [f"{number:064x}" for number in range(4)]
    for age, name in enumerate(names[:2]):
        await bring(parts, name, 100, b"x")
        [file] = tmp_path.glob(f"*/{name}.100")
        os.utime(file, (time.time() - 100 + age,) * 2)
    await bring(parts, names[2], 100, b"x")
    assert [await parts.held("ann", name, 100) for name in names] == [0, 1, 1, 0]
    await bring(parts, names[3], 950, b"x")
    assert [await parts.held("ann", name, 100) for name in names[:3]] == [0, 0, 0]
    await bring(parts, names[0], 100, b"x", owner="bob")
    assert await parts.held("ann", names[3], 950) == 1
    async with parts.hold("ann", names[3], 950):
        with pytest.raises(TooManyRequests):
            await bring(parts, names[0], 100, b"x")


async def test_a_part_nobody_adds_to_is_swept_after_a_day(tmp_path):
    parts = FileParts(tmp_path)
    stale, fresh = "0" * 64, "1" * 64
    await bring(parts, stale, 100, b"x")
    await bring(parts, fresh, 100, b"x")
    [file] = tmp_path.glob(f"*/{stale}.100")
    day_ago = time.time() - 25 * 3600
    os.utime(file, (day_ago, day_ago))
    async with parts.hold("ann", stale, 100):
        assert await parts.sweep() == 0, "somebody is adding to it"
    assert await parts.sweep() == 1
    assert (await parts.held("ann", stale, 100), await parts.held("ann", fresh, 100)) == (0, 1)


async def test_more_than_the_disk_has_is_refused(tmp_path):
    with pytest.raises(OutOfSpace):
        await FileParts(tmp_path).require_room(1 << 60)


async def test_a_directory_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        FileParts(tmp_path / "file")
