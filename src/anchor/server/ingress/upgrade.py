"""WebSockets, and whatever else a connection is upgraded to: after the app's 101, bytes both ways and nothing else."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anchor.server.ingress import pages
from anchor.server.ingress.answer import NoAnswer, Upstream
from anchor.server.ingress.door import Ingress
from anchor.server.ingress.heads import BadHead, Headers, request_head, response_headers
from anchor.server.ingress.hosts import Meant
from anchor.server.ingress.pages import Trouble
from anchor.wire.tunnel import Stream

if TYPE_CHECKING:
    from anchor.core.app import App

HEAD_SECONDS = 60.0
IDLE_SECONDS = 600.0
"""How long a connection may be silent in both directions."""
LINGER_SECONDS = 10.0
"""How long a caller may go on sending to an app that has said its last word."""
READ_SECONDS = 20.0
"""How long a caller may take to read the rest of what it was sent."""
TRIES_MAX = 3
EARLY_BYTES_MAX = 64 * 1024
"""What a caller may send before it has been told that the protocol is another one."""
BODY_BYTES_MAX = 1024 * 1024
"""Of an answer that is not the upgrade."""


class Switch(asyncio.Protocol):
    """Takes a caller's connection over from the moment that its request to upgrade was read.

    `transport` is the caller's; `early` is what it sent with its request. `forget` says that the connection is over.
    """

    def __init__(
        self,
        ingress: Ingress,
        meant: Meant,
        transport: Any,
        *,
        target: bytes,
        headers: Headers,
        protocol: bytes,
        client: str,
        scheme: str,
        early: bytes,
        forget: Callable[["Switch"], None],
    ) -> None:
        self._ingress = ingress
        self._meant = meant
        self._transport = transport
        self._target = target
        self._headers = headers
        self._protocol = protocol
        self._client = client
        self._scheme = scheme
        self._early = [early] if early else []
        self._early_size = len(early)
        self._forget = forget
        self._upstream: Upstream | None = None
        self._pipe: _Pipe | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deadline = time.monotonic() + HEAD_SECONDS

    async def run(self) -> None:
        """Serve the connection to its end."""
        leave: Callable[[], None] | None = None
        try:
            app = self._ingress.app(self._meant.name)
            if app is None:
                raise pages.no_such_app(self._meant.name)
            leave = self._ingress.enter(app, self, upgraded=True)
            await self._switch(app)
            if self._pipe is not None:
                await self._pipe.over
        except Trouble as trouble:
            self._say(trouble)
        except BadHead as error:
            self._say(Trouble(400, "bad_request", str(error)))
        finally:
            self._transport.close()
            # What the caller does not read is kept until it is gone, and so is counted.
            await asyncio.wait([self._gone], timeout=READ_SECONDS)
            if not self._gone.done():
                self._transport.abort()
            if leave is not None:
                leave()
            self._forget(self)

    async def _switch(self, app: "App") -> None:
        head = request_head(
            "GET", self._target, self._headers, self._meant,
            scheme=self._scheme, client=self._client, upgrade=self._protocol,
        )  # fmt: skip
        tried: set[int] = set()
        for _ in range(TRIES_MAX):
            picked = self._ingress.picker.pick(app, tried)
            if picked is None:
                break
            replica, line = picked
            tried.add(replica.generation)
            upstream = Upstream()
            stream = line.open(app.id, replica.generation, upstream)
            if stream is None:
                continue
            upstream.stream = stream
            self._upstream = upstream
            try:
                upstream.ask(head, may_switch=True)
                await upstream.head()
                await self._answered(upstream, stream)
                return
            except NoAnswer as failure:
                stream.reset()
                if self._transport.is_closing():
                    return
                if failure.is_unheard:
                    self._ingress.picker.leave_out(app.id, replica.generation)
                elif failure.code == "timed_out":
                    raise Trouble(504, "app_timed_out", f"{app.name} did not answer in time.") from None
                elif not failure.is_unanswered:
                    raise Trouble(502, "bad_answer", f"{app.name} sent something that is not HTTP.") from None
        raise pages.out_of_reach(app) if not tried else pages.disconnected(app)

    async def _answered(self, upstream: Upstream, stream: Stream) -> None:
        host = next((value for name, value in self._headers if name == b"host"), b"")
        try:
            headers = response_headers(upstream.headers, self._meant, host=host)
        except BadHead:
            raise NoAnswer("bad_answer") from None
        if upstream.switched:
            protocol = next((value for name, value in upstream.headers if name == b"upgrade"), self._protocol)
            self._write_head(101, [*headers, (b"connection", b"upgrade"), (b"upgrade", protocol)])
            self._pipe = _Pipe(self, self._transport, stream)
            stream.sink = self._pipe
            if upstream.rest:
                self._pipe.data(upstream.rest)
            upstream.consumed()
            for content in self._early:
                self._pipe.send(content)
            self._early.clear()
            self._upstream = None
            return
        content = await _whole(upstream)
        kept = [header for header in headers if header[0] != b"content-length"]
        length = str(len(content)).encode()
        self._write_head(upstream.status, [*kept, (b"content-length", length), (b"connection", b"close")])
        self._transport.write(content)
        stream.reset()

    def _write_head(self, status: int, headers: Headers) -> None:
        out = [b"HTTP/1.1 %d \r\n" % status]
        for name, value in headers:
            out += (name, b": ", value, b"\r\n")
        out.append(b"\r\n")
        self._transport.write(b"".join(out))

    def _say(self, trouble: Trouble) -> None:
        accept = next((value for name, value in self._headers if name == b"accept"), b"")
        headers, content = pages.page(trouble, accept)
        self._write_head(trouble.status, [*headers, (b"connection", b"close")])
        self._transport.write(content)

    def expire(self) -> None:
        """Nothing moved for too long."""
        self.deadline = float("inf")
        if self._upstream is not None:
            self._upstream.fail("timed_out")
        else:
            self._transport.abort()

    def moved(self) -> None:
        """Something moved."""
        self.deadline = time.monotonic() + IDLE_SECONDS

    def linger(self) -> None:
        """The app has ended: what the caller still sends is read for a moment. A connection that is closed before takes
        the app's last words with it on their way."""
        self.deadline = time.monotonic() + LINGER_SECONDS

    def shutdown(self) -> None:
        """The server stops."""
        self._transport.close()

    # What the caller's transport says.

    def data_received(self, data: bytes) -> None:
        """From the caller."""
        if self._pipe is not None:
            self._pipe.send(data)
            return
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size > EARLY_BYTES_MAX:
            self._transport.abort()

    def eof_received(self) -> bool:
        """The caller sends no more."""
        if self._pipe is not None:
            self._pipe.end()
        return self._pipe is not None

    def pause_writing(self) -> None:
        """The caller does not read."""
        if self._pipe is not None:
            self._pipe.pause()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._pipe is not None:
            self._pipe.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        if not self._gone.done():
            self._gone.set_result(None)
        if self._pipe is not None:
            self._pipe.hung_up()
        elif self._upstream is not None:
            self._upstream.fail("gone")


async def _whole(upstream: Upstream) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while not upstream.is_over or upstream.has_more:
        piece = await upstream.body()
        upstream.consumed()
        pieces.append(piece)
        size += len(piece)
        if size > BODY_BYTES_MAX:
            raise NoAnswer("bad_answer")
    return b"".join(pieces)


class _Pipe:
    """Between a caller's transport and a stream: what one does not take, the other may not send."""

    def __init__(self, switch: Switch, transport: Any, stream: Stream) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._switch = switch
        self._transport = transport
        self._stream = stream
        self._unread = 0
        self._is_paused = False
        self._has_ended = self._caller_has_ended = False
        switch.moved()

    def send(self, content: bytes) -> None:
        """To the app."""
        if not self._has_ended:
            self._switch.moved()
        if not self._stream.write(content):
            self._transport.pause_reading()

    def end(self) -> None:
        """The caller sends no more."""
        self._caller_has_ended = True
        self._stream.end()
        if self._has_ended:
            self._finish()

    def pause(self) -> None:
        """The caller does not read."""
        self._is_paused = True

    def resume(self) -> None:
        """It reads again."""
        self._is_paused = False
        unread, self._unread = self._unread, 0
        if unread:
            self._stream.consumed(unread)

    def hung_up(self) -> None:
        """The caller is gone."""
        self._stream.reset("gone")
        self._finish()

    def data(self, content: bytes) -> None:
        """From the app."""
        self._switch.moved()
        self._transport.write(content)
        if self._is_paused:
            self._unread += len(content)
        else:
            self._stream.consumed(len(content))

    def drained(self) -> None:
        """The tunnel took what the caller sent."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def ended(self) -> None:
        """The app sends no more; it may still read, until the caller ends too."""
        self._has_ended = True
        if self._caller_has_ended or not self._transport.can_write_eof():
            self._stream.end()
            self._finish()
        else:
            self._transport.write_eof()
            self._switch.linger()

    def reset(self, code: str) -> None:
        """The app hung up. After its end, what the caller sends goes nowhere."""
        if self._has_ended:
            self.drained()
        else:
            self._finish()

    def lost(self) -> None:
        """The tunnel broke."""
        self._finish()

    def accepted(self) -> None:
        """It was, long ago."""

    def refused(self, code: str) -> None:
        """It was not."""
        self._finish()

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
