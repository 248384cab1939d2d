"""`anchor agent`: work for a server."""

from typing import Annotated

import typer

from anchor.cli.options import (
    AllowApps,
    AllowGpu,
    AllowNetwork,
    AllowUnconfined,
    ConfigFile,
    Cpus,
    Data,
    Disk,
    Labels,
    LogFormat,
    LogLevel,
    NodeName,
    Programs,
    Ram,
    Runtimes,
    Slots,
    server_url,
    settings_of,
)
from anchor.cli.process import run_until_stopped
from anchor.wiring.agent import run_agent

app = typer.Typer(add_completion=False)


@app.command()
def agent(
    url: Annotated[str | None, typer.Argument(envvar="ANCHOR_URL", help="The server to work for.")] = None,
    token: Annotated[str | None, typer.Option(help="A join token, where this machine has not joined yet.")] = None,
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
    """Run tasks for the server at URL until stopped; what is unfinished then goes back to it."""
    settings = settings_of(
        config,
        serving=False,
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
    where = server_url(url, settings)
    run_until_stopped(lambda stop: run_agent(settings, where, join_token=token, stop=stop))
