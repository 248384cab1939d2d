"""`anchor restore`: put a backup back, or declare the data in place a restored copy."""

from pathlib import Path
from typing import Annotated

import typer

from anchor.cli import show
from anchor.cli.backup import say_missing
from anchor.cli.exits import Usage
from anchor.cli.options import ConfigFile, Data, Format, settings_of
from anchor.cli.progress import counting
from anchor.cli.show import Output
from anchor.cli.talk import say
from anchor.wiring import backup
from anchor.wiring.program import run

app = typer.Typer(add_completion=False)


@app.command()
def restore(
    file: Annotated[Path | None, typer.Argument(help="A file that `anchor backup` wrote.", show_default=False)] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move what is there aside first; nothing is deleted.")
    ] = False,
    adopt_epoch: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=(1 << 31) - 2,
            help="An epoch that agents know of. Without FILE the data in place is declared a restored copy.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    config: ConfigFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Put a backup into an empty place. Stop every server first; agents find out by themselves."""
    settings = settings_of(config, data=data)
    if file is None:
        if adopt_epoch is None or replace:
            raise Usage("There is nothing to restore from.", hint="Name the file that `anchor backup` wrote.")
        epoch = run(backup.adopt_epoch(settings, adopt_epoch))
        if output is Output.JSON:
            return show.as_json({"epoch": epoch})
        return say(f"The data in place is at epoch {epoch} now; whatever agents hold of it is run again.")
    with counting() as told:
        manifest, epoch = run(backup.restore(settings, file, replace=replace, known_epoch=adopt_epoch or 0, told=told))
    if output is Output.JSON:
        return show.as_json({"epoch": epoch, "manifest": manifest})
    say_missing(manifest)
    tasks = next(member.documents for member in manifest.members if member.name == "tasks.jsonl")
    return say(
        f"Restored {tasks:,} tasks and {manifest.blobs:,} blobs; the epoch is {epoch} now. What nodes held is run "
        "again, and join tokens that were not used yet are void."
    )
