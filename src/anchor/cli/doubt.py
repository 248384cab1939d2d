"""Work that waits longer than a person expects: why it does, and what would let it run."""

from anchor.cli.talk import say
from anchor.client import Client, dags
from anchor.core.errors import AnchorError
from anchor.core.task import State
from anchor.wire.dags import RunView, StepView

PATIENCE_SECONDS = 3.0
"""Nothing is said of what waits for less than this."""
_UNDER_WAY = (State.LEASED, "running", State.BACKOFF)
_WAITS = (State.QUEUED, State.VERIFYING, State.WAITING)
_LOOKED_AT = 1_000


def say_why_it_waits(client: Client, task: str, step: str = "") -> None:
    """Say why a task waits, on standard error; nothing where it waits for nothing that anybody could change."""
    try:
        answer = client.why(task)
    except AnchorError:
        return  # whoever follows the task hears of it, too
    changes = answer.get("changes") or []
    if answer["state"] == State.QUEUED or (answer["state"] in _WAITS and changes):
        reason = answer["reason"]
        what = changes[0] if changes else reason.get("hint", "")
        name = f"{step} is still" if step else "Still"
        say(f"{name} {answer['state']}: {reason['message']} {what}".rstrip(), style="yellow")


def say_why_a_run_waits(client: Client, run: RunView) -> None:
    """The same of the first step that waits, where no other step is under way."""
    if not any(run.counts.get(state) for state in _UNDER_WAY):
        step = next((found for state in _WAITS if run.counts.get(state) for found in _begun(client, run, state)), None)
        if step is not None and step.task_id is not None:
            say_why_it_waits(client, step.task_id, step.id)


def _begun(client: Client, run: RunView, state: str) -> list[StepView]:
    """Steps in this state that have a task: others wait for steps."""
    try:
        page = client.call(dags.steps(run.id, state=state, limit=_LOOKED_AT))
    except AnchorError:
        return []  # as above
    return [step for step in page.items if step.task_id is not None]
