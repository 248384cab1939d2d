"""The one declarative route table, and what every request goes through: who asks, what they sent, what they get."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from anchor.core.access import Principal, Role
from anchor.core.errors import (
    AnchorError,
    Conflict,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unprocessable,
    UnsupportedMedia,
)
from anchor.ports.store import Claim
from anchor.server.json_body import decode_body, unfit
from anchor.wire.problems import CONTENT_TYPE, STATUS, problem_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from anchor.server.desk import Desk

log = structlog.get_logger("anchor.http")
MIB = 1024 * 1024
_JSON = b"application/json"
_encode = msgspec.json.Encoder().encode


class _NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    pass


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and authorised."""

    desk: "Desk"
    principal: Principal
    path: Mapping[str, str]
    query: Any
    body: Any
    raw: bytes
    headers: Mapping[str, str]
    stream: AsyncIterator[bytes]

    @property
    def owner(self) -> str | None:
        """Whose tasks this caller may see: its own, or (None) everybody's."""
        return self.principal.name if self.principal.role is Role.SUBMITTER else None

    @property
    def idempotency_key(self) -> str | None:
        """The caller's Idempotency-Key."""
        return self.headers.get("idempotency-key")

    def digest(self, route: "Route") -> str:
        """What an Idempotency-Key is bound to: method, path and body."""
        where = f"{route.method} {route.path} {sorted(self.path.items())}\n"
        return sha256(where.encode() + self.raw).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler returns when the value alone does not say it all. `stream` replaces the value."""

    value: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None
    content_type: str = "application/json"


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One line of the table. `roles` are the least ones that may use it (none: anybody). A route with
    `own_idempotency` minds the Idempotency-Key itself; one that `shows_secret` cannot be replayed."""

    method: str
    path: str
    handler: Handler
    summary: str
    roles: tuple[Role, ...]
    body: Any = None
    query: type[msgspec.Struct] = _NoQuery
    response: Any = None
    status: int = 200
    body_bytes_max: int = MIB
    streams_body: bool = False
    own_idempotency: bool = False
    shows_secret: bool = False
    content_type: str = "application/json"


class Endpoint:
    """Everything at one path: an ASGI application over the routes that share it."""

    def __init__(self, desk: "Desk", routes: list[Route]) -> None:
        self._desk = desk
        self._routes = {route.method: route for route in routes}
        self._decoders = {
            route.method: (msgspec.json.Decoder(route.body), _field_names(route.body))
            for route in routes
            if route.body is not None
        }
        self._queries = {route.method: _field_names(route.query) for route in routes}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request, whatever happens, exactly once."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            route, answer = await self._answer(scope, headers, receive)
        except AnchorError as error:
            await send_problem(send, error)
            return
        except Exception:
            request_id = new_request_id()
            log.exception("request failed", path=scope["path"], request_id=request_id)
            broken = AnchorError(
                "The server made a mistake with this request.",
                hint="Nothing was changed that was not acknowledged. Report the requestId with the server's log.",
            )
            await send_problem(send, broken, request_id)
            return
        await self._send(route, answer, send)

    async def _answer(self, scope: "Scope", headers: dict[str, str], receive: "Receive") -> tuple[Route, Answer]:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = self._routes.get(method)
        if route is None:
            allowed = ", ".join(sorted(self._routes))
            raise InvalidRequest(
                f"{scope['method']} is not possible here.", hint=f"Use {allowed}.", code="method_not_allowed"
            )
        principal = await self._desk.gate.admit(route.roles, scope, headers)
        query = self._read_query(route, scope["query_string"])
        stream = _chunks(receive, route.body_bytes_max)
        raw = b"" if route.streams_body else b"".join([chunk async for chunk in stream])
        body = None
        if method in self._decoders:
            decoder, known = self._decoders[method]
            if not headers.get("content-type", "").startswith("application/json"):
                raise UnsupportedMedia(
                    "The body has to be JSON.", hint="Send it with the header Content-Type: application/json."
                )
            body = decode_body(raw, decoder, known)
        call = Call(self._desk, principal, scope["path_params"], query, body, raw, headers, stream)
        key = headers.get("idempotency-key")
        if key is None or method != "POST" or route.own_idempotency:
            value = await route.handler(call)
            return route, value if isinstance(value, Answer) else Answer(value)
        return route, await self._once(route, call, key)

    async def _once(self, route: Route, call: Call, key: str) -> Answer:
        """Carry out a POST whose repetition is harmless; a key used for something else is refused."""
        world = self._desk.world
        digest = call.digest(route)
        mine = Claim(call.principal.name, checked_key(key), digest, 0, 0, True, world.clock.now())
        claim = await world.store.claim(mine)
        if claim.digest != digest:
            raise Unprocessable(
                "This Idempotency-Key was used before with a different request.",
                hint="Use a new key for a new request, or send the first request again unchanged.",
                code="idempotency_key_reused",
            )
        replayed = claim is not mine and claim.at != mine.at
        if replayed and route.shows_secret:
            raise Conflict(
                "This request was carried out before, and its secret is shown only once.",
                hint="Ask for another one with a new Idempotency-Key.",
                code="already_done",
            )
        value = await route.handler(call)
        answer = value if isinstance(value, Answer) else Answer(value)
        if replayed:
            answer = Answer(
                answer.value,
                answer.status,
                {**answer.headers, "idempotent-replayed": "true"},
                answer.stream,
                answer.content_type,
            )
        return answer

    def _read_query(self, route: Route, raw: bytes) -> Any:
        pairs = dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}
        try:
            return msgspec.convert(pairs, route.query, strict=False)
        except msgspec.ValidationError as error:
            raise unfit(error, self._queries[route.method]) from None

    async def _send(self, route: Route, answer: Answer, send: "Send") -> None:
        status = answer.status or route.status
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"x-content-type-options", b"nosniff"))
        headers.append((b"cache-control", b"no-store"))
        if answer.stream is None:
            content = answer.value if isinstance(answer.value, bytes) else _encode(answer.value)
            headers.append((b"content-type", answer.content_type.encode()))
            headers.append((b"content-length", str(len(content)).encode()))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content})
            return
        headers.append((b"content-type", answer.content_type.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        async for chunk in answer.stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def send_problem(send: "Send", error: AnchorError, request_id: str = "") -> None:
    """Answer with a problem document."""
    problem = problem_of(error, request_id or new_request_id())
    content = _encode(problem)
    status = 405 if error.code == "method_not_allowed" else problem.status
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
    if status == STATUS[NotFound]:
        headers.append((b"x-anchor", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="anchor"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def new_request_id() -> str:
    """A short id that ties an error a user saw to a line of the server's log."""
    return f"req_{secrets.token_hex(8)}"


def checked_key(key: str) -> str:
    """An Idempotency-Key that can be kept."""
    if not 1 <= len(key) <= 255 or not key.isprintable():
        raise InvalidRequest("The Idempotency-Key is not usable.", hint="Use 1 to 255 printable characters.")
    return key


async def _chunks(receive: "Receive", limit: int) -> AsyncIterator[bytes]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The connection closed before the whole body arrived.", code="disconnected")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise TooLarge(
                f"The body is larger than {limit:,} bytes.",
                hint="Upload large modules and inputs with PUT /api/blobs/{sha256}, and split large bulks.",
            )
        if chunk:
            yield chunk
        if not message.get("more_body"):
            return


def _field_names(kind: Any) -> frozenset[str]:
    """Every field name anywhere in a type: what a misspelt one is compared with."""
    _, components = msgspec.json.schema_components([kind])
    return frozenset(name for schema in components.values() for name in schema.get("properties", {}))
