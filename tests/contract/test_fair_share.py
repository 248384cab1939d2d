"""Owners share the slots by what they used lately, over each ready queue: a flood of one does not hold up another."""

from collections.abc import Sequence
from typing import Any

import pytest

from anchor.adapters.local.bus import LocalBus
from anchor.core.ids import STEP, KeySequence
from anchor.core.node import Node, Profile
from anchor.core.spec import TaskSpec
from anchor.core.task import Origin, State, Task
from anchor.orchestrator.dispatch import dispatch
from anchor.orchestrator.enter import drafted
from anchor.orchestrator.relay import hint
from anchor.orchestrator.world import World
from anchor.ports.store import Swap

pytestmark = pytest.mark.anyio
NOW = 1_790_000_000_000


class Truth:
    """Tasks in memory, and the order in which they were leased."""

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.leased: list[Task] = []
        self.time = NOW

    def now(self) -> int:
        return self.time

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        return [self.tasks.get(one) for one in ids]

    async def node(self, node: str) -> None:
        return None

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        self.tasks |= {swap.new.id: swap.new for swap in swaps}
        return [True] * len(swaps)

    async def assign(self, node: str, session: int, tasks: Sequence[Task]) -> None:
        self.leased += tasks


def world_on(truth: Truth, ready: Any, *nodes: tuple[str, int]) -> World:
    at_hand: Any = truth
    world = World(
        store=at_hand,
        ready=ready,
        bus=LocalBus(),
        blobs=at_hand,
        links=at_hand,
        clock=at_hand,
        chance=at_hand,
        keys=KeySequence(0),
        lease_ms=1 << 40,
        heartbeat_ms=1000,
    )
    for number, (owner, slots) in enumerate(nodes):
        world.fleet.join(
            Node(
                id=f"NOD-{number}", owner=owner, public_key=b"", joined_at=0, session=1, slots=slots,
                lease_until=1 << 60, profile=Profile(cores=4, ram=8.0),
            )
        )  # fmt: skip
    return world


async def queue(world: World, truth: Truth, owner: str, count: int, **wants: Any) -> list[Task]:
    spec = TaskSpec(name="t", type="noop", priority=wants.pop("priority", 0))
    keys = world.keys.take(count, now_ms=truth.time)
    tasks = [drafted(spec, key=key, owner=owner, now=truth.time, **wants) for key in keys]
    truth.tasks |= {task.id: task for task in tasks}
    await hint(world, tasks)
    return tasks


def end_all(world: World, truth: Truth, from_: int) -> None:
    """What was leased from there on ends: its slots open."""
    for task in truth.leased[from_:]:
        seat = world.fleet.seat(task.node)
        assert seat is not None
        del seat.held[task.id]


async def test_a_flood_of_one_owner_delays_anothers_first_task_by_one_slots_turn(ready: Any) -> None:
    truth = Truth()
    world = world_on(truth, ready, ("lab", 2))
    await queue(world, truth, "flood", 2_000, priority=100)
    await dispatch(world)
    end_all(world, truth, 0)
    truth.time += 1_000
    await dispatch(world)
    await queue(world, truth, "small", 3, priority=-100)
    turns = len(truth.leased)
    end_all(world, truth, turns - 2)
    truth.time += 1_000
    await dispatch(world)
    assert "small" in {task.owner for task in truth.leased[turns:]}


async def test_owners_with_the_same_past_get_the_same_share_whoever_asks_for_more(ready: Any) -> None:
    truth = Truth()
    world = world_on(truth, ready, ("lab", 5), ("lab", 5))
    await queue(world, truth, "ann", 300)
    await queue(world, truth, "bob", 100)
    for _ in range(10):
        before = len(truth.leased)
        await dispatch(world)
        truth.time += 500
        end_all(world, truth, before)
    owners = [task.owner for task in truth.leased]
    assert len(owners) == 100
    assert 45 <= owners.count("ann") <= 55


async def test_whoever_keeps_slots_for_long_is_behind_whoever_gives_them_back(ready: Any) -> None:
    truth = Truth()
    world = world_on(truth, ready, ("lab", 4))
    await queue(world, truth, "long", 3)
    await dispatch(world)
    await queue(world, truth, "long", 50)
    await queue(world, truth, "short", 50)
    for _ in range(5):
        before = len(truth.leased)
        await dispatch(world)
        truth.time += 1_000
        end_all(world, truth, before)
    assert {task.owner for task in truth.leased[4:]} == {"short"}


async def test_an_owners_own_tasks_go_by_priority(ready: Any) -> None:
    truth = Truth()
    world = world_on(truth, ready, ("lab", 1))
    await queue(world, truth, "ann", 2)
    [urgent] = await queue(world, truth, "ann", 1, priority=5)
    await queue(world, truth, "bob", 1)
    for _ in range(2):
        before = len(truth.leased)
        await dispatch(world)
        truth.time += 1_000
        end_all(world, truth, before)
    assert urgent.id in {task.id for task in truth.leased}


async def test_copies_never_share_a_node_nor_an_owner_and_rest_until_there_is_another(ready: Any) -> None:
    truth = Truth()
    world = world_on(truth, ready, ("ann", 5), ("ann", 5), ("bob", 5))
    first = (NOW << 20) + (1 << 30)
    apart = Origin(head=1, number=0, apart=(first, 3), owners_apart=True, is_copy=True)
    for number in range(3):
        task = drafted(
            TaskSpec(name="t", type="noop"), key=first + number * STEP, owner="eve", now=truth.time, origin=apart
        )
        truth.tasks[task.id] = task
        await hint(world, [task])
    await dispatch(world)
    homes = [world.fleet.seat(task.node) for task in truth.leased]
    assert sorted(home.record.owner for home in homes if home is not None) == ["ann", "bob"]
    looked = sum(task.state is State.QUEUED for task in truth.tasks.values())
    assert looked == 1
    assert await ready.shapes(truth.time) == []
    world.fleet.join(
        Node(id="NOD-9", owner="joe", public_key=b"", joined_at=0, session=1, lease_until=1 << 60, profile=Profile())
    )
    truth.time += 1_000
    await dispatch(world)
    assert [task.node for task in truth.leased][2:] == ["NOD-9"]
