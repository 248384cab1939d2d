"""`anchor audit`: who did what, and whether the record of it is whole."""

import itertools
from typing import Annotated

import typer

from anchor.cli import show
from anchor.cli.exits import Exit
from anchor.cli.options import Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import say
from anchor.core.audit import Entry, first_break
from anchor.wire.rest import AuditEntry

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Show who did what, and check that nobody changed the record."
)
PAGE = 1000


@app.command("ls")
def ls(
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind, like attempt_refused.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List entries, newest first."""
    with connect(url, token) as client:
        entries = list(itertools.islice(client.audit(kind=kind or "", page_size=min(limit, PAGE)), limit))
    if output is Output.JSON:
        return show.as_json(entries)
    return show.as_table(
        ("NUMBER", "AT", "KIND", "SUBJECT", "BY", "WHAT"),
        (
            (str(entry.number), f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.kind, entry.subject, entry.by, entry.message)
            for entry in entries
        ),
    )


@app.command("verify")
def verify(url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Recompute the chain of seals. Keep the newest number and seal elsewhere: they tell later if the end was cut."""
    with connect(url, token) as client:
        entries = [_entry(entry) for entry in client.audit(page_size=PAGE)][::-1]
    broken = 1 if entries and entries[0].number != 1 else first_break(entries)
    newest = entries[-1] if entries else None
    if output is Output.JSON:
        show.as_json(
            {"entries": len(entries), "brokenAt": broken, "newestSeal": None if newest is None else newest.seal}
        )
    elif broken is not None:
        say(f"The audit trail is broken at entry {broken}: it or an entry before it was changed.", style="bold red")
    else:
        say(f"The audit trail is whole: {len(entries):,} entries.")
        if newest is not None:
            typer.echo(f"{newest.number} {newest.seal}")
    if broken is not None:
        raise typer.Exit(Exit.CONFLICT)


def _entry(shown: AuditEntry) -> Entry:
    return Entry(
        number=shown.number,
        at=round(shown.at.timestamp() * 1000),
        kind=shown.kind,
        subject=shown.subject,
        message=shown.message,
        by=shown.by,
        seal=shown.seal,
    )
