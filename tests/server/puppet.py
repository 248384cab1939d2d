"""An agent that does what a test tells it: real socket, real signatures, unless told otherwise."""

import base64
import hashlib
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from served import Served
from websockets.sync.client import ClientConnection, connect

from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.node import Metrics, Profile
from anchor.wire import box, link
from anchor.wire.link import (
    Accepted,
    AppOutput,
    Assignment,
    Challenge,
    Chunk,
    Heartbeat,
    Held,
    Hello,
    Host,
    Hosted,
    HostItem,
    Output,
    ReplicaStatus,
    ReportBody,
    Welcome,
)
from anchor.wire.seals import Given, seal_from, statement_bytes, statement_of

F = TypeVar("F", bound=msgspec.Struct)
PATIENCE_SECONDS = 20.0


class Puppet:
    """A machine that has joined: its node id and key."""

    def __init__(self, server: Served, *, name: str = "Puppet", slots: int = 4, **profile: Any) -> None:
        self.server = server
        self.key = Ed25519PrivateKey.generate()
        self.box_key = box.new_private_key()
        self.slots = slots
        self.profile = Profile(runtimes={"isolate": "1"}, cores=4, ram=8.0, **profile)
        token = server.client.post("/api/nodes/join-tokens", json={}).json()["token"]
        answer = join(server, token, self.key.public_key().public_bytes_raw(), name)
        assert answer.status_code == 201, answer.text
        self.node: str = answer.json()["nodeId"]

    def call(self) -> "Session":
        """Open a socket, before any hello."""
        return Session(self)

    def connect(self, *, held: Sequence[tuple[int, int]] = ()) -> "Session":
        """A session."""
        session = self.call()
        session.greet(held=held)
        return session

    def hello(self, nonce: bytes, **changes: Any) -> Hello:
        """A proper hello to this nonce, with whatever a test wants changed after the signing."""
        now = int(time.time() * 1000)
        proper = Hello(
            node=self.node,
            signature=self.key.sign(link.hello_bytes(nonce, self.node, now)),
            protocol_min=link.PROTOCOL_MIN,
            protocol_max=link.PROTOCOL,
            version="test",
            now=now,
            slots=self.slots,
            profile=self.profile,
            held=[],
            box_key=box.public_of(self.box_key),
            box_signature=self.key.sign(link.box_bytes(self.node, box.public_of(self.box_key))),
        )
        return msgspec.structs.replace(proper, **changes)


class Session:
    """One socket of a puppet."""

    def __init__(self, puppet: Puppet) -> None:
        self.puppet = puppet
        self._open = ExitStack()
        address = f"ws{puppet.server.url.removeprefix('http')}/agent"
        self.socket: ClientConnection = self._open.enter_context(
            connect(address, max_size=None, close_timeout=1, proxy=None)
        )
        self.number = 0
        self.token = ""
        self._reports = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._open.close()

    def greet(self, *, held: Sequence[tuple[int, int]] = ()) -> None:
        """Say hello properly and wait for the welcome."""
        challenge = self.next(Challenge)
        self.send(self.puppet.hello(challenge.nonce, held=[Held(*one) for one in held]))
        welcome = self.next(Welcome)
        self.number, self.token = welcome.session, welcome.token

    def send(self, frame: Any) -> None:
        """Send a frame, or bytes as they are."""
        self.socket.send(frame if isinstance(frame, bytes | str) else link.encode(frame))

    def next(self, kind: type[F], seconds: float = PATIENCE_SECONDS) -> F:
        """The next frame of this kind; others are passed over."""
        until = time.monotonic() + seconds
        while True:
            content = self.socket.recv(timeout=max(0.0, until - time.monotonic()))
            assert isinstance(content, bytes)
            frame = link.decode_from_server(content)
            if isinstance(frame, kind):
                return frame

    def assigned(self, count: int = 1) -> list[Assignment]:
        """As many assignments, accepted."""
        items: list[Assignment] = []
        while len(items) < count:
            items += self.next(link.Assign).items
        self.send(Accepted([Held(item.task, item.attempt) for item in items]))
        return items

    def print(self, item: Assignment, first: int, *texts: str, stream: str = "stdout") -> None:
        """Print, numbering the pieces from `first`."""
        now = int(time.time() * 1000)
        self.send(
            Output([Chunk(item.task, item.attempt, first + at, now, stream, text) for at, text in enumerate(texts)])
        )

    def report(self, endings: Sequence[Ending], **changes: Any) -> None:
        """Report endings, signed; `changes` may put another node, session or number into the body."""
        self._reports += 1
        body = ReportBody(self.puppet.node, self.number, self._reports, list(endings))
        self.send_signed(msgspec.msgpack.encode(msgspec.structs.replace(body, **changes)))

    def send_signed(self, body: bytes) -> None:
        """A report of these bytes, whatever they say."""
        self.send(link.Report(body, self.puppet.key.sign(link.report_bytes(body))))

    def hosts(self, count: int = 1) -> list[HostItem]:
        """What it is to run, once that is so many replicas."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            items = self.next(Host, until - time.monotonic()).items
            if len(items) == count:
                return items

    def says(self, *items: HostItem, state: Any = "healthy", **more: Any) -> None:
        """Say that these are all it has, in this state."""
        now = int(time.time() * 1000)
        statuses = [ReplicaStatus(item.app, item.generation, state, now, **more) for item in items]
        self.send(Hosted(self.number, statuses))

    def prints(self, item: HostItem, first: int, *texts: str, stream: str = "stdout") -> None:
        """Print as a replica, numbering the pieces from `first`."""
        now = int(time.time() * 1000)
        pieces = [Chunk(item.app, item.generation, first + at, now, stream, text) for at, text in enumerate(texts)]
        self.send(AppOutput(pieces))

    def variables(self, item: HostItem) -> dict[str, str]:
        """A replica's variables, out of their box."""
        found: dict[str, str] = msgspec.json.decode(box.opened(self.puppet.box_key, item.env)) if item.env else {}
        return found

    def beat(self, *held: tuple[int, int], **metrics: Any) -> None:
        """A heartbeat."""
        self.send(Heartbeat(self.number, Metrics(**metrics), [Held(*one) for one in held], False))


def join(server: Served, token: str, public_key: bytes, name: str = "Puppet") -> httpx.Response:
    """Ask to become a node."""
    return server.client.post(
        "/api/nodes/join",
        json={"publicKey": base64.b64encode(public_key).decode(), "name": name},
        headers={"Authorization": f"Bearer {token}"},
    )


def sealed(session: Session, item: Assignment, ending: Ending, key: Ed25519PrivateKey | None = None) -> Ending:
    """The ending as a node seals it."""
    payload = item.payload_blob or hashlib.sha256(item.payload).hexdigest()
    given = Given(item.task, item.attempt, item.runtime, item.limits, payload)
    said = statement_of(given, ending, node=session.puppet.node, session=session.number)
    return replace(ending, seal=seal_from(session.number, (key or session.puppet.key).sign(statement_bytes(said))))


def success(item: Assignment, value: object = None) -> Ending:
    """The assignment succeeded with this value."""
    content = msgspec.json.encode(value)
    return Ending(item.task, item.attempt, Outcome.SUCCEEDED, Result(json=content, size=len(content)))


def failure(item: Assignment, code: str, message: str = "It broke.") -> Ending:
    """The assignment failed."""
    return Ending(item.task, item.attempt, Outcome.ERRORED, reason=Reason(code, message))
