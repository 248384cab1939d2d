"""How far something long has come, for whoever watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anchor.cli.talk import is_interactive, stderr


@contextmanager
def counting() -> Iterator[Callable[[str, int], None]]:
    """What to tell a kind and a count; shown on a terminal only."""
    if not is_interactive():
        yield lambda kind, count: None
        return
    with stderr.status("…") as status:
        yield lambda kind, count: status.update(f"{kind}: {count:,}")
