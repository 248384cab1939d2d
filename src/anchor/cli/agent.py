"""`anchor agent`: work for a server."""

from typing import Annotated

import typer

from anchor import wiring
from anchor.cli.options import (
    ConfigFile,
    Data,
    Labels,
    LogFormat,
    LogLevel,
    NodeName,
    Slots,
    server_url,
    settings_of,
)
from anchor.cli.process import run_until_stopped

app = typer.Typer(add_completion=False)


@app.command()
def agent(
    url: Annotated[str | None, typer.Argument(envvar="ANCHOR_URL", help="The server to work for.")] = None,
    token: Annotated[str | None, typer.Option(help="A join token, where this machine has not joined yet.")] = None,
    data: Data = None,
    slots: Slots = None,
    label: Labels = None,
    name: NodeName = None,
    config: ConfigFile = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run tasks for the server at URL until stopped; what is unfinished then goes back to it."""
    settings = settings_of(
        config,
        serving=False,
        data=data,
        slots=slots,
        labels=label,
        node_name=name,
        log_level=log_level,
        log_format=log_format,
    )
    where = server_url(url, settings)
    run_until_stopped(lambda stop: wiring.run_agent(settings, where, join_token=token, stop=stop))
