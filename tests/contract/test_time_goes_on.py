"""An embedded server whose machine's clock was set back goes on from the newest time that was written down."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from anchor.adapters.sqlite.store import SqliteStore
from anchor.config import Settings
from anchor.core.node import Node
from anchor.core.retry import BACKOFF_CAP_SECONDS
from anchor.core.task import State
from anchor.wiring.engines import engines

AHEAD_MS = 2 * 3600 * 1000


async def _now(directory: Path) -> int:
    async with engines(Settings(data=directory)) as opened:
        return opened.clock.now()


@pytest.mark.anyio
async def test_time_goes_on_from_when_a_node_was_seen(tmp_path: Path) -> None:
    ahead = time.time_ns() // 1_000_000 + AHEAD_MS
    store = await SqliteStore.open(tmp_path)
    await store.insert_node(Node(id="ABC-123456", owner="ann", public_key=b"k", joined_at=ahead, seen_at=ahead))
    await store.close()
    assert ahead <= await _now(tmp_path) < ahead + 60_000


@pytest.mark.anyio
@pytest.mark.parametrize("state", [State.LEASED, State.BACKOFF, State.QUEUED])
async def test_no_task_sleeps_much_longer_than_it_may_because_the_clock_was_set_back(tmp_path, make, state) -> None:
    ahead = time.time_ns() // 1_000_000 + AHEAD_MS
    store = await SqliteStore.open(tmp_path)
    assert await store.last_wake_ms() == 0
    await store.insert([replace(make.in_state(state), wake_at=ahead)])
    assert await store.last_wake_ms() == ahead
    await store.close()
    assert ahead - await _now(tmp_path) <= BACKOFF_CAP_SECONDS * 1000
