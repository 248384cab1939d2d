"""`anchor verify`: a receipt, checked without any server."""

import base64
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from anchor.cli import show
from anchor.cli.exits import Exit, Usage
from anchor.cli.options import Format
from anchor.cli.show import Output
from anchor.cli.talk import say
from anchor.wire.proofs import Line, proof_of, proves
from anchor.wire.receipts import Receipt

KEY_BYTES = 32
_WORDS = {True: Text("holds", style="green"), False: Text("WRONG", style="bold red"), None: Text("unsigned", "dim")}

app = typer.Typer(add_completion=False)


@app.command(epilog="Exit codes: 0 all of it holds, 1 something does not, 2 the file cannot be read.")
def verify(
    receipt: Annotated[str, typer.Argument(help="The file `anchor task receipt` wrote, or - for stdin.")],
    key: Annotated[
        list[str] | None,
        typer.Option(help="NODE=KEY: the public key of a node as you know it, in base64; may be repeated."),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Check code, input, output, votes and signatures of a finished task, line by line, without any server."""
    known = dict(_key(text) for text in key or [])
    lines = _lines(_content(receipt), known)
    holds = proves(lines)
    if output is Output.JSON:
        show.as_json({"holds": holds, "lines": lines})
    else:
        show.as_table(("", "WHAT"), [(_WORDS[line.holds], line.says) for line in lines])
        if not holds:
            say("This receipt does not hold.", style="bold red")
    raise typer.Exit(Exit.OK if holds else Exit.TASK_FAILED)


def _content(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise Usage(
            f"{name} cannot be read: {error.strerror or error}.",
            hint="Write one with `anchor task receipt TASK > FILE`.",
        ) from None


def _lines(content: bytes, known: dict[str, bytes]) -> list[Line]:
    try:
        return proof_of(msgspec.json.decode(content, type=Receipt), known)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return [Line(False, f"It is a receipt: {error}.")]


def _key(text: str) -> tuple[str, bytes]:
    node, _, letters = text.partition("=")
    try:
        key = base64.b64decode(letters, validate=True)
    except ValueError:
        key = b""
    if not node or len(key) != KEY_BYTES:
        raise Usage(
            f"--key {text[:100]!r} is not NODE=KEY with {KEY_BYTES} bytes in base64.",
            hint="`anchor node get NODE -o json` shows a node's publicKey.",
        )
    return node, key
