"""Lists page by page: an opaque cursor, and the Link header that says where to go on."""

from urllib.parse import urlencode

from anchor.core.errors import InvalidRequest, NotFound
from anchor.core.ids import key_of, wire_id


def read_cursor(prefix: str, text: str | None) -> int | None:
    """The key a list goes on below, None where it starts; `prefix` tells the cursors of different lists apart."""
    if text is None:
        return None
    try:
        return key_of(prefix, text)
    except NotFound:
        raise InvalidRequest(
            "This cursor is not one of ours.",
            hint='Take it from the Link header (rel="next") of the page before, or leave it out.',
            code="invalid_cursor",
        ) from None


def behind(key: int) -> int:
    """What that key and all before it are below; at most the last key of all, which nothing has: stores hold it."""
    return min(key + 1, (1 << 63) - 1)


def next_link(path: str, prefix: str, below: int, **kept: object) -> str:
    """The value of a Link header to the page below a key, with whatever else was asked for."""
    asked = {**kept, "cursor": wire_id(prefix, below)}
    rest = urlencode({name: value for name, value in asked.items() if value is not None})
    return f'<{path}?{rest}>; rel="next"'
