"""`anchor up`: a server and a local agent, in one command."""

import asyncio
import contextlib
from typing import Annotated

import typer

from anchor.cli.demo import tour
from anchor.cli.exits import Exit, Usage
from anchor.cli.greeting import greet
from anchor.cli.options import (
    AllowApps,
    AllowGpu,
    AllowNetwork,
    AllowUnconfined,
    ConfigFile,
    Cpus,
    Data,
    Disk,
    Host,
    Labels,
    LogFormat,
    LogLevel,
    NodeName,
    Port,
    Programs,
    Ram,
    Runtimes,
    Slots,
    admin_token,
    settings_of,
)
from anchor.cli.process import run_until_stopped, until
from anchor.cli.talk import say, say_error
from anchor.client import AsyncClient
from anchor.config import Settings
from anchor.core.errors import AnchorError
from anchor.wiring import serving

app = typer.Typer(add_completion=False)


@app.command()
def up(
    demo: Annotated[bool, typer.Option("--demo", help="Give a tour: real work, step by step.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop after the tour; the exit code says how it went.")] = False,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    slots: Slots = None,
    label: Labels = None,
    name: NodeName = None,
    runtimes: Runtimes = None,
    allow_network: AllowNetwork = None,
    allow_apps: AllowApps = None,
    allow_gpu: AllowGpu = None,
    allow_unconfined: AllowUnconfined = None,
    programs: Programs = None,
    cpus: Cpus = None,
    ram: Ram = None,
    disk: Disk = None,
    config: ConfigFile = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Start a server and a local agent: everything, in one command."""
    if once and not demo:
        raise Usage("--once ends the tour of --demo.", hint="Use both, or neither.")
    settings = settings_of(
        config,
        host=host,
        port=port,
        data=data,
        slots=slots,
        labels=label,
        node_name=name,
        runtimes=runtimes,
        allow_network=allow_network,
        allow_apps=allow_apps,
        allow_gpu=allow_gpu,
        allow_unconfined=allow_unconfined,
        programs=programs,
        cpus=cpus,
        ram=ram,
        disk=disk,
        log_level=log_level,
        log_format=log_format,
    )
    house = _House(settings, demo=demo, once=once)
    run_until_stopped(house.open)
    if house.tour_failed and once:
        raise typer.Exit(Exit.TASK_FAILED)


class _House:
    """The server, its agent and, where asked for, the guide who shows visitors around."""

    def __init__(self, settings: Settings, *, demo: bool, once: bool) -> None:
        self._settings = settings
        self._demo = demo
        self._once = once
        self._guide: asyncio.Task[None] | None = None
        self.tour_failed = once

    async def open(self, stop: asyncio.Event) -> None:
        async def started(url: str) -> None:
            await greet(self._settings, url)
            if self._demo:
                self._guide = asyncio.create_task(self._show_around(url, stop))

        try:
            await until(stop, serving.up(self._settings, started=started))
        finally:
            if self._guide is not None:
                self._guide.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._guide

    async def _show_around(self, url: str, stop: asyncio.Event) -> None:
        try:
            async with AsyncClient(url, token_if_asked=admin_token(self._settings)) as client:
                self.tour_failed = not await tour(client)
            if not self._once:
                say(f"Anchor stays up: open {url} in a browser. Ctrl-C stops it.", style="bold green")
        except AnchorError as error:
            say_error(error)
        finally:
            if self._once:
                stop.set()
