"""Two servers behind nginx, with the configuration that is delivered: one dies under load, and nothing is lost."""

import datetime
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.engines.mongo import running_mongo
from tests.engines.valkey import running_valkey
from tests.system.crowds import Crowd, busiest_second
from tests.system.fleet import Program, Server, free_port, wait_for_port

CONFIGURATIONS = Path(__file__).parents[2] / "deploy" / "nginx"
APP_NAMES = "apps.anchor.example.org"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt install nginx-light)")
SECRET = "correct horse battery staple"
AGENTS = 100
CLIENTS = 6
BACK_SECONDS = 5.0
SHARE_MAX = 0.4
PATIENCE_SECONDS = 30.0
PRINTS = "console.log('first'); const end = Date.now() + 3000; while (Date.now() < end); console.log('last')"


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for this machine that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Anchor test")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = directory / "fullchain.pem", directory / "privkey.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


class Nginx:
    """nginx with the delivered configuration; only ports, paths and servers are those of the test."""

    def __init__(self, directory: Path, servers: list[Server]) -> None:
        directory.mkdir()
        self.chain, private = certificate(directory)
        self.port, self.plain_port = free_port(), free_port()
        text = (CONFIGURATIONS / "anchor.conf").read_text()
        assert text.count("10.0.0.11:5000") == 3
        text += (CONFIGURATIONS / "anchor-apps.conf").read_text()
        for old, new in {
            "10.0.0.11:5000": f"127.0.0.1:{servers[0].port}",
            "10.0.0.12:5000": f"127.0.0.1:{servers[1].port}",
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "/etc/ssl/anchor/fullchain.pem": str(self.chain),
            "/etc/ssl/anchor/privkey.pem": str(private),
            "/etc/ssl/anchor-apps/fullchain.pem": str(self.chain),
            "/etc/ssl/anchor-apps/privkey.pem": str(private),
        }.items():
            assert old in text, f"{old!r} is not in the configuration"
            text = text.replace(old, new)
        (directory / "anchor.conf").write_text(text)
        places = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        whole = directory / "nginx.conf"
        whole.write_text(
            f"{'user root root;' if os.geteuid() == 0 else ''} daemon off; pid {directory}/nginx.pid;"
            f"worker_processes 1; error_log stderr warn; events {{ worker_connections 2048; }}"
            f"http {{ access_log off; client_body_temp_path {directory}/bodies; {places}"
            f"include {directory}/anchor.conf; }}\n"
        )
        self._log = directory / "nginx.log"
        assert NGINX is not None
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [NGINX, "-p", str(directory), "-c", str(whole), "-e", "stderr"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.url = f"https://127.0.0.1:{self.port}"
        wait_for_port(self.port)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def said(self) -> str:
        return self._log.read_text(errors="replace")


class Site:
    """Two servers, nginx before them, an agent that calls through it, and an admin's token."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        mongo = stack.enter_context(running_mongo(directory / "mongo"))
        valkey = stack.enter_context(running_valkey(directory / "valkey"))
        shared = {"store": mongo.url, "queue": valkey.url, "secret": SECRET, "heartbeat_seconds": 3}
        self.servers = [Server(directory, name=name, lease_seconds=15, **shared) for name in ("one", "two")]
        for server in self.servers:
            stack.callback(server.kill)
            server.start_and_wait()
        self.nginx = Nginx(directory / "nginx", self.servers)
        stack.callback(self.nginx.stop)
        made = httpx.post(f"{self.servers[0].url}/api/keys", json={"name": "site", "role": "admin"}, trust_env=False)
        self.token: str = made.raise_for_status().json()["token"]

    def client(self, **how: Any) -> httpx.Client:
        tls = ssl.create_default_context(cafile=self.nginx.chain)
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.nginx.url, verify=tls, trust_env=False, timeout=30, headers=headers, **how)

    def crowd(self, count: int, **wish: object) -> Crowd:
        return Crowd(self.nginx.url, count, token=self.token, ca=str(self.nginx.chain), **wish)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path_factory.mktemp("site"), stack)


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The site with all its servers up, whatever a test before did to them."""
    for server in shared_site.servers:
        if server.process is None or server.process.poll() is not None:
            server.start_and_wait()
    return shared_site


class Client(threading.Thread):
    """Submits with Idempotency-Keys and repeats what failed; `failed` are the requests that failed even so."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(daemon=True)
        self._site = site
        self._name = name
        self._enough = threading.Event()
        self.acknowledged: dict[str, str] = {}
        self.repeated = 0
        self.failed: list[str] = []

    def run(self) -> None:
        with self._site.client() as client:
            number = 0
            while not self._enough.is_set():
                number += 1
                value = f"{self._name} {number}"
                self._submit(client, value)
                self._read(client)
                time.sleep(0.03)

    def _submit(self, client: httpx.Client, value: str) -> None:
        spec = {"name": value, "type": "noop", "payload": {"input": value}, "requirements": {"labels": ["crowd"]}}
        for _ in range(5):
            try:
                answer = client.post("/api/tasks", json=spec, headers={"Idempotency-Key": value})
            except httpx.TransportError as error:
                problem = repr(error)
            else:
                if answer.status_code == 201:
                    self.acknowledged[answer.json()["id"]] = value
                    return
                problem = f"{answer.status_code} {answer.text}"
            self.repeated += 1
            time.sleep(0.3)
        self.failed.append(f"{value}: {problem}")

    def _read(self, client: httpx.Client) -> None:
        task = next(reversed(self.acknowledged), None)
        if task is not None:
            answer = client.get(f"/api/tasks/{task}")
            if answer.status_code != 200:
                self.failed.append(f"GET {task}: {answer.status_code} {answer.text}")

    def stop(self) -> None:
        self._enough.set()
        self.join(60)


def kill(server: Server, crowd: Crowd) -> list[float]:
    """Kill a server; how many seconds later each of its agents was back."""
    at = time.monotonic()
    server.kill()
    crowd.wait_for(lambda: len(crowd.after(at, "lost")) > 0 and len(crowd.connected) == crowd.count, 30)
    lost = {node for _, node, _ in crowd.after(at, "lost")}
    back = {node: seconds for seconds, node, _ in crowd.after(at, "connected")}
    assert set(back) == lost
    assert len(lost) >= crowd.count / 4, "the agents were not spread over the servers"
    return list(back.values())


def test_a_server_killed_under_load_loses_no_task_and_no_request_and_its_agents_come_back_spread(site: Site) -> None:
    with site.crowd(AGENTS, work_seconds=0.1) as crowd:
        crowd.wait_until_connected()
        clients = [Client(site, f"client {number}") for number in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(2)
        kills: list[tuple[float, float]] = []
        try:
            for server in (*site.servers, site.servers[0]):
                back = kill(server, crowd)
                kills.append((max(back), busiest_second(back)))
                server.start_and_wait()
                if kills[-1][0] <= BACK_SECONDS and kills[-1][1] <= SHARE_MAX:
                    break  # else the machine may have been busy with something else: once more
        finally:
            for client in clients:
                client.stop()
        assert kills[-1][0] <= BACK_SECONDS, kills
        assert kills[-1][1] <= SHARE_MAX, kills
        assert [problem for client in clients for problem in client.failed] == []
        wanted = {task: value for client in clients for task, value in client.acknowledged.items()}
        assert len(wanted) > 50
        with site.client() as asking:
            until = time.monotonic() + PATIENCE_SECONDS
            for task, value in wanted.items():
                wait = max(1.0, min(60.0, until - time.monotonic()))
                result = asking.get(f"/api/tasks/{task}/result", params={"wait": f"{wait:g}"}).json()
                assert (result["state"], result["result"]) == ("succeeded", value), result


def test_a_server_that_is_back_takes_over_at_once_when_the_other_is_killed(site: Site) -> None:
    with site.crowd(30) as crowd:
        crowd.wait_until_connected()
        kill(site.servers[0], crowd)
        site.servers[0].start_and_wait()
        assert max(kill(site.servers[1], crowd)) < 10
        site.servers[1].start_and_wait()


def test_a_server_that_stops_hands_its_agents_over_without_a_failed_request(site: Site) -> None:
    with site.crowd(30) as crowd:
        crowd.wait_until_connected()
        client = Client(site, "stop")
        client.start()
        at = time.monotonic()
        assert site.servers[1].stop() == 0
        assert time.monotonic() - at < 10
        crowd.wait_for(lambda: len(crowd.after(at, "lost")) > 0 and len(crowd.connected) == crowd.count, 20)
        client.stop()
        site.servers[1].start_and_wait()
        assert client.failed == []
        assert max(seconds for seconds, _, _ in crowd.after(at, "connected")) < 10


def agent_of(site: Site, directory: Path, token: str) -> Program:
    directory.mkdir()
    arguments = ("--data", str(directory / "data"), "--label", "prints", "--token", token)
    return Program(directory / "agent.log", "agent", site.nginx.url, *arguments)


def test_a_real_agent_calls_through_tls_with_an_authority_of_ones_own(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.client() as client, ExitStack() as stack:
        token = client.post("/api/nodes/join-tokens", json={}).json()["token"]
        stranger = agent_of(site, tmp_path / "stranger", token)
        stranger.start()
        stack.callback(stranger.kill)
        assert stranger.wait() != 0
        assert "certificate" in stranger.said().lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(site.nginx.chain))
        agent = agent_of(site, tmp_path / "agent", token)
        agent.start()
        stack.callback(agent.kill)
        spec = {"name": "prints", "payload": {"sourceCode": PRINTS}, "requirements": {"labels": ["prints"]}}
        task = client.post("/api/tasks", json=spec).raise_for_status().json()["id"]
        seen: dict[str, float] = {}
        with client.stream("GET", f"/api/tasks/{task}/logs", params={"follow": "1"}) as stream:
            for line in stream.iter_lines():
                for word in ("first", "last", "event: end"):
                    if word in line:
                        seen.setdefault(word, time.monotonic())
        assert list(seen) == ["first", "last", "event: end"]
        assert seen["last"] - seen["first"] > 2, "the output was held back on its way"


def test_an_app_answers_by_name_and_by_path_whichever_server_nginx_asks(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(site.nginx.chain))
    with site.client() as client, ExitStack() as stack:
        token = client.post("/api/nodes/join-tokens", json={}).json()["token"]
        agent = agent_of(site, tmp_path / "host", token)
        agent.start()
        stack.callback(agent.kill)
        wish = {"name": "page", "type": "Static", "files": {"index.html": "an app"}, "config": {"ram": "64MB"}}
        client.post("/api/clusters", json=wish).raise_for_status()
        version = ""
        while (app := client.get("/api/clusters/page", params={"wait": 10, "version": version}).json())["ready"] == 0:
            version = app["version"]
        by_name = {"Host": f"page.{APP_NAMES}"}
        for server in site.servers:  # one has heard of it, the other is about to
            deadline = time.monotonic() + 10
            while httpx.get(f"{server.url}/", headers=by_name, trust_env=False).status_code == 503:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        answers = [client.get("/", headers=by_name) for _ in range(10)]
        answers += [client.get("/apps/page/") for _ in range(10)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, "an app")}
        for server in site.servers:  # one of them has no line to the node
            direct = httpx.get(f"{server.url}/", headers={"Host": f"page.{APP_NAMES}"}, trust_env=False)
            assert (direct.status_code, direct.text) == (200, "an app"), server.url
        assert client.get("/relay").status_code == 404


def test_through_nginx_everybody_needs_a_token_whatever_they_say_about_themselves(site: Site) -> None:
    with site.client() as client:
        del client.headers["Authorization"]
        for headers in ({}, {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}):
            answer = client.get("/api/tasks", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert client.get("/health").status_code == 200


def test_large_bodies_pass_up_to_the_bounds_of_the_server_itself(site: Site) -> None:
    with site.client() as client:
        blob = os.urandom(20 << 20)
        path = f"/api/blobs/{sha256(blob).hexdigest()}"
        kept = client.put(path, content=blob)
        assert kept.status_code == 201, kept.text
        assert client.get(path).content == blob
        assert client.get(path, headers={"Range": "bytes=5-9"}).content == blob[5:10]
        parts = os.urandom(6_000_000)
        path = f"/api/blobs/{sha256(parts).hexdigest()}"
        for first in range(0, len(parts), 1_000_000):
            headers = {"Content-Range": f"bytes {first}-{first + 999_999}/{len(parts)}"}
            kept = client.put(path, content=parts[first : first + 1_000_000], headers=headers)
        assert kept.status_code == 201, "parts of one blob go to one server"
        assert client.get(path).content == parts
        refused = client.post("/api/tasks", content=b"x" * (17 << 20), headers={"Content-Type": "application/json"})
        assert (refused.status_code, refused.headers["content-type"]) == (413, "application/problem+json")
        problem = refused.json()
        assert (problem["code"], problem["status"]) == ("too_large", 413)
        assert problem["hint"]


def test_plain_http_is_sent_to_https_and_https_offers_http_2(site: Site) -> None:
    answer = httpx.get(f"http://127.0.0.1:{site.nginx.plain_port}/api/tasks?limit=1", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "https://127.0.0.1/api/tasks?limit=1")
    tls = ssl.create_default_context(cafile=site.nginx.chain)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", site.nginx.port), 10) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        assert line.selected_alpn_protocol() == "h2"


def test_with_no_server_left_the_answer_is_a_problem_document_that_says_when_to_ask_again(site: Site) -> None:
    nowhere = Nginx(site.nginx.chain.parent / "nowhere", [_Gone(), _Gone()])  # type: ignore[list-item]
    try:
        tls = ssl.create_default_context(cafile=nowhere.chain)
        with httpx.Client(base_url=nowhere.url, verify=tls, trust_env=False) as client:
            answers = [client.get("/api/tasks"), client.post("/api/tasks", json={}, headers={"Idempotency-Key": "k"})]
    finally:
        nowhere.stop()
    for answer in answers:
        assert (answer.status_code, answer.headers["retry-after"]) == (502, "2")
        assert json.loads(answer.text)["code"] == "no_server"


class _Gone:
    def __init__(self) -> None:
        self.port = free_port()
