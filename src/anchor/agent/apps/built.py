"""What a build leaves for the replicas that run it, and how one fails."""

from pathlib import Path

import msgspec

from anchor.agent.sandbox.confinement import Mount
from anchor.core.attempt import Reason


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A release ready to run: `source` is the finished tree, which nobody may change, `mounts`, `env` and `path` what a
    cell needs to run it, `processes` the shell command of each process. `lock` are the versions that the build settled
    on, where the source pins none."""

    source: Path
    mounts: tuple[Mount, ...]
    env: dict[str, str]
    path: tuple[str, ...]
    lock: bytes | None
    processes: dict[str, str]


class CannotBuild(Exception):
    """A release cannot be built, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason
