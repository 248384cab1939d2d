"""Options that commands share, and what they are made into: settings, or a client."""

from pathlib import Path
from typing import Annotated, Any

import typer

from anchor import config
from anchor.cli.exits import Usage
from anchor.cli.show import Output
from anchor.client.address import is_loopback, normal_url
from anchor.client.client import Client
from anchor.config import Settings
from anchor.core.errors import InvalidRequest

SHORT_PATIENCE_SECONDS = 2.0
LONG_PATIENCE_SECONDS = 60.0

Url = Annotated[
    str | None, typer.Option("--url", envvar="ANCHOR_URL", help="The server to talk to.", show_default=False)
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="ANCHOR_TOKEN", help="The token to show it.", show_default=False)
]
Format = Annotated[Output, typer.Option("--output", "-o", help="Tables for people or JSON for programs.")]

Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.", show_default="5000")]
Data = Annotated[Path | None, typer.Option(help="Directory for everything that is kept.", show_default="per platform")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file.", show_default="anchor.toml, if there is one")
]
Slots = Annotated[int | None, typer.Option(help="Tasks run at a time.", show_default="one per core")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="A label of this machine; may be repeated.", show_default=False)
]
NodeName = Annotated[
    str | None, typer.Option("--name", help="What this machine's id begins with.", show_default="its host name")
]
Runtimes = Annotated[
    str | None, typer.Option(help="Runtimes offered, separated by commas.", show_default="all that work here")
]
AllowNetwork = Annotated[
    bool | None, typer.Option(help="Give the network to tasks that ask for it.", show_default="no")
]
AllowApps = Annotated[bool | None, typer.Option(help="Host apps, where they can be confined here.", show_default="yes")]
AllowGpu = Annotated[bool | None, typer.Option(help="Show the GPUs to tasks that ask for one.", show_default="no")]
AllowUnconfined = Annotated[
    bool | None,
    typer.Option(help="Run native tasks even where they cannot be confined: trust everybody.", show_default="no"),
]
Programs = Annotated[
    str | None, typer.Option(help="Programs a native task may start, separated by commas.", show_default="any")
]
Cpus = Annotated[float | None, typer.Option(help="Cores for all tasks together, like 2 or 0.5.", show_default="all")]
Ram = Annotated[
    str | None, typer.Option(help="RAM for all tasks together, like 4GiB or 50%.", show_default="about 80%")
]
Disk = Annotated[
    str | None,
    typer.Option(help="Disk for kept inputs and job directories, like 20GiB or 10%.", show_default="no bound"),
]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info")]
LogFormat = Annotated[str | None, typer.Option(help="text or json.", show_default="text")]


def settings_of(file: Path | None = None, *, serving: bool = True, **flags: Any) -> Settings:
    """The settings in force under these flags; what is wrong with them is a matter of usage."""
    labels = flags.pop("labels", None)
    if labels:
        flags["labels"] = tuple(labels)
    for name in ("runtimes", "programs"):
        if flags.get(name) is not None:
            flags[name] = tuple(config.words_of(flags[name]))
    try:
        return config.load(flags, file=file, serving=serving)
    except InvalidRequest as error:
        raise Usage(error.message, hint=error.hint, code=error.code) from error


def connect(url: str | None, token: str | None, *, patience_seconds: float = SHORT_PATIENCE_SECONDS) -> Client:
    """A client for the server meant: named, configured, or the one on this machine with its own admin token."""
    settings = settings_of(serving=False)
    where = server_url(url, settings)
    spare = admin_token(settings) if is_loopback(where) else None
    return Client(where, token, token_if_asked=spare, patience_seconds=patience_seconds)


def server_url(url: str | None, settings: Settings) -> str:
    """The server named, or the one these settings would start."""
    try:
        return normal_url(url) if url else local_url(settings)
    except InvalidRequest as error:
        raise Usage(error.message, hint=error.hint, code=error.code) from error


def local_url(settings: Settings) -> str:
    """Where a server with these settings is found from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return normal_url(f"http://{host}:{settings.port or config.Settings.port}")


def admin_token(settings: Settings) -> str | None:
    """The admin token of this machine's server, where it has one and we may read it."""
    try:
        return settings.admin_token_file.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
