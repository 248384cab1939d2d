"""Inserts and swaps as fast as it can, and says on stdout what has been acknowledged, until it or its store is killed.

Its argument is a data directory or a mongodb:// URL. Lines: `+ id` for an insert, `~ id version` for a swap.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from anchor.adapters.mongo import MongoStore
from anchor.adapters.sqlite import SqliteStore
from anchor.core.attempt import Ending, Outcome, Result
from anchor.core.ids import KeySequence
from anchor.core.spec import Payload, TaskSpec
from anchor.core.task import lease, queued, settle
from anchor.ports.store import Store, Swap

SPEC = TaskSpec(name="t", payload=Payload(source_code="return 1"))


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def work(store: Store, keys: KeySequence) -> None:
    while True:
        now = time.time_ns() // 1_000_000
        tasks = [queued(key=key, owner="ann", spec=SPEC, shape="{}", now=now) for key in keys.take(3, now_ms=now)]
        await store.insert(tasks)
        say("\n".join(f"+ {task.id}" for task in tasks))
        leased = [lease(task, node="REX-A1B2C3", session=1, now=now, lease_ms=1000) for task in tasks]
        await store.swap([Swap(old, new) for old, new in zip(tasks, leased, strict=True)])
        say("\n".join(f"~ {task.id} {task.ver}" for task in leased))
        ending = Ending(tasks[0].id, 1, Outcome.SUCCEEDED, Result(json=b"1", size=1))
        done = settle(leased[0], ending, now=now, chance=0)
        await store.swap([Swap(leased[0], done)])
        say("~", done.id, done.ver)


async def main(place: str) -> None:
    is_url = place.startswith("mongodb://")
    store = await MongoStore.open(place) if is_url else await SqliteStore.open(Path(place))
    keys = KeySequence(1, last_key=store.last_key)
    await asyncio.gather(*[work(store, keys) for _ in range(16)])


asyncio.run(main(sys.argv[1]))
