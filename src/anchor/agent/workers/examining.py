"""The self-test of the confinement: what a fresh worker could do that it must not, and what that is called."""

import os
import socket
from pathlib import Path
from typing import Literal

import msgspec

from anchor.agent.workers.frames import Trial
from anchor.agent.workers.process import Worker, WorkerLost

_CANARY = "canary"


class Level(msgspec.Struct, frozen=True):
    """How well workers are confined. `confined`: one of them has tried in earnest and reached nothing. `process`: only
    their engines keep tasks in. `why` says what it could do or what is missing here; empty where nothing is."""

    level: Literal["confined", "process"]
    why: str = ""


async def examine(worker: Worker, folder: Path) -> Level:
    """Let a new worker try what it must not be able to do. `folder` is the agent's own, out of the worker's reach.

    The worker is of no use afterwards. Raises WorkerLost, FrameError.
    """
    if not await worker.ready():
        raise WorkerLost("a new worker process ended at once")
    canary = folder / _CANARY
    canary.write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        files = ["/etc/passwd", str(canary)]
        trial = Trial(os.getpid(), listening.getsockname()[1], files, str(folder))
        ended = await worker.run(trial, lambda stream, text: None)
    if ended is None:
        return Level("process", "; ".join(["a worker could execute a program", *worker.lacks]))
    done = [f"a worker could {what}" for what in msgspec.json.decode(ended.value, type=list[str])]
    why = "; ".join([*done, *worker.lacks])
    return Level("process" if done else "confined", why)
