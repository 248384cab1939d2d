"""API keys and join tokens: make a key, list them, take one back."""

from collections import Counter
from typing import Literal

import msgspec

from anchor.core.access import Key, Role, is_live
from anchor.core.errors import Fault, InvalidRequest, NotFound
from anchor.failpoints import reached
from anchor.orchestrator.audit import note
from anchor.server.http import Answer, Call, Route
from anchor.wire.records import AccessKey
from anchor.wire.rest import KeyRequest, KeyView, NewKey, time_of

_PEOPLE = (Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN)
_ID_LENGTH = 16
_TOKENS_SHOWN_MAX = 200


class KeysQuery(msgspec.Struct, forbid_unknown_fields=True):
    """API keys, or join tokens."""

    kind: Literal["key", "join"] = "key"


async def create(call: Call) -> NewKey:
    """A new key; its secret is shown this once."""
    wish: KeyRequest = call.body
    if wish.role not in _PEOPLE:
        raise _wrong("role", f"There is no role {wish.role[:40]!r}.", f"Use one of {', '.join(_PEOPLE)}.")
    if not 1 <= len(wish.name) <= 100 or not wish.name.isprintable():
        raise _wrong("name", "A key needs a name of 1 to 100 printable characters.", "Name who will use it.")
    if wish.days is not None and not 1 <= wish.days <= 3650:
        raise _wrong("days", "days has to be between 1 and 3650.", "Leave it out for a key that does not expire.")
    seconds = None if wish.days is None else wish.days * 86_400
    by = call.principal.name
    message = f"A key for {wish.name} as {wish.role}."
    await note(call.desk.world, kind="key_created", subject=wish.name, message=message, by=by)
    token, key = await call.desk.gate.new_key(wish.name, Role(wish.role), seconds=seconds)
    shown = _view(key)
    return NewKey(
        id=shown.id,
        name=shown.name,
        role=shown.role,
        created_at=shown.created_at,
        expires_at=shown.expires_at,
        token=token,
    )


async def index(call: Call) -> list[AccessKey]:
    """Every live API key, or the newest join tokens and what became of them; newest first."""
    query: KeysQuery = call.query
    world = call.desk.world
    now = world.clock.now()
    keys = await world.store.keys()
    if query.kind == "join":
        return [_token(key, now=now) for key in keys if key.uses_left is not None][:_TOKENS_SHOWN_MAX]
    sessions = Counter(key.session_of for key in keys if key.session_of and is_live(key, now=now))
    return [_access(key, sessions[key.digest]) for key in keys if is_live(key, now=now) and _is_api_key(key)]


async def remove(call: Call) -> Answer:
    """Take a key back: it opens nothing from now on."""
    world = call.desk.world
    for key in await world.store.keys():
        if key.digest.startswith(call.path["id"]) and len(call.path["id"]) == _ID_LENGTH and not key.session_of:
            is_token = key.uses_left is not None
            message = f"A join token of {key.name}." if is_token else f"The key of {key.name} as {key.role}."
            kind = "join_token_revoked" if is_token else "key_revoked"
            await note(world, kind=kind, subject=call.path["id"], message=message, by=call.principal.name)
            await world.store.remove_key(key.digest)
            reached("keys.removed")
            call.desk.gate.forget(key.digest)
            for session in await call.desk.gate.sessions.close_all(key.digest):
                call.desk.gate.forget(session)
            call.desk.keys_changed.set()
            return Answer(_view(key))
    raise NotFound(
        f"There is no key {call.path['id'][:60]!r}.", hint="List what there is: `anchor key ls`, or GET /api/keys."
    )


def _is_api_key(key: Key) -> bool:
    return key.uses_left is None and not key.session_of


def _access(key: Key, sessions: int) -> AccessKey:
    shown = _view(key)
    return AccessKey(
        id=shown.id,
        name=shown.name,
        role=shown.role,
        created_at=shown.created_at,
        expires_at=shown.expires_at,
        kind="key",
        state="open",
        sessions=sessions,
        used_by="",
    )


def _token(key: Key, *, now: int) -> AccessKey:
    state = "used" if key.uses_left == 0 else "waiting" if is_live(key, now=now) else "expired"
    return msgspec.structs.replace(_access(key, 0), kind="join", state=state, used_by=key.used_by)


def _wrong(field: str, message: str, hint: str) -> InvalidRequest:
    return InvalidRequest(message, hint=hint, code="invalid_field", errors=[Fault(f"/{field}", message)])


def _view(key: Key) -> KeyView:
    return KeyView(
        id=key.digest[:_ID_LENGTH],
        name=key.name,
        role=key.role,
        created_at=time_of(key.created_at),
        expires_at=time_of(key.expires_at) if key.expires_at is not None else None,
    )


ROUTES = [
    Route(
        method="GET",
        path="/api/keys",
        handler=index,
        summary="List API keys, or (kind=join) join tokens",
        roles=(Role.ADMIN,),
        query=KeysQuery,
        response=list[AccessKey],
    ),
    Route(
        method="POST",
        path="/api/keys",
        handler=create,
        summary="Make an API key",
        roles=(Role.ADMIN,),
        body=KeyRequest,
        response=NewKey,
        status=201,
        shows_secret=True,
    ),
    Route(
        method="DELETE",
        path="/api/keys/{id}",
        handler=remove,
        summary="Revoke an API key or a join token",
        roles=(Role.ADMIN,),
        response=KeyView,
    ),
]
