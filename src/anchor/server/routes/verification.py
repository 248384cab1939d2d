"""Verification: receipts of finished tasks, and the cases of those who answered otherwise than was agreed on."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.case import Case
from anchor.core.errors import Conflict, NotFound
from anchor.core.ids import key_of, wire_id
from anchor.core.items import Items
from anchor.core.task import TERMINAL
from anchor.core.verification import Round
from anchor.orchestrator import cases
from anchor.orchestrator.evidence import cases_like
from anchor.orchestrator.receipts import receipt_of
from anchor.orchestrator.whole import read_whole
from anchor.orchestrator.world import World
from anchor.server import views
from anchor.server.http import Answer, Call, Route, checked_key
from anchor.server.paging import next_link, read_cursor
from anchor.server.routes.tasks import find
from anchor.server.veil import require_open
from anchor.server.verdicts import case_row, case_view, voter_view
from anchor.wire.receipts import Receipt
from anchor.wire.rest import Created
from anchor.wire.verification import CaseAction, CaseRow, CaseView, VoterView

CURSOR = "v"
EVIDENCE_BYTES_MAX = 16 * 1024 * 1024


async def receipt(call: Call) -> Receipt:
    """Everything to check a finished task by."""
    task = await find(call)
    world = call.desk.world
    await require_open(world.store, task)
    if isinstance(task.parts, Items):
        raise Conflict(
            "The result of this task was put together from those of its items; there is no receipt of the whole.",
            hint="Ask for the receipts of its items.",
            code="made_of_items",
        )
    if task.state not in TERMINAL:
        raise Conflict(
            f"The task is {task.state}; a receipt is there once it is over.",
            hint="Wait for its end.",
            code="not_finished",
        )
    return await receipt_of(world, task)


class CasesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many cases, and where to go on."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


async def index(call: Call) -> Answer:
    """Cases, newest first."""
    query: CasesQuery = call.query
    below = read_cursor(CURSOR, query.cursor)
    found = await call.desk.world.store.cases_page(below=below, limit=query.limit, owner=call.owner)
    headers = {}
    if len(found) == query.limit:
        headers["link"] = next_link("/api/verification/cases", CURSOR, found[-1].id, limit=query.limit)
    return Answer([case_row(case) for case in found], headers=headers)


async def show(call: Call) -> CaseView:
    """One case, with its evidence."""
    return await _view(call, await _find(call))


async def _find(call: Call) -> Case:
    case = await call.desk.world.store.case(key_of("case", call.path["id"]))
    if case is None or (call.owner is not None and case.owner != call.owner):
        raise NotFound(
            f"There is no case {call.path['id']}.",
            hint="List what there is: `anchor case ls`. Evidence is removed after some days (`evidence_days`).",
        )
    return case


async def _view(call: Call, case: Case) -> CaseView:
    world = call.desk.world
    [head] = await world.store.get([case.id])
    first = head.parts.first if head is not None and isinstance(head.parts, Round) else None
    size = await world.blobs.size(case.evidence)
    evidence: Any = None
    if size is not None and size <= EVIDENCE_BYTES_MAX:
        evidence = msgspec.Raw(await read_whole(world.blobs, case.evidence))
    return case_view(
        case,
        first,
        evidence,
        until=case.opened_at + call.desk.evidence_ms if call.desk.evidence_ms else None,
        voters=[await _voter(world, vote.node, case.runtime) for vote in case.votes],
        alike=await cases_like(world, case),
    )


async def _voter(world: World, name: str, runtime: str) -> VoterView:
    node = await world.store.node(name)
    return voter_view(name, node, views.node_status(node, world) if node is not None else "gone", runtime)


async def clear(call: Call) -> CaseView:
    """The dissenters were right, or cannot help it."""
    case = await _find(call)
    return await _view(call, await cases.clear(call.desk.world, case.id, by=call.principal.name, reason=_reason(call)))


async def block(call: Call) -> CaseView:
    """The dissenters work here no more."""
    case = await _find(call)
    return await _view(call, await cases.block(call.desk.world, case.id, by=call.principal.name, reason=_reason(call)))


async def rerun(call: Call) -> Answer:
    """The task again, on more nodes."""
    case = await _find(call)
    key = call.idempotency_key
    task = await cases.rerun(
        call.desk.world,
        case.id,
        by=call.principal.name,
        reason=_reason(call),
        key="" if key is None else f"{call.principal.name} {checked_key(key)}",
    )
    return Answer(views.created(task), headers={"location": f"/api/tasks/{wire_id('task', task.id)}"})


def _reason(call: Call) -> str:
    action: CaseAction = call.body
    return action.reason


ROUTES = [
    Route(
        method="GET",
        path="/api/tasks/{id}/receipt",
        handler=receipt,
        summary="Everything to check a finished task by, offline: `anchor verify`",
        roles=(Role.VIEWER,),
        response=Receipt,
    ),
    Route(
        method="GET",
        path="/api/verification/cases",
        handler=index,
        summary="List cases: answers that contradict what was agreed on, newest first",
        roles=(Role.VIEWER,),
        query=CasesQuery,
        response=list[CaseRow],
    ),
    Route(
        method="GET",
        path="/api/verification/cases/{id}",
        handler=show,
        summary="One case with its evidence: input, votes, where they differ, timings, signatures",
        roles=(Role.VIEWER,),
        response=CaseView,
    ),
    *(
        Route(
            method="POST",
            path=f"/api/verification/cases/{{id}}/{verb}",
            handler=handler,
            summary=summary,
            roles=(Role.OPERATOR,),
            body=CaseAction,
            response=CaseView,
            status=202,
        )
        for verb, handler, summary in (
            ("clear", clear, "Give the dissenters of a case their reputation back"),
            ("block", block, "Refuse the dissenters of a case connections and work"),
        )
    ),
    Route(
        method="POST",
        path="/api/verification/cases/{id}/rerun",
        handler=rerun,
        summary="Run the task of a case again, on more nodes",
        roles=(Role.OPERATOR,),
        body=CaseAction,
        response=Created,
        status=201,
    ),
]
