"""Apps (`clusters` in the API): create them, list them, look at one, scale it, stop, start and remove it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from anchor.core.access import Role
from anchor.core.app import App, AppConfig, Plan, Wanted
from anchor.core.app_names import NAME_LENGTH_MAX, is_app_name
from anchor.core.errors import Conflict, Fault, NotFound
from anchor.core.ids import key_of
from anchor.orchestrator.apps import change
from anchor.server import app_views
from anchor.server.app_once import once_per_key
from anchor.server.app_requests import checked, merged, name_from, scale_from, type_from
from anchor.server.app_sources import keep_template, plan_of, source_of
from anchor.server.http import MIB, Answer, Call, Handler, Route
from anchor.server.paging import next_link, read_cursor
from anchor.server.routes.tasks import changed
from anchor.wire.apps import AppRequest, AppRow, AppView, PlanRequest, ScaleRequest

WAIT_SECONDS_MAX = 60.0
LOOK_SECONDS = 1.0
"""How often an app that somebody watches is looked at though nobody said that it changed."""
BODY_BYTES_MAX = 16 * MIB
CURSOR = "a"
APPS_MAX = 10_000
"""Every server remembers all apps."""
NAMES_TRIED_MAX = 100


class ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many apps, and where to go on."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


class ShowQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`wait` seconds (at most 60) for the app to be another `version` than the one you have."""

    wait: Annotated[float, Meta(ge=0)] = 0.0
    version: str | None = None


async def create(call: Call) -> Answer:
    """A new app, which is brought up at once."""
    wish: AppRequest = call.body
    world, owner = call.desk.world, call.principal.name
    name, (config, works) = name_from(wish.name), _asked(wish)
    env = merged(call.desk.secrets, name, {}, wish.env)

    async def carry_out(key: int | None) -> App:
        if len(world.apps.all()) >= APPS_MAX:
            raise Conflict(f"There are {APPS_MAX:,} apps already.", hint="Remove one first.", code="too_many_apps")
        if await world.store.app_named(name) is not None:
            raise await _taken(call, name)
        source, plan = await source_of(call, wish.source, wish.files, config, works=works)
        if plan is None:
            source = await keep_template(call.desk)
            plan = await plan_of(call.desk, source, config, works=works)
        try:
            return await change.create(
                world, name=name, title=wish.name, owner=owner, config=config, plan=plan, source=source, env=env,
                by=owner, key=key,
            )  # fmt: skip
        except Conflict as error:
            raise await _taken(call, name) if error.code == "name_taken" else error from None

    async def done_before(key: int, _: bool) -> App | None:
        return await world.store.app(key)

    return await once_per_key(call, CREATE, carry_out, done_before)


def _asked(wish: AppRequest | PlanRequest) -> tuple[AppConfig, bool]:
    """The config that a request means, and whether nothing is to be routed to what it runs."""
    kind, config = type_from(wish.type), checked(wish.config)
    if kind == "Static" and config.kind is None:
        config = replace(config, kind="static")
    return config, kind == "Worker"


async def plan(call: Call) -> Plan:
    """What an archive turns out to be, before anything is made of it."""
    wish: PlanRequest = call.body
    config, works = _asked(wish)
    return await plan_of(call.desk, wish.source.removeprefix("sha256:"), config, works=works)


async def index(call: Call) -> Answer:
    """Apps, newest first."""
    query: ListQuery = call.query
    below = read_cursor(CURSOR, query.cursor)
    mine = [app for app in call.desk.world.apps.all() if call.owner in (None, app.owner)]
    page = [app for app in reversed(mine) if below is None or app.id < below][: query.limit]
    headers = {"x-total-count": str(len(mine))}
    if len(page) == query.limit and page[-1].id != mine[0].id:
        headers["link"] = next_link("/api/clusters", CURSOR, page[-1].id, limit=query.limit)
    return Answer([app_views.row(app, call.desk) for app in page], headers=headers)


async def find(call: Call) -> App:
    """The app of the path, by its id or its name, if the caller may see it."""
    text, store = call.path["id"], call.desk.world.store
    try:
        app = await store.app_named(text) if is_app_name(text) else await store.app(key_of("app", text))
    except NotFound:
        raise _no_app(text) from None
    if app is None or (call.owner is not None and app.owner != call.owner):
        raise _no_app(text)
    return app


async def show(call: Call) -> AppView:
    """One app, whole; `wait` seconds for it to change."""
    query: ShowQuery = call.query
    world = call.desk.world
    app = await find(call)
    if query.wait > 0 and query.version == str(app.ver):
        until = world.clock.now() + int(min(query.wait, WAIT_SECONDS_MAX) * 1000)
        with world.bus.watch_task(app.id) as watch:
            while query.version == str(app.ver) and (left := until - world.clock.now()) > 0:
                await changed(call, watch, min(left / 1000, LOOK_SECONDS))
                if call.desk.stopping.is_set():
                    break
                app = await find(call)
    return app_views.view(app, call.desk)


async def scale(call: Call) -> AppView:
    """Other numbers of replicas."""
    app = await find(call)
    wanted = scale_from(app.releases[-1].plan, call.body)
    return app_views.view(await change.scale(call.desk.world, app.id, scale=wanted, **asked_by(call)), call.desk)


def _does(verb: Callable[..., Awaitable[App]]) -> Handler:
    async def act(call: Call) -> AppView:
        app = await find(call)
        return app_views.view(await verb(call.desk.world, app.id, **asked_by(call)), call.desk)

    return act


async def remove(call: Call) -> AppView:
    """Let an app drain and forget it; its name is free once it is gone."""
    app = await find(call)
    await change.remove(call.desk.world, app.id, **asked_by(call))
    return app_views.view(replace(app, wanted=Wanted.REMOVED), call.desk)


class Asked(TypedDict):
    """Whose apps a caller may change (None: everybody's), and who it is."""

    owner: str | None
    by: str


def asked_by(call: Call) -> Asked:
    """Who asks, as `orchestrator.apps.change` wants to know it."""
    return {"owner": call.owner, "by": call.principal.name}


async def _taken(call: Call, name: str) -> Conflict:
    free = name
    for number in range(2, NAMES_TRIED_MAX):
        ending = f"-{number}"
        free = name[: NAME_LENGTH_MAX - len(ending)].rstrip("-") + ending
        if await call.desk.world.store.app_named(free) is None:
            break
    return Conflict(
        f"There is an app {name} already.",
        hint=f"{free} is free. To put out a new release of {name}: `anchor app deploy`, or "
        f"POST /api/clusters/{name}/releases.",
        code="name_taken",
        errors=[Fault("/name", "is taken")],
    )


def _no_app(text: str) -> NotFound:
    hint = "List what there is: `anchor app ls`, or GET /api/clusters."
    return NotFound(f"There is no app {text[:80]!r}.", hint=hint)


CREATE = Route(
    method="POST",
    path="/api/clusters",
    handler=create,
    summary="Create an app and bring it up",
    roles=(Role.SUBMITTER,),
    body=AppRequest,
    response=AppView,
    status=201,
    body_bytes_max=BODY_BYTES_MAX,
    own_idempotency=True,
)
ROUTES = [
    CREATE,
    # Not below /api/clusters: an app may be called plan.
    Route(
        method="POST",
        path="/api/cluster-plans",
        handler=plan,
        summary="How an archive that was uploaded would be run; nothing is made of it",
        roles=(Role.SUBMITTER,),
        body=PlanRequest,
        response=Plan,
    ),
    Route(
        method="GET",
        path="/api/clusters",
        handler=index,
        summary="List apps, newest first",
        roles=(Role.VIEWER,),
        query=ListQuery,
        response=list[AppRow],
    ),
    Route(
        method="GET",
        path="/api/clusters/{id}",
        handler=show,
        summary="One app, by its id or its name, waiting for it to change if asked",
        roles=(Role.VIEWER,),
        query=ShowQuery,
        response=AppView,
    ),
    Route(
        method="DELETE",
        path="/api/clusters/{id}",
        handler=remove,
        summary="Stop an app and forget it",
        roles=(Role.SUBMITTER,),
        response=AppView,
        status=202,
    ),
    Route(
        method="POST",
        path="/api/clusters/{id}/scale",
        handler=scale,
        summary="Run other numbers of replicas, by process",
        roles=(Role.SUBMITTER,),
        body=ScaleRequest,
        response=AppView,
        status=202,
    ),
    *(
        Route(
            method="POST",
            path=f"/api/clusters/{{id}}/{name}",
            handler=_does(verb),
            summary=summary,
            roles=(Role.SUBMITTER,),
            response=AppView,
            status=202,
        )
        for name, verb, summary in (
            ("restart", change.restart, "Replace every replica by a new one, one after the other"),
            ("stop", change.stop, "Run nothing of an app until it is started again"),
            ("start", change.start, "Run a stopped app again"),
        )
    ),
]
