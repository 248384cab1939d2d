"""`anchor app deploy`: a folder becomes an app that runs, or the next release of one."""

from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer

from anchor.cli import show
from anchor.cli.app_attend import stay
from anchor.cli.app_options import DETACH_HELP, TIMEOUT_HELP, TIMEOUT_SECONDS, replicas_of, variables_of
from anchor.cli.exits import Usage
from anchor.cli.options import LONG_PATIENCE_SECONDS, Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import is_interactive, say, stderr
from anchor.client import Client
from anchor.client.deploys import deployed
from anchor.client.packing import Packed, packed_app
from anchor.core.app import Kind
from anchor.core.errors import NotFound
from anchor.wire.apps import AppView

IGNORED_SHOWN_MAX = 6


def deploy(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="The app's folder; or a zip, tar or tar.gz of it.")
    ] = Path(),
    name: Annotated[
        str,
        typer.Option(
            "--name", "-n", help="What it is called.", show_default="in anchor-app.toml, package.json, or DIR"
        ),
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(help="Where it listens, and is found on the machine that runs it.", show_default="none there"),
    ] = None,
    ram: Annotated[str | None, typer.Option(help="RAM of one replica, like 512MB.", show_default="512MB")] = None,
    cpu: Annotated[float | None, typer.Option(help="Cores of one replica.", show_default="1")] = None,
    disk: Annotated[str | None, typer.Option(help="Disk of one replica.", show_default="1GB")] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", "-r", min=0, help="Replicas of the web process.", show_default="1")
    ] = None,
    scale: Annotated[
        list[str] | None, typer.Option(metavar="PROCESS=N", help="Replicas of a process; may be repeated.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE", help="A variable; may be repeated.")
    ] = None,
    env_file: Annotated[
        str | None, typer.Option(help="A file of lines KEY=VALUE; - is standard input.", show_default=False)
    ] = None,
    health_path: Annotated[
        str | None,
        typer.Option(help="What to ask for to see that it is well.", show_default="that its port takes connections"),
    ] = None,
    command: Annotated[
        str | None, typer.Option("--command", "-c", help="The web process.", show_default="what the source says")
    ] = None,
    build: Annotated[
        str | None,
        typer.Option(help="What to run once its dependencies are there.", show_default="what the source says"),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help=f"What it is: {', '.join(get_args(Kind))}.", show_default="what the source says")
    ] = None,
    network: Annotated[
        bool | None, typer.Option(help="Ask for the network outwards.", show_default="no-network")
    ] = None,
    on: Annotated[list[str] | None, typer.Option(help="A label its nodes must have; may be repeated.")] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Settings that are not said are the defaults, not those of the release before."),
    ] = False,
    detach: Annotated[bool, typer.Option("--detach/--wait", "-d", help=DETACH_HELP)] = False,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help=TIMEOUT_HELP)] = TIMEOUT_SECONDS,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Deploy the app in DIR, or its next release, and stay until it runs; prints where it is reached.

    What is not said, here or in DIR/anchor-app.toml, stays as it was in the release before.
    """
    if not source.exists():
        raise Usage(f"There is no {source}.", hint="Name the folder that your app is in.")
    wanted = replicas_of(scale or [])
    if replicas is not None:
        wanted["web"] = replicas
    config = _said(
        port=port,
        ram=ram,
        cpu=cpu,
        disk=disk,
        scale=wanted or None,
        healthPath=health_path,
        command=command,
        build=build,
        kind=kind,
        network=network,
        requirements={"labels": on} if on else None,
    )
    packed = packed_app(source, name, config=config, env=variables_of(env or [], env_file), fresh=fresh)
    try:
        _say_what_is_packed(packed)
        with connect(url, token, patience_seconds=LONG_PATIENCE_SECONDS) as client:
            after = _last_line(client, packed.name)
            view = _brought(client, packed)
            if not detach:
                return stay(client, view, output, after=after, seconds=timeout)
    finally:
        packed.discard()
    if output is Output.JSON:
        return show.as_json(view)
    say(f"Release {view.releases[-1].number} of {view.name} is on its way: `anchor app get {view.name} --watch`")
    return typer.echo(view.name)


def _said(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _say_what_is_packed(packed: Packed) -> None:
    left = ""
    if packed.ignored:
        shown = ", ".join(packed.ignored[:IGNORED_SHOWN_MAX])
        left = f"; left out: {shown}{', …' if len(packed.ignored) > IGNORED_SHOWN_MAX else ''}"
    files = f"{packed.files:,} file{'' if packed.files == 1 else 's'}"
    say(f"{packed.name}: {files}, {show.size(packed.bytes)}, packed {show.size(packed.source.size)}{left}", style="dim")


def _last_line(client: Client, name: str) -> str:
    """Where the log of an app ends before its next release; "" where there is no such app yet."""
    try:
        lines = client.app_logs(name, tail=1)
    except NotFound:
        return ""
    return lines[-1].id if lines else ""


def _brought(client: Client, packed: Packed) -> AppView:
    if not is_interactive():
        return client.carry_out(lambda manners: deployed(packed, manners))
    size = packed.source.size
    with stderr.status(f"Sending {show.size(size)}…") as status:
        source = msgspec.structs.replace(
            packed.source, told=lambda sent: status.update(f"Sending {show.size(size)}: {sent / size:.0%}")
        )
        whole = msgspec.structs.replace(packed, source=source)
        return client.carry_out(lambda manners: deployed(whole, manners))
