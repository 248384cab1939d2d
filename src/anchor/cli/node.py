"""`anchor node`: list machines, take them in and out of service, let new ones join."""

import base64
from typing import Annotated

import typer

from anchor.cli import show
from anchor.cli.options import Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import say
from anchor.client.calls import NodeAction

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List machines, take them in and out of service, let new ones join.",
)

NodeId = Annotated[str, typer.Argument(metavar="NODE", help="A node's id, like REX-A1B2C3.")]
Reason = Annotated[str | None, typer.Option(help="Why, for others to read.", show_default=False)]


@app.command("ls")
def ls(url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """List machines."""
    with connect(url, token) as client:
        nodes = client.nodes()
    if output is Output.JSON:
        return show.as_json(nodes)
    if not nodes:
        return say("No machine has joined yet. `anchor node token` prints the command for one.")
    columns = ("NODE", "STATUS", "RUNS", "SLOTS", "CPU", "RAM", "RUNTIMES", "LABELS", "HOST", "SEEN")
    return show.as_table(
        columns,
        (
            (
                node.node_id,
                show.state(node.status),
                "" if node.active is None else str(node.active),
                str(node.slots),
                f"{node.metrics.cpu_usage:.0f} % of {node.specs.cores}",
                f"{node.metrics.ram_usage:.0f} % of {node.specs.ram:.1f} GiB",
                ", ".join(node.specs.runtimes),
                ", ".join(node.labels),
                node.specs.host,
                show.age(node.seen_at),
            )
            for node in nodes
        ),
    )


@app.command("get")
def get(node: NodeId, url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Show one machine, whole."""
    with connect(url, token) as client:
        view = client.node(node)
    if output is Output.JSON:
        return show.as_json(view)
    specs = view.specs
    show.as_facts(
        [
            ("Node", view.node_id),
            ("Status", show.state(view.status)),
            ("Why", view.reason.message if view.reason else view.metrics.trouble),
            ("Machine", f"{specs.host}, {specs.os}, {specs.arch}"),
            ("CPU", f"{specs.cpu}, cores: {specs.cores}, {view.metrics.cpu_usage:.0f} % in use"),
            ("Speed", f"{view.speed:,.0f} thousand hash rounds a second on one core" if view.speed else "not measured"),
            ("RAM", f"{specs.ram:.1f} GiB, {view.metrics.ram_usage:.0f} % in use"),
            ("Disk", f"{specs.disk:.1f} GiB"),
            ("GPU", ", ".join(specs.gpus) + ("" if specs.gpu_tasks or not specs.gpus else " (not for tasks)")),
            ("Per task", f"up to {specs.task_memory_mib:,} MiB of memory" if specs.task_memory_mib else ""),
            ("Offers", ", ".join(specs.features)),
            ("Slots", f"{view.slots}" + ("" if view.active is None else f", {view.active} in use")),
            ("Labels", ", ".join(view.labels)),
            ("Owner", view.owner),
            ("Joined", f"{show.age(view.joined_at)} ago"),
            ("Seen", f"{show.age(view.seen_at)} ago" if view.seen_at else "never"),
            ("Agent", specs.version),
            ("Key", base64.b64encode(view.public_key).decode()),
        ]
    )
    offered = [(name, "yes", specs.confinement.get(name, ""), version) for name, version in specs.runtimes.items()]
    lacking = [(name, "no", "", why) for name, why in specs.missing.items()]
    return show.as_table(("RUNTIME", "OFFERED", "HELD", "VERSION, OR WHY NOT"), [*offered, *lacking])


def _act(node: str, action: NodeAction, url: str | None, token: str | None, output: Output, reason: str | None) -> None:
    with connect(url, token) as client:
        view = client.act_on_node(node, action, reason or "")
    if output is Output.JSON:
        return show.as_json(view)
    return say(f"{view.node_id} is {view.status}.")


@app.command("drain")
def drain(
    node: NodeId, reason: Reason = None, url: Url = None, token: Token = None, output: Format = Output.TABLE
) -> None:
    """Give a machine no more work; what runs there finishes."""
    _act(node, "drain", url, token, output, reason)


@app.command("resume")
def resume(
    node: NodeId, reason: Reason = None, url: Url = None, token: Token = None, output: Format = Output.TABLE
) -> None:
    """Give a machine work again."""
    _act(node, "resume", url, token, output, reason)


@app.command("block")
def block(
    node: NodeId, reason: Reason = None, url: Url = None, token: Token = None, output: Format = Output.TABLE
) -> None:
    """Turn a machine away; what it holds is run elsewhere."""
    _act(node, "block", url, token, output, reason)


@app.command("label")
def label(
    node: NodeId,
    labels: Annotated[
        list[str] | None, typer.Argument(help="All labels it is to be given; none takes them away.")
    ] = None,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Give a machine labels, beside those that its agent was started with."""
    with connect(url, token) as client:
        view = client.label_node(node, labels or [])
    if output is Output.JSON:
        return show.as_json(view)
    return say(
        f"{view.node_id} is labelled {', '.join(view.labels)}." if view.labels else f"{view.node_id} has no labels."
    )


@app.command("token")
def token_(
    minutes: Annotated[int, typer.Option(min=1, max=60, help="How long it may be used.")] = 15,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Print the command with which one more machine joins."""
    with connect(url, token) as client:
        ticket = client.join_token(seconds=minutes * 60)
    if output is Output.JSON:
        return show.as_json(ticket)
    say(f"Run this on the machine that shall join, once, within {minutes} minutes:")
    return typer.echo(ticket.command)
