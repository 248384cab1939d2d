"""What the owner of a machine lets tasks do on it; decided by the owner, enforced by the agent."""

from typing import Final

import msgspec

ALL_RUNTIMES = ("isolate", "wasm", "python", "native", "container")
RAM_SHARE_DEFAULT: Final = 0.8
"""Of the machine's memory: what all tasks together get where the owner says nothing. The rest is the owner's own."""
RAM_MIB_LEFT_MIN: Final = 512
"""Where the owner says nothing, at least this much memory is left to the machine, as far as half of it goes."""
SHARE_PATTERN: Final = r"^((100|[1-9]\d?)%|\d{1,9}(\.\d{1,3})?(MiB|GiB|TiB))$"
"""How a share of memory or disk is written."""
_UNITS: Final = {"MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_MIB: Final = 1024**2


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's wishes. None means that nothing was said: the machine's own size is the limit.

    `runtimes` are those offered. `apps` lets apps run here. `network` and `gpu` allow them to tasks that ask, the
    network to apps too. `programs` are the commands a native task may start (None: any the system has). `cores`,
    `memory_mib` and `disk_mib` are the share of the machine that all tasks together get. `unconfined` offers
    native tasks, and hosts apps, even where their confinement does not work here: for machines whose every submitter is
    trusted.
    """

    runtimes: tuple[str, ...] = ALL_RUNTIMES
    network: bool = False
    gpu: bool = False
    programs: tuple[str, ...] | None = None
    cores: float | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    unconfined: bool = False
    apps: bool = True


def share_bytes(text: str, whole_bytes: int) -> int:
    """The bytes that `4GiB`, `512MiB` or `50%` mean where `whole_bytes` is all there is, and never more than that.

    The text fits SHARE_PATTERN.
    """
    if text.endswith("%"):
        return whole_bytes * int(text[:-1]) // 100
    return min(whole_bytes, int(float(text[:-3]) * _UNITS[text[-3:]]))


def task_memory_mib(policy: Policy, machine_bytes: int) -> int:
    """The memory that all tasks together get, in MiB; no task may ask for more."""
    if policy.memory_mib is not None:
        return policy.memory_mib
    whole = machine_bytes // _MIB
    left = min(max(int(whole * (1 - RAM_SHARE_DEFAULT)), RAM_MIB_LEFT_MIN), whole // 2)
    return max(whole - left, 1)
