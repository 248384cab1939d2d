"""Through the ingress nothing is reached but the app that was named, and from inside an app nothing of its machine."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from tests.acceptance.network import Network, a_network_with
from tests.acceptance.small_apps import ANSWERING, CURIOUS

SECRET = b"the contents of a service on this machine"
METADATA = "169.254.169.254"


class Private:
    """A service that listens on this machine only, as many do; it counts who came."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        visits = self.visits

        class Handler(http.server.BaseHTTPRequestHandler):
            """Tells everybody its secret."""

            def do_GET(self) -> None:
                visits.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(SECRET)

            do_CONNECT = do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network_with(tmp_path_factory.mktemp("reach"), lease_seconds=30) as network:
        network.create("curious", CURIOUS)
        network.create("other", ANSWERING)
        for name in ("curious", "other"):
            network.running(name)
        yield network


@pytest.fixture(scope="module")
def private() -> Iterator[Private]:
    private = Private()
    yield private
    private.stop()


def answer_to(network: Network, request: str) -> bytes:
    """Everything the server says to these bytes until it is silent or hangs up."""
    with network.socket() as line:
        line.settimeout(3)
        line.sendall(request.encode("latin-1"))
        said = b""
        with contextlib.suppress(OSError):
            while piece := line.recv(1 << 16):
                said += piece
        return said


def test_no_request_reaches_a_service_of_the_machine(network: Network, private: Private) -> None:
    app, end = network.host("curious"), "Connection: close\r\n\r\n"
    places = [f"127.0.0.1:{private.port}", f"localhost:{private.port}", f"[::1]:{private.port}", METADATA]
    requests = [
        request
        for place in places
        for request in (
            f"GET / HTTP/1.1\r\nHost: {place}\r\n{end}",
            f"GET http://{place}/ HTTP/1.1\r\nHost: {app}\r\n{end}",
            f"GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\n{end}",
            f"GET //{place}/ HTTP/1.1\r\nHost: {app}\r\n{end}",
            f"GET /apps/curious//{place}/ HTTP/1.1\r\nHost: localhost\r\n{end}",
            f"GET /apps/{place}/ HTTP/1.1\r\nHost: localhost\r\n{end}",
            f"CONNECT {place} HTTP/1.1\r\nHost: {app}\r\n{end}",
            f"GET @{place}/ HTTP/1.1\r\nHost: {app}\r\n{end}",
            f"GET / HTTP/1.1\r\nHost: curious.apps.{place}\r\n{end}",
            f"GET / HTTP/1.1\r\nHost: {place}/curious.apps.localhost\r\n{end}",
            f"GET / HTTP/1.1\r\nHost: curious.apps.localhost@{place}\r\n{end}",
            f"GET / HTTP/1.1\r\nHost: {app}\r\nHost: {place}\r\n{end}",
            f"GET / HTTP/1.1\r\nHost: {app}\r\nX-Forwarded-Host: {place}\r\nForwarded: host={place}\r\n{end}",
        )
    ]
    for request in requests:
        said = answer_to(network, request)
        assert SECRET not in said, request
    assert not private.visits


def test_an_app_reaches_neither_its_machine_nor_the_network_nor_another_app(network: Network, private: Private) -> None:
    own = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family is socket.AF_INET
    ]
    ports = (private.port, network.server.port)
    asked = [f"{host}@{port}" for host in ("127.0.0.1", "::1", "localhost", *own) for port in ports]
    asked.append(f"{METADATA}@80")
    knocked = network.get("curious", "/knock", params={"at": asked}).json()
    assert len(knocked) == len(asked)
    assert not [said for said in knocked if said.endswith("reached")]
    assert not private.visits


@pytest.mark.parametrize("host", ["curious", "nobody"])
def test_an_apps_host_never_reaches_our_api(network: Network, host: str) -> None:
    for path in ("/api/nodes", "/health", "/ready", "/agent", "/tunnel", "/apps/other/", "/api/../api/nodes"):
        answer = answer_to(network, f"GET {path} HTTP/1.1\r\nHost: {network.host(host)}\r\nConnection: close\r\n\r\n")
        body = answer.partition(b"\r\n\r\n")[2]
        if host == "curious":
            assert b'"url":' in body, (path, answer)
        else:
            assert answer.startswith(b"HTTP/1.1 404 "), (path, answer)


@pytest.mark.parametrize(
    "path",
    [
        "/apps/curious/../other/",
        "/apps/curious/%2e%2e/other/",
        "/apps/curious/..%2fother/",
        "/apps/curious/../../api/nodes",
        "/apps/curious/%2e%2e/%2e%2e/api/nodes",
        "/apps//curious/",
        "/apps/curious%2f..%2fother/",
        "/apps/%63urious/",
        "/apps/CURIOUS/",
    ],
)
def test_a_path_that_climbs_stays_with_its_app(network: Network, path: str) -> None:
    said = answer_to(network, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    body = said.partition(b"\r\n\r\n")[2]
    assert b"nodeId" not in body
    assert b'"release"' not in body, "this is the other app"


def test_the_host_is_read_anew_for_each_request_of_a_connection(network: Network) -> None:
    hosts = (
        network.host("curious"),
        network.host("other"),
        f"localhost:{network.server.port}",
        network.host("curious"),
    )
    requests = "".join(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n" for host in hosts)
    said = answer_to(network, requests.removesuffix("\r\n") + "Connection: close\r\n\r\n")
    found = [said.find(mark) for mark in (b'"url":"/health"', b'"path":"/health"', b"ok", b'"url":"/health"')]
    assert said.count(b'"url":"/health"') == 2, said
    assert said.count(b'"path":"/health"') == 1, said
    assert found[0] < found[1], said
