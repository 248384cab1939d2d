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
from anchor.server.paging import behind, next_link, read_cursor
from anchor.server.task_filter import TaskFilter, query_of, words_of
from anchor.server.task_lists import count_of, page_of
from anchor.server.veil import lifted, require_no_copy
from anchor.server.verdicts import may_have_case
from anchor.wire.rest import Created, TaskCounts, TaskResult, TaskRow, TaskView

WAIT_SECONDS_MAX = 60.0
NAMED_MAX = 100
COUNT_LOOKS_MAX = 50
"""Looks at the store (of 20,000 tasks each) that a list spends on saying how many there are."""
CURSOR = "c"


class ListQuery(TaskFilter, forbid_unknown_fields=True):
    """Which tasks, how many, and where to go on: `offset` of those that fit are passed over. With `ids`, those tasks
    and no others (up to 100, commas between them), as they are now."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None
    offset: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    ids: Annotated[str, Meta(max_length=2000)] | None = None


class CountsQuery(TaskFilter, forbid_unknown_fields=True):
    """Which tasks are counted; those that came after the task `before` are also counted apart."""

    before: str | None = None


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
    asked: ListQuery = call.query
    if asked.ids is not None:
        return Answer([views.row(task, call.desk) for task in await _named(call, asked.ids.split(","))])
    query = query_of(call, asked)
    below = read_cursor(CURSOR, asked.cursor)
    store = call.desk.world.store
    page = await page_of(store, query, below=below, limit=asked.limit, skip=asked.offset)
    headers = {}
    if query.is_counted:
        counts = await store.counts(query.owner)
        headers["x-total-count"] = str(sum(counts.values()) if query.state is None else counts.get(query.state, 0))
    elif below is None and asked.offset == 0:
        total = await count_of(store, query, looks_max=COUNT_LOOKS_MAX)
        if total.below is None:
            headers["x-total-count"] = str(sum(total.counts.values()))
    if page.below is not None:
        left = asked.offset - page.skipped
        rest = words_of(asked) | {"limit": asked.limit, "offset": left or None}
        headers["link"] = next_link("/api/tasks", CURSOR, page.below, **rest)
    return Answer([views.row(task, call.desk) for task in page.tasks], headers=headers)


async def _named(call: Call, ids: list[str]) -> list[Task]:
    """Those of the tasks that there are and the caller may see; a copy that verifies is in no list."""
    if len(ids) > NAMED_MAX:
        raise InvalidRequest(f"`ids` names {len(ids):,} tasks; {NAMED_MAX} are the most.", hint="Ask several times.")
    found = await call.desk.world.store.get([key_of("task", one) for one in ids])
    return [
        task
        for task in found
        if task is not None
        and call.owner in (None, task.owner)
        and not (task.origin is not None and task.origin.is_copy)
    ]


async def counts(call: Call) -> TaskCounts:
    """How many tasks are in each state, exactly."""
    asked: CountsQuery = call.query
    query = query_of(call, asked)
    store = call.desk.world.store
    seen = None if asked.before is None else key_of("task", asked.before)
    newer = {} if seen is None else (await count_of(store, query, above=seen)).counts
    if query.is_counted:
        every = await store.counts(query.owner)
        counted = every if query.state is None else {query.state: every[query.state]}
    else:
        older = await count_of(store, query, below=None if seen is None else behind(seen))
        counted = {state: newer.get(state, 0) + older.counts.get(state, 0) for state in State}
    return TaskCounts(
        counts={state.value: counted.get(state, 0) for state in State},
        total=sum(counted.values()),
        newer={state.value: n for state, n in newer.items()},
    )


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
        path="/api/tasks/counts",
        handler=counts,
        summary="How many tasks there are in each state",
        roles=(Role.VIEWER,),
        query=CountsQuery,
        response=TaskCounts,
    ),
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
