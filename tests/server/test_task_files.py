"""What a task left behind, and how far it says it is, as a user sees it; a machine that lies about either."""

import hashlib
import json

import pytest
from msgspec.structs import replace
from puppet import Puppet, Session, success
from served import Served, assert_problem

from anchor.core.attempt import Ending, OutputFile, Usage
from anchor.core.progress import progress_text

SCRIPT = {"name": "t", "type": "script", "payload": {"sourceCode": "return 1", "runtime": "isolate"}}


@pytest.fixture(scope="module")
def session(server: Served):
    with Puppet(
        server, confinement={"isolate": "confined"}, task_memory_mib=512, features=("files", "modules")
    ).connect() as session:
        yield session


def bring(server: Served, session: Session, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    with server.as_holder_of(session.token) as node:
        assert node.put(f"/api/blobs/{digest}", content=content).status_code == 201
    return digest


def end_with(ending: Ending, files: list[OutputFile], usage: Usage | None = None) -> Ending:
    assert ending.result is not None
    return replace(ending, result=replace(ending.result, files=tuple(files)), usage=usage)


def over(server: Served, task: str) -> dict:
    return server.client.get(f"/api/tasks/{task}/result", params={"wait": 20}).json()


def test_files_are_listed_and_given_by_their_names(server: Served, session: Session) -> None:
    task = server.submit(**SCRIPT)
    [item] = session.assigned()
    plot, table = b"\x89PNG" + bytes(500), "name,größe\n".encode()
    files = [
        OutputFile("plots/größe 1.png", bring(server, session, plot), len(plot)),
        OutputFile("a.csv", bring(server, session, table), len(table)),
    ]
    usage = Usage(wall_seconds=1.5, bytes_in=10, bytes_out=20, fuel=30)
    session.report([end_with(success(item, 1), files, usage)])
    assert [file["name"] for file in over(server, task)["files"]] == ["a.csv", "plots/größe 1.png"]
    listed = server.client.get(f"/api/tasks/{task}/files").json()
    assert listed == server.task(task)["files"] == over(server, task)["files"]
    assert listed[1] == {
        "name": "plots/größe 1.png",
        "size": len(plot),
        "sha256": hashlib.sha256(plot).hexdigest(),
        "url": f"/api/tasks/{task}/files/plots/gr%C3%B6%C3%9Fe%201.png",
    }
    got = server.client.get(listed[1]["url"])
    assert (got.status_code, got.content) == (200, plot)
    assert got.headers["content-disposition"] == (
        "attachment; filename=\"gr__e 1.png\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.png"
    )
    assert got.headers["content-security-policy"] == "sandbox"
    assert server.client.get(listed[1]["url"], headers={"Range": "bytes=1-3"}).content == b"PNG"
    absent = server.client.get(f"/api/tasks/{task}/files/b.csv")
    assert_problem(absent, 404, "no_such_file", says="b.csv", hints="a.csv, plots/größe 1.png")
    used = server.task(task)["usage"]
    assert (used["bytesIn"], used["bytesOut"], used["fuel"], used["cpuSeconds"]) == (10, 20, 30, 0.0)
    assert server.task(task)["attempts"][0]["usage"] == used
    with server.as_holder_of(server.key("stranger", "submitter")) as stranger:
        for path in (f"/api/tasks/{task}/files", listed[0]["url"]):
            assert_problem(stranger.get(path), 404, "not_found")


def test_a_task_without_files_says_when_there_will_be_some(server: Served, session: Session) -> None:
    task = server.submit(**SCRIPT)
    [item] = session.assigned()
    assert server.client.get(f"/api/tasks/{task}/files").json() == []
    waiting = server.client.get(f"/api/tasks/{task}/files/x")
    assert_problem(waiting, 404, "no_such_file", hints="once it succeeded")
    session.report([success(item)])
    over(server, task)
    assert_problem(server.client.get(f"/api/tasks/{task}/files/x"), 404, "no_such_file", hints="It left none")


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "a\nb", "C:\\x", "a//b", "."])
def test_a_file_whose_name_leads_elsewhere_is_not_taken_from_a_node(
    server: Served, session: Session, name: str
) -> None:
    lies(server, session, [OutputFile(name, bring(server, session, b"x"), 1)])


def test_a_file_that_was_never_brought_or_is_named_twice_is_not_taken(server: Served, session: Session) -> None:
    lies(server, session, [OutputFile("a", "e" * 64, 1)])
    here = bring(server, session, b"x")
    lies(server, session, [OutputFile("a", here, 1), OutputFile("a", here, 1)])


def lies(server: Served, session: Session, files: list[OutputFile]) -> None:
    task = server.submit(**SCRIPT, retry={"attempts": 1})
    [item] = session.assigned()
    session.report([end_with(success(item), files)])
    told = over(server, task)
    assert (told["state"], told["reason"]["code"], told["files"]) == ("failed", "result_invalid", [])


def test_blobs_that_are_not_here_are_named_at_submit(server: Served, session: Session) -> None:
    here, absent = bring(server, session, b"here"), "d" * 64
    files = {"a": f"sha256:{here}", "in/b~": f"sha256:{absent}"}
    payload = {"sourceCode": "return 1", "runtime": "isolate", "files": files}
    before = server.tasks()
    answer = server.client.post("/api/tasks", json={"name": "t", "payload": payload})
    assert_problem(answer, 422, "blob_missing", says=absent, hints="PUT /api/blobs", at="/payload/files/in~1b~0")
    bulk = [SCRIPT, {"name": "t", "type": "wasm", "payload": {"module": f"sha256:{absent}"}}]
    assert_problem(server.client.post("/api/tasks", json=bulk), 422, "blob_missing", at="/1/payload/module")
    piece = {**payload, "files": {"a": f"sha256:{absent}[1:2]"}}
    assert_problem(
        server.client.post("/api/tasks", json={"name": "t", "payload": piece}),
        422,
        "blob_missing",
        at="/payload/files/a",
    )
    named = {"sourceCode": "return 1", "inputs": {"x/y": {"blob": f"sha256:{absent}"}}}
    answer = server.client.post("/api/tasks", json={"name": "t", "payload": named})
    assert_problem(answer, 422, "blob_missing", at="/payload/inputs/x~1y/blob")
    assert server.tasks() == before
    del files["in/b~"]
    task = server.submit(name="t", type="script", payload=payload)
    [item] = session.assigned()
    assert json.loads(item.payload)["files"] == files
    session.report([success(item)])
    assert over(server, task)["state"] == "succeeded"


# --- progress


def events(server: Served, task: str):
    with server.client.stream("GET", f"/api/tasks/{task}/logs", params={"follow": "1"}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_how_far_a_task_is_shows_in_its_log_its_row_and_its_view_until_it_is_over(
    server: Served, session: Session
) -> None:
    task = server.submit(**SCRIPT)
    [item] = session.assigned()
    assert server.task(task)["progress"] is None
    followed = (event for event in events(server, task) if "text" in event)
    session.print(item, 1, progress_text(0.4, "resizing"), stream="progress")
    assert (event := next(followed))["fraction"] == 0.4, event
    assert event["text"] == "40% resizing\n"
    shown = server.task(task)["progress"]
    assert (shown["fraction"], shown["message"]) == (0.4, "resizing")
    row = next(row for row in server.client.get("/api/tasks").json() if row["id"] == task)
    assert row["progress"] == shown
    session.print(item, 2, "added 12 packages\n", stream="progress")
    assert next(followed)["fraction"] is None
    shown = server.task(task)["progress"]
    assert (shown["fraction"], shown["message"]) == (0.4, "added 12 packages")
    session.print(item, 3, "99% of stdout is no progress\n")
    line = next(followed)
    assert (line["stream"], line["fraction"]) == ("stdout", None)
    session.report([success(item)])
    over(server, task)
    followed.close()
    assert server.task(task)["progress"] is None
    lines = server.client.get(f"/api/tasks/{task}/logs").json()
    assert [line["fraction"] for line in lines] == [0.4, None, None]


def test_a_node_says_how_its_runtimes_are_held(server: Served, session: Session) -> None:
    specs = server.client.get(f"/api/nodes/{session.puppet.node}").json()["specs"]
    assert specs["confinement"] == {"isolate": "confined"}
    assert (specs["features"], specs["taskMemoryMib"], specs["gpuTasks"]) == (["files", "modules"], 512, True)
