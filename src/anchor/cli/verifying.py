"""What a command line asks for in the way of verification."""

from enum import StrEnum
from typing import Annotated

import typer

from anchor.cli.exits import Usage
from anchor.core.spec import VerifyWish
from anchor.core.verification import Verify, faults_in_policy


class Policy(StrEnum):
    """How an answer is checked."""

    NONE = "none"
    QUORUM = "quorum"
    ADAPTIVE = "adaptive"


class Compare(StrEnum):
    """When two answers are the same."""

    BYTES = "bytes"
    JSON = "json"
    NUMERIC = "numeric"
    LINES = "lines"


VerifyOption = Annotated[
    Policy | None,
    typer.Option("--verify", help="Check the answer by copies on machines of other owners.", show_default="none"),
]
Copies = Annotated[int | None, typer.Option(min=1, help="Copies that run at once.", show_default="3")]
Agree = Annotated[int | None, typer.Option(min=1, help="Copies that have to agree.", show_default="a majority")]
CopiesMax = Annotated[int | None, typer.Option(min=1, help="Copies at most.", show_default="twice --copies")]
CompareOption = Annotated[
    Compare | None, typer.Option("--compare", help="When two answers are the same.", show_default="bytes")
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(help="JSON pointer of what may differ (--compare json); may be repeated.", show_default=False),
]
Absolute = Annotated[
    float | None, typer.Option(min=0, help="How far numbers may be apart (--compare numeric).", show_default="0")
]
Relative = Annotated[
    float | None, typer.Option(min=0, max=1, help="The same as a share of the larger one.", show_default="0")
]
SameOwner = Annotated[bool, typer.Option("--same-owner", help="Copies may run on machines of one owner.")]


def wish_of(
    policy: Policy | None,
    *,
    copies: int | None,
    agree: int | None,
    copies_max: int | None,
    compare: Compare | None,
    ignore: list[str] | None,
    absolute: float | None,
    relative: float | None,
    same_owner: bool,
) -> VerifyWish:
    """The policy these options ask for: a quorum, where they name none and yet say how; Usage where they clash."""
    given = {
        "copies": copies,
        "agree": copies // 2 + 1 if agree is None and copies is not None else agree,
        "copies_max": copies_max,
        "compare": None if compare is None else compare.value,
        "ignore": ignore or None,
        "absolute": absolute,
        "relative": relative,
        "same_owner": same_owner or None,
    }
    said = {name: value for name, value in given.items() if value is not None}
    if policy is Policy.NONE and said:
        first = next(iter(said)).replace("_", "-")
        raise Usage(f"--{first} says how to verify, and --verify none not to.", hint="Leave one of them out.")
    if not said:
        return "none" if policy is None else policy.value
    # What is called for with every name is read from a dict: the struct checks no types, typer has.
    wish = Verify(policy=(policy or Policy.QUORUM).value, **said)  # type: ignore[arg-type]
    faults = faults_in_policy(wish, "")
    if faults:
        option = faults[0].pointer.strip("/").split("/")[0].replace("copiesMax", "copies-max")
        raise Usage(f"--{option} {faults[0].message}.", hint="Nothing was submitted.")
    return wish
