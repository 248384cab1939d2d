"""An agent tied together: from settings to a running program; and the process of the one that a server keeps."""

import asyncio
import contextlib
import io
import math
import os
import signal
import socket
import sys
import threading

import msgspec

from anchor.agent import identity
from anchor.agent.host import disk_bytes, memory_bytes
from anchor.agent.policy import ALL_RUNTIMES, Policy, share_bytes
from anchor.agent.run import run as run_agent_program
from anchor.config import Settings
from anchor.core.spec import MIB
from anchor.wiring.own_agent import OwnAgent
from anchor.wiring.program import run, set_up_logs


async def run_agent(
    settings: Settings, url: str, *, join_token: str | None = None, stop: asyncio.Event | None = None
) -> None:
    """Run an agent until cancelled or `stop` is set; its state is kept in the data directory's `agent`."""
    set_up_logs(settings)
    await run_agent_program(
        url,
        settings.data / "agent",
        slots=settings.slots or _slots_of(settings.cpus),
        policy=policy_of(settings),
        labels=settings.labels,
        name=settings.node_name or socket.gethostname(),
        join_token=join_token,
        stop=stop,
    )


async def enrol(settings: Settings, url: str, join_token: str) -> str:
    """Make this machine a node, and remember that; its id. No agent is started."""
    name = settings.node_name or socket.gethostname()
    return (await identity.join(url.rstrip("/"), join_token, settings.data / "agent", name)).node


def policy_of(settings: Settings) -> Policy:
    """The owner's wishes, measured against this machine."""

    def mib(text: str | None, whole_bytes: int) -> int | None:
        return None if text is None else share_bytes(text, whole_bytes) // MIB

    return Policy(
        runtimes=ALL_RUNTIMES if settings.runtimes is None else settings.runtimes,
        network=settings.allow_network,
        gpu=settings.allow_gpu,
        programs=settings.programs,
        cores=settings.cpus,
        memory_mib=mib(settings.ram, memory_bytes()),
        disk_mib=mib(settings.disk, disk_bytes(settings.data)),
        unconfined=settings.allow_unconfined,
        apps=settings.allow_apps,
    )


def _slots_of(cores: float | None) -> int:
    whole = os.cpu_count() or 1
    return whole if cores is None else min(whole, math.ceil(cores))


async def _own_agent() -> None:
    loop = asyncio.get_running_loop()
    parent = io.FileIO(sys.stdin.fileno(), closefd=False)
    line = await loop.run_in_executor(None, parent.readline)
    wish = msgspec.json.decode(line, type=OwnAgent, dec_hook=lambda kind, value: kind(value))
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    threading.Thread(target=_wait_for_end, args=(parent, loop, stop), daemon=True).start()
    await run_agent(wish.settings, wish.url, stop=stop)


def _wait_for_end(parent: io.FileIO, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    parent.read(1)
    with contextlib.suppress(RuntimeError):  # the agent has stopped already
        loop.call_soon_threadsafe(stop.set)


def main() -> None:
    """The process of a server's own agent."""
    run(_own_agent())
