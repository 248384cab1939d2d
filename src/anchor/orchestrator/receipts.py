"""A finished task with all there is to check it by: what its nodes were given, what they answered, their seals."""

from collections.abc import Iterable
from hashlib import sha256

from anchor.core.attempt import Result
from anchor.core.ids import STEP, wire_id
from anchor.core.spec import limits_for, need_of_shape
from anchor.core.task import Task
from anchor.core.verification import Round, Verdict, Verify
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.whole import read_whole
from anchor.orchestrator.world import World
from anchor.wire.receipts import (
    FORMAT,
    Receipt,
    ReceiptAnswer,
    ReceiptRound,
    ReceiptVote,
    answer_shown,
    limits_shown,
)
from anchor.wire.seals import result_digest

RESULTS_BYTES_MAX = 16 * 1024 * 1024
"""How much of results is in a receipt; what is above is there by its SHA-256 only."""
TEXT_BYTES_MAX = 4 * 1024 * 1024
"""How much of one result."""


async def receipt_of(world: World, task: Task) -> Receipt:
    """The receipt of a task; of a verified one, with the votes of its verdict.

    What retention has removed since is not in it: copies that are gone leave no votes, nodes that are gone no keys.
    """
    payload = await payload_of(world, task)
    runtime = need_of_shape(task.shape).runtime
    verification: ReceiptRound | None = None
    answer: ReceiptAnswer | None = None
    results = [task.result]
    answers: list[ReceiptAnswer] = []
    if isinstance(task.parts, Round) and task.parts.verdict is not None:
        copies = await _copies(world, task.parts, task.parts.verdict)
        verification = _round(task, task.parts.verdict, copies)
        answers = [vote.answer for vote in verification.votes]
        answer = next((vote.answer for vote in verification.votes if vote.copy == verification.winner), None)
        results += [copy.result for copy in copies.values()]
    elif task.attempts:
        answer = answer_shown(task.id, task.attempts[-1], task.result)
        answers = [answer]
    return Receipt(
        format=FORMAT,
        task=wire_id("task", task.id),
        name=task.spec.name,
        owner=task.owner,
        state=task.state.value,
        runtime=runtime,
        limits=limits_shown(limits_for(runtime, task.spec.limits)),
        payload=payload.decode(),
        payload_sha256=task.payload_blob or sha256(payload).hexdigest(),
        answer=answer,
        results=await _texts(world, results),
        keys=await _keys(world, answers),
        verification=verification,
    )


async def _copies(world: World, parts: Round, verdict: Verdict) -> dict[int, Task]:
    """The copies that voted, by their numbers."""
    found = await world.store.get([parts.first + vote.copy * STEP for vote in verdict.votes])
    pairs = zip(verdict.votes, found, strict=True)
    return {vote.copy: copy for vote, copy in pairs if copy is not None and copy.attempts}


def _round(task: Task, verdict: Verdict, copies: dict[int, Task]) -> ReceiptRound:
    votes = []
    for vote in verdict.votes:
        copy = copies.get(vote.copy)
        if copy is not None:
            answer = answer_shown(copy.id, copy.attempts[-1], copy.result)
            votes.append(ReceiptVote(vote.copy, vote.owner, vote.agreed, vote.answer, answer))
    wish = task.spec.verify
    policy = wish if isinstance(wish, Verify) else Verify(policy=wish)
    return ReceiptRound(policy, verdict.agreed, verdict.winner, verdict.spared, votes)


async def _texts(world: World, results: Iterable[Result | None]) -> dict[str, str]:
    """Results as JSON text by their SHA-256, without those that are too large, or gone, or no text."""
    texts: dict[str, str] = {}
    left = RESULTS_BYTES_MAX
    for result in results:
        if result is None or (digest := result_digest(result)) in texts:
            continue
        size = await world.blobs.size(result.blob) if result.blob else len(result.json)
        if size is None or size > min(left, TEXT_BYTES_MAX):
            continue
        content = result.json
        if result.blob:
            content = await read_whole(world.blobs, result.blob)
        try:
            texts[digest] = content.decode()
        except UnicodeDecodeError:
            continue
        left -= size
    return texts


async def _keys(world: World, answers: Iterable[ReceiptAnswer]) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for name in dict.fromkeys(answer.node for answer in answers):
        node = await world.store.node(name)
        if node is not None:
            keys[name] = node.public_key
    return keys
