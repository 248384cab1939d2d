"""The answers of the REST API about map-reduce jobs; what goes in is `core.mapreduce.MapReduce`."""

import msgspec

from anchor.core.attempt import Reason
from anchor.wire.rest import TaskResult, Time


class Phase(msgspec.Struct, frozen=True, rename="camel"):
    """How far the map or the reduce is: tasks that have ended, and all of them (0 while they are not known)."""

    name: str
    state: str
    task_id: str | None
    done: int
    total: int
    reason: Reason | None


class JobView(msgspec.Struct, frozen=True, rename="camel"):
    """A map-reduce job. `result` is there once it has succeeded; `version` is another one whenever anything of this
    is."""

    id: str
    name: str
    state: str
    reason: Reason | None
    created_at: Time
    finished_at: Time | None
    version: str
    phases: list[Phase]
    result: TaskResult | None
