"""The seals of copies are checked before their answers count as votes."""

from hashlib import sha256

import structlog
from msgspec.structs import replace

from anchor.core.attempt import Ending, Outcome, Reason
from anchor.core.errors import FailureCode
from anchor.core.node import Node
from anchor.core.task import Task
from anchor.orchestrator.world import World
from anchor.wire.seals import given_of, is_sealed, statement_of

log = structlog.get_logger("anchor.link")
ANSWERS = frozenset({Outcome.SUCCEEDED, Outcome.ERRORED, Outcome.TIMED_OUT, Outcome.LIMIT_EXCEEDED})
"""Endings that may count as a vote; the others say nothing about the task."""


async def seal_checked(world: World, node: Node, task: Task, ending: Ending) -> Ending:
    """The ending of a copy as it counts: an error of its node where the seal is not one of exactly this ending."""
    if ending.outcome not in ANSWERS:
        return ending
    digest = task.payload_blob
    if not digest:
        [payload] = await world.store.payloads([task.id])
        digest = sha256(payload).hexdigest()
    said = statement_of(given_of(task, ending.attempt, digest), ending, node=node.id, session=node.session)
    if is_sealed(ending.seal, [node.public_key], said):
        return ending
    log.warning("a wrong seal", node=node.id, task=task.id, attempt=ending.attempt)
    reason = Reason(
        FailureCode.SEAL_INVALID,
        f"{node.id} did not sign this answer, or signed another one.",
        "It is not counted, and tried again. An agent older than protocol 3 signs none: update it.",
    )
    return replace(ending, outcome=Outcome.ERRORED, result=None, reason=reason, seal=b"")
