"""What this server was set to, and what it stands on."""

import asyncio

from anchor.core.access import Role
from anchor.core.errors import AnchorError
from anchor.server.about import size_of
from anchor.server.http import Call, Route
from anchor.wire.records import EngineView, SettingsView
from anchor.wire.rest import time_of


async def show(call: Call) -> SettingsView:
    """Every setting, and whether the engines answer right now."""
    desk = call.desk
    about, world = desk.about, desk.world
    epoch, trouble = 0, None
    try:
        epoch = await world.store.epoch()
    except AnchorError as error:
        trouble = error.message
    queue_trouble = about.queue_trouble()
    return SettingsView(
        settings=list(about.settings),
        engines=[
            EngineView("store", about.store, trouble),
            EngineView("queue", about.queue, None if queue_trouble is None else queue_trouble.message),
            EngineView("blobs", about.blobs, trouble),
        ],
        version=desk.version,
        epoch=epoch,
        started_at=time_of(desk.started_at),
        url=desk.url,
        data="" if about.data is None else str(about.data),
        data_bytes=None if about.data is None else await asyncio.to_thread(size_of, about.data),
    )


ROUTES = [
    Route(
        method="GET",
        path="/api/settings",
        handler=show,
        summary="What this server was set to, and what it stands on",
        roles=(Role.ADMIN,),
        response=SettingsView,
    ),
]
