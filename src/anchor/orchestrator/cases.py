"""What somebody decides about a case: it is explained, its dissenters are blocked, or the task runs again."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from anchor.core.attempt import Reason
from anchor.core.case import Case, CaseState, Evidence
from anchor.core.errors import Conflict, NotFound, Unavailable
from anchor.core.ids import wire_id
from anchor.core.node import Status
from anchor.core.spec import Payload, TaskSpec
from anchor.core.task import Task
from anchor.core.verification import COPIES_MAX, Verify, policy_of
from anchor.failpoints import reached
from anchor.orchestrator.audit import note
from anchor.orchestrator.blame import absolve
from anchor.orchestrator.nodes import set_status
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.submit import submit, submit_once
from anchor.orchestrator.whole import read_whole
from anchor.orchestrator.world import World

TRIES_MAX = 8


async def clear(world: World, case_id: int, *, by: str, reason: str = "") -> Case:
    """The dissent is explained: the reputation of those nodes is as it would be without it, and a quarantine that hung
    on it is over. Safe to repeat: a crash between the two is mended by that."""
    case = await _change(world, case_id, CaseState.CLEARED, by=by, reason=reason)
    await absolve(world, case.dissenters, {case.id})
    return case


async def block(world: World, case_id: int, *, by: str, reason: str = "") -> Case:
    """The dissenters get no work any more, and lose what they have. Safe to repeat."""
    case = await _change(world, case_id, CaseState.BLOCKED, by=by, reason=reason)
    for node in case.dissenters:
        if await world.store.node(node) is not None:
            await set_status(world, node, Status.BLOCKED, by=by)
    return case


async def rerun(world: World, case_id: int, *, by: str, reason: str = "", copies: int = 0, key: str = "") -> Task:
    """The task again, with two copies more than voted (or `copies`), more than half of which have to agree; linked to
    the case. With a `key` it runs again once, however often it is asked for."""
    case = await _case(world, case_id)
    spec = await _spec(world, case, copies or len(case.votes) + 2)
    message = f"The task of {wire_id('case', case.id)} runs again by {by}. {reason}".strip()
    await note(world, kind="case_rerun", subject=wire_id("case", case.id), message=message, by=by)
    task = await _submitted(world, spec, case, key)
    await _write(world, case_id, lambda old: _linked(old, task.id))
    return task


async def _submitted(world: World, spec: TaskSpec, case: Case, key: str) -> Task:
    if not key:
        [task] = await submit(world, [spec], owner=case.owner, retry_of=case.id)
        return task
    # No Idempotency-Key of a user has a blank at its beginning.
    once = f" {wire_id('case', case.id)} {key}"
    made = await submit_once(world, [spec], owner=case.owner, key=once, digest=once, retry_of=case.id)
    if not made.tasks:
        raise NotFound("What ran it again with this key is past its retention and gone.", hint="Use a new key.")
    return made.tasks[0]


def _linked(case: Case, task: int) -> Case:
    return case if task in case.reruns else replace(case, ver=case.ver + 1, reruns=(*case.reruns, task))


async def _spec(world: World, case: Case, copies: int) -> TaskSpec:
    copies = min(copies, COPIES_MAX)
    [head] = await world.store.get([case.id])
    if head is not None:
        payload = await payload_of(world, head)
        policy = policy_of(head.spec.verify) or Verify()
        spec = head.spec
    else:
        raw = await read_whole(world.blobs, case.evidence)
        evidence = msgspec.json.decode(raw, type=Evidence)
        payload = bytes(evidence.payload)
        if evidence.payload_blob:
            payload = await read_whole(world.blobs, evidence.payload_blob)
        policy = evidence.verify
        spec = TaskSpec(name=evidence.name, limits=evidence.limits)
    verify = replace(policy, policy="quorum", copies=copies, agree=copies // 2 + 1, copies_max=0)
    there = None if payload in (b"", b"null") else msgspec.json.decode(payload, type=Payload)
    return replace(spec, payload=there, verify=verify)


async def _change(world: World, case_id: int, state: CaseState, *, by: str, reason: str) -> Case:
    case = await _case(world, case_id)
    name = wire_id("case", case_id)
    if case.state is state:
        return case
    if case.state is not CaseState.OPEN:
        raise Conflict(
            f"The case was {case.state} already.",
            hint="Undo it at its nodes: `anchor node resume` or `anchor node block`.",
            code="case_closed",
        )
    why = Reason(str(state), f"{state.capitalize()} by {by}." + (f" {reason}" if reason else ""))
    await note(world, kind=f"case_{state}", subject=name, message=f"{name}: {why.message}", by=by)
    return await _write(world, case_id, lambda old: replace(old, ver=old.ver + 1, state=state, reason=why))


async def _case(world: World, case_id: int) -> Case:
    case = await world.store.case(case_id)
    if case is None:
        raise NotFound(
            f"There is no case {wire_id('case', case_id)}.",
            hint="List what there is: `anchor case ls`. Evidence is removed after some days (`evidence_days`).",
        )
    return case


async def _write(world: World, case_id: int, change: Callable[[Case], Case]) -> Case:
    for _ in range(TRIES_MAX):
        old = await _case(world, case_id)
        new = change(old)
        if new is old:
            return old
        if await world.store.swap_case(old, new):
            reached("cases.written")
            return new
    raise Unavailable("The case changed too often.", hint="Try again.", retry_after_seconds=1)
