"""An app's log: all there is, or what comes."""

from typing import Any

from anchor.client import apps
from anchor.client.calls import Call
from anchor.client.exchange import Manners, Steps, exchange
from anchor.client.follow import EventStream
from anchor.wire.apps import AppLine

_KINDS: dict[str, Any] = {"output": AppLine}


def whole_log(name: str, process: str, tail: int | None, manners: Manners) -> Steps[list[AppLine]]:
    """Everything that is kept of an app's log, or its last `tail` lines."""
    lines: list[AppLine] = []
    while True:
        after = lines[-1].id if lines else ""
        page = yield from exchange(apps.logs(name, process=process, after=after, tail=tail), manners)
        lines += page
        if tail is not None or len(page) < apps.LOG_PAGE:
            return lines


class FollowingApp(EventStream[AppLine]):
    """One app being followed for as long as there is the app."""

    def __init__(
        self, name: str, manners: Manners, *, process: str = "", tail: int | None = None, after: str = ""
    ) -> None:
        super().__init__(_KINDS, manners, after=after)
        self._name = name
        self._process = process
        self._tail = tail

    def request(self, last_id: str) -> Call[None]:
        """The request for what is printed after the event of this id."""
        return apps.follow(self._name, last_id, process=self._process, tail=self._tail)
