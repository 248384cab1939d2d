"""`anchor backup`: everything that is kept, in one file."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from anchor.cli import show
from anchor.cli.options import ConfigFile, Data, Format, settings_of
from anchor.cli.progress import counting
from anchor.cli.show import Output
from anchor.cli.talk import say
from anchor.wire.archive import Manifest
from anchor.wiring.backup import back_up
from anchor.wiring.program import run

app = typer.Typer(add_completion=False)


@app.command()
def backup(
    file: Annotated[
        Path | None, typer.Argument(help="The file to write.", show_default="one named after today")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    data: Data = None,
    config: ConfigFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Write everything that is kept into one file; servers may run meanwhile."""
    settings = settings_of(config, data=data)
    target = file or Path(f"anchor-backup-{datetime.datetime.now(datetime.UTC):%Y-%m-%d}.tar")
    with counting() as told:
        manifest = run(back_up(settings, target, force=force, told=told))
    if output is Output.JSON:
        return show.as_json(manifest)
    say_missing(manifest)
    counts = {member.name.removesuffix(".jsonl"): member.documents for member in manifest.members}
    return show.as_facts(
        [
            ("File", str(target)),
            ("Epoch", str(manifest.epoch)),
            *((kind.capitalize(), f"{count:,}") for kind, count in counts.items()),
        ]
    )


def say_missing(manifest: Manifest) -> None:
    """Say which blobs are not in a backup, although documents name them."""
    if manifest.missing_count:
        say(
            f"{manifest.missing_count:,} blobs that tasks name are missing or damaged in the store, so they are not in "
            f"the backup, either: {', '.join(manifest.missing)}",
            style="yellow",
        )
