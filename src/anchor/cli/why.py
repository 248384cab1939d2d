"""`anchor why`: why a task is where it is, what stands in the way on every node, and what would let it run."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from anchor.cli import show
from anchor.cli.options import Format, Token, Url, connect
from anchor.cli.show import Output

app = typer.Typer(add_completion=False)

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="A task's id, as `anchor task ls` shows it.")]
_PARTS = ("room", "reliability", "inputs", "speed", "memory", "total")


@app.command()
def why(task: TaskId, url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Say why a task is where it is, what stands in the way on every node, and what would let it run."""
    with connect(url, token) as client:
        answer = client.why(task)
    if output is Output.JSON:
        return show.as_json(answer)
    reason: dict[str, str] = answer["reason"]
    changes: list[str] = answer.get("changes", [])
    facts: list[tuple[str, str | Text]] = [
        ("State", show.state(answer["state"])),
        ("Why", reason["message"]),
        ("Hint", "" if changes else reason.get("hint", "")),
        ("Waits for", ", ".join(answer.get("waitsFor", ()))),
    ]
    facts += [("Do" if number == 0 else "Or", change) for number, change in enumerate(changes)]
    show.as_facts(facts)
    if answer["nodes"]:
        parts = _PARTS if any(node.get("scores") for node in answer["nodes"]) else ()
        columns = ("NODE", "STANDS IN THE WAY", *(part.upper() for part in parts))
        show.as_table(columns, [_row(node, parts) for node in sorted(answer["nodes"], key=_best_first)])
    return None


def _row(node: dict[str, Any], parts: Sequence[str]) -> list[str]:
    scores = node.get("scores") or {}
    in_the_way = "; ".join(f"it {lack}" for lack in node.get("lacks") or ([node["unmet"]] if node["unmet"] else []))
    return [node["nodeId"], in_the_way or "nothing", *(f"{scores[part]:.2f}" if scores else "" for part in parts)]


def _best_first(node: dict[str, Any]) -> tuple[int, float, str]:
    return len(node.get("lacks", ())), -(node.get("scores") or {}).get("total", 0.0), node["nodeId"]
