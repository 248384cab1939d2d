"""Apps as the API shows them, and where they are reached."""

from typing import Any
from urllib.parse import urlsplit

from anchor.core.app import WEB, App, Release, Replica, ReplicaState, places_of
from anchor.core.ids import wire_id
from anchor.orchestrator.apps.view import state_of
from anchor.server.desk import Desk
from anchor.server.gate import LOOPBACK_HOSTS
from anchor.wire.apps import AppRow, AppView, ReleaseView, ReplicaView
from anchor.wire.rest import time_of


def row(app: App, desk: Desk) -> AppRow:
    """An app in a list."""
    return AppRow(**_row(app, desk))


def view(app: App, desk: Desk) -> AppView:
    """An app, whole."""
    newest = app.releases[-1]
    return AppView(
        **_row(app, desk),
        owner=app.owner,
        version=str(app.ver),
        port=newest.config.port,
        config=newest.config,
        env=sorted(newest.env),
        replicas=[_replica(app, one, _figure(app, one, desk)) for one in _in_order(app)],
        releases=[_release(one) for one in app.releases],
    )


def urls_of(app: App, desk: Desk) -> list[str]:
    """Where the web process of an app is reached, the address that works without further ado first; none where it has
    no web process."""
    if WEB not in {process for process, _ in places_of(app.releases[-1])}:
        return []
    by_path = f"{desk.url}/apps/{app.name}/"
    by_host = _by_host(app.name, desk)
    if by_host is None:
        return [by_path]
    known_to_work = desk.apps_domain or urlsplit(desk.url).hostname in LOOPBACK_HOSTS
    return [by_host, by_path] if known_to_work else [by_path, by_host]


def _by_host(name: str, desk: Desk) -> str | None:
    """The app's own host name; None where this server goes by a number, before which no name can stand."""
    here = urlsplit(desk.url)
    port = f":{here.port}" if here.port else ""
    if desk.apps_domain:
        return f"{here.scheme}://{name}.{desk.apps_domain}{port}/"
    host = here.hostname or ""
    if host in LOOPBACK_HOSTS:
        host = "localhost"
    elif ":" in host or host.replace(".", "").isdigit():
        return None
    return f"{here.scheme}://{name}.apps.{host}{port}/"


def _row(app: App, desk: Desk) -> dict[str, Any]:
    state, reason = state_of(app)
    release = app.release(app.live) or app.releases[-1]
    wanted = places_of(release)
    figures = [figure for one in app.replicas if (figure := _figure(app, one, desk)) is not None]
    healthy = {one.place for one in app.replicas if one.state is ReplicaState.HEALTHY}
    return {
        "id": wire_id("app", app.id),
        "name": app.name,
        "title": app.title,
        "state": state,
        "reason": reason,
        "urls": urls_of(app, desk),
        "live": app.live,
        "ready": sum(place in healthy for place in wanted),
        "wanted": len(wanted),
        "nodes": sorted({one.node for one in app.replicas if one.node}),
        "restarts": sum(one.restarts for one in app.replicas),
        "cpu": sum(cpu for cpu, _ in figures) if figures else None,
        "memory_mib": sum(memory for _, memory in figures) if figures else None,
        "created_at": time_of(app.created_at),
        "changed_at": time_of(app.changed_at or app.created_at),
    }


def _figure(app: App, one: Replica, desk: Desk) -> tuple[float, float] | None:
    """The cores and MiB that a replica used when its node last said so."""
    return desk.world.apps.figures.get(app.id, {}).get(one.generation)


def _in_order(app: App) -> list[Replica]:
    return sorted(app.replicas, key=lambda one: (one.process != WEB, one.process, one.index, one.generation))


def _replica(app: App, one: Replica, figures: tuple[float, float] | None) -> ReplicaView:
    release = app.release(one.release)
    port = release.config.port if release is not None and one.process == WEB else None
    serves = port is not None and one.state is ReplicaState.HEALTHY
    return ReplicaView(
        process=one.process,
        index=one.index,
        generation=one.generation,
        release=one.release,
        state=one.state,
        node_id=one.node or None,
        since=time_of(one.since),
        restarts=one.restarts,
        reason=one.reason,
        local_url=f"http://localhost:{port}/" if serves else None,
        cpu=figures[0] if figures is not None else None,
        memory_mib=figures[1] if figures is not None else None,
    )


def _release(release: Release) -> ReleaseView:
    return ReleaseView(
        number=release.number,
        state=release.state,
        source=f"sha256:{release.source}",
        config=release.config,
        plan=release.plan,
        env=sorted(release.env),
        created_at=time_of(release.created_at),
        by=release.by,
        of=release.of,
        reason=release.reason,
    )
