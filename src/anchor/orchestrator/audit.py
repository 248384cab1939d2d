"""The audit trail: what happened is added to the chain, and never more than a flood of it deserves."""

from collections.abc import Sequence

import msgspec

from anchor.core.audit import Entry, sealed
from anchor.core.errors import AnchorError, Unavailable
from anchor.core.ids import wire_id
from anchor.failpoints import reached
from anchor.orchestrator.world import World
from anchor.ports.clock import Clock
from anchor.ports.store import AuditStore, UnknownOutcome

TRIES_MAX = 50
"""Each lost try means that somebody else's entry was written: this many in a row is a broken store, not a busy one."""
MESSAGE_MAX = 500
LISTED_MAX = 100
"""Refused attempts of one hello that get an entry each."""
REMARK_MS = 60_000
REMARKS_MAX = 100


async def note(world: World, *, kind: str, subject: str, message: str, by: str) -> Entry:
    """Add an entry; it is durable when this returns.

    Unavailable where it could not be written: whoever changes what somebody may do writes the entry first and goes on
    only then, so nothing of that kind is ever done unseen (an entry may tell of something that then failed).
    """
    return await append(world.store, world.clock, kind=kind, subject=subject, message=message, by=by)


async def append(store: AuditStore, clock: Clock, *, kind: str, subject: str, message: str, by: str) -> Entry:
    """As `note`, where there is no server."""
    for _ in range(TRIES_MAX):
        tail = await store.audit_tail()
        at = clock.now() if tail is None else max(clock.now(), tail.at)
        entry = sealed(tail, at=at, kind=kind, subject=subject, message=message[:MESSAGE_MAX], by=by)
        try:
            if await store.audit_append(entry):
                reached("audit.appended")
                return entry
        except UnknownOutcome:
            if entry in await store.audit_page(entry.number + 1, 1):
                return entry
    raise Unavailable(
        "The audit trail could not be written.", hint="Nothing was changed. Try again.", retry_after_seconds=1
    )


async def note_refused(world: World, node: str, attempts: Sequence[tuple[int, int]], message: str) -> None:
    """List attempts (task, number) that a node reported and the truth does not know: one entry each, up to a bound."""
    for task, attempt in attempts[:LISTED_MAX]:
        subject = wire_id("task", task)
        await note(
            world,
            kind="attempt_refused",
            subject=subject,
            message=f"Attempt {attempt} of {subject}: {message}",
            by=node,
        )
    if len(attempts) > LISTED_MAX:
        more = f"{len(attempts) - LISTED_MAX:,} more attempts of {node} were refused: {message}"
        await note(world, kind="attempt_refused", subject=node, message=more, by=node)


class _Remarked(msgspec.Struct):
    at: int
    unsaid: int = 0


class Remarks:
    """Entries about what anybody may cause at will (a wrong token, an agent too old): at most one a minute for each
    subject, which then says how many were left out, and for a bounded number of subjects."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: dict[tuple[str, str], _Remarked] = {}

    async def remark(self, *, kind: str, subject: str, message: str, by: str) -> bool:
        """Note it unless the same was noted within the minute; False where nothing was written.

        Never raises for a store that is away: what is remarked on was refused already, and stays refused.
        """
        now = self._world.clock.now()
        last = self._last.get((kind, subject))
        if last is not None and now - last.at < REMARK_MS:
            last.unsaid += 1
            return False
        if last is None and len(self._last) >= REMARKS_MAX:
            self._last = {key: one for key, one in self._last.items() if now - one.at < REMARK_MS}
            if len(self._last) >= REMARKS_MAX:
                return False
        self._last[kind, subject] = _Remarked(now)
        if last is not None and last.unsaid:
            message = f"{message} ({last.unsaid:,} more since the entry before)"
        try:
            await note(self._world, kind=kind, subject=subject, message=message, by=by)
        except (AnchorError, UnknownOutcome):
            return False
        return True
