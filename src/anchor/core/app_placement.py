"""Which node gets a replica: what stands in the way of each, and of those that fit the emptiest."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from anchor.core.app import App, AppConfig, Replica, ReplicaState, is_run, mib_of
from anchor.core.attempt import Reason
from anchor.core.node import Node, Status, offer_of
from anchor.core.placement import facts_of, meets, unmet_by
from anchor.core.reputation import reliability
from anchor.core.spec import Need

RUNTIME: Final = "native"
"""The runtime whose confinement holds apps."""
OVERSOLD: Final = 4.0
"""The cores promised to the apps on a node may come to so many times what it has."""


class Promised(msgspec.Struct, frozen=True):
    """What replicas on a node were promised: memory, cores, and ports of the machine itself."""

    mib: int = 0
    cores: float = 0.0
    ports: tuple[int, ...] = ()

    def plus(self, config: AppConfig) -> "Promised":
        """And one replica more."""
        ports = self.ports if config.port is None else (*self.ports, config.port)
        return Promised(self.mib + mib_of(config.ram), self.cores + config.cpu, ports)


class NodeFacts(msgspec.Struct, frozen=True):
    """A node as the placing of an app sees it. `reached`: it can be told something at the moment. `gone`: what it ran
    is taken for lost; `silent`: it is gone, and may come back with it. `leaving`: its agent is about to stop.
    `promised` is what other apps' replicas there were."""

    node: Node
    reached: bool = True
    gone: bool = False
    silent: bool = False
    leaving: bool = False
    promised: Promised = Promised()

    @property
    def keeps(self) -> bool:
        """Whether what runs there may stay."""
        return self.node.status is Status.READY and not self.gone and not self.leaving


def need_of_replica(config: AppConfig) -> Need:
    """What a node must offer to run a replica."""
    wants = config.requirements
    return Need(
        min_ram_gib=wants.min_ram,
        min_cores=wants.min_cores,
        gpu=wants.gpu_required,
        labels=tuple(sorted(set(wants.labels))),
        memory_mib=mib_of(config.ram),
        features=("apps", "network") if config.network else ("apps",),
        expression=wants.expression,
    )


def fit(
    app: App, config: AppConfig, replica: Replica, others: Iterable[Replica], nodes: Sequence[NodeFacts]
) -> str | Reason:
    """The node for a replica, or why there is none. `others` are the app's replicas as they will be.

    The one with the fewest of the same app, then the one where the same place is now (its port on the machine stays
    what it was, and what was built there is at hand), then the one with the most memory to give, then by name. A
    replica of the same place is not counted: it goes when this one is healthy.
    """
    need = need_of_replica(config)
    own = [one for one in others if is_run(one) and one.generation != replica.generation]
    obstacles: Counter[str] = Counter()
    best: tuple[int, bool, int, str] | None = None
    for facts in nodes:
        here = [one for one in own if one.node == facts.node.id]
        promised = facts.promised
        for one in here:
            promised = promised.plus(_config_of(app, one, config))
        obstacle = _obstacle(facts, config, need, promised, replica.avoided)
        if obstacle is not None:
            obstacles[obstacle] += 1
            continue
        beside = sum(one.place != replica.place and one.state is not ReplicaState.DRAINING for one in here)
        moves = all(one.place != replica.place for one in here)
        rank = (beside, moves, promised.mib - _memory_mib(facts.node), facts.node.id)
        if best is None or rank < best:
            best = rank
    return best[3] if best is not None else _nowhere(obstacles)


def crowded(app: App, config: AppConfig, replicas: Sequence[Replica], nodes: Sequence[NodeFacts]) -> Replica | None:
    """One of an app's replicas that would better be on another node: one that fits, and even with it would have fewer
    of the app than its own node has now; None where there is no such replica."""
    count = Counter(one.node for one in replicas)
    fewest = min((count[facts.node.id] for facts in nodes if facts.keeps), default=0)
    tried: set[str] = set()
    for one in sorted(replicas, key=lambda one: (-count[one.node], one.place)):
        if count[one.node] < fewest + 2:
            break
        if one.node in tried:
            continue
        tried.add(one.node)
        node = fit(app, config, replace(one, generation=app.generations + 1), replicas, nodes)
        if isinstance(node, str) and count[node] + 1 < count[one.node]:
            return one
    return None


def _config_of(app: App, replica: Replica, otherwise: AppConfig) -> AppConfig:
    release = app.release(replica.release)
    return otherwise if release is None else release.config


def _obstacle(
    facts: NodeFacts, config: AppConfig, need: Need, promised: Promised, avoided: Collection[str]
) -> str | None:
    """The first thing that keeps a replica from a node."""
    node = facts.node
    if not facts.reached or facts.gone:
        return "is not connected"
    if node.status is not Status.READY:
        return f"is {node.status}"
    if facts.leaving:
        return "is about to stop"
    if node.metrics.trouble:
        return f"takes no work: {node.metrics.trouble}"
    unmet = unmet_by(offer_of(node), need)
    if unmet is not None:
        return unmet
    if config.cpu > node.profile.cores:
        return f"has {node.profile.cores} cores of the {config.cpu:g} asked for"
    if node.id in avoided:
        return "failed with it a moment ago"
    if config.port in facts.promised.ports:
        return f"has its port {config.port} taken by another app"
    if promised.mib + need.memory_mib > _memory_mib(node):
        return f"has promised {promised.mib} of its {_memory_mib(node)} MiB for apps, and {need.memory_mib} are needed"
    if promised.cores + config.cpu > OVERSOLD * node.profile.cores:
        most = f"{OVERSOLD * node.profile.cores:g} cores ({OVERSOLD:g} times what it has)"
        return f"has promised {promised.cores:g} of at most {most} for apps, and {config.cpu:g} more are needed"
    values = facts_of(node, runtime=RUNTIME, load=0.0, reliability=reliability(node, RUNTIME))
    if not meets(need.expression, values):
        return "does not meet the expression of its requirements"
    return None


def _memory_mib(node: Node) -> int:
    return node.profile.task_memory_mib or int(node.profile.ram * 1024)


def _nowhere(obstacles: Counter[str]) -> Reason:
    """Why no node fits, as a sentence that counts the nodes behind each obstacle."""
    if not obstacles:
        return Reason("no_node", "No machine has joined yet.", "Start an agent: `anchor join` says how.")
    counted = "; ".join(
        f"{count} {'node' if count == 1 else 'nodes'}: {what}" for what, count in sorted(obstacles.items())
    )
    hint = "Stop another app, ask for less, or add a machine (`anchor join`): it is placed as soon as a node fits."
    return Reason("no_node", f"No node fits. {counted}.", hint)
