"""Seals: this node's signature over each ending by itself, so that it can be checked without the server's word."""

from collections.abc import Callable
from hashlib import sha256

from msgspec.structs import replace

from anchor.agent.identity import Identity
from anchor.core.attempt import Ending
from anchor.wire.link import Assignment
from anchor.wire.seals import Given, seal_from, statement_bytes, statement_of

Seal = Callable[[Assignment, Ending], Ending]
"""Turns an ending into one that carries its seal."""


class Sealer:
    """Seals endings with the node's key. `session` tells the session that is open, or was last."""

    def __init__(self, identity: Identity, session: Callable[[], int]) -> None:
        self._identity = identity
        self._session = session

    def __call__(self, item: Assignment, ending: Ending) -> Ending:
        """The ending, sealed; that of a noop as it is: there is nothing to check about it."""
        if item.runtime == "noop":
            return ending
        payload = item.payload_blob or sha256(item.payload).hexdigest()
        given = Given(item.task, item.attempt, item.runtime, item.limits, payload)
        session = self._session()
        said = statement_of(given, ending, node=self._identity.node, session=session)
        return replace(ending, seal=seal_from(session, self._identity.sign(statement_bytes(said))))


def unsealed(_: Assignment, ending: Ending) -> Ending:
    """For a node without a key of its own: the ending as it is."""
    return ending
