"""Whether the server works."""

from anchor.core.access import Role
from anchor.core.errors import Unavailable
from anchor.server.http import Call, Route
from anchor.wire.rest import Health, Trouble, time_of


async def health(call: Call) -> Health:
    """Alive, and what is wrong if anything is."""
    desk = call.desk
    problems = [
        Trouble(reason.code, reason.message, reason.hint, time_of(since)) for reason, since in desk.problems.values()
    ]
    return Health(
        status="degraded" if problems else "ok",
        version=desk.version,
        uptime_seconds=(desk.world.clock.now() - desk.started_at) / 1000,
        problems=problems,
    )


async def ready(call: Call) -> Health:
    """Whether requests are served; 503 while they are not."""
    if not call.desk.ready:
        raise Unavailable("The server is starting.", hint="Try again in a second.", retry_after_seconds=1)
    return await health(call)


ROUTES = [
    Route(
        method="GET",
        path="/health",
        handler=health,
        summary="Whether the server is alive, and what is wrong",
        roles=(),
        response=Health,
    ),
    Route(
        method="GET",
        path="/ready",
        handler=ready,
        summary="Whether requests are served",
        roles=(Role.VIEWER,),
        response=Health,
    ),
]
