"""How far a task is, as it travels in its output: a line of the stream `progress` that begins with a percentage."""

import math
import re

import msgspec

MESSAGE_LENGTH_MAX = 500
_SHARE = re.compile(r"\A(100|\d{1,2}(?:\.\d)?)%(?: ([^\n]*))?\n\Z")


class Progress(msgspec.Struct, frozen=True):
    """The share of the work done, from 0 to 1, and what is being done."""

    fraction: float
    message: str = ""


def progress_text(fraction: float, message: str = "") -> str:
    """The line for a share of the work done; what is not from 0 to 1 is cut to it, a message to its first line."""
    share = 0.0 if math.isnan(fraction) else min(max(fraction, 0.0), 1.0) * 100
    line = message.partition("\n")[0][:MESSAGE_LENGTH_MAX].strip()
    number = f"{math.floor(share * 10) / 10:g}%"
    return f"{number} {line}\n" if line else f"{number}\n"


def read_progress(text: str) -> Progress | None:
    """What a text of the stream `progress` says of the share done; None where it is a mere line of an installer's."""
    found = _SHARE.match(text)
    return None if found is None else Progress(float(found[1]) / 100, found[2] or "")
