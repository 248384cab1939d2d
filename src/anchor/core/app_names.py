"""What an app is called in its address: a DNS label made of whatever its owner calls it."""

import re
import unicodedata
from typing import Final

from anchor.core.errors import InvalidRequest

NAME_LENGTH_MAX: Final = 63
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_HINT = "A name has letters, digits and dashes, begins with a letter, and has at most 63 of them: my-web-app."


def is_app_name(text: str) -> bool:
    """Whether a text is an app's name as it stands."""
    return _NAME.fullmatch(text) is not None


def app_name_of(title: str) -> str:
    """The name of an app with this title: `My Web App` is `my-web-app`. InvalidRequest (code bad_name) where nothing
    in it can be part of one."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    name = f"app-{words}" if words[:1].isdigit() else words
    if not name:
        raise InvalidRequest(f"{title[:80]!r} makes no name for an app.", hint=_HINT, code="bad_name")
    return name[:NAME_LENGTH_MAX].rstrip("-")
