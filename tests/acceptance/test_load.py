"""The load that outages are measured with counts what it is there to count."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.load import Load


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers all but one of ten requests."""

    protocol_version = "HTTP/1.1"
    number = 0
    connections = 0

    def setup(self) -> None:
        type(self).connections += 1
        super().setup()

    def do_GET(self) -> None:
        type(self).number += 1
        self.send_response(503 if self.number % 10 == 0 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Handler.number = Handler.connections = 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server
    server.shutdown()
    server.server_close()
    serving.join()


def test_a_steady_load_counts_each_request_and_each_failure(server: http.server.ThreadingHTTPServer) -> None:
    with Load(server.server_port, "an.app", rate=100) as load:
        load.during(lambda: None, before=0.2, after=0.8)
    assert len(load.counts.answers) == Handler.number
    assert len(load.counts.failed) == Handler.number // 10
    assert load.counts.a_thousand == pytest.approx(100, rel=0.15)
    assert "503: ok" in load.counts.said()
    fresh = sum(one.fresh for one in load.counts.answers)
    assert fresh == len(load.counts.answers) // 4
    assert fresh < Handler.connections < len(load.counts.answers), "the others share connections that are kept"


def test_a_server_that_is_gone_fails_every_request(server: http.server.ThreadingHTTPServer) -> None:
    with Load(1, "an.app", rate=100) as load:
        counts = load.during(lambda: None, before=0.1, after=0.2)
    assert counts.a_thousand == 1000
