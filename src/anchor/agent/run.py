"""The agent, put together: identity, journal, runtimes and the connection, from start to a clean stop."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from anchor import __version__
from anchor.agent import cores, identity
from anchor.agent.app_host import AppHost
from anchor.agent.apps.box_key import box_key_in
from anchor.agent.connection import Connection
from anchor.agent.cores import Held
from anchor.agent.executor import Executor
from anchor.agent.host import measure_metrics, measure_profile, memory_bytes
from anchor.agent.identity import Identity
from anchor.agent.journal import Journal
from anchor.agent.offered import in_a_line, offered
from anchor.agent.parcels import Parcels
from anchor.agent.policy import Policy, task_memory_mib
from anchor.agent.runtimes.catalogue import Catalogue
from anchor.agent.runtimes.native.runtime import refusal
from anchor.agent.sandbox.probe import probe
from anchor.agent.seals import Sealer
from anchor.core.errors import Unauthenticated, Unavailable
from anchor.core.node import Profile
from anchor.wire import box

log = structlog.get_logger("anchor.agent")
STOP_SECONDS = 5.0
"""How long what runs may take to be killed and written down once the agent is asked to stop."""


async def run(
    url: str,
    directory: Path,
    *,
    slots: int,
    labels: Sequence[str] = (),
    name: str = "",
    join_token: str | None = None,
    stop: asyncio.Event | None = None,
    policy: Policy = Policy(),  # noqa: B008 - it is frozen
) -> None:
    """Serve one server until cancelled or `stop` is set; then kill what runs and report it given back. The policy's
    share of cores bounds this whole process from then on.

    Raises AnchorError where this machine may not join, or `url` is something else than Anchor.
    """
    url = url.rstrip("/")
    # First of all: only threads that begin later are bound by it.
    with cores.held(policy.cores) as share:
        await _serve(url, directory, slots, labels, name, join_token, stop or asyncio.Event(), policy, share)


async def _serve(
    url: str,
    directory: Path,
    slots: int,
    labels: Sequence[str],
    name: str,
    join_token: str | None,
    stop: asyncio.Event,
    policy: Policy,
    share: Held | None,
) -> None:
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    me = await _identity(url, directory, name, join_token)
    journal = Journal(directory / "journal.db")
    memory_mib = task_memory_mib(policy, memory_bytes())
    catalogue = Catalogue(directory, policy, memory_mib)
    parcels = Parcels()
    machine = await asyncio.to_thread(measure_profile, tuple(labels), directory)
    confinement = await asyncio.to_thread(probe)
    hosts = policy.apps and refusal(confinement, policy) is None
    base = offered(machine, policy, memory_mib, hosts=hosts)

    def profile() -> Profile:
        offer = catalogue.offer
        return msgspec.structs.replace(
            base,
            runtimes=offer.runtimes,
            missing=offer.missing,
            confinement=offer.confinement,
            version=__version__,
        )

    connection = Connection(
        url,
        me,
        parcels,
        journal,
        profile=profile,
        metrics=lambda: measure_metrics(directory),
        slots=slots,
        box_key=box.public_of(await asyncio.to_thread(box_key_in, directory)),
    )
    executor = Executor(
        journal,
        catalogue.runtimes,
        parcels,
        directory / "jobs",
        send=connection.send,
        report=connection.report,
        seal=Sealer(me, lambda: connection.session),
        disk_mib=policy.disk_mib,
    )
    host = None
    if hosts:
        memory, disk = catalogue.budget, executor.disk
        host = AppHost(url, directory, policy, confinement, parcels, connection, memory=memory, disk=disk)
    connection.serve(executor, None if host is None else host.hosting)
    await executor.recover()
    await catalogue.start()
    if host is not None:
        await host.start()
    log.info(in_a_line(profile(), slots, share))
    line = asyncio.create_task(connection.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({line, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if line.done():
            line.result()
    finally:
        stopping.cancel()
        await connection.take_no_more()
        executor.stop_all("the agent is stopping")
        if host is not None:
            await host.stop()
        with contextlib.suppress(TimeoutError):  # a journal that cannot be written must not keep it from stopping
            async with asyncio.timeout(STOP_SECONDS):
                await executor.idle()
        await connection.say_goodbye()
        line.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await line
        await catalogue.stop()
        await parcels.close()
        journal.close()


async def _identity(url: str, directory: Path, name: str, join_token: str | None) -> Identity:
    if join_token is not None:
        return await identity.join(url, join_token, directory, name)
    known = identity.known_in(directory)
    try:
        await identity.check_server(url)
    except Unavailable as error:
        if known is None:
            raise
        log.warning(error.message, hint="The agent goes on trying.")
    if known is None:
        raise Unauthenticated(
            "This machine has not joined yet.",
            hint="On the server, `anchor node token` prints the command to join with.",
            code="not_joined",
        )
    return known
