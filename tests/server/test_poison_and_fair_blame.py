"""Work that takes every machine down is to blame itself: of twenty machines that it met, all stay in service."""

import time
from pathlib import Path
from typing import Any

from puppet import PATIENCE_SECONDS, Puppet, Session
from served import Served

from anchor.core.attempt import Ending, Outcome, Reason
from anchor.core.errors import FailureCode
from anchor.core.task import POISON_NODES

NODES = 20
GROUPS = -(-NODES // POISON_NODES)
POISON = {"type": "script", "payload": {"sourceCode": "for (;;);"}, "retry": {"attempts": 50, "backoffSeconds": 0}}
DOWN = Reason(FailureCode.AGENT_RESTARTED, "The agent was restarted while this ran.")


def test_a_poison_task_over_twenty_machines_takes_none_of_them_out_of_service(tmp_path: Path) -> None:
    server = Served(tmp_path, lease_seconds=3600)
    server.start()
    try:
        machines = Machines(server)
        for group in range(GROUPS):
            task = server.submit(**POISON, requirements={"labels": [f"group {group}"]})
            attempt = 1
            while (view := machines.until_leased_or_over(task, attempt))["state"] != "failed":
                machines.die_of(view)
                attempt += 1
            assert view["reason"]["code"] == "poison", str(view["attempts"])
            assert len({attempt["nodeId"] for attempt in view["attempts"]}) == POISON_NODES
        nodes = machines.until_all_is_counted()
        assert {node["status"] for node in nodes} == {"online"}
        assert machines.taken_down == {node["nodeId"] for node in nodes}
        machines.close()
    finally:
        server.end()


class Machines:
    """Twenty machines, each of which dies of what it is given and comes back to tell."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._sessions: dict[str, Session] = {}
        for number in range(NODES):
            # The last group is filled up with machines of the one before.
            groups = {number // POISON_NODES} | ({GROUPS - 1} if number >= NODES - POISON_NODES else set())
            puppet = Puppet(server, slots=1, labels=tuple(f"group {group}" for group in groups))
            self._sessions[puppet.node] = puppet.connect()
        self.taken_down: set[str] = set()
        self.deaths = 0

    def until_leased_or_over(self, task: str, attempt: int) -> dict[str, Any]:
        """The task as soon as this attempt is some machine's, or as it ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (view := self._server.task(task))["state"] != "failed" and view["attempt"] < attempt:
            assert time.monotonic() < deadline, view
            time.sleep(0.01)
        return view

    def die_of(self, view: dict[str, Any]) -> None:
        """The machine that has this task dies, comes back, and says so."""
        node = view["nodeId"]
        session = self._sessions[node]
        [item] = session.assigned()
        session.close()
        self._sessions[node] = session = session.puppet.connect(held=[(item.task, item.attempt)])
        session.report([Ending(item.task, item.attempt, Outcome.CRASHED, reason=DOWN)])
        self.taken_down.add(node)
        self.deaths += 1

    def until_all_is_counted(self) -> list[dict[str, Any]]:
        """The nodes, once every death is counted: that is written down behind the end of its task."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            nodes: list[dict[str, Any]] = self._server.client.get("/api/nodes").json()
            counted = sum(node["faults"].get("node", 0) for node in nodes)
            if counted == self.deaths:
                return nodes
            assert time.monotonic() < deadline, f"{counted} of {self.deaths} deaths are counted"
            time.sleep(0.02)

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
