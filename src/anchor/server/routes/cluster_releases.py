"""Releases of an app: another source, other settings, other variables, or an earlier one again."""

import dataclasses
from functools import partial

from anchor.core.access import Role
from anchor.core.app import SOURCE_BYTES_MAX, App
from anchor.orchestrator.apps import change
from anchor.server import app_views
from anchor.server.app_once import once_per_key, released_before
from anchor.server.app_requests import checked, merged
from anchor.server.app_sources import is_worker, keep_upload, plan_of, source_of
from anchor.server.http import MIB, Answer, Call, Route
from anchor.server.routes.clusters import BODY_BYTES_MAX, asked_by, find
from anchor.wire.apps import AppView, EnvChanges, ReleaseRequest, RollbackRequest

UPLOAD_BYTES_MAX = 2 * SOURCE_BYTES_MAX
"""What a body may have before it is cut off; one above SOURCE_BYTES_MAX is refused with a word of its own."""


async def release(call: Call) -> Answer:
    """A new release: another source, another config, other variables."""
    wish: ReleaseRequest = call.body
    app = await find(call)
    newest = app.releases[-1]
    works = is_worker(newest)
    config = newest.config if wish.config is None else checked(wish.config)
    env = partial(merged, call.desk.secrets, app.name, changes=wish.env)
    env(newest.env)  # says what is wrong with it

    async def carry_out(_: int | None) -> App:
        source, plan = await source_of(call, wish.source, wish.files, config, works=works)
        if plan is None:
            source = newest.source
            plan = newest.plan if wish.config is None else await plan_of(call.desk, source, config, works=works)
        return await change.release(
            call.desk.world, app.id, source=source, config=config, plan=plan, env=env, **asked_by(call)
        )

    return await once_per_key(call, RELEASES, carry_out, released_before(call, app))


async def deploy(call: Call) -> Answer:
    """A new release of the archive that is the body; its config and variables are as they were."""
    app = await find(call)
    newest = app.releases[-1]
    source, plan = await keep_upload(call, newest.config, works=is_worker(newest))

    async def carry_out(_: int | None) -> App:
        return await change.release(call.desk.world, app.id, source=source, plan=plan, **asked_by(call))

    # The same archive is the same request: its digest stands for the body.
    same = dataclasses.replace(call, raw=source.encode())
    return await once_per_key(same, DEPLOY, carry_out, released_before(call, app))


async def env_names(call: Call) -> list[str]:
    """The names of an app's variables; their values are shown to nobody."""
    return sorted((await find(call)).releases[-1].env)


async def set_env(call: Call) -> AppView:
    """Set the variables named, take away those that are null, and leave the others: in a new release."""
    app = await find(call)
    newest = app.releases[-1]
    env = partial(merged, call.desk.secrets, app.name, changes=call.body)
    if env(newest.env) != newest.env:
        app = await change.release(call.desk.world, app.id, env=env, **asked_by(call))
    return app_views.view(app, call.desk)


async def rollback(call: Call) -> Answer:
    """Back to an earlier release, as a new one."""
    wish: RollbackRequest = call.body
    app = await find(call)

    async def carry_out(_: int | None) -> App:
        return await change.rollback(call.desk.world, app.id, to=wish.release, **asked_by(call))

    return await once_per_key(call, ROLLBACK, carry_out, released_before(call, app))


RELEASES = Route(
    method="POST",
    path="/api/clusters/{id}/releases",
    handler=release,
    summary="Put out a new release of an app; what is left out is as it was",
    roles=(Role.SUBMITTER,),
    body=ReleaseRequest,
    response=AppView,
    status=201,
    body_bytes_max=BODY_BYTES_MAX,
    own_idempotency=True,
)
DEPLOY = Route(
    method="POST",
    path="/api/clusters/{id}/deploy",
    handler=deploy,
    summary="Put out a new release of the zip, tar or tar.gz that is the body",
    roles=(Role.SUBMITTER,),
    response=AppView,
    status=201,
    body_bytes_max=UPLOAD_BYTES_MAX,
    streams_body=True,
    own_idempotency=True,
)
ROLLBACK = Route(
    method="POST",
    path="/api/clusters/{id}/rollback",
    handler=rollback,
    summary="Go back to an earlier release, as a new one",
    roles=(Role.SUBMITTER,),
    body=RollbackRequest,
    body_optional=True,
    response=AppView,
    status=202,
    own_idempotency=True,
)
ROUTES = [
    RELEASES,
    DEPLOY,
    ROLLBACK,
    Route(
        method="GET",
        path="/api/clusters/{id}/env",
        handler=env_names,
        summary="The names of an app's variables",
        roles=(Role.VIEWER,),
        response=list[str],
    ),
    Route(
        method="PUT",
        path="/api/clusters/{id}/env",
        handler=set_env,
        summary="Change variables of an app, in a new release; null takes one away",
        roles=(Role.SUBMITTER,),
        body=EnvChanges,
        response=AppView,
        status=202,
        body_bytes_max=MIB,
    ),
]
