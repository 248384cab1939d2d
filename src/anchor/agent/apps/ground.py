"""What all replicas of a node share, and how one of them fails."""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from anchor.agent.apps.built import Built
from anchor.agent.apps.local_ports import LocalPorts
from anchor.agent.budget import Budget
from anchor.agent.job import Emit
from anchor.agent.sandbox.confinement import Confinement
from anchor.core.app import AppConfig, mib_of
from anchor.core.attempt import Reason
from anchor.core.errors import NotFound
from anchor.wire import box
from anchor.wire.link import HostItem

State = Literal["building", "starting", "healthy", "unhealthy", "draining", "failed", "stopped"]


class NotHosted(NotFound):
    """This generation of this app does not run here, or not any more."""

    code = "not_hosted"


class Failed(Exception):
    """The node gives up on a replica."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Builder(Protocol):
    """Makes releases ready to run."""

    def kept(self, item: HostItem, emit: Emit) -> AbstractAsyncContextManager[Built]:
        """What a release is once built; kept while the context is open. CannotBuild."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What all replicas of a node share: `folder` holds their directories, `memory` and `disk` are the owner's shares
    (None: the owner has set none), `network` whether they may have the machine's, `box_key` opens their variables,
    `keep` brings a lock to the server and answers its digest, `changed` is called when there is news, `printed` when
    there is something in a log."""

    folder: Path
    confinement: Confinement
    builds: Builder
    memory: Budget
    disk: Budget | None
    ports: LocalPorts
    network: bool
    box_key: bytes
    keep: Callable[[bytes], Awaitable[str]]
    changed: Callable[[], None]
    printed: Callable[[], None]

    @contextmanager
    def room(self, config: AppConfig) -> Iterator[None]:
        """A replica's memory, and its place on the disk, held while the context is open. Failed where there is none."""
        with _had(self.memory, config.ram, "memory", "ram"), _had(self.disk, config.disk, "disk", "disk"):
            yield

    def opened(self, env: bytes) -> dict[str, str]:
        """An app's variables out of their box. InvalidRequest where it was sealed to another key."""
        if not env:
            return {}
        opened = json.loads(box.opened(self.box_key, env))
        return {str(name): str(value) for name, value in opened.items()}


@contextmanager
def _had(budget: Budget | None, amount: str, what: str, setting: str) -> Iterator[None]:
    if budget is None:
        yield
        return
    mib = mib_of(amount)
    with budget.at_once(mib) as had:
        if not had:
            message = f"It is to have {mib} MiB of {what}, and of what this node offers {budget.free_mib} MiB are free."
            hint = f"Lower config.{setting}, or offer more of a machine (setting {setting})."
            raise Failed(Reason("no_room", message, hint))
        yield
