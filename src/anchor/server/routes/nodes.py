"""Machines: list them, take them in and out of service, let new ones join."""

import base64

from anchor.core.access import Role
from anchor.core.errors import Fault, InvalidRequest, NotFound, Unavailable
from anchor.core.node import Node, Status, node_id_from
from anchor.failpoints import reached
from anchor.orchestrator.audit import note
from anchor.orchestrator.nodes import set_status
from anchor.server import views
from anchor.server.gate import bearer
from anchor.server.http import Answer, Call, Handler, Route
from anchor.wire.rest import Join, Joined, JoinToken, JoinTokenRequest, NodeView, time_of

JOIN_TOKEN_SECONDS_MAX = 3600
PUBLIC_KEY_BYTES = 32
_NAMES_TRIED_MAX = 20


async def index(call: Call) -> Answer:
    """Every node."""
    world = call.desk.world
    shown = [views.node_view(node, world) for node in await world.store.nodes()]
    return Answer(shown, headers={"x-total-count": str(len(shown))})


async def show(call: Call) -> NodeView:
    """One node."""
    world = call.desk.world
    node = await world.store.node(call.path["id"])
    if node is None:
        raise NotFound(
            f"There is no node {call.path['id']!r}.", hint="List what there is: `anchor node ls`, or GET /api/nodes."
        )
    return views.node_view(node, world)


def _becomes(status: Status) -> Handler:
    async def change(call: Call) -> NodeView:
        world = call.desk.world
        node = await set_status(world, call.path["id"], status, by=call.principal.name)
        return views.node_view(node, world)

    return change


async def join(call: Call) -> Answer:
    """A machine with a join token becomes a node."""
    wish: Join = call.body
    try:
        public_key = base64.b64decode(wish.public_key, validate=True)
    except ValueError:
        public_key = b""
    if len(public_key) != PUBLIC_KEY_BYTES:
        message = f"publicKey is not an Ed25519 key: it has to be {PUBLIC_KEY_BYTES} bytes in base64."
        raise InvalidRequest(
            message,
            hint="The join token was not used up; `anchor join` makes a key and sends it.",
            code="invalid_public_key",
            errors=[Fault("/publicKey", message)],
        )
    token = await call.desk.gate.use_join_token(bearer(call.headers))
    world = call.desk.world
    for _ in range(_NAMES_TRIED_MAX):
        node = Node(
            id=node_id_from(wish.name, world.chance.randbytes(12)),
            owner=token.name,
            public_key=public_key,
            joined_at=world.clock.now(),
        )
        if await world.store.node(node.id) is not None:
            continue
        message = f"{node.id} joins with a token of {token.name}."
        await note(world, kind="node_joined", subject=node.id, message=message, by=token.name)
        if await world.store.insert_node(node):
            reached("join.node_inserted")
            return Answer(Joined(node.id), headers={"location": f"/api/nodes/{node.id}"})
    raise Unavailable("No free node id was found.", hint="Try again with a new join token.")


async def join_token(call: Call) -> JoinToken:
    """A new join token; it is shown this once."""
    wish: JoinTokenRequest = call.body
    if not 1 <= wish.seconds <= JOIN_TOKEN_SECONDS_MAX:
        message = f"seconds has to be between 1 and {JOIN_TOKEN_SECONDS_MAX}."
        raise InvalidRequest(
            message, hint="Leave it out for 15 minutes.", code="invalid_field", errors=[Fault("/seconds", message)]
        )
    token, key = await call.desk.gate.new_join_token(call.principal.name, seconds=wish.seconds)
    return JoinToken(
        token=token, expires_at=time_of(key.expires_at or 0), command=f"anchor join {call.desk.url} {token}"
    )


ROUTES = [
    Route(
        method="GET",
        path="/api/nodes",
        handler=index,
        summary="List nodes",
        roles=(Role.VIEWER,),
        response=list[NodeView],
    ),
    Route(
        method="POST",
        path="/api/nodes/join-tokens",
        handler=join_token,
        summary="Make a join token: one machine, 15 minutes",
        roles=(Role.OPERATOR,),
        body=JoinTokenRequest,
        response=JoinToken,
        status=201,
        shows_secret=True,
    ),
    Route(
        method="POST",
        path="/api/nodes/join",
        handler=join,
        summary="Enrol a machine (bearer: a join token)",
        roles=(),
        body=Join,
        response=Joined,
        status=201,
        own_idempotency=True,
    ),
    Route(
        method="GET",
        path="/api/nodes/{id}",
        handler=show,
        summary="One node",
        roles=(Role.VIEWER,),
        response=NodeView,
    ),
    *(
        Route(
            method="POST",
            path=f"/api/nodes/{{id}}/{verb}",
            handler=_becomes(status),
            summary=summary,
            roles=(Role.OPERATOR,),
            response=NodeView,
            status=202,
        )
        for verb, status, summary in (
            ("drain", Status.DRAINING, "Give a node no more work; what runs on it finishes"),
            ("resume", Status.READY, "Take a node back into service"),
            ("block", Status.BLOCKED, "Refuse a node's connections and work"),
        )
    ),
]
