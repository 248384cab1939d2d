"""Server ↔ agent, protocol 4: MessagePack frames over one WebSocket, each a struct of a tagged union.

A conversation: the server sends Challenge, the agent answers Hello (signed), the server says Welcome or Refused; then
Assign, Cancel, Recorded and Stop come down while Accepted, Output, Report and Heartbeat go up. Frames are arrays, new
fields are only ever appended with a default, and an unknown kind is answered with Nack.

Protocol 2 appended `epoch` (the store's, raised by a restore) to Hello and Welcome, and `place` to Welcome. Protocol 3
brought Measure and Measured, and a seal in each ending. Protocol 4 brought apps: Host, Hosted and AppOutput, and
`box_key` in Hello.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from anchor.core.app import AppConfig, Plan
from anchor.core.attempt import Ending, Reason
from anchor.core.node import Metrics, Profile
from anchor.core.spec import ResolvedLimits

PROTOCOL = 4
PROTOCOL_MIN = 3
FRAME_BYTES_MAX = 1024 * 1024
BATCH_MAX = 250
"""Assignments or endings in one frame."""
SIGNATURE_DOMAIN = b"anchor-link-1:"
"""Prefixed to whatever a node signs, so that no signature of it means anything elsewhere."""


TaskKey = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
AttemptNumber = Annotated[int, Meta(ge=0, lt=1 << 31)]
Epoch = Annotated[int, Meta(ge=-1, lt=1 << 31)]
"""How often the store was restored from a backup; UNKNOWN_EPOCH where nobody said."""
UNKNOWN_EPOCH = -1
Milliseconds = Annotated[int, Meta(ge=0, lt=253_402_300_800_000)]
"""Unix milliseconds up to the year 9999."""


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag_field="kind"):
    pass


class Challenge(_Frame, frozen=True, tag="challenge"):
    """The server's first word: what to sign, and which protocols it speaks."""

    nonce: bytes
    server: str
    version: str
    protocol_min: int
    protocol_max: int
    now: int


class Held(msgspec.Struct, frozen=True, array_like=True):
    """An attempt in the agent's journal."""

    task: TaskKey
    attempt: AttemptNumber


class Hello(_Frame, frozen=True, tag="hello"):
    """Who calls. `signature` covers domain, nonce, node id and the agent's clock; `held` is what its journal holds;
    `epoch` is that of the last Welcome this agent had, unknown where it had none or the server spoke protocol 1.
    `box_key` is the raw X25519 key that secrets of apps are sealed to, `box_signature` the node's over `box_bytes`."""

    node: str
    signature: bytes
    protocol_min: int
    protocol_max: int
    version: str
    now: Milliseconds
    slots: int
    profile: Profile
    held: list[Held]
    epoch: Epoch = UNKNOWN_EPOCH
    box_key: Annotated[bytes, Meta(max_length=32)] = b""
    box_signature: Annotated[bytes, Meta(max_length=64)] = b""


class Welcome(_Frame, frozen=True, tag="welcome"):
    """The session is open. `token` is the bearer for blobs over HTTP; `dropped` are held attempts that are no longer
    this node's: stop them and forget them. `epoch` is the store's: keep it for the next hello.
    `place` is this agent's among all of the server's, from 0 to below 1: when to come back, should all be dropped at
    once; below 0 the server says nothing."""

    session: int
    protocol: int
    lease_seconds: float
    heartbeat_seconds: float
    token: str
    dropped: list[Held]
    epoch: Epoch = UNKNOWN_EPOCH
    place: Annotated[float, Meta(ge=-1, lt=1)] = -1.0


class Refused(_Frame, frozen=True, tag="refused"):
    """The session is not opened. With `retry_after` the agent comes back, without it it stops and says why."""

    code: str
    message: str
    hint: str
    retry_after: float | None


class Assignment(msgspec.Struct, frozen=True, array_like=True):
    """One attempt: `payload` is JSON (see core.spec.Payload), or `payload_blob` names the blob that holds it. `gpu`:
    the task requires a GPU, and may see the node's."""

    task: int
    attempt: int
    runtime: str
    limits: ResolvedLimits
    payload: bytes
    payload_blob: str
    name: str
    gpu: bool = False


class Assign(_Frame, frozen=True, tag="assign"):
    """Attempts leased to this session."""

    items: list[Assignment]


class Cancel(_Frame, frozen=True, tag="cancel"):
    """Stop these attempts and report how they ended."""

    items: list[Held]


class Accepted(_Frame, frozen=True, tag="accepted"):
    """These attempts are in the agent's journal: shown as running from now on."""

    items: list[Held]


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of output; `seq` numbers an attempt's pieces from 1, `stream` is stdout, stderr or progress."""

    task: TaskKey
    attempt: AttemptNumber
    seq: Annotated[int, Meta(ge=1, lt=1 << 53)]
    at: Milliseconds
    stream: Annotated[str, Meta(pattern="^(stdout|stderr|progress)$")]
    text: str


class Output(_Frame, frozen=True, tag="output"):
    """What running attempts printed."""

    items: list[Chunk]


class Report(_Frame, frozen=True, tag="report"):
    """Endings, signed: `body` is `ReportBody` as MessagePack, `signature` covers domain + body."""

    body: bytes
    signature: bytes


class ReportBody(msgspec.Struct, frozen=True, array_like=True):
    """The signed part of a report; node, session and the count against replay elsewhere."""

    node: str
    session: int
    number: int
    endings: list[Ending]


class Recorded(_Frame, frozen=True, tag="recorded"):
    """The journal may forget these: `recorded` are in the truth, `stale` were fenced off."""

    recorded: list[Held]
    stale: list[Held]


class Heartbeat(_Frame, frozen=True, tag="heartbeat"):
    """Still here, holding these attempts; `draining` asks for no more work."""

    session: int
    metrics: Metrics
    held: list[Held]
    draining: bool


class Renewed(_Frame, frozen=True, tag="renewed"):
    """The session's lease runs for another `lease_seconds`; `dropped` are attempts no longer this node's."""

    session: int
    dropped: list[Held]


class Measure(_Frame, frozen=True, tag="measure"):
    """Show how fast this machine works: `segments` times PBKDF2-HMAC-SHA-512 of `rounds` rounds, each seeded by the
    one before and the first by `nonce`, on one core while nothing else runs."""

    nonce: bytes
    segments: int
    rounds: int


class Measured(_Frame, frozen=True, tag="measured"):
    """The end of every segment, in order; `seconds` is what the agent says it took."""

    nonce: Annotated[bytes, Meta(max_length=64)]
    marks: Annotated[list[Annotated[bytes, Meta(max_length=64)]], Meta(max_length=256)]
    seconds: Annotated[float, Meta(ge=0, le=3600)]


class HostItem(msgspec.Struct, frozen=True, array_like=True):
    """A replica that the node is to run. `source` is the digest of the archive, `lock` that of the pinned versions
    where an earlier build settled on them ("": the source pins them, or this is the first build). `env` is JSON of all
    variables, sealed to the node's `box_key` (b"": there are none). `drains`: finish what is being answered, then
    stop. `serves`: it is the generation that requests go to, also those to the app's port on the machine itself.
    `prepares`: run the process RELEASE to its end first."""

    app: TaskKey
    name: str
    process: str
    index: int
    generation: int
    release: int
    source: str
    lock: str
    config: AppConfig
    plan: Plan
    env: bytes
    drains: bool = False
    serves: bool = False
    prepares: bool = False


class Host(_Frame, frozen=True, tag="host"):
    """All replicas that this node is to run from now on: what is missing is started, whatever else there is stops."""

    items: list[HostItem]


class ReplicaStatus(msgspec.Struct, frozen=True, array_like=True):
    """How a replica is doing. `lock` is the digest of the blob with the versions its build settled on, `prepared` that
    the process RELEASE has run. CPU in cores, memory in MiB."""

    app: TaskKey
    generation: Annotated[int, Meta(ge=1, lt=1 << 53)]
    state: Literal["building", "starting", "healthy", "unhealthy", "draining", "failed", "stopped"]
    since: Milliseconds
    restarts: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0
    reason: Reason | None = None
    lock: Annotated[str, Meta(max_length=71)] = ""
    prepared: bool = False
    cpu: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    memory_mib: Annotated[float, Meta(ge=0, le=1e9)] = 0.0


class Hosted(_Frame, frozen=True, tag="hosted"):
    """Every replica this node has, as an answer to Host, whenever one changes, and now and then for the figures. What
    was to stop and is gone is `stopped` once, and then left out."""

    session: int
    items: Annotated[list[ReplicaStatus], Meta(max_length=10_000)]


class AppOutput(_Frame, frozen=True, tag="app_output"):
    """What replicas printed: `task` is the app's id, `attempt` the generation."""

    items: list[Chunk]


class Nack(_Frame, frozen=True, tag="nack"):
    """A frame was not understood and was ignored."""

    message: str


class Stop(_Frame, frozen=True, tag="stop"):
    """The server ends the session: `reason` for the log, `reconnect` whether to come back."""

    reason: str
    reconnect: bool


FromServer = Challenge | Welcome | Refused | Assign | Cancel | Recorded | Renewed | Measure | Host | Nack | Stop
FromAgent = Hello | Accepted | Output | Report | Heartbeat | Measured | Hosted | AppOutput | Nack

encode = msgspec.msgpack.Encoder().encode
decode_from_server = msgspec.msgpack.Decoder(FromServer).decode
decode_from_agent = msgspec.msgpack.Decoder(FromAgent).decode
decode_report = msgspec.msgpack.Decoder(ReportBody).decode


def hello_bytes(nonce: bytes, node: str, now: int) -> bytes:
    """What a hello's signature covers."""
    return SIGNATURE_DOMAIN + b"hello:" + nonce + node.encode() + now.to_bytes(8, "big", signed=True)


def box_bytes(node: str, box_key: bytes) -> bytes:
    """What the signature of a `box_key` covers."""
    return SIGNATURE_DOMAIN + b"box:" + node.encode() + b":" + box_key


def report_bytes(body: bytes) -> bytes:
    """What a report's signature covers."""
    return SIGNATURE_DOMAIN + b"report:" + body
