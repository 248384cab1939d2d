"""The requests of the REST API about apps, as values for `Client.call` and `AsyncClient.call`."""

import urllib.parse
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from anchor.client import answers
from anchor.client.answers import Page
from anchor.client.calls import TIMEOUT_SECONDS, Call, get, post
from anchor.wire.apps import AppLine, AppRow, AppView

AppVerb = Literal["restart", "stop", "start"]
Variables = Mapping[str, str | None]
"""Variables by name; None takes one away."""
LOG_PAGE = 1000


def path_of(app: str) -> str:
    """Where an app is, by name or id."""
    return f"/api/clusters/{urllib.parse.quote(app, safe='')}"


def apps(*, limit: int = 100, cursor: str = "") -> Call[Page[AppRow]]:
    """A page of apps, newest first."""
    return get("/api/clusters", answers.page_of(AppRow), {"limit": limit, "cursor": cursor})


def app(name: str, *, wait_seconds: float = 0, version: str = "") -> Call[AppView]:
    """One app by name or id; answered once it is another `version`, or after `wait_seconds`."""
    query = {"wait": f"{wait_seconds:g}", "version": version} if wait_seconds > 0 else {}
    call = get(path_of(name), answers.json_as(AppView), query)
    return msgspec.structs.replace(call, timeout_seconds=TIMEOUT_SECONDS + wait_seconds)


def create(name: str, source: str, config: Mapping[str, Any], env: Variables) -> Call[AppView]:
    """A new app of the archive that is the blob `source` (`sha256:…`)."""
    body = {"name": name, "type": "Web", "source": source, "config": config, "env": env}
    return post("/api/clusters", answers.json_as(AppView), msgspec.json.encode(body))


def release(name: str, source: str, config: Mapping[str, Any] | None, env: Variables) -> Call[AppView]:
    """A new release; without a `config` that of the newest one, and its variables but for those named."""
    body = {"source": source, "env": env} | ({} if config is None else {"config": config})
    return post(f"{path_of(name)}/releases", answers.json_as(AppView), msgspec.json.encode(body))


def scale(name: str, replicas: Mapping[str, int]) -> Call[AppView]:
    """Other numbers of replicas, by process."""
    return post(f"{path_of(name)}/scale", answers.json_as(AppView), msgspec.json.encode(replicas))


def rollback(name: str, release: int | None) -> Call[AppView]:
    """A new release that repeats an earlier one: the last that was live, or the one of this number."""
    body = msgspec.json.encode({} if release is None else {"release": release})
    return post(f"{path_of(name)}/rollback", answers.json_as(AppView), body)


def act(name: str, verb: AppVerb) -> Call[AppView]:
    """Restart, stop or start an app."""
    return post(f"{path_of(name)}/{verb}", answers.json_as(AppView))


def remove(name: str) -> Call[None]:
    """Stop an app and forget it."""
    return Call(method="DELETE", path=path_of(name), read=answers.nothing, repeatable=False)


def env(name: str) -> Call[list[str]]:
    """The names of an app's variables; their values are shown to nobody."""
    return get(f"{path_of(name)}/env", answers.json_as(list[str]))


def set_env(name: str, variables: Variables) -> Call[AppView]:
    """Other variables, in a new release."""
    return Call(
        method="PUT",
        path=f"{path_of(name)}/env",
        read=answers.json_as(AppView),
        body=msgspec.json.encode(variables),
        headers={"Content-Type": "application/json"},
    )


def logs(name: str, *, process: str = "", after: str = "", tail: int | None = None) -> Call[list[AppLine]]:
    """What an app's replicas printed, by time: up to LOG_PAGE pieces behind `after`, or the last `tail` lines."""
    query = {"process": process, "after": after, "tail": tail, "limit": LOG_PAGE}
    return get(f"{path_of(name)}/logs", answers.json_as(list[AppLine]), query)


def follow(name: str, last_event_id: str, *, process: str = "", tail: int | None = None) -> Call[None]:
    """The stream of what an app's replicas print, from the given event on."""
    headers = {"Accept": "text/event-stream"}
    query = {"follow": "1"} | ({"process": process} if process else {})
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    elif tail is not None:
        query["tail"] = str(tail)
    return Call(method="GET", path=f"{path_of(name)}/logs", read=answers.nothing, query=query, headers=headers)
