"""What an app's source is and how it is run, told from the names of its files and the content of a few of them."""

from collections.abc import Mapping
from typing import Final

from anchor.core import node_source, python_source
from anchor.core.app import PROCESSES_MAX, RELEASE, WEB, AppConfig, Kind, Plan
from anchor.core.errors import InvalidRequest
from anchor.core.procfile import PROCFILE, processes_in

READ_BYTES_MAX: Final = 256 * 1024
"""A larger file is known by its name only."""
READ_TOTAL_BYTES_MAX: Final = 16 * 1024 * 1024
SITE_FOLDERS: Final = ("", "public", "dist", "build", "site", "_site", "docs")
"""Where a static site's index.html may lie."""
SERVED: Final = "serve"
"""What stands for the web process of a static site, which a server of ours is."""
APP_FILE: Final = "anchor-app.toml"
"""What clients read of a source before they send it: how the app wants to be run."""
_OTHERS: Final = {
    "go.mod": "Go",
    "Cargo.toml": "Rust",
    "Gemfile": "Ruby",
    "composer.json": "PHP",
    "pom.xml": "Java",
    "build.gradle": "Java",
    "mix.exs": "Elixir",
    "Dockerfile": "a container",
}
_SHOWN: Final = 8
_INDEX: Final = "index.html"

Files = Mapping[str, bytes | None]


def is_read(path: str) -> bool:
    """Whether detection wants to know what is in the file."""
    return path in (PROCFILE, APP_FILE) or node_source.is_read(path) or python_source.is_read(path)


def detected(files: Files, config: AppConfig) -> Plan:
    """How to run a source, given the paths of all its files and the content of those that `is_read` names.

    What the config says comes first, then a Procfile, then package.json, then Python's files, then an index.html.
    InvalidRequest (`not_an_app`, or what is wrong with one of its files) where it cannot be run.
    """
    given = _given(config)
    from_procfile = processes_in(files[PROCFILE] or b"") if PROCFILE in files else {}
    known = {**from_procfile, **given}
    kind = config.kind or _kind_of(files, known)
    if kind == "node":
        plan = node_source.plan(files, known, build=config.build or "")
    elif kind == "python":
        plan = python_source.plan(files, known, build=config.build or "")
    elif kind == "static":
        plan = _static(files, known, config.build or "")
    else:
        plan = Plan(kind="command", processes=known, build=config.build or "")
    _require_sound(plan, config)
    return plan


def _given(config: AppConfig) -> dict[str, str]:
    if config.command is not None and config.processes.get(WEB, config.command) != config.command:
        raise InvalidRequest(
            "The config names two commands for the process web.",
            hint="Leave out command, or web in processes.",
            code="invalid_request",
        )
    return {**config.processes, **({} if config.command is None else {WEB: config.command})}


def _kind_of(files: Files, known: Mapping[str, str]) -> Kind:
    """The language whose files there are; of two, the one that the known commands begin with."""
    is_node, is_python = node_source.is_one(files), python_source.is_one(files)
    programs = {command.split()[0] for command in known.values() if command.split()}
    if is_node and is_python:
        return "python" if programs & python_source.PROGRAMS else "node"
    if is_node:
        return "static" if not known and node_source.is_site(files, _site_in(files) is not None) else "node"
    if is_python:
        return "python"
    if known:
        if programs & node_source.PROGRAMS:
            return "node"
        return "python" if programs & python_source.PROGRAMS else "command"
    if python_source.has_main(files):
        return "python"
    if _site_in(files) is not None:
        return "static"
    raise _no_app(files)


def _static(files: Files, known: Mapping[str, str], build: str) -> Plan:
    others = {name: command for name, command in known.items() if name != WEB}
    processes = {WEB: SERVED, **others}
    site = _site_in(files)
    if node_source.is_one(files) and (build or node_source.has_build(files)):
        made = node_source.plan(files, {WEB: SERVED}, build=build)
        return Plan(
            kind="static",
            processes=processes,
            install=made.install,
            build=made.build,
            root=node_source.site_folder(files),
        )
    if site is None and not build:
        looked = ", ".join(f"{folder}/{_INDEX}" if folder else _INDEX for folder in SITE_FOLDERS)
        raise InvalidRequest(
            "The site has no index.html.", hint=f"Looked for {looked}. {_found(files)}", code="not_an_app"
        )
    return Plan(kind="static", processes=processes, build=build, root=site if site is not None else "dist")


def _site_in(files: Files) -> str | None:
    """The folder a site is served from, if there is an index.html where one is looked for."""
    return next((at for at in SITE_FOLDERS if (f"{at}/{_INDEX}" if at else _INDEX) in files), None)


def _require_sound(plan: Plan, config: AppConfig) -> None:
    running = [name for name in plan.processes if name != RELEASE]
    if not running:
        raise InvalidRequest(
            "The app has no process that keeps running.",
            hint=f"Name one in {PROCFILE} or in config.processes, such as web: node server.js.",
            code="not_an_app",
        )
    if len(plan.processes) > PROCESSES_MAX:
        raise InvalidRequest(
            f"The app has {len(plan.processes)} processes; at most {PROCESSES_MAX} are run.",
            hint="Leave some out, or deploy them as an app of their own.",
            code="too_many_processes",
        )
    if any("\0" in command for command in (*plan.processes.values(), plan.build)):
        raise InvalidRequest("A command of the app has a NUL in it.", hint="Write it without.", code="invalid_config")
    for name in config.scale:
        if name == RELEASE:
            raise InvalidRequest(
                "The process release runs once per release, so it cannot be scaled.",
                hint="Leave release out of scale, or call the process something else.",
                code="invalid_scale",
            )
        if name not in plan.processes:
            raise InvalidRequest(
                f"scale names the process {name}, which the app does not have.",
                hint=f"It has {', '.join(running)}.",
                code="invalid_scale",
            )


def _no_app(files: Files) -> InvalidRequest:
    foreign = next((language for name, language in _OTHERS.items() if name in files), "")
    if foreign:
        return InvalidRequest(
            f"This looks like an app in {foreign}, which is not built here.",
            hint=f"Build it first, and deploy the program with a {PROCFILE} that names it, such as web: ./server.",
            code="not_an_app",
        )
    return InvalidRequest(
        "This is no app that can be run: it has no Procfile, package.json, requirements.txt, pyproject.toml, main.py, "
        "app.py or index.html.",
        hint=f"{_found(files)} Add one of these, or say in config.command how it is started.",
        code="not_an_app",
    )


def _found(files: Files) -> str:
    if not files:
        return "Nothing was found in it."
    names = sorted({path.split("/", 1)[0] + ("/" if "/" in path else "") for path in files})
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Found {', '.join(ascii(name)[1:-1] for name in names[:_SHOWN])}{more}."
