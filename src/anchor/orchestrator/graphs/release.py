"""A step that may run becomes a task: once, since a task whose id exists is left as it is."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from anchor.core.attempt import Reason, Result
from anchor.core.dag import RunState, Step
from anchor.core.errors import FailureCode
from anchor.core.graph_check import passes_on, step_spec
from anchor.core.spec import InputValue, Payload
from anchor.core.task import Origin, State, Task
from anchor.orchestrator import items
from anchor.orchestrator.enter import drafted, enter
from anchor.orchestrator.graphs.inputs import TooMuch, as_input, groups, passed_on, results_of
from anchor.orchestrator.run_memory import Known
from anchor.orchestrator.world import World

WITH_RUN = Reason(FailureCode.CANCELLED, "Cancelled with its run.")


async def release(world: World, known: Known, steps: Sequence[int], ended: Mapping[int, Task]) -> list[Task]:
    """Make the tasks of steps that may run; they, or those that were there before, as they are then.

    In a run that is to end, each becomes a task that is cancelled from the start: then no server that has not heard of
    it yet can begin the step any more, whenever it tries.
    """
    made: list[Task] = []
    for group in groups(known, steps):
        if known.run.state is RunState.CANCELLING:
            drafts = [_never_begun(world, known, step) for step in group]
        else:
            drafts = await _drafts(world, known, group, ended)
        made += await enter(world, drafts, fresh=True)
    waiting = [task.id for task in made if task.state is State.WAITING]
    if waiting:
        await items.gather(world, waiting)
    return made


def _task(world: World, known: Known, number: int, step: Step, payload: Payload | None = None) -> Task:
    spec = step_spec(known.plan.graph, step)
    return drafted(
        replace(spec, payload=payload) if payload is not None else spec,
        key=known.key(number),
        owner=known.run.owner,
        now=world.clock.now(),
        part_of=known.run.id,
        origin=Origin(run=known.run.id, step=number),
    )


def _never_begun(world: World, known: Known, number: int) -> Task:
    step = replace(known.plan.step(number), payload=None, verify="none")
    task = _task(world, known, number, step)
    return replace(task, state=State.CANCELLED, wake_at=None, finished_at=task.created_at, reason=WITH_RUN)


async def _drafts(world: World, known: Known, group: Sequence[int], ended: Mapping[int, Task]) -> list[Task]:
    steps = {number: known.plan.step(number) for number in group}
    needed: dict[int, None] = {}
    for number, step in steps.items():
        if step.type != "noop":
            needed.update((parent, None) for parent in known.plan.parents[number] if known.view.succeeded(parent))
    results = await results_of(world, known, needed, ended) if needed else {}
    drafts: list[Task] = []
    for number, step in steps.items():
        if number in known.plan.reused:
            drafts.append(await _taken_over(world, known, number, step))
        elif step.type == "noop":
            drafts.append(_task(world, known, number, step))
        else:
            names = [known.plan.ids[parent] for parent in known.plan.parents[number]]
            given = {
                known.plan.ids[parent]: results[parent] for parent in known.plan.parents[number] if parent in results
            }
            drafts.append(await _with_inputs(world, known, number, step, names, given))
    return drafts


async def _with_inputs(
    world: World, known: Known, number: int, step: Step, names: Sequence[str], given: Mapping[str, Result]
) -> Task:
    if passes_on(step):
        task = _task(world, known, number, step)
        try:
            return _done(task, await passed_on(world, names, given))
        except TooMuch as error:
            return _failed(
                task, Reason(FailureCode.RESULT_TOO_LARGE, str(error), "Give it a payload that picks what is needed.")
            )
    payload = step.payload or Payload()
    if given:
        inputs: dict[str, InputValue] = {name: as_input(result) for name, result in given.items()}
        payload = replace(payload, inputs={**payload.inputs, **inputs})
    if step.type != "parallel":
        return _task(world, known, number, step, payload)
    task = _task(world, known, number, replace(step, verify="none"), payload)
    return await items.listed(world, task, step, given, known.plan.again.get(number))


async def _taken_over(world: World, known: Known, number: int, step: Step) -> Task:
    """A step whose result another run has already."""
    task = _task(world, known, number, replace(step, payload=None, verify="none"))
    [before] = await world.store.get([known.plan.reused[number]])
    if before is None or before.state is not State.SUCCEEDED:
        gone = Reason(
            FailureCode.INPUT_UNAVAILABLE,
            "The result that this step was to take over is past its retention.",
            "Run the graph again as a whole.",
        )
        return _failed(task, gone)
    return _done(task, before.result)


def _failed(task: Task, reason: Reason) -> Task:
    return replace(task, state=State.FAILED, wake_at=None, finished_at=task.created_at, reason=reason)


def _done(task: Task, result: Result | None) -> Task:
    return replace(task, state=State.SUCCEEDED, wake_at=None, finished_at=task.created_at, result=result)
