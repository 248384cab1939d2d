"""States of apps, releases and replicas as people see them: a shape, a word and a colour."""

from typing import Final

from rich.text import Text

_MARKS: Final = {
    "running": ("●", "green"),
    "healthy": ("●", "green"),
    "live": ("●", "green"),
    "deploying": ("◐", "cyan"),
    "pending": ("◐", "cyan"),
    "placed": ("○", "cyan"),
    "building": ("◔", "cyan"),
    "starting": ("◑", "cyan"),
    "degraded": ("▲", "yellow"),
    "unhealthy": ("▲", "yellow"),
    "unplaced": ("△", "yellow"),
    "draining": ("◒", "yellow"),
    "stopping": ("◒", "yellow"),
    "removing": ("◒", "yellow"),
    "failed": ("✘", "red"),
    "stopped": ("■", "dim"),
    "superseded": ("-", "dim"),
}


def marked(state: str) -> Text:
    """A state with its shape, in its colour."""
    mark, style = _MARKS.get(state, ("", ""))
    return Text(f"{mark} {state}".lstrip(), style=style)
