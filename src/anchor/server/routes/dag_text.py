"""A graph written as YAML, read as the command line reads a file of it."""

import asyncio

from anchor.core import yaml_text
from anchor.core.access import Role
from anchor.core.errors import InvalidRequest
from anchor.server.http import MIB, Call, Route
from anchor.wire.dags import GraphRead, GraphText

BODY_BYTES_MAX = MIB // 2
"""Reading as much takes more than a second."""
VALUES_MAX = 200_000
"""A request is small, but its aliases may stand for much."""
NAME = "The YAML"


async def read(call: Call) -> GraphRead:
    """Say what YAML means, and run nothing."""
    given: GraphText = call.body
    value, _ = await asyncio.to_thread(yaml_text.read, NAME, given.text, values_max=VALUES_MAX)
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"{NAME}, line 1, column 1: this is no graph, for it is not a mapping.",
            hint="Begin with `name: …` and `steps:`.",
        )
    return GraphRead(value)


ROUTES = [
    Route(
        method="POST",
        path="/api/dags/read",
        handler=read,
        summary="Read a graph that is written as YAML, and run nothing",
        roles=(Role.SUBMITTER,),
        body=GraphText,
        response=GraphRead,
        body_bytes_max=BODY_BYTES_MAX,
    )
]
