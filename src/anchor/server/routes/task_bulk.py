"""Do something to all tasks that fit, some hundred at a time, and say what came of each."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError, FailureCode, InvalidRequest, NotFound
from anchor.core.ids import key_of, wire_id
from anchor.core.task import TERMINAL, State, Task
from anchor.orchestrator.audit import note
from anchor.orchestrator.bulk import retried_before, run_again
from anchor.orchestrator.cancel import cancel_all
from anchor.orchestrator.once import Claimed, once
from anchor.server.http import Answer, Call, Route, checked_key
from anchor.server.paging import behind, read_cursor
from anchor.server.task_filter import TaskFilter, query_of, words_of
from anchor.server.task_lists import page_of
from anchor.wire.rest import BulkFailure, BulkOutcome

TASKS_MAX = 500
"""Tasks that one request treats."""
CURSOR = "b"
_TOLD = {"cancel": ("tasks_cancelled", "cancelled"), "retry": ("tasks_run_again", "ran again")}


class Bulk(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What to do, and to which tasks: those that fit `filter` (an empty one: all), or those of `ids`. Of those that
    fit, `before` leaves out whatever came after that task; `cursor` goes on where the answer before stopped."""

    action: Literal["cancel", "retry"]
    filter: TaskFilter | None = None
    ids: Annotated[list[str], Meta(max_length=TASKS_MAX)] | None = None
    before: str | None = None
    cursor: str | None = None


class _Chosen(msgspec.Struct):
    """The tasks of one request, those it named in vain, where the next one goes on, and how many an earlier try chose
    that are not among these."""

    tasks: list[Task]
    failed: list[BulkFailure]
    below: int | None
    elsewhere: int = 0


async def bulk(call: Call) -> Answer:
    """Cancel tasks, or run them again."""
    wish: Bulk = call.body
    if (wish.filter is None) == (wish.ids is None):
        raise InvalidRequest(
            "A bulk needs either `filter` or `ids`.", hint="An empty `filter` means every task that you see."
        )
    key = call.idempotency_key
    if key is None:
        keys = call.desk.world.keys.take(TASKS_MAX, now_ms=call.desk.world.clock.now())
        return Answer(await _treat(call, wish, Claimed(keys, fresh=True, done=False)))
    world, owner, digest = call.desk.world, call.principal.name, call.digest(BULK)
    async with once(world, owner=owner, key=checked_key(key), digest=digest, count=TASKS_MAX) as claimed:
        outcome = await _treat(call, wish, claimed)
    return Answer(outcome, headers={} if claimed.fresh else {"idempotent-replayed": "true"})


async def _treat(call: Call, wish: Bulk, claimed: Claimed) -> BulkOutcome:
    if wish.action == "retry":
        return await _retry(call, wish, claimed)
    # Once more does no more: what is cancelled stays so.
    return await _cancel(call, wish)


async def _chosen(call: Call, wish: Bulk, below: int | None) -> _Chosen:
    store = call.desk.world.store
    if wish.filter is not None:
        page = await page_of(store, query_of(call, wish.filter), below=below, limit=TASKS_MAX)
        return _Chosen(page.tasks, [], page.below)
    ids = list(dict.fromkeys(wish.ids or ()))
    found = await store.get([key_of("task", one) for one in ids])
    chosen = _Chosen([], [], None)
    for one, task in zip(ids, found, strict=True):
        if task is None or call.owner not in (None, task.owner):
            chosen.failed.append(BulkFailure(one, NotFound.code, f"There is no task {one}."))
        elif task.origin is not None and task.origin.is_copy:
            head = wire_id("task", task.origin.head)
            chosen.failed.append(BulkFailure(one, "copy_of_a_task", f"It is a copy of {head}; do it to that."))
        else:
            chosen.tasks.append(task)
    return chosen


def _below(wish: Bulk) -> int | None:
    below = read_cursor(CURSOR, wish.cursor)
    if below is None and wish.before is not None:
        below = behind(key_of("task", wish.before))
    return below


async def _note(call: Call, wish: Bulk, tasks: list[Task]) -> None:
    """In the audit trail before it is done; what then fails, the answer says."""
    kind, verb = _TOLD[wish.action]
    words = {} if wish.filter is None else words_of(wish.filter)
    fitting = " ".join(f"{name}:{word}" for name, word in words.items() if word is not None)
    among = "by their ids" if wish.filter is None else f"that fit {fitting}" if fitting else "of all"
    first, last = wire_id("task", tasks[0].id), wire_id("task", tasks[-1].id)
    message = f"{call.principal.name} {verb} {len(tasks):,} tasks {among}, from {first} to {last}."
    await note(call.desk.world, kind=kind, subject="tasks", message=message, by=call.principal.name)


async def _cancel(call: Call, wish: Bulk) -> BulkOutcome:
    chosen = await _chosen(call, wish, _below(wish))
    live = [task for task in chosen.tasks if task.state not in TERMINAL and task.state is not State.CANCELLING]
    done: set[int] = set()
    if live:
        await _note(call, wish, live)
        reason = Reason(FailureCode.CANCELLED, f"Cancelled by {call.principal.name}.")
        after = await cancel_all(call.desk.world, [task.id for task in live], reason=reason)
        settled = {task.id: task.state for task in after}
        done = {task for task, state in settled.items() if state in {State.CANCELLED, State.CANCELLING}}
        for task in live:
            if settled.get(task.id, task.state) not in TERMINAL | {State.CANCELLING}:
                busy = "It changed too often to be cancelled; try again."
                chosen.failed.append(BulkFailure(wire_id("task", task.id), "unavailable", busy))
    return _outcome(chosen, len(done))


async def _retry(call: Call, wish: Bulk, claimed: Claimed) -> BulkOutcome:
    world, keys = call.desk.world, claimed.keys
    below = _below(wish)
    # Neither what this request made, nor what came after it.
    below = keys[0] if below is None else min(below, keys[0])
    if claimed.done and (made := await retried_before(world, keys)):
        # Below the last one that was run again, nothing has been: whatever is matched there is still to be looked at.
        return BulkOutcome(len(made), len(made), 0, [], None if wish.filter is None else wire_id(CURSOR, min(made)))
    chosen = await _chosen(call, wish, below)
    over = [task for task in chosen.tasks if task.state in TERMINAL]
    if claimed.done or not over:
        return _outcome(chosen, 0)
    await _note(call, wish, over)
    again = await run_again(world, over, owner=call.principal.name, keys=keys, fresh=claimed.fresh)
    chosen.failed += [_failure(task, error) for task, error in again.failed.items()]
    if chosen.below is not None:
        # What an earlier try did is behind us, even where it stands further down by now.
        chosen.below = min([chosen.below, *again.before])
    chosen.elsewhere = len(set(again.before) - {task.id for task in chosen.tasks})
    return _outcome(chosen, len(again.done))


def _failure(task: int, error: AnchorError) -> BulkFailure:
    return BulkFailure(wire_id("task", task), error.code, error.message)


def _outcome(chosen: _Chosen, done: int) -> BulkOutcome:
    named = {one.id for one in chosen.failed} - {wire_id("task", task.id) for task in chosen.tasks}
    matched = len(chosen.tasks) + len(named) + chosen.elsewhere
    cursor = None if chosen.below is None else wire_id(CURSOR, chosen.below)
    return BulkOutcome(matched, done, matched - done - len(chosen.failed), chosen.failed, cursor)


BULK = Route(
    method="POST",
    path="/api/tasks/bulk",
    handler=bulk,
    summary="Cancel tasks or run them again, up to 500 of those that fit in one request",
    roles=(Role.SUBMITTER,),
    body=Bulk,
    response=BulkOutcome,
    own_idempotency=True,
)
ROUTES = [BULK]
