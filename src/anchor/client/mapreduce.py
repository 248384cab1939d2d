"""The requests of the REST API about map-reduce jobs, as values for `Client.call` and `AsyncClient.call`."""

import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec

from anchor.client import answers
from anchor.client.calls import TIMEOUT_SECONDS, Call, get, post
from anchor.core.mapreduce import MapReduce
from anchor.wire.dags import RunCreated
from anchor.wire.mapreduce import JobView

JobLike = MapReduce | Mapping[str, Any]
"""A job as a struct, or as the JSON object of the REST API."""
START_TIMEOUT_SECONDS = 300.0


def start(job: JobLike) -> Call[RunCreated]:
    """Run a map-reduce job."""
    call = post("/api/mapreduce", answers.json_as(RunCreated), msgspec.json.encode(job))
    return msgspec.structs.replace(call, timeout_seconds=START_TIMEOUT_SECONDS)


def job(run_id: str, *, wait_seconds: float = 0, version: str = "") -> Call[JobView]:
    """One job; answered once it is another `version`, or after `wait_seconds`."""
    query: dict[str, object] = {}
    if wait_seconds > 0:
        query = {"wait": f"{wait_seconds:g}", "version": version}
    path = f"/api/mapreduce/{urllib.parse.quote(run_id, safe='')}"
    call = get(path, answers.json_as(JobView), query)
    return msgspec.structs.replace(call, timeout_seconds=TIMEOUT_SECONDS + wait_seconds)
