"""Backup and restore: one file of everything, taken while others write, and put back whole or not at all."""

import asyncio
import json
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from tests.system.backups import (
    APP,
    KEY_DIGEST,
    TOKEN_DIGEST,
    anchor,
    assert_nothing_doubled_or_forgotten,
    documents_in,
    everything,
    filled,
    ids_of,
    opened,
    placed_anew,
    quiet,
    submitting,
)

from anchor import failpoints
from anchor.adapters.files.archive import ArchiveWriter
from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.sqlite import SqliteStore
from anchor.adapters.sqlite.exchange import MARKER
from anchor.config import Settings
from anchor.core.attempt import Outcome
from anchor.core.audit import first_break
from anchor.core.errors import Conflict, Unprocessable
from anchor.core.ids import KeySequence
from anchor.core.spec import TaskSpec
from anchor.core.task import HELD, State, queued
from anchor.core.usage import ended_uses, summed
from anchor.orchestrator.restore import GENERATIONS_OF_AN_EPOCH
from anchor.ports.store import Claim
from anchor.wire.archive import FORMAT, KINDS, Member, TaskDocument, sealed
from anchor.wiring.backup import adopt_epoch, back_up, restore


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    return await filled(tmp_path / "data")


@pytest.mark.anyio
async def test_everything_comes_back_and_leases_end_uncharged(data: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "b.tar", tmp_path / "restored"
    async with opened(data) as store:  # the server runs on
        before = await everything(store)
        manifest = await back_up(Settings(data=data), file, force=False, told=quiet)
    assert (manifest.epoch, manifest.blobs, manifest.missing_count) == (0, 14, 0)
    assert file.stat().st_mode & 0o077 == 0
    _, epoch = await restore(Settings(data=target), file, replace=False, known_epoch=0, told=quiet)
    assert epoch == 1
    async with opened(target) as store:
        after = await everything(store)
        assert await store.epoch() == 1
        again = Claim("ann", "key", "digest", 0, 0, False, 0)
        assert (await store.claim(again)).done
    for old, new in zip(before["tasks"], after["tasks"], strict=True):
        if old.state not in HELD:
            assert new == old
        else:
            assert (new.attempt, new.charged) == (old.attempt, old.charged)
            assert new.attempts[-1].outcome is Outcome.RELEASED
            assert new.state is (State.QUEUED if old.state is State.LEASED else State.CANCELLED)
    assert after["copies"] == before["copies"]
    assert after["app"] == placed_anew(before["app"], epoch=1)
    for kind in ("runs", "run", "run counts", "round counts", "cases", "app log"):
        assert after[kind] == before[kind]
        assert before[kind]
    assert after["payloads"] == before["payloads"]
    assert after["logs"] == before["logs"]
    assert after["nodes"] == before["nodes"]
    assert after["keys"][KEY_DIGEST] == before["keys"][KEY_DIGEST]
    assert after["keys"][TOKEN_DIGEST].uses_left == 0
    trail = after["audit"]
    last = trail[-1]
    assert trail[:-1] == before["audit"]
    assert (last.kind, first_break(trail)) == ("restored", None)
    blobs = FileBlobs(target / "blobs")
    for task in before["tasks"]:
        brought = task.spec.payload.files.values() if task.spec.payload is not None else ()
        left = [file.sha256 for file in task.result.files] if task.result is not None else []
        named = [task.payload_blob, task.result.blob if task.result is not None else "", *left]
        for digest in filter(None, [*named, *(file.removeprefix("sha256:") for file in brought)]):
            assert b"".join([chunk async for chunk in blobs.get(digest)])


@pytest.mark.anyio
async def test_each_restore_is_of_a_newer_epoch_than_all_that_is_known_of(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    settings = Settings(data=data)
    await back_up(settings, file, force=False, told=quiet)
    for epoch in (1, 2):
        assert (await restore(settings, file, replace=True, known_epoch=0, told=quiet))[1] == epoch
    assert len(found(data, "before-restore-*/anchor.db")) == 2
    assert (await restore(settings, file, replace=True, known_epoch=7, told=quiet))[1] == 8
    assert await adopt_epoch(settings, 3) == 9
    async with opened(data) as store:
        assert await store.epoch() == 9
        app = await store.app(APP)
    assert app is not None
    # Of each epoch other generations, so that nobody can have heard of one.
    assert (app.generations, app.replicas) == (9 * GENERATIONS_OF_AN_EPOCH, ())


@pytest.mark.anyio
async def test_data_in_place_is_kept_unless_told_otherwise(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    await back_up(Settings(data=data), file, force=False, told=quiet)
    with pytest.raises(Conflict, match="exists already"):
        await back_up(Settings(data=data), file, force=False, told=quiet)
    await back_up(Settings(data=data), file, force=True, told=quiet)
    with pytest.raises(Conflict) as refused:
        await restore(Settings(data=data), file, replace=False, known_epoch=0, told=quiet)
    assert refused.value.code == "not_empty"
    async with opened(data):
        with pytest.raises(Conflict) as refused:
            await restore(Settings(data=data), file, replace=True, known_epoch=0, told=quiet)
    assert refused.value.code == "data_directory_in_use"


@pytest.mark.anyio
async def test_a_file_that_was_cut_or_altered_is_refused_and_nothing_is_touched(data: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "b.tar", tmp_path / "restored"
    await back_up(Settings(data=data), file, force=False, told=quiet)
    whole = file.read_bytes()
    sealed = whole.index(b'"seal"')
    places = [5, 300, sealed - 3, *range(20_000, len(whole), len(whole) // 40)]
    damaged = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    damaged += [whole[: len(whole) * part // 10] for part in range(10)] + [whole[:-512], whole + b"\0", b""]
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(Unprocessable) as refused:
            await restore(Settings(data=target), file, replace=False, known_epoch=0, told=quiet)
        assert refused.value.code in {"backup_damaged", "not_a_backup"}
        assert not target.exists()
    file.write_bytes(whole)
    await restore(Settings(data=target), file, replace=False, known_epoch=0, told=quiet)


@pytest.mark.anyio
async def test_a_blob_that_is_damaged_is_named_and_the_rest_is_kept(data: Path, tmp_path: Path) -> None:
    [digest] = found(data, f"blobs/*/*/{sha256(b'an input file').hexdigest()}")
    digest.write_bytes(b"something else")
    manifest = await back_up(Settings(data=data), tmp_path / "b.tar", force=False, told=quiet)
    assert manifest.missing == (digest.name,)
    target = Settings(data=tmp_path / "restored")
    await restore(target, tmp_path / "b.tar", replace=False, known_epoch=0, told=quiet)


@pytest.mark.anyio
async def test_a_backup_taken_under_load_doubles_nothing_and_forgets_nothing(data: Path, tmp_path: Path) -> None:
    stop, many = asyncio.Event(), asyncio.Event()
    async with opened(data) as store, asyncio.TaskGroup() as writers:
        keys = KeySequence(1, last_key=store.last_key)
        for number in range(8):
            writers.create_task(submitting(store, keys, stop, many, str(number)))
        await many.wait()
        acknowledged = await ids_of(store)
        await back_up(Settings(data=data), tmp_path / "b.tar", force=False, told=quiet)
        stop.set()
    assert_nothing_doubled_or_forgotten(tmp_path / "b.tar", acknowledged)


@pytest.mark.parametrize("number", range(1, FORMAT))
@pytest.mark.anyio
async def test_a_backup_of_an_earlier_format_is_still_read(number: int, data: Path, tmp_path: Path) -> None:
    now_file, old_file, target = tmp_path / "now.tar", tmp_path / "old.tar", tmp_path / "restored"
    manifest = await back_up(Settings(data=data), now_file, force=False, told=quiet)
    members: list[Member] = []
    with ArchiveWriter(old_file, force=False) as archive:
        for kind in KINDS[number]:
            documents = documents_in(now_file, kind, dict)
            if kind == "tasks" and number == 1:
                documents = [document for document in documents if is_of_the_first_format(document["task"])]
                assert len(documents) == 8
            if kind == "blobs":
                documents = []
            archive.begin(f"{kind}.jsonl")
            archive.write([msgspec.json.encode(document) + b"\n" for document in documents])
            members.append(Member(f"{kind}.jsonl", len(documents), *archive.end()))
        changes = {"format": number, "blobs": 0, "blob_bytes": 0, "members": tuple(members)}
        archive.finish(sealed(msgspec.structs.replace(manifest, **changes)))
    await restore(Settings(data=target), old_file, replace=False, known_epoch=0, told=quiet)
    async with opened(target) as store:
        assert sum((await store.counts(None)).values()) == (8 if number == 1 else 12)
        assert sum((await store.run_counts(None)).values()) == (0 if number == 1 else 2)
        assert list(await store.app_versions()) == ([] if number < 3 else [APP])
        uses = ended_uses(document.task for document in documents_in(old_file, "tasks", TaskDocument))
        if "usage" not in KINDS[number]:
            assert await store.usage("node", since=0, owner=None) == summed(uses, "node", since=0, owner=None)


def is_of_the_first_format(task: dict[str, object]) -> bool:
    """Whether a task could be in it; what it could not say is taken away."""
    news = [task.pop(name) for name in ("part_of", "origin", "parts")]
    return not any(news)


RESTORE_POINTS = [
    "restore.loaded", "restore.released", "restore.app_placed_anew", "restore.declared", "restore.built",
    "restore.marked", "restore.moving:1", "restore.moved_aside", "restore.moving:3", "restore.placed",
]  # fmt: skip


def found(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


@pytest.mark.parametrize("failpoint", RESTORE_POINTS)
@pytest.mark.anyio
async def test_a_restore_that_is_killed_leaves_the_old_or_asks_to_be_repeated(
    failpoint: str, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar"
    await back_up(Settings(data=data), file, force=False, told=quiet)
    async with opened(data) as store:
        [extra] = KeySequence(1, last_key=store.last_key).take(1, now_ms=0)
        await store.insert([queued(key=extra, owner="ann", spec=TaskSpec(name="late"), shape="{}", now=0)])
    killed = anchor("restore", str(file), "--replace", "--data", str(data), failpoint=failpoint)
    assert killed.returncode == failpoints.EXIT_CODE, killed.stderr
    if not (data / MARKER).exists():
        async with opened(data) as store:
            state = await store.epoch(), (await store.get([extra]))[0] is not None
        assert state == ((1, False) if failpoint == "restore.placed" else (0, True))
        return
    for refused in (SqliteStore.open(data), back_up(Settings(data=data), file, force=True, told=quiet)):
        with pytest.raises(Conflict) as why:
            await refused
        assert why.value.code == "restore_unfinished"
    # Nothing is in the way any more, so nothing has to be replaced.
    await restore(Settings(data=data), file, replace=False, known_epoch=0, told=quiet)
    async with opened(data) as store:
        # 2 where the copy with epoch 1 was half in place already: one more than whatever is known.
        assert await store.epoch() in (1, 2)
        assert await store.get([extra]) == [None]
    [aside] = found(data, "before-restore-*")
    async with opened(aside) as store:
        assert (await store.get([extra]))[0] is not None, "what was replaced is kept whole"
    assert len(found(aside, "blobs/*/*/*")) == 14


@pytest.mark.anyio
async def test_a_backup_that_is_killed_leaves_no_file_that_looks_whole(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    killed = anchor("backup", str(file), "--data", str(data), failpoint="backup.written")
    assert killed.returncode == failpoints.EXIT_CODE
    assert not file.exists()
    done = anchor("backup", str(file), "--data", str(data), "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["engine"] == "sqlite"
    assert found(tmp_path, "b.tar*") == [file]
