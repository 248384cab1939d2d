"""How it went, as the REST API shows it."""

import datetime

import msgspec


class _View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    pass


class HistoryPoint(_View, frozen=True):
    """One step, beginning `at`. `done` and `failed` are how many tasks ended so in it, exact. The rest was sampled each
    minute by the server asked, and averaged over the step; null where it did not run, or where that is not the
    caller's to see. `running` and `waiting` are tasks, `median_wait_ms` is how long those waited that it gave out,
    `nodes` are those online. The last step is not over: what is sampled is as of now there."""

    at: datetime.datetime
    done: int
    failed: int
    running: int | None
    waiting: int | None
    median_wait_ms: int | None
    nodes: int | None


class QueueHistory(_View, frozen=True):
    """Steps of `step_seconds`, oldest first. `since` is when the server asked began to take samples."""

    step_seconds: int
    since: datetime.datetime
    points: list[HistoryPoint]
