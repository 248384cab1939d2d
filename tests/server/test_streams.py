"""An answer that goes on and on ends when its reader goes, and a broken one is not passed off as whole."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from anchor.adapters.local.buckets import LocalBuckets
from anchor.adapters.local.clock import SystemClock
from anchor.core.errors import Unavailable
from anchor.server.desk import Desk
from anchor.server.gate import Gate
from anchor.server.http import Answer, Call, Endpoint, Route

pytestmark = pytest.mark.anyio
SCOPE: Any = {"type": "http", "method": "GET", "path": "/s", "headers": [], "query_string": b"", "path_params": {}}


class Reader:
    """The other end of one exchange: what it was sent, and when it goes."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.leaves = asyncio.Event()
        self._asked = False

    async def receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def desk() -> Desk:
    nothing = cast("Any", None)
    gate = Gate(
        nothing, SystemClock(not_before_ms=0), LocalBuckets(), secret=b"", open_locally=True, requests_per_second=1e6
    )
    return Desk(
        world=nothing,
        gate=gate,
        parts=nothing,
        version="",
        url="",
        started_at=0,
        secrets=nothing,
        scratch=nothing,
        peer_url="",
    )


def endpoint(desk: Desk, stream: AsyncIterator[bytes], *, endless: bool) -> Endpoint:
    async def handler(_: Call) -> Answer:
        return Answer(stream=stream, endless=endless)

    return Endpoint(desk, [Route(method="GET", path="/s", handler=handler, summary="", roles=())])


class Ticking:
    """A stream that says one thing and then waits for ever; `ended` once it is let go."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.waits = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            yield b"tick"
            self.waits.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.mark.parametrize("endless", [True, False])
async def test_a_stream_is_let_go_when_its_reader_hangs_up(endless: bool) -> None:
    ticking, reader = Ticking(), Reader()
    serving = asyncio.create_task(
        endpoint(desk(), ticking.chunks(), endless=endless)(SCOPE, reader.receive, reader.send)
    )
    async with asyncio.timeout(5):
        await ticking.waits.wait()
        reader.leaves.set()
        await ticking.ended.wait()
        await serving


async def test_an_endless_stream_ends_properly_when_the_server_stops() -> None:
    at, ticking, reader = desk(), Ticking(), Reader()
    serving = asyncio.create_task(endpoint(at, ticking.chunks(), endless=True)(SCOPE, reader.receive, reader.send))
    async with asyncio.timeout(5):
        await ticking.waits.wait()
        at.stopping.set()
        await serving
    assert reader.sent[-1] == {"type": "http.response.body", "body": b""}


async def test_a_stream_that_breaks_is_not_finished_as_if_it_were_whole() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise Unavailable("The blob is damaged.")

    reader = Reader()
    await endpoint(desk(), broken(), endless=False)(SCOPE, reader.receive, reader.send)
    assert reader.sent[-1] == {"type": "http.response.body", "body": b"half", "more_body": True}
