"""Blobs in MongoDB: an uploader may be killed anywhere, and what it left is swept away, and nothing else is."""

import asyncio
import hashlib
import os
import secrets
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from anchor.adapters.gridfs.blobs import CHUNK_BYTES, GridFsBlobs
from anchor.core.errors import NotFound, Unavailable
from anchor.failpoints import EXIT_CODE

pytestmark = pytest.mark.anyio
WRITER = Path(__file__).with_name("uploading_writer.py")


async def once(content: bytes):
    yield content


async def content_of(blobs, digest: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.get(digest)])


@pytest.fixture
def url(mongo_engine):
    return mongo_engine.url_of(secrets.token_hex(8))


@asynccontextmanager
async def database_at(url: str):
    async with AsyncMongoClient(url) as client:
        yield client.get_default_database()


def write_until(url: str, failpoint: str = "", lines: int = 0) -> list[str]:
    """The digests a writer had acknowledged when it came to the failpoint, or had printed so many lines."""
    environment = {**os.environ, "ANCHOR_TEST_FAILPOINT": failpoint}
    with subprocess.Popen([sys.executable, str(WRITER), url], stdout=subprocess.PIPE, env=environment) as writer:
        said = [writer.stdout.readline() for _ in range(lines)]
        if not failpoint:
            writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()
    assert writer.returncode == (EXIT_CODE if failpoint else -signal.SIGKILL)
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


async def everything_named_is_whole(database) -> set[str]:
    blobs = GridFsBlobs(database)
    named = {file["filename"] async for file in database["fs.files"].find()}
    for digest in named:
        assert hashlib.sha256(await content_of(blobs, digest)).hexdigest() == digest
    return named


async def keys_at_rest(database) -> tuple[set[ObjectId], set[ObjectId]]:
    """The ids of files and of chunks, once what a killed client had sent is carried out or dropped."""
    seen = None
    while seen != (now := await keys_in(database)):
        seen = now
        await asyncio.sleep(0.5)
    return seen


async def keys_in(database) -> tuple[set[ObjectId], set[ObjectId]]:
    return set(await database["fs.files"].distinct("_id")), set(await database["fs.chunks"].distinct("files_id"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("failpoint", ["", "gridfs.chunk:9", "gridfs.name:7"])
async def test_an_uploader_killed_anywhere_leaves_whole_blobs_and_what_a_sweep_removes(url, failpoint):
    acknowledged = write_until(url, failpoint, lines=0 if failpoint else 12)
    async with database_at(url) as database:
        files, chunks = await keys_at_rest(database)
        assert set(acknowledged) <= await everything_named_is_whole(database)
        unfinished = chunks - files
        assert unfinished or not failpoint
        blobs = GridFsBlobs(database)
        assert await blobs.sweep() == 0, "an upload may take a day"
        assert await blobs.sweep(now=datetime.now(UTC) + timedelta(days=2)) == len(unfinished)
        files, chunks = await keys_in(database)
        assert chunks <= files
        assert set(acknowledged) <= await everything_named_is_whole(database)


SWEEPER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pymongo import AsyncMongoClient
from anchor.adapters.gridfs.blobs import GridFsBlobs

async def main():
    async with AsyncMongoClient(sys.argv[1]) as client:
        await GridFsBlobs(client.get_default_database()).sweep(now=datetime.now(UTC) + timedelta(days=2))

asyncio.run(main())
"""


def sweep_until(url: str, failpoint: str) -> None:
    environment = {**os.environ, "ANCHOR_TEST_FAILPOINT": failpoint}
    swept = subprocess.run([sys.executable, "-c", SWEEPER, url], env=environment, check=False)
    assert swept.returncode == EXIT_CODE


async def test_a_sweep_that_is_killed_half_way_is_finished_by_the_next(url):
    write_until(url, "gridfs.name:7")
    async with database_at(url) as database:
        await keys_at_rest(database)
    sweep_until(url, "gridfs.sweep")
    async with database_at(url) as database:
        blobs = GridFsBlobs(database)
        assert await blobs.sweep(now=datetime.now(UTC) + timedelta(days=2)) > 0
        files, chunks = await keys_at_rest(database)
        assert chunks <= files
        await everything_named_is_whole(database)


async def test_a_sweep_goes_through_more_than_a_page(url, monkeypatch):
    monkeypatch.setattr("anchor.adapters.gridfs.blobs.SWEEP_PAGE", 3)
    old = datetime.now(UTC) - timedelta(days=2)
    async with database_at(url) as database:
        blobs = GridFsBlobs(database)
        for _ in range(4):
            await blobs.put(once(os.urandom(10)))
        begun = [ObjectId(ObjectId.from_datetime(old).binary[:4] + os.urandom(8)) for _ in range(7)]
        await database["fs.chunks"].insert_many(
            [{"files_id": key, "n": n, "data": b"x"} for key in begun for n in range(2)]
        )
        assert await blobs.sweep() == 7
        assert await database["fs.chunks"].count_documents({}) == 4


async def test_a_blob_damaged_in_the_database_is_not_passed_off_as_whole(url):
    async with database_at(url) as database:
        blobs = GridFsBlobs(database)
        changed, _ = await blobs.put(once(b"abc"))
        await database["fs.chunks"].update_one({}, {"$set": {"data": b"abd"}})
        cut, _ = await blobs.put(once(bytes(CHUNK_BYTES + 1)))
        await database["fs.chunks"].delete_one({"n": 1})
        for digest in (changed, cut):
            with pytest.raises(Unavailable) as refused:
                await content_of(blobs, digest)
            assert refused.value.code == "blob_damaged"


async def test_without_its_database_it_is_said_that_blobs_are_unavailable(url):
    async with database_at(url) as database:
        blobs = GridFsBlobs(database)
    for ask in (blobs.put(once(b"abc")), blobs.size("0" * 64), content_of(blobs, "0" * 64)):
        with pytest.raises(Unavailable) as refused:
            await ask
        assert refused.value.retry_after_seconds


async def test_what_other_tools_put_under_other_names_is_left_alone(url):
    async with database_at(url) as database:
        blobs = GridFsBlobs(database)
        digest, _ = await blobs.put(once(b"abc"))
        [file] = await database["fs.files"].find().to_list()
        assert (file["filename"], file["length"], file["chunkSize"]) == (digest, 3, CHUNK_BYTES)
        await database["fs.files"].update_one({}, {"$set": {"filename": "notes.txt"}})
        with pytest.raises(NotFound):
            await content_of(blobs, digest)
        assert await blobs.sweep(now=datetime.now(UTC) + timedelta(days=2)) == 0
