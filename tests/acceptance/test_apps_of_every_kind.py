"""Real apps with real dependencies: each is deployed by its user's means and reached the ways that were promised."""

import hashlib
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from tests.acceptance.network import EXAMPLES, Network, a_network_with, wait_until
from tests.system.fleet import free_port
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

DEPLOY_SECONDS = 240
MESSAGES = 10_000
AT_ONCE = 200
UPLOAD = 20 << 20
EVENT_SECONDS = 0.3

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A clean machine, on which all of them are deployed side by side."""
    with a_network_with(tmp_path_factory.mktemp("apps"), lease_seconds=30) as network:
        yield network


@pytest.fixture(scope="module")
def port() -> int:
    """Where the spec's app is to listen on its machine."""
    return free_port()


@pytest.fixture(scope="module", autouse=True)
def deployed(network: Network, port: int) -> dict[str, float]:
    """Seconds until each of the apps answered, all of them deployed at once."""

    def spec() -> None:
        config = {"port": port, "ram": "2048MB", "cpu": 2}
        made = network.http.post("/api/clusters", json={"name": "My Web App", "type": "Web", "config": config})
        assert made.status_code == 201, made.text
        network.running("my-web-app", DEPLOY_SECONDS)

    def example(name: str, *options: str) -> Callable[[], None]:
        def deploy() -> None:
            words = ("app", "deploy", str(EXAMPLES / name), "--name", name, "--ram", "256MB", "--cpu", "0.5", *options)
            done = network.anchor(*words, seconds=DEPLOY_SECONDS)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

        return deploy

    apps: dict[str, Callable[[], None]] = {
        "my-web-app": spec,
        "express-websocket": example("express-websocket"),
        "fastapi-sse": example("fastapi-sse"),
        "flask": example("flask"),
        "static-site": example("static-site"),
        "procfile-worker": example("procfile-worker", "--env", "GREETING=Salut"),
    }

    def timed(deploy: Callable[[], None]) -> float:
        begun = time.monotonic()
        deploy()
        return time.monotonic() - begun

    with ThreadPoolExecutor(len(apps)) as threads:
        took = list(threads.map(timed, apps.values()))
    return dict(zip(apps, took, strict=True))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my-web-app", "my-web-app is up"),
        ("express-websocket", "<h1>Echo</h1>"),
        ("fastapi-sse", "<h1>Ticks</h1>"),
        ("flask", "Hello, stranger"),
        ("static-site", "<h1>A quiet page</h1>"),
        ("procfile-worker", "Salut from release 1"),
    ],
)
def test_every_app_answers_at_both_of_its_addresses(network: Network, name: str, says: str) -> None:
    for answer in (network.get(name), network.below(name)):
        assert answer.status_code == 200, answer.text
        assert says in answer.text


def test_the_apps_of_a_path_have_an_origin_of_their_own(network: Network) -> None:
    policy = network.below("my-web-app").headers["content-security-policy"]
    assert "sandbox" in policy
    assert "allow-same-origin" not in policy
    assert "content-security-policy" not in network.get("fastapi-sse").headers


def test_a_path_without_its_slash_leads_to_the_one_with_it(network: Network) -> None:
    answer = network.http.get("/apps/flask?a=b")
    assert answer.status_code in {301, 307, 308}
    assert answer.headers["location"].endswith("/apps/flask/?a=b")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_specs_app_answers_html_on_its_port_of_the_machine_itself(network: Network, port: int, host: str) -> None:
    answer = httpx.get(f"http://{host}:{port}", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "</html>" in answer.text


def test_what_names_no_port_opens_none(network: Network, port: int) -> None:
    views = [network.app(name) for name in ("flask", "static-site")]
    assert all(view["config"].get("port") is None for view in views)
    opened = psutil.Process(network.agents[0].pid).net_connections("tcp")
    assert {one.laddr.port for one in opened if one.status == psutil.CONN_LISTEN} == {port}


def hear(network: Network, bytes_max: int = 1 << 20) -> ClientConnection:
    uri = f"ws://{network.host('express-websocket')}/echo"
    return connect(uri, sock=network.socket(), proxy=None, compression=None, max_size=bytes_max)


def test_ten_thousand_messages_come_back_in_order_over_a_web_socket(network: Network) -> None:
    with hear(network) as line:
        room = threading.Semaphore(AT_ONCE)

        def speak() -> None:
            for number in range(MESSAGES):
                room.acquire()
                line.send(f"message {number}")

        speaking = threading.Thread(target=speak)
        speaking.start()
        for number in range(MESSAGES):
            assert line.recv(timeout=20) == f"message {number}"
            room.release()
        speaking.join()


def test_a_message_of_a_megabyte_comes_back_whole(network: Network) -> None:
    content = os.urandom(1 << 20)
    with hear(network, 2 << 20) as line:
        line.send(content)
        assert line.recv(timeout=20) == content


def test_codes_and_reasons_of_closing_are_passed_on_both_ways(network: Network) -> None:
    for _ in range(20):  # the app's answer and its end come at once
        with hear(network) as line:
            line.close(4001, "enough")
            assert (line.close_code, line.close_reason) == (4001, "enough")
    with hear(network) as line:
        line.send(b"x" * (17 << 20))
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009, "the app hears at most 16 MiB"


def test_a_web_socket_works_below_a_path_too(network: Network) -> None:
    uri = f"ws://127.0.0.1:{network.server.port}/apps/express-websocket/echo"
    with connect(uri, sock=network.socket(), proxy=None) as line:
        line.send("hello")
        assert line.recv(timeout=20) == "hello"


def test_events_arrive_one_by_one_as_they_are_sent(network: Network) -> None:
    at: list[float] = []
    headers = {"Host": network.host("fastapi-sse"), "Accept": "text/event-stream"}
    with network.http.stream("GET", f"/events?count=4&seconds={EVENT_SECONDS}", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        at.extend(time.monotonic() for line in answer.iter_lines() if line.startswith("data:"))
    assert len(at) == 4
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert min(gaps) > EVENT_SECONDS / 3, f"they came together: {gaps}"


def test_an_upload_of_twenty_megabytes_arrives_byte_by_byte(network: Network) -> None:
    content = os.urandom(UPLOAD)
    found = {"bytes": UPLOAD, "sha256": hashlib.sha256(content).hexdigest()}
    assert network.ask("POST", "flask", "/upload", content=content).json() == found
    pieces = iter([content[at : at + (1 << 18)] for at in range(0, UPLOAD, 1 << 18)])
    chunked = network.ask("POST", "flask", "/upload", files={"file": ("a.bin", content)})
    assert chunked.json() == found
    assert network.ask("POST", "flask", "/upload", content=pieces).status_code in {200, 411}


def test_redirects_and_cookies_fit_the_address_that_was_asked(network: Network) -> None:
    signed = network.ask("POST", "flask", "/sign", data={"name": "Ada"})
    assert signed.status_code == 303
    assert re.fullmatch(rf"(http://{re.escape(network.host('flask'))})?/", signed.headers["location"])
    assert network.get("flask", headers={"Cookie": "name=Ada"}).text.count("Hello, Ada") == 1

    below = network.http.post("/apps/flask/sign", data={"name": "Ada"})
    assert re.fullmatch(rf"({re.escape(network.url)})?/apps/flask/", below.headers["location"])
    assert "path=/apps/flask/" in below.headers["set-cookie"].lower().replace("path=/apps/flask;", "path=/apps/flask/;")
    page = network.below("flask", headers={"Cookie": "name=Ada"}).text
    assert "Hello, Ada" in page
    assert 'action="/apps/flask/sign"' in page


def test_no_cookie_or_key_of_ours_reaches_an_app(network: Network) -> None:
    ours = {"Cookie": "__Host-anchor_session=secret; name=Ada", "Authorization": "Bearer anc_secret"}
    assert "Hello, Ada" in network.get("flask", headers=ours).text


def test_files_have_types_validators_and_ranges(network: Network) -> None:
    page, style = network.get("static-site"), network.get("static-site", "/style.css")
    assert page.headers["content-type"].startswith("text/html")
    assert style.headers["content-type"].startswith("text/css")
    assert style.content == (EXAMPLES / "static-site" / "style.css").read_bytes()

    again = network.get("static-site", "/style.css", headers={"If-None-Match": style.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = network.get("static-site", "/style.css", headers={"Range": "bytes=6-11"})
    assert (part.status_code, part.content) == (206, style.content[6:12])
    assert part.headers["content-range"] == f"bytes 6-11/{len(style.content)}"

    missing = network.get("static-site", "/nowhere")
    assert missing.status_code == 404
    assert "There is nothing here" in missing.text
    head = network.ask("HEAD", "static-site", "/style.css")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(style.content))


def test_a_worker_runs_beside_and_the_release_process_ran_once_before(network: Network) -> None:
    view = network.app("procfile-worker")
    assert {one["process"] for one in view["replicas"]} == {"web", "worker"}
    wait_until(lambda: "At work for " in network.log("procfile-worker"), "the worker prints")
    log = network.log("procfile-worker")
    assert log.count("Release 1 greets with 'Salut'.") == 1
    assert log.index("greets with") < log.index("At work for ")
    assert "Salut" not in json.dumps(view), "what a variable holds is shown to nobody"
    assert "GREETING" in json.dumps(view)


def test_deploying_all_of_them_at_once_takes_no_longer_than_people_wait(deployed: dict[str, float]) -> None:
    assert max(deployed.values()) < DEPLOY_SECONDS, deployed
