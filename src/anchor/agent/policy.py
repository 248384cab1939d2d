"""What the owner of a machine lets tasks do on it; decided by the owner, enforced by the agent."""

import msgspec

ALL_RUNTIMES = ("isolate", "wasm", "python", "native", "container")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's wishes. None means that nothing was said: the machine's own size is the limit.

    `runtimes` are those offered. `network` and `gpu` allow them to tasks that ask. `programs` are the commands a native
    task may start (None: any the system has). `cores`, `memory_mib` and `disk_mib` are the share of the machine that
    all tasks together get. `unconfined` offers native tasks even where their confinement does not work here: for
    machines whose every submitter is trusted.
    """

    runtimes: tuple[str, ...] = ALL_RUNTIMES
    network: bool = False
    gpu: bool = False
    programs: tuple[str, ...] | None = None
    cores: float | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    unconfined: bool = False
