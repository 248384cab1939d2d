"""Backup and restore: one file of everything, taken while others write, and put back whole or not at all."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from tests.engines.mongo import Engine, running_mongo

from anchor import failpoints
from anchor.adapters.files.archive import ArchiveWriter
from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.clock import SystemClock
from anchor.adapters.mongo.backup import MongoSnapshot
from anchor.adapters.mongo.store import MongoStore
from anchor.adapters.sqlite import SqliteStore
from anchor.adapters.sqlite.exchange import MARKER
from anchor.config import Settings
from anchor.core.access import Key, Role
from anchor.core.app import App, AppConfig, Plan, Release, ReleaseState, Replica, ReplicaState
from anchor.core.attempt import Ending, Outcome, OutputFile, Result
from anchor.core.audit import first_break
from anchor.core.case import Case
from anchor.core.dag import Drawing, Graph, Run, RunState, Step
from anchor.core.errors import Conflict, Unprocessable
from anchor.core.ids import KeySequence, keys_from
from anchor.core.items import Items
from anchor.core.node import Node, greet
from anchor.core.plan import drawn
from anchor.core.spec import InputValue, Payload, TaskSpec
from anchor.core.task import HELD, Origin, State, Task, cancel, lease, queued, settle
from anchor.core.task_query import TaskQuery
from anchor.core.usage import Use, ended_uses, summed
from anchor.core.verification import Round, Verdict, Vote
from anchor.orchestrator.audit import append
from anchor.orchestrator.backup import take
from anchor.orchestrator.restore import GENERATIONS_OF_AN_EPOCH
from anchor.ports.blobs import Blobs
from anchor.ports.store import Claim, Duty, LogChunk, Store, Swap
from anchor.wire.archive import FORMAT, KINDS, Member, TaskDocument, sealed
from anchor.wiring.backup import adopt_epoch, back_up, restore

T = TypeVar("T")
NODE = "REX-A1B2C3"
RUNS = list(keys_from(5 << 20, 2))
COPIES = list(keys_from(6 << 20, 2))
"""Far below the other keys, as those of what was made long ago are."""
APP = 7 << 19
TOKEN_DIGEST, KEY_DIGEST = "a" * 64, "b" * 64


def quiet(kind: str, count: int) -> None:
    """Nobody watches."""


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(data)
    try:
        yield store
    finally:
        await store.close()


async def put(blobs: Blobs, content: bytes) -> str:
    async def once() -> AsyncIterator[bytes]:
        yield content

    digest, _ = await blobs.put(once())
    return digest


async def everything(store: Store) -> dict[str, Any]:
    """All that a store says of itself, as far as a backup has to bring it back."""
    tasks: list[Task] = []
    below = None
    while True:
        page = await store.page(TaskQuery(), below=below, limit=1000)
        tasks += page.tasks
        if (below := page.below) is None:
            break
    keys = [task.id for task in tasks]
    return {
        "runs": await store.runs_page(below=None, limit=1000, state=None, kind=None, owner=None),
        "run": [await store.run(run) for run in RUNS],
        "run counts": await store.run_counts(None),
        "round counts": await store.round_counts(None),
        "cases": await store.cases_page(below=None, limit=1000, owner=None),
        "copies": await store.get(COPIES),
        "app": await store.app(APP),
        "app log": await store.read(APP, attempt=0, seq=0, limit=100),
        "tasks": tasks,
        "payloads": await store.payloads(keys),
        "logs": [await store.read(key, attempt=0, seq=0, limit=100) for key in keys],
        "counts": await store.counts(None),
        "nodes": await store.nodes(),
        "keys": {key.digest: key for key in await store.keys()},
        "usage": [
            sorted(await store.usage(by, since=0, owner=None), key=lambda one: one.name)
            for by in ("owner", "node", "app", "day")
        ],
        "audit": (await store.audit_page(None, 1000))[::-1],
    }


async def runs_and_rounds(store: Store, blobs: Blobs, like: Task) -> list[Task]:
    """A live and a finished run, a case, and (returned) heads, an item and copies."""
    contents = (b'"a value"', b"in a plan", b"evidence", b"[1]")
    value, module, evidence, listed = [await put(blobs, content) for content in contents]
    mentioned = await put(blobs, b"what an item is cut from")
    step = Step(id="a", payload=Payload(module=f"sha256:{module}", inputs={"of": InputValue(blob=f"sha256:{value}")}))
    literal = Step(id="b", type="parallel", items=[f"sha256:{mentioned}"], payload=Payload(source_code="1"))
    plan = await put(blobs, drawn(Drawing(Graph(name="g", steps=[step, literal]))))
    live = Run(id=RUNS[0], owner="ann", name="g", created_at=1, steps=2, plan_blob=plan, wake_at=7)
    over = Run(id=RUNS[1], owner="bob", name="h", created_at=1, steps=1, plan=b'{"name":"h","steps":[{"id":"a"}]}')
    assert await store.insert_run(live)
    assert await store.insert_run(
        msgspec.structs.replace(over, state=RunState.FAILED, finished_at=9, ended={"failed": 1})
    )
    vote = Vote(0, NODE, "ann", "ab" * 32, False, 1, 2)
    case = Case(
        id=17, owner="ann", task_name="t", runtime="wasm", opened_at=5, votes=(vote,), dissenters=(NODE,), differs="1",
        evidence=evidence,
    )  # fmt: skip
    assert await store.insert_case(case)
    first, *others = keys_from(7 << 20, 3)
    head = msgspec.structs.replace(
        like, id=first, state=State.WAITING, parts=Items(others[0], 1, 1, blob=listed), part_of=RUNS[0]
    )
    of_run = Origin(run=RUNS[0], step=1)
    item = msgspec.structs.replace(
        like, id=others[0], part_of=RUNS[0], origin=msgspec.structs.replace(of_run, head=first, number=0)
    )
    verified = msgspec.structs.replace(like, id=5 << 19, state=State.VERIFYING, parts=Round(COPIES[0], 2, 2))
    copies = [
        msgspec.structs.replace(
            like, id=key, part_of=verified.id,
            origin=Origin(head=verified.id, number=number, apart=(COPIES[0], 2), owners_apart=True, is_copy=True),
        )
        for number, key in enumerate(COPIES)
    ]  # fmt: skip
    undecided = msgspec.structs.replace(
        like, id=others[1], state=State.INCONCLUSIVE, wake_at=None, finished_at=9,
        parts=Round(others[1] + 256, 2, 2, Verdict(False, votes=(vote,))),
    )  # fmt: skip
    return [msgspec.structs.replace(head, origin=of_run), item, verified, *copies, undecided]


async def an_app(store: Store, blobs: Blobs) -> None:
    """An app with a release that went out and one that did not, what they printed, and a replica."""
    config, plan = AppConfig(port=8080), Plan(kind="static", processes={"web": "serve"})
    sources = [await put(blobs, content) for content in (b"first source", b"second source")]
    lock = await put(blobs, b"versions settled on")
    releases = tuple(
        Release(number=number, source=source, config=config, plan=plan, created_at=5, by="ann", lock=lock, state=state)
        for number, source, state in zip((1, 2), sources, (ReleaseState.LIVE, ReleaseState.FAILED), strict=True)
    )
    sealed = msgspec.structs.replace(releases[0], env={"TOKEN": bytes(range(256))})
    replica = Replica(process="web", index=0, generation=4, release=1, node=NODE, state=ReplicaState.HEALTHY)
    app = App(
        id=APP, name="shop", title="Shop 🐙", owner="ann", created_at=5, releases=(sealed, releases[1]), live=1,
        replicas=(replica,), generations=4,
    )  # fmt: skip
    assert await store.insert_app(app)
    await store.add_usage([Use(20_000, "ann", NODE, "", 2, 1, 3, 500, 900), Use(20_001, "ann", NODE, "shop", cpu_ms=7)])
    await store.append([LogChunk(APP, generation, 1, 5, "stdout", "listening\n") for generation in (1, 4)])


async def fill(store: Store, blobs: Blobs) -> list[Task]:
    """A task in every state, and one of everything else."""
    now = time.time_ns() // 1_000_000
    module = await put(blobs, b"\0asm module")
    apart = await put(blobs, msgspec.json.encode(Payload(runtime="wasm", module=f"sha256:{module}")))
    answer = await put(blobs, b'"a large answer"' * 1000)
    brought, left = await put(blobs, b"an input file"), await put(blobs, b"an output file")
    keys = KeySequence(1).take(8, now_ms=now)
    spec = TaskSpec(
        name="t",
        labels=["lab"],
        payload=Payload(source_code="return 1", input={"a": [1, None]}, files={"in.csv": f"sha256:{brought}"}),
    )
    fresh = [queued(key=key, owner="ann", spec=spec, shape="{}", now=now) for key in keys]
    leased = [lease(task, node=NODE, session=3, now=now, lease_ms=60_000) for task in fresh]

    def ended(task: Task, outcome: Outcome, result: Result | None = None) -> Task:
        return settle(task, Ending(task.id, 1, outcome, result), now=now, chance=0.5)

    once = msgspec.structs.replace(spec, retry=msgspec.structs.replace(spec.retry, attempts=1))
    tasks = [
        fresh[0],
        leased[1],
        ended(leased[2], Outcome.ERRORED),
        cancel(leased[3], by="ann", now=now),
        ended(leased[4], Outcome.SUCCEEDED, Result(json=b'{"a":1}', size=7)),
        ended(msgspec.structs.replace(leased[5], spec=once), Outcome.ERRORED),
        cancel(fresh[6], by="ann", now=now),
        msgspec.structs.replace(
            ended(
                leased[7], Outcome.SUCCEEDED, Result(blob=answer, size=16_000, files=(OutputFile("out.txt", left, 14),))
            ),
            payload_blob=apart,
            spec=msgspec.structs.replace(spec, payload=None),
        ),
    ]
    tasks += await runs_and_rounds(store, blobs, fresh[0])
    await an_app(store, blobs)
    assert {task.state for task in tasks} == set(State)
    assert all(await store.insert(tasks))
    await store.append(
        [LogChunk(task.id, 1, seq, now, "stdout", f"line {seq}\n") for task in leased[1:6] for seq in (1, 2)]
    )
    await store.claim(Claim("ann", "key", "digest", keys[0], 8, True, now))
    node = Node(id=NODE, owner="ann", public_key=b"k" * 32, joined_at=now)
    await store.insert_node(greet(node, profile=node.profile, slots=2, now=now, lease_ms=60_000))
    await store.add_key(Key(digest=KEY_DIGEST, name="ann", role=Role.ADMIN, created_at=now))
    await store.add_key(
        Key(digest=TOKEN_DIGEST, name="ann", role=Role.NODE, created_at=now, expires_at=now + 900_000, uses_left=1)
    )
    for number in range(3):
        await append(store, SystemClock(), kind="key_created", subject=str(number), message="…", by="ann")
    return tasks


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    async with opened(folder) as store:
        await fill(store, FileBlobs(folder / "blobs"))
    return folder


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


def placed_anew(app: App, *, epoch: int) -> App:
    """As it is after a restore: what runs of it may be of a later generation than the backup knows."""
    generations = epoch * GENERATIONS_OF_AN_EPOCH
    return msgspec.structs.replace(app, ver=app.ver + 1, replicas=(), generations=generations, wake_at=0)


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


async def submitting(store: Store, keys: KeySequence, stop: asyncio.Event, many: asyncio.Event, name: str) -> None:
    """Submits as the orchestrator does: a claim, then tasks, then the claim is carried out."""
    count = 0
    while not stop.is_set():
        now = time.time_ns() // 1_000_000
        taken = keys.take(5, now_ms=now)
        claim = Claim("ann", f"{name}-{count}", "digest", taken[0], 5, False, now)
        await store.claim(claim)
        await store.insert(
            [queued(key=key, owner="ann", spec=TaskSpec(name="t"), shape="{}", now=now) for key in taken]
        )
        await store.fulfil(claim)
        count += 1
        if count == 12:
            many.set()


async def ids_of(store: Store) -> set[int]:
    ids: set[int] = set()
    below = None
    while True:
        page = await store.page(TaskQuery(), below=below, limit=1000)
        ids |= {task.id for task in page.tasks}
        if (below := page.below) is None:
            return ids


def documents_in(file: Path, kind: str, of: type[T]) -> list[T]:
    """As the file says it, whatever reads it."""
    lines = subprocess.run(["tar", "-xOf", file, f"{kind}.jsonl"], capture_output=True, check=True).stdout.splitlines()
    return [msgspec.json.decode(line, type=of) for line in lines]


def assert_nothing_doubled_or_forgotten(file: Path, acknowledged: set[int]) -> None:
    tasks = [document.task for document in documents_in(file, "tasks", TaskDocument)]
    assert acknowledged <= {task.id for task in tasks}
    there = {task.id for task in tasks if not task.part_of and task.parts is None}
    claims = documents_in(file, "claims", Claim)
    claimed = {key for claim in claims for key in keys_from(claim.first, claim.count)}
    assert there <= claimed, "a task without its claim would be made again by a retry"
    assert [claim for claim in claims if claim.done and not there >= set(keys_from(claim.first, claim.count))] == []


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


def anchor(*words: str, failpoint: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANCHOR_")}
    return subprocess.run(
        [sys.executable, "-m", "anchor", *words],
        env=kept | settings | ({"ANCHOR_TEST_FAILPOINT": failpoint} if failpoint else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
