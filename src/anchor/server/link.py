"""The agents' sockets: hello, then frames both ways, each socket with bounds on everything."""

import asyncio
import contextlib
import secrets
from functools import partial

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import DecodeError, ValidationError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError, OutOfSpace, Unavailable
from anchor.core.progress import MESSAGE_LENGTH_MAX, read_progress
from anchor.core.task import holds
from anchor.failpoints import reached
from anchor.orchestrator import nodes
from anchor.orchestrator.settle import settle
from anchor.ports.store import LogChunk, UnknownOutcome
from anchor.server.admission import Admission, some_seconds
from anchor.server.app_output import AppOutputs
from anchor.server.beats import Beats
from anchor.server.desk import Desk
from anchor.server.endings import sound
from anchor.server.hellos import box_signed_by, signed_by
from anchor.server.hosted import take_in
from anchor.server.lines import CLOSE_SECONDS, Line, Lines
from anchor.server.measuring import Measuring
from anchor.server.seals import seal_checked
from anchor.wire import link as wire
from anchor.wire.link import (
    Accepted,
    AppOutput,
    Challenge,
    Chunk,
    Heartbeat,
    Held,
    Hello,
    Hosted,
    Measured,
    Nack,
    Output,
    Recorded,
    Refused,
    Report,
    Stop,
    Welcome,
)
from anchor.wire.rest import TaskProgress, time_of

log = structlog.get_logger("anchor.link")
NOT_UNDERSTOOD = (ValidationError, DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a frame of somebody else's may raise."""
HELLO_SECONDS = 5.0
RECOVERY_SECONDS = 2.0
FRAMES_PER_SECOND = 2_000
FRAMES_BURST = 4_000
REPORTS_AT_ONCE = 8
OUTPUT_SLACK_BYTES = 64 * 1024
"""What an attempt may print beyond its limit (the agent's own words, progress) before the server stops keeping it."""
NODE_ID_SHOWN = 40
SKEW_WARN_MS = 30_000


class AgentLink:
    """The ASGI application at `/agent`."""

    def __init__(self, desk: Desk, lines: Lines) -> None:
        self._desk = desk
        self._lines = lines
        self._admission = Admission()
        self._beats = Beats(desk.world)
        self._measuring = Measuring(desk.world)
        self._app_outputs = AppOutputs(desk.world)
        self._settling: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one agent from its hello to its end."""
        socket = WebSocket(scope, receive, send)
        if "origin" in socket.headers:  # a browser's mark; agents are no web pages
            await socket.close()
            return
        await socket.accept()
        try:
            line = await self._let_in(socket)
            await self._serve(socket, line)
        except _NotLetIn as error:
            with contextlib.suppress(WebSocketDisconnect):
                await socket.send_bytes(wire.encode(error.refused))
                await socket.close(1000)
        except WebSocketDisconnect:
            pass
        finally:
            await _hang_up(socket)

    async def _let_in(self, socket: WebSocket) -> Line:
        if not self._desk.ready:
            raise _NotLetIn("not_ready", "The server is not serving.", "Come back later.", some_seconds())
        address = socket.client.host if socket.client is not None else ""
        if not self._admission.enter(address):
            raise _NotLetIn(
                "too_many_connections",
                "Too many connections have not said hello yet.",
                "Come back later; agents behind one address connect one by one.",
                some_seconds(),
            )
        try:
            hello, challenge = await self._hear(socket)
        finally:
            self._admission.leave(address)
        return await self._greet(socket, hello, challenge)

    async def _hear(self, socket: WebSocket) -> tuple[Hello, Challenge]:
        """A hello that makes sense, with the challenge it answers."""
        desk = self._desk
        challenge = Challenge(
            secrets.token_bytes(32),
            "anchor",
            desk.version,
            wire.PROTOCOL_MIN,
            wire.PROTOCOL,
            desk.world.clock.now(),
        )
        await socket.send_bytes(wire.encode(challenge))
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await _receive(socket)
        except TimeoutError:
            waited = f"No hello came within {HELLO_SECONDS:g} seconds."
            raise _NotLetIn("no_hello", waited, "Come back later.", HELLO_SECONDS) from None
        try:
            hello: wire.FromAgent = wire.decode_from_agent(first)
        except NOT_UNDERSTOOD:
            raise _NotLetIn("not_a_hello", "The first frame was not understood.", "Upgrade the agent.") from None
        if not isinstance(hello, Hello):
            raise _NotLetIn("not_a_hello", "The first frame has to be a hello.", "Upgrade the agent.")
        if hello.protocol_max < wire.PROTOCOL_MIN or hello.protocol_min > wire.PROTOCOL:
            await desk.remarks.remark(
                kind="upgrade_required",
                subject=hello.node[:NODE_ID_SHOWN],
                message=f"An agent of version {hello.version[:40]} speaks link protocols "
                f"{hello.protocol_min} to {hello.protocol_max}; this server {wire.PROTOCOL_MIN} to {wire.PROTOCOL}.",
                by="anybody",
            )
            raise _NotLetIn(
                "upgrade_required",
                f"The server speaks link protocols {wire.PROTOCOL_MIN} to {wire.PROTOCOL}, "
                f"the agent {hello.protocol_min} to {hello.protocol_max}.",
                "Install the same version of anchor on both.",
            )
        return hello, challenge

    async def _greet(self, socket: WebSocket, hello: Hello, challenge: Challenge) -> Line:
        """Open a session for the node that says hello, if it is who it says."""
        desk = self._desk
        try:
            node = await desk.world.store.node(hello.node)
            if node is None or not signed_by(node, challenge.nonce, hello):
                raise _NotLetIn(
                    "unknown_node",
                    f"This server knows no node {hello.node} with this key.",
                    "Join this machine again: `anchor node token` on the server prints the command.",
                )
            if hello.box_key and not box_signed_by(node, hello):
                raise _NotLetIn(
                    "invalid_box_key",
                    f"The key that secrets are to be sealed to is not signed by {node.id}, or is none.",
                    "Remove the file box.key of the agent's directory and start the agent again: it makes a new one.",
                )
            wait = self._admission.turn(urgent=bool(hello.held))
            if wait:
                message = "Many agents are connecting at this moment."
                raise _NotLetIn("busy", message, "Come back when it is your turn.", wait)
            greeted = await nodes.welcome(
                desk.world,
                node.id,
                profile=hello.profile,
                slots=max(1, min(hello.slots, 10_000)),
                held=[(held.task, held.attempt) for held in hello.held],
                epoch=hello.epoch,
                box_key=hello.box_key,
            )
        except (Unavailable, OutOfSpace) as error:
            if error.code == "newer_epoch":
                desk.trouble(Reason(error.code, error.message, error.hint))
            # The node is as welcome as ever: without a time to come back its agent would end.
            wait = error.retry_after_seconds or RECOVERY_SECONDS
            raise _NotLetIn(error.code, error.message, error.hint, wait) from None
        except AnchorError as error:
            raise _NotLetIn(error.code, error.message, error.hint, error.retry_after_seconds) from None
        except UnknownOutcome as error:
            raise _NotLetIn("unknown_outcome", str(error), "Come back later.", RECOVERY_SECONDS) from None
        skew = hello.now - challenge.now
        if abs(skew) > SKEW_WARN_MS:
            log.warning("the agent's clock is off", node=node.id, seconds=round(skew / 1000))
        line = Line(socket, greeted.node, self._lines, min(wire.PROTOCOL, hello.protocol_max))
        self._lines.connect(line)
        line.send(
            Welcome(
                session=greeted.node.session,
                protocol=line.protocol,
                lease_seconds=self._lines.lease_seconds,
                heartbeat_seconds=self._lines.heartbeat_seconds,
                token=desk.gate.node_token(node.id, greeted.node.session),
                dropped=[Held(*held) for held in greeted.dropped],
                epoch=greeted.epoch,
                place=self._lines.next_place(),
            )
        )
        await self._lines.cancel(node.id, greeted.cancelled)
        self._measuring.joined(line, line.protocol)
        log.info("node connected", node=node.id, session=greeted.node.session)
        return line

    async def _serve(self, socket: WebSocket, line: Line) -> None:
        tasks = [asyncio.create_task(line.pump()), asyncio.create_task(self._read(socket, line))]
        try:
            pump, reader = tasks
            await asyncio.wait({pump, reader, line.over}, return_when=asyncio.FIRST_COMPLETED)
            if line.closing:  # what is queued is still sent
                await asyncio.wait({pump, line.over}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                error = task.exception() if task.done() else None
                if error is not None and not isinstance(error, WebSocketDisconnect | RuntimeError):
                    log.error("agent link failed", node=line.node.id, exc_info=error)
        finally:
            self._measuring.left(line)
            self._app_outputs.left(line)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for attempt in line.printed:
                self._desk.progress.pop(attempt, None)
            if self._lines.disconnect(line):
                await nodes.farewell(self._desk.world, line.node.id, line.node.session)
                log.info("node disconnected", node=line.node.id, session=line.node.session)

    async def _read(self, socket: WebSocket, line: Line) -> None:
        key = Ed25519PublicKey.from_public_bytes(line.node.public_key)
        settling = asyncio.Semaphore(REPORTS_AT_ONCE)
        clock = asyncio.get_running_loop().time
        allowance, refilled = float(FRAMES_BURST), clock()
        while True:
            content = await _receive(socket)
            now = clock()
            allowance = min(FRAMES_BURST, allowance + (now - refilled) * FRAMES_PER_SECOND) - 1
            refilled = now
            if allowance < 0:
                line.send(Stop("too many frames", True))
                line.close()
                return
            try:
                frame: wire.FromAgent = wire.decode_from_agent(content)
            except NOT_UNDERSTOOD as error:
                line.send(Nack(f"Not understood: {error}"))
                continue
            try:
                await self._take(line, key, frame, settling)
            except (AnchorError, UnknownOutcome) as error:
                log.warning("a frame had no effect, as far as is known", node=line.node.id, message=str(error))
                line.send(Nack(f"Not carried out: {error}"))

    async def _take(
        self, line: Line, key: Ed25519PublicKey, frame: wire.FromAgent, settling: asyncio.Semaphore
    ) -> None:
        match frame:
            case Report():
                await settling.acquire()
                # Not bound to the line: what was reported is recorded even if the line breaks meanwhile.
                task = asyncio.create_task(self._settle(line, key, frame, settling))
                self._settling.add(task)
                task.add_done_callback(self._settling.discard)
            case Heartbeat():
                self._beats.take(line, frame)
            case Accepted():
                self._accepted(line, frame)
            case Output():
                await self._keep_output(line, frame)
            case Nack():
                log.warning("agent did not understand", node=line.node.id, message=frame.message[:1000])
            case Hello():
                line.send(Nack("There was a hello already."))
            case Hosted():
                await take_in(self._desk.world, line, frame)
            case AppOutput():
                await self._app_outputs.keep(line, frame)
            case Measured():
                if not self._measuring.answered(line, frame):
                    line.send(Nack("Nobody asked for it."))

    async def _settle(self, line: Line, key: Ed25519PublicKey, report: Report, settling: asyncio.Semaphore) -> None:
        try:
            key.verify(report.signature, wire.report_bytes(report.body))
            body = wire.decode_report(report.body)
            if (body.node, body.session) != (line.node.id, line.node.session):
                raise ValidationError("signed for another session")
            endings = [await sound(ending, self._desk.world.blobs) for ending in body.endings]
            verdict = await settle(
                self._desk.world,
                node=line.node.id,
                session=line.node.session,
                endings=endings,
                check=partial(seal_checked, self._desk.world, line.node),
            )
            reached("link.settled")
        except (InvalidSignature, *NOT_UNDERSTOOD) as error:
            line.send(Nack(f"The report was refused: {str(error) or 'its signature is wrong'}"))
        except (AnchorError, UnknownOutcome) as error:
            line.send(Nack(f"The report is not known to be recorded: {error}"))
        except Exception:
            log.exception("a report was not recorded", node=line.node.id)
            line.send(Nack("The report is not recorded: the server made a mistake with it."))
        else:
            for ending in body.endings:
                line.printed.pop((ending.task, ending.attempt), None)
                self._desk.progress.pop((ending.task, ending.attempt), None)
            line.send(
                Recorded(
                    [Held(ending.task, ending.attempt) for ending in verdict.recorded],
                    [Held(ending.task, ending.attempt) for ending in verdict.stale],
                )
            )
        finally:
            settling.release()

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
        room = {
            (task.id, task.attempt): task.spec.limits.output_bytes + OUTPUT_SLACK_BYTES
            for task in tasks
            if task is not None and holds(task, node=line.node.id, session=line.node.session, attempt=task.attempt)
        }
        kept: list[LogChunk] = []
        for chunk in frame.items:
            attempt = (chunk.task, chunk.attempt)
            printed = line.printed.get(attempt, 0) + len(chunk.text)
            if attempt in room and printed <= room[attempt]:
                line.printed[attempt] = printed
                if chunk.stream == "progress":
                    self._desk.progress[attempt] = _told(chunk, self._desk.progress.get(attempt))
                kept.append(LogChunk(chunk.task, chunk.attempt, chunk.seq, chunk.at, chunk.stream, chunk.text))
        if kept:
            await world.store.append(kept)
            reached("link.output_kept")
            world.bus.tasks_changed([task for task, _ in room])


def _told(chunk: Chunk, before: TaskProgress | None) -> TaskProgress:
    """How far an attempt is, after one more piece: words alone leave the share as it was."""
    told = read_progress(chunk.text)
    if told is not None:
        return TaskProgress(fraction=told.fraction, message=told.message, at=time_of(chunk.at))
    said = chunk.text.strip().rpartition("\n")[2][:MESSAGE_LENGTH_MAX] or (before.message if before is not None else "")
    return TaskProgress(fraction=before.fraction if before is not None else None, message=said, at=time_of(chunk.at))


async def _hang_up(socket: WebSocket) -> None:
    """Close the socket unless it is; one whose other end does not even read that is left to die by itself."""
    if socket.client_state is WebSocketState.CONNECTED and socket.application_state is WebSocketState.CONNECTED:
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close(1011)


async def _receive(socket: WebSocket) -> bytes:
    """The next binary frame; a text frame counts as one that cannot be understood."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    content: bytes | None = message.get("bytes")
    return b"" if content is None else content


class _NotLetIn(Exception):
    def __init__(self, code: str, message: str, hint: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.refused = Refused(code, message, hint, retry_after)
