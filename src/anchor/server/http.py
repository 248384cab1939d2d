"""The one declarative route table, and what every request goes through: who asks, what they sent, what they get."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from anchor.core.access import Principal, Role
from anchor.core.errors import (
    AnchorError,
    Conflict,
    InvalidRequest,
    MethodNotAllowed,
    TooLarge,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)
from anchor.failpoints import reached
from anchor.ports.store import Claim, UnknownOutcome
from anchor.server.json_body import decode_body, unfit
from anchor.wire.problems import CONTENT_TYPE, problem_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from anchor.server.desk import Desk

log = structlog.get_logger("anchor.http")
MIB = 1024 * 1024
THREAD_BYTES = 128 * 1024
"""Bodies above this are read in a thread, so that nobody else waits for it."""
QUERY_FIELDS_MAX = 20
WRONG_TOKEN_CODES = frozenset({"invalid_token", "invalid_join_token"})
"""What a caller is told who showed a token that opens nothing; the audit trail hears of it."""
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
    scope: "Scope"

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
    """What a handler returns when the value alone does not say it all. `stream` replaces the value; an `endless` one
    goes on until something happens, and is ended when the server stops."""

    value: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None
    content_type: str = "application/json"
    endless: bool = False


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One line of the table. `roles` are the least ones that may use it (none: anybody). A route with
    `own_idempotency` minds the Idempotency-Key itself; one that `shows_secret` cannot be replayed. `stream_type` is
    what it answers with instead where it was asked to go on and on, `file_types` where it was asked for a file. With
    `body_optional`, no body is an empty object.
    """

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
    stream_type: str = ""
    file_types: tuple[str, ...] = ()
    body_optional: bool = False


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
        methods = set(self._routes) | ({"HEAD"} if "GET" in self._routes else set())
        self._allowed = ", ".join(sorted(methods))
        self._queries = {route.method: _field_names(route.query) for route in routes}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request, whatever happens, exactly once."""
        headers = headers_of(scope)
        route = self._routes.get("GET" if scope["method"] == "HEAD" else scope["method"])
        try:
            if route is None:
                raise MethodNotAllowed(f"{scope['method'][:20]} is not possible here.", hint=f"Use {self._allowed}.")
            answer = await self._answer(route, scope, headers, receive)
        except AnchorError as error:
            if error.code in WRONG_TOKEN_CODES:
                await self._remark(error, scope)
            more = {"allow": self._allowed} if isinstance(error, MethodNotAllowed) else {}
            await send_problem(send, error, headers=more)
            return
        except UnknownOutcome:
            unknown = Unavailable(
                "The server does not know whether this was written down.",
                hint="Look, or send it again with the same Idempotency-Key.",
                code="unknown_outcome",
                retry_after_seconds=1,
            )
            await send_problem(send, unknown)
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
        await self._send(route, answer, scope, receive, send)

    async def _remark(self, error: AnchorError, scope: "Scope") -> None:
        address = scope["client"][0] if scope.get("client") else "unknown"
        message = f"A request from {address} was refused. {error.message}"
        await self._desk.remarks.remark(kind="login_failed", subject=address, message=message, by="anybody")

    async def _answer(self, route: Route, scope: "Scope", headers: dict[str, str], receive: "Receive") -> Answer:
        principal = await self._desk.gate.admit(route.roles, scope, headers)
        query = self._read_query(route, scope["query_string"])
        stream = _chunks(receive, route.body_bytes_max)
        raw = b"" if route.streams_body else b"".join([chunk async for chunk in stream])
        body = await self._read_body(route, headers, raw)
        call = Call(self._desk, principal, scope["path_params"], query, body, raw, headers, stream, scope)
        key = headers.get("idempotency-key")
        if key is None or route.method != "POST" or route.own_idempotency:
            value = await route.handler(call)
            return value if isinstance(value, Answer) else Answer(value)
        return await self._once(route, call, checked_key(key))

    async def _read_body(self, route: Route, headers: dict[str, str], raw: bytes) -> Any:
        if route.method not in self._decoders:
            if raw.strip() not in {b"", b"{}"} and not route.streams_body:
                raise InvalidRequest("This request takes no body.", hint="Leave it out.", code="body_not_expected")
            return None
        if route.body_optional and not raw.strip():
            raw, headers = b"{}", {**headers, "content-type": "application/json"}
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMedia(
                "The body has to be JSON.", hint="Send it with the header Content-Type: application/json."
            )
        decoder, known = self._decoders[route.method]
        if len(raw) > THREAD_BYTES:
            return await asyncio.to_thread(decode_body, raw, decoder, known)
        return decode_body(raw, decoder, known)

    async def _once(self, route: Route, call: Call, key: str) -> Answer:
        """Carry out a POST once per (owner, key): a repeat of one that failed or was cut short is carried out, too."""
        world = self._desk.world
        mark = (call.principal.name, key)
        if mark in world.in_flight:
            raise Conflict(
                "A request with this Idempotency-Key is still being carried out.",
                hint="Wait a second and send the same request again.",
                code="request_in_flight",
                retry_after_seconds=1,
            )
        world.in_flight.add(mark)
        try:
            claim = await world.store.claim(Claim(*mark, call.digest(route), 0, 0, False, world.clock.now()))
            reached("http.claimed")
            if claim.digest != call.digest(route):
                raise Unprocessable(
                    "This Idempotency-Key was used before with a different request.",
                    hint="Use a new key for a new request, or send the first request again unchanged.",
                    code="idempotency_key_reused",
                )
            if claim.done and route.shows_secret:
                raise Conflict(
                    "This request was carried out before, and its secret is shown only once.",
                    hint="Ask for another one with a new Idempotency-Key.",
                    code="already_done",
                )
            value = await route.handler(call)
            reached("http.carried_out")
            answer = value if isinstance(value, Answer) else Answer(value)
            if claim.done:
                return replace(answer, headers={**answer.headers, "idempotent-replayed": "true"})
            await world.store.fulfil(claim)
            reached("http.fulfilled")
            return answer
        finally:
            world.in_flight.discard(mark)

    def _read_query(self, route: Route, raw: bytes) -> Any:
        known = self._queries[route.method]
        try:
            pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
        except ValueError:
            raise InvalidRequest(
                f"The query has more than {QUERY_FIELDS_MAX} parameters.",
                hint=_query_hint(route, known),
                code="invalid_query",
            ) from None
        given = dict(pairs)
        if len(given) != len(pairs):
            twice = next(name for at, (name, _) in enumerate(pairs) if name in {one for one, _ in pairs[:at]})
            raise InvalidRequest(
                f"The query parameter {twice[:60]!r} is given twice.", hint="Give each one once.", code="invalid_query"
            )
        try:
            return msgspec.convert(given, route.query, strict=False)
        except msgspec.ValidationError as error:
            wrong = unfit(error, known)
            hint = wrong.hint if wrong.hint.startswith("Did you mean") else _query_hint(route, known)
            message = wrong.message.replace("field", "query parameter", 1)
            raise InvalidRequest(message, hint=hint, code="invalid_query", errors=wrong.errors) from None

    async def _send(self, route: Route, answer: Answer, scope: "Scope", receive: "Receive", send: "Send") -> None:
        status = answer.status or route.status
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"x-content-type-options", b"nosniff"))
        headers.append((b"cache-control", b"no-store"))
        headers.append((b"content-type", answer.content_type.encode()))
        if answer.stream is None:
            content = answer.value if isinstance(answer.value, bytes) else _encode(answer.value)
            headers.append((b"content-length", str(len(content)).encode()))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content})
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        whole = scope["method"] == "HEAD" or await self._stream(answer, answer.stream, receive, send)
        if whole:
            await send({"type": "http.response.body", "body": b""})

    async def _stream(self, answer: Answer, stream: AsyncIterator[bytes], receive: "Receive", send: "Send") -> bool:
        """Send chunk after chunk until the end, until the caller is gone, or (endless ones) until the server stops.

        False where the end was not reached, so that the connection has to be cut for the caller to notice.
        """
        sending = asyncio.create_task(_pump(stream, send))
        ends: set[asyncio.Task[Any]] = {sending, asyncio.create_task(_gone(receive))}
        if answer.endless:
            ends.add(asyncio.create_task(self._desk.stopping.wait()))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                return answer.endless
            sending.result()
        except AnchorError as error:
            log.error("answer cut short", code=error.code, message=error.message)
            return False
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        return True


async def _pump(stream: AsyncIterator[bytes], send: "Send") -> None:
    async for chunk in stream:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _query_hint(route: Route, known: Iterable[str]) -> str:
    return f"{route.method} {route.path} takes {', '.join(sorted(known)) or 'no query parameters'}."


async def send_problem(
    send: "Send", error: AnchorError, request_id: str = "", *, headers: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Answer with a problem document."""
    problem = problem_of(error, request_id or new_request_id())
    content = _encode(problem)
    status = problem.status
    all_headers = [
        *((name.encode(), value.encode()) for name, value in headers.items()),
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if error.retry_after_seconds is not None:
        all_headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
    if status == 401:
        all_headers.append((b"www-authenticate", b'Bearer realm="anchor"'))
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": content})


def headers_of(scope: "Scope") -> dict[str, str]:
    """The headers of a request, by their names in small letters."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


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
