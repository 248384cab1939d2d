"""An app's log as it is kept: read as one, in order, and forgotten part by part."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.clock import SystemClock
from anchor.adapters.local.ready import LocalReady
from anchor.adapters.sqlite.store import SqliteStore
from anchor.core.app import App, Replica, ReplicaState
from anchor.core.ids import KeySequence
from anchor.orchestrator.world import World
from anchor.ports.store import LogChunk
from anchor.server.app_log import GENERATIONS_KEPT, forget_old, generations_in, read_behind
from anchor.server.app_output import ORIGIN_SEQ, ORIGIN_STREAM, PAGE, Origin

APP = 7


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path)
    yield opened
    await opened.close()


def origin(generation: int) -> LogChunk:
    return LogChunk(APP, generation, ORIGIN_SEQ, 1, ORIGIN_STREAM, f'["web",{generation},1,"NOD-1"]')


@pytest.mark.anyio
async def test_generations_are_read_as_one_in_the_order_in_which_they_printed(store: SqliteStore) -> None:
    dice = random.Random(1)
    numbers = {1: range(1, 2 * PAGE + 50), 2: range(PAGE, PAGE + 20), 3: range(5, 3 * PAGE, 7), 4: range(0)}
    pieces = [LogChunk(APP, one, seq * 4 + one, 1, "stdout", "") for one, seqs in numbers.items() for seq in seqs]
    dice.shuffle(pieces)
    await store.append([*pieces, *(origin(one) for one in numbers)])
    found = await generations_in(store, APP)
    assert found == {one: Origin("web", one, 1, "NOD-1") for one in numbers}
    assert list(await generations_in(store, APP, after=2)) == [3, 4]
    places = dict.fromkeys(numbers, 0)
    read: list[LogChunk] = []
    while page := await read_behind(store, APP, places, up_to=ORIGIN_SEQ - 1):
        read += page
        places |= {piece.attempt: piece.seq for piece in page}
    assert read == sorted(pieces, key=lambda piece: piece.seq)
    until = read[PAGE].seq
    assert [piece.seq for piece in await read_behind(store, APP, {2: 0}, up_to=until)] == [
        piece.seq for piece in read if piece.attempt == 2 and piece.seq <= until
    ]


@pytest.mark.anyio
async def test_of_generations_that_are_over_the_newest_keep_their_log(store: SqliteStore) -> None:
    nothing: Any = None
    world = World(
        store=store, ready=LocalReady(), bus=LocalBus(), blobs=nothing, links=nothing, clock=SystemClock(),
        chance=nothing, keys=KeySequence(0), lease_ms=1000, heartbeat_ms=100,
    )  # fmt: skip
    live = Replica(process="web", index=0, generation=2, release=1, node="NOD-1", state=ReplicaState.HEALTHY)
    world.apps.keep(App(id=APP, name="a", title="a", owner="o", created_at=1, replicas=(live,)))
    generations = range(1, GENERATIONS_KEPT + 11)
    await store.append(
        [chunk for one in generations for chunk in (LogChunk(APP, one, 9, 1, "stdout", "x"), origin(one))]
    )
    await forget_old(world)
    assert list(await generations_in(store, APP)) == [2, *generations[-GENERATIONS_KEPT:]]
    assert len(await store.read(APP, attempt=0, seq=0, limit=1000)) == 2 * (GENERATIONS_KEPT + 1)
