"""What a server is asked to do on a tour: each step passes places where something is written down."""

import asyncio
import signal
import time
from hashlib import sha256

from tests.failpoints.tour import ENDS, PATIENCE_SECONDS, Step, Tour, spec

from anchor.core.task import State, extend
from anchor.ports.store import Swap

AT_ONCE = {"retention_days": 1e-9}
LARGE = "y" * 70_000
"""More than rests in a task's document."""


def enrol_and_hand_out_keys(tour: Tour) -> None:
    """Join tokens, nodes, API keys made and taken back."""
    tour.machine("main")
    tour.disconnect("main")
    answer = tour.ask(
        "POST", "/api/keys", json={"name": "guest", "role": "viewer"}, headers={"Idempotency-Key": "a key"}
    )
    assert answer.status_code == 201 or answer.json()["code"] == "already_done", answer.text
    sign_browsers_in_and_out(tour)
    for key in tour.ask("GET", "/api/keys").json():
        if key["name"] == "guest":
            tour.ask("DELETE", f"/api/keys/{key['id']}")
    assert not [key for key in tour.ask("GET", "/api/keys").json() if key["name"] == "guest"]


def sign_browsers_in_and_out(tour: Tour) -> None:
    """Two browsers with one key: one signs out, the other's session goes with the key."""
    token = tour.ask("POST", "/api/keys", json={"name": "guest", "role": "viewer"}).json()["token"]
    for _ in range(2):
        signed_in = tour.ask("POST", "/api/session", json={"token": token}, headers={"Cookie": ""})
        assert signed_in.status_code == 201, signed_in.text
        tour.server.client.cookies.clear()
    shown = {
        "Cookie": signed_in.headers["set-cookie"].partition(";")[0],
        "X-Anchor-CSRF": signed_in.json()["csrf"],
        "Origin": str(signed_in.request.url.copy_with(path="")).rstrip("/"),
    }
    client = tour.server.client
    token = client.headers.pop("Authorization", None)  # it would count before the cookie
    signed_out = tour.ask("DELETE", "/api/session", headers=shown)
    if token is not None:
        client.headers["Authorization"] = token
    assert signed_out.status_code == 200, signed_out.text


def submit_with_nobody_there(tour: Tour) -> None:
    """One, many, a large one; with a key and without; all of them wait."""
    tour.submit("one", spec("echo", 1, "main"))
    tour.submit("many", [spec("echo", number, "main") for number in range(3)])
    tour.submit("large", spec("echo", 2, "main", payload={"input": {"do": "echo", "value": 2, "more": LARGE}}))
    tour.submit("narrow", [spec("echo", number, "narrow") for number in range(4)])
    answer = tour.ask("POST", "/api/tasks", json=spec("echo", 3, "main"))
    tour.told[answer.json()["id"]] = spec("echo", 3, "main")


def work_them_off(tour: Tour) -> None:
    """Machines come; there are more hints for one of them than it has slots."""
    tour.machine("main")
    tour.machine("narrow", slots=1)
    tour.until(tour.workable(), "succeeded")


def submit_to_open_slots(tour: Tour) -> None:
    """Leased in the same write; results of all kinds, failures, a crash."""
    tour.machine("main")
    for number, do in enumerate(("echo", "print", "big", "twice", "fail", "crash", "echo", "ignore")):
        tour.submit(f"{do} {number}", spec(do, number, "main"))
    tour.until(tour.workable(), "succeeded")
    upload = tour.ask("PUT", f"/api/blobs/{EMPTY}", content=b"")
    assert upload.status_code == 201, upload.text
    _bring_in_parts(tour, IN_PARTS)


def _bring_in_parts(tour: Tour, content: bytes) -> None:
    """Ask where to go on, and bring a half; over and over until it is whole."""
    path = f"/api/blobs/{sha256(content).hexdigest()}"
    for _ in range(10):
        asked = tour.ask("PUT", path, headers={"Content-Range": f"bytes */{len(content)}"})
        if asked.status_code == 201:
            break
        assert asked.status_code == 308, asked.text
        begin = int(asked.headers["range"].rpartition("-")[2]) + 1 if "range" in asked.headers else 0
        part = content[begin : begin + len(content) // 2]
        place = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
        brought = tour.ask("PUT", path, content=part, headers={"Content-Range": place})
        # A part that was kept before the server died is in the wrong place when it is brought again.
        assert brought.status_code in {201, 308, 409}, brought.text
    assert tour.ask("GET", path).content == content


IN_PARTS = b"by halves " * 20
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The SHA-256 of nothing."""


def cancel_waiting_and_running(tour: Tour) -> None:
    """What waits is cancelled at once, what runs when its node gives in, to the second request."""
    tour.machine("main")
    waiting, *_ = tour.submit("nowhere", spec("echo", 0, "nowhere"))
    running, *_ = tour.submit("hold", spec("hold", 0, "main"))
    tour.until([running], "running", "leased", "cancelling", "cancelled")
    for task in (waiting, running):
        assert tour.ask("POST", f"/api/tasks/{task}/cancel").status_code == 202
    tour.until([waiting, running], "cancelled")


def come_back_with_work(tour: Tour) -> None:
    """An attempt outlives its line, and a backoff its node; leases that are long are looked at again."""
    main = tour.machine("main")
    held, *_ = tour.submit("hold on", spec("hold", 1, "main"))
    tour.until([held], "running", "leased")
    failing = spec("fail", 1, "main", retry={"attempts": 50, "backoffSeconds": 0.5})
    rested, *_ = tour.submit("rest", failing)
    tour.until_tried(rested)
    tour.disconnect("main")
    tour.until([rested], "queued", "leased", "running", "succeeded")
    tour.machine("main")
    tour.until([rested], "succeeded")
    main.let_go = True
    tour.until([held], "succeeded")
    main.let_go = False


def drain_and_block(tour: Tour) -> None:
    """A node is taken out of service and back, and labelled."""
    node = tour.machine("main").puppet.node
    answer = tour.ask("PUT", f"/api/nodes/{node}/labels", json={"labels": ["toured"]})
    assert answer.status_code == 200, answer.text
    for verb in ("drain", "block", "resume"):
        answer = tour.ask("POST", f"/api/nodes/{node}/{verb}")
        assert answer.status_code == 202, answer.text


def half_a_minute_passes(tour: Tour) -> None:
    """A task that waited for long, under a server that was stopped and started, is given a hint again; a lease that
    ran on through that is looked at again."""
    main = tour.machine("main")
    waiting, *_ = tour.submit("patience", spec("echo", 0, "nowhere"))
    held, *_ = tour.submit("hold through", spec("hold", 2, "main"))
    rested, *_ = tour.submit("rest long", spec("fail", 3, "main", retry={"attempts": 9, "backoffSeconds": 600}))
    tour.until([held], "running", "leased", "succeeded")
    tour.until_tried(rested)
    tour.disconnect()
    tour.restart(meanwhile=lambda: asyncio.run(_make_everything_due(tour)))
    tour.until([rested], "queued", "leased", "running", "succeeded")
    tour.machine("main")
    tour.until([rested], "succeeded")
    main.let_go = True
    tour.until([held], "succeeded")
    main.let_go = False
    assert tour.task(waiting)["state"] == "queued"


async def _make_everything_due(tour: Tour) -> None:
    async with tour.engines.store(tour.server.data) as store:
        for state in (State.QUEUED, State.BACKOFF, State.LEASED):
            due = await store.due(state, 1 << 62, 100)
            assert all(await store.swap([Swap(task, extend(task, until=1)) for task in due]))


def forget_what_is_old(tour: Tour) -> None:
    """Retention takes whole tasks, and whole requests."""
    if not tour.old:
        tour.machine("main")
        tour.submit("print again", spec("print", 0, "main"))
        tour.until(tour.workable(), *ENDS)
        tour.old = set(tour.ends)
        tour.told = {task: wish for task, wish in tour.told.items() if task not in tour.old}
        tour.requests = {key: asked for key, asked in tour.requests.items() if not tour.old.issuperset(asked[1])}
        tour.ends.clear()
    tour.restart(how=signal.SIGKILL, **AT_ONCE)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(tour.ask("GET", f"/api/tasks/{task}").status_code != 404 for task in tour.old):
        assert time.monotonic() < deadline, "finished tasks are still there"
        time.sleep(0.02)
    tour.restart(how=signal.SIGKILL)


def carry_graphs_out(tour: Tour) -> None:
    """A graph with a list and a step that passes results on, all too large to rest in documents, run to its end; one
    that outlives its server and is cancelled."""
    tour.machine("main")
    echo = {"type": "noop", "requirements": {"labels": ["main"]}, "retry": {"attempts": 50, "backoffSeconds": 0.05}}
    items = [{"do": "echo", "value": LARGE[:30_000]} for _ in range(3)]
    steps = [
        {"id": "one", "payload": {"input": {"do": "echo", "value": "one"}}, **echo},
        {"id": "list", **echo, "type": "parallel", "items": items, "payload": {"sourceCode": "1"}},
        {"id": "join", "dependencies": ["one", "list"]},
    ]
    run = run_of(tour, "a graph", {"name": "a graph", "steps": steps})
    until_run_is(tour, run, "succeeded")
    [nowhere] = [{**steps[0], "requirements": {"labels": ["nowhere"]}}]
    run = run_of(tour, "a cancelled graph", {"name": "cancelled", "steps": [nowhere]})
    tour.restart()
    answer = tour.ask("POST", f"/api/dags/{run}/cancel")
    assert answer.status_code in (200, 202), answer.text
    until_run_is(tour, run, "cancelled")


def run_of(tour: Tour, key: str, graph: object) -> str:
    answer = tour.ask("POST", "/api/dags", json=graph, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def until_run_is(tour: Tour, run: str, state: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (view := tour.ask("GET", f"/api/dags/{run}").json())["state"] != state:
        assert time.monotonic() < deadline, f"{run} is stuck: {view}"
        time.sleep(0.02)


STEPS: tuple[Step, ...] = (
    enrol_and_hand_out_keys,
    submit_with_nobody_there,
    work_them_off,
    submit_to_open_slots,
    carry_graphs_out,
    drain_and_block,
    cancel_waiting_and_running,
    come_back_with_work,
    half_a_minute_passes,
    forget_what_is_old,
)
