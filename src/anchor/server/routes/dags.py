"""Schedule graphs, list their runs, look at one, cancel it, run it again."""

import asyncio
from collections import Counter
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.dag import RUN_OVER, Drawing, Graph, Run, RunState
from anchor.core.errors import Fault, NotFound, TooLarge
from anchor.core.graph_check import checked
from anchor.core.ids import key_of, wire_id
from anchor.orchestrator import graphs
from anchor.ports.bus import Watch
from anchor.server import drawings, named_blobs, run_views
from anchor.server.desk import Desk
from anchor.server.faults import FAULTS_SHOWN_MAX, require_none
from anchor.server.http import MIB, Answer, Call, Route, checked_key
from anchor.server.paging import next_link, read_cursor
from anchor.server.run_views import Seen
from anchor.server.sketches import Sketch, sketched
from anchor.wire.dags import GraphChecked, RerunRequest, RunCreated, RunListed, RunRow, RunView, StepView

BODY_BYTES_MAX = 64 * MIB
WAIT_SECONDS_MAX = 60.0
LOOK_SECONDS = 1.0
"""How often a run that somebody watches is looked at though nobody said that it changed: a step's start is not told."""
LOOK_COST = 20.0
"""Looking at a large run may take this share of a core at most (one part in LOOK_COST)."""
LOOK_SECONDS_LEAST, LOOK_SECONDS_A_STEP = 0.005, 10e-6
"""More than this a look never costs, whatever it takes on a machine that is busy with something else."""
STEPS_INLINE_MAX = 1_000
COUNTED_STEPS_MAX = 20_000
"""Steps of runs that are not over which a list of runs looks at; what is beyond that is not counted."""
THREAD_STEPS = 2_000
"""Graphs with more steps are read in a thread, so that nobody else waits for it."""
TEXT = "text/plain"
CURSOR = "d"
STEP_CURSOR = "s"


class ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which runs, how many, and where to go on; `counts`: say how many steps of each are in which state."""

    state: RunState | None = None
    kind: Literal["dag", "mapreduce"] | None = None
    counts: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


class ShowQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`wait` seconds (at most 60) for the run to be another `version` than the one you have; list its steps if there
    are at most `steps`."""

    wait: Annotated[float, Meta(ge=0)] = 0.0
    version: str | None = None
    steps: Annotated[int, Meta(ge=0, le=STEPS_INLINE_MAX)] = STEPS_INLINE_MAX


class StepsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which steps, how many, and where to go on."""

    state: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: str | None = None


class GraphQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The graph as it was submitted, or as a drawing with the steps' states."""

    format: Literal["json", "dot", "mermaid"] = "json"


async def _checked(given: Graph) -> tuple[Graph, list[Fault]]:
    large = len(given.steps) + len(given.tasks) > THREAD_STEPS
    return await asyncio.to_thread(checked, given) if large else checked(given)


async def check(call: Call) -> GraphChecked:
    """Say what is wrong with a graph, and run nothing."""
    graph, faults = await _checked(call.body)
    return GraphChecked(steps=len(graph.steps) + len(graph.tasks), faults=faults[:FAULTS_SHOWN_MAX])


async def create(call: Call) -> Answer:
    """Run a graph."""
    graph, faults = await _checked(call.body)
    given: Graph = call.body
    require_none(faults, what="The graph", code="invalid_graph")
    word = "tasks" if given.tasks else "steps"
    await named_blobs.require(
        call.desk.world.blobs,
        ((f"/{word}/{at}/payload", step.payload) for at, step in enumerate(graph.steps) if step.payload is not None),
    )
    world, owner, key = call.desk.world, call.principal.name, call.idempotency_key
    if key is None:
        return _created(await graphs.schedule(world, graph, owner=owner))
    # Both paths are one request: whichever was used first, the other is the same again.
    made = await graphs.schedule_once(world, graph, owner=owner, key=checked_key(key), digest=call.digest(CREATE))
    return _created(made.run, replayed=made.replayed)


def _created(run: Run, *, replayed: bool = False) -> Answer:
    headers = {"location": f"/api/dags/{wire_id('dag', run.id)}"}
    if replayed:
        headers["idempotent-replayed"] = "true"
    return Answer(run_views.created(run), headers=headers)


async def index(call: Call) -> Answer:
    """Runs, newest first."""
    query: ListQuery = call.query
    below = read_cursor(CURSOR, query.cursor)
    store = call.desk.world.store
    runs = await store.runs_page(below=below, limit=query.limit, state=query.state, kind=query.kind, owner=call.owner)
    counted = await _counts(call.desk, runs) if query.counts else {}
    headers = {}
    if query.kind is None:
        counts = await store.run_counts(call.owner)
        headers["x-total-count"] = str(sum(counts.values()) if query.state is None else counts.get(query.state, 0))
    if len(runs) == query.limit:
        asked = {"limit": query.limit, "state": query.state, "kind": query.kind}
        headers["link"] = next_link("/api/dags", CURSOR, runs[-1].id, **asked, counts="true" if query.counts else None)
    return Answer([run_views.listed(run, counted.get(run.id)) for run in runs], headers=headers)


async def _counts(desk: Desk, runs: list[Run]) -> dict[int, dict[str, int]]:
    """How many steps are in each state, by run: written down where it is over, looked at where it is not."""
    counts: dict[int, dict[str, int]] = {}
    left = COUNTED_STEPS_MAX
    for run in runs:
        if run.state in RUN_OVER:
            counts[run.id] = run.ended
        elif run.steps <= left:
            left -= run.steps
            counts[run.id] = dict(Counter((await seen_of(desk, run)).states))
    return counts


async def find(call: Call) -> Run:
    """The run of the path, if the caller may see it."""
    run = await call.desk.world.store.run(key_of("dag", call.path["id"]))
    if run is None or (call.owner is not None and run.owner != call.owner):
        raise NotFound(
            f"There is no run {call.path['id']}.", hint="List what there is: `anchor dag ls`, or GET /api/dags."
        )
    return run


async def sketch_of(desk: Desk, run: Run) -> Sketch:
    """The graph of a run."""
    sketch = desk.sketches.get(run.id)
    if sketch is None:
        plan = await graphs.plan_of(desk.world, run)
        sketch = await asyncio.to_thread(sketched, plan) if plan.size > THREAD_STEPS else sketched(plan)
        desk.sketches.keep(run.id, sketch)
    return sketch


def pause_after(seconds: float, steps: int) -> float:
    """How long to wait before the next look at so many steps, after one that took `seconds`."""
    return LOOK_COST * min(seconds, LOOK_SECONDS_LEAST + steps * LOOK_SECONDS_A_STEP)


async def seen_of(desk: Desk, run: Run) -> Seen:
    """A run and where each of its steps is."""
    sketch = await sketch_of(desk, run)
    tasks = await desk.world.store.states(run.key_of(0), run.steps)
    if run.steps > THREAD_STEPS:
        return await asyncio.to_thread(run_views.seen, run, sketch, tasks)
    return run_views.seen(run, sketch, tasks)


async def show(call: Call) -> RunView:
    """One run, whole; `wait` seconds for it to change."""
    query: ShowQuery = call.query
    world = call.desk.world
    run = await find(call)
    view = await run_views.view(await seen_of(call.desk, run), call.desk, steps_max=query.steps)
    if query.wait <= 0 or view.version != query.version:
        return view
    until = world.clock.now() + int(min(query.wait, WAIT_SECONDS_MAX) * 1000)
    with world.bus.watch_task(run.id) as watch:
        pause = 0.0
        while view.version == query.version and run.state not in RUN_OVER:
            left = (until - world.clock.now()) / 1000
            if left <= 0 or not await _pause(call, watch, min(left, max(pause, LOOK_SECONDS)), pause):
                break
            began = world.clock.now()
            run = await find(call)
            view = await run_views.view(await seen_of(call.desk, run), call.desk, steps_max=query.steps)
            pause = pause_after((world.clock.now() - began) / 1000, run.steps)
    return view


async def _pause(call: Call, watch: Watch, seconds: float, at_least: float) -> bool:
    """Wait until somebody says that the run changed, or for so many seconds; False where the server stops."""
    stopping = asyncio.create_task(call.desk.stopping.wait())
    changed = asyncio.create_task(watch.changed(seconds))
    try:
        if at_least > 0:
            await asyncio.wait({stopping}, timeout=min(at_least, seconds))
        await asyncio.wait({changed, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return not stopping.done()
    finally:
        changed.cancel()
        stopping.cancel()
        await asyncio.gather(changed, stopping, return_exceptions=True)


async def steps(call: Call) -> Answer:
    """Steps of a run, in the order submitted."""
    query: StepsQuery = call.query
    after = read_cursor(STEP_CURSOR, query.cursor)
    run = await find(call)
    seen = await seen_of(call.desk, run)
    wanted = "leased" if query.state == "running" else query.state
    numbers = [number for number, state in enumerate(seen.states) if wanted is None or state == wanted]
    headers = {"x-total-count": str(len(numbers))}
    rest = numbers if after is None else [number for number in numbers if number > after]
    page = rest[: query.limit]
    if len(rest) > len(page):
        path = f"/api/dags/{wire_id('dag', run.id)}/steps"
        headers["link"] = next_link(path, STEP_CURSOR, page[-1], limit=query.limit, state=query.state)
    return Answer(await run_views.steps(seen, page, call.desk), headers=headers)


async def graph(call: Call) -> Answer:
    """The graph of a run."""
    run = await find(call)
    if call.query.format == "json":
        drawing: Drawing = await graphs.drawing_of_run(call.desk.world, run)
        return Answer(drawing.graph)
    if run.steps > drawings.STEPS_MAX:
        raise TooLarge(
            f"A graph of {run.steps:,} steps is not drawn; at most {drawings.STEPS_MAX:,} are.",
            hint="Ask for format=json, or for its steps.",
        )
    seen = await seen_of(call.desk, run)
    edges = sum(map(len, seen.sketch.plan.parents))
    if edges > drawings.EDGES_MAX:
        raise TooLarge(
            f"A graph of {edges:,} dependencies is not drawn; at most {drawings.EDGES_MAX:,} are.",
            hint="Ask for format=json, or for its steps.",
        )
    draw = drawings.dot if call.query.format == "dot" else drawings.mermaid
    text = "\n".join(draw(seen)) + "\n"
    return Answer(text.encode(), content_type=f"{TEXT}; charset=utf-8")


async def stop(call: Call) -> RunRow:
    """Cancel a run."""
    run = await find(call)
    return run_views.row(await graphs.cancel(call.desk.world, run.id, by=call.principal.name))


async def rerun(call: Call) -> Answer:
    """Run a graph again, as a new run."""
    run = await find(call)
    wish: RerunRequest = call.body
    world, owner, key = call.desk.world, call.principal.name, call.idempotency_key
    item = None if wish.item is None else (wish.item.step, wish.item.number)
    if key is None:
        again = await graphs.rerun(
            world,
            run,
            owner=owner,
            from_step=wish.from_step,
            only_failed=wish.only_failed,
            item=item,
            failed_items=wish.failed_items,
        )
        return _created(again)
    made = await graphs.rerun_once(
        world,
        run,
        owner=owner,
        key=checked_key(key),
        digest=call.digest(RERUN),
        from_step=wish.from_step,
        only_failed=wish.only_failed,
        item=item,
        failed_items=wish.failed_items,
    )
    return _created(made.run, replayed=made.replayed)


def _create_at(path: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=create,
        summary="Run a graph of up to 100,000 steps",
        roles=(Role.SUBMITTER,),
        body=Graph,
        response=RunCreated,
        status=201,
        body_bytes_max=BODY_BYTES_MAX,
        own_idempotency=True,
    )


CREATE = _create_at("/api/dags")
RERUN = Route(
    method="POST",
    path="/api/dags/{id}/rerun",
    handler=rerun,
    summary="Run a graph that is over again: all of it, from a step, what failed, one item, or the items that failed",
    roles=(Role.SUBMITTER,),
    body=RerunRequest,
    response=RunCreated,
    status=201,
    own_idempotency=True,
)
ROUTES = [
    _create_at("/api/dag/schedule"),
    CREATE,
    Route(
        method="POST",
        path="/api/dags/check",
        handler=check,
        summary="Say what is wrong with a graph, and run nothing",
        roles=(Role.SUBMITTER,),
        body=Graph,
        response=GraphChecked,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Route(
        method="GET",
        path="/api/dags",
        handler=index,
        summary="List runs of graphs, newest first",
        roles=(Role.VIEWER,),
        query=ListQuery,
        response=list[RunListed],
    ),
    Route(
        method="GET",
        path="/api/dags/{id}",
        handler=show,
        summary="One run of a graph, waiting for it to change if asked",
        roles=(Role.VIEWER,),
        query=ShowQuery,
        response=RunView,
    ),
    Route(
        method="GET",
        path="/api/dags/{id}/steps",
        handler=steps,
        summary="Steps of a run, in the order submitted",
        roles=(Role.VIEWER,),
        query=StepsQuery,
        response=list[StepView],
    ),
    Route(
        method="GET",
        path="/api/dags/{id}/graph",
        handler=graph,
        summary="The graph of a run: as submitted, or drawn for Graphviz or Mermaid",
        roles=(Role.VIEWER,),
        query=GraphQuery,
        response=Graph,
        stream_type=TEXT,
    ),
    Route(
        method="POST",
        path="/api/dags/{id}/cancel",
        handler=stop,
        summary="Cancel a run and every step of it that is not over",
        roles=(Role.SUBMITTER,),
        response=RunRow,
        status=202,
    ),
    RERUN,
]
