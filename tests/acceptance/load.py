"""A steady load on an app: so many requests a second whatever became of those before, each answer read whole."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import TracebackType

ANSWER_SECONDS = 10.0
"""A request that has no whole answer by then has failed."""
HEAD_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What became of one request: `status` is 0 where there was no whole answer, `said` then says why, else it is the
    body. Times are seconds, `at` since the load began."""

    at: float
    seconds: float
    status: int
    said: str
    fresh: bool
    """Whether it opened a connection of its own."""

    @property
    def good(self) -> bool:
        return self.status == 200


@dataclass
class Counts:
    """All answers of a load, in the order they came."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def failed(self) -> list[Answer]:
        return [one for one in self.answers if not one.good]

    @property
    def a_thousand(self) -> float:
        """Failed requests in 1,000."""
        return 1000 * len(self.failed) / len(self.answers)

    def percentile(self, share: float) -> float:
        """The seconds within which this share of the good answers was there."""
        seconds = sorted(one.seconds for one in self.answers if one.good)
        return seconds[max(0, math.ceil(share * len(seconds)) - 1)] if seconds else math.nan

    def between(self, begun: float, ended: float) -> "Counts":
        """The requests that were sent in a part of the time."""
        return Counts([one for one in self.answers if begun <= one.at < ended])

    def said(self) -> str:
        """One line for people: how many, how many failed, and of what."""
        kinds = Counter(f"{one.status or 'no answer'}: {one.said[:120]}" for one in self.failed)
        line = f"{len(self.answers)} requests, {len(self.failed)} failed, p99 {1000 * self.percentile(0.99):.0f} ms"
        return "; ".join([line, *(f"{count} x {kind}" for kind, count in kinds.most_common(5))])


class Load:
    """Sends GETs from a thread of its own while its `with` block runs; three of four over connections that are kept
    open, the others over new ones. It never waits for an answer before it sends the next."""

    def __init__(self, port: int, host: str, path: str = "/", *, rate: float = 200, fresh_every: int = 4) -> None:
        self.counts = Counts()
        self.rate = rate
        self._port = port
        self._fresh_every = fresh_every
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n"
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), name="load")
        self._begun = 0.0

    def __enter__(self) -> "Load":
        self._begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(3 * ANSWER_SECONDS)

    @property
    def seconds(self) -> float:
        """How long it has been going."""
        return time.monotonic() - self._begun

    def during(self, step: Callable[[], object], *, before: float = 1.0, after: float = 2.0) -> Counts:
        """What became of the requests sent around a step: from a while before it until a while after its end."""
        begun = self.seconds
        time.sleep(before)
        step()
        time.sleep(after)
        ended = self.seconds
        deadline = time.monotonic() + ANSWER_SECONDS + 1
        due = round((ended - begun) * self.rate * 0.8)
        while len(found := self.counts.between(begun, ended).answers) < due and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(found) >= due, f"the load sent {len(found)} requests and not {due}: this machine is too busy"
        return Counts(found)

    async def _send(self) -> None:
        sent: set[asyncio.Task[None]] = set()
        number = 0
        while not self._over.is_set():
            due = int(self.seconds * self.rate)
            while number < due:
                number += 1
                task = asyncio.create_task(self._request(fresh=number % self._fresh_every == 0))
                sent.add(task)
                task.add_done_callback(sent.discard)
            await asyncio.sleep(max(0.0, (number + 1) / self.rate - self.seconds))
        if sent:
            await asyncio.wait(sent)
        for _, writer in self._kept:
            writer.close()

    async def _request(self, *, fresh: bool) -> None:
        begun = self.seconds
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, said = await self._asked(fresh)
        except TimeoutError:
            status, said = 0, f"no answer within {ANSWER_SECONDS:.0f} s"
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            status, said = 0, f"{type(error).__name__}: {error}"
        self.counts.answers.append(Answer(begun, self.seconds - begun, status, said, fresh))

    async def _asked(self, fresh: bool) -> tuple[int, str]:
        reader, writer = await self._connection(fresh)
        try:
            writer.write((self._head + ("Connection: close\r\n\r\n" if fresh else "\r\n")).encode())
            status, body, stays = await _answer(reader)
        except BaseException:
            writer.close()
            raise
        if fresh or not stays:
            writer.close()
        else:
            self._kept.append((reader, writer))
        return status, body.decode(errors="replace")

    async def _connection(self, fresh: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._kept and not fresh:
            reader, writer = self._kept.pop(0)
            if not reader.at_eof() and reader.exception() is None and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port, limit=HEAD_BYTES_MAX)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status and body of a whole answer, and whether the connection stays open after it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
    status = int(line.split(" ")[1])
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([piece async for piece in _chunks(reader)])
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif status in {204, 304}:
        body = b""
    else:
        return status, await reader.read(), False
    return status, body, headers.get("connection", "").lower() != "close"


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        piece = await reader.readexactly(size + 2)
        if not size:
            return
        yield piece[:-2]
