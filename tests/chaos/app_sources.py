"""The apps that chaos strikes: a static site, a tiny Node server, a tiny Python server with a worker."""

from collections.abc import Mapping
from typing import Any

SERVER_JS = """
const {ANCHOR_RELEASE, COLOUR, PORT} = process.env;
const said = JSON.stringify({label: LABEL, release: Number(ANCHOR_RELEASE), colour: COLOUR});
require("http").createServer((_, answer) => answer.end(said)).listen(PORT);
process.on("SIGTERM", () => process.exit());
"""
MAIN_PY = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SAID = {"label": LABEL, "release": int(os.environ["ANCHOR_RELEASE"]), "colour": os.environ.get("COLOUR")}

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        content = json.dumps(SAID).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
WORKER_PY = """
import itertools, time

for number in itertools.count():
    print("tick", number, flush=True)
    time.sleep(1)
"""
SMALL: dict[str, Any] = {"ram": "96MB", "cpu": 0.25, "startSeconds": 20, "drainSeconds": 1}
KINDS: dict[str, dict[str, Any]] = {
    "static": {"scale": {"web": 2}},
    "node": {"scale": {"web": 2}, "healthPath": "/"},
    "python": {
        "scale": {"web": 2, "worker": 1},
        "processes": {"web": "python main.py", "worker": "python worker.py"},
    },
}
"""The config of each kind of app."""
BAD = ("crashes", "never listens", "cannot be built")


def config_of(kind: str) -> dict[str, Any]:
    """The config that an app of a kind is created with."""
    return SMALL | KINDS[kind]


def good(kind: str, label: str) -> Mapping[str, str]:
    """A release that answers with this label."""
    match kind:
        case "static":
            return {"index.html": label}
        case "node":
            return {"server.js": f"const LABEL = {label!r};{SERVER_JS}", "package.json": '{"name": "tiny"}'}
        case _:
            return {"main.py": f"LABEL = {label!r}{MAIN_PY}", "worker.py": WORKER_PY}


def bad(kind: str, how: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A release that never becomes healthy; `config` is the app's."""
    if how == "cannot be built" or kind == "static":
        return {"config": {**config, "build": "echo no such thing >&2; exit 3"}}
    ends = "exit 7" if how == "crashes" else "sleep 1000"
    if kind == "node":
        return {"config": {**config, "startSeconds": 3, "command": ends}}
    return {"config": {**config, "startSeconds": 3, "processes": {**config["processes"], "web": ends}}}
