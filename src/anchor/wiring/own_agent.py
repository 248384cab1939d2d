"""The agent that `anchor up` keeps alive beside its server, in a process that cannot outlive its parent."""

import asyncio
import contextlib
import sys

import msgspec

from anchor.config import EMBEDDED_STORE, LOCAL_QUEUE, Settings

_PROGRAM = "from anchor.wiring.agent import main; main()"
AGENT_STOP_SECONDS = 10.0
RESTART_SECONDS, RESTART_SECONDS_MAX = 1.0, 30.0


class OwnAgent(msgspec.Struct, frozen=True):
    """What the server tells its own agent's process, on the first line of its standard input."""

    url: str
    settings: Settings


async def keep_agent(settings: Settings, url: str) -> None:
    """Keep the agent's process running; it stops when its standard input closes, so it cannot outlive this one."""
    # No agent ever sees what the server's engines are or how they are opened.
    bare = msgspec.structs.replace(settings, store=EMBEDDED_STORE, queue=LOCAL_QUEUE, secret=None)
    wish = msgspec.json.encode(OwnAgent(url, bare), enc_hook=str)
    wait = RESTART_SECONDS
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, __name__, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            if process.stdin is not None:
                process.stdin.write(wish + b"\n")
            await process.wait()
            await asyncio.sleep(wait)
            wait = min(2 * wait, RESTART_SECONDS_MAX)
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(AGENT_STOP_SECONDS):
                        await process.wait()
                except TimeoutError:
                    with contextlib.suppress(ProcessLookupError):  # it may have ended in this very moment
                        process.kill()
                    await process.wait()
