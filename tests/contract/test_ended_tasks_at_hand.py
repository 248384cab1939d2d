"""The embedded store's memory of tasks that ended a moment ago: the same answers as the file's, and bounded."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from anchor.adapters.sqlite.live import ENDED_MAX, SMALL_BYTES, LiveTasks
from anchor.adapters.sqlite.store import SqliteStore
from anchor.core.attempt import Ending, Outcome, Result
from anchor.core.spec import Need, Payload, TaskSpec, shape_of
from anchor.core.task import Task, lease, queued, settle
from anchor.ports.store import Swap

NOW = 1_700_000_000_000


def leased(key: int, payload: Payload | None = None) -> Task:
    spec = TaskSpec(name="t", type="noop", payload=payload or Payload(input=key))
    task = queued(key=key, owner="o", spec=spec, shape=shape_of(Need()), now=NOW)
    return lease(task, node="N", session=1, now=NOW, lease_ms=1000)


def ended(task: Task, result: bytes = b"1") -> Task:
    ending = Ending(task.id, task.attempt, Outcome.SUCCEEDED, result=Result(json=result, size=len(result)))
    return settle(task, ending, now=NOW, chance=0.5)


@pytest.mark.anyio
async def test_what_is_at_hand_of_an_ended_task_is_what_the_file_says(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    task = leased(256)
    await store.insert([task])
    await store.swap([Swap(task, ended(task))])
    [at_hand] = await store.get([256])
    await store.close()
    store = await SqliteStore.open(tmp_path)
    [read] = await store.get([256])
    await store.close()
    assert at_hand is not None
    assert replace(at_hand, spec=replace(at_hand.spec, payload=None)) == read


@pytest.mark.anyio
async def test_a_removed_task_is_not_at_hand_any_more(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    task = leased(256)
    await store.insert([task])
    await store.swap([Swap(task, ended(task))])
    assert await store.remove_finished(NOW + 10_000, 10) == 1
    assert await store.get([256]) == [None]
    await store.close()


def test_only_so_many_and_only_small_ones_are_kept() -> None:
    live = LiveTasks()
    for key in range(1, ENDED_MAX + 11):
        task = leased(key)
        live.add(task, b"{}")
        live.renew(ended(task))
    assert [live.get(key) is not None for key in (1, 10, 11, ENDED_MAX + 10)] == [False, False, True, True]
    long = b"1" * (SMALL_BYTES + 1)
    live.add(leased(9001), b"{}")
    live.renew(ended(leased(9001), result=long))
    live.add(leased(9002), long)
    live.renew(ended(leased(9002)))
    assert live.get(9001) is None
    assert live.get(9002) is None
