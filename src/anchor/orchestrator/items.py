"""A task over a list: its items are made a window at a time, and their end is its end.

Nothing but the documents decides. The head says which list and which keys; an item is made by writing its task, which
happens once whoever tries; the head ends by one compare-and-set, from items that have all ended. What a server
remembers of it (`core.items.Walk`) only saves reading, and is read again from the store where it is lost.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from anchor.core.attempt import Reason, Result
from anchor.core.dag import Again, From, Step
from anchor.core.errors import FailureCode
from anchor.core.ids import STEP
from anchor.core.items import Items, NoList, Walk, list_in
from anchor.core.spec import INLINE_BYTES_MAX, MIB, TaskSpec
from anchor.core.task import TERMINAL, State, Task, extend
from anchor.failpoints import reached
from anchor.orchestrator.cancel import cancel_all
from anchor.orchestrator.gathered import of_items
from anchor.orchestrator.item_drafts import drafts
from anchor.orchestrator.item_tail import OTHER_WAS_FIRST, second_copies
from anchor.orchestrator.whole import one_chunk, read_whole
from anchor.orchestrator.world import World
from anchor.ports.store import Swap

LIST_BYTES_MAX = 64 * MIB
AHEAD = 4_000
"""Items of one list that exist and have not ended: the others are made as these end."""
CHUNK = 500
LOOK_MS = 30_000
TAIL_MS = 1_000
"""How soon a list is looked at again by itself, and how soon once its last items are under way."""
PAGE = 500
WITH_HEAD = Reason(FailureCode.CANCELLED, "Cancelled with the step it is an item of.")


async def listed(world: World, task: Task, step: Step, given: Mapping[str, Result], again: Again | None = None) -> Task:
    """The task of a parallel step as it is to enter: waiting for its items, or over where there are none to wait for.

    `given` are the results of the steps it depends on; `again` says what another run has done already.
    """
    now = task.created_at
    try:
        parts = await (_parts(world, step, given) if again is None else _parts_again(world, step, again))
    except NoList as error:
        reason = Reason(FailureCode.INVALID_PAYLOAD, f"It has no items: {error}", "Look at what its list comes from.")
        return replace(task, state=State.FAILED, wake_at=None, finished_at=now, reason=reason)
    if not parts.count:
        return replace(task, state=State.SUCCEEDED, wake_at=None, finished_at=now, result=Result(json=b"[]", size=2))
    return replace(task, spec=_without_list(task.spec, step), state=State.WAITING, wake_at=now + LOOK_MS, parts=parts)


def _without_list(spec: TaskSpec, step: Step) -> TaskSpec:
    """What the list comes from is no input of each of its items as well."""
    if spec.payload is None or not isinstance(step.items, From):
        return spec
    inputs = {name: value for name, value in spec.payload.inputs.items() if name != step.items.step}
    return replace(spec, payload=replace(spec.payload, inputs=inputs))


async def _parts(world: World, step: Step, given: Mapping[str, Result]) -> Items:
    blob = pointer = ""
    if isinstance(step.items, From):
        source = given.get(step.items.step)
        if source is None:
            raise NoList(f"The step {step.items.step!r} did not succeed.")
        inline, blob, pointer = source.json, source.blob, step.items.pointer
    else:
        inline = msgspec.json.encode(step.items or [])
        if len(inline) > INLINE_BYTES_MAX:
            blob, _ = await world.blobs.put(one_chunk(inline))
            reached("items.list_kept")
            inline = b""
    parts = Items(
        first=0,
        count=0,
        needed=0,
        over=step.over,
        inline=inline,
        blob=blob,
        pointer=pointer,
        verify=step.verify,
        speculate=step.speculate and step.verify == "none",
    )
    return _numbered(world, parts, len(await _values(world, parts)), step.enough)


async def _parts_again(world: World, step: Step, again: Again) -> Items:
    [before] = await world.store.get([again.head])
    if before is None or not isinstance(before.parts, Items):
        raise NoList("The items of the run before are past their retention.")
    parts = replace(before.parts, before=before.id, anew=again.items)
    return _numbered(world, parts, parts.count, step.enough)


def _numbered(world: World, parts: Items, count: int, enough: float) -> Items:
    if not count:
        return parts
    keys = world.keys.take(2 * count, now_ms=world.clock.now())
    return replace(parts, first=keys[0], count=count, needed=max(1, math.ceil(round(count * enough, 6))))


async def gather(world: World, heads: Collection[int], ended: Sequence[Task] = ()) -> None:
    """Look again at these tasks over lists. `ended` are items that ended here, which saves reading them."""
    by_head: dict[int, list[Task]] = {}
    for task in ended:
        if task.origin is not None and task.origin.head:
            by_head.setdefault(task.origin.head, []).append(task)
    for head in await world.store.get(sorted(heads)):
        if head is not None and isinstance(head.parts, Items):
            await _go_on(world, head, head.parts, by_head.get(head.id, []))


async def sweep(world: World, now: int) -> None:
    """Look again at tasks over lists that are due, so that any hint or server may be lost; at its start, at all."""
    until = now + LOOK_MS
    before = until if world.swept_at == 0 else now
    tails: list[int] = []
    while due := await world.store.due(State.WAITING, before, PAGE):
        for head in await _put_off(world, due, until + 1):
            if isinstance(head.parts, Items):
                walk = await _go_on(world, head, head.parts, [], afresh=True)
                if walk is not None and walk.in_tail and head.parts.speculate:
                    tails.append(head.id)
        if len(due) < PAGE:
            break
    # Another server may have the open slot that a second copy needs: each is to look, not only the one that is first.
    for tail in tails:
        await _look_again(world, tail, now + TAIL_MS if world.sole_writer else now)


async def _look_again(world: World, head: int, at: int) -> None:
    [task] = await world.store.get([head])
    if task is not None and task.state is State.WAITING:
        await _put_off(world, [task], at)


async def _put_off(world: World, heads: Sequence[Task], until: int) -> list[Task]:
    """Let these be looked at again by then; those that nobody else changed meanwhile."""
    swaps = [Swap(head, extend(head, until=until)) for head in heads]
    done = await world.store.swap(swaps)
    reached("items.put_off")
    return [swap.new for swap, ok in zip(swaps, done, strict=True) if ok]


async def _go_on(world: World, head: Task, parts: Items, ended: Sequence[Task], *, afresh: bool = False) -> Walk | None:
    """Do what a list needs now; what is known of its items, None where it is over."""
    if head.state in TERMINAL:
        world.lists.drop(head.id)
        return None
    walk = world.lists.get(head.id)
    if walk is None:
        walk = Walk(parts.count)
        world.lists.keep(head.id, walk)
        afresh = True
    was_in_tail = walk.in_tail
    losers = [loser for task in ended if (loser := _note(walk, task)) is not None]
    if afresh:
        losers += await _read(world, parts, walk)
    elif not world.sole_writer:
        await _read_on(world, parts, walk)
    if losers:
        await cancel_all(world, [parts.key(loser) for loser in losers], reason=OTHER_WAS_FIRST)
    if head.state is State.CANCELLING or walk.failed > parts.count - parts.needed:
        await _stop(world, parts, walk, again=afresh)
        if (walk.ended == walk.made or not ended) and not afresh:
            # There may be items that are not known here: another server's, or those of a write nobody heard the end of.
            # And where no end of an item led here, it is the turn of those whose end nobody told of.
            await _read(world, parts, walk)
            await _stop(world, parts, walk, again=True)
        if walk.ended == walk.made:
            await _finish(world, head, parts, walk)
        return walk
    await _fill(world, head, parts, walk)
    if walk.ended == parts.count:
        await _finish(world, head, parts, walk)
    elif walk.in_tail and parts.speculate:
        if afresh:
            await second_copies(world, head, parts, walk)
        elif not was_in_tail:
            await _look_again(world, head.id, world.clock.now() + TAIL_MS)
    return walk


def _note(walk: Walk, task: Task) -> int | None:
    number = task.origin.number if task.origin is not None else 0
    succeeded = task.state is State.SUCCEEDED
    if succeeded and task.attempts:
        walk.took(task.attempts[-1].ended_at - task.attempts[-1].leased_at)
    return walk.note(number, succeeded=succeeded)


async def _read(world: World, parts: Items, walk: Walk) -> list[int]:
    """Learn from the store what there is of all items."""
    losers: list[int] = []
    copies = await world.store.states(parts.key(parts.count), parts.count) if parts.speculate else {}
    walk.copies = {(key - parts.first) // STEP - parts.count for key in copies}
    states = await world.store.states(parts.first, parts.count)
    walk.made = max(walk.made, _made(parts, states))
    for key, state in [*states.items(), *copies.items()]:
        number = (key - parts.first) // STEP
        if state in TERMINAL and not walk.is_over(number % parts.count):
            loser = walk.note(number, succeeded=state is State.SUCCEEDED)
            losers += [] if loser is None else [loser]
    # A second copy that nobody has begun, of an item that has failed for good, might wait for ever for another node.
    losers += [
        (key - parts.first) // STEP
        for key, state in copies.items()
        if state is State.QUEUED and states.get(key - parts.count * STEP) in (State.FAILED, State.CANCELLED)
    ]
    return losers


def _made(parts: Items, states: Mapping[int, State]) -> int:
    """How many items exist without a gap: they are written in order, so a gap is one that is still being made."""
    if len(states) == parts.count:
        return parts.count
    return next((number for number in range(parts.count) if parts.key(number) not in states), parts.count)


async def _read_on(world: World, parts: Items, walk: Walk) -> None:
    """Learn what ended on other servers, from the first item that has not as far as is known: read on for as long as
    all have. Whoever ends the last item so gets to the end of the list."""
    block = 8
    while (first := next(walk.unended(), None)) is not None:
        states = await world.store.states(parts.key(first), min(block, walk.made - first))
        over = [(key, state) for key, state in states.items() if state in TERMINAL]
        for key, state in over:
            walk.note((key - parts.first) // STEP, succeeded=state is State.SUCCEEDED)
        # An item whose first half failed is not over while its other half runs.
        if len(over) < len(states) or not states or not walk.is_over(first):
            break
        block = min(2 * block, 1024)


async def _fill(world: World, head: Task, parts: Items, walk: Walk) -> None:
    """Make items while fewer than AHEAD are under way."""
    while walk.made < parts.count and walk.made - walk.ended < AHEAD:
        if not walk.values:
            walk.values = await _values(world, parts)
            world.lists.trim(head.id)
        numbers = range(walk.made, min(walk.made + CHUNK, parts.count))
        made = await drafts(world, head, parts, walk.values, numbers)
        walk.made = numbers.stop
        for task in made:
            if task.state in TERMINAL:
                _note(walk, task)
        [now_head] = await world.store.get([head.id])
        if now_head is None or now_head.state is not State.WAITING:
            # Somebody wanted it stopped meanwhile, and may not have seen these.
            await cancel_all(world, [task.id for task in made if task.state not in TERMINAL], reason=WITH_HEAD)
            world.ended.extend([now_head] if now_head is not None else [])
            return
    if walk.made == parts.count:
        walk.values = []


async def _stop(world: World, parts: Items, walk: Walk, *, again: bool) -> None:
    """Stop the items that are under way; once, and again with each sweep."""
    if walk.stopping and not again:
        return
    walk.stopping = True
    live = [number for item in list(walk.unended()) for number in _halves(parts, walk, item)]
    for at in range(0, len(live), CHUNK):
        keys = [parts.key(number) for number in live[at : at + CHUNK]]
        for task in await cancel_all(world, keys, reason=WITH_HEAD):
            if task.state in TERMINAL:
                _note(walk, task)


def _halves(parts: Items, walk: Walk, item: int) -> list[int]:
    return [item, item + parts.count] if item in walk.copies else [item]


async def _finish(world: World, head: Task, parts: Items, walk: Walk) -> None:
    """End the head, whose items have all ended."""
    if parts.speculate and parts.count > 1:
        await _stop_copies(world, parts)
    now = max(world.clock.now(), head.created_at)
    base = {"ver": head.ver + 1, "wake_at": None, "finished_at": now}
    if head.state is State.CANCELLING:
        new = replace(head, **base, state=State.CANCELLED)
    elif walk.failed > parts.count - parts.needed:
        new = replace(head, **base, state=State.FAILED, reason=await _why_failed(world, parts))
    else:
        try:
            result = await of_items(world, head, parts)
        except NoList as error:
            reason = Reason(FailureCode.RESULT_INVALID, str(error), "Return a list of [key, value] with string keys.")
            new = replace(head, **base, state=State.FAILED, reason=reason)
        else:
            some = _some_failed(walk) if walk.failed else None
            new = replace(head, **base, state=State.SUCCEEDED, result=result, reason=some)
    [done] = await world.store.swap([Swap(head, new)])
    reached("items.gathered")
    if done:
        world.lists.drop(head.id)
        if world.onlooker is not None:
            world.onlooker([new])
        world.bus.tasks_changed([head.id])
        world.ended.append(new)
        world.bus.work_waits()
    else:
        [now_head] = await world.store.get([head.id])
        world.ended.extend([now_head] if now_head is not None else [])


async def _stop_copies(world: World, parts: Items) -> None:
    """Stop second copies that are not known here; whoever makes one later sees that its head is over."""
    copies = await world.store.states(parts.key(parts.count), parts.count)
    live = [key for key, state in copies.items() if state not in TERMINAL]
    for at in range(0, len(live), CHUNK):
        await cancel_all(world, live[at : at + CHUNK], reason=OTHER_WAS_FIRST)


def _some_failed(walk: Walk) -> Reason:
    return Reason(
        "items_failed",
        f"{walk.failed} of {walk.count} items failed; their results are null.",
        "As many as are enough succeeded. Run the failed ones again, or look at why they failed.",
    )


async def _why_failed(world: World, parts: Items) -> Reason:
    """The first failure that is an item's own, for the items after it were stopped because of it."""
    failed = 0
    first: tuple[int, Task] | None = None
    for at in range(0, parts.count, PAGE):
        keys = [parts.key(number) for number in range(at, min(at + PAGE, parts.count))]
        for number, task in enumerate(await world.store.get(keys), at):
            if task is not None and task.state in (State.FAILED, State.INCONCLUSIVE):
                failed += 1
                first = first or (number, task)
    if first is None:
        return Reason(FailureCode.CANCELLED, "Too many of its items were cancelled.", "Run it again.")
    number, task = first
    why = task.reason or Reason(FailureCode.CRASHED, "it ended without saying why.")
    return Reason(
        why.code,
        f"{failed} of {parts.count} items failed, first item {number}: {why.message}",
        why.hint,
    )


async def _values(world: World, parts: Items) -> list[msgspec.Raw]:
    content = parts.inline
    if parts.blob:
        size = await world.blobs.size(parts.blob)
        if size is None:
            raise NoList(f"The blob sha256:{parts.blob} is gone.")
        if size > LIST_BYTES_MAX:
            raise NoList(f"It takes {size / MIB:.0f} MiB; at most {LIST_BYTES_MAX // MIB} are allowed.")
        content = await read_whole(world.blobs, parts.blob)
    return list_in(content or b"null", parts.pointer, parts.over)
