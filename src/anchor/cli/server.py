"""`anchor server`: a server alone."""

import asyncio

import typer

from anchor.cli.greeting import greet
from anchor.cli.options import ConfigFile, Data, Host, LogFormat, LogLevel, Port, settings_of
from anchor.cli.process import run_until_stopped, until
from anchor.config import Settings
from anchor.wiring import serving

app = typer.Typer(add_completion=False)


@app.command()
def server(
    host: Host = None,
    port: Port = None,
    data: Data = None,
    config: ConfigFile = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Start a server alone; machines join it with `anchor join`."""
    settings = settings_of(config, host=host, port=port, data=data, log_level=log_level, log_format=log_format)
    run_until_stopped(lambda stop: _serve(settings, stop))


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async def started(url: str) -> None:
        await greet(settings, url)

    await until(stop, serving.serve(settings, started=started))
