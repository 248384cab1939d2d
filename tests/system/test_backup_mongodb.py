"""Backup and restore of data in MongoDB: moved there and back, whole or not at all, taken while others write."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.engines.mongo import Engine, running_mongo
from tests.system.backups import (
    APP,
    NODE,
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
from anchor.adapters.mongo.backup import MongoSnapshot
from anchor.adapters.mongo.store import MongoStore
from anchor.config import Settings
from anchor.core.app import App
from anchor.core.case import Case
from anchor.core.dag import Run
from anchor.core.errors import Conflict
from anchor.core.ids import KeySequence, keys_from
from anchor.core.spec import TaskSpec
from anchor.core.task import Origin, State, Task, lease, queued
from anchor.core.verification import Round, Vote
from anchor.orchestrator.backup import take
from anchor.ports.store import Claim, Duty, LogChunk, Swap
from anchor.wire.archive import TaskDocument
from anchor.wiring.backup import adopt_epoch, back_up, restore


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    return await filled(tmp_path / "data")


@asynccontextmanager
async def opened_shared(url: str) -> AsyncIterator[MongoStore]:
    store = await MongoStore.open(url)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(scope="module")
def mongo_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_mongo(tmp_path_factory.mktemp("mongo")) as engine:
        yield engine


@pytest.mark.anyio
async def test_a_backup_moves_to_mongodb_and_back(mongo_engine: Engine, data: Path, tmp_path: Path) -> None:
    here, back = Settings(data=data), Settings(data=tmp_path / "back")
    there = Settings(data=tmp_path / "unused", store=mongo_engine.url_of("moves"))
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    await back_up(here, first, force=False, told=quiet)
    await restore(there, first, replace=False, known_epoch=0, told=quiet)
    with pytest.raises(Conflict, match="data in the database"):
        await restore(there, first, replace=False, known_epoch=0, told=quiet)
    manifest = await back_up(there, second, force=False, told=quiet)
    assert (manifest.engine, manifest.epoch, manifest.blobs) == ("mongodb", 1, 14)
    await restore(back, second, replace=False, known_epoch=0, told=quiet)
    async with opened_shared(there.store) as store:
        moved = await everything(store)
        assert (await store.claim(Claim("ann", "key", "digest", 0, 0, False, 0))).done
    async with opened(back.data) as store:
        came_back = await everything(store)
    trail = came_back.pop("audit")
    last = trail.pop()
    assert trail == moved.pop("audit")
    assert (last.kind, last.subject) == ("restored", "epoch 2")
    assert came_back.pop("app") == placed_anew(moved.pop("app"), epoch=2)
    assert came_back == moved


@pytest.mark.anyio
async def test_a_database_in_use_is_left_alone_and_a_replaced_one_is_kept(
    mongo_engine: Engine, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar"
    settings = Settings(data=tmp_path / "unused", store=mongo_engine.url_of("replaced"))
    await back_up(Settings(data=data), file, force=False, told=quiet)
    async with opened_shared(settings.store) as store:
        now = store.clock.now()
        [late] = KeySequence(1).take(1, now_ms=now)
        await store.insert([queued(key=late, owner="ann", spec=TaskSpec(name="late"), shape="{}", now=now)])
        mine = Duty("server/0", "me", 1, now + 60_000)
        assert await store.swap_duty(None, mine)
        for refused in (
            restore(settings, file, replace=True, known_epoch=0, told=quiet),
            adopt_epoch(settings, 3),
        ):
            with pytest.raises(Conflict) as why:
                await refused
            assert why.value.code == "database_in_use"
        assert await store.swap_duty(mine, Duty("server/0", "me", 1, 0))
    assert await adopt_epoch(settings, 3) == 4
    assert (await restore(settings, file, replace=True, known_epoch=0, told=quiet))[1] == 5
    async with opened_shared(settings.store) as store:
        assert await store.get([late]) == [None]
        names = await store.database.list_collection_names()
        [aside] = [name for name in names if name.startswith("before-restore-") and name.endswith("/tasks")]
        assert await store.database[aside].count_documents({}) == 1


@pytest.mark.parametrize(
    "failpoint", ["restore.mongo_marked", "restore.mongo_moving", "restore.mongo_moved_aside", "restore.loaded"]
)
@pytest.mark.anyio
async def test_a_restore_into_mongodb_that_is_killed_asks_to_be_repeated(
    failpoint: str, mongo_engine: Engine, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar"
    settings = Settings(data=tmp_path / "unused", store=mongo_engine.url_of(failpoint.replace(".", "_")))
    await back_up(Settings(data=data), file, force=False, told=quiet)
    async with opened_shared(settings.store) as store:
        await store.insert([queued(key=7, owner="ann", spec=TaskSpec(name="old"), shape="{}", now=0)])
    killed = anchor("restore", str(file), "--replace", failpoint=failpoint, ANCHOR_STORE=settings.store)
    assert killed.returncode == failpoints.EXIT_CODE, killed.stderr
    with pytest.raises(Conflict) as refused:
        await MongoStore.open(settings.store)
    assert refused.value.code == "restore_unfinished"
    await restore(settings, file, replace=False, known_epoch=0, told=quiet)
    async with opened_shared(settings.store) as store:
        assert await store.epoch() == 1
        assert sum((await store.counts(None)).values()) == 12
        names = await store.database.list_collection_names()
        [aside] = [name for name in names if name.startswith("before-restore-") and name.endswith("/tasks")]
        assert await store.database[aside].count_documents({}) == 1


@pytest.mark.anyio
async def test_a_backup_of_mongodb_under_load_doubles_nothing_and_forgets_nothing(
    mongo_engine: Engine, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path / "unused", store=mongo_engine.url_of("load"))
    stop, many = asyncio.Event(), asyncio.Event()
    async with opened_shared(settings.store) as store, asyncio.TaskGroup() as writers:
        keys = KeySequence(1)
        for number in range(8):
            writers.create_task(submitting(store, keys, stop, many, str(number)))
        await many.wait()
        acknowledged = await ids_of(store)
        await back_up(settings, tmp_path / "b.tar", force=False, told=quiet)
        stop.set()
    assert_nothing_doubled_or_forgotten(tmp_path / "b.tar", acknowledged)


class Interrupted(MongoSnapshot):
    """A snapshot during which somebody else writes: `meanwhile` is called once all tasks and apps have been read."""

    def __init__(self, store: MongoStore, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(store)
        self._meanwhile = meanwhile

    async def apps(self) -> AsyncIterator[list[App]]:
        async for batch in super().apps():
            yield batch
        await self._meanwhile()


@pytest.mark.anyio
async def test_what_is_made_for_a_run_or_head_that_is_not_in_the_backup_is_left_out(
    mongo_engine: Engine, tmp_path: Path
) -> None:
    async with opened_shared(mongo_engine.url_of("orphans")) as store:
        spec, vote = TaskSpec(name="t"), Vote(0, NODE, "ann", "ab" * 32, False, 1, 2)
        known = Run(id=1 << 20, owner="ann", name="g", created_at=1, steps=1)
        assert await store.insert_run(known)
        ids = dict(zip(("step", "over", "head", "orphan", "late item"), keys_from(2 << 20, 5), strict=True))
        fresh = {name: queued(key=key, owner="ann", spec=spec, shape="{}", now=1) for name, key in ids.items()}

        def made(name: str, *, of: int, **how: object) -> Task:
            origin = Origin(**how)  # type: ignore[arg-type]
            return msgspec.structs.replace(fresh[name], part_of=of, origin=origin)

        head = msgspec.structs.replace(fresh["head"], state=State.VERIFYING, parts=Round(5 << 20, 2, 2))
        done = msgspec.structs.replace(made("over", of=3, run=3, step=0), state=State.FAILED, wake_at=None)
        await store.insert([made("step", of=known.id, run=known.id, step=0), done, head])

        class WithOrphans(MongoSnapshot):
            """Runs are read, then a run is made and its tasks with it; tasks are read, then the round is decided."""

            async def tasks(self) -> AsyncIterator[list[tuple[Task, bytes]]]:
                late = Run(id=4 << 20, owner="ann", name="late", created_at=1, steps=1)
                await store.insert_run(late)
                orphans = [made("orphan", of=late.id, run=late.id, step=0), made("late item", of=9, run=0, head=9)]
                await store.insert(orphans)
                async for batch in super().tasks():
                    yield batch
                case = Case(
                    id=head.id, owner="ann", task_name="t", runtime="", opened_at=1, votes=(vote,), dissenters=(),
                    differs="", evidence="",
                )  # fmt: skip
                await store.insert_case(case)
                await store.insert_case(msgspec.structs.replace(case, id=5))

        with ArchiveWriter(tmp_path / "b.tar", force=False) as archive:
            blobs = FileBlobs(tmp_path / "blobs")
            archive.finish(await take(WithOrphans(store), blobs, archive, now=9, version="0", told=quiet))
    kept = {document.task.id for document in documents_in(tmp_path / "b.tar", "tasks", TaskDocument)}
    assert kept == {ids["step"], ids["over"], ids["head"]}
    assert [run.id for run in documents_in(tmp_path / "b.tar", "runs", Run)] == [known.id]
    assert [case.id for case in documents_in(tmp_path / "b.tar", "cases", Case)] == [5]


@pytest.mark.anyio
async def test_what_is_written_behind_the_reader_s_back_is_mended_by_a_repeat_and_never_mixed_up(
    mongo_engine: Engine, tmp_path: Path
) -> None:
    async with opened_shared(mongo_engine.url_of("behind")) as store:
        now = store.clock.now()
        old, early, late = KeySequence(1).take(3, now_ms=now)
        tasks = {
            key: queued(key=key, owner="ann", spec=TaskSpec(name="t"), shape="{}", now=now)
            for key in (old, early, late)
        }
        claims = {name: Claim("ann", name, "digest", key, 1, False, 0) for name, key in (("old", old), ("late", late))}
        young = Claim("ann", "early", "digest", early, 1, False, now)
        await store.claim(claims["old"])
        await store.insert([tasks[old]])
        await store.fulfil(claims["old"])
        app = App(id=APP, name="shop", title="Shop", owner="ann", created_at=1, generations=1)
        await store.insert_app(app)
        known = LogChunk(APP, 1, 1, now, "stdout", "of a generation that the backup knows")
        await store.claim(claims["late"])  # its request was cut short long ago, and is repeated during the backup

        async def meanwhile() -> None:
            await store.claim(young)
            await store.insert([tasks[early], tasks[late]])
            for claim in (young, claims["late"]):
                await store.fulfil(claim)
            await store.swap([Swap(tasks[old], lease(tasks[old], node=NODE, session=1, now=now, lease_ms=1000))])
            await store.append([LogChunk(old, 1, 1, now, "stdout", "of an attempt the backup does not know")])
            await store.swap_app(app, msgspec.structs.replace(app, ver=2, generations=2))
            await store.append([known, msgspec.structs.replace(known, attempt=2)])

        with ArchiveWriter(tmp_path / "b.tar", force=False) as archive:
            blobs = FileBlobs(tmp_path / "blobs")
            snapshot = Interrupted(store, meanwhile)
            archive.finish(await take(snapshot, blobs, archive, now=now, version="test", told=quiet))
    assert [document.task.id for document in documents_in(tmp_path / "b.tar", "tasks", TaskDocument)] == [old]
    done = {claim.key: claim.done for claim in documents_in(tmp_path / "b.tar", "claims", Claim)}
    assert done == {"old": True, "early": False, "late": False}
    assert documents_in(tmp_path / "b.tar", "logs", LogChunk) == [known]
