"""Blobs: what can be found is whole and is what its name says."""

import asyncio
import hashlib
import os
import sys
import time

import pytest

from anchor.adapters.files.blobs import FileBlobs
from anchor.core.errors import InvalidRequest, NotFound, Unavailable

pytestmark = pytest.mark.anyio


async def pieces(content: bytes, size: int = 100_000):
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def content_of(blobs, digest: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.get(digest)])


@pytest.mark.parametrize("size", [0, 1, 65_537, 1_000_003])
async def test_bytes_come_back_under_their_digest(blobs, size):
    content = os.urandom(size)
    digest, kept = await blobs.put(pieces(content))
    assert (digest, kept) == (hashlib.sha256(content).hexdigest(), size)
    assert await content_of(blobs, digest) == content
    assert await blobs.size(digest) == size


async def test_the_right_digest_is_accepted_and_a_wrong_one_keeps_nothing(blobs):
    right, wrong = hashlib.sha256(b"abc").hexdigest(), hashlib.sha256(b"abd").hexdigest()
    with pytest.raises(InvalidRequest):
        await blobs.put(pieces(b"abc"), expected=wrong)
    assert await blobs.size(right) is None
    assert await blobs.size(wrong) is None
    assert (await blobs.put(pieces(b"abc"), expected=right))[0] == right


async def test_what_is_not_there_is_not_found(blobs):
    assert await blobs.size("0" * 64) is None
    with pytest.raises(NotFound):
        await content_of(blobs, "0" * 64)


async def ranged(blobs, digest: str, start: int, end: int | None) -> bytes:
    return b"".join([chunk async for chunk in blobs.get(digest, start, end)])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (0, None),
        (700_000, None),
        (1, 600_001),
        (261_119, 261_121),
        (999_999, 1_000_000),
        (5, 5),
        (0, 1_000_000),
    ],
)
async def test_a_range_of_a_blob_is_those_bytes_of_it(blobs, start, end):
    content = os.urandom(1_000_000)
    digest, _ = await blobs.put(pieces(content))
    assert await ranged(blobs, digest, start, end) == content[start:end]


async def test_the_missing_ones_of_many_names_are_told(blobs):
    here, _ = await blobs.put(pieces(b"here"))
    absent = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
    assert await blobs.missing([*absent, here]) == sorted(absent)
    assert await blobs.missing([here]) == await blobs.missing([]) == []
    with pytest.raises(InvalidRequest):
        await blobs.missing(["../../etc/passwd"])


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", "g" * 64])
async def test_only_digests_are_names(blobs, name):
    with pytest.raises(InvalidRequest):
        await blobs.size(name)
    with pytest.raises(InvalidRequest):
        await content_of(blobs, name)
    with pytest.raises(InvalidRequest):
        await blobs.put(pieces(b"x"), expected=name)


async def test_the_same_bytes_from_many_at_once_are_kept_once_and_whole(blobs):
    content = os.urandom(300_000)
    answers = await asyncio.gather(*[blobs.put(pieces(content, 7_000 + at)) for at in range(8)])
    assert len(set(answers)) == 1
    assert await content_of(blobs, answers[0][0]) == content


async def breaks_off():
    yield b"x" * 300_000
    raise ConnectionResetError("gone")


async def test_a_sender_that_breaks_off_is_heard_and_the_next_is_served(blobs):
    with pytest.raises(ConnectionResetError):
        await blobs.put(breaks_off())
    assert await blobs.size(hashlib.sha256(b"x" * 300_000).hexdigest()) is None
    digest, _ = await blobs.put(pieces(b"x" * 300_000))
    assert await content_of(blobs, digest) == b"x" * 300_000


async def test_bytes_put_again_are_the_same_blob(blobs):
    content = os.urandom(600_000)
    first, second = await blobs.put(pieces(content)), await blobs.put(pieces(content, 1_000))
    assert first == second
    assert await content_of(blobs, first[0]) == content


async def test_a_sender_that_breaks_off_leaves_no_file_behind(tmp_path):
    blobs = FileBlobs(tmp_path)
    with pytest.raises(ConnectionResetError):
        await blobs.put(breaks_off())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_leftovers_of_a_crash_are_swept_at_the_next_start(tmp_path):
    blobs = FileBlobs(tmp_path)
    digest, _ = await blobs.put(pieces(b"abc"))
    (tmp_path / "unfinished" / "leftover").write_bytes(b"half")
    blobs = FileBlobs(tmp_path)
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert await content_of(blobs, digest) == b"abc"


async def test_a_blob_damaged_on_the_disk_is_not_passed_off_as_whole(tmp_path):
    blobs = FileBlobs(tmp_path)
    digest, _ = await blobs.put(pieces(b"abc"))
    (tmp_path / digest[:2] / digest[2:4] / digest).write_bytes(b"abd")
    with pytest.raises(Unavailable):
        await content_of(blobs, digest)


async def test_a_directory_that_cannot_be_used_is_refused_with_a_hint(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable) as refused:
        FileBlobs(tmp_path / "file")
    assert refused.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes to make writes fail with")
async def test_a_disk_that_refuses_the_bytes_is_reported_and_nothing_is_kept(tmp_path):
    import resource  # noqa: PLC0415 - there is none on Windows

    blobs = FileBlobs(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Unavailable):
            await blobs.put(pieces(bytes(400_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_sweep_leaves_what_is_whole_and_what_is_under_way(blobs):
    digest, size = await blobs.put(pieces(b"whole"))
    assert await blobs.sweep() == 0
    assert await blobs.size(digest) == size


async def test_an_upload_that_never_ended_is_swept_after_a_day(tmp_path):
    blobs = FileBlobs(tmp_path)
    fresh, stale = (tmp_path / "unfinished" / name for name in ("fresh", "stale"))
    for upload in (fresh, stale):
        upload.write_bytes(b"half")
    day_ago = time.time() - 25 * 3600
    os.utime(stale, (day_ago, day_ago))
    assert await blobs.sweep() == 1
    assert fresh.exists()
    assert not stale.exists()
