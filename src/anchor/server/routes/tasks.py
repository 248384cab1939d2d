"""Submit, list, read, cancel and retry tasks."""

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from anchor.core.access import Role
from anchor.core.errors import Conflict, Fault, InvalidRequest, NotFound, TooLarge
from anchor.core.ids import key_of, keys_from, wire_id
from anchor.core.spec import TASKS_PER_REQUEST_MAX, Payload, TaskSpec
from anchor.core.spec_faults import faults_in
from anchor.core.task import TERMINAL, State, Task
from anchor.core.verification import Round
from anchor.orchestrator.cancel import cancel
from anchor.orchestrator.explain import Why, explain
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.submit import Submitted, submit, submit_once
from anchor.ports.bus import Watch
from anchor.server import named_blobs, views
from anchor.server.faults import require_none
from anchor.server.http import MIB, Answer, Call, Route, checked_key
from anchor.server.paging import next_link, read_cursor
from anchor.server.veil import lifted, require_no_copy
from anchor.server.verdicts import may_have_case
from anchor.wire.rest import Created, TaskResult, TaskRow, TaskView

WAIT_SECONDS_MAX = 60.0
CURSOR = "c"


class ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which tasks, how many, and where to go on."""

    state: str | None = None
    label: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


class WaitQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many seconds to wait for the task to end (at most 60)."""

    wait: Annotated[float, Meta(ge=0)] = 0.0


async def create(call: Call) -> Answer:
    """One task, or an array of them."""
    specs: list[TaskSpec]
    one = isinstance(call.body, TaskSpec)
    specs = [call.body] if one else call.body
    if one and len(call.raw) > MIB:
        raise TooLarge(
            "One task may be at most 1 MiB of JSON.",
            hint="Upload its module or input with PUT /api/blobs/{sha256} and name it as sha256:….",
        )
    if not one and not 1 <= len(specs) <= TASKS_PER_REQUEST_MAX:
        raise InvalidRequest(
            f"A request carries 1 to {TASKS_PER_REQUEST_MAX:,} tasks; this one has {len(specs):,}.",
            hint="Split it into several requests.",
        )
    faults: list[Fault] = []
    for at, spec in enumerate(specs):
        faults.extend(faults_in(spec, "" if one else f"/{at}"))
    require_none(faults, what="The task", code="invalid_task")
    named = ((at, spec.payload) for at, spec in enumerate(specs) if spec.payload is not None)
    await named_blobs.require(
        call.desk.world.blobs, (("/payload" if one else f"/{at}/payload", payload) for at, payload in named)
    )
    made = await _submit(call, specs)
    return _one_created(made) if one else Answer([views.created(task) for task in made.tasks], headers=_replay(made))


def _one_created(made: Submitted) -> Answer:
    location = {"location": f"/api/tasks/{wire_id('task', made.tasks[0].id)}"}
    return Answer(views.created(made.tasks[0]), headers=location | _replay(made))


def _replay(made: Submitted) -> dict[str, str]:
    return {"idempotent-replayed": "true"} if made.replayed else {}


async def _submit(call: Call, specs: list[TaskSpec], retry_of: int = 0) -> Submitted:
    world = call.desk.world
    owner = call.principal.name
    key = call.idempotency_key
    if key is None:
        return Submitted(await submit(world, specs, owner=owner, retry_of=retry_of))
    digest = call.digest(CREATE if retry_of == 0 else RETRY)
    made = await submit_once(world, specs, owner=owner, key=checked_key(key), digest=digest, retry_of=retry_of)
    if not made.tasks:
        raise NotFound(
            "The tasks of this Idempotency-Key are past their retention and gone.", hint="Use a new key to run again."
        )
    return made


async def index(call: Call) -> Answer:
    """Tasks, newest first."""
    query: ListQuery = call.query
    state = _state(query.state)
    below = read_cursor(CURSOR, query.cursor)
    store = call.desk.world.store
    page = await store.page(below=below, limit=query.limit, state=state, label=query.label, owner=call.owner)
    headers = {}
    if query.label is None:
        counts = await store.counts(call.owner)
        headers["x-total-count"] = str(sum(counts.values()) if state is None else counts.get(state, 0))
    if page.below is not None:
        headers["link"] = next_link(
            "/api/tasks", CURSOR, page.below, limit=query.limit, state=query.state, label=query.label
        )
    return Answer([views.row(task, call.desk) for task in page.tasks], headers=headers)


def _state(name: str | None) -> State | None:
    if name is None:
        return None
    if name == "running":
        return State.LEASED
    try:
        return State(name)
    except ValueError:
        raise InvalidRequest(
            f"There is no task state {name!r}.", hint=f"Use one of {', '.join(State)}.", code="invalid_state"
        ) from None


async def find(call: Call) -> Task:
    """The task of the path, if the caller may see it, and as much of it as may be seen."""
    key = key_of("task", call.path["id"])
    [task] = await call.desk.world.store.get([key])
    if task is None or (call.owner is not None and task.owner != call.owner):
        raise NotFound(
            f"There is no task {call.path['id']}.", hint="List what there is: `anchor task ls`, or GET /api/tasks."
        )
    return await lifted(call.desk.world.store, task)


async def show(call: Call) -> TaskView:
    """One task, whole."""
    return await _view(call, await find(call))


async def _view(call: Call, task: Task) -> TaskView:
    world = call.desk.world
    has_case = may_have_case(task) and await world.store.case(task.id) is not None
    view = views.view(task, await payload_of(world, task), call.desk, has_case=has_case)
    if isinstance(task.parts, Round) and task.parts.verdict is not None:
        copies = await world.store.get(keys_from(task.parts.first, task.parts.asked))
        view = replace(view, usage=views.usage_of(copies))
    return view


async def result(call: Call) -> TaskResult:
    """What came of a task; `wait` seconds for it to end."""
    task = await find(call)
    if task.state in TERMINAL or call.query.wait <= 0:
        return views.result(task)
    world = call.desk.world
    until = world.clock.now() + int(min(call.query.wait, WAIT_SECONDS_MAX) * 1000)
    with world.bus.watch_task(task.id) as watch:
        task = await find(call)
        while task.state not in TERMINAL and (left := until - world.clock.now()) > 0:
            if not await changed(call, watch, left / 1000):
                break
            task = await find(call)
    return views.result(task)


async def changed(call: Call, watch: Watch, seconds: float) -> bool:
    """Whether something happened to the task before the time was up or the server stopped."""
    changed = asyncio.create_task(watch.changed(seconds))
    stopping = asyncio.create_task(call.desk.stopping.wait())
    try:
        await asyncio.wait({changed, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return changed.done() and changed.result()
    finally:
        changed.cancel()
        stopping.cancel()
        await asyncio.gather(changed, stopping, return_exceptions=True)


async def stop(call: Call) -> TaskView:
    """Cancel a task."""
    task = await find(call)
    require_no_copy(task, "cancelled")
    return await _view(call, await cancel(call.desk.world, task.id, by=call.principal.name))


async def retry(call: Call) -> Answer:
    """Submit a finished task again, as a new one."""
    task = await find(call)
    require_no_copy(task, "retried")
    if task.state not in TERMINAL:
        raise Conflict(
            f"The task is {task.state}; only a finished one can be run again.",
            hint="Wait for its end, or cancel it first.",
            code="not_finished",
        )
    payload = await payload_of(call.desk.world, task)
    spec = replace(task.spec, payload=msgspec.json.decode(payload, type=Payload)) if payload else task.spec
    return _one_created(await _submit(call, [spec], retry_of=task.id))


async def why(call: Call) -> Why:
    """Why a task is where it is, and for each node why it does not run it."""
    return await explain(call.desk.world, await find(call))


CREATE = Route(
    method="POST",
    path="/api/tasks",
    handler=create,
    summary="Submit one task, or an array of up to 10,000",
    roles=(Role.SUBMITTER,),
    body=TaskSpec | list[TaskSpec],
    response=Created | list[Created],
    status=201,
    body_bytes_max=16 * MIB,
    own_idempotency=True,
)
RETRY = Route(
    method="POST",
    path="/api/tasks/{id}/retry",
    handler=retry,
    summary="Run a finished task again, as a new task",
    roles=(Role.SUBMITTER,),
    response=Created,
    status=201,
    own_idempotency=True,
)
ROUTES = [
    CREATE,
    Route(
        method="GET",
        path="/api/tasks",
        handler=index,
        summary="List tasks, newest first",
        roles=(Role.VIEWER,),
        query=ListQuery,
        response=list[TaskRow],
    ),
    Route(
        method="GET",
        path="/api/tasks/{id}/result",
        handler=result,
        summary="The result of a task, waiting for it if asked",
        roles=(Role.VIEWER,),
        query=WaitQuery,
        response=TaskResult,
    ),
    Route(
        method="GET",
        path="/api/tasks/{id}",
        handler=show,
        summary="One task",
        roles=(Role.VIEWER,),
        response=TaskView,
    ),
    Route(
        method="GET",
        path="/api/tasks/{id}/why",
        handler=why,
        summary="Why a task waits",
        roles=(Role.VIEWER,),
        response=Why,
    ),
    Route(
        method="POST",
        path="/api/tasks/{id}/cancel",
        handler=stop,
        summary="Cancel a task",
        roles=(Role.SUBMITTER,),
        response=TaskView,
        status=202,
    ),
    RETRY,
]
