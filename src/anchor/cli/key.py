"""`anchor key`: make, list and revoke API keys."""

from enum import StrEnum
from typing import Annotated

import typer

from anchor.cli import show
from anchor.cli.options import Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import say

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, list and revoke API keys.")


class PersonRole(StrEnum):
    """What the holder of a key is trusted with; each includes the ones before it."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    role: Annotated[PersonRole, typer.Option(help="What it is trusted with.")] = PersonRole.SUBMITTER,
    days: Annotated[int | None, typer.Option(min=1, help="How long it is valid.", show_default="for ever")] = None,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Make a key and print its token, this once."""
    with connect(url, token) as client:
        key = client.create_key(name, role, days=days)
    if output is Output.JSON:
        return show.as_json(key)
    say(f"{key.name} may now act as {key.role}. The token is shown this once:")
    return typer.echo(key.token)


@app.command("ls")
def ls(url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """List keys."""
    with connect(url, token) as client:
        keys = client.keys()
    if output is Output.JSON:
        return show.as_json(keys)
    return show.as_table(
        ("ID", "NAME", "ROLE", "AGE", "EXPIRES"),
        (
            (
                key.id,
                key.name,
                key.role,
                show.age(key.created_at),
                f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "",
            )
            for key in keys
        ),
    )


@app.command("rm")
def rm(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key's id, as `anchor key ls` shows it.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Revoke a key."""
    with connect(url, token) as client:
        client.remove_key(key)
    say(f"{key} opens nothing any more.")
