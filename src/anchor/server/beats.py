"""Heartbeats, written down together: a fleet's renewals share commits and turns of the event loop."""

import asyncio

import structlog

from anchor.core.errors import AnchorError
from anchor.orchestrator import nodes
from anchor.orchestrator.world import World
from anchor.server.lines import Line
from anchor.wire.link import Heartbeat, Held, Nack, Renewed, Stop

log = structlog.get_logger("anchor.link")
GATHER_SECONDS = 0.25
"""A heartbeat that follows another one of the fleet within this waits for those that come meanwhile. The lease begins
when it is written, so that waiting costs nobody anything."""


class Beats:
    """What arrived and is not written yet. A line has one heartbeat in it at most: a newer one takes its place."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[Line, list[Heartbeat]] = {}
        self._writing: asyncio.Task[None] | None = None

    def take(self, line: Line, beat: Heartbeat) -> None:
        """Write a heartbeat down soon, and answer it on its line."""
        seat = self._world.fleet.seat(line.node.id, line.node.session)
        if seat is not None:
            seat.leaving = beat.draining
        self._waiting.setdefault(line, []).append(beat)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                beats, self._waiting = self._waiting, {}
                await asyncio.gather(*(self._renew(line, several) for line, several in beats.items()))
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            self._writing = None

    async def _renew(self, line: Line, beats: list[Heartbeat]) -> None:
        """One write for all heartbeats of a line; each is answered, since an agent counts its lease from the oldest
        one without an answer."""
        beat = beats[-1]
        try:
            dropped = await nodes.heartbeat(
                self._world,
                line.node.id,
                line.node.session,
                metrics=beat.metrics,
                held=[(one.task, one.attempt) for one in beat.held],
                leaving=beat.draining,
            )
        except AnchorError as error:
            log.warning("a heartbeat had no effect", node=line.node.id, code=error.code, message=error.message)
            line.send(Nack(f"Not carried out: {error.message}"))
        except Exception:
            log.exception("a heartbeat was not written", node=line.node.id)
            line.send(Nack("The heartbeat had no effect: the server made a mistake with it."))
        else:
            if dropped is None:
                line.send(Stop("this session is over", True))
                line.close()
                return
            for _ in beats:
                line.send(Renewed(line.node.session, [Held(*one) for one in dropped]))
