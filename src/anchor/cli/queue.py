"""`anchor queue`: how much waits, runs and is done, and how it moves."""

import typer

from anchor.cli import show
from anchor.cli.options import Format, Token, Url, connect
from anchor.cli.show import Output

app = typer.Typer(add_completion=False)


@app.command()
def queue(url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Show how much waits, runs and is done, the age of the oldest, and endings a minute (of the last five)."""
    with connect(url, token) as client:
        stats = client.queue_stats()
    if output is Output.JSON:
        return show.as_json(stats)
    rows = [
        ("waiting", [f"{one.waiting:,}" for one in stats.values()]),
        ("  the oldest", [_age(one.oldest_waiting_seconds) for one in stats.values()]),
        ("active", [f"{one.active:,}" for one in stats.values()]),
        ("  the oldest", [_age(one.oldest_active_seconds) for one in stats.values()]),
        ("delayed", [f"{one.delayed:,}" for one in stats.values()]),
        ("completed", [f"{one.completed:,}" for one in stats.values()]),
        ("  a minute", [f"{one.completed_per_minute:,.1f}" for one in stats.values()]),
        ("failed", [f"{one.failed:,}" for one in stats.values()]),
        ("  a minute", [f"{one.failed_per_minute:,.1f}" for one in stats.values()]),
        ("cancelled", [f"{one.cancelled:,}" for one in stats.values()]),
    ]
    return show.as_table(("QUEUE", *(name.upper() for name in stats)), ((name, *cells) for name, cells in rows))


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else show.age_of(seconds)
