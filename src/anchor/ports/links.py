"""The way from a server to the nodes that are connected to it."""

from collections.abc import Sequence
from typing import Protocol

from anchor.core.app import App, Replica
from anchor.core.task import Task


class Links(Protocol):
    """Hands messages over without waiting for their arrival; one to a node that is gone is lost, and the reconciler
    finds out."""

    async def assign(self, node: str, session: int, tasks: Sequence[Task]) -> None:
        """Hand a node the attempts just leased to it."""

    async def cancel(self, node: str, tasks: Sequence[Task]) -> None:
        """Ask a node to stop the attempts it holds of these tasks."""

    async def hang_up(self, node: str, session: int) -> None:
        """End a session's connection: it speaks for nobody any more."""

    async def host(self, node: str, session: int, replicas: Sequence[tuple[App, Replica]]) -> None:
        """Tell a node all the replicas that it is to run; what else it has it stops."""
