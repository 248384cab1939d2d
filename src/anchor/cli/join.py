"""`anchor join`: this machine becomes a node, and works from now on."""

from typing import Annotated

import typer

from anchor import wiring
from anchor.cli.options import ConfigFile, Data, Labels, NodeName, Slots, server_url, settings_of
from anchor.cli.process import run_until_stopped

app = typer.Typer(add_completion=False)


@app.command()
def join(
    url: Annotated[str, typer.Argument(help="The server to join.")],
    token: Annotated[str, typer.Argument(help="A join token: `anchor node token` on the server prints one.")],
    data: Data = None,
    slots: Slots = None,
    label: Labels = None,
    name: NodeName = None,
    config: ConfigFile = None,
) -> None:
    """Enrol this machine with a join token and start its agent; later `anchor agent URL` is enough."""
    settings = settings_of(config, serving=False, data=data, slots=slots, labels=label, node_name=name)
    where = server_url(url, settings)
    run_until_stopped(lambda stop: wiring.run_agent(settings, where, join_token=token, stop=stop))
