"""The agent's one outbound connection: hello, heartbeats, frames both ways, and coming back for ever."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from anchor import __version__
from anchor.agent.apps.hosting import Hosting, not_offered
from anchor.agent.executor import Executor
from anchor.agent.gauge import Gauge
from anchor.agent.identity import Identity, not_anchor
from anchor.agent.journal import Journal
from anchor.agent.measuring import measured
from anchor.agent.parcels import Parcels
from anchor.agent.pauses import Pauses
from anchor.agent.refusals import Blocked, NotNow, TurnedAway, UpgradeRequired, refusal_of
from anchor.agent.trust import trusted
from anchor.core.attempt import Ending, Outcome, Reason
from anchor.core.errors import AnchorError, Conflict, FailureCode
from anchor.core.node import Metrics, Profile
from anchor.failpoints import reached
from anchor.wire import link as wire
from anchor.wire.link import (
    Assign,
    Assignment,
    Cancel,
    Challenge,
    FromAgent,
    Heartbeat,
    Held,
    Hello,
    Host,
    Hosted,
    Measure,
    Nack,
    Recorded,
    Refused,
    Renewed,
    Report,
    ReportBody,
    Stop,
    Welcome,
)

log = structlog.get_logger("anchor.agent")
OPEN_SECONDS = 10.0
TURNED_AWAY_SAID_SECONDS = 3600.0
"""How often an agent that the server is too new or too old for says so again."""
FAREWELL_SECONDS = 3.0
PROTOCOL_OF_APPS = 4
"""Servers that speak an older one know nothing of apps."""
WORST_FRAME_BYTES = 40 * 1024 * 1024
"""A server may send an assignment larger than an agent's frames may be; this is the most an agent reads."""


class Connection:
    """Keeps a session with a server open, and the executor's frames flowing."""

    def __init__(
        self,
        url: str,
        identity: Identity,
        parcels: Parcels,
        journal: Journal,
        *,
        profile: Callable[[], Profile],
        metrics: Callable[[], Metrics],
        slots: int,
        box_key: bytes = b"",
    ) -> None:
        self._url = url
        self._identity = identity
        self._parcels = parcels
        self._journal = journal
        epoch = journal.epoch(identity.node)
        self._epoch = wire.UNKNOWN_EPOCH if epoch is None else epoch
        self._pauses = Pauses()
        self._turned_away_said_at = float("-inf")
        self._profile = profile
        self._gauge = Gauge(metrics)
        self._slots = slots
        self._box_key = box_key
        self._protocol = 0
        self._socket: ClientConnection | None = None
        self._outbox: list[bytes] = []
        self._wake = asyncio.Event()
        self._session = 0
        self._reports = 0
        self._lease_seconds = 0.0
        self._heartbeat_seconds = 1.0
        self._lease_until = float("inf")
        self._beats: deque[float] = deque()
        self._showing: asyncio.Task[None] | None = None
        self._leaving = False
        self._executor: Executor
        self._hosting: Hosting | None = None

    def serve(self, executor: Executor, hosting: Hosting | None = None) -> None:
        """Whose frames to carry; without `hosting` no apps run here."""
        self._executor = executor
        self._hosting = hosting

    @property
    def session(self) -> int:
        """The session that is open, or was last; 0 before the first."""
        return self._session

    @property
    def hosting_session(self) -> int:
        """The session that is open with a server that knows apps; 0 where there is none."""
        return self._session if self._socket is not None and self._protocol >= PROTOCOL_OF_APPS else 0

    def send(self, frame: FromAgent) -> None:
        """Queue a frame; dropped while there is no session (what must arrive is presented again after a hello)."""
        if self._socket is not None:
            self._outbox.append(wire.encode(frame))
            self._wake.set()

    def report(self, endings: Sequence[Ending]) -> None:
        """Sign endings and send them, in frames of a bounded size."""
        if self._socket is None:
            return
        batch: list[Ending] = []
        size = 0
        for ending in endings:
            weight = 300 + (len(ending.result.json) if ending.result is not None else 0)
            if batch and (len(batch) >= wire.BATCH_MAX or size + weight > wire.FRAME_BYTES_MAX // 2):
                self._send_report(batch)
                batch, size = [], 0
            batch.append(ending)
            size += weight
        self._send_report(batch)

    def _send_report(self, endings: list[Ending]) -> None:
        self._reports += 1
        body = msgspec.msgpack.encode(ReportBody(self._identity.node, self._session, self._reports, endings))
        self.send(Report(body, self._identity.sign(wire.report_bytes(body))))

    async def run(self) -> None:
        """Stay connected until cancelled; raises only where coming back would not help."""
        watch = asyncio.create_task(self._watch_lease())
        try:
            while True:
                before = self._session
                opened = time.monotonic()
                try:
                    await self._session_of_its_own()
                except NotNow as refusal:
                    wait = self._pauses.after_refusal(refusal.seconds)
                except UpgradeRequired as away:
                    self._say_turned_away(away)
                    wait = self._pauses.for_upgrade()
                except Blocked as away:
                    self._say_turned_away(away)
                    self._let_all_go()
                    wait = self._pauses.while_blocked()
                except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError) as error:
                    log.info("not connected", url=self._url, error=str(error) or type(error).__name__)
                    wait = self._pause_after(before, opened)
                except InvalidURI as error:
                    raise not_anchor(self._url) from error
                else:
                    wait = self._pause_after(before, opened)
                await asyncio.sleep(wait)
        finally:
            watch.cancel()
            self._gauge.close()

    def _pause_after(self, session_before: int, opened: float) -> float:
        self._pauses.hosts = self._hosting is not None and self._hosting.is_busy
        if self._session == session_before:
            return self._pauses.after_failure()
        return self._pauses.after_session(time.monotonic() - opened)

    def _say_turned_away(self, away: TurnedAway) -> None:
        now = time.monotonic()
        if now - self._turned_away_said_at >= TURNED_AWAY_SAID_SECONDS:
            self._turned_away_said_at = now
            log.error(away.event, url=self._url, message=str(away), hint=f"{away.hint} {away.meanwhile}")

    def _let_all_go(self) -> None:
        if self._executor.busy:
            self._executor.stop_all("the node was blocked")
        if self._hosting is not None:
            self._hosting.want([])

    async def _session_of_its_own(self) -> None:
        address = "ws" + self._url.removeprefix("http") + "/agent"
        async with connect(
            address,
            compression=None,
            max_size=WORST_FRAME_BYTES,
            open_timeout=OPEN_SECONDS,
            ping_interval=20,
            ping_timeout=20,
            proxy=None,
            ssl=trusted() if address.startswith("wss:") else None,
        ) as socket:
            await self._greet(socket)
            tasks = [asyncio.create_task(step(socket)) for step in (self._read, self._write, self._beat)]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                self._socket = None
                self._outbox.clear()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet(self, socket: ClientConnection) -> None:
        async with asyncio.timeout(OPEN_SECONDS):
            challenge = await _next(socket)
            if not isinstance(challenge, Challenge):
                raise not_anchor(self._url)
            now = time.time_ns() // 1_000_000
            asked = time.monotonic()
            profile = await asyncio.to_thread(self._profile)
            box = self._box_key if challenge.protocol_max >= PROTOCOL_OF_APPS else b""
            hello = Hello(
                node=self._identity.node,
                signature=self._identity.sign(wire.hello_bytes(challenge.nonce, self._identity.node, now)),
                protocol_min=wire.PROTOCOL_MIN,
                protocol_max=wire.PROTOCOL,
                version=__version__,
                now=now,
                slots=self._slots,
                profile=profile,
                held=self._executor.held(),
                epoch=self._epoch,
                box_key=box,
                box_signature=self._identity.sign(wire.box_bytes(self._identity.node, box)) if box else b"",
            )
            await socket.send(wire.encode(hello))
            answer = await _next(socket)
        if isinstance(answer, Refused):
            raise refusal_of(answer)
        if not isinstance(answer, Welcome):
            raise not_anchor(self._url)
        if answer.epoch not in {self._epoch, wire.UNKNOWN_EPOCH}:
            # Before anything of this session counts: work of this epoch is never shown to a server of an older one
            # as if it were that one's.
            await self._journal.keep_epoch(self._identity.node, answer.epoch)
            reached("link.epoch_kept")
            self._epoch = answer.epoch
        self._turned_away_said_at = float("-inf")
        self._session = answer.session
        self._protocol = answer.protocol
        self._lease_seconds = answer.lease_seconds
        self._heartbeat_seconds = answer.heartbeat_seconds
        self._pauses.lease_seconds = answer.lease_seconds
        self._pauses.place = answer.place
        self._lease_until = asked + answer.lease_seconds
        self._parcels.url = self._url
        self._parcels.token = answer.token
        self._socket = socket
        self._executor.drop(answer.dropped)
        self._executor.present()
        log.info("connected", url=self._url, node=self._identity.node, session=self._session)

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            try:
                frame = await _next(socket)
            except (msgspec.ValidationError, msgspec.DecodeError) as error:
                self.send(Nack(f"Not understood: {error}"))
                continue
            match frame:
                case Assign():
                    self._take(frame.items)
                case Recorded():
                    self._executor.recorded([*frame.recorded, *frame.stale])
                case Cancel():
                    self._executor.cancel(frame.items)
                case Renewed():
                    self._renewed(frame)
                case Nack():
                    log.warning("the server refused a frame", message=frame.message)
                case Stop():
                    log.info("the server ended the session", reason=frame.reason)
                    if not frame.reconnect:
                        raise Conflict(f"The server ended this node's session: {frame.reason}.", code="session_ended")
                    return
                case Measure():
                    self._show_speed(frame)
                case Host():
                    self._host(frame)
                case Challenge() | Welcome() | Refused():
                    self.send(Nack("Not now."))

    def _host(self, frame: Host) -> None:
        if self._hosting is not None:
            self._hosting.want(frame.items)
        else:
            self.send(Hosted(self._session, [not_offered(item) for item in frame.items]))

    def _show_speed(self, asked: Measure) -> None:
        """Answer in the meantime; one question at a time."""
        if self._showing is None or self._showing.done():
            self._showing = asyncio.create_task(self._answer_measure(asked))

    async def _answer_measure(self, asked: Measure) -> None:
        answer = await measured(asked, lambda: self._executor.under_way > 0)
        if answer is not None:
            self.send(answer)

    def _take(self, items: Sequence[Assignment]) -> None:
        """Begin what there are slots for; what a server sends beyond them goes back at once, uncharged."""
        room = self._slots - self._executor.under_way
        if len(items) > room:
            held = set(self._executor.held())
            items = [item for item in items if Held(item.task, item.attempt) not in held]
            excess = items[max(room, 0) :]
            items = items[: max(room, 0)]
            if excess:
                log.warning("refused more than there are slots for", slots=self._slots, refused=len(excess))
                why = f"This node runs {self._slots} tasks at a time, and was sent more."
                reason = Reason(FailureCode.RUNTIME_UNAVAILABLE, why)
                self.report([Ending(item.task, item.attempt, Outcome.REJECTED, reason=reason) for item in excess])
        self._executor.take(items)

    async def _write(self, socket: ClientConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            frames, self._outbox = self._outbox, []
            for frame in frames:
                await socket.send(frame)

    async def _beat(self, socket: ClientConnection) -> None:
        """Renew the lease; a server that does not answer within it is given up."""
        self._beats.clear()
        await self._gauge.look()
        if self._trouble():
            await self._send_beat()
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            if time.monotonic() > self._lease_until:
                log.warning("the server does not answer heartbeats", url=self._url)
                return
            await self._executor.look_for_room()
            await self._send_beat()
            self._executor.insist()

    async def _send_beat(self) -> None:
        await self._gauge.look()
        self._beats.append(time.monotonic())
        trouble = self._trouble()
        metrics = msgspec.structs.replace(self._gauge.seen, trouble=trouble)
        self.send(Heartbeat(self._session, metrics, self._executor.held(), self._leaving or bool(trouble)))

    def _trouble(self) -> str:
        return "its journal cannot be written" if self._executor.is_stuck else self._gauge.seen.trouble

    def _renewed(self, frame: Renewed) -> None:
        if frame.session == self._session and self._beats:
            # Counted from when the heartbeat it answers was sent: the server's lease began later, so ours ends first.
            self._lease_until = self._beats.popleft() + self._lease_seconds
            self._executor.drop(frame.dropped)

    async def _watch_lease(self) -> None:
        """Stop everything when the session's lease has run out: the server will have given it to somebody else."""
        while True:
            left = self._lease_until - time.monotonic()
            if left <= 0:
                if self._executor.busy:
                    log.warning("the session's lease ran out; stopping what runs", url=self._url)
                    self._executor.stop_all("the server was not reached for the length of a lease")
                left = self._heartbeat_seconds
            await asyncio.sleep(min(left + 0.01, self._heartbeat_seconds))

    async def take_no_more(self) -> None:
        """Ask for no more work, ahead of whatever is given back."""
        self._leaving = True
        if self._socket is not None:
            await self._send_beat()

    async def say_goodbye(self) -> None:
        """Wait a moment for the server to record what the executor still owes."""
        if self._socket is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await self._executor.settled()


async def _next(socket: ClientConnection) -> wire.FromServer:
    content = await socket.recv()
    if isinstance(content, str):
        raise AnchorError("The server sent text where frames are binary.", code="not_anchor")
    frame: wire.FromServer = wire.decode_from_server(content)
    return frame
