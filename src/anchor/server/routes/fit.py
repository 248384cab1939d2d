"""How many nodes fit a task, before it is submitted."""

from anchor.core.access import Role
from anchor.core.spec import TaskSpec
from anchor.orchestrator.fit import Fit, fit
from anchor.server.http import Call, Route


async def ask(call: Call) -> Fit:
    """How many of the known nodes could run this task; nothing is written."""
    spec: TaskSpec = call.body
    return await fit(call.desk.world, spec)


ROUTES = [
    Route(
        method="POST",
        path="/api/tasks/fit",
        handler=ask,
        summary="How many nodes could run a task, and how long it would likely wait; nothing is submitted",
        roles=(Role.SUBMITTER,),
        body=TaskSpec,
        response=Fit,
    )
]
