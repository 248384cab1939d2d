"""Nobody sees what one copy answered while others may still be asked: the veil over the copies of an open round."""

from msgspec.structs import replace

from anchor.core.errors import Conflict, NotFound
from anchor.core.ids import wire_id
from anchor.core.task import TERMINAL, Task
from anchor.core.verification import Round
from anchor.ports.store import TaskStore


async def is_secret(store: TaskStore, task: Task) -> bool:
    """Whether this is a copy of a task whose round is open."""
    if task.origin is None or not task.origin.head:
        return False
    [head] = await store.get([task.origin.head])
    if head is None or not isinstance(head.parts, Round):
        return False
    return head.parts.verdict is None and head.state not in TERMINAL


def veiled(task: Task) -> Task:
    """What may be seen of such a copy: its state, its node and when it ran, and nothing of what came of it."""
    return replace(task, attempt=0, result=None, reason=None, attempts=())


async def lifted(store: TaskStore, task: Task) -> Task:
    """The task as it may be seen."""
    return veiled(task) if await is_secret(store, task) else task


async def require_open(store: TaskStore, task: Task) -> None:
    """NotFound where what is asked for would tell a copy's answer before the verdict."""
    if await is_secret(store, task):
        raise _secret(task)


def require_no_copy(task: Task, verb: str) -> None:
    """Conflict where somebody wants to end or repeat one copy of a round: that would choose its answer."""
    if task.origin is not None and task.origin.is_copy:
        head = wire_id("task", task.origin.head)
        raise Conflict(
            f"This is a copy of {head}, made to verify it; it is not {verb} by itself.",
            hint=f"Do it to {head}.",
            code="copy_of_a_task",
        )


def _secret(task: Task) -> NotFound:
    head = wire_id("task", task.origin.head) if task.origin is not None else ""
    return NotFound(
        f"This is a copy of {head}, and nobody sees what it answers before the verdict.",
        hint=f"Ask for {head}; once that is over, its copies can be looked into.",
        code="votes_are_secret",
    )
