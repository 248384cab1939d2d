"""What becomes of submitted work, step by step as in `exchange`: waits for many tasks in few requests, values, runs."""

import time
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from anchor.client import calls, dags, mapreduce
from anchor.client.exchange import WAIT_SECONDS_MAX, Manners, Steps, exchange
from anchor.core.dag import RUN_OVER, RunState
from anchor.core.errors import AnchorError
from anchor.core.task import State
from anchor.wire.dags import RunView, StepView
from anchor.wire.rest import TaskResult

ASKED_MAX = 1000
"""Tasks that one request asks for."""
TURN_SECONDS = 1.0
"""How long a request waits where there are more tasks than it asks for."""


class TaskFailed(AnchorError):
    """A task, or a run, ended otherwise than well: `code`, `message` and `hint` are those of its reason, `id` is its
    own, and `state` is failed, cancelled, inconclusive or whatever else it ended as."""

    code = "failed"

    def __init__(self, id: str, state: str, code: str, message: str, hint: str) -> None:
        super().__init__(f"{id} {state}: {message}", hint=hint, code=code)
        self.id = id
        self.state = state


def failure_of(result: TaskResult) -> TaskFailed | None:
    """The error that the end of a task stands for, None where it succeeded."""
    if result.state == State.SUCCEEDED:
        return None
    reason = result.reason
    if reason is None:
        return TaskFailed(result.id, result.state, result.state, "It ended without a result.", "")
    return TaskFailed(result.id, result.state, reason.code, reason.message, reason.hint)


def value_of(result: TaskResult, manners: Manners) -> Steps[Any]:
    """The value of a task that is over, fetched where it is a blob; raises TaskFailed."""
    if (failed := failure_of(result)) is not None:
        raise failed
    if result.result_blob is None:
        return result.result
    content = yield from exchange(calls.blob(result.result_blob.removeprefix("sha256:")), manners)
    return msgspec.json.decode(content)


class Waiting:
    """Tasks that somebody waits for: which to ask for next, and how many of them have to be over for an answer."""

    def __init__(self, ids: Collection[str], seconds: float | None) -> None:
        self._left = dict.fromkeys(ids)
        self._until = None if seconds is None else time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to wait for."""
        return not self._left

    def next(self, manners: Manners, *, together: bool) -> Steps[list[TaskResult]]:
        """What has ended meanwhile; with `together` nobody is interested in the first before the last.

        TimeoutError where nothing has and the time is up.
        """
        asked = list(self._left)[:ASKED_MAX]
        wait = WAIT_SECONDS_MAX if together or len(asked) == len(self._left) else TURN_SECONDS
        if self._until is not None:
            wait = max(0.0, min(wait, self._until - time.monotonic()))
        call = calls.results(asked, at_least=len(asked) if together else 1, wait_seconds=wait)
        ended = yield from exchange(call, manners)
        for id in asked:  # those that were not over take turns
            del self._left[id]
        self._left |= dict.fromkeys(asked)
        for result in ended:
            self._left.pop(result.id, None)
        if not ended and self._until is not None and time.monotonic() >= self._until:
            raise TimeoutError(f"{len(self._left):,} tasks are not over yet")
        return ended


def run_over(run_id: str, seconds: float | None, manners: Manners) -> Steps[RunView]:
    """A run once it is over; TimeoutError where that is not in time."""
    until = None if seconds is None else time.monotonic() + seconds
    version = ""
    while True:
        left = WAIT_SECONDS_MAX if until is None else max(0.0, min(until - time.monotonic(), WAIT_SECONDS_MAX))
        run = yield from exchange(dags.run(run_id, wait_seconds=left, version=version, steps=1), manners)
        if run.state in RUN_OVER:
            return run
        if until is not None and time.monotonic() >= until:
            raise TimeoutError(f"{run_id} is not over yet; `anchor dag get {run_id}` says how far it is")
        version = run.version


def steps_of(run_id: str, manners: Manners) -> Steps[list[StepView]]:
    """Every step of a run."""
    steps: list[StepView] = []
    cursor = ""
    while True:
        page = yield from exchange(dags.steps(run_id, limit=1000, cursor=cursor), manners)
        steps += page.items
        cursor = page.cursor
        if not cursor:
            return steps


def last_values(run: RunView, manners: Manners) -> Steps[dict[str, Any]]:
    """What came of the steps of a run that no other step waits for, by step id; raises TaskFailed."""
    if run.state != RunState.SUCCEEDED:
        raise _failed(run)
    steps = yield from steps_of(run.id, manners)
    waited_for = {one for step in steps for one in [*step.dependencies, *step.soft_dependencies]}
    last = {step.id: step.task_id for step in steps if step.id not in waited_for and step.task_id is not None}
    return (yield from _values(last, manners))


def step_value(run_id: str, step_id: str, manners: Manners) -> Steps[Any]:
    """The value of one step of a run; raises TaskFailed where it has none."""
    for step in (yield from steps_of(run_id, manners)):
        if step.id == step_id and step.task_id is not None:
            return (yield from _values({step_id: step.task_id}, manners))[step_id]
        if step.id == step_id:
            raise TaskFailed(run_id, step.state, step.state, f"Step {step_id!r} is {step.state} and has no result.", "")
    raise TaskFailed(run_id, "unknown", "not_found", f"It has no step {step_id!r}.", "Look at its steps.")


def job_value(run_id: str, seconds: float | None, manners: Manners) -> Steps[Any]:
    """What came of a map-reduce job; raises TaskFailed, or TimeoutError where it is not over in time."""
    run = yield from run_over(run_id, seconds, manners)
    job = yield from exchange(mapreduce.job(run_id), manners)
    if job.result is None:
        raise _failed(run)
    return (yield from value_of(job.result, manners))


def _failed(run: RunView) -> TaskFailed:
    reason = run.reason
    if reason is None:
        return TaskFailed(run.id, run.state, run.state, "It ended without a result.", "")
    return TaskFailed(run.id, run.state, reason.code, reason.message, reason.hint)


def _values(tasks: dict[str, str], manners: Manners) -> Steps[dict[str, Any]]:
    results: dict[str, TaskResult] = {}
    ids: Sequence[str] = list(tasks.values())
    waiting = Waiting(ids, None)
    while not waiting.is_over:
        for result in (yield from waiting.next(manners, together=True)):
            results[result.id] = result
    values: dict[str, Any] = {}
    for step, task in tasks.items():
        values[step] = yield from value_of(results[task], manners)
    return values
