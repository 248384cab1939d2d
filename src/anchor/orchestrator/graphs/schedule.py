"""A graph becomes a run: its plan is kept first, then the run, then the tasks of the steps that wait for nothing."""

import msgspec

from anchor.core.dag import Again, Drawing, Graph, Run
from anchor.core.errors import NotFound, Unavailable
from anchor.core.plan import Plan, drawn
from anchor.core.spec import INLINE_BYTES_MAX
from anchor.failpoints import reached
from anchor.orchestrator.graphs.advance import go_on
from anchor.orchestrator.graphs.known import known_as
from anchor.orchestrator.graphs.sweep import SWEEP_MS
from anchor.orchestrator.once import once
from anchor.orchestrator.run_memory import Known
from anchor.orchestrator.whole import one_chunk
from anchor.orchestrator.world import World


class Scheduled(msgspec.Struct, frozen=True):
    """The run a request stands for; `replayed` where an earlier request with the same key made it."""

    run: Run
    replayed: bool = False


class Order(msgspec.Struct, frozen=True):
    """What is to be run. `graph` has been checked (`core.graph_check.checked`)."""

    graph: Graph
    owner: str
    kind: str = "dag"
    rerun_of: int = 0
    reused: dict[int, int] = {}
    again: dict[int, Again] = {}


async def schedule(world: World, graph: Graph, *, owner: str, kind: str = "dag") -> Run:
    """Write a run of a checked graph down and begin it; when this returns it will not be lost."""
    return await begin(world, Order(graph, owner, kind))


async def schedule_once(
    world: World, graph: Graph, *, owner: str, key: str, digest: str, kind: str = "dag"
) -> Scheduled:
    """As `schedule`, but one run per (owner, key): the same request again gets the same run."""
    return await begin_once(world, Order(graph, owner, kind), key=key, digest=digest)


async def begin(world: World, order: Order) -> Run:
    """Carry out an order, under new keys."""
    keys = world.keys.take(1 + len(order.graph.steps), now_ms=world.clock.now())
    return await _begin(world, order, keys[0])


async def begin_once(world: World, order: Order, *, key: str, digest: str) -> Scheduled:
    """Carry out an order once per (owner, key); NotFound where its run is past its retention."""
    count = 1 + len(order.graph.steps)
    async with once(world, owner=order.owner, key=key, digest=digest, count=count) as claimed:
        if not claimed.done:
            return Scheduled(await _begin(world, order, claimed.keys[0]), replayed=not claimed.fresh)
        run = await world.store.run(claimed.keys[0])
        if run is None:
            raise NotFound(
                "The run of this Idempotency-Key is past its retention and gone.", hint="Use a new key to run again."
            )
        return Scheduled(run, replayed=True)


async def _begin(world: World, order: Order, key: int) -> Run:
    if world.fleet.closed:
        raise Unavailable(
            "The server is stopping.", hint="Send it again.", code="server_stopping", retry_after_seconds=1
        )
    world.fleet.handing_out += 1
    try:
        document = drawn(Drawing(order.graph, order.reused, order.again))
        plan_blob = ""
        if len(document) > INLINE_BYTES_MAX:
            plan_blob, _ = await world.blobs.put(one_chunk(document))
            reached("graphs.plan_kept")
        now = world.clock.now()
        run = Run(
            id=key,
            owner=order.owner,
            name=order.graph.name,
            created_at=now,
            steps=len(order.graph.steps),
            kind=order.kind,
            plan=b"" if plan_blob else document,
            plan_blob=plan_blob,
            rerun_of=order.rerun_of,
            labels=tuple(order.graph.labels),
            wake_at=now + SWEEP_MS,
        )
        new = await world.store.insert_run(run)
        reached("graphs.run_kept")
        if new:
            known = world.runs.keep(Known(run, Plan(document)))
        else:
            run = await world.store.run(key) or run
            known = await known_as(world, run)
        await go_on(world, known, {})
        return await world.store.run(key) or run
    finally:
        world.fleet.handing_out -= 1
