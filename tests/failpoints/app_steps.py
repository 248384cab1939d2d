"""Steps of a tour that pass an app's life: releases that go out and that do not, replicas that come, move and go."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from tests.failpoints.tour import PATIENCE_SECONDS, Lost, Tour

from anchor.core.ids import key_of
from anchor.ports.store import LogChunk
from anchor.server.app_log import GENERATIONS_KEPT
from anchor.server.app_output import ORIGIN_SEQ, ORIGIN_STREAM, Origin
from anchor.wire.source_packing import packed_files

HOSTS = "hosts"
"""The label of the machine that apps run on."""
VARIABLE = "in no file and on no line"
FIRST_WORDS = "the first words of all"
View = dict[str, Any]


def host_apps(tour: Tour) -> None:
    """An app from its first release to its end, and one that stays."""
    tour.machine(HOSTS)
    tour.checks.add(check_apps)
    for left in tour.ask("GET", "/api/clusters").json():  # of an earlier try, acknowledged or not
        if left["name"] != "stays":
            remove(tour, left["id"])
    stays = _created(tour, "stays")
    until(tour, stays, runs(1))
    app = _created(tour, f"shop-{time.time_ns()}")
    until(tour, app, runs(1))
    if VARIABLE not in tour.ask("GET", f"/api/clusters/{app}/logs").text:
        raise Lost(f"{app} was not told its variable")
    change(tour, app, "deploy", content=packed_files(files("serve again")))
    until(tour, app, runs(2))
    change(tour, app, "releases", json={"files": files("breaks")})
    until(tour, app, lambda view: view["releases"][-1]["state"] == "failed" and runs(2)(view))
    change(tour, app, "scale", json={"web": 2})
    until(tour, app, lambda view: view["ready"] == 2)
    change(tour, app, "rollback", json={"release": 1})
    until(tour, app, lambda view: view["releases"][-1]["of"] == 1 and runs(view["releases"][-1]["number"])(view))
    for verb, state in (("restart", "running"), ("stop", "stopped"), ("start", "running")):
        change(tour, app, verb, json={})
        until(tour, app, lambda view, state=state: view["state"] == state and not is_moving(view))  # type: ignore[misc]
    remove(tour, app)


def use_time(tour: Tour) -> None:
    """An app whose time is counted."""
    tour.machine(HOSTS)
    tour.checks.add(check_apps)
    until(tour, _that_stays(tour), runs(1))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(row["name"] == "stays" for row in tour.ask("GET", "/api/usage?by=app").json()["rows"]):
        assert time.monotonic() < deadline, "nobody counts it"
        time.sleep(0.1)


def have_an_app(tour: Tour) -> None:
    """An app that waits for a machine."""
    tour.checks.add(check_apps)
    _created(tour, "stays")


def print_without_end(tour: Tour) -> None:
    """An app whose log is cut: it prints more than is kept."""
    tour.machine(HOSTS)
    tour.checks.add(check_apps)
    app = _created(tour, "prints", "prints")
    until(tour, app, runs(1))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while VARIABLE in tour.ask("GET", f"/api/clusters/{app}/logs").text:
        if time.monotonic() > deadline:
            raise Lost(f"the first lines of {app} are kept for ever")
        time.sleep(0.1)


def forget_old_logs(tour: Tour) -> None:
    """Retention takes what generations printed that are over for long."""
    tour.machine(HOSTS)
    tour.checks.add(check_apps)
    app = _that_stays(tour)
    until(tour, app, runs(1))
    tour.restart(meanwhile=lambda: asyncio.run(_leave_logs(tour, key_of("app", app))))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while FIRST_WORDS in tour.ask("GET", f"/api/clusters/{app}/logs").text:
        if time.monotonic() > deadline:
            raise Lost(f"the log of {app} is kept for ever")
        time.sleep(0.05)


async def _leave_logs(tour: Tour, app: int) -> None:
    """Of generations that nobody knows any more, one more than is kept."""
    async with tour.engines.store(tour.server.data) as store:
        for number in range(GENERATIONS_KEPT + 1):
            generation = 1000 + number
            origin = msgspec.json.encode(Origin("web", 0, 1, "")).decode()
            await store.append(
                [
                    LogChunk(app, generation, 1, 1, "stdout", f"{FIRST_WORDS if number == 0 else 'later'}\n"),
                    LogChunk(app, generation, ORIGIN_SEQ, 1, ORIGIN_STREAM, origin),
                ]
            )


def files(command: str) -> dict[str, str]:
    return {"Procfile": f"web: {command}\n"}


def runs(release: int) -> Callable[[View], bool]:
    """Whether this release of an app serves, whole, and nothing else is left of it."""
    return lambda view: (view["state"], view["live"]) == ("running", release) and not is_moving(view)


def is_moving(view: View) -> bool:
    return view["ready"] != len(view["replicas"])


def _that_stays(tour: Tour) -> str:
    """The app that every step leaves there. Retention may have forgotten the key it was asked for with."""
    return tour.apps.get("stays") or _created(tour, "stays")


def _created(tour: Tour, name: str, command: str = "serve") -> str:
    body = {
        "name": name,
        "type": "Web",
        "config": {"requirements": {"labels": [HOSTS]}, "drainSeconds": 0, "startSeconds": 5},
        "files": files(command),
        "env": {"SAID": VARIABLE},
    }
    answer = tour.ask("POST", "/api/clusters", json=body, headers={"Idempotency-Key": f"app {name}"})
    if answer.status_code != 201:
        raise Lost(f"{name} was refused: {answer.status_code} {answer.text}")
    app = str(answer.json()["id"])
    before = tour.apps.setdefault(name, app)
    if before != app:
        raise Lost(f"{name} was {before} first and is {app} now")
    return app


def change(tour: Tour, app: str, what: str, **body: Any) -> None:
    """Ask for something; it is acknowledged."""
    answer = tour.ask("POST", f"/api/clusters/{app}/{what}", **body)
    if answer.status_code not in (200, 201, 202):
        raise Lost(f"{what} was refused: {answer.status_code} {answer.text}")


def remove(tour: Tour, app: str) -> None:
    """Remove an app, and see it gone from the server and from the machine."""
    tour.apps = {name: known for name, known in tour.apps.items() if known != app}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while tour.ask("DELETE", f"/api/clusters/{app}").status_code != 404:
        if time.monotonic() > deadline:
            raise Lost(f"{app} does not go: {tour.ask('GET', f'/api/clusters/{app}').text}")
        time.sleep(0.02)
    replicas = tour.machine(HOSTS).replicas
    while replicas.generations(key_of("app", app)):
        if time.monotonic() > deadline:
            raise Lost(f"{app} is gone, and still runs")
        time.sleep(0.02)


def until(tour: Tour, app: str, holds: Callable[[View], bool]) -> View:
    """The app, as soon as something holds of it; of each place at most one generation is healthy meanwhile."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = tour.ask("GET", f"/api/clusters/{app}")
        if answer.status_code != 200:
            raise Lost(f"{app} was acknowledged and is absent: {answer.text}")
        view: View = answer.json()
        healthy = [one for one in view["replicas"] if one["state"] == "healthy"]
        if any(count > 1 for count in Counter((one["process"], one["index"]) for one in healthy).values()):
            raise Lost(f"two generations of one place are healthy: {healthy}")
        if holds(view):
            return view
        if time.monotonic() > deadline:
            raise Lost(f"{app} is stuck: {view}")
        time.sleep(0.02)


def check_apps(tour: Tour) -> None:
    """Every app that was acknowledged runs, and its machine runs of it what the server says, and nothing else."""
    if not tour.apps:
        return
    machine = tour.machine(HOSTS)
    for left in tour.ask("GET", "/api/clusters").json():
        if left["name"] != "stays":
            remove(tour, left["id"])
    for app in tour.apps.values():
        view = until(tour, app, lambda view: view["state"] == "running" and not is_moving(view))
        known = {one["generation"] for one in view["replicas"]}
        if machine.replicas.generations(key_of("app", app)) != known:
            raise Lost(f"{app} should run as {known}: {machine.replicas.generations(key_of('app', app))}")
