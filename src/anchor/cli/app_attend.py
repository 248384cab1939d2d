"""Staying with an app while something of it changes: its build and its replicas as they come, and how it ends."""

import time

import typer
from rich.status import Status

from anchor.cli import show
from anchor.cli.app_log_lines import drawn
from anchor.cli.app_show import in_short, name_of
from anchor.cli.exits import Exit
from anchor.cli.plain import plain
from anchor.cli.show import Output
from anchor.cli.talk import is_interactive, say, say_reason, stderr
from anchor.client import Client, apps
from anchor.client.deploys import UNDER_WAY, failure_of
from anchor.core.app import ReleaseState, ReplicaState
from anchor.core.errors import NotFound
from anchor.wire.apps import AppLine, AppView, ReplicaView

LOOK_SECONDS = 0.5
"""Between two looks at the log of an app that nothing else is heard of."""
NO_NODE_SECONDS = 30.0
"""How long it is waited for a node that fits, while nothing else is under way."""
_RUNNING = (ReplicaState.HEALTHY, ReplicaState.UNHEALTHY, ReplicaState.DRAINING)
_QUIET = (ReplicaState.DRAINING, ReplicaState.PLACED)


class Attending:
    """What is drawn and said meanwhile, all of it on standard error. Shown is the log of the release that is asked for,
    but for the replicas that run already: what they say is no news of the change."""

    def __init__(self, view: AppView) -> None:
        self._release = asked_for(view)
        self._old = frozenset(one.generation for one in view.replicas if one.state in _RUNNING)
        self._status: Status | None = None
        self._told: dict[tuple[str, int], str] = {}

    def view(self, view: AppView) -> None:
        """The app is like this now."""
        for one in view.replicas:
            is_old = one.generation in self._old and one.state == ReplicaState.HEALTHY
            if one.release == self._release and one.state not in _QUIET and not is_old:
                self._replica(one)
        if is_interactive():
            if self._status is None:
                self._status = stderr.status("…")
                self._status.start()
            healthy = sum(one.state == ReplicaState.HEALTHY for one in view.replicas if one.release == self._release)
            text = f"{view.name}: {view.state}, {healthy} of {view.wanted} replicas of release {self._release} healthy"
            self._status.update(plain(text))

    def line(self, line: AppLine) -> None:
        """A replica or its build printed this."""
        if line.release == self._release and line.generation not in self._old:
            for text in drawn(line):
                stderr.print(text, style="dim", soft_wrap=True)

    def clear(self) -> None:
        """Take the drawing away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _replica(self, one: ReplicaView) -> None:
        reason = one.reason if one.state != ReplicaState.HEALTHY else None
        text = one.state + (f" on {one.node_id}" if one.node_id else "") + (f": {in_short(reason)}" if reason else "")
        key = one.process, one.index
        if self._told.get(key) != text:
            self._told[key] = text
            say(f"{name_of(one)} is {text}", style="yellow" if reason else "")
            if reason is not None and reason.hint and one.state == ReplicaState.UNPLACED:
                say(f"Hint: {reason.hint}", style="dim")


def attend(client: Client, view: AppView, *, after: str = "", seconds: float) -> AppView | None:
    """Stay with an app until nothing of it is under way any more, or for so many seconds, or while no node fits for
    NO_NODE_SECONDS; how it is then, None where it is gone. `after` is the id of the last line of its log that is not
    news."""
    drawing = Attending(view)
    until = time.monotonic() + seconds
    moved_at = time.monotonic()
    seen = view
    try:
        while True:
            while lines := client.call(apps.logs(seen.id, after=after)):
                for line in lines:
                    drawing.line(line)
                after = lines[-1].id
                if len(lines) < apps.LOG_PAGE:
                    break
            drawing.view(seen)
            now = time.monotonic()
            if not _waits_for_a_node(seen):
                moved_at = now
            if seen.state not in UNDER_WAY or now > until or now > moved_at + NO_NODE_SECONDS:
                return seen
            seen = client.call(apps.app(seen.id, wait_seconds=LOOK_SECONDS, version=seen.version))
    except NotFound:
        return None
    finally:
        drawing.clear()


def _waits_for_a_node(view: AppView) -> bool:
    states = {one.state for one in view.replicas}
    return ReplicaState.UNPLACED in states and states <= {ReplicaState.UNPLACED, ReplicaState.HEALTHY}


def stay(client: Client, view: AppView, output: Output, *, after: str = "", seconds: float) -> None:
    """Stay with an app until what was asked for is done, and leave with the exit code for how it went."""
    number = asked_for(view)
    began = time.monotonic()
    try:
        seen = attend(client, view, after=after, seconds=seconds)
    except KeyboardInterrupt:
        say(f"Left. It goes on: `anchor app get {view.name}`")
        raise typer.Exit(Exit.INTERRUPTED) from None
    if seen is None:
        say(f"{view.name} was removed.")
        raise typer.Exit(Exit.NOT_FOUND)
    raise typer.Exit(report(seen, number, output, time.monotonic() - began))


def asked_for(view: AppView) -> int:
    """The number of the release that a change is about: the one on its way out, else the one that serves."""
    newest = view.releases[-1]
    return newest.number if newest.state == ReleaseState.PENDING or not view.live else view.live


def report(view: AppView, number: int, output: Output, waited_seconds: float) -> Exit:
    """Say how an app is after a change about release `number`, and where it is reached."""
    if output is Output.JSON:
        show.as_json(view)
    if view.state == "stopped":
        say(f"{view.name} is stopped.")
        return Exit.OK
    failed = failure_of(view, number)
    if failed is not None:
        say_reason(f"Release {number} failed", failed.reason)
        if view.live and view.live != number:
            say(f"Release {view.live} goes on serving.")
        say(f"More: `anchor app logs {view.name}`", style="dim")
        return Exit.TASK_FAILED
    if view.state in UNDER_WAY:
        say_reason(f"{view.name} is still {view.state} after {waited_seconds:.0f} s", view.reason)
        say(f"It goes on: `anchor app get {view.name}`", style="dim")
        return Exit.TIMED_OUT
    if view.state == "failed":
        say_reason(f"{view.name} failed", view.reason)
        return Exit.TASK_FAILED
    why = f": {in_short(view.reason)}" if view.reason else "."
    say(f"{view.name} is {view.state}: release {view.live}, {view.ready} of {view.wanted} replicas healthy{why}")
    if output is not Output.JSON:
        for url in view.urls:
            typer.echo(url)
    return Exit.OK
