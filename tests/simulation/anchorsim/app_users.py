"""Simulated people with apps: they deploy good sources and bad ones, scale, go back, restart, stop and remove."""

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from anchor.core.app import App, AppConfig, Plan, ReplicaState, Wanted, is_run, places_of
from anchor.core.rollout import pending_of
from anchor.orchestrator.apps import change
from anchor.orchestrator.world import World
from anchorsim.app_rules import AppRules
from anchorsim.hosting import BROKEN, GOOD, SHAKY, SILENT
from anchorsim.scheduler import Violation
from anchorsim.server import Server

if TYPE_CHECKING:
    from anchorsim.agent import Agent
    from anchorsim.users import Users

NAMES = ("shop", "blog", "wiki", "shop")
"""Two want the same name."""
SETTLE_MS = 400_000
"""How long, once all is well, an app may take to be as it is wanted: some rests of a place that failed everywhere."""
_PLANS = (
    Plan(kind="node", processes={"web": "serve"}),
    Plan(kind="command", processes={"web": "serve", "worker": "work", "release": "migrate"}),
)


class AppUsers:
    """Everybody who has apps."""

    def __init__(self, people: "Users", agents: Mapping[str, "Agent"], rules: AppRules) -> None:
        self._rules = rules
        self._people = people
        self._sim = people.sim
        self._truth = people.truth
        self._agents = agents

    def begin(self, within_ms: int) -> None:
        """Do all kinds of things within a time."""
        rng = self._sim.rng
        self._sim.struck.add("apps")
        for name in NAMES[: 2 + int(rng.random() * 3)]:
            self._sim.after(int(rng.random() * within_ms / 4), self._create, name)
        for _ in range(4 + int(rng.random() * 16)):
            self._sim.after(int(rng.random() * within_ms), self._do_anything)

    def _create(self, name: str) -> None:
        rng = self._sim.rng
        plan = _PLANS[int(rng.random() * 2)]
        config, source = self._config(), self._source()

        async def create(world: World) -> object:
            return await change.create(
                world,
                name=name,
                title=name,
                owner="o",
                config=config,
                plan=plan,
                source=source,
                env={},
                by="o",
            )

        self._ask("create", create)

    def _do_anything(self) -> None:
        rng = self._sim.rng
        if not self._truth.apps:
            return
        app = sorted(self._truth.apps)[int(rng.random() * len(self._truth.apps))]
        config, source, counts = self._config(), self._source(), {"web": int(rng.random() * 4)}
        asked: dict[str, Callable[[World], Coroutine[Any, Any, object]]] = {
            "release": lambda world: change.release(world, app, owner="o", source=source, config=config, by="o"),
            "scale": lambda world: change.scale(world, app, owner="o", scale=counts, by="o"),
            "rollback": lambda world: change.rollback(world, app, owner=None, by="o"),
            "restart": lambda world: change.restart(world, app, owner="o", by="o"),
            "stop": lambda world: change.stop(world, app, owner="o", by="o"),
            "start": lambda world: change.start(world, app, owner="o", by="o"),
            "remove": lambda world: change.remove(world, app, owner="o", by="o"),
        }
        names = ["release", "release", "release", "scale", "scale", "rollback", "restart", "stop", "start", "start"]
        if rng.random() < 0.3:
            names.append("remove")
        name = names[int(rng.random() * len(names))]
        self._ask(name, asked[name])

    def _ask(self, what: str, call: Callable[[World], Coroutine[Any, Any, object]]) -> None:
        self._sim.log("asks", what)
        self._people.call(lambda server: self._answered_by(server, call))

    def _answered_by(self, server: Server, call: Callable[[World], Coroutine[Any, Any, object]]) -> None:
        server.ask_of_app(call(server.world))

    def _config(self) -> AppConfig:
        rng = self._sim.rng
        port = 8080 if rng.random() < 0.2 else None
        return AppConfig(
            ram="256MB", start_seconds=1, drain_seconds=1, port=port, scale={"web": 1 + int(rng.random() * 3)}
        )

    def _source(self) -> str:
        roll = self._sim.rng.random()
        return GOOD if roll < 0.6 else BROKEN if roll < 0.75 else SILENT if roll < 0.85 else SHAKY

    # At the end

    def settled(self) -> bool:
        """Whether every app is as it is wanted, and every machine runs just what it should."""
        return not self.unsettled()

    def unsettled(self) -> list[str]:
        """What is not as it should be."""
        found = [why for app in self._truth.apps.values() if not self._rules.is_excused(app) and (why := _lacks(app))]
        for name, agent in self._agents.items():
            should = {
                (app.id, one.generation): release.source
                for app in self._truth.apps.values()
                for one in app.replicas
                if one.node == name and is_run(one) and (release := app.release(one.release)) is not None
            }
            runs = {key: one.item.source for key, one in agent.hosting.running.items()}
            if runs != should:
                found.append(f"{name} runs {runs} and should run {should}")
        return found

    def converge(self) -> None:
        """Run until all is settled; Violation 6 where that takes too long."""
        began = self._sim.now
        if not self._sim.run(began + SETTLE_MS, stop=self._looked):
            raise Violation(6, f"not all apps are as they are wanted: {self.unsettled()[:3]}")

    def _looked(self) -> bool:
        return self.settled()


def _lacks(app: App) -> str:
    """What an app is short of, or has too much."""
    if app.wanted is not Wanted.RUNNING:
        return f"app {app.id} is {app.wanted} and there" if app.replicas or app.wanted is Wanted.REMOVED else ""
    live = app.release(app.live)
    if pending_of(app.releases) is not None:
        return "" if _waits_for_a_port(app) else f"app {app.id} has a release on its way out: {_text(app)}"
    if live is None:
        return f"app {app.id} has nothing live and runs" if app.replicas else ""
    there = {one.place for one in app.replicas if one.release == live.number and one.state is ReplicaState.HEALTHY}
    if there != set(places_of(live)) or len(app.replicas) != len(there):
        return "" if _waits_for_a_port(app) else f"app {app.id} lacks replicas or has too many: {_text(app)}"
    return ""


def _waits_for_a_port(app: App) -> bool:
    """Whether all nodes have given a port that it wants to another app."""
    reasons = [one.reason.message for one in app.replicas if one.reason is not None]
    return any("taken by another app" in reason for reason in reasons)


def _text(app: App) -> str:
    replicas = ", ".join(
        f"{one.process}.{one.index} r{one.release} g{one.generation} {one.node} {one.state}" for one in app.replicas
    )
    return f"live {app.live}, wake {app.wake_at}: {replicas}"
