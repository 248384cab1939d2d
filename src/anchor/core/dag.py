"""Task graphs: steps and what each waits for, as submitted, and the run that carries them out."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from anchor.core.attempt import Reason
from anchor.core.ids import STEP
from anchor.core.spec import Label, Limits, Name, Payload, Requirements, RetryPolicy, VerifyWish

STEPS_MAX = 100_000
PARENTS_MAX = 100_000
"""Dependencies of one step."""
EDGES_MAX = 1_000_000
"""Dependencies of all steps together."""

UNNAMED = "graph"
"""What a graph is called that says no name."""

StepId = Annotated[str, Meta(min_length=1, max_length=200)]


class From(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A list that an earlier step makes: its result, or what a JSON pointer finds in it."""

    step: StepId
    pointer: Annotated[str, Meta(max_length=1000)] = ""


class Step(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One step of a graph: a task with an `id` and what it depends on.

    It runs once all `dependencies` have succeeded and all `soft_dependencies` have ended, however; an `always` step
    runs once all it depends on (where it names nothing: all steps but those like itself) has ended, however, unless the
    run is cancelled. What it depends on and succeeded arrives as `inputs`, by step id. A step without a payload passes
    its inputs on: where it depends on one step that step's result, on several an object of theirs by id. A `parallel`
    step runs its payload once per item of `items`, each as `input`; its result is the list of theirs, in order, once
    `enough` (a share) of them have succeeded and the rest has ended. `over` says what an item is: a value, files, or a
    share of what another parallel step left (see docs/map-reduce.md); `speculate` lets the last items run a second time
    elsewhere where they take long.
    """

    id: StepId
    name: Name | None = None
    type: Literal["script", "wasm", "noop", "parallel"] = "script"
    payload: Payload | None = None
    dependencies: Annotated[list[StepId], Meta(max_length=PARENTS_MAX)] = []
    soft_dependencies: Annotated[list[StepId], Meta(max_length=PARENTS_MAX)] = []
    always: bool = False
    items: list[Any] | From | None = None
    over: Literal["values", "files", "shuffle"] = "values"
    speculate: bool = True
    enough: Annotated[float, Meta(gt=0, le=1)] = 1.0
    requirements: Requirements = Requirements()
    limits: Limits = Limits()
    retry: RetryPolicy = RetryPolicy()
    verify: VerifyWish = "none"
    priority: Annotated[int, Meta(ge=-100, le=100)] | None = None
    labels: Annotated[list[Label], Meta(max_length=32)] = []


class Graph(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A graph as submitted; `tasks` is another word for `steps`. `priority` is that of steps that name none."""

    name: Name = UNNAMED
    steps: Annotated[list[Step], Meta(max_length=STEPS_MAX)] = []
    tasks: Annotated[list[Step], Meta(max_length=STEPS_MAX)] = []
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    labels: Annotated[list[Label], Meta(max_length=32)] = []


class Again(msgspec.Struct, frozen=True):
    """Of a parallel step whose task in the run before was `head`, only these `items` run again."""

    head: int
    items: tuple[int, ...]


class Drawing(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run's graph as it rests in the store: normalised, and what of it another run has done already.

    `reused` maps the number of a step to the task (its key) whose result it takes over; `again` the number of a
    parallel step to the items it does anew.
    """

    graph: Graph
    reused: dict[int, int] = {}
    again: dict[int, Again] = {}


class RunState(StrEnum):
    """Where a run is in its life."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


RUN_OVER = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


class StepState(StrEnum):
    """Where a step is: a `waiting` one has no task yet, a `skipped` one never gets one, a `reused` one has the result
    of the run before; the other words are those of its task."""

    WAITING = "waiting"
    SKIPPED = "skipped"
    REUSED = "reused"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a graph. Times are Unix milliseconds.

    Step i (in the order submitted) becomes the task with the key id + (1 + i) times STEP as soon as it may run, and not
    before: which steps have ended is read off their tasks, never counted. `plan_blob` names the blob that holds the
    graph as JSON (a `Drawing`), `plan` holds it where it is small. `kind` is `dag` or `mapreduce`. `ended` is
    how many steps ended in each state, written once, when the run is over.
    """

    id: int
    owner: str
    name: str
    created_at: int
    steps: int
    kind: str = "dag"
    plan: bytes = b""
    plan_blob: str = ""
    rerun_of: int = 0
    labels: tuple[str, ...] = ()
    ver: int = 1
    state: RunState = RunState.RUNNING
    wake_at: int | None = None
    finished_at: int | None = None
    reason: Reason | None = None
    ended: dict[str, int] = {}

    def key_of(self, step: int) -> int:
        """The key of a step's task."""
        return self.id + (1 + step) * STEP

    def step_of(self, key: int) -> int:
        """The number of the step whose task has this key."""
        return (key - self.id) // STEP - 1
