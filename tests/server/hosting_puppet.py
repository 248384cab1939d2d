"""A machine of the tests that says it hosts apps, and small sources to deploy to it."""

import time
from collections.abc import Callable
from typing import Any, Final

from puppet import Puppet, Session
from served import Served

from anchor.wire.link import HostItem

SPEC: Final = {"name": "My Web App", "type": "Web", "config": {"port": 8080, "ram": "2048MB", "cpu": 2}}
"""The specification's own request."""
SITE: Final = {"index.html": "<h1>hello</h1>"}
PATIENCE_SECONDS: Final = 20.0


class HostingPuppet(Puppet):
    """A puppet with room for apps."""

    def __init__(self, server: Served, **profile: Any) -> None:
        super().__init__(server, features=("apps",), task_memory_mib=8192, **profile)

    def host_all(self, session: Session, count: int = 1, **more: Any) -> list[HostItem]:
        """Run what it is told to, once that is so many replicas, and say that they are healthy."""
        items = session.hosts(count)
        session.says(*items, **more)
        return items


def create(server: Served, name: str, *, files: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """A static site of this name; the app as it is then."""
    answer = server.client.post("/api/clusters", json={"name": name, "files": files or SITE, **fields})
    assert answer.status_code == 201, answer.text
    app: dict[str, Any] = answer.json()
    return app


def app_of(server: Served, name: str) -> dict[str, Any]:
    """One app, whole."""
    answer = server.client.get(f"/api/clusters/{name}")
    assert answer.status_code == 200, answer.text
    app: dict[str, Any] = answer.json()
    return app


def until(server: Served, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The app once this holds of it."""
    end = time.monotonic() + PATIENCE_SECONDS
    app = app_of(server, name)
    while not holds(app):
        left = end - time.monotonic()
        assert left > 0, app
        app = server.client.get(
            f"/api/clusters/{name}", params={"wait": min(left, 5), "version": app["version"]}
        ).json()
    return app


def remove_all(server: Served, session: Session) -> None:
    """Have all apps removed; their node has let go of everything."""
    end = time.monotonic() + PATIENCE_SECONDS
    while apps := server.client.get("/api/clusters").json():
        assert time.monotonic() < end, apps
        for app in apps:
            if app["state"] != "removing":
                server.client.delete(f"/api/clusters/{app['id']}")
        session.says()
        time.sleep(0.02)
