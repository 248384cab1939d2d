"""Many finished tasks are run again at once, each as a new task, and none twice for one Idempotency-Key."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from anchor.core.errors import AnchorError, Unavailable
from anchor.core.spec import Payload
from anchor.core.task import Task
from anchor.orchestrator.enter import drafted
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.submit import hand_in
from anchor.orchestrator.world import World

AT_ONCE = 50
"""Tasks whose payloads are in memory at a time."""


class RunAgain(msgspec.Struct, frozen=True):
    """The keys of the tasks that were run again, why others could not be, and which of the first an earlier try of the
    same request had run again already."""

    done: list[int]
    failed: dict[int, AnchorError]
    before: list[int]


async def run_again(world: World, tasks: Sequence[Task], *, owner: str, keys: Sequence[int], fresh: bool) -> RunAgain:
    """New tasks like these. `keys` are for them alone; unless `fresh`, an earlier try may have used some, and of other
    tasks: what fitted then may stand further down by now."""
    before = [] if fresh else [task for task in await world.store.get(keys) if task is not None]
    used = {task.id for task in before}
    made = {task.retry_of for task in before}
    free = iter([key for key in keys if key not in used])
    again = RunAgain(sorted(made), {}, sorted(made))
    left = [task for task in tasks if task.id not in made]
    for task in left[len(keys) - len(used) :]:
        again.failed[task.id] = Unavailable("It ended while this request was repeated; send a new one for it.")
    del left[len(keys) - len(used) :]
    for first in range(0, len(left), AT_ONCE):
        drafts: list[Task] = []
        for task in left[first : first + AT_ONCE]:
            try:
                payload = await payload_of(world, task)
            except AnchorError as error:
                again.failed[task.id] = error
                continue
            spec = replace(task.spec, payload=msgspec.json.decode(payload, type=Payload)) if payload else task.spec
            drafts.append(drafted(spec, key=next(free), owner=owner, now=world.clock.now(), retry_of=task.id))
        if drafts:
            await hand_in(world, drafts, fresh=fresh)
            again.done.extend(draft.retry_of for draft in drafts)
    return again


async def retried_before(world: World, keys: Sequence[int]) -> list[int]:
    """The keys of the tasks that were run again as tasks with these keys."""
    return [task.retry_of for task in await world.store.get(keys) if task is not None]
