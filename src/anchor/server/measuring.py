"""Idle nodes are asked how fast they work, one after the other, and their answers are checked."""

import asyncio
import secrets
import time

import structlog

from anchor.core.speed import FASTEST, ROUNDS, SEGMENTS, is_right, speed_from
from anchor.orchestrator.measure import is_due, keep_lie, keep_speed
from anchor.orchestrator.world import World
from anchor.server.lines import Line
from anchor.wire.link import Measure, Measured

log = structlog.get_logger("anchor.link")
SETTLED_SECONDS = 2.0
"""After a node connected, before it is asked: what waits for it goes first."""
PAUSE_SECONDS = 0.5
"""Between two nodes' turns."""
ANSWER_SECONDS = 5.0
ASK_AGAIN_SECONDS = 600.0
"""When a node that gave no answer (it had work to do) is asked again."""
SLACK_SECONDS = 0.05
"""How much longer than this server saw an honest agent may say it took: clocks run a little apart."""
PROTOCOL_MIN = 3


class Measuring:
    """Asks the connected nodes of protocol 3 whose measurement is old, while they have nothing to do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: dict[Line, float] = {}
        self._asking: asyncio.Task[None] | None = None
        self._asked: tuple[Line, bytes, asyncio.Future[tuple[Measured, float]]] | None = None

    def joined(self, line: Line, protocol: int) -> None:
        """A node connected."""
        if protocol >= PROTOCOL_MIN:
            self._lines[line] = time.monotonic() + SETTLED_SECONDS
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())

    def left(self, line: Line) -> None:
        """A node's line ended."""
        self._lines.pop(line, None)
        if not self._lines and self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def answered(self, line: Line, answer: Measured) -> bool:
        """Take an answer; False where nobody asked for it."""
        at = time.monotonic()
        if self._asked is None:
            return False
        asked, nonce, future = self._asked
        if asked is not line or answer.nonce != nonce or future.done():
            return False
        future.set_result((answer, at))
        return True

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            now = time.monotonic()
            line = next((line for line, due in self._lines.items() if due <= now and self._is_idle(line)), None)
            if line is None:
                continue
            self._lines[line] = now + ASK_AGAIN_SECONDS
            try:
                await self._ask_one(line)
            except Exception:
                log.exception("a node was not measured", node=line.node.id)

    def _is_idle(self, line: Line) -> bool:
        seat = self._world.fleet.seat(line.node.id, line.node.session)
        return seat is not None and not seat.held and is_due(seat.record, self._world.clock.now())

    async def _ask_one(self, line: Line) -> None:
        nonce = secrets.token_bytes(32)
        future: asyncio.Future[tuple[Measured, float]] = asyncio.get_running_loop().create_future()
        self._asked = (line, nonce, future)
        began = time.monotonic()
        line.send(Measure(nonce, SEGMENTS, ROUNDS))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer, at = await future
        except TimeoutError:
            return
        finally:
            self._asked = None
        wrong = await _wrong(nonce, answer, at - began)
        if wrong is None:
            await keep_speed(self._world, line.node.id, speed_from(len(answer.marks), ROUNDS, at - began))
        else:
            log.warning("a node's claim about its speed is wrong", node=line.node.id, wrong=wrong)
            await keep_lie(self._world, line.node.id)


async def _wrong(nonce: bytes, answer: Measured, seconds: float) -> str | None:
    """What in an answer cannot be true, seen from here, or None. Of the segments, one is worked out again."""
    count = len(answer.marks)
    if not 1 <= count <= SEGMENTS:
        return f"{count} segments"
    if answer.seconds > seconds + SLACK_SECONDS:
        return f"it says {answer.seconds:.3f} s, and was asked {seconds:.3f} s ago"
    if speed_from(count, ROUNDS, min(seconds, answer.seconds)) > FASTEST:
        return f"{count} segments in {answer.seconds:.6f} s"
    number = secrets.randbelow(count)
    if not await asyncio.to_thread(is_right, nonce, answer.marks, ROUNDS, number):
        return f"segment {number} does not follow from the one before"
    return None
