"""A node of the tests' own: over a real line, it does with each task what the task's input says."""

import hashlib
import threading
import time
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
from puppet import Puppet, Session, failure, sealed, success
from tests.failpoints.hosting import Replicas, hosted
from websockets.exceptions import WebSocketException

from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.errors import FailureCode
from anchor.core.spec import FEATURES
from anchor.core.speed import chain
from anchor.wire import box, link
from anchor.wire.link import Assignment, Held

BEAT_SECONDS = 0.2
BIG = "x" * 100_000
Lease = tuple[int, int]


class Machine:
    """Joins as a node; between `connect` and `disconnect` a thread keeps its line open, whatever happens to the server.

    An input `{"do": …, "value": …}` is answered by the value, after: `fail` failing once, `crash` taking the agent down
    once, `print` some output, `big` uploading it as a blob, `twice` reporting it twice, `ignore` not having
    heard of the first attempt; `hold` waits for `let_go` or a cancel, and gives in to the second cancel only. A machine
    that `lies` answers 0 instead. What it hosts of apps is in `replicas`. It belongs to the holder of `key`, or else to
    whoever runs the server.
    """

    def __init__(self, server: Any, *labels: str, slots: int = 4, key: str = "", lies: bool = False) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else dict(server.client.headers)
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=20) as client:
            joined: Any = SimpleNamespace(url=server.url, client=client)
            self.replicas = Replicas()
            self.puppet = _Host(self.replicas, joined, slots=slots, labels=labels, features=tuple(FEATURES))
        self.let_go = False
        self._lies = lies
        self._held: dict[Lease, Assignment] = {}
        self._done: dict[Lease, Ending] = {}
        self._asked_to_stop: set[Lease] = set()
        self._open = False
        self._thread: threading.Thread | None = None
        self.trouble: list[BaseException] = []

    def connect(self) -> None:
        if not self._open:
            self._open = True
            self._thread = threading.Thread(target=self._stay, daemon=True)
            self._thread.start()

    def disconnect(self) -> None:
        self._open = False
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def _stay(self) -> None:
        while self._open:
            try:
                with self.puppet.connect(held=[*self._held, *self._done]) as session:
                    self._work(session)
            except (OSError, WebSocketException, TimeoutError, httpx.TransportError):
                time.sleep(0.02)
            except BaseException as error:
                self.trouble.append(error)
                raise

    def _work(self, session: Session) -> None:
        beat_at = 0.0
        if self._done:
            session.report(list(self._done.values()))
        for lease, item in list(self._held.items()):
            if _do(item) != "hold":  # the line broke while it was being done
                del self._held[lease]
                self._begin(session, item)
        while self._open:
            if self.let_go:
                for item in list(self._held.values()):
                    self._end(session, success(item, _value(item)))
            if time.monotonic() >= beat_at:
                session.beat(*self._held, *self._done)
                for said in self.replicas.go_on():
                    session.send(said)
                session.send(hosted(session.number, self.replicas))
                beat_at = time.monotonic() + BEAT_SECONDS
            try:
                content = session.socket.recv(timeout=0.05)
            except TimeoutError:
                continue
            assert isinstance(content, bytes)
            self._take(session, link.decode_from_server(content))

    def _take(self, session: Session, frame: link.FromServer) -> None:
        match frame:
            case link.Assign():
                for item in frame.items:
                    self._begin(session, item)
            case link.Recorded():
                self._forget([*frame.recorded, *frame.stale])
            case link.Renewed():
                self._forget(frame.dropped)
            case link.Cancel():
                for held in frame.items:
                    self._stop(session, (held.task, held.attempt))
            case link.Host():
                for said in self.replicas.take(frame):
                    session.send(said)
                session.send(hosted(session.number, self.replicas))
            case link.Measure():
                began = time.monotonic()
                mark = next(chain(frame.nonce, frame.rounds))
                session.send(link.Measured(frame.nonce, [mark], time.monotonic() - began))
            case link.Nack():
                if self._done:
                    session.report(list(self._done.values()))
            case _:
                pass

    def _begin(self, session: Session, item: Assignment) -> None:
        lease = (item.task, item.attempt)
        if lease in self._held or lease in self._done:
            return
        wish = _wish(item, session)
        first = item.attempt == 1
        if wish["do"] == "ignore" and first:
            return
        self._held[lease] = item
        session.send(link.Accepted([Held(*lease)]))
        match wish["do"]:
            case "hold":
                if self.let_go:
                    self._end(session, success(item, wish["value"]))
            case "fail" if first:
                self._end(session, failure(item, "not_this_time"))
            case "crash" if first:
                down = Reason(FailureCode.AGENT_RESTARTED, "The agent was restarted while this ran.")
                self._end(session, Ending(*lease, Outcome.CRASHED, reason=down))
            case "big":
                self._end(session, self._big(session, item, wish["value"]))
            case "twice":
                self._end(session, success(item, wish["value"]), times=2)
            case _:
                if wish["do"] == "print":
                    session.print(item, 1, "one\n", "two\n")
                self._end(session, success(item, 0 if self._lies else wish["value"]))

    def _big(self, session: Session, item: Assignment, value: object) -> Ending:
        content = msgspec.json.encode([value, BIG])
        digest = _upload(self.puppet.server.url, session.token, content)
        return Ending(item.task, item.attempt, Outcome.SUCCEEDED, Result(blob=digest, size=len(content)))

    def _stop(self, session: Session, lease: Lease) -> None:
        if lease in self._held and lease in self._asked_to_stop:
            reason = Reason(FailureCode.CANCELLED, "Cancelled while it ran.")
            self._end(session, Ending(*lease, Outcome.CANCELLED, reason=reason))
        self._asked_to_stop.add(lease)

    def _end(self, session: Session, ending: Ending, times: int = 1) -> None:
        lease = (ending.task, ending.attempt)
        item = self._held.pop(lease, None)
        self._done[lease] = sealed(session, item, ending) if item is not None else ending
        session.report([self._done[lease]] * times)

    def _forget(self, leases: list[Held]) -> None:
        for one in leases:
            self._held.pop((one.task, one.attempt), None)
            self._done.pop((one.task, one.attempt), None)


class _Host(Puppet):
    """A machine that secrets can be sealed to."""

    def __init__(self, replicas: Replicas, server: Any, **how: Any) -> None:
        super().__init__(server, **how)
        self._box_key = box.public_of(replicas.key)

    def hello(self, nonce: bytes, **changes: Any) -> link.Hello:
        signature = self.key.sign(link.box_bytes(self.node, self._box_key))
        return super().hello(nonce, box_key=self._box_key, box_signature=signature, **changes)


def _wish(item: Assignment, session: Session) -> dict[str, Any]:
    content = item.payload
    if item.payload_blob:
        answer = httpx.get(
            f"{session.puppet.server.url}/api/blobs/{item.payload_blob}",
            headers={"Authorization": f"Bearer {session.token}"},
            trust_env=False,
        )
        content = answer.raise_for_status().content
    wish: dict[str, Any] = msgspec.json.decode(content)["input"]
    return wish


def _do(item: Assignment) -> object:
    return msgspec.json.decode(item.payload)["input"]["do"] if item.payload else "echo"


def _value(item: Assignment) -> object:
    return msgspec.json.decode(item.payload)["input"]["value"]


def _upload(url: str, token: str, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    answer = httpx.put(
        f"{url}/api/blobs/{digest}", content=content, headers={"Authorization": f"Bearer {token}"}, trust_env=False
    )
    answer.raise_for_status()
    return digest
