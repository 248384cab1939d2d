"""The loops that keep work moving whatever the traffic: dispatch, reconcile, retention."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError
from anchor.orchestrator.dispatch import dispatch
from anchor.orchestrator.reconcile import reconcile
from anchor.server.desk import Desk

log = structlog.get_logger("anchor.loops")
RECONCILE_SECONDS = 1.0
RETENTION_SECONDS = 600.0
RETENTION_BATCH = 1_000
RETRY_SECONDS = 1.0


async def dispatching(desk: Desk) -> None:
    """Lease queued tasks whenever there may be something to lease."""
    bus = desk.world.bus
    while True:
        await bus.next_work(RECONCILE_SECONDS)
        await _guarded(desk, "dispatch", lambda: dispatch(desk.world))


async def reconciling(desk: Desk) -> None:
    """Sweep the truth for what is due."""
    while True:
        await _guarded(desk, "reconcile", lambda: reconcile(desk.world))
        await asyncio.sleep(RECONCILE_SECONDS)


async def retaining(desk: Desk, retention_ms: int) -> None:
    """Remove finished tasks past their retention."""
    while True:
        await _guarded(desk, "retention", lambda: _remove_old(desk, retention_ms))
        await asyncio.sleep(RETENTION_SECONDS)


async def _remove_old(desk: Desk, retention_ms: int) -> None:
    before = desk.world.clock.now() - retention_ms
    removed = RETENTION_BATCH
    while removed == RETENTION_BATCH:
        removed = await desk.world.store.remove_finished(before, RETENTION_BATCH)


async def _guarded(desk: Desk, name: str, step: Callable[[], Awaitable[object]]) -> None:
    """Run a step; a failure is remembered for `/health` and the loop goes on."""
    try:
        await step()
    except AnchorError as error:
        desk.trouble(Reason(f"{name}_{error.code}", error.message, error.hint))
        log.warning("step failed", step=name, code=error.code, message=error.message)
        await asyncio.sleep(RETRY_SECONDS)
    except Exception:
        desk.trouble(Reason(f"{name}_failed", f"The {name} loop failed.", "See the server's log; it goes on trying."))
        log.exception("step failed", step=name)
        await asyncio.sleep(RETRY_SECONDS)
    else:
        for code in [code for code in desk.problems if code.startswith(f"{name}_")]:
            desk.well(code)
