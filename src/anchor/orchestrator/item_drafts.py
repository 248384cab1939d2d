"""The items of a list as tasks: the head's task, once per item."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from anchor.core.items import Items, files_of
from anchor.core.spec import Payload, TaskSpec
from anchor.core.task import Origin, State, Task
from anchor.orchestrator.enter import drafted, enter
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.world import World

ITEM_VARIABLE = "ANCHOR_ITEM"
"""The environment variable that says which item it is."""
SHARE_VARIABLE = "ANCHOR_SHARE"
"""The environment variable that lists the files of a share, as JSON."""


async def drafts(
    world: World, head: Task, parts: Items, values: Sequence[msgspec.Raw], numbers: Sequence[int]
) -> list[Task]:
    """Make the tasks of these items; they, or those that were there before, as they are then."""
    payload = await template_of(world, head)
    before = await taken_over(world, parts, numbers) if parts.before else {}
    tasks = []
    for number in numbers:
        task = draft(world, head, parts, payload, values[number], number=number)
        old = before.get(number)
        if old is not None:
            task = replace(task, state=State.SUCCEEDED, wake_at=None, finished_at=task.created_at, result=old.result)
        tasks.append(task)
    return await enter(world, tasks, fresh=True)


async def template_of(world: World, head: Task) -> Payload:
    """What every item runs."""
    return msgspec.json.decode(await payload_of(world, head) or b"{}", type=Payload)


def draft(
    world: World,
    head: Task,
    parts: Items,
    payload: Payload,
    value: msgspec.Raw,
    *,
    number: int,
    apart: tuple[int, int] | None = None,
) -> Task:
    """One item, or the copy of item `number` - count, as it is to enter."""
    item = number % parts.count
    env = {**payload.env, ITEM_VARIABLE: str(item)}
    files = payload.files
    if parts.over != "values":
        named = files_of(value, item)
        files = {**files, **named}
        if parts.over == "shuffle":
            env[SHARE_VARIABLE] = msgspec.json.encode(sorted(named)).decode()
    payload = replace(payload, input=value, env=env, files=files)
    spec: TaskSpec = replace(head.spec, name=f"{head.spec.name[:185]} [{item}]", payload=payload, verify=parts.verify)
    return drafted(
        spec,
        key=parts.key(number),
        owner=head.owner,
        now=world.clock.now(),
        part_of=head.part_of or head.id,
        origin=Origin(head=head.id, number=number, apart=apart),
    )


async def taken_over(world: World, parts: Items, numbers: Sequence[int]) -> dict[int, Task]:
    """The items that succeeded in the run before and are not to run anew."""
    [head] = await world.store.get([parts.before])
    if head is None or not isinstance(head.parts, Items):
        return {}
    wanted = [number for number in numbers if number not in parts.anew]
    found: dict[int, Task] = {}
    for shift in (head.parts.count, 0):
        keys = [head.parts.key(number + shift) for number in wanted]
        there = zip(wanted, await world.store.get(keys), strict=True)
        found |= {number: task for number, task in there if task is not None and task.state is State.SUCCEEDED}
    return found
