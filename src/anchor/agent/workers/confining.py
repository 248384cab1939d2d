"""What a worker process gives up before it runs foreign code: first the machine, and last what only engines need."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from anchor.agent.sandbox import landlock, namespaces, seccomp
from anchor.agent.workers import limits


class Confining:
    """The steps in their order. Each is taken as far as this system has it; `lacks` says which were not, and why."""

    def __init__(self) -> None:
        self.lacks: list[str] = []

    def leave_the_machine(self, parent: int, place: Path, libraries: Iterable[Path]) -> None:
        """Before the engines are loaded, since each of their threads has to inherit it: no privileges, no network, no
        file but those in `place` and, to read, those of the engines' own `libraries`; the end of `parent` ends it."""
        limits.be_first_to_go()
        if sys.platform != "linux":
            self.lacks.append("confinement of workers needs Linux")
            return
        self._take("namespaces", _into_namespaces)
        # New namespaces undo the parent-death signal.
        limits.die_with(parent)
        namespaces.forbid_privileges()
        self._take("capabilities", namespaces.drop_capabilities)
        if landlock.version():
            self._take("files", lambda: landlock.restrict([place], libraries))
        else:
            self.lacks.append("files: this kernel has no Landlock, or it is switched off (lsm=)")

    def close_the_kernel(self) -> None:
        """Once the engines are loaded: no more files at once than work needs, no system calls but those."""
        limits.close_doors()
        program = seccomp.worker_filter(os.getpid())
        if program is not None:
            self._take("system calls", lambda: seccomp.install(program))
        elif sys.platform == "linux":
            self.lacks.append("system calls: there is no filter for this processor")

    def _take(self, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self.lacks.append(f"{what}: {error.strerror or error}")


def _into_namespaces() -> None:
    namespaces.leave()
    limits.limit_threads()
