"""Changes of apps that are made once per Idempotency-Key, however often they are asked for."""

from collections.abc import Awaitable, Callable

from anchor.core.app import App
from anchor.core.errors import NotFound
from anchor.core.ids import born_ms, wire_id
from anchor.orchestrator.once import once
from anchor.server import app_views
from anchor.server.http import Answer, Call, Route, checked_key

DoneBefore = Callable[[int, bool], Awaitable[App | None]]
"""Given the key claimed, and whether the claim is fulfilled: the app, where the request was carried out before."""


async def once_per_key(
    call: Call,
    route: Route,
    carry_out: Callable[[int | None], Awaitable[App]],
    done_before: DoneBefore,
) -> Answer:
    """The app after a change that is made once per Idempotency-Key; `carry_out` gets the key claimed for it."""
    world, key = call.desk.world, call.idempotency_key
    if key is None:
        return _answer(call, await carry_out(None))
    async with once(
        world, owner=call.principal.name, key=checked_key(key), digest=call.digest(route), count=1
    ) as claimed:
        before = None if claimed.fresh else await done_before(claimed.keys[0], claimed.done)
        if before is None and claimed.done:
            raise NotFound("The app of this Idempotency-Key is gone.", hint="Use a new key to create another one.")
        return _answer(call, before or await carry_out(claimed.keys[0]), replayed=before is not None)


def _answer(call: Call, app: App, *, replayed: bool = False) -> Answer:
    headers = {"location": f"/api/clusters/{wire_id('app', app.id)}"}
    if replayed:
        headers["idempotent-replayed"] = "true"
    return Answer(app_views.view(app, call.desk), headers=headers)


def released_before(call: Call, app: App) -> DoneBefore:
    """Tells a request that has put out its release from one that was cut short before: by whether this caller has put
    one out since the key was claimed."""

    async def done_before(key: int, done: bool) -> App | None:
        since = born_ms(key)
        released = any(one.by == call.principal.name and one.created_at >= since for one in app.releases)
        return await call.desk.world.store.app(app.id) if done or released else None

    return done_before
