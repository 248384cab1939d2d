"""A server of which a fleet and its events are made up, for what a page makes of very many: all else is real.

    python -m benchmarks.ui_source --nodes 1000 -- server --port 0 --data DIR

Behind `--` is what `anchor` is called with. Nodes are written into the store and seated; events are shown to whoever
looks (`World.onlooker`) and counted where the store is asked for counts, so that a page and the API are told the same.
Each line of standard input is a number of events a second, from then on.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter, deque
from typing import Any

from msgspec.structs import replace

from anchor.cli import main as anchor
from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.node import Crash, Dissent, Metrics, Node, Profile, Status, node_id_from
from anchor.core.spec import RetryPolicy, TaskSpec
from anchor.core.task import State, Task, lease, queued, settle
from anchor.orchestrator.fleet import Seat
from anchor.orchestrator.world import World
from anchor.wiring import serving

SITES = {"Lisbon": 26, "Ferrol": 18, "Porto": 24, "Vigo": 20, "Home": 12}
WORK = ("prime-finder", "matmul-4096", "render", "thumbs", "invoice", "tide-tables")
DAY_MS = 86_400_000
TICK_SECONDS = 0.01
FAILED_SHARE = 0.01
WAITING = 300
BUSY_SHARE = 0.6
SLOTS = 4


class Source:
    """Makes up nodes and what they do."""

    def __init__(self, world: World, nodes: int) -> None:
        self._world = world
        self._count = nodes
        self._seats: list[Seat] = []
        self._waiting: deque[Task] = deque()
        self._running: deque[tuple[Task, Seat]] = deque()
        self._counts: Counter[State] = Counter()
        self._turn = 0
        self.rate = 0

    async def begin(self) -> None:
        """Put the nodes into the fleet."""
        world: Any = self._world
        world.store.counts = self._counted
        now = world.clock.now()
        dice = random.Random(7)
        sites = [site for site, share in SITES.items() for _ in range(share)]
        for number in range(self._count):
            name = node_id_from("REX", bytes(dice.randrange(256) for _ in range(12)))
            profile = Profile(
                cores=8,
                ram=16.0,
                labels=(f"site:{sites[number * len(sites) // self._count]}",),
                runtimes={"isolate": "1", "wasm": "1"},
                version=dice.choice(("0.3.0", "0.3.1")),
            )
            node = Node(
                id=name, owner=dice.choice(("ann", "bob", "eve")), public_key=bytes(32), joined_at=now, session=1,
                lease_until=now + DAY_MS, seen_at=now, slots=SLOTS, profile=profile, metrics=Metrics(cpu_usage=20.0),
            )  # fmt: skip
            if number % 211 == 5:
                node = replace(node, lease_until=now - 60_000, seen_at=now - 60_000)
            elif number % 331 == 7:
                node = replace(node, dissents=(Dissent(1, "isolate", 0),))
            elif number % 97 == 3:
                node = replace(node, crashes=(Crash(1),))
            elif number % 251 == 9:
                node = replace(node, status=Status.DRAINING)
            await world.store.insert_node(node)
            if node.lease_until > now:
                seat = world.fleet.join(node)
                seat.leaving = True  # nobody is there to be given anything
                self._seats.append(seat)
        self._fill()

    async def play(self) -> None:
        """Let events happen at `rate` a second, for ever."""
        began, happened = time.monotonic(), 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            due = self.rate * (time.monotonic() - began)
            if self.rate == 0 or due - happened > self.rate:
                began, happened = time.monotonic(), 0
            else:
                written = [self._next() for _ in range(int(due) - happened)]
                happened += len(written)
                if self._world.onlooker is not None and written:
                    self._world.onlooker(written)

    async def _counted(self, _: str | None) -> dict[State, int]:
        return dict.fromkeys(State, 0) | dict(self._counts)

    def _fill(self) -> None:
        """Have as much run and wait as in the middle of a busy day."""
        while len(self._waiting) < WAITING:
            self._submit(self._world.clock.now())
        while len(self._running) < len(self._seats) * SLOTS * BUSY_SHARE:
            self._submit(self._world.clock.now())
            self._lease(self._world.clock.now())

    def _next(self) -> Task:
        self._turn += 1
        step = (self._submit, self._lease, self._end)[self._turn % 3]
        return step(self._world.clock.now())

    def _submit(self, now: int) -> Task:
        [key] = self._world.keys.take(1, now_ms=now)
        spec = TaskSpec(name=f"{random.choice(WORK)} {self._turn}", type="noop", retry=RetryPolicy(attempts=1))
        task = queued(key=key, owner="ann", spec=spec, shape="{}", now=now)
        self._waiting.append(task)
        self._counts[State.QUEUED] += 1
        return task

    def _lease(self, now: int) -> Task:
        task = self._waiting.popleft()
        seat = random.choice(self._seats)
        while len(seat.held) >= SLOTS:
            seat = random.choice(self._seats)
        leased = lease(task, node=seat.node, session=1, now=now, lease_ms=DAY_MS)
        seat.held[leased.id] = (1, now + DAY_MS)
        self._running.append((leased, seat))
        self._moved(task, leased)
        return leased

    def _end(self, now: int) -> Task:
        if random.random() < 0.5:
            self._running.rotate(-random.randrange(len(self._running)))
        task, seat = self._running.popleft()
        seat.held.pop(task.id, None)
        ending = Ending(task.id, 1, Outcome.SUCCEEDED, Result(json=b"1", size=1))
        if random.random() < FAILED_SHARE:
            ending = Ending(task.id, 1, Outcome.ERRORED, reason=Reason("user_error", "No."))
        ended = settle(task, ending, now=now, chance=0.5)
        self._moved(task, ended)
        return ended

    def _moved(self, old: Task, new: Task) -> None:
        self._counts[old.state] -= 1
        self._counts[new.state] += 1


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nodes", type=int, default=1000)
    arguments.add_argument("call", nargs="+")
    wish = arguments.parse_args()
    run = serving.run_server

    async def run_with_source(desk: Any, *others: Any, **more: Any) -> None:
        source = Source(desk.world, wish.nodes)
        await source.begin()
        loop = asyncio.get_running_loop()

        def heed() -> None:
            source.rate = int(sys.stdin.readline() or 0)

        loop.add_reader(sys.stdin.fileno(), heed)
        playing = asyncio.create_task(source.play())
        try:
            await run(desk, *others, **more)
        finally:
            playing.cancel()

    serving.run_server = run_with_source
    sys.argv = ["anchor", *wish.call]
    sys.exit(anchor())


if __name__ == "__main__":
    main()
