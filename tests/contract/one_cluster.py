"""Servers over one store, with hands in the place of agents: they take what is assigned and report as agents do.

There are no loops and no timers: a test says when a server looks at what, so that any order can be had.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random

import msgspec

from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.ready import LocalReady
from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.dag import RUN_OVER, Graph, Run
from anchor.core.graph_check import checked
from anchor.core.ids import KeySequence
from anchor.core.node import Node, Profile
from anchor.core.spec import FEATURES
from anchor.core.task import HELD, State, Task
from anchor.orchestrator import graphs
from anchor.orchestrator.dispatch import dispatch
from anchor.orchestrator.follow import follow
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.reconcile import reconcile
from anchor.orchestrator.settle import never_arrived, settle, settle_held
from anchor.orchestrator.world import World
from anchor.ports.blobs import Blobs
from anchor.ports.ready import Ready
from anchor.ports.store import Store

NOW = 1_790_000_000_000
RUNTIMES = ("noop", "isolate", "python", "native", "wasm")
Does = Callable[[Task, dict[str, object]], object]
"""What the code of a task comes to, given its inputs by name: a value, or an exception for a failure."""


class Failed(Exception):
    """The code of a task failed, for good."""


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ms = NOW

    def now(self) -> int:
        return self.ms


class Hands:
    """What is assigned to the nodes of a server, until it is reported."""

    def __init__(self) -> None:
        self.assigned: deque[Task] = deque()
        self.to_stop: set[int] = set()

    async def assign(self, node: str, session: int, tasks: Sequence[Task]) -> None:
        self.assigned.extend(tasks)

    async def cancel(self, node: str, tasks: Sequence[Task]) -> None:
        self.to_stop.update(task.id for task in tasks)

    async def hang_up(self, node: str, session: int) -> None:
        self.assigned.clear()


class Server:
    """One server with one node of its own; with a `ready` queue shared with others it is not the only one to write."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        clock: Ticking,
        number: int = 1,
        *,
        ready: Ready | None = None,
        slots: int = 1000,
    ) -> None:
        self.hands = Hands()
        self.clock = clock
        self.begun: list[str] = []
        """The names of the tasks that were run here, in order, one for each attempt."""
        self._ran: set[tuple[int, int]] = set()
        self.world = World(
            store=store,
            ready=ready or LocalReady(),
            bus=LocalBus(),
            blobs=blobs,
            links=self.hands,
            clock=clock,
            chance=Random(number),
            keys=KeySequence(number),
            lease_ms=30_000,
            heartbeat_ms=10_000,
            swept_at=NOW,
            server=f"server {number}",
            sole_writer=ready is None,
        )
        self.node = Node(
            id=f"REX-00000{number}",
            owner=f"owner {number}",
            public_key=bytes(32),
            joined_at=NOW,
            session=1,
            slots=slots,
            lease_until=NOW + 10**9,
            profile=Profile(
                cores=8, ram=64.0, disk=100.0, runtimes=dict.fromkeys(RUNTIMES, "1"), features=(*FEATURES,)
            ),
        )
        self.world.fleet.join(self.node)

    async def takes_over(self, dead: "Server", run: Run) -> None:
        """Begin where a server died, whose node still has what it had, and is connected to this one now."""
        self.hands, self.begun, self._ran = dead.hands, dead.begun, dead._ran
        self.world.links = self.hands
        self.clock.ms += 31_000
        self.world.swept_at = 0
        held = {task.id for task in self.hands.assigned}
        found = await self.world.store.get([run.key_of(number) for number in range(run.steps)])
        unheard = [task for task in found if task is not None and task.state in HELD and task.id not in held]
        for task in found:
            if task is not None and task.state in HELD:
                self.world.fleet.seat(self.node.id).held[task.id] = (task.attempt, NOW)  # type: ignore[union-attr]
        await settle_held(self.world, unheard, outcome=Outcome.RELEASED, reason=never_arrived(self.node.id))
        await reconcile(self.world)

    async def look(self) -> None:
        """What the dispatching loop does."""
        await follow(self.world)
        await dispatch(self.world)

    async def report(self, count: int = 1000, does: Does = lambda task, inputs: inputs) -> int:
        """Report up to `count` of the assigned attempts; how many they were."""
        tasks = list(self.hands.assigned)[:count]
        endings = [await self._ending(task, does) for task in tasks]
        await settle(self.world, node=self.node.id, session=1, endings=endings)
        for task in tasks:
            self.hands.assigned.remove(task)
        return len(endings)

    async def _ending(self, task: Task, does: Does) -> Ending:
        if task.id in self.hands.to_stop:
            return Ending(task.id, task.attempt, Outcome.CANCELLED, None, Reason("cancelled", "Stopped."))
        if (task.id, task.attempt) not in self._ran:
            self._ran.add((task.id, task.attempt))
            self.begun.append(task.spec.name)
        if task.spec.type == "noop":
            return Ending(task.id, task.attempt, Outcome.SUCCEEDED, Result(json=b"null", size=4))
        try:
            answer = msgspec.json.encode(does(task, await self.inputs(task)))
        except Failed as failure:
            return Ending(task.id, task.attempt, Outcome.ERRORED, None, Reason("script_error", str(failure)))
        if len(answer) <= 65536:
            return Ending(task.id, task.attempt, Outcome.SUCCEEDED, Result(json=answer, size=len(answer)))
        digest, size = await self.world.blobs.put(_once(answer))
        return Ending(task.id, task.attempt, Outcome.SUCCEEDED, Result(blob=digest, size=size))

    async def inputs(self, task: Task) -> dict[str, object]:
        payload = json.loads(await payload_of(self.world, task) or b"{}")
        return {name: await self._value(given) for name, given in payload.get("inputs", {}).items()}

    async def _value(self, given: dict[str, object]) -> object:
        if "blob" not in given:
            return given.get("value")
        digest = str(given["blob"]).removeprefix("sha256:")
        return json.loads(b"".join([chunk async for chunk in self.world.blobs.get(digest)]))

    async def work(self, does: Does = lambda task, inputs: inputs) -> None:
        """Go on until nothing is left that this server knows of."""
        await self.look()
        while self.hands.assigned or self.world.ended:
            await self.report(does=does)
            await self.look()

    async def states(self, run: Run) -> dict[str, str]:
        """The state of each step that has a task, by id."""
        plan = await graphs.plan_of(self.world, run)
        found = await self.world.store.states(run.key_of(0), run.steps)
        return {plan.ids[run.step_of(key)]: str(state) for key, state in sorted(found.items())}

    async def result(self, run: Run, step: str) -> object:
        """What came of a step."""
        plan = await graphs.plan_of(self.world, run)
        [task] = await self.world.store.get([run.key_of(plan.numbers()[step])])
        assert task is not None
        assert task.state is State.SUCCEEDED, task
        assert task.result is not None
        if not task.result.blob:
            return json.loads(task.result.json)
        return json.loads(b"".join([chunk async for chunk in self.world.blobs.get(task.result.blob)]))

    async def over(self, run: Run) -> Run:
        """The run, which has to be over."""
        found = await self.world.store.run(run.id)
        assert found is not None
        assert found.state in RUN_OVER, (found.state, await self.states(run))
        return found


def graph(*steps: dict[str, object], name: str = "graph", **more: object) -> Graph:
    """A graph as a user would write it, checked."""
    drawn, faults = checked(msgspec.convert({"name": name, "steps": list(steps), **more}, Graph))
    assert not faults, faults
    return drawn


def step(name: str, *dependencies: str, **more: object) -> dict[str, object]:
    """A step that runs some code; `code=False`: one that passes its inputs on."""
    payload = {"payload": {"sourceCode": "return 1"}} if more.pop("code", True) else {}
    return {"id": name, "dependencies": list(dependencies), **payload, **more}


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
