"""What an agent does not take: more than its slots, or anything while its disk is as good as full."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.agent.test_coming_back import PATIENCE_SECONDS, agent, hello_of, receive, send, server
from websockets.asyncio.server import ServerConnection

from anchor.agent.host import FREE_BYTES_MIN, trouble_of

LIMITS = {"memory_mib": 128, "timeout_seconds": 30.0, "output_bytes": 1000}
GIB = 1024**3


def assignment(task: int) -> list[Any]:
    payload = json.dumps({"sourceCode": "await new Promise(() => setInterval(() => {}, 1000))"}).encode()
    return [task, 1, "isolate", LIMITS, payload, "", "t"]


@pytest.mark.anyio
async def test_what_a_server_sends_beyond_the_slots_goes_back_at_once_and_uncharged(tmp_path: Path) -> None:
    refused: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
    accepted: list[int] = []

    async def talk(line: ServerConnection) -> None:
        hello = await hello_of(line)
        assert hello[6] == 2
        await send(line, "welcome", 1, 1, 15.0, 0.2, "token", [])
        await send(line, "assign", [assignment(1)])
        # The first comes again, as after a lost acknowledgement: it is no third one.
        await send(line, "assign", [assignment(task) for task in (1, 2, 3, 4)])
        while True:
            kind, *fields = await receive(line)
            if kind == "accepted":
                accepted.extend(task for task, _ in fields[0])
            elif kind == "heartbeat":
                await send(line, "renewed", 1, [])
            elif kind == "report" and not refused.done():
                refused.set_result(msgspec.msgpack.decode(fields[0])[3])

    async with server(talk) as url, agent(url, tmp_path), asyncio.timeout(PATIENCE_SECONDS):
        endings = await refused
        while len(accepted) < 2:  # noqa: ASYNC110 - the other side of a socket tells no event
            await asyncio.sleep(0.01)
    assert [(ending["task"], ending["outcome"]) for ending in endings] == [(3, "rejected"), (4, "rejected")]
    assert endings[0]["reason"]["message"] == "This node runs 2 tasks at a time, and was sent more."
    assert accepted == [1, 2]


@pytest.mark.parametrize(
    ("free", "total", "says"),
    [
        (FREE_BYTES_MIN, 500 * GIB, ""),
        (
            100 * 1024**2,
            500 * GIB,
            "its disk has 100 MiB left; it takes work again once there are 256 MiB",
        ),
        (100 * 1024**2, 1 * GIB, ""),
        (10 * 1024**2, 1 * GIB, "its disk has 10 MiB left; it takes work again once there are 20 MiB"),
    ],
)
def test_a_node_whose_disk_is_nearly_full_says_so(free: int, total: int, says: str) -> None:
    assert trouble_of(free, total) == says
