"""Uvicorn's HTTP protocol with bounds on a request's head, and with connections that are upgraded to reach an app."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anchor.server.gathering import Gathering
from anchor.server.ingress.door import Ingress
from anchor.server.ingress.heads import body_of
from anchor.server.ingress.hosts import Meant
from anchor.server.ingress.upgrade import Switch

HEAD_BYTES_MAX = 64 * 1024
HEAD_SECONDS = 20.0
LINGER_SECONDS = 60.0
"""How long a caller may take to read the rest of an answer that was cut short."""


class BoundedHeads(HttpToolsProtocol):
    """Refuses a head (or trailer) that is too large, and hangs up on a head that does not come: the parser itself
    would keep any of it and wait for ever.

    Whoever answers a request finds in its scope the connection, and a weak reference to the cycle it is answered in
    (`anchor.connection`, `anchor.cycle`); `on_gone` is called when the caller hangs up.
    """

    ingress: ClassVar[Ingress]
    on_gone: Callable[[], None] | None = None
    _upgrade: tuple[Meant, bytes] | None = None
    _in_head = False
    _in_message = False
    _moved = False
    _unused_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a first request."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._expect_no_head()
        super().connection_lost(exc)
        if self.on_gone is not None:
            self.on_gone()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_message = self._in_head = True
        self._unused_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._moved = False, True
        self._expect_no_head()
        if self.parser.should_upgrade():
            self._upgrade = self._upgrade_to_app()
        super().on_headers_complete()
        self.scope["anchor.connection"] = self  # type: ignore[typeddict-unknown-key]
        if self.cycle is not None:  # there is none before an upgrade
            # The cycle has the scope: each request would stay until the garbage collector finds it.
            self.scope["anchor.cycle"] = weakref.ref(self.cycle)  # type: ignore[typeddict-unknown-key]

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes came: those that neither end a head nor bring body are kept by the parser, and so counted."""
        self._moved = False
        self._feed(data)
        if not self._in_message or self.transport.is_closing():
            return
        self._unused_bytes = 0 if self._moved else self._unused_bytes + len(data)
        if self._unused_bytes > HEAD_BYTES_MAX:
            if self._in_head:
                self.send_400_response(f"The head of the request is larger than {HEAD_BYTES_MAX} bytes.")
            self.transport.close()
        elif self._in_head and self._deadline is None:
            self._expect_head()

    def hang_up(self, cycle: Any) -> None:
        """End a connection whose answer cannot be finished, so that the caller notices."""
        cycle.disconnected = True
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _feed(self, data: bytes) -> None:
        """What the class above does, but that an app gets an upgraded connection with whatever came early."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrade is not None:
                self._switch(*self._upgrade, data[upgrade.args[0] :])
            elif self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                # Its parser is through with this connection; the request itself is answered.
                self.cycle.keep_alive = False

    def _should_upgrade(self) -> bool:
        return self._upgrade is not None or super()._should_upgrade()

    def _upgrade_to_app(self) -> tuple[Meant, bytes] | None:
        """The app, and the protocol, that this request wants; None where it is none of an app's upgrades."""
        protocol = self._get_upgrade()
        if self.parser.get_method() != b"GET" or not protocol or protocol == b"h2c":
            return None  # to speak HTTP/2 from here on would be to pass by whatever looks at requests
        try:
            meant = self.ingress.hosts.meant(self.headers, httptools.parse_url(self.url).path or b"/")
        except ValueError:
            return None
        if meant is None or meant.lacks_slash or any(body_of(self.headers)):
            return None
        return meant, protocol

    def _switch(self, meant: Meant, protocol: bytes, early: bytes) -> None:
        self.connections.discard(self)
        url = httptools.parse_url(self.url)
        target = url.path[len(meant.prefix) :] + (b"?" + url.query if url.query else b"")
        switch = Switch(
            self.ingress,
            meant,
            self.transport,
            target=target,
            headers=self.headers,
            protocol=protocol,
            client=self.client[0] if self.client else "",
            scheme=self.scheme or "http",
            early=early,
            forget=self.connections.discard,
        )
        self.connections.add(switch)  # type: ignore[arg-type]
        self.transport.set_protocol(switch)
        task = self.loop.create_task(switch.run())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _expect_no_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def heads_for(ingress: Ingress) -> type[BoundedHeads]:
    """The protocol of a server whose upgraded connections may reach apps."""
    return type("Heads", (BoundedHeads,), {"ingress": ingress})
