"""Values that a task is given by name, beside its `input`: those of a step are the results of other steps."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from anchor.core.errors import Fault
from anchor.core.pieces import piece_of

INPUT_NAME_LENGTH_MAX = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class InputValue(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One of a task's `inputs`: a JSON value, or the `sha256:…` of an uploaded blob that holds one."""

    value: Any = None
    blob: str | None = None


def input_faults(inputs: Mapping[str, InputValue], at: str) -> list[Fault]:
    """What is wrong with a task's `inputs`; `at` is the JSON pointer of them."""
    faults: list[Fault] = []
    for name, given in inputs.items():
        here = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
        if not 1 <= len(name) <= INPUT_NAME_LENGTH_MAX or _CONTROL.search(name):
            faults.append(Fault(here, f"has an unusable name; use 1 to {INPUT_NAME_LENGTH_MAX} printable characters"))
        if given.blob is None:
            continue
        if given.value is not None:
            faults.append(Fault(here, "has a value and a blob; send one of them"))
        piece = piece_of(given.blob)
        if piece is None or not piece.is_whole:
            faults.append(Fault(f"{here}/blob", "is not sha256:… of an uploaded blob that holds JSON"))
    return faults
