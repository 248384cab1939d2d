"""Every request of the REST API as a value: what to send, and how to read what comes back."""

import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from anchor.client import answers
from anchor.client.answers import Answer, Page
from anchor.client.sources import Body, Source, source_of
from anchor.core.spec import TASKS_PER_REQUEST_MAX, TaskSpec
from anchor.wire import rest

T = TypeVar("T")
TaskLike = TaskSpec | Mapping[str, Any]
"""A task as a struct, or as the JSON object of the REST API."""

NodeAction = Literal["drain", "resume", "block"]

BULK_BYTES_MAX = 4 * 1024 * 1024
"""Tasks are sent in requests of about this size."""
LOG_PAGE = 1000
BLOB_TIMEOUT_SECONDS = 600.0
TIMEOUT_SECONDS = 30.0


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request. With `repeatable`, sending it twice does no more than sending it once. `also` are statuses beside
    those of success that `read` understands."""

    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, str] = {}
    body: bytes | Body = b""
    headers: Mapping[str, str] = {}
    repeatable: bool = True
    timeout_seconds: float = TIMEOUT_SECONDS
    also: frozenset[int] = frozenset()


def get(path: str, read: Callable[[Answer], T], query: Mapping[str, object] | None = None) -> Call[T]:
    """A request that reads; what of its query is None or empty is left out."""
    words = {name: str(value) for name, value in (query or {}).items() if value not in (None, "")}
    return Call(method="GET", path=path, read=read, query=words)


def post(path: str, read: Callable[[Answer], T], body: bytes = b"", *, repeatable: bool = True) -> Call[T]:
    """A request that does something, once however often it is sent; `body` is JSON."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    if body:
        headers["Content-Type"] = "application/json"
    return Call(method="POST", path=path, read=read, body=body, headers=headers, repeatable=repeatable)


def _of(task: str) -> str:
    return f"/api/tasks/{urllib.parse.quote(task, safe='')}"


def submit(task: TaskLike) -> Call[rest.Created]:
    """Submit one task."""
    return post("/api/tasks", answers.json_as(rest.Created), msgspec.json.encode(task))


def submit_many(tasks: Iterable[TaskLike]) -> Iterator[Call[list[rest.Created]]]:
    """Submit any number of tasks, in as few requests as the limits allow."""
    batch: list[bytes] = []
    size = 0
    for task in tasks:
        text = msgspec.json.encode(task)
        if batch and (len(batch) == TASKS_PER_REQUEST_MAX or size + len(text) > BULK_BYTES_MAX):
            yield _bulk(batch)
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield _bulk(batch)


def _bulk(texts: list[bytes]) -> Call[list[rest.Created]]:
    return post("/api/tasks", answers.json_as(list[rest.Created]), b"[" + b",".join(texts) + b"]")


def task(task_id: str) -> Call[rest.TaskView]:
    """One task, whole."""
    return get(_of(task_id), answers.json_as(rest.TaskView))


def tasks(words: Mapping[str, str], *, limit: int, cursor: str) -> Call[Page[rest.TaskRow]]:
    """A page of the tasks that fit all of the words that are not empty, newest first."""
    return get("/api/tasks", answers.page_of(rest.TaskRow), {**words, "limit": limit, "cursor": cursor})


def results(task_ids: Sequence[str], *, at_least: int, wait_seconds: float) -> Call[list[rest.TaskResult]]:
    """The results of those of up to 1,000 tasks that are over, as soon as `at_least` are or the time is up."""
    body = msgspec.json.encode({"ids": task_ids, "atLeast": at_least, "wait": wait_seconds})
    return Call(
        method="POST",
        path="/api/tasks/results",
        read=answers.json_as(list[rest.TaskResult]),
        body=body,
        headers={"Content-Type": "application/json"},
        timeout_seconds=TIMEOUT_SECONDS + wait_seconds,
    )


def logs(task_id: str, *, after: str = "") -> Call[list[rest.LogLine]]:
    """What a task printed after the given piece, up to LOG_PAGE pieces."""
    return get(f"{_of(task_id)}/logs", answers.json_as(list[rest.LogLine]), {"after": after, "limit": LOG_PAGE})


def follow(task_id: str, last_event_id: str) -> Call[None]:
    """The stream of what a task prints from the given event on."""
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    path = f"{_of(task_id)}/logs"
    return Call(method="GET", path=path, read=answers.nothing, query={"follow": "1"}, headers=headers)


def result(task_id: str, *, wait_seconds: float = 0) -> Call[rest.TaskResult]:
    """What came of a task, answered once it is over or after `wait_seconds`."""
    query = {"wait": f"{wait_seconds:g}"} if wait_seconds > 0 else {}
    call = get(f"{_of(task_id)}/result", answers.json_as(rest.TaskResult), query)
    return msgspec.structs.replace(call, timeout_seconds=TIMEOUT_SECONDS + wait_seconds)


def cancel(task_id: str) -> Call[rest.TaskView]:
    """Ask for a task's end."""
    return post(f"{_of(task_id)}/cancel", answers.json_as(rest.TaskView))


def retry(task_id: str) -> Call[rest.Created]:
    """Submit a task that is over again, as a new one."""
    return post(f"{_of(task_id)}/retry", answers.json_as(rest.Created))


def why(task_id: str) -> Call[Any]:
    """Why a task is where it is."""
    return get(f"{_of(task_id)}/why", answers.anything)


def nodes() -> Call[list[rest.NodeView]]:
    """All nodes."""
    return get("/api/nodes", answers.json_as(list[rest.NodeView]))


def node(node_id: str) -> Call[rest.NodeView]:
    """One node."""
    return get(f"/api/nodes/{urllib.parse.quote(node_id, safe='')}", answers.json_as(rest.NodeView))


def act_on_node(node_id: str, action: NodeAction, reason: str = "") -> Call[rest.NodeView]:
    """Drain, resume or block a node, and why."""
    path = f"/api/nodes/{urllib.parse.quote(node_id, safe='')}/{action}"
    body = msgspec.json.encode(rest.NodeDecision(reason)) if reason else b""
    return post(path, answers.json_as(rest.NodeView), body)


def label_node(node_id: str, labels: Sequence[str]) -> Call[rest.NodeView]:
    """Give a node these labels beside those of its machine, and no others."""
    path = f"/api/nodes/{urllib.parse.quote(node_id, safe='')}/labels"
    return Call(
        method="PUT",
        path=path,
        read=answers.json_as(rest.NodeView),
        body=msgspec.json.encode(rest.NodeLabels(list(labels))),
        headers={"Content-Type": "application/json"},
    )


def join_token(seconds: int) -> Call[rest.JoinToken]:
    """A new join token, good for one machine."""
    body = msgspec.json.encode(rest.JoinTokenRequest(seconds=seconds))
    return post("/api/nodes/join-tokens", answers.json_as(rest.JoinToken), body, repeatable=False)


def keys() -> Call[list[rest.KeyView]]:
    """All API keys, without their secrets."""
    return get("/api/keys", answers.json_as(list[rest.KeyView]))


def create_key(name: str, role: str, days: int | None) -> Call[rest.NewKey]:
    """A new API key, shown this once."""
    body = msgspec.json.encode(rest.KeyRequest(name=name, role=role, days=days))
    return post("/api/keys", answers.json_as(rest.NewKey), body, repeatable=False)


def audit(*, kind: str = "", limit: int = 100, cursor: str = "") -> Call[Page[rest.AuditEntry]]:
    """A page of the audit trail, newest first."""
    query = {"kind": kind, "limit": limit, "cursor": cursor}
    return get("/api/audit", answers.page_of(rest.AuditEntry), query)


def remove_key(key_id: str) -> Call[None]:
    """Forget an API key."""
    path = f"/api/keys/{urllib.parse.quote(key_id, safe='')}"
    return Call(method="DELETE", path=path, read=answers.nothing, repeatable=False)


def queue_stats() -> Call[dict[str, rest.QueueStats]]:
    """How much waits and runs, by queue."""
    return get("/api/queue/stats", answers.json_as(dict[str, rest.QueueStats]))


def health() -> Call[rest.Health]:
    """Whether the server works."""
    return get("/health", answers.json_as(rest.Health))


def put_blob(content: bytes) -> Call[rest.BlobView]:
    """Keep bytes under their SHA-256."""
    return put_source(source_of(content))


def put_source(source: Source) -> Call[rest.BlobView]:
    """Keep bytes, or those of a file, under their SHA-256."""
    return Call(
        method="PUT",
        path=f"/api/blobs/{source.digest}",
        read=answers.json_as(rest.BlobView),
        body=source.body(),
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(source.size)},
        timeout_seconds=BLOB_TIMEOUT_SECONDS,
    )


def put_rest(source: Source, start: int) -> Call[None]:
    """Bring the bytes from `start` on; those before are there."""
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(source.size - start),
        "Content-Range": f"bytes {start}-{source.size - 1}/{source.size}",
    }
    return Call(
        method="PUT",
        path=f"/api/blobs/{source.digest}",
        read=answers.nothing,
        body=source.body(start),
        headers=headers,
        timeout_seconds=BLOB_TIMEOUT_SECONDS,
    )


def arrived(source: Source) -> Call[int]:
    """How many of the bytes the server has."""

    def read(answer: Answer) -> int:
        last = answer.headers.get("range", "").rpartition("-")[2]
        return source.size if answer.status != 308 else int(last) + 1 if last.isdecimal() else 0

    headers = {"Content-Range": f"bytes */{source.size}"}
    path = f"/api/blobs/{source.digest}"
    return Call(method="PUT", path=path, read=read, headers=headers, also=frozenset({308}))


def has_blob(digest: str) -> Call[bool]:
    """Whether the server has the bytes under a SHA-256."""
    path = f"/api/blobs/{digest}"
    return Call(method="HEAD", path=path, read=lambda answer: answer.status == 200, also=frozenset({404}))


def task_files(task_id: str) -> Call[list[rest.TaskFile]]:
    """The files a task left behind."""
    return get(f"{_of(task_id)}/files", answers.json_as(list[rest.TaskFile]))


def fetch(url: str, start: int, digest: str) -> Call[None]:
    """The bytes at a path of the server from `start` on, if they still are those of the digest."""
    headers = {"Range": f"bytes={start}-", "If-Range": f'"{digest}"'} if start else {}
    return Call(method="GET", path=url, read=answers.nothing, headers={"Accept-Encoding": "identity", **headers})


def blob(digest: str) -> Call[bytes]:
    """The bytes under a SHA-256."""
    path = f"/api/blobs/{urllib.parse.quote(digest, safe='')}"
    return Call(method="GET", path=path, read=answers.raw, timeout_seconds=BLOB_TIMEOUT_SECONDS)
