"""`anchor doctor`: what works on this machine, what does not, and what to do about it."""

import asyncio
import typing

import typer
from rich.text import Text

from anchor.cli import show
from anchor.cli.checks import Check, checks
from anchor.cli.exits import Exit
from anchor.cli.options import ConfigFile, Data, Format, Host, Port, Url, server_url, settings_of
from anchor.cli.show import Output
from anchor.wiring.agent import policy_of

app = typer.Typer(add_completion=False)

_MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "problem": ("✘", "red")}


@app.command()
def doctor(
    url: Url = None,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    config: ConfigFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Check this machine: what works, what does not, and what to do about it."""
    settings = settings_of(config, host=host, port=port, data=data)
    policy = policy_of(settings)
    found = asyncio.run(checks(settings, policy, server_url(url, settings), is_remote=url is not None))
    if output is Output.JSON:
        show.as_json(found)
    else:
        show.as_table(("", "WHAT", "FOUND"), (_row(check) for check in found))
    if any(check.verdict == "problem" for check in found):
        raise typer.Exit(Exit.OTHER)


def _row(check: Check) -> typing.Sequence[str | Text]:
    sign, style = _MARKS[check.verdict]
    text = Text(check.found)
    if check.hint:
        text.append(f"\n{check.hint}", style="dim")
    return Text(sign, style=style), check.name, text
