"""New machines: tokens to join with, what became of them, and all that a machine without Anchor needs to fetch."""

import asyncio
import base64

from anchor.core.access import Key, Role, is_live
from anchor.core.errors import Fault, InvalidRequest, NotFound, Unavailable
from anchor.core.node import Node, node_id_from
from anchor.failpoints import reached
from anchor.orchestrator.audit import note
from anchor.orchestrator.world import World
from anchor.server.gate import address_of, bearer
from anchor.server.http import Answer, Call, Handler, Route
from anchor.server.join_scripts import POWERSHELL, SHELL, address_for, commands, script
from anchor.server.own_wheel import own_wheel
from anchor.wire.rest import Join, Joined, JoinToken, JoinTokenRequest, JoinTokenView, time_of

JOIN_TOKEN_SECONDS_MAX = 3600
PUBLIC_KEY_BYTES = 32
_NAMES_TRIED_MAX = 20


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
    world, gate = call.desk.world, call.desk.gate
    token = await gate.live_join_token(bearer(call.headers))
    node = Node(
        id=await _free_id(world, wish.name), owner=token.name, public_key=public_key, joined_at=world.clock.now()
    )
    # The token says who joined with it before the node is there: should the server die in between, it is used up.
    await gate.use_join_token(token, node=node.id, address=address_of(call.scope))
    message = f"{node.id} joins with a token of {token.name}."
    await note(world, kind="node_joined", subject=node.id, message=message, by=token.name)
    if not await world.store.insert_node(node):
        raise _no_free_id()
    reached("join.node_inserted")
    return Answer(Joined(node.id), headers={"location": f"/api/nodes/{node.id}"})


async def _free_id(world: World, name: str) -> str:
    for _ in range(_NAMES_TRIED_MAX):
        node_id = node_id_from(name, world.chance.randbytes(12))
        if await world.store.node(node_id) is None:
            return node_id
    raise _no_free_id()


def _no_free_id() -> Unavailable:
    return Unavailable("No free node id was found.", hint="Try again with a new join token.")


async def make_token(call: Call) -> JoinToken:
    """A new join token; it is shown this once."""
    wish: JoinTokenRequest = call.body
    if not 1 <= wish.seconds <= JOIN_TOKEN_SECONDS_MAX:
        message = f"seconds has to be between 1 and {JOIN_TOKEN_SECONDS_MAX}."
        raise InvalidRequest(
            message, hint="Leave it out for 15 minutes.", code="invalid_field", errors=[Fault("/seconds", message)]
        )
    desk = call.desk
    token, key = await desk.gate.new_join_token(call.principal.name, seconds=wish.seconds)
    url = address_for(call.scope, call.headers, desk)
    return JoinToken(
        token=token,
        expires_at=time_of(key.expires_at or 0),
        command=f"anchor join {desk.url} {token}",
        id=key.digest,
        commands=commands(url, token),
    )


async def show_token(call: Call) -> JoinTokenView:
    """What became of a join token; the token itself is never shown again."""
    key = await call.desk.world.store.key(call.path["id"])
    if key is None or key.uses_left is None:
        raise NotFound(
            f"There is no join token {call.path['id'][:70]!r}.",
            hint="POST /api/nodes/join-tokens answers with the id of the one it makes.",
        )
    return JoinTokenView(
        id=key.digest,
        state=_state_of(key, now=call.desk.world.clock.now()),
        expires_at=time_of(key.expires_at or 0),
        node_id=key.used_by or None,
        used_at=time_of(key.used_at) if key.used_at else None,
        used_from=key.used_from or None,
    )


def _state_of(key: Key, *, now: int) -> str:
    if key.uses_left == 0:
        return "used"
    return "waiting" if is_live(key, now=now) else "expired"


def _script(name: str) -> Handler:
    async def serve(call: Call) -> Answer:
        return Answer(await asyncio.to_thread(script, name), content_type="text/plain; charset=utf-8")

    return serve


async def package(call: Call) -> Answer:
    """This server's own version, to install."""
    wheel = await asyncio.to_thread(own_wheel)
    if wheel is None or call.path["name"] != wheel.name:
        held = "it has none, since it was never installed" if wheel is None else f"it has {wheel.name}"
        raise NotFound(
            f"This server has no package {call.path['name'][:100]!r}: {held}.",
            hint=f"Get /{SHELL} again: it names the package that is here.",
        )
    return Answer(wheel.content, content_type="application/octet-stream")


ROUTES = [
    Route(
        method="POST",
        path="/api/nodes/join-tokens",
        handler=make_token,
        summary="Make a join token: one machine, 15 minutes",
        roles=(Role.OPERATOR,),
        body=JoinTokenRequest,
        response=JoinToken,
        status=201,
        shows_secret=True,
    ),
    Route(
        method="GET",
        path="/api/nodes/join-tokens/{id}",
        handler=show_token,
        summary="Whether a join token was used, and by which node",
        roles=(Role.OPERATOR,),
        response=JoinTokenView,
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
    *(
        Route(
            method="GET",
            path=f"/{name}",
            handler=_script(name),
            summary=f"The script that makes a machine a node: {system}",
            roles=(),
            response=bytes,
            content_type="text/plain",
        )
        for name, system in ((SHELL, "Linux and macOS"), (POWERSHELL, "Windows"))
    ),
    Route(
        method="GET",
        path="/dist/{name}",
        handler=package,
        summary="This server's own version as a Python package",
        roles=(),
        response=bytes,
        content_type="application/octet-stream",
    ),
]
