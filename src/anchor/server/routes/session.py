"""Sign a browser in and out, and say who is asking."""

from anchor.core.access import Principal, Role
from anchor.core.errors import Conflict
from anchor.orchestrator.audit import note
from anchor.server.gate import bearer
from anchor.server.http import Answer, Call, Route
from anchor.server.sessions import Session, set_cookie
from anchor.wire.rest import time_of
from anchor.wire.session import SessionView, SignIn


async def create(call: Call) -> Answer:
    """A session for whoever holds this API key."""
    wish: SignIn = call.body
    gate, world = call.desk.gate, call.desk.world
    key = await gate.key_to_sign_in(wish.token, call.scope, call.headers)
    message = f"A browser signed in as {key.name}, {key.role}."
    await note(world, kind="signed_in", subject=key.name, message=message, by=key.name)
    value, session = await gate.sessions.open(key)
    seconds = max(0, session.expires_at - world.clock.now()) // 1000
    cookie = set_cookie(call.scope, call.headers, value, seconds)
    return Answer(_view(session.principal, "session", session), headers={"set-cookie": cookie})


async def show(call: Call) -> SessionView:
    """Who is asking."""
    if bearer(call.headers) is not None:
        return _view(call.principal, "token")
    session = await call.desk.gate.sessions.of(call.scope, call.headers)
    return _view(call.principal, "local" if session is None else "session", session)


async def remove(call: Call) -> Answer:
    """The session is over."""
    session = await call.desk.gate.sessions.of(call.scope, call.headers)
    if session is None or bearer(call.headers) is not None:
        raise Conflict(
            "There is no session to end: this request was let in without a cookie.",
            hint="A token stays good until it is revoked: `anchor key rm`.",
            code="no_session",
        )
    await call.desk.gate.sign_out(session.digest)
    call.desk.keys_changed.set()
    cookie = set_cookie(call.scope, call.headers, "", 0)
    return Answer(_view(session.principal, "session", session), headers={"set-cookie": cookie})


def _view(who: Principal, by: str, session: Session | None = None) -> SessionView:
    return SessionView(
        name=who.name,
        role=who.role,
        by=by,
        csrf=session.csrf if session is not None else None,
        expires_at=time_of(session.expires_at) if session is not None else None,
    )


ROUTES = [
    Route(
        method="POST",
        path="/api/session",
        handler=create,
        summary="Sign a browser in: an API key for a cookie",
        roles=(),
        body=SignIn,
        response=SessionView,
        status=201,
        shows_secret=True,
    ),
    Route(
        method="GET",
        path="/api/session",
        handler=show,
        summary="Who is asking, and what the session's requests have to show",
        roles=(Role.VIEWER,),
        response=SessionView,
    ),
    Route(
        method="DELETE",
        path="/api/session",
        handler=remove,
        summary="Sign this browser out",
        roles=(Role.VIEWER,),
        response=SessionView,
    ),
]
