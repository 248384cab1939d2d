"""What travels on the live link at /live, which speaks Socket.IO: what a page asks for, and the frames it is sent.

A page connects with the path `/live` and the transport `websocket`. It is let in by the cookie of its session or, like
any program, by a token (`auth: {token}`, or the header Authorization); refused, it gets a `connect_error` whose `data`
is a `Refusal`. Then it asks, each time with an acknowledgement:

| event | argument | answered with |
|---|---|---|
| `join` | `{"room": NAME}` | `Joined`, the whole picture of that room, or a `Refusal` |
| `leave` | `{"room": NAME}` | `Left` |
| `pause` | none | `Paused`: no frames of the rooms it is in until `resume` (a hidden page does that) |
| `resume` | none | `Resumed`: the whole picture of every room it is in, or a `Refusal` for those it lost |

and is sent `frame` (a `Frame`) for each room it is in, ten times a second at most and only where something changed;
`missed` (`Missed`) when it was passed over; `gone` (`Gone`) when a room is over for it; and `stop` (`Stop`) just before
the server hangs up. A ping of Socket.IO's comes every two seconds: a page that heard neither that nor a frame for five
is not live, and should say so.

A frame says what changed since the frame with the `seq` before it. A page that finds a number missing (the server skips
whoever reads too slowly), that is told `missed`, or that was cut off joins again: what `join` answers is whole, and
frames go on from its `seq` (which begins anew where nobody was in the room meanwhile). The same picture is to be had
over REST:

| room | role | what is in it | whole picture, `snapshot` | frame, `data` | over REST |
|---|---|---|---|---|---|
| `watch` | viewer | how it is going | `Watch` without marks | `Watch` | GET /api/queue/stats, /api/nodes |
| `tasks` | viewer | tasks by state | `Counts` | `Counts`, whole | GET /api/tasks (X-Total-Count) |
| `fleet` | viewer | all nodes | `Fleet`, every node | `Fleet`, those that changed | GET /api/nodes |
| `apps` | viewer | all apps | `Apps`, every app | `Apps`, those that changed | GET /api/clusters |
| `cases` | viewer | the newest cases | `Cases` | `Cases`, whole | GET /api/verification/cases |
| `events` | operator | the audit trail | `Events`, the newest | `Events`, those since | GET /api/audit |
| `task:ID` | viewer | one task | `TaskRow` | `TaskRow`, whole | GET /api/tasks/ID (output: its /logs) |
| `run:ID` | viewer | one run of a graph | `RunView`, no `stepList` | the same, whole | GET /api/dags/ID, its /steps |
| `app:ID` | viewer | one app | `AppView` | `AppView`, whole | GET /api/clusters/ID |
| `node:ID` | viewer | one node | `NodeView` | `NodeView`, whole | GET /api/nodes/ID |

A submitter sees only what is its own of tasks, runs, apps and cases, everywhere: counts and marks are of those.
"""

from typing import Any

import msgspec

from anchor.wire.apps import AppRow
from anchor.wire.rest import AuditEntry
from anchor.wire.verification import CaseRow

PATH = "/live"
FRAMES_PER_SECOND = 10
MARKS_MAX = 60
CASES_SHOWN = 20
EVENTS_SHOWN = 50
ROOM_LENGTH_MAX = 100


class _Word(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    pass


class Room(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `join` and `leave` are about."""

    room: str


class Refusal(_Word, frozen=True, tag_field="kind", tag="refused"):
    """Why not, and what to do; `room` is empty where no room was asked for."""

    room: str
    code: str
    message: str
    hint: str


class Joined(_Word, frozen=True, tag_field="kind", tag="joined"):
    """The whole picture of a room; frames go on from `seq`. `at` is the server's clock (Unix ms)."""

    room: str
    seq: int
    at: int
    snapshot: Any


class Left(_Word, frozen=True, tag_field="kind", tag="left"):
    """No more frames of this room come (one may be on its way)."""

    room: str


class Paused(_Word, frozen=True, tag_field="kind", tag="paused"):
    """Nothing is sent until `resume`."""


class Resumed(_Word, frozen=True, tag_field="kind", tag="resumed"):
    """What every room looks like now."""

    rooms: list[Joined | Refusal]


class Frame(_Word, frozen=True):
    """What changed in a room since its frame `seq - 1`. `at` is the server's clock (Unix ms)."""

    room: str
    seq: int
    at: int
    data: Any


class Missed(_Word, frozen=True):
    """The client read too slowly for a frame of this room, and reads again: it should join again."""

    room: str


class Gone(_Word, frozen=True):
    """The client is in this room no longer: what it was about is gone, or not the client's to see."""

    room: str
    code: str
    message: str


class Stop(_Word, frozen=True):
    """The server hangs up. `retry_seconds` is when to come back, None: not as it is (`code` `unauthenticated`: sign in
    again; `slow_reader`, `flood`, `binary`, `too_large`, `not_understood`: the client did what it may not)."""

    code: str
    message: str
    hint: str
    retry_seconds: float | None = None


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened to a task, travelling as an array. `node` is empty where none has it; `since` is when the
    attempt that ended here began (Unix ms, 0 where none did), `at` when this happened."""

    task: str
    name: str
    state: str
    node: str
    since: int
    at: int


class Figures(_Word, frozen=True):
    """The six figures. `done` and `failed` are of the last five whole minutes; `median_wait_ms` is how long the tasks
    waited that were given out here in the last minute (None where none was seen); `online` of `nodes` are."""

    running: int
    waiting: int
    done: int
    failed: int
    median_wait_ms: int | None
    online: int
    nodes: int


class Watch(_Word, frozen=True):
    """How it is going. `counts` are all tasks by state, exact. `happened` is how many events of tasks there were on
    this server since the frame before, `marks` a sample of them and of what ended on other servers (at most
    `MARKS_MAX`; failures are preferred)."""

    counts: dict[str, int]
    figures: Figures
    happened: int
    marks: list[Mark]


class Counts(_Word, frozen=True):
    """How many tasks are in each state, exact."""

    counts: dict[str, int]
    total: int


class FleetNode(msgspec.Struct, frozen=True, array_like=True):
    """A node, travelling as an array. `status` as in `NodeView`; `active` are the slots in use (None where it is
    connected to another server); `cpu` is in per cent; `trouble` is `flagged` (nobody explained yet why its answers
    differed), `failing` (its agent died under tasks, or says itself why it takes no work), or empty."""

    id: str
    status: str
    active: int | None
    slots: int
    cpu: int
    trouble: str


class Fleet(_Word, frozen=True):
    """Nodes that changed (in a snapshot: all)."""

    nodes: list[FleetNode]


class Apps(_Word, frozen=True):
    """Apps that changed (in a snapshot: all), and the ids of those that are gone."""

    apps: list[AppRow]
    gone: list[str]


class Cases(_Word, frozen=True):
    """The newest cases, at most `CASES_SHOWN`."""

    cases: list[CaseRow]


class Events(_Word, frozen=True):
    """Entries of the audit trail, the newest first, at most `EVENTS_SHOWN`. Where there are more than fit into a frame
    the numbers show a gap; the rest is at GET /api/audit."""

    entries: list[AuditEntry]
