"""Whatever is sent, the answer says what is wrong, where, and what to do; nothing is lost and nobody else notices."""

import base64
import http.client
import json
import socket
import threading
import time
from typing import Any

import httpx
import pytest
from served import Served, assert_problem

NOOP = {"name": "t", "type": "noop"}
TASKS_MAX = 10_000
MIB = 1024 * 1024


def post(server: Served, body: object, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.client.post("/api/tasks", content=content, headers={"Content-Type": "application/json", **headers})


def with_payload(**payload: object) -> dict[str, Any]:
    return {"name": "t", "payload": payload}


def nested(depth: int) -> bytes:
    """A task whose body is nested this deep in all."""
    return b'{"name":"t","payload":{"sourceCode":"1","input":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"


# body, code, what the message says, what the hint says, the pointer
BODIES: dict[str, tuple[object, str, str, str, str | None]] = {
    "unknown field": ({"nam": "t", "type": "noop"}, "invalid_field", "no field 'nam'", "Did you mean 'name'", "/nam"),
    "unknown field, deep": (
        with_payload(sourcCode="1"), "invalid_field", "no field 'sourcCode'", "Did you mean 'sourceCode'",
        "/payload/sourcCode",
    ),
    "field in the wrong place": (
        {**NOOP, "sourceCode": "1"}, "invalid_field", "no field 'sourceCode' here", "another part", "/sourceCode",
    ),
    "field with odd letters": ({**NOOP, "a/b~c": 1}, "invalid_field", "a/b~c", "/api/docs", "/a~1b~0c"),
    "wrong type": ({**NOOP, "priority": "5"}, "invalid_field", "Expected `int`, got `str`", "", "/priority"),
    "wrong type, deep": (
        {**NOOP, "requirements": {"minRam": "2"}}, "invalid_field", "Expected `float`", "", "/requirements/minRam",
    ),
    "wrong type in a list": ({**NOOP, "labels": ["a", 1]}, "invalid_field", "got `int`", "", "/labels/1"),
    "missing name": ({"type": "noop"}, "invalid_field", "'name' is missing", "", "/name"),
    "empty name": ({**NOOP, "name": ""}, "invalid_field", "length >= 1", "", "/name"),
    "long name": ({**NOOP, "name": "n" * 201}, "invalid_field", "length <= 200", "", "/name"),
    "huge whole number": (b'{"name":"t","priority":' + b"9" * 5000 + b"}", "invalid_field", "", "", "/priority"),
    "huge number in the input": (
        b'{"name":"t","payload":{"sourceCode":"1","input":' + b"9" * 5000 + b"}}", "invalid_field", "out of range", "",
        "/payload/input",
    ),
    "number beyond floats": (
        b'{"name":"t","limits":{"timeoutSeconds":1e999}}', "invalid_field", "out of range", "",
        "/limits/timeoutSeconds",
    ),
    "missing payload": ({"name": "t"}, "invalid_task", "payload is missing", "Nothing was accepted", "/payload"),
    "missing source": (
        with_payload(runtime="isolate"), "invalid_task", "sourceCode is missing", "",
        "/payload/sourceCode",
    ),
    "missing module": (
        {"name": "t", "type": "wasm", "payload": {}}, "invalid_task", "module is missing", "",
        "/payload/module",
    ),
    "blank source": (with_payload(sourceCode=" "), "invalid_task", "is empty", "", "/payload/sourceCode"),
    "unknown runtime": (
        with_payload(sourceCode="1", runtime="isolat"), "invalid_field", "'isolat'",
        "Did you mean 'isolate'.*isolate, isolated-vm, native, python, wasm", "/payload/runtime",
    ),
    "unknown type": ({"name": "t", "type": "scrpt"}, "invalid_field", "'scrpt'", "Did you mean 'script'", "/type"),
    "wasm that is not wasm": (
        with_payload(module=base64.b64encode(b"MZ\x90\0").decode()), "invalid_task", "not WebAssembly", "",
        "/payload/module",
    ),
    "module that is not base64": (with_payload(module="%%%"), "invalid_task", "base64", "", "/payload/module"),
    "module beyond ASCII": (with_payload(module="é"), "invalid_task", "base64", "", "/payload/module"),
    "dependencies of isolate": (
        with_payload(sourceCode="1", runtime="isolate", dependencies=["lodash"]), "invalid_task", "native", "",
        "/payload/dependencies",
    ),
    "dependency that is an option": (
        with_payload(sourceCode="1", dependencies=["--index-url=x"]), "invalid_task", "package name", "",
        "/payload/dependencies",
    ),
    "NaN": (b'{"name":"t","priority":NaN}', "malformed_json", "NaN is not a JSON number", "", None),
    "Infinity": (b'{"name":"t","priority":-Infinity}', "malformed_json", "Infinity is not a JSON number", "", None),
    "duplicate key": (b'{"name":"a","name":"b","type":"noop"}', "duplicate_key", "'name' is given twice", "once", None),
    "duplicate key, deep": (
        b'{"name":"t","payload":{"sourceCode":"1","input":[{"a":1,"b":{"c":1,"c":2}}]}}', "duplicate_key", "'c'", "",
        None,
    ),
    "duplicate key, spelt in two ways": (
        b'{"name":"a","n\\u0061me":"b","type":"noop"}', "duplicate_key", "'name'", "",
        None,
    ),
    "NUL in the name": ({**NOOP, "name": "a\0b"}, "invalid_task", "NUL", "", "/name"),
    "NUL in a label": ({**NOOP, "labels": ["ok", "a\0b"]}, "invalid_task", "NUL", "", "/labels/1"),
    "escape sequence in the name": ({**NOOP, "name": "\x1b[2J"}, "invalid_task", "control character", "", "/name"),
    "lone surrogate": (b'{"name":"\\ud800","type":"noop"}', "malformed_json", "lone surrogate", "", None),
    "lone surrogate in a key": (
        b'{"name":"t","payload":{"sourceCode":"1","input":{"\\udc00":1}}}', "malformed_json", "lone surrogate", "",
        None,
    ),
    "not UTF-8": (b'{"name":"\xff","type":"noop"}', "malformed_json", "not UTF-8: byte 9", "UTF-8", None),
    "surrogate as bytes": (b'{"name":"\xed\xa0\x80","type":"noop"}', "malformed_json", "not UTF-8", "", None),
    "UTF-16": ('{"name":"t"}'.encode("utf-16"), "malformed_json", "not UTF-8", "", None),
    "byte order mark": (b'\xef\xbb\xbf{"name":"t","type":"noop"}', "malformed_json", "bom", "", None),
    "empty body": (b"", "malformed_json", "body is empty", "", None),
    "not JSON": (b"name=t", "malformed_json", "line 1, column 1", "", None),
    "cut JSON": (b'{"name":"t"', "malformed_json", "not JSON", "", None),
    "two values": (b'{"name":"t","type":"noop"} {}', "malformed_json", "extra data", "", None),
    "neither object nor array": (b"5", "invalid_field", "Expected `object | array`", "", ""),
    "null": (b"null", "invalid_field", "got `null`", "", ""),
    "50,000 deep": (nested(50_000), "nested_too_deeply", "more than 100 levels", "Flatten", None),
    "50,000 deep and cut": (b"[" * 50_000, "nested_too_deeply", "more than 100 levels", "Flatten", None),
    "50,000 objects deep": (b'{"a":' * 50_000, "nested_too_deeply", "more than 100 levels", "Flatten", None),
    "101 deep": (nested(101), "nested_too_deeply", "more than 100 levels", "Flatten", None),
    "no tasks": ([], "invalid_request", "1 to 10,000 tasks; this one has 0", "", None),
    "too many tasks": ([NOOP] * (TASKS_MAX + 1), "invalid_request", "this one has 10,001", "Split", None),
    "one bad among many": (
        [NOOP] * 7 + [{"name": "t"}] + [NOOP] * 7, "invalid_task", "/7/payload is missing", "Nothing was accepted",
        "/7/payload",
    ),
    "one of a wrong type among many": (
        [NOOP] * 7 + [{**NOOP, "priority": True}], "invalid_field", "Expected `int`", "", "/7/priority",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "code", "says", "hints", "at"), BODIES.values(), ids=BODIES)
def test_a_body_that_makes_no_sense_is_refused_with_its_place(
    server: Served, body: object, code: str, says: str, hints: str, at: str | None
) -> None:
    before = server.tasks()
    assert_problem(post(server, body), 400, code, says=says, hints=hints, at=at)
    assert server.tasks() == before
    assert server.is_well()


def test_every_bad_task_of_a_bulk_is_named_up_to_a_bound(server: Served) -> None:
    problem = post(server, [{"name": "a"}, NOOP, {"name": "\0"}]).json()
    assert [fault["pointer"] for fault in problem["errors"]] == ["/0/payload", "/2/name", "/2/payload"]
    assert len(post(server, [{"name": "a"}] * 1000).json()["errors"]) == 20


def test_what_is_as_deep_as_it_may_be_is_taken_and_read_back(server: Served) -> None:
    answer = post(server, nested(100))
    assert answer.status_code == 201
    read = server.task(answer.json()["id"])["payload"]["input"]
    depth = 0
    while isinstance(read, list):
        depth, read = depth + 1, read[0] if read else None
    assert depth == 98


def test_brackets_inside_texts_are_no_nesting(server: Served) -> None:
    assert post(server, with_payload(sourceCode='"\\"[[[{{{' * 100, input='\\"[[' * 200)).status_code == 201


def test_odd_but_legal_texts_come_back_as_they_were_sent(server: Served) -> None:
    name = "名前 \u3000 🚢 e\u0301 \u202e"
    task = post(server, {**NOOP, "name": name, "labels": ["a&b=c", "ü/\\\"'"]}).json()["id"]
    view = server.task(task)
    assert (view["name"], view["labels"]) == (name, ["a&b=c", "ü/\\\"'"])


@pytest.mark.parametrize("number", [0, -1, 2**53, 2**63, 10**300, 0.1, 1e308, -0.0])
def test_numbers_come_back_as_they_were_sent(server: Served, number: float) -> None:
    task = post(server, with_payload(sourceCode="1", input=number)).json()["id"]
    assert server.task(task)["payload"]["input"] == number


def test_one_task_of_10_mb_is_refused_with_the_way_to_send_it(server: Served) -> None:
    before = server.tasks()
    answer = post(server, with_payload(sourceCode="x" * 10_000_000))
    assert_problem(answer, 413, "too_large", says="1 MiB", hints="/api/blobs")
    assert server.tasks() == before


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_every_limit_is_refused_while_it_comes(server: Served, declared: bool) -> None:
    size, chunk = 40 * MIB, b" " * MIB
    headers = {"Content-Type": "application/json"} | ({"Content-Length": str(size)} if declared else {})
    answer = server.client.post("/api/tasks", content=iter([chunk] * 40), headers=headers)
    assert_problem(answer, 413, "too_large", says="16,777,216 bytes", hints="split")
    assert server.is_well()


def test_a_large_bulk_keeps_nobody_waiting_for_long(server: Served) -> None:
    bulk = [{"name": f"t{at}", "payload": {"sourceCode": "x" * 1400}} for at in range(TASKS_MAX)]
    body = json.dumps(bulk).encode()
    assert len(body) > 14_000_000
    worst = 0.0
    over = threading.Event()

    def ask() -> None:
        nonlocal worst
        with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
            while not over.is_set():
                asked = time.monotonic()
                client.get("/health")
                worst = max(worst, time.monotonic() - asked)

    asking = threading.Thread(target=ask)
    asking.start()
    answer = post(server, body)
    over.set()
    asking.join()
    assert answer.status_code == 201
    ids = [task["id"] for task in answer.json()]
    assert ids == sorted(set(ids))
    assert len(ids) == TASKS_MAX
    assert worst < 3.0


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"]
)
def test_another_content_type_is_refused(server: Served, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = server.client.post("/api/tasks", content=json.dumps(NOOP), headers=headers)
    assert_problem(answer, 415, "unsupported_media_type", hints="application/json")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_announced_in_several_ways(server: Served, kind: str) -> None:
    assert post(server, NOOP, **{"Content-Type": kind}).status_code == 201


@pytest.mark.parametrize(
    ("path", "code", "says", "hints"),
    [
        ("/api/tasks?limt=5", "invalid_query", "'limt'", "Did you mean 'limit'"),
        ("/api/tasks?limit=0", "invalid_query", ">= 1", "cursor, ids, label, limit, name, .*, state, until"),
        ("/api/tasks?limit=1001", "invalid_query", "<= 1000", ""),
        ("/api/tasks?limit=ten", "invalid_query", "Expected `int`", ""),
        ("/api/tasks?limit=" + "9" * 5000, "invalid_query", "", ""),
        ("/api/tasks?limit=5&limit=6", "invalid_query", "'limit' is given twice", "once"),
        ("/api/tasks?" + "&".join(f"a{at}=1" for at in range(50)), "invalid_query", "more than 20", ""),
        ("/api/tasks?state=done", "invalid_state", "'done'", "succeeded"),
        ("/api/tasks?cursor=abc", "invalid_cursor", "cursor", "Link header"),
        ("/api/tasks?cursor=c_zzzzzzzzzzzzz", "invalid_cursor", "cursor", "Link header"),
        ("/api/tasks?cursor=%00%ff", "invalid_cursor", "cursor", "Link header"),
        ("/api/queue/stats?a=1", "invalid_query", "'a'", "takes no query parameters"),
        ("/api/tasks/{task}/result?wait=nan", "invalid_query", "", "wait"),
        ("/api/tasks/{task}/result?wait=-1", "invalid_query", "", "wait"),
        ("/api/tasks/{task}/logs?follow=perhaps", "invalid_query", "", ""),
        ("/api/tasks/{task}/logs?after=1.x", "invalid_position", "1.x", "1.42"),
        ("/api/tasks/{task}/logs?after=99999999999999999999.1", "invalid_position", "", "1.42"),
        ("/api/tasks/{task}/logs?after=\u0661.\u0662", "invalid_position", "", "1.42"),
        ("/api/blobs/xyz", "invalid_request", "64 lower-case hex", "sha256sum"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(server: Served, path: str, code: str, says: str, hints: str) -> None:
    answer = server.client.get(path.replace("{task}", server.submit()))
    assert_problem(answer, 400, code, says=says, hints=hints)


@pytest.mark.parametrize(
    "path",
    [
        "/api/tasks/task_0000000000000",
        "/api/tasks/task_zzzzzzzzzzzzz",
        "/api/tasks/node_0000000000000",
        "/api/tasks/%00",
        "/api/tasks/%ff",
        "/api/tasks/" + "x" * 5000,
        "/api/tasks/%2e%2e%2f%2e%2e",
        "/api/tasks/task_0000000000000/result",
        "/api/tasks/task_0000000000000/logs",
        "/api/tasks/task_0000000000000/why",
        "/api/nodes/NOB-000000",
        "/api/nodes/%00",
        "/api/blobs/" + "0" * 64,
        "/api/tasks/",
        "/nothing",
        "/../../etc/passwd",
    ],
)
def test_what_is_not_there_is_not_found(server: Served, path: str) -> None:
    assert_problem(server.client.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/api/tasks/task_0000000000000/cancel", "/api/tasks/task_0000000000000/retry"])
def test_what_is_not_there_cannot_be_acted_on(server: Served, path: str) -> None:
    assert_problem(server.client.post(path), 404, "not_found", says="task_0000000000000")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/tasks", "GET, HEAD, POST"),
        ("PATCH", "/api/tasks", "GET, HEAD, POST"),
        ("OPTIONS", "/api/tasks", "GET, HEAD, POST"),
        ("GET", "/api/nodes/join", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/api/openapi.json", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_known_names_those_that_are(server: Served, method: str, path: str, allowed: str) -> None:
    answer = server.client.request(method, path)
    assert_problem(answer, 405, "method_not_allowed", says=method, hints=allowed)
    assert answer.headers["allow"] == allowed


def test_head_answers_as_get_does_without_the_body(server: Served) -> None:
    got, head = server.client.get("/api/nodes"), server.client.head("/api/nodes")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


def test_a_body_where_none_is_expected_is_refused(server: Served) -> None:
    task = server.submit()
    answer = server.client.post(f"/api/tasks/{task}/cancel", json={"reason": "because"})
    assert_problem(answer, 400, "body_not_expected", hints="Leave it out")
    assert server.task(task)["state"] == "queued"
    assert server.client.post(f"/api/tasks/{task}/cancel", content=b"{}").status_code == 202


def test_a_finished_task_cannot_be_cancelled_nor_an_unfinished_one_retried(server: Served) -> None:
    task = server.submit()
    retry = server.client.post(f"/api/tasks/{task}/retry")
    assert_problem(retry, 409, "not_finished", says="queued", hints="Wait")
    assert server.client.post(f"/api/tasks/{task}/cancel").json()["state"] == "cancelled"
    assert server.client.post(f"/api/tasks/{task}/cancel").status_code == 202
    assert server.client.post(f"/api/tasks/{task}/retry").status_code == 201


def test_a_body_that_breaks_off_changes_nothing(server: Served) -> None:
    before = server.tasks()
    host, port = server.url.removeprefix("http://").split(":")
    content = json.dumps(NOOP).encode()
    with socket.create_connection((host, int(port))) as raw:
        head = f"POST /api/tasks HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        raw.sendall(f"{head}Content-Length: {len(content) + 10}\r\n\r\n".encode() + content)
    assert server.tasks() == before
    assert server.is_well()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\0\1\2\3\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["noise", "version", "path", "header", "negative length", "chunk", "two lengths"],
)
def test_what_is_not_http_is_refused_by_the_parser(server: Served, request_bytes: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(request_bytes)
        raw.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == 400
    assert server.is_well()


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n",
    ],
    ids=["head", "trailer"],
)
def test_headers_without_end_are_cut_off(server: Served, begin: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    before = server.memory_mib()
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(begin)
        flood = b"".join(b"X-%d: " % at + b"x" * MIB + b"\r\n" for at in range(64))
        with pytest.raises(OSError, match=r"."):
            raw.sendall(flood)
    assert server.memory_mib() < before + 32
    assert server.is_well()


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(server: Served, key: str) -> None:
    for answer in (
        post(server, NOOP, **{"Idempotency-Key": key}),
        server.client.post(f"/api/tasks/{server.submit()}/cancel", headers={"Idempotency-Key": key}),
    ):
        assert_problem(answer, 400, "invalid_request", says="Idempotency-Key", hints="1 to 255 printable")


@pytest.mark.parametrize(
    ("path", "body", "at", "hints"),
    [
        ("/api/keys", {"name": "", "role": "viewer"}, "/name", "Name who"),
        ("/api/keys", {"name": "a\nb", "role": "viewer"}, "/name", "Name who"),
        ("/api/keys", {"name": "a", "role": "root"}, "/role", "viewer, submitter, operator, admin"),
        ("/api/keys", {"name": "a", "role": "node"}, "/role", "viewer, submitter, operator, admin"),
        ("/api/keys", {"name": "a", "role": "viewer", "days": 0}, "/days", "Leave it out"),
        ("/api/keys", {"name": "a", "role": "viewer", "days": 10**30}, "/days", "Leave it out"),
        ("/api/nodes/join-tokens", {"seconds": 0}, "/seconds", "15 minutes"),
        ("/api/nodes/join-tokens", {"seconds": 3601}, "/seconds", "15 minutes"),
        ("/api/nodes/join-tokens", {"second": 5}, "/second", "Did you mean 'seconds'"),
    ],
)
def test_keys_and_join_tokens_are_asked_for_properly(
    server: Served, path: str, body: object, at: str, hints: str
) -> None:
    assert_problem(server.client.post(path, json=body), 400, "invalid_field", hints=hints, at=at)


def test_bytes_that_are_not_what_their_name_says_are_not_kept(server: Served) -> None:
    name = "/api/blobs/" + "0" * 64
    assert_problem(server.client.put(name, content=b"x"), 400, "digest_mismatch", hints="again")
    assert server.client.get(name).status_code == 404
