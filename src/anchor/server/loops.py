"""The loops that keep work moving whatever the traffic: dispatch, reconcile, retention."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError, Conflict
from anchor.core.usage import DAY_MS, DAYS_KEPT
from anchor.failpoints import reached
from anchor.orchestrator.apps.sweep import heard, sweep
from anchor.orchestrator.attend import attend
from anchor.orchestrator.dispatch import dispatch
from anchor.orchestrator.duties import NUMBER_LEASE_MS, keep_number, take
from anchor.orchestrator.follow import follow
from anchor.orchestrator.reconcile import reconcile
from anchor.ports.bus import ANY_APP, ANY_NODE
from anchor.ports.store import Duty, UnknownOutcome
from anchor.server.app_log import forget_old
from anchor.server.app_secrets import SECRET_CHANGED
from anchor.server.app_usage import LOOK_SECONDS, AppUsage
from anchor.server.desk import Desk

log = structlog.get_logger("anchor.loops")
RECONCILE_SECONDS = 1.0
"""Between two sweeps, or a quarter of a lease where that is less: a pause of half a lease counts as a standstill, after
which no lease is taken for lost."""
DISPATCH_SECONDS = 0.25
"""How late, at most, a task whose backoff is over is looked at."""
NUMBER_SECONDS = NUMBER_LEASE_MS / 6000
RETENTION_SECONDS = 600.0
RETENTION_BATCH = 1_000
RETRY_SECONDS = 1.0


async def dispatching(desk: Desk) -> None:
    """Carry on what ended tasks are part of, and lease queued tasks, whenever there may be something to do."""
    bus = desk.world.bus
    while True:
        await bus.next_work(DISPATCH_SECONDS)
        await _guarded(desk, "follow", lambda: follow(desk.world))
        await _guarded(desk, "dispatch", lambda: dispatch(desk.world))


async def reconciling(desk: Desk, queue_trouble: Callable[[], Reason | None]) -> None:
    """Sweep the truth for what is due, and look whether the queue works."""
    known: Reason | None = None
    while True:
        await _guarded(desk, "reconcile", lambda: reconcile(desk.world))
        await _guarded(desk, "hosting", lambda: sweep(desk.world, desk.world.clock.now()))
        trouble = queue_trouble()
        if known is not None and (trouble is None or trouble.code != known.code):
            desk.well(known.code)
        if trouble is not None:
            desk.trouble(trouble)
        known = trouble
        await asyncio.sleep(min(RECONCILE_SECONDS, desk.world.lease_ms / 4000))


async def attending(desk: Desk) -> None:
    """Act on what other servers say about the nodes connected here."""
    world = desk.world
    while True:
        for node, tasks in (await world.bus.next_nodes(RECONCILE_SECONDS)).items():
            for name in [node] if node != ANY_NODE else [seat.node for seat in world.fleet.seats()]:
                await _guarded(desk, "attend", partial(attend, world, name, tasks))


async def attending_apps(desk: Desk) -> None:
    """Act on what other servers say about apps, and wake who looks at those."""
    world = desk.world
    while True:
        ids = await world.bus.next_apps(RECONCILE_SECONDS)
        if ids:
            await _guarded(desk, "apps", partial(heard, world, ids))
            world.bus.tasks_changed(sorted(ids - {ANY_APP}))
            if SECRET_CHANGED in desk.problems:
                mind_the_secret(desk)


def mind_the_secret(desk: Desk) -> None:
    """Say so while variables of apps are encrypted under another secret than the one this server has now."""
    for app in desk.world.apps.all():
        try:
            desk.secrets.decrypted(app.name, app.releases[-1].env)
        except Conflict as error:
            desk.trouble(Reason(error.code, error.message, error.hint))
            log.error(error.message, hint=error.hint)
            return
    desk.well(SECRET_CHANGED)


async def counting_app_usage(desk: Desk) -> None:
    """Add what apps use to the usage."""
    usage = AppUsage(desk.world)
    while True:
        await _guarded(desk, "usage", usage.tick)
        await asyncio.sleep(LOOK_SECONDS)


async def keeping_number(desk: Desk, number: Duty) -> None:
    """Stay one of the servers of a shared store, under a number of one's own."""

    async def keep() -> None:
        nonlocal number
        number = await keep_number(desk.world, number)

    while True:
        await asyncio.sleep(NUMBER_SECONDS)
        await _guarded(desk, "number", keep)


@dataclass(frozen=True)
class Retention:
    """How long what is over is kept, in milliseconds: finished tasks and runs, and the evidence of cases."""

    tasks_ms: int
    runs_ms: int
    cases_ms: int


async def retaining(desk: Desk, retention: Retention) -> None:
    """Remove finished tasks and runs, and cases, past their retention."""
    while True:
        await _guarded(desk, "retention", lambda: _remove_old(desk, retention))
        await _guarded(desk, "uploads", desk.parts.sweep)
        await asyncio.sleep(RETENTION_SECONDS)


async def _remove_old(desk: Desk, retention: Retention) -> None:
    """One server at a time does this: the duty outlasts the pause until the next time."""
    world = desk.world
    now = world.clock.now()
    lease_ms = int(2 * RETENTION_SECONDS * 1000)
    if await take(world.store, "retention", holder=world.server, now=now, lease_ms=lease_ms) is None:
        return
    store = world.store
    # Runs first: tasks that were part of one may go once it is over.
    for remove, kept_ms in (
        (store.remove_runs, retention.runs_ms),
        (store.remove_cases, retention.cases_ms),
        (store.remove_finished, retention.tasks_ms),
    ):
        removed = RETENTION_BATCH
        while removed == RETENTION_BATCH:
            removed = await remove(now - kept_ms, RETENTION_BATCH)
            reached("retention.removed")
    await store.forget_usage(now // DAY_MS - DAYS_KEPT + 1)
    reached("retention.usage_forgotten")
    await forget_old(world)
    await world.blobs.sweep()
    reached("retention.swept")


async def _guarded(desk: Desk, name: str, step: Callable[[], Awaitable[object]]) -> None:
    """Run a step; a failure is remembered for `/health` and the loop goes on."""
    try:
        await step()
    except AnchorError as error:
        desk.trouble(Reason(f"{name}_{error.code}", error.message, error.hint))
        log.warning("step failed", step=name, code=error.code, message=error.message)
        await asyncio.sleep(RETRY_SECONDS)
    except UnknownOutcome as error:
        # Every step looks again at what is there, so trying again is all there is to do.
        desk.trouble(Reason(f"{name}_unknown_outcome", str(error), "The server goes on trying."))
        log.warning("step of unknown outcome", step=name, message=str(error))
        await asyncio.sleep(RETRY_SECONDS)
    except Exception:
        desk.trouble(Reason(f"{name}_failed", f"The {name} loop failed.", "See the server's log; it goes on trying."))
        log.exception("step failed", step=name)
        await asyncio.sleep(RETRY_SECONDS)
    else:
        for code in [code for code in desk.problems if code.startswith(f"{name}_")]:
            desk.well(code)
