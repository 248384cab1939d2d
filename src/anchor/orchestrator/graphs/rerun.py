"""A run over again, as a new one: what it need not do anew it takes over from the run before."""

from collections.abc import Set

from anchor.core.dag import RUN_OVER, Again, Drawing, Run
from anchor.core.errors import Conflict, InvalidRequest, NotFound
from anchor.core.ids import wire_id
from anchor.core.items import Items
from anchor.core.plan import Plan
from anchor.core.task import State
from anchor.orchestrator.graphs.known import drawing_of_run, plan_of
from anchor.orchestrator.graphs.schedule import Order, Scheduled, begin, begin_once
from anchor.orchestrator.world import World


async def rerun(
    world: World,
    run: Run,
    *,
    owner: str,
    from_step: str | None = None,
    only_failed: bool = False,
    item: tuple[str, int] | None = None,
    failed_items: str | None = None,
) -> Run:
    """Run a graph again: all of it, what begins at a step, what did not succeed, or of a parallel step one item, or
    (`failed_items`) those that did not succeed.

    Whatever hangs off a step that runs again does so too. Conflict while the run is not over, NotFound where there is
    no such step or item.
    """
    return await begin(world, await _order(world, run, owner, from_step, only_failed, item, failed_items))


async def rerun_once(
    world: World,
    run: Run,
    *,
    owner: str,
    key: str,
    digest: str,
    from_step: str | None = None,
    only_failed: bool = False,
    item: tuple[str, int] | None = None,
    failed_items: str | None = None,
) -> Scheduled:
    """As `rerun`, but one new run per (owner, Idempotency-Key)."""
    return await begin_once(
        world, await _order(world, run, owner, from_step, only_failed, item, failed_items), key=key, digest=digest
    )


async def _order(
    world: World,
    run: Run,
    owner: str,
    from_step: str | None,
    only_failed: bool,
    item: tuple[str, int] | None,
    failed_items: str | None,
) -> Order:
    name = wire_id("dag", run.id)
    if run.state not in RUN_OVER:
        raise Conflict(
            f"The run is {run.state}; only one that is over can be run again.",
            hint=f"Wait for its end, or cancel it first: `anchor dag cancel {name}`.",
            code="not_finished",
        )
    if sum((from_step is not None, only_failed, item is not None, failed_items is not None)) > 1:
        raise InvalidRequest(
            "A run is begun again from a step, from what failed, or from items: only one of them can be asked for.",
            hint="Leave the others out.",
        )
    plan = await plan_of(world, run)
    drawing = await drawing_of_run(world, run)
    states = await world.store.states(run.key_of(0), run.steps)
    done = {run.step_of(key) for key, state in states.items() if state is State.SUCCEEDED}
    again: dict[int, Again] = {}
    if from_step is not None:
        anew = {_number(plan, run, from_step)}
    elif only_failed:
        anew = set()
    elif item is not None:
        step, number = item
        at = _number(plan, run, step)
        again[at] = Again(head=run.key_of(at), items=(_item(await _items(world, run, at, step), step, number),))
        anew = {at}
    elif failed_items is not None:
        at = _number(plan, run, failed_items)
        await _items(world, run, at, failed_items)
        # What did not succeed runs again with any item: here there is no other.
        again[at] = Again(head=run.key_of(at), items=())
        anew = {at}
    else:
        anew = set(range(run.steps))
    reused = _taken_over(plan, drawing, run, anew, done)
    return Order(drawing.graph, owner, run.kind, run.id, reused, again)


def _taken_over(plan: Plan, drawing: Drawing, run: Run, anew: Set[int], done: Set[int]) -> dict[int, int]:
    # The plan of a run that took results over leaves out what those steps wait for: go by the graph.
    whole = Plan.of(Drawing(drawing.graph)) if drawing.reused else plan
    runs = whole.hanging_off(sorted(anew | (set(range(run.steps)) - done)))
    return {step: run.key_of(step) for step in range(run.steps) if step not in runs}


def _number(plan: Plan, run: Run, step: str) -> int:
    number = plan.numbers().get(step)
    if number is None:
        raise NotFound(
            f"The graph has no step {step!r}.", hint=f"List its steps with `anchor dag get {wire_id('dag', run.id)}`."
        )
    return number


async def _items(world: World, run: Run, at: int, step: str) -> Items:
    [task] = await world.store.get([run.key_of(at)])
    if task is None or not isinstance(task.parts, Items):
        raise NotFound(f"Step {step!r} has no items.", hint="Name a parallel step that was begun.")
    return task.parts


def _item(parts: Items, step: str, number: int) -> int:
    if not 0 <= number < parts.count:
        raise NotFound(
            f"Step {step!r} has no item {number}.", hint=f"Its items are numbered from 0 to {parts.count - 1}."
        )
    return number
