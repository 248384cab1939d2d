"""`anchor queue`: how much waits, runs and is done."""

import typer

from anchor.cli import show
from anchor.cli.options import Format, Token, Url, connect
from anchor.cli.show import Output

app = typer.Typer(add_completion=False)


@app.command()
def queue(url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Show how much waits, runs and is done."""
    with connect(url, token) as client:
        stats = client.queue_stats()
    if output is Output.JSON:
        return show.as_json(stats)
    return show.as_table(
        ("QUEUE", "WAITING", "ACTIVE", "DELAYED", "COMPLETED", "FAILED", "CANCELLED"),
        (
            (
                name,
                *(
                    f"{count:,}"
                    for count in (
                        one.waiting,
                        one.active,
                        one.delayed,
                        one.completed,
                        one.failed,
                        one.cancelled,
                    )
                ),
            )
            for name, one in stats.items()
        ),
    )
