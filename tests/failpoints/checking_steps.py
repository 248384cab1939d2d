"""Steps of a tour that pass verification, its cases, and the lists of parallel steps."""

import asyncio
import signal
import time
from typing import Any

import msgspec
from msgspec.structs import replace
from tests.failpoints.steps import run_of, until_run_is
from tests.failpoints.tour import PATIENCE_SECONDS, Tour

from anchor.core.ids import STEP, key_of
from anchor.core.spec import Payload, Requirements, TaskSpec, need_of, shape_of
from anchor.core.task import State, queued, verified
from anchor.core.verification import Round, Verify

VOTERS = {"ada": False, "bob": False, "cyd": True}
"""Owners of a machine each, and whether it lies."""
TEXT = "z" * 60_000
"""Nearly what rests in a task's document."""


def verify_answers(tour: Tour) -> None:
    """A round with a liar in it, whose case is opened, run again and cleared; one that begins with one copy, and one
    that is cancelled."""
    case = _contradicted(tour)
    key = {"Idempotency-Key": "again"}
    again = tour.ask("POST", f"/api/verification/cases/{case}/rerun", json={}, headers=key)
    assert again.status_code == 201, again.text
    cleared = tour.ask("POST", f"/api/verification/cases/{case}/clear", json={})
    assert cleared.status_code in (200, 202), cleared.text
    _until(tour, _checked(tour, "adaptive", "adaptive", value=6), "succeeded", "inconclusive")
    unwanted = _checked(tour, "unwanted", "quorum", value=7, label="nowhere")
    answer = tour.ask("POST", f"/api/tasks/{unwanted}/cancel")
    assert answer.status_code == 202, answer.text
    _until(tour, unwanted, "cancelled")
    # Of three machines one is known to lie, so this one may wait for answers for ever.
    tour.ask("POST", f"/api/tasks/{again.json()['id']}/cancel")


def _contradicted(tour: Tour) -> str:
    """The case of a round in which the liar was heard: its answer may come too late to be counted."""
    for owner, lies in VOTERS.items():
        tour.machine(f"of {owner}", "votes", owner=owner, lies=lies)
    for number in range(20):
        task = _checked(tour, f"checked {number}", {"copies": 3, "agree": 2}, value=5)
        view = _until(tour, task, "succeeded")
        assert view["result"] == 5, view
        if case := view["verification"]["caseId"]:
            return str(case)
    raise AssertionError("the liar was never heard")


def forget_evidence(tour: Tour) -> None:
    """Retention takes cases and runs. What another step left behind may become a case after it has passed."""
    case = _contradicted(tour)
    run = run_of(tour, f"to be forgotten {time.time_ns()}", {"steps": [{"id": "nothing"}]})
    until_run_is(tour, run, "succeeded")
    tour.restart(how=signal.SIGKILL, evidence_days=1e-9, graph_retention_hours=1e-9)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for kept in (f"/api/dags/{run}", f"/api/verification/cases/{case}"):
        while (left := tour.ask("GET", kept)).status_code != 404:
            assert time.monotonic() < deadline, left.text
            time.sleep(0.02)
    tour.restart(how=signal.SIGKILL)


def find_rounds_without_copies(tour: Tour) -> None:
    """A server finds what another one left when it died: rounds whose copies were never written."""
    for owner, lies in VOTERS.items():
        tour.machine(f"of {owner}", "votes", owner=owner, lies=lies)
    late = _checked(tour, "late", "quorum", value=8, label="nowhere")
    first = key_of("task", late) + 1000 * STEP
    tour.disconnect()
    tour.restart(meanwhile=lambda: asyncio.run(_leave_heads_alone(tour, first)))
    tour.ask("POST", f"/api/tasks/{late}/cancel")
    _until(tour, late, "cancelled")


async def _leave_heads_alone(tour: Tour, first: int) -> None:
    async with tour.engines.store(tour.server.data) as store:
        payload = Payload(source_code="1", input=msgspec.Raw(b'{"do": "echo", "value": 9}'))
        spec = TaskSpec(name="alone", payload=payload, requirements=Requirements(labels=["votes"]), verify=Verify())
        for number, state in enumerate((State.VERIFYING, State.CANCELLING)):
            key = first + number * 10 * STEP
            now = int(time.time() * 1000)
            head = queued(key=key, owner="local", spec=spec, shape=shape_of(need_of(spec)), now=now)
            head = verified(head, Round(first=key + STEP, cap=3, asked=3))
            await store.insert([replace(head, state=state, wake_at=now)])


def run_a_tail_twice(tour: Tour) -> None:
    """The last item of a list takes long: it runs on a second machine as well. A list outlives its server."""
    slow, quick = tour.machine("slow", "tail", slots=1), tour.machine("quick", "tail", slots=1)
    quick.let_go = True
    quick.disconnect()
    values = [{"do": "hold", "value": 0}, *({"do": "echo", "value": value} for value in (1, 2, 3))]
    run = run_of(tour, "a tail", {"name": "a tail", "steps": [_list("tail", values)]})
    _until_held(tour, run)
    tour.restart()
    tour.machine("quick")
    until_run_is(tour, run, "succeeded")
    slow.let_go = True


def _until_held(tour: Tour, run: str) -> None:
    """Wait until the first item is the slow machine's, or the run is over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while tour.ask("GET", f"/api/dags/{run}").json()["state"] == "running":
        tasks = tour.ask("GET", "/api/tasks?limit=1000").json()
        if any(task["name"] == "wide [0]" and task["state"] in ("leased", "running") for task in tasks):
            return
        assert time.monotonic() < deadline, tasks
        time.sleep(0.02)


def gather_much(tour: Tour) -> None:
    """A step gets more from those before it than is held in memory at once."""
    tour.machine("main")
    more = {"requirements": {"labels": ["main"]}, "retry": {"attempts": 50, "backoffSeconds": 0.05}}
    names = [f"pass {number}" for number in range(150)]
    steps = [
        {"id": "one", "type": "noop", "payload": {"input": {"do": "echo", "value": TEXT}}, **more},
        *({"id": name, "dependencies": ["one"]} for name in names),
        {**_list("main", [{"do": "echo", "value": 1}]), "dependencies": names},
    ]
    run = run_of(tour, "much", {"name": "much", "steps": steps})
    until_run_is(tour, run, "succeeded")


def be_measured(tour: Tour) -> None:
    """An idle machine shows how fast it works."""
    tour.machine("main")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(node["speed"] for node in tour.ask("GET", "/api/nodes").json()):
        assert time.monotonic() < deadline, "nobody was measured"
        time.sleep(0.05)


def _list(label: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "wide",
        "type": "parallel",
        "items": values,
        "payload": {"sourceCode": "1"},
        "requirements": {"labels": [label]},
        "retry": {"attempts": 50, "backoffSeconds": 0.05},
    }


def _checked(tour: Tour, key: str, verify: object, *, value: int, label: str = "votes") -> str:
    body = {
        "name": "checked",
        "payload": {"sourceCode": "1", "input": {"do": "echo", "value": value}},
        "requirements": {"labels": [label]},
        "retry": {"attempts": 50, "backoffSeconds": 0.05},
        "verify": verify,
    }
    answer = tour.ask("POST", "/api/tasks", json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _until(tour: Tour, task: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (view := tour.ask("GET", f"/api/tasks/{task}").json())["state"] not in states:
        assert time.monotonic() < deadline, (view, tour.ask("GET", f"/api/tasks/{task}/why").json())
        time.sleep(0.02)
    found: dict[str, Any] = view
    return found
