"""The agents' sockets: hello, then frames both ways, each socket with bounds on everything."""

import asyncio
import secrets
from collections.abc import Sequence

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import DecodeError, ValidationError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from anchor.core.attempt import Ending
from anchor.core.errors import AnchorError
from anchor.core.node import Node
from anchor.core.spec import INLINE_BYTES_MAX, limits_for, need_of_shape
from anchor.core.task import Task, holds
from anchor.orchestrator import nodes
from anchor.orchestrator.settle import settle
from anchor.ports.store import LogChunk, Store
from anchor.server.desk import Desk
from anchor.wire import link as wire
from anchor.wire.link import (
    Accepted,
    Assign,
    Assignment,
    Cancel,
    Challenge,
    Heartbeat,
    Held,
    Hello,
    Nack,
    Output,
    Recorded,
    Refused,
    Renewed,
    Report,
    Stop,
    Welcome,
)

log = structlog.get_logger("anchor.link")
HELLO_SECONDS = 5.0
OUTBOX_BYTES_MAX = 32 * 1024 * 1024
FRAMES_PER_SECOND = 2_000
FRAMES_BURST = 4_000
REPORTS_AT_ONCE = 8
SKEW_WARN_MS = 30_000


class Line:
    """One agent's socket after its hello. Sending never waits: frames queue up to a bound, then the line is cut."""

    def __init__(self, socket: WebSocket, node: Node) -> None:
        self.node = node
        self._socket = socket
        self._outbox: list[bytes] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing = False

    def send(self, frame: wire.FromServer) -> None:
        """Queue a frame."""
        content = wire.encode(frame)
        self._bytes += len(content)
        self._outbox.append(content)
        if self._bytes > OUTBOX_BYTES_MAX:
            log.warning("agent reads too slowly; cutting its line", node=self.node.id)
            self._closing = True
        self._wake.set()

    def close(self) -> None:
        """Send what is queued, then hang up."""
        self._closing = True
        self._wake.set()

    async def pump(self) -> None:
        """Write queued frames until the line is closed."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            frames, self._outbox, self._bytes = self._outbox, [], 0
            for frame in frames:
                await self._socket.send_bytes(frame)
            if self._closing:
                await self._socket.close(1000)
                return


class Lines:
    """Every connected agent of this server; fulfils the port `Links`."""

    def __init__(self, store: Store, *, lease_seconds: float, heartbeat_seconds: float) -> None:
        self._store = store
        self._lines: dict[str, Line] = {}
        self.lease_seconds = lease_seconds
        self.heartbeat_seconds = heartbeat_seconds

    async def assign(self, node: str, session: int, tasks: Sequence[Task]) -> None:
        """Hand a node the attempts just leased to it."""
        line = self._lines.get(node)
        if line is None or line.node.session != session:
            return
        payloads = await self._payloads(tasks)
        batch: list[Assignment] = []
        size = 0
        for task, payload in zip(tasks, payloads, strict=True):
            item = _assignment(task, payload)
            if batch and (len(batch) >= wire.BATCH_MAX or size + len(payload) > wire.FRAME_BYTES_MAX // 2):
                line.send(Assign(batch))
                batch, size = [], 0
            batch.append(item)
            size += len(payload) + 200
        if batch:
            line.send(Assign(batch))

    async def _payloads(self, tasks: Sequence[Task]) -> list[bytes]:
        with_payload = [task.id for task in tasks if not task.payload_blob]
        if not with_payload:
            return [b""] * len(tasks)
        found = dict(zip(with_payload, await self._store.payloads(with_payload), strict=True))
        return [found.get(task.id, b"") for task in tasks]

    async def cancel(self, node: str, tasks: Sequence[Task]) -> None:
        """Ask a node to stop the attempts it holds of these tasks."""
        line = self._lines.get(node)
        if line is not None:
            line.send(Cancel([Held(task.id, task.attempt) for task in tasks if task.session == line.node.session]))

    def connect(self, line: Line) -> None:
        """A new session; the line of the node's older one is cut."""
        older = self._lines.get(line.node.id)
        if older is not None:
            older.send(Stop("another connection of this node took over", False))
            older.close()
        self._lines[line.node.id] = line

    def disconnect(self, line: Line) -> bool:
        """Forget a line; False where a newer one has its place."""
        if self._lines.get(line.node.id) is line:
            del self._lines[line.node.id]
            return True
        return False

    def hang_up(self, node: str, reason: str) -> None:
        """End a node's session, for good."""
        line = self._lines.get(node)
        if line is not None:
            line.send(Stop(reason, False))
            line.close()

    def close(self) -> None:
        """Tell every agent to come back later."""
        for line in self._lines.values():
            line.send(Stop("the server is stopping", True))
            line.close()


def _assignment(task: Task, payload: bytes) -> Assignment:
    runtime = need_of_shape(task.shape).runtime
    return Assignment(
        task=task.id,
        attempt=task.attempt,
        runtime=runtime,
        limits=limits_for(runtime, task.spec.limits),
        payload=payload,
        payload_blob=task.payload_blob,
        name=task.spec.name,
    )


class AgentLink:
    """The ASGI application at `/agent`."""

    def __init__(self, desk: Desk, lines: Lines) -> None:
        self._desk = desk
        self._lines = lines
        self._settling: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one agent from its hello to its end."""
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        try:
            line = await self._greet(socket)
            if line is not None:
                await self._serve(socket, line)
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            if socket.client_state is WebSocketState.CONNECTED and socket.application_state is WebSocketState.CONNECTED:
                await socket.close(1011)

    async def _greet(self, socket: WebSocket) -> Line | None:
        desk = self._desk
        if not desk.ready:
            return await _refuse(socket, "not_ready", "The server is not serving.", "Come back later.", 1.0)
        nonce = secrets.token_bytes(32)
        now = desk.world.clock.now()
        challenge = Challenge(nonce, "anchor", desk.version, wire.PROTOCOL_MIN, wire.PROTOCOL, now)
        await socket.send_bytes(wire.encode(challenge))
        async with asyncio.timeout(HELLO_SECONDS):
            first = await socket.receive_bytes()
        try:
            hello: wire.FromAgent = wire.decode_from_agent(first)
        except (ValidationError, DecodeError):
            return await _refuse(socket, "not_a_hello", "The first frame was not understood.", "Upgrade the agent.")
        if not isinstance(hello, Hello):
            return await _refuse(socket, "not_a_hello", "The first frame has to be a hello.", "Upgrade the agent.")
        if hello.protocol_max < wire.PROTOCOL_MIN or hello.protocol_min > wire.PROTOCOL:
            return await _refuse(
                socket,
                "upgrade_required",
                f"The server speaks link protocols {wire.PROTOCOL_MIN} to {wire.PROTOCOL}, "
                f"the agent {hello.protocol_min} to {hello.protocol_max}.",
                "Install the same version of anchor on both.",
            )
        node = await desk.world.store.node(hello.node)
        if node is None or not _signed_by(node, nonce, hello):
            return await _refuse(
                socket,
                "unknown_node",
                f"This server knows no node {hello.node} with this key.",
                "Join this machine again: `anchor node token` on the server prints the command.",
            )
        try:
            greeted = await nodes.welcome(
                desk.world,
                node.id,
                profile=hello.profile,
                slots=max(1, min(hello.slots, 10_000)),
                held=[(held.task, held.attempt) for held in hello.held],
            )
        except AnchorError as error:
            return await _refuse(socket, error.code, error.message, error.hint, error.retry_after_seconds)
        skew = hello.now - now
        if abs(skew) > SKEW_WARN_MS:
            log.warning("the agent's clock is off", node=node.id, seconds=round(skew / 1000))
        line = Line(socket, greeted.node)
        self._lines.connect(line)
        line.send(
            Welcome(
                session=greeted.node.session,
                protocol=min(wire.PROTOCOL, hello.protocol_max),
                lease_seconds=self._lines.lease_seconds,
                heartbeat_seconds=self._lines.heartbeat_seconds,
                token=desk.gate.node_token(node.id),
                dropped=[Held(*held) for held in greeted.dropped],
            )
        )
        await self._lines.cancel(node.id, greeted.cancelled)
        log.info("node connected", node=node.id, session=greeted.node.session)
        return line

    async def _serve(self, socket: WebSocket, line: Line) -> None:
        pump = asyncio.create_task(line.pump())
        reader = asyncio.create_task(self._read(socket, line))
        try:
            done, _ = await asyncio.wait({pump, reader}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is not None and not isinstance(error, WebSocketDisconnect | RuntimeError):
                    log.error("agent link failed", node=line.node.id, exc_info=error)
        finally:
            for task in (pump, reader):
                task.cancel()
            await asyncio.gather(pump, reader, return_exceptions=True)
            if self._lines.disconnect(line):
                await nodes.farewell(self._desk.world, line.node.id, line.node.session)
                log.info("node disconnected", node=line.node.id, session=line.node.session)

    async def _read(self, socket: WebSocket, line: Line) -> None:
        key = Ed25519PublicKey.from_public_bytes(line.node.public_key)
        settling = asyncio.Semaphore(REPORTS_AT_ONCE)
        clock = asyncio.get_running_loop().time
        allowance, refilled = float(FRAMES_BURST), clock()
        while True:
            content = await socket.receive_bytes()
            now = clock()
            allowance = min(FRAMES_BURST, allowance + (now - refilled) * FRAMES_PER_SECOND) - 1
            refilled = now
            if allowance < 0:
                line.send(Stop("too many frames", True))
                line.close()
                return
            try:
                frame: wire.FromAgent = wire.decode_from_agent(content)
            except (ValidationError, DecodeError) as error:
                line.send(Nack(f"Not understood: {error}"))
                continue
            match frame:
                case Report():
                    await settling.acquire()
                    # Not bound to the line: what was reported is recorded even if the line breaks meanwhile.
                    task = asyncio.create_task(self._settle(line, key, frame, settling))
                    self._settling.add(task)
                    task.add_done_callback(self._settling.discard)
                case Heartbeat():
                    await self._beat(line, frame)
                case Accepted():
                    self._accepted(line, frame)
                case Output():
                    await self._keep_output(line, frame)
                case Nack():
                    log.warning("agent did not understand", node=line.node.id, message=frame.message)
                case Hello():
                    line.send(Nack("There was a hello already."))

    async def _settle(self, line: Line, key: Ed25519PublicKey, report: Report, settling: asyncio.Semaphore) -> None:
        try:
            key.verify(report.signature, wire.report_bytes(report.body))
            body = wire.decode_report(report.body)
            if (body.node, body.session) != (line.node.id, line.node.session):
                raise ValidationError("signed for another session")
            endings = [ending for ending in body.endings if _result_is_sound(ending)]
            verdict = await settle(self._desk.world, node=line.node.id, session=line.node.session, endings=endings)
        except (InvalidSignature, ValidationError, DecodeError) as error:
            line.send(Nack(f"The report was refused: {error or 'its signature is wrong'}"))
        except AnchorError as error:
            line.send(Nack(f"The report is not recorded yet: {error.message}"))
        else:
            line.send(
                Recorded(
                    [Held(ending.task, ending.attempt) for ending in verdict.recorded],
                    [Held(ending.task, ending.attempt) for ending in verdict.stale],
                )
            )
        finally:
            settling.release()

    async def _beat(self, line: Line, beat: Heartbeat) -> None:
        held = [(one.task, one.attempt) for one in beat.held]
        dropped = await nodes.heartbeat(
            self._desk.world, line.node.id, line.node.session, metrics=beat.metrics, held=held
        )
        if dropped is None:
            line.send(Stop("this session was superseded", True))
            line.close()
            return
        line.send(Renewed(line.node.session, [Held(*one) for one in dropped]))

    def _accepted(self, line: Line, frame: Accepted) -> None:
        seat = self._desk.world.fleet.seat(line.node.id, line.node.session)
        if seat is None:
            return
        running = [held.task for held in frame.items if seat.held.get(held.task, (0, 0))[0] == held.attempt]
        seat.running.update(running)
        self._desk.world.bus.tasks_changed(running)

    async def _keep_output(self, line: Line, frame: Output) -> None:
        world = self._desk.world
        ids = list({chunk.task for chunk in frame.items})
        tasks = await world.store.get(ids)
        live = {
            (task.id, task.attempt)
            for task in tasks
            if task is not None and holds(task, node=line.node.id, session=line.node.session, attempt=task.attempt)
        }
        kept = [
            LogChunk(chunk.task, chunk.attempt, chunk.seq, chunk.at, chunk.stream, chunk.text)
            for chunk in frame.items
            if (chunk.task, chunk.attempt) in live
        ]
        if kept:
            await world.store.append(kept)
            world.bus.tasks_changed([task for task, _ in live])


def _result_is_sound(ending: Ending) -> bool:
    return ending.result is None or len(ending.result.json) <= INLINE_BYTES_MAX


def _signed_by(node: Node, nonce: bytes, hello: Hello) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(node.public_key)
        key.verify(hello.signature, wire.hello_bytes(nonce, hello.node, hello.now))
    except InvalidSignature:
        return False
    return True


async def _refuse(
    socket: WebSocket, code: str, message: str, hint: str, retry_after: float | None = None
) -> Line | None:
    await socket.send_bytes(wire.encode(Refused(code, message, hint, retry_after)))
    await socket.close(1000)
    return None
