"""Start map-reduce jobs and look at them; they are runs, and are listed, cancelled and run again as those are."""

from anchor.core.access import Role
from anchor.core.dag import Run, RunState
from anchor.core.errors import Fault, NotFound
from anchor.core.graph_check import checked
from anchor.core.ids import wire_id
from anchor.core.mapreduce import MapReduce, faults_in_job
from anchor.orchestrator import graphs
from anchor.orchestrator.mapreduce import drawn_up
from anchor.server import named_blobs, run_views, views
from anchor.server.faults import require_none
from anchor.server.http import MIB, Answer, Call, Route, checked_key
from anchor.server.routes import dags
from anchor.wire.dags import RunCreated
from anchor.wire.mapreduce import JobView, Phase

KIND = "mapreduce"
_PLACES = {"/steps/0/": "/map/", "/steps/1/": "/reduce/"}


async def create(call: Call) -> Answer:
    """Run a map-reduce job."""
    job: MapReduce = call.body
    require_none(faults_in_job(job), what="The job", code="invalid_mapreduce")
    world, owner, key = call.desk.world, call.principal.name, call.idempotency_key
    await named_blobs.require(world.blobs, (("/map", job.map), ("/reduce", job.reduce)))
    graph, faults = checked(await drawn_up(world, job))
    require_none(
        [Fault(_place(fault.pointer), fault.message) for fault in faults], what="The job", code="invalid_mapreduce"
    )
    if key is None:
        return _created(await graphs.schedule(world, graph, owner=owner, kind=KIND))
    made = await graphs.schedule_once(
        world, graph, owner=owner, key=checked_key(key), digest=call.digest(CREATE), kind=KIND
    )
    return _created(made.run, replayed=made.replayed)


def _place(pointer: str) -> str:
    """Where in the request a fault of the graph made of it is."""
    for ours, theirs in _PLACES.items():
        if pointer.startswith(ours):
            return (theirs + pointer[len(ours) :]).replace("/map/payload", "/map").replace("/reduce/payload", "/reduce")
    return pointer


def _created(run: Run, *, replayed: bool = False) -> Answer:
    headers = {"location": f"/api/mapreduce/{wire_id('dag', run.id)}"}
    if replayed:
        headers["idempotent-replayed"] = "true"
    return Answer(run_views.created(run), headers=headers)


async def show(call: Call) -> JobView:
    """One job; `wait` seconds for it to change."""
    run = await dags.find(call)
    if run.kind != KIND:
        raise NotFound(
            f"{call.path['id']} is the run of a graph, not of a map-reduce job.",
            hint=f"Look at it with GET /api/dags/{call.path['id']}.",
        )
    view = await dags.show(call)
    steps = view.step_list or []
    result = None
    if view.state == RunState.SUCCEEDED:
        [task] = await call.desk.world.store.get([run.key_of(run.steps - 1)])
        result = views.result(task) if task is not None else None
    return JobView(
        id=view.id,
        name=view.name,
        state=view.state,
        reason=view.reason,
        created_at=view.created_at,
        finished_at=view.finished_at,
        version=view.version,
        phases=[
            Phase(
                name=step.id,
                state=step.state,
                task_id=step.task_id,
                done=step.items.done if step.items else 0,
                total=step.items.total if step.items else 0,
                reason=step.reason,
            )
            for step in steps
        ],
        result=result,
    )


CREATE = Route(
    method="POST",
    path="/api/mapreduce",
    handler=create,
    summary="Run a map-reduce job",
    roles=(Role.SUBMITTER,),
    body=MapReduce,
    response=RunCreated,
    status=201,
    body_bytes_max=16 * MIB,
    own_idempotency=True,
)
ROUTES = [
    CREATE,
    Route(
        method="GET",
        path="/api/mapreduce/{id}",
        handler=show,
        summary="One map-reduce job, waiting for it to change if asked",
        roles=(Role.VIEWER,),
        query=dags.ShowQuery,
        response=JobView,
    ),
]
