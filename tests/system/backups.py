"""What the tests of backups share: a store with something of everything, and looks into stores and files."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.clock import SystemClock
from anchor.adapters.sqlite import SqliteStore
from anchor.core.access import Key, Role
from anchor.core.app import App, AppConfig, Plan, Release, ReleaseState, Replica, ReplicaState
from anchor.core.attempt import Ending, Outcome, OutputFile, Result
from anchor.core.case import Case
from anchor.core.dag import Drawing, Graph, Run, RunState, Step
from anchor.core.ids import KeySequence, keys_from
from anchor.core.items import Items
from anchor.core.node import Node, greet
from anchor.core.plan import drawn
from anchor.core.spec import InputValue, Payload, TaskSpec
from anchor.core.task import Origin, State, Task, cancel, lease, queued, settle
from anchor.core.task_query import TaskQuery
from anchor.core.usage import Use
from anchor.core.verification import Round, Verdict, Vote
from anchor.orchestrator.audit import append
from anchor.orchestrator.restore import GENERATIONS_OF_AN_EPOCH
from anchor.ports.blobs import Blobs
from anchor.ports.store import Claim, LogChunk, Store
from anchor.wire.archive import TaskDocument

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


async def filled(folder: Path) -> Path:
    """A data directory with all of it."""
    async with opened(folder) as store:
        await fill(store, FileBlobs(folder / "blobs"))
    return folder


def placed_anew(app: App, *, epoch: int) -> App:
    """As it is after a restore: what runs of it may be of a later generation than the backup knows."""
    generations = epoch * GENERATIONS_OF_AN_EPOCH
    return msgspec.structs.replace(app, ver=app.ver + 1, replicas=(), generations=generations, wake_at=0)


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
