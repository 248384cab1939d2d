"""An HTTP/1.1 connection to a replica, over a stream: one request at a time, and what is answered."""

import asyncio

import httptools

from anchor.wire.tunnel import Stream

HEAD_BYTES_MAX = 64 * 1024
STATUS_MAX = 599
"""HTTP knows five classes of them."""


class NoAnswer(Exception):
    """There is no whole answer. `code` says why; `is_unheard`: the app has not had the request; `is_unanswered`: not a
    byte of an answer came."""

    def __init__(self, code: str, *, is_unheard: bool = False, is_unanswered: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.is_unheard = is_unheard
        self.is_unanswered = is_unanswered or is_unheard


class Upstream:
    """A connection to one generation of an app, and the sink of its stream. After `ask` come `head`, and `body` until
    it `is_over`; where it then `is_reusable` it may be asked again. `switched`: the app changed to another protocol,
    and `rest` is what it said in that already."""

    stream: Stream

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_over = True
        self.is_reusable = True
        self.idle_since = 0.0
        self.switched = False
        self.rest = b""
        self._is_accepted = False
        self._has_head = False
        self._has_length = False
        self._is_head = False
        self._may_switch = False
        self._is_interim = False
        self._heard = 0
        self._unconsumed = 0
        self._chunks: list[bytes] = []
        self._failure: NoAnswer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)

    def ask(self, head: bytes, *, is_head: bool = False, may_switch: bool = False) -> None:
        """Send a request, or its beginning; the answer to HEAD has no body whatever it says."""
        self.is_over = self._has_head = self._has_length = False
        self._is_head = is_head
        self._may_switch = may_switch
        self._heard = 0
        self.stream.write(head)

    async def let_in(self) -> None:
        """Wait until the replica has accepted the connection."""
        while not self._is_accepted:
            await self._news()

    async def write(self, content: bytes) -> None:
        """Send more of the request, and wait until there is room for yet more."""
        if not self.stream.write(content):
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    async def head(self) -> None:
        """Wait for `status` and `headers`."""
        while not self._has_head:
            await self._news()

    async def body(self) -> bytes:
        """The next piece of the answer's body; empty only where it `is_over`."""
        while not self._chunks and not self.is_over:
            await self._news()
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def has_more(self) -> bool:
        """Whether there is a piece that `body` need not wait for."""
        return bool(self._chunks)

    @property
    def is_through(self) -> bool:
        """Whether the answer came whole and was taken whole, so that nothing of it can get into another."""
        return self.is_over and not self._chunks and not self._unconsumed

    def consumed(self) -> None:
        """What came so far is on its way to the caller: as much again may come."""
        size, self._unconsumed = self._unconsumed, 0
        if size:
            self.stream.consumed(size)

    def fail(self, code: str, *, is_unheard: bool = False) -> None:
        """Nothing more will come of this; whoever waits is told."""
        self.is_reusable = False
        if self._failure is None and not self.is_over:
            self._failure = NoAnswer(code, is_unheard=is_unheard, is_unanswered=not self._heard)
        self.stream.reset(code)
        self._tell()
        self.drained()

    async def _news(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._failure is not None and not self._chunks:
            raise self._failure

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the stream says.

    def accepted(self) -> None:
        """The replica has the connection."""
        self._is_accepted = True
        self._tell()

    def refused(self, code: str) -> None:
        """It does not."""
        self.fail("refused", is_unheard=True)

    def data(self, content: bytes) -> None:
        """A part of an answer."""
        if self.is_over:  # nobody asked
            self.fail("unasked")
            return
        self._heard += len(content)
        self._unconsumed += len(content)
        try:
            self._parser.feed_data(content)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = content[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.fail("bad_answer")
            return
        if not self._has_head:
            if self._heard > HEAD_BYTES_MAX:
                self.fail("bad_answer")
            self.consumed()
            return
        self._tell()

    def ended(self) -> None:
        """The app closed the connection: the end of an answer that did not say its length."""
        if self._has_head and not self._has_length and not self.is_over:
            self.is_over = True
        self.fail("cut_short")

    def reset(self, code: str) -> None:
        """The connection broke."""
        self.fail("cut_short")

    def drained(self) -> None:
        """There is room for more of the request."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def lost(self) -> None:
        """The tunnel broke."""
        self.fail("cut_short")

    # What the parser says.

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self.is_over:  # a second one
            self.is_reusable = False
            return
        self.headers = []
        self.status = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is dropped."""
        if not self._has_head and not self.is_over:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self.is_over:
            return
        self.status = self._parser.get_status_code()
        if not 100 <= self.status <= STATUS_MAX:
            raise ValueError(f"there is no status {self.status}")
        self._is_interim = self.status < 200
        if self.status == 101:
            if not self._may_switch:
                raise ValueError("the app changed to a protocol nobody asked for")
            self._has_head = self.is_over = self.switched = True
            self.is_reusable = False
        elif not self._is_interim:
            self._has_head = True
            self._has_length = self.status in (204, 304) or any(
                name in (b"content-length", b"transfer-encoding") for name, _ in self.headers
            )
            if self._is_head:
                self.is_over = True
                self.is_reusable = False  # the parser waits for a body

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self.is_over:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole, or was only a word in between."""
        if self._is_interim or self.is_over:
            return
        self.is_over = True
        self.is_reusable = self.is_reusable and self._parser.should_keep_alive()
