"""The files that tasks left behind."""

from anchor.core.access import Role
from anchor.core.errors import NotFound
from anchor.core.task import TERMINAL
from anchor.server import views
from anchor.server.downloads import download
from anchor.server.http import Answer, Call, Route
from anchor.server.routes.tasks import find
from anchor.server.veil import require_open
from anchor.wire.rest import TaskFile

NAMES_SHOWN_MAX = 10


async def index(call: Call) -> list[TaskFile]:
    """Every file of a task, by name."""
    return views.files(await find(call))


async def get(call: Call) -> Answer:
    """The bytes of one file, or a range of them."""
    task = await find(call)
    await require_open(call.desk.world.store, task)
    files = views.files(task)
    name = call.path["name"]
    for file in files:
        if file.name == name:
            return await download(call, file.sha256, file.name)
    if not files:
        hint = "It left none." if task.state in TERMINAL else "Files are there once it succeeded."
    else:
        names = ", ".join(file.name for file in files[:NAMES_SHOWN_MAX])
        hint = f"There are: {names}{', …' if len(files) > NAMES_SHOWN_MAX else ''}"
    raise NotFound(f"The task has no file {name[:255]!r}.", hint=hint, code="no_such_file")


ROUTES = [
    Route(
        method="GET",
        path="/api/tasks/{id}/files",
        handler=index,
        summary="The files a task left behind",
        roles=(Role.VIEWER,),
        response=list[TaskFile],
    ),
    Route(
        method="GET",
        path="/api/tasks/{id}/files/{name}",
        handler=get,
        summary="The bytes of a file of a task (its name may hold slashes), or the Range of them asked for",
        roles=(Role.VIEWER,),
        response=bytes,
        content_type="application/octet-stream",
    ),
]
