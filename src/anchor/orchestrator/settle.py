"""Step three: an attempt ends, and the truth says so exactly once."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from anchor.core.attempt import Ending, Outcome, Reason, took_its_node_down
from anchor.core.errors import FailureCode
from anchor.core.task import TERMINAL, State, Task, holds
from anchor.core.task import settle as settled
from anchor.failpoints import reached
from anchor.orchestrator.blame import blame, count_faults, praise
from anchor.orchestrator.relay import hint
from anchor.orchestrator.world import World
from anchor.ports.store import Swap

TRIES_MAX = 8
"""How often a compare-and-set is tried against other writers before the node is asked to report again."""


class Verdict(msgspec.Struct, frozen=True):
    """Which endings are in the truth (now or already) and which were fenced off."""

    recorded: list[Ending]
    stale: list[Ending]


Check = Callable[[Task, Ending], Awaitable[Ending]]
"""Says what counts of the ending of a copy: the ending as it is, or an error where its seal is wrong."""


async def settle(
    world: World, *, node: str, session: int, endings: Sequence[Ending], check: Check | None = None
) -> Verdict:
    """Record how attempts of a node's session ended.

    An ending counts only for the live (node, session, attempt). One that was recorded before is recorded still, so a
    report may be repeated. Endings in neither list of the verdict should be reported again: they lost every race, or
    their attempt is still the node's own under another of its sessions, which only a new hello can sort out.
    `check` looks at the endings of copies before they count as votes.
    """
    recorded: list[Ending] = []
    stale: list[Ending] = []
    requeued: list[Task] = []
    changed: list[int] = []
    downed: list[Task] = []
    faulty: list[Ending] = []
    seat = world.fleet.seat(node, session)
    proves = False
    waiting: Sequence[Ending] = endings
    for _ in range(TRIES_MAX):
        if not waiting:
            break
        now = world.clock.now()
        tasks = await world.store.get([ending.task for ending in waiting])
        swaps: list[Swap] = []
        decided: list[Ending] = []
        for ending, task in zip(waiting, tasks, strict=True):
            if task is None:
                stale.append(ending)
            elif holds(task, node=node, session=session, attempt=ending.attempt):
                is_copy = task.origin is not None and task.origin.is_copy
                counts = await check(task, ending) if check is not None and is_copy else ending
                swaps.append(Swap(task, settled(task, counts, now=now, chance=world.chance.random())))
                decided.append(counts)
            elif any(past.number == ending.attempt and past.node == node for past in task.attempts):
                recorded.append(ending)
            elif not holds(task, node=node, session=task.session, attempt=ending.attempt):
                stale.append(ending)
        again: list[Ending] = []
        written = await world.store.swap(swaps)
        reached("settle.written")
        for ending, swap, done in zip(decided, swaps, written, strict=True):
            if not done:
                again.append(ending)
                continue
            recorded.append(ending)
            changed.append(ending.task)
            if ending.outcome is Outcome.SUCCEEDED:
                proves = True
            else:
                faulty.append(ending)
                if took_its_node_down(ending):
                    downed.append(swap.new)
            if swap.new.state in (State.QUEUED, State.BACKOFF):
                requeued.append(swap.new)
            elif swap.new.origin is not None and swap.new.state in TERMINAL:
                world.ended.append(swap.new)
        if world.onlooker is not None:
            world.onlooker([swap.new for swap, done in zip(swaps, written, strict=True) if done])
        waiting = again
    _free_slots(world, node, session, recorded)
    _free_slots(world, node, session, stale)
    if changed:
        world.bus.tasks_changed(changed)
        world.bus.work_waits()
    await hint(world, requeued)
    if proves and seat is not None and seat.suspect:
        await praise(world, node)
    if downed:
        await blame(world, node, session, downed)
    if faulty:
        await count_faults(world, node, faulty)
    reached("settle.done")
    return Verdict(recorded, stale)


async def settle_held(world: World, tasks: Sequence[Task], *, outcome: Outcome, reason: Reason) -> None:
    """End the live attempts of these tasks on the server's own account: lost, or never delivered."""
    by_session: dict[tuple[str, int], list[Ending]] = defaultdict(list)
    for task in tasks:
        ending = Ending(task=task.id, attempt=task.attempt, outcome=outcome, reason=reason)
        by_session[task.node, task.session].append(ending)
    for (node, session), endings in by_session.items():
        await settle(world, node=node, session=session, endings=endings)


def never_arrived(node: str) -> Reason:
    """Why an attempt ended that its node never heard of: nobody's fault, so it goes with RELEASED."""
    return Reason(FailureCode.RELEASED, f"The assignment never reached {node}.")


def _free_slots(world: World, node: str, session: int, endings: Sequence[Ending]) -> None:
    seat = world.fleet.seat(node, session)
    if seat is None:
        return
    for ending in endings:
        held = seat.held.get(ending.task)
        if held is not None and held[0] == ending.attempt:
            del seat.held[ending.task]
            seat.running.discard(ending.task)
