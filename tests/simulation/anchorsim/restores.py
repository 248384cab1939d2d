"""Backups and what becomes of them: restored with a new epoch, or outdone by an old copy that somebody brings back."""

from typing import TYPE_CHECKING

from anchor.orchestrator.restore import declare_restored
from anchorsim.scheduler import Host, Origin
from anchorsim.store import SimStore
from anchorsim.truth import Snapshot

if TYPE_CHECKING:
    from anchorsim.cluster import Cluster

DOWN_MS = 400


class Restores:
    """The operator with the backups. While it is `busy` no server may start."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._sim = cluster.sim
        self._taken: Snapshot | None = None
        self._left: tuple[Snapshot, list[int]] | None = None
        self._known_epoch = 0
        self._is_old_copy = False
        self._is_over = False
        self.busy = False

    def strike(self) -> bool:
        """Take a backup, restore it, bring back the copy that was left then, or declare that one the restored one."""
        if self.busy:
            return False
        if self._is_old_copy:
            self._declare_old_copy()
        elif self._taken is None:
            self._taken = self._cluster.truth.snapshot()
            self._sim.log("backup")
            return False
        elif self._left is not None and self._sim.rng.random() < 0.5:
            self._stop_all()
            self._sim.after(DOWN_MS, self._bring_back)
        else:
            self._stop_all()
            self._sim.after(DOWN_MS, self._restore)
        return True

    def end(self) -> None:
        """Leave no old copy undeclared."""
        self._is_over = True
        self._declare_old_copy()

    def _declare_old_copy(self) -> None:
        if self._is_old_copy and not self.busy:
            self._is_old_copy = False
            self._stop_all()
            self._sim.after(DOWN_MS, self._declare)

    def _stop_all(self) -> None:
        self.busy = True
        for server in self._cluster.servers:
            if server.up:
                server.crash()
        for life in self._sim.crashed:
            life.unheard = True

    def _restore(self) -> None:
        truth = self._cluster.truth
        if self._taken is not None:
            self._left = truth.snapshot(), [agent.era_ms for agent in self._cluster.agents]
            truth.put_back(self._taken)
        self._taken = None
        self._declare()

    def _bring_back(self) -> None:
        if self._left is not None:
            snapshot, eras = self._left
            self._cluster.truth.put_back(snapshot)
            for agent, era in zip(self._cluster.agents, eras, strict=True):
                agent.era_ms = era
        self._left = None
        self._is_old_copy = True
        self._sim.log("old copy")
        self._sim.struck.add("old copy")
        self._start_all()
        if self._is_over:
            self._declare_old_copy()

    def _declare(self) -> None:
        """As `anchor restore` and `--adopt-epoch` do, again and again until it is done."""
        cluster = self._cluster
        for agent in cluster.agents:
            agent.era_ms = self._sim.now
        epoch = max(cluster.truth.epoch, self._known_epoch) + 1
        operator, clock = Host("operator"), cluster.operators_clock()
        operator.now = clock.now
        step = declare_restored(SimStore(cluster.truth), clock, epoch=epoch, message="restored")

        def done(_: object, error: BaseException | None) -> None:
            if error is not None:
                self._sim.after(200, self._declare)
            else:
                self._known_epoch = epoch
                self._start_all()

        self._sim.spawn(operator, step, Origin("restore"), done)

    def _start_all(self) -> None:
        self.busy = False
        for server in self._cluster.servers:
            server.start()
