"""The answers of the REST API about graphs; what goes in is `core.dag.Graph`."""

from typing import Any, Literal

import msgspec

from anchor.core.attempt import Reason
from anchor.core.dag import StepId
from anchor.core.errors import Fault
from anchor.wire.rest import Time

ItemState = Literal[
    "waiting",
    "queued",
    "leased",
    "running",
    "verifying",
    "backoff",
    "cancelling",
    "succeeded",
    "failed",
    "inconclusive",
    "cancelled",
    "skipped",
    "removed",
]
"""What an item can be: `waiting` to be made, `skipped` where it never was, `removed` where its task is past its
retention, or else what its task is. `running` finds what is leased."""


class _View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    pass


class RunCreated(_View, frozen=True):
    """A run that was accepted: it is in the truth from this moment on."""

    id: str
    name: str
    state: str
    steps: int
    created_at: Time


class RunRow(_View, frozen=True):
    """A run in a list. `kind` is dag or mapreduce; `steps` is how many steps its graph has."""

    id: str
    name: str
    kind: str
    state: str
    steps: int
    labels: list[str]
    reason: Reason | None
    rerun_of: str | None
    created_at: Time
    finished_at: Time | None


class RunListed(RunRow, frozen=True):
    """A run in the list of all, with whose it is. `counts` says how many of its steps are in each state, where that was
    asked for; null where it was not, and where too many steps that are not over yet would have to be looked at."""

    owner: str
    counts: dict[str, int] | None


class GraphChecked(_View, frozen=True):
    """Whether a graph would be accepted: it would be where it has no `faults`. `steps` is how many it has."""

    steps: int
    faults: list[Fault]


class GraphText(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A graph as YAML."""

    text: str


class GraphRead(_View, frozen=True):
    """What YAML says, as JSON; whether it is a graph that would be accepted is not looked at."""

    graph: dict[str, Any]


class ItemsView(_View, frozen=True):
    """How far a parallel step is: items that have ended, and all of them."""

    done: int
    total: int


class ItemCounts(_View, frozen=True):
    """How many items of a parallel step are in each state, and of all. A running one is counted as leased."""

    counts: dict[str, int]
    total: int


class ItemView(_View, frozen=True):
    """An item of a parallel step, counted from 0. `task_id` is its task, or the second copy of that where it was first;
    null where there is none. `attempt` is how often the task was given to a node (0 where its result was taken over
    from the run before), `node_id` the one that has it or had it last, and `reason` why it failed."""

    number: int
    state: str
    task_id: str | None
    node_id: str | None
    attempt: int
    reason: Reason | None
    started_at: Time | None
    finished_at: Time | None


class StepView(_View, frozen=True):
    """A step of a run. `state` is waiting, skipped or reused, or else that of its task; `level` is how many steps lie
    on the longest way to it, `attempt` how often its task was given to a node and `node_id` the one that has it, or had
    it last."""

    id: str
    name: str
    state: str
    task_id: str | None
    dependencies: list[str]
    soft_dependencies: list[str]
    level: int
    items: ItemsView | None
    started_at: Time | None
    finished_at: Time | None
    reason: Reason | None
    node_id: str | None = None
    attempt: int = 0


class LevelView(_View, frozen=True):
    """The steps on the levels `first` to `last`: how many there are in each state."""

    first: int
    last: int
    counts: dict[str, int]


class RunView(RunRow, frozen=True):
    """A run, whole. `counts` says how many steps are in each state and `progress` which share of them is over, from 0
    to 1; `failures` are the first steps that failed. `step_list` has every step where they are few enough for what was
    asked, and is null where they are not. `version` is another one whenever anything of this is."""

    version: str
    owner: str
    counts: dict[str, int]
    progress: float
    failures: list[StepView]
    levels: list[LevelView]
    step_list: list[StepView] | None


class Item(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One item of a parallel step, counted from 0."""

    step: StepId
    number: int


class RerunRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """What of a run that is over is to run again, in a new run: `from` a step on, `only_failed` steps, one `item`, or
    those items of the step `failed_items` that did not succeed; each with all that hangs off it, and with whatever
    else did not succeed. Everything, where none of them is given."""

    from_step: StepId | None = msgspec.field(default=None, name="from")
    only_failed: bool = False
    item: Item | None = None
    failed_items: StepId | None = None
