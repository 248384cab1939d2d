"""A request to an app, and its answer: streamed both ways, sent to another replica where nobody can have heard it."""

import asyncio
import time
from typing import TYPE_CHECKING

from anchor.core.app import App, routable
from anchor.server.ingress import pages
from anchor.server.ingress.answer import NoAnswer, Upstream
from anchor.server.ingress.door import Ingress
from anchor.server.ingress.heads import BadHead, body_of, is_from_anywhere, preflight, request_head, response_headers
from anchor.server.ingress.hosts import Meant
from anchor.server.ingress.pages import Trouble, say

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

HEAD_SECONDS = 60.0
"""How long an app may think before its answer begins, and a caller may leave off in the middle of its request."""
IDLE_SECONDS = 600.0
"""How long an answer may go on without a byte."""
STALL_SECONDS = 60.0
"""How long a caller may leave an answer unread."""
PATIENCE_SECONDS = 2.0
"""How long a request that nobody has heard yet waits for a replica to come within reach."""
AGAIN_SECONDS = 0.05
TRIES_MAX = 4
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""What may be sent to another replica although one may have acted on it, where it has no body."""


class Forwarder:
    """The ASGI application of all apps."""

    def __init__(self, ingress: Ingress) -> None:
        self._ingress = ingress

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send", meant: Meant) -> None:
        """Answer one request that means an app."""
        try:
            if scope["type"] != "http":  # a protocol that is spoken with apps was taken out of here before
                await send({"type": "websocket.close"})
                return
            if meant.lacks_slash:
                await _redirect(scope, send, meant)
                return
            app = self._ingress.app(meant.name)
            if app is None:
                raise pages.no_such_app(meant.name)
            exchange = _Exchange(self._ingress, app, meant, scope, receive, send)
            leave = self._ingress.enter(app, exchange)
            try:
                await exchange.run()
            finally:
                leave()
        except Trouble as trouble:
            await say(trouble, scope, send)
        except BadHead as error:
            await say(Trouble(400, "bad_request", str(error)), scope, send)


async def _redirect(scope: "Scope", send: "Send", meant: Meant) -> None:
    query = scope["query_string"]
    location = meant.prefix.encode("latin-1") + b"/" + (b"?" + query if query else b"")
    headers = [(b"location", location), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 308, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class _Exchange:
    """One request under way."""

    def __init__(
        self, ingress: Ingress, app: App, meant: Meant, scope: "Scope", receive: "Receive", send: "Send"
    ) -> None:
        self._ingress = ingress
        self._app = app
        self._meant = meant
        self._scope = scope
        self._receive = receive
        self._send = send
        self._connection = scope["anchor.connection"]
        self._cycle = scope["anchor.cycle"]()
        self._client: str = scope["client"][0] if scope["client"] else ""
        self._upstream: Upstream | None = None
        self._first = b""
        self._more = False
        self._has_body = False
        self._chunked = False
        self._has_begun = False
        self.deadline = time.monotonic() + HEAD_SECONDS

    def expire(self) -> None:
        """Nothing moved for too long: give up, and hang up on a caller who does not send or read."""
        self.deadline = float("inf")
        if self._upstream is not None and not self._cycle.disconnected:
            self._upstream.fail("timed_out")
        if self._upstream is None or self._has_begun or self._more:
            self._connection.transport.abort()

    def gone(self) -> None:
        """The caller hung up."""
        self._cycle.disconnected = True
        if self._upstream is not None:
            self._upstream.fail("gone")

    async def run(self) -> None:
        scope = self._scope
        length, self._chunked = body_of(scope["headers"])
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        if length is not None:
            framing = b"content-length: %d\r\n" % length
        query = scope["query_string"]
        target = scope["raw_path"][len(self._meant.prefix) :] + (b"?" + query if query else b"")
        head = request_head(
            scope["method"], target, scope["headers"], self._meant,
            scheme=scope["scheme"], client=self._client, framing=framing,
        )  # fmt: skip
        self._has_body = bool(length) or self._chunked
        if self._has_body:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            self._first, self._more = message.get("body", b""), message.get("more_body", False)
            if self._chunked:
                self._first = (b"%x\r\n%b\r\n" % (len(self._first), self._first) if self._first else b"") + (
                    b"" if self._more else b"0\r\n\r\n"
                )
        self._connection.on_gone = self.gone
        try:
            await self._until_answered(head)
        finally:
            self._connection.on_gone = None

    async def _until_answered(self, head: bytes) -> None:
        tried: set[int] = set()
        heard: set[int] = set()
        patience = time.monotonic() + PATIENCE_SECONDS
        tries = 0
        unanswered: NoAnswer | None = None
        while not self._cycle.disconnected:
            picked = self._ingress.picker.pick(self._app, tried)
            connected = None
            if picked is not None:
                replica, line = picked
                connected = self._ingress.picker.connect(self._app.id, replica.generation, line)
                tried.add(replica.generation)
            if connected is None:
                if unanswered is not None and self._is_known_to_all(heard):
                    self._give_up(unanswered)
                    return
                await self._be_patient(patience)
                tried = set(heard)
                continue
            upstream, was_used = connected
            tries += 1
            self._upstream = upstream
            try:
                await self._ask(upstream, head)
                return
            except NoAnswer as failure:
                if self._cycle.disconnected:
                    return
                if failure.is_unheard:
                    self._ingress.picker.leave_out(self._app.id, replica.generation)
                elif was_used:  # it may just have closed a connection it had kept: that says nothing about it
                    tried.discard(replica.generation)
                if not self._may_repeat(failure) or (tries >= TRIES_MAX and not failure.is_unheard):
                    self._give_up(failure)
                    return
                if not failure.is_unheard and not was_used:
                    heard.add(replica.generation)
                    unanswered = failure
            finally:
                self._ingress.picker.done(self._app.id, replica.generation, upstream)
                self._upstream = None

    def _is_known_to_all(self, heard: set[int]) -> bool:
        """Whether every replica that there is now was sent the request and gave no answer."""
        app = self._ingress.app(self._app.name)
        return app is None or all(one.generation in heard for one in routable(app))

    def _may_repeat(self, failure: NoAnswer) -> bool:
        if failure.code == "timed_out":
            return False
        if failure.is_unheard:
            return True
        return failure.is_unanswered and not self._has_body and self._scope["method"] in REPEATABLE

    def _give_up(self, failure: NoAnswer) -> None:
        name = self._app.name
        if self._has_begun:
            self._connection.hang_up(self._cycle)
        elif failure.code == "timed_out":
            raise Trouble(504, "app_timed_out", f"{name} did not answer within {HEAD_SECONDS:g} seconds.")
        elif failure.code == "bad_answer":
            raise Trouble(
                502, "bad_answer", f"{name} sent something that is not HTTP.", f"See `anchor app logs {name}`."
            )
        else:
            raise Trouble(
                502, "connection_broke", f"{name} closed the connection before it answered.",
                "Whether it acted on the request is not known.",
            )  # fmt: skip

    async def _be_patient(self, until: float) -> None:
        """Nobody can be asked at this moment: look again soon, unless that has lasted too long."""
        app = self._ingress.app(self._app.name)
        if app is None:
            raise pages.no_such_app(self._app.name)
        self._app = app
        if not routable(app):
            raise pages.out_of_reach(app)
        if time.monotonic() >= until:
            raise pages.disconnected(app)
        await asyncio.sleep(AGAIN_SECONDS)

    async def _ask(self, upstream: Upstream, head: bytes) -> None:
        upstream.ask(head + self._first, is_head=self._scope["method"] == "HEAD")
        if not self._more:
            await self._answer(upstream)
            return
        await upstream.let_in()
        uploading = asyncio.create_task(self._upload(upstream))
        try:
            await self._answer(upstream)
        finally:
            if not uploading.done():  # answered before the request was whole: nothing else can be asked on this
                upstream.is_reusable = False
            uploading.cancel()
            await asyncio.gather(uploading, return_exceptions=True)

    async def _upload(self, upstream: Upstream) -> None:
        rate = self._ingress.rate(self._app.id)
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                upstream.fail("gone")
                return
            body = message.get("body", b"")
            self._more = message.get("more_body", False)
            self.deadline = time.monotonic() + HEAD_SECONDS
            if body:
                await upstream.write(b"%x\r\n%b\r\n" % (len(body), body) if self._chunked else body)
                await rate.pace(len(body))
        if self._chunked:
            await upstream.write(b"0\r\n\r\n")

    async def _answer(self, upstream: Upstream) -> None:
        await upstream.head()
        scope, send = self._scope, self._send
        meant = self._meant
        host = origin = b""
        if meant.prefix:
            for name, value in scope["headers"]:
                if name == b"host":
                    host = value
                elif name == b"origin" and is_from_anywhere(scope["headers"], self._client):
                    origin = value
        try:
            headers = response_headers(upstream.headers, meant, host=host, origin=origin)
        except BadHead:
            raise NoAnswer("bad_answer") from None
        if meant.prefix and scope["method"] == "OPTIONS":
            allowed = preflight(scope["headers"], headers)
            if allowed is not None:
                self._has_begun = True
                await send({"type": "http.response.start", "status": 204, "headers": allowed})
                await send({"type": "http.response.body", "body": b""})
                upstream.is_reusable = False  # its answer was not read
                return
        if upstream.status in (204, 304):
            headers = [header for header in headers if header[0] != b"content-length"]
        self._has_begun = True
        is_old = self._old_framing(headers)
        await send({"type": "http.response.start", "status": upstream.status, "headers": headers})
        rate = None
        flow = self._connection.flow
        while True:
            self.deadline = time.monotonic() + IDLE_SECONDS
            content = await upstream.body()
            is_over = upstream.is_over
            if is_old:
                self._cycle.expected_content_length = len(content) if is_over else 1 << 62
            await send({"type": "http.response.body", "body": content, "more_body": not is_over})
            if is_over:
                upstream.consumed()
                return
            if flow.write_paused:
                self.deadline = time.monotonic() + STALL_SECONDS
                await flow.drain()
            upstream.consumed()
            rate = rate or self._ingress.rate(self._app.id)
            await rate.pace(len(content))

    def _old_framing(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """A caller that speaks HTTP/1.0 knows no chunks: what has no length ends with the connection."""
        if self._scope["http_version"] != "1.0" or any(name == b"content-length" for name, _ in headers):
            return False
        self._cycle.chunked_encoding = False
        self._cycle.keep_alive = False
        return True
