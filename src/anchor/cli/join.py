"""`anchor join`: this machine becomes a node, and works from now on."""

import asyncio
import shlex
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
    NodeName,
    Programs,
    Ram,
    Runtimes,
    Slots,
    server_url,
    settings_of,
)
from anchor.cli.process import run_until_stopped
from anchor.cli.talk import say
from anchor.wiring.agent import enrol, run_agent

app = typer.Typer(add_completion=False)


@app.command()
def join(
    url: Annotated[str, typer.Argument(help="The server to join.")],
    token: Annotated[str, typer.Argument(help="A join token: `anchor node token` on the server prints one.")],
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
    start: Annotated[bool, typer.Option(help="Start the agent, too; `anchor agent URL` does that later.")] = True,
) -> None:
    """Enrol this machine with a join token and start its agent; later `anchor agent URL` is enough."""
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
    )
    where = server_url(url, settings)
    if start:
        return run_until_stopped(lambda stop: run_agent(settings, where, join_token=token, stop=stop))
    node = asyncio.run(enrol(settings, where, token))
    there = "" if data is None else f" --data {shlex.quote(str(data))}"
    return say(f"This machine is {node} now; its agent is started with `anchor agent {where}{there}`.")
