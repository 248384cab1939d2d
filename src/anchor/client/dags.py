"""The requests of the REST API about graphs, as values for `Client.call` and `AsyncClient.call`."""

import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec

from anchor.client import answers
from anchor.client.answers import Page
from anchor.client.calls import TIMEOUT_SECONDS, Call, get, post
from anchor.core.dag import Graph
from anchor.wire import dags

GraphLike = Graph | Mapping[str, Any]
"""A graph as a struct, or as the JSON object of the REST API."""
SCHEDULE_TIMEOUT_SECONDS = 300.0


def _of(run: str) -> str:
    return f"/api/dags/{urllib.parse.quote(run, safe='')}"


def schedule(graph: GraphLike) -> Call[dags.RunCreated]:
    """Run a graph."""
    call = post("/api/dags", answers.json_as(dags.RunCreated), msgspec.json.encode(graph))
    return msgspec.structs.replace(call, timeout_seconds=SCHEDULE_TIMEOUT_SECONDS)


def run(run_id: str, *, wait_seconds: float = 0, version: str = "", steps: int = 1000) -> Call[dags.RunView]:
    """One run, with its steps if there are at most `steps`; answered once it is another `version`, or after
    `wait_seconds`."""
    query: dict[str, object] = {"steps": steps}
    if wait_seconds > 0:
        query |= {"wait": f"{wait_seconds:g}", "version": version}
    call = get(_of(run_id), answers.json_as(dags.RunView), query)
    return msgspec.structs.replace(call, timeout_seconds=TIMEOUT_SECONDS + wait_seconds)


def runs(*, state: str = "", kind: str = "", limit: int = 100, cursor: str = "") -> Call[Page[dags.RunRow]]:
    """A page of runs, newest first."""
    query = {"state": state, "kind": kind, "limit": limit, "cursor": cursor}
    return get("/api/dags", answers.page_of(dags.RunRow), query)


def steps(run_id: str, *, state: str = "", limit: int = 100, cursor: str = "") -> Call[Page[dags.StepView]]:
    """A page of a run's steps, in the order submitted."""
    query = {"state": state, "limit": limit, "cursor": cursor}
    return get(f"{_of(run_id)}/steps", answers.page_of(dags.StepView), query)


def items(run_id: str, step: str, *, state: str = "", limit: int = 100, cursor: str = "") -> Call[Page[dags.ItemView]]:
    """A page of a parallel step's items, in order; `state` as in `wire.dags.ItemState`."""
    query = {"step": step, "state": state, "limit": limit, "cursor": cursor}
    return get(f"{_of(run_id)}/items", answers.page_of(dags.ItemView), query)


def item_counts(run_id: str, step: str) -> Call[dags.ItemCounts]:
    """How many items of a parallel step are in each state."""
    return get(f"{_of(run_id)}/items/counts", answers.json_as(dags.ItemCounts), {"step": step})


def graph(run_id: str, form: str) -> Call[bytes]:
    """The graph of a run: json as submitted, or a drawing as dot or mermaid."""
    return get(f"{_of(run_id)}/graph", answers.raw, {"format": form})


def cancel(run_id: str) -> Call[dags.RunRow]:
    """Ask for a run's end."""
    return post(f"{_of(run_id)}/cancel", answers.json_as(dags.RunRow))


def rerun(run_id: str, wish: dags.RerunRequest) -> Call[dags.RunCreated]:
    """Run a graph that is over again, as a new run."""
    call = post(f"{_of(run_id)}/rerun", answers.json_as(dags.RunCreated), msgspec.json.encode(wish))
    return msgspec.structs.replace(call, timeout_seconds=SCHEDULE_TIMEOUT_SECONDS)
