"""`anchor app`: deploy apps, look at them and their logs, scale, restart, roll back, stop and remove them."""

import difflib
import itertools
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from anchor.cli import show
from anchor.cli.app_attend import stay
from anchor.cli.app_deploy import deploy
from anchor.cli.app_log_lines import write
from anchor.cli.app_options import DETACH_HELP, TIMEOUT_HELP, TIMEOUT_SECONDS, replicas_of, variables_of
from anchor.cli.app_show import show_app, show_apps
from anchor.cli.exits import Exit, Usage
from anchor.cli.options import LONG_PATIENCE_SECONDS, Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import is_interactive, say
from anchor.client import Client, apps
from anchor.client.apps import Variables
from anchor.core.app_names import app_name_of
from anchor.core.errors import InvalidRequest, NotFound
from anchor.wire.apps import AppView

WATCH_SECONDS = 20.0
PAUSE_SECONDS = 0.2
LOOKED_AT = 1000

EXITS = "Exit codes: 0 it is as asked, 1 it failed, 3 there is no such app, 8 it takes longer than --timeout."

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Deploy apps, look at them and their logs, scale, restart, roll back, stop and remove them.",
)
app.command("deploy", epilog="Exit codes: 0 it is live, 1 the release failed, 6 DIR is no app, 8 it takes too long.")(
    deploy
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="An app's name, as `anchor app ls` shows it.")]
Detach = Annotated[bool, typer.Option("--detach", "--no-wait", "-d", help=DETACH_HELP)]
Timeout = Annotated[float, typer.Option(min=1, metavar="SECONDS", help=TIMEOUT_HELP)]


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List apps, newest first."""
    with connect(url, token) as client:
        rows = list(itertools.islice(client.apps(page_size=min(limit, 1000)), limit))
    if output is Output.JSON:
        return show.as_json(rows)
    if not rows:
        return say("No apps. Deploy one with `anchor app deploy DIR`.")
    return show_apps(rows)


@app.command("get")
def get(
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again whenever it changes.")] = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Show one app: its addresses, what runs of it and where, its releases."""
    with _asking(url, token, name, patient=watch) as client:
        view = client.app(name)
        _show(view, output)
        try:
            while watch:
                version = view.version
                view = client.call(apps.app(view.id, wait_seconds=WATCH_SECONDS, version=version))
                if view.version != version:
                    _show(view, output, again=True)
                    time.sleep(PAUSE_SECONDS)
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None


@app.command("logs")
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is printed, until Ctrl-C.")] = False,
    process: Annotated[str, typer.Option(help="Only what this process prints: web, worker.", show_default=False)] = "",
    tail: Annotated[int | None, typer.Option(min=0, help="Only so many lines of what there is.")] = None,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Print what an app's replicas and builds printed, in order of time, each line with its replica."""
    with _asking(url, token, name, patient=follow) as client:
        if not follow:
            lines = client.app_logs(name, process=process, tail=tail)
            if output is Output.JSON:
                return show.as_json(lines)
            return write(lines)
        try:
            for line in client.follow_app(name, process=process, tail=tail):
                if output is Output.JSON:
                    show.as_line(line)
                else:
                    write([line])
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
    return None


@app.command("scale", epilog=EXITS)
def scale(
    name: Name,
    replicas: Annotated[list[str], typer.Argument(metavar="PROCESS=N...", help="As in web=3; 3 alone means web=3.")],
    detach: Detach = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Run more replicas of a process, or fewer."""
    wanted = replicas_of(replicas)
    _change(name, lambda client: client.call(apps.scale(name, wanted)), url, token, output, detach, timeout)


@app.command("restart", epilog=EXITS)
def restart(
    name: Name,
    detach: Detach = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Start every replica anew, one after the other, so that the app stays up."""
    _change(name, lambda client: client.act_on_app(name, "restart"), url, token, output, detach, timeout)


@app.command("rollback", epilog=EXITS)
def rollback(
    name: Name,
    release: Annotated[
        int | None, typer.Argument(min=1, help="A release's number.", show_default="the one before")
    ] = None,
    detach: Detach = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Go back to an earlier release: its source, config and variables, as a new release."""
    _change(name, lambda client: client.roll_back_app(name, release), url, token, output, detach, timeout)


@app.command("stop", epilog=EXITS)
def stop(
    name: Name,
    detach: Detach = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Stop an app, which keeps its name, its releases and its variables."""
    _change(name, lambda client: client.act_on_app(name, "stop"), url, token, output, detach, timeout)


@app.command("start", epilog=EXITS)
def start(
    name: Name,
    detach: Detach = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Start an app that was stopped."""
    _change(name, lambda client: client.act_on_app(name, "start"), url, token, output, detach, timeout)


@app.command("rm")
def rm(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Stop an app and forget it: its releases, its variables, its log."""
    with _asking(url, token, name) as client:
        view = client.app(name)
        if not yes:
            if not (is_interactive() and sys.stdin.isatty()):
                raise Usage(f"Nobody is there to be asked about {view.name}.", hint="Say so: --yes.")
            typer.confirm(f"Remove {view.name} with its {len(view.releases)} releases?", abort=True, err=True)
        client.remove_app(view.id)
    say(f"{view.name} is being removed.")


@app.command("env", epilog=EXITS)
def env(
    name: Name,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="ls, set or unset.")] = "ls",
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Variables; of `unset` their names.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--env-file", help="Set those of a file of lines KEY=VALUE; - is standard input.")
    ] = None,
    detach: Detach = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List the names of an app's variables, or change them, which makes a new release. No value is ever shown."""
    if action == "ls" and not words and file is None:
        with _asking(url, token, name) as client:
            names = client.app_env(name)
        if output is Output.JSON:
            return show.as_json(names)
        return say("No variables.") if not names else typer.echo("\n".join(names))
    changes = _changes(action, words or [], file)
    return _change(name, lambda client: client.set_app_env(name, changes), url, token, output, detach, timeout)


@app.command("open")
def open_(
    name: Name,
    browser: Annotated[bool, typer.Option("--browser", "-b", help="Show it in a browser.")] = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Print where an app is reached."""
    with _asking(url, token, name) as client:
        view = client.app(name)
    if output is Output.JSON:
        return show.as_json(view.urls)
    if not view.urls:
        raise NotFound(f"{view.name} has no web process, and so no address.", hint=f"`anchor app logs {view.name}`")
    typer.echo(view.urls[0])
    if browser:
        webbrowser.open(view.urls[0])
    return None


def _changes(action: str, words: list[str], file: str | None) -> Variables:
    if action == "set" and (words or file is not None):
        return variables_of(words, file)
    if action == "unset" and words and file is None:
        return dict.fromkeys(words)
    raise Usage(
        f"`env {action}` says nothing that can be done.",
        hint="Write `env NAME`, `env NAME set KEY=VALUE…`, `env NAME set --env-file FILE` or `env NAME unset KEY…`.",
    )


def _show(view: AppView, output: Output, *, again: bool = False) -> None:
    if output is Output.JSON:
        return show.as_line(view) if again else show.as_json(view)
    if again and sys.stdout.isatty():
        show.clear()
    return show_app(view)


def _near(name: str, names: list[str]) -> list[str]:
    """The name that may have been meant, also by somebody who says an app's title."""
    try:
        return difflib.get_close_matches(app_name_of(name), names, n=1)
    except InvalidRequest:
        return []


@contextmanager
def _asking(url: str | None, token: str | None, name: str, *, patient: bool = False) -> Iterator[Client]:
    """A client for questions about one app; where there is none of this name, what may have been meant is said."""
    with connect(url, token, **({"patience_seconds": LONG_PATIENCE_SECONDS} if patient else {})) as client:
        try:
            yield client
        except NotFound as error:
            names = [row.name for row in itertools.islice(client.apps(page_size=LOOKED_AT), LOOKED_AT)]
            if name not in names and (close := _near(name, names)):
                error.hint = f"Did you mean {close[0]!r}? {error.hint}".rstrip()
            raise


def _change(
    name: str,
    do: Callable[[Client], AppView],
    url: str | None,
    token: str | None,
    output: Output,
    detach: bool,
    seconds: float,
) -> None:
    """Change an app and stay with it until that is done."""
    with _asking(url, token, name, patient=not detach) as client:
        last = client.app_logs(name, tail=1)
        view = do(client)
        if not detach:
            stay(client, view, output, after=last[-1].id if last else "", seconds=seconds)
        elif output is Output.JSON:
            show.as_json(view)
        else:
            say(f"{view.name} is {view.state}: `anchor app get {view.name} --watch`")
