"""The live tasks kept at hand, so that the usual step of a task reads nothing from the file."""

from collections import OrderedDict

from anchor.core.task import TERMINAL, Task

ENDED_MAX = 500
SMALL_BYTES = 4096


class LiveTasks:
    """What was last committed of live tasks, as far as there is room.

    True because one process owns the file and entries change only after a COMMIT. New tasks are let in while there is
    room (the oldest are worked on first); a task that moves is let in always, at the cost of the oldest entry.
    Small ones that ended a moment ago stay for those who wait for their results.
    """

    def __init__(self, *, tasks_max: int = 20_000, payload_bytes_max: int = 32 * 1024 * 1024) -> None:
        self._tasks: OrderedDict[int, Task] = OrderedDict()
        self._payloads: dict[int, bytes] = {}
        self._tasks_max = tasks_max
        self._payload_bytes_max = payload_bytes_max
        self._payload_bytes = 0
        self._ended: OrderedDict[int, Task] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, task: int) -> Task | None:
        """The task as last committed, None where it is not at hand."""
        return self._tasks.get(task) or self._ended.get(task)

    def payload(self, task: int) -> bytes | None:
        """Its payload as JSON bytes, None where it is not at hand."""
        return self._payloads.get(task)

    def add(self, task: Task, payload: bytes) -> None:
        """A task was inserted."""
        if (
            task.state not in TERMINAL
            and len(self._tasks) < self._tasks_max
            and self._payload_bytes + len(payload) <= self._payload_bytes_max
        ):
            self._tasks[task.id] = task
            self._payloads[task.id] = payload
            self._payload_bytes += len(payload)

    def renew(self, task: Task) -> None:
        """A task was swapped for this."""
        if task.state in TERMINAL:
            payload = self._payloads.get(task.id)
            self.forget(task.id)
            if payload is not None and len(payload) <= SMALL_BYTES and _is_small(task):
                self._ended[task.id] = task
                if len(self._ended) > ENDED_MAX:
                    self._ended.popitem(last=False)
            return
        if task.id not in self._tasks and len(self._tasks) >= self._tasks_max:
            # An ordered dict: finding the first key of a plain one slows down with every removal at its front.
            self.forget(next(iter(self._tasks)))
        self._tasks[task.id] = task

    def forget(self, task: int) -> None:
        """Look it up in the file next time."""
        self._tasks.pop(task, None)
        self._ended.pop(task, None)
        payload = self._payloads.pop(task, None)
        if payload is not None:
            self._payload_bytes -= len(payload)


def _is_small(task: Task) -> bool:
    return task.result is None or len(task.result.json) <= SMALL_BYTES
