"""What placing costs: 1,000 nodes and 10,000 queued tasks, in one process, over the real fleet, queue and dispatch.

The store is a dictionary, so that what is counted is the server's own work. `python benchmarks/placement.py`
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from machine import facts
from msgspec.structs import replace

from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.ready import LocalReady
from anchor.core.ids import KeySequence
from anchor.core.node import Metrics, Node, Profile
from anchor.core.spec import Payload, Requirements, TaskSpec
from anchor.core.task import Task
from anchor.orchestrator.dispatch import dispatch
from anchor.orchestrator.enter import drafted
from anchor.orchestrator.relay import hint
from anchor.orchestrator.world import World
from anchor.ports.store import Swap

NODES = 1_000
TASKS = 10_000
SLOTS = 4
FREED = (500, 1)
"""Slots that open between two rounds of dispatch, once all are taken."""
SINGLE_TASKS = 1_000
GOAL_MS = 100.0
LEASE_MS = 3_600_000


class Truth:
    """As much of a store as dispatch asks for, and the nodes' end of the links."""

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.running: list[Task] = []

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        """Tasks by id."""
        return [self.tasks.get(one) for one in ids]

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        """Write leases."""
        for swap in swaps:
            self.tasks[swap.new.id] = swap.new
        return [True] * len(swaps)

    async def assign(self, node: str, session: int, tasks: Sequence[Task]) -> None:
        """Take attempts for a node."""
        self.running += tasks


class Now:
    """The time."""

    def now(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


def world_of(truth: Truth) -> World:
    """A server with the nodes connected."""
    stand_in: Any = truth
    world = World(
        store=stand_in,
        ready=LocalReady(),
        bus=LocalBus(),
        blobs=stand_in,
        links=stand_in,
        clock=Now(),
        chance=stand_in,
        keys=KeySequence(0),
        lease_ms=LEASE_MS,
        heartbeat_ms=10_000,
    )
    for number in range(NODES):
        profile = Profile(
            os="Linux",
            arch="x86_64",
            cores=4 + number % 5,
            ram=8.0 + number % 9,
            disk=100.0,
            runtimes={"isolate": "1", "wasm": "1"},
            labels=("lab", f"rack-{number % 10}"),
        )
        metrics = Metrics(uptime=100, free_ram=4.0 + number % 4, free_disk=50.0)
        until = world.clock.now() + LEASE_MS
        node = Node(
            id=f"NOD-{number:06}", owner=f"owner-{number % 7}", public_key=b"", joined_at=0, session=1, slots=SLOTS,
            profile=profile, metrics=metrics, lease_until=until, speed=500.0 + number % 100,
        )  # fmt: skip
        world.fleet.join(node)
    return world


def spec_of(number: int, shapes: int, expression: str) -> TaskSpec:
    """Task `number`, in one of so many shapes."""
    which = number % shapes
    labels = ["lab", f"rack-{which % 10}"] if shapes > 1 else []
    wants = Requirements(min_ram=which // 10 * 0.5, labels=labels, expression=expression)
    return TaskSpec(name="t", payload=Payload(source_code="1"), requirements=wants)


async def one(*, shapes: int, owners: int, expression: str, freed: int) -> float:
    """CPU milliseconds per 1,000 assignments."""
    truth = Truth()
    world = world_of(truth)
    keys = world.keys.take(TASKS, now_ms=world.clock.now())
    now = world.clock.now()
    tasks = [
        drafted(spec_of(number, shapes, expression), key=key, owner=f"owner-{number % owners}", now=now)
        for number, key in enumerate(keys)
    ]
    truth.tasks = {task.id: replace(task, spec=replace(task.spec, payload=None)) for task in tasks}
    await hint(world, tasks)
    assigned, spent = 0, 0.0
    if freed == 1:  # all slots are taken first, and not counted
        await dispatch(world)
    target = SINGLE_TASKS if freed == 1 else TASKS
    while assigned < target:
        before = time.process_time()
        count = await dispatch(world)
        spent += time.process_time() - before
        assigned += count
        for task in truth.running[:freed]:
            seat = world.fleet.seat(task.node)
            if seat is not None:
                del seat.held[task.id]
        del truth.running[:freed]
    return spent * 1e6 / assigned


EXPRESSIONS = {
    "none": "",
    "fixed": 'node.ram >= "2GiB" and "lab" in node.labels and not node.os == "windows"',
    "live": 'node.free_ram >= "2GiB" and node.load < 2 and "lab" in node.labels',
}


async def main() -> None:
    """Print the table."""
    for name, value in facts().items():
        print(f"{name}: {value}")
    print(f"{NODES:,} nodes of {SLOTS} slots, {TASKS:,} queued tasks; CPU ms per 1,000 assignments (goal: {GOAL_MS:g})")
    print("| shapes | expression | owners | slots open by 500 | one by one |")
    print("|---|---|---|---|---|")
    for shapes in (1, 100):
        for name, expression in EXPRESSIONS.items():
            for owners in (1, 10):
                costs = [await one(shapes=shapes, owners=owners, expression=expression, freed=freed) for freed in FREED]
                print(f"| {shapes} | {name} | {owners} | {costs[0]:.0f} | {costs[1]:.0f} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
