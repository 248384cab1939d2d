"""What an engine forgets when it is killed: acknowledged writes, `kill -9`, a restart, and a count of what is gone.

`python -m benchmarks.losses --rounds 5` prints one row a setting. What holds the truth has to lose nothing; Redis holds
hints only, and its rows say why.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from tests.engines.mongo import MongoEngine
from tests.engines.valkey import Engine, running_valkey

from anchor.adapters.mongo import MongoStore
from anchor.adapters.sqlite import SqliteStore

WRITER = Path(__file__).parents[1] / "tests" / "contract" / "acknowledging_writer.py"
SECONDS = 4.0
START_SECONDS = 2.0
CLIENTS = 8
BATCH = 10

Round = Callable[[Path], tuple[int, int]]
"""One life and death of an engine in an empty directory: how many writes were acknowledged, and how many are gone."""


def embedded(directory: Path) -> tuple[int, int]:
    """SQLite in the process that is killed."""
    place = str(directory / "data")
    return _compared(place, _acknowledged(place, lambda writer: writer.kill()))


def mongo(directory: Path, *, syncs: bool) -> tuple[int, int]:
    """The MongoDB wire emulator, killed under a writer of `w=majority, j=true`."""
    engine = MongoEngine(directory, syncs=syncs)
    engine.start()
    try:
        acknowledged = _acknowledged(engine.url, lambda _: engine.kill())
        engine.start()
        return _compared(engine.url, acknowledged)
    finally:
        engine.kill()


def valkey(directory: Path, *, appendfsync: str) -> tuple[int, int]:
    """A Valkey with an append-only file, killed under clients that push hints."""
    with running_valkey(directory, appendfsync=appendfsync) as engine:
        done = [0] * CLIENTS
        pushing = [threading.Thread(target=_push, args=(engine, at, done)) for at in range(CLIENTS)]
        for thread in pushing:
            thread.start()
        time.sleep(SECONDS)
        engine.kill()
        for thread in pushing:
            thread.join()
        engine.start()
        with Redis.from_url(engine.url) as client:
            kept = [int(client.zcard(f"hints:{at}")) for at in range(CLIENTS)]
        return sum(done), sum(max(0, sent - there) for sent, there in zip(done, kept, strict=True))


def _push(engine: Engine, at: int, done: list[int]) -> None:
    with Redis.from_url(engine.url) as client:
        while True:
            members = {f"{done[at] + more:016x}" + "x" * 100: 0 for more in range(BATCH)}
            try:
                client.zadd(f"hints:{at}", members)
            except RedisError:
                return
            done[at] += BATCH


def _acknowledged(place: str, kill: Callable[["subprocess.Popen[str]"], None]) -> dict[int, int]:
    """The newest acknowledged version of each task a writer wrote until something was killed."""
    with tempfile.TemporaryFile("w+") as said:
        writer = subprocess.Popen(
            [sys.executable, str(WRITER), place], stdout=said, stderr=subprocess.DEVNULL, text=True
        )
        time.sleep(SECONDS)
        kill(writer)
        time.sleep(0.2)
        writer.kill()
        writer.wait()
        said.seek(0)
        newest: dict[int, int] = {}
        for line in said:
            kind, task, *version = line.split()
            newest[int(task)] = int(version[0]) if kind == "~" else 1
    return newest


def _compared(place: str, acknowledged: dict[int, int]) -> tuple[int, int]:
    there = asyncio.run(_versions(place))
    gone = sum(there.get(task, 0) < version for task, version in acknowledged.items())
    return sum(acknowledged.values()), gone


async def _versions(place: str) -> dict[int, int]:
    store = await MongoStore.open(place) if place.startswith("mongodb://") else await SqliteStore.open(Path(place))
    try:
        found: dict[int, int] = {}
        below: int | None = None
        while True:
            page = await store.page(below=below, limit=1000, state=None, label=None, owner=None)
            found |= {task.id: task.ver for task in page.tasks}
            below = page.below
            if below is None:
                return found
    finally:
        await store.close()


SETTINGS: dict[str, Round] = {
    "SQLite, `synchronous=FULL` (embedded)": embedded,
    "MongoDB wire emulator, `--sync-on-commit`": lambda directory: mongo(directory, syncs=True),
    "MongoDB wire emulator without it": lambda directory: mongo(directory, syncs=False),
    "Valkey, AOF `always`": lambda directory: valkey(directory, appendfsync="always"),
    "Valkey, AOF `everysec`": lambda directory: valkey(directory, appendfsync="everysec"),
    "Valkey, AOF `no`": lambda directory: valkey(directory, appendfsync="no"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="lives and deaths of each engine")
    rounds = parser.parse_args().rounds
    print("| setting | kills | writes acknowledged | gone |")
    print("|---|--:|--:|--:|")
    for name, live_and_die in SETTINGS.items():
        totals = [0, 0]
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="anchor-losses-") as directory:
                for at, count in enumerate(live_and_die(Path(directory))):
                    totals[at] += count
        print(f"| {name} | {rounds} | {totals[0]:,} | {totals[1]:,} |", flush=True)


if __name__ == "__main__":
    main()
