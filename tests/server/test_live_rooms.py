"""A room of the live link: nobody is left with an old picture because others were heard while it could not be told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from anchor.adapters.local.clock import SystemClock
from anchor.server.live.rooms import Member, Picture, Room
from anchor.wire.live import Missed

pytestmark = pytest.mark.anyio
PATIENCE_SECONDS = 20.0


class Number(Picture):
    """A number that changes when it is told to, looked at as often as anything is."""

    def __init__(self) -> None:
        self.value = 0

    async def look(self) -> int:
        return self.value


class Reader:
    """Somebody in the room, who reads or does not."""

    def __init__(self) -> None:
        self.reads = True
        self.heard: list[tuple[str, Any]] = []
        self._something = asyncio.Event()
        self.member = Member(lambda: self.reads, self._send)

    async def _send(self, event: str, data: Any) -> None:
        self.heard.append((event, data))
        self._something.set()

    async def until(self, event: str) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.heard or self.heard[-1][0] != event:
                self._something.clear()
                await self._something.wait()
        return self.heard[-1][1]


@pytest.fixture
async def number() -> Number:
    return Number()


@pytest.fixture
async def room(number: Number) -> AsyncIterator[Room]:
    room = Room("number", number, SystemClock(), lambda _: None)
    yield room
    room.end()


async def test_who_could_not_be_told_the_last_news_is_told_to_join_again(room: Room, number: Number) -> None:
    quick, slow = Reader(), Reader()
    for one in (quick, slow):
        await room.show(one.member)
    slow.reads = False
    number.value = 1
    await quick.until("frame")
    assert slow.heard == []
    slow.reads = True
    assert await slow.until("missed") == Missed("number")
    assert (await room.show(slow.member)).snapshot == 1
    number.value = 2
    await slow.until("frame")
    assert [event for event, _ in slow.heard] == ["missed", "frame"]
    assert [event for event, _ in quick.heard] == ["frame", "frame"]


async def test_so_is_who_could_not_be_told_what_a_newcomer_is_shown(room: Room, number: Number) -> None:
    slow, newcomer = Reader(), Reader()
    await room.show(slow.member)
    slow.reads = False
    number.value = 1
    assert (await room.show(newcomer.member)).snapshot == 1
    slow.reads = True
    await slow.until("missed")
    assert newcomer.heard == []
