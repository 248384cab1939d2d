"""The rule of epochs: what an agent brings from before a restore counts no more, and an old copy of the store takes in
nobody who knows a newer one."""

from collections.abc import Sequence
from typing import NoReturn

from anchor.core.attempt import Outcome, Reason
from anchor.core.errors import FailureCode, Unavailable
from anchor.core.task import Task, holds
from anchor.orchestrator.audit import note, note_refused
from anchor.orchestrator.settle import settle_held
from anchor.orchestrator.world import World

RETRY_SECONDS = 60


def is_unknown(task: Task | None, attempt: int) -> bool:
    """Whether the truth never heard of this attempt: it was made by a store that remembered more."""
    return task is None or attempt > task.attempt


async def give_up_held(world: World, node: str, held: Sequence[tuple[int, int]], *, ours: int) -> list[tuple[int, int]]:
    """Drop all that an agent of an older epoch holds; attempts the truth does not know are listed in the audit trail.

    One that is the node's own all the same was leased after the restore to an agent that never says its epoch
    (protocol 1): it is given back uncharged, since nobody can tell it from an attempt with the same number before.
    """
    tasks = await world.store.get([task for task, _ in held])
    pairs = list(zip(held, tasks, strict=True))
    await note_refused(
        world,
        node,
        [one for one, task in pairs if is_unknown(task, one[1])],
        f"it was made before the store was restored (epoch {ours} now), and the backup does not know it.",
    )
    own = [
        task
        for (_, attempt), task in pairs
        if task is not None and holds(task, node=node, session=task.session, attempt=attempt)
    ]
    await settle_held(
        world,
        own,
        outcome=Outcome.RELEASED,
        reason=Reason(FailureCode.RELEASED, f"{node} may hold it from before the store was restored."),
    )
    return list(held)


async def refuse_newer(world: World, node: str, *, epoch: int, ours: int) -> NoReturn:
    """Refuse an agent that knows a newer epoch than the store's, and say so once for each node. Always raises."""
    message = (
        f"{node} was told epoch {epoch} of the store, which is at {ours}: this server runs on an old copy of its data."
    )
    if world.newer_epochs.get(node) != epoch:
        await note(world, kind="newer_epoch", subject=node, message=message, by=node)
        world.newer_epochs[node] = epoch
    raise Unavailable(
        message,
        hint="Put the newest data back, or stop the server and declare this data the restored one: "
        f"`anchor restore --adopt-epoch {epoch}`.",
        code="newer_epoch",
        retry_after_seconds=RETRY_SECONDS,
    )
