"""`anchor case`: answers that contradict what was agreed on, and what follows from them."""

import itertools
from typing import Annotated

import typer

from anchor.cli import show
from anchor.cli.options import Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import say
from anchor.cli.votes import show_votes

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Look into answers that contradict what was agreed on, and decide what follows.",
)

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="A case's id, as `anchor case ls` shows it.")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List cases, newest first."""
    with connect(url, token) as client:
        rows = list(itertools.islice(client.cases(page_size=min(limit, 1000)), limit))
    if output is Output.JSON:
        return show.as_json(rows)
    if not rows:
        return say("No cases: nobody has contradicted what was agreed on.")
    return show.as_table(
        ("ID", "TASK", "NAME", "RUNTIME", "STATE", "DISSENTERS", "AGE", "DIFFERS"),
        (
            (
                row.id,
                row.task_id,
                row.task_name,
                row.runtime,
                show.state(row.state),
                ", ".join(row.dissenters),
                show.age(row.opened_at),
                row.differs,
            )
            for row in rows
        ),
    )


@app.command("get")
def get(case: CaseId, url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Show one case; with -o json all of its evidence."""
    with connect(url, token) as client:
        view = client.case(case)
    if output is Output.JSON:
        return show.as_json(view)
    show.as_facts(
        [
            ("Id", view.id),
            ("Task", f"{view.task_id} ({view.task_name})"),
            ("Owner", view.owner),
            ("Runtime", view.runtime),
            ("State", show.state(view.state)),
            ("Why", view.reason.message if view.reason else ""),
            ("Dissenters", ", ".join(view.dissenters)),
            ("Differs", view.differs),
            ("Opened", f"{view.opened_at:%Y-%m-%d %H:%M:%S} UTC, {show.age(view.opened_at)} ago"),
            ("Run again", ", ".join(view.reruns)),
            ("Evidence", f"{view.evidence_blob} (shown with -o json)"),
        ]
    )
    return show_votes(view.votes)


@app.command("clear")
def clear(case: CaseId, reason: Why = "", url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Take the dissenters' part: what this case took from their reputation is given back."""
    with connect(url, token) as client:
        view = client.act_on_case(case, "clear", reason=reason)
    if output is Output.JSON:
        return show.as_json(view)
    return say(f"{view.id} is {view.state}.")


@app.command("block")
def block(case: CaseId, reason: Why = "", url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Refuse the dissenters' connections and work from now on."""
    with connect(url, token) as client:
        view = client.act_on_case(case, "block", reason=reason)
    if output is Output.JSON:
        return show.as_json(view)
    return say(f"{view.id} is {view.state}: {', '.join(view.dissenters)} may work no more.")


@app.command("rerun")
def rerun(case: CaseId, reason: Why = "", url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Run the task again on more nodes, and print the new task's id."""
    with connect(url, token) as client:
        created = client.rerun_case(case, reason=reason)
    if output is Output.JSON:
        return show.as_json(created)
    return typer.echo(created.id)
