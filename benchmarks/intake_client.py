"""One process of clients that post tasks as fast as they are answered; told on standard input what to do, line by line.

Each line is JSON: `url`, `kind` (single, bulk, refused_single, refused_bulk), `connections`, `seconds`. Each answer is
a line of JSON: `tasks` answered, `seconds` they took, `p50` and `p99` of the requests in ms, `cpu` seconds used here.
"""

import asyncio
import itertools
import json
import sys
import time
from typing import Any

from anchor import wiring
from anchor.cli.bench_http import Wire
from anchor.cli.bench_load import summary
from anchor.core.errors import AnchorError

BULK = 100
REFUSED = "The server answered 400"
_numbers = itertools.count()


def body(kind: str) -> bytes:
    """A request of this kind; what is refused is refused for the name of its last task, after all were read."""
    tasks = [b'{"name":"bench","type":"noop","payload":{"input":%d}}' % next(_numbers) for _ in range(size_of(kind))]
    if kind.startswith("refused"):
        tasks[-1] = b'{"name":"two\\nlines","type":"noop","payload":{"input":0}}'
    return b"[" + b",".join(tasks) + b"]" if kind.endswith("bulk") else tasks[0]


def size_of(kind: str) -> int:
    """Tasks in one request."""
    return BULK if kind.endswith("bulk") else 1


async def post(wire: Wire, kind: str, until: float) -> list[float]:
    """The milliseconds that each request took."""
    taken: list[float] = []
    refused = kind.startswith("refused")
    now = time.perf_counter()
    while now < until:
        try:
            await wire.post("/api/tasks", body(kind))
        except AnchorError as error:
            if not (refused and error.message.startswith(REFUSED)):
                raise
        begun, now = now, time.perf_counter()
        taken.append((now - begun) * 1000)
    return taken


async def carry_out(wish: dict[str, Any]) -> dict[str, float]:
    """One round."""
    open_wires = [await Wire.open(wish["url"]) for _ in range(wish["connections"])]
    cpu, begun = time.process_time(), time.perf_counter()
    until = begun + wish["seconds"]
    answered = await asyncio.gather(*(post(wire, wish["kind"], until) for wire in open_wires))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    for wire in open_wires:
        wire.close()
    taken = [one for of_wire in answered for one in of_wire]
    times = summary(taken)
    tasks = len(taken) * size_of(wish["kind"])
    return {"tasks": tasks, "seconds": seconds, "p50": times.p50_ms, "p99": times.p99_ms, "cpu": cpu}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(wiring.run(carry_out(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
