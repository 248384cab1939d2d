"""One app on a terminal, whole: where it is, what runs of it, its releases."""

from collections.abc import Sequence

from rich.text import Text

from anchor.cli import show
from anchor.cli.app_states import marked
from anchor.core.app import ReplicaState
from anchor.core.attempt import Reason
from anchor.wire.apps import AppRow, AppView, ReleaseView, ReplicaView

OVERVIEW = ("NAME", "STATE", "READY", "RELEASE", "ADDRESS", "AGE", "WHY")
_REPLICAS = ("REPLICA", "STATE", "NODE", "RELEASE", "FOR", "RESTARTS", "CPU", "MEMORY", "WHY")
_RELEASES = ("RELEASE", "STATE", "AGE", "BY", "WHY")


def show_apps(rows: Sequence[AppRow]) -> None:
    """A line an app."""
    show.as_table(
        OVERVIEW,
        (
            (
                row.name,
                marked(row.state),
                f"{row.ready}/{row.wanted}",
                str(row.live or ""),
                row.urls[0] if row.urls else "",
                show.age(row.created_at),
                in_short(row.reason),
            )
            for row in rows
        ),
    )


def show_app(view: AppView) -> None:
    """An app, whole."""
    newest = view.releases[-1]
    local = sorted({f"{one.local_url} on {one.node_id}" for one in view.replicas if one.local_url and one.node_id})
    config = view.config
    show.as_facts(
        [
            ("Name", view.name),
            ("Title", view.title if view.title != view.name else ""),
            ("State", marked(view.state)),
            ("Why", view.reason.message if view.reason else ""),
            ("Hint", view.reason.hint if view.reason else ""),
            *(("Address", url) for url in view.urls),
            *(("Locally", place) for place in local),
            ("Release", f"{view.live} is live" if view.live else "none is live"),
            *(
                (f"Runs {name}" if len(name) < 8 else name, command)
                for name, command in sorted(newest.plan.processes.items())
            ),
            ("A replica", f"up to {config.ram} of RAM, cores: {config.cpu:g}, {config.disk} of disk"),
            ("Health", f"GET {config.health_path}" if config.health_path else ""),
            ("Network", "outwards" if config.network else "none, nothing outside is reached (--network asks for it)"),
            ("Variables", ", ".join(view.env)),
            ("Owner", view.owner),
            ("Id", view.id),
        ]
    )
    if view.replicas:
        show.as_table(_REPLICAS, (_replica(one) for one in sorted(view.replicas, key=_place)))
    show.as_table(_RELEASES, (_release(one) for one in reversed(view.releases)))


def name_of(replica: ReplicaView) -> str:
    """How a replica is called: `web.0`."""
    return f"{replica.process}.{replica.index}"


def in_short(reason: Reason | None) -> str:
    """The first line of why something is as it is: what a program printed last stands below that."""
    first, more, _ = reason.message.partition("\n") if reason else ("", "", "")
    return f"{first.rstrip(':')} …" if more else first


def _place(replica: ReplicaView) -> tuple[str, int, int]:
    return replica.process, replica.index, replica.generation


def _replica(one: ReplicaView) -> tuple[str | Text, ...]:
    return (
        name_of(one),
        marked(one.state),
        one.node_id or "",
        str(one.release),
        show.age(one.since),
        str(one.restarts or ""),
        "" if one.cpu is None else f"{one.cpu:.2f}",
        "" if one.memory_mib is None else f"{one.memory_mib:.0f} MiB",
        in_short(one.reason) if one.state != ReplicaState.HEALTHY else "",
    )


def _release(one: ReleaseView) -> tuple[str | Text, ...]:
    why = in_short(one.reason) or (f"repeats {one.of}" if one.of else "")
    return (str(one.number), marked(one.state), show.age(one.created_at), one.by, why)
