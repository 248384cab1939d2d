"""The copies of a verified task: made from it, as far as its round asks for them."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from anchor.core.spec import Payload
from anchor.core.task import State, Task, copied, verified
from anchor.core.verification import Round, cap_of, opened, policy_of
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.world import World


def as_head(world: World, draft: Task) -> Task:
    """A new task whose answer is to be checked, as the head of a round with keys for all its copies; others as they
    are."""
    policy = policy_of(draft.spec.verify) if draft.state is State.QUEUED else None
    if policy is None:
        return draft
    keys = world.keys.take(cap_of(policy), now_ms=world.clock.now())
    return verified(draft, opened(policy, first=keys[0]))


async def copies_of(world: World, head: Task, round_: Round, numbers: Iterable[int]) -> list[Task]:
    """Copies of a verified task by their numbers, as they are to enter."""
    whole = head
    if head.spec.payload is None and not head.payload_blob:
        payload = await payload_of(world, head)
        if payload:
            spec = replace(head.spec, payload=msgspec.json.decode(payload, type=Payload))
            whole = replace(head, spec=spec)
    now = world.clock.now()
    return [copied(whole, round_, number, now=now) for number in numbers]
