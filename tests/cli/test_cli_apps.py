"""`anchor app` against a real server and agent: a site and a program, deployed, changed, followed and removed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.cli.command import Cli, exit_code_in_process

from anchor.cli import app_attend
from anchor.client import Client

SITE = Path(__file__).parents[2] / "examples" / "apps" / "static-site"
SECRET = "correct-horse"

SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        text = os.environ.get("GREETING", "nothing").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

print("greets with", len(os.environ.get("GREETING", "")), "letters", flush=True)
HTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""


class Here:
    """`anchor` inside the test: these tests have many commands and no time for as many processes."""

    def __init__(self, cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.cli = cli
        self.url = cli.url
        self.directory = cli.directory
        self._variables = {"ANCHOR_DATA": str(cli.directory / "data"), "ANCHOR_URL": cli.url, "COLUMNS": "200"}
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        self._capsys.readouterr()
        code = exit_code_in_process(list(words), self._variables, self._monkeypatch)
        out, err = self._capsys.readouterr()
        return subprocess.CompletedProcess(words, code, out, err)


@pytest.fixture
def hosting(anchor: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command line of a server whose node hosts apps."""
    with Client(anchor.url) as client:
        [node] = client.nodes()
    if "apps" not in node.specs.features:
        pytest.skip(f"this node hosts no apps: {node.specs.missing.get('native', 'nobody said why')}")
    return Here(anchor, monkeypatch, capsys)


def get(url: str, server: str) -> str:
    """What an address answers; a name that only browsers resolve is asked for by its Host."""
    parts = urlsplit(url)
    answer = httpx.get(
        f"{server}{parts.path}", headers={"Host": parts.netloc}, trust_env=False, timeout=10, follow_redirects=True
    )
    assert answer.status_code == 200, answer.text
    return answer.text


def shown(cli: Here, name: str) -> dict[str, Any]:
    view: dict[str, Any] = json.loads(cli("app", "get", name, "-o", "json").stdout)
    return view


def test_a_site_is_deployed_changed_and_gone_back_to(hosting: Here) -> None:
    folder = hosting.directory / "Quiet Page"
    shutil.copytree(SITE, folder)
    (folder / ".env").write_text("KEY=value")
    first = hosting("app", "deploy", str(folder))
    assert first.returncode == 0, first.stderr
    assert "quiet-page: 4 files" in first.stderr
    assert "left out: .env" in first.stderr
    assert "quiet-page is running: release 1, 1 of 1 replicas healthy." in first.stderr
    urls = first.stdout.split()
    assert len(urls) == 2
    for url in urls:
        assert "A quiet page" in get(url, hosting.url)
    assert hosting("app", "open", "quiet-page").stdout.strip() in urls

    (folder / "index.html").write_text("<h1>Louder</h1>")
    second = hosting("app", "deploy", "--replicas", "2", "-o", "json", str(folder))
    assert second.returncode == 0, second.stderr
    view = json.loads(second.stdout)
    assert (view["live"], view["ready"], view["config"]["scale"]) == (2, 2, {"web": 2})
    assert get(urls[0], hosting.url) == "<h1>Louder</h1>"

    broken = hosting("app", "deploy", str(folder), "--build", "echo no such compiler; exit 3")
    assert broken.returncode == 1, broken.stderr
    assert "no such compiler" in broken.stderr
    assert "Release 2 goes on serving." in broken.stderr
    assert get(urls[0], hosting.url) == "<h1>Louder</h1>"

    seen = hosting.cli.at_a_terminal("app", "rollback", "quiet-page", "1", COLUMNS="120")
    assert (seen.code, seen.out.decode().split()) == (0, urls), seen.text
    assert "of 2 replicas of release 4 healthy" in seen.text
    assert "A quiet page" in get(urls[0], hosting.url)
    told = hosting("app", "get", "quiet-page").stdout
    for words in ("quiet-page", "● running", "web.0", "web.1", "● live", "✘ failed", "repeats 1", *urls):
        assert words in told, words
    assert "quiet-page" in hosting("app", "ls").stdout

    stopped = hosting("app", "stop", "quiet-page")
    assert (stopped.returncode, stopped.stdout) == (0, ""), stopped.stderr
    assert shown(hosting, "quiet-page")["state"] == "stopped"
    assert hosting("app", "start", "quiet-page").returncode == 0
    assert hosting("app", "rm", "quiet-page").returncode == 2
    assert hosting("app", "rm", "quiet-page", "--yes").returncode == 0


def test_a_program_has_its_variables_and_its_log(hosting: Here) -> None:
    folder = hosting.directory / "greeter"
    folder.mkdir()
    (folder / "server.py").write_text(SERVER)
    (folder / "Procfile").write_text("web: python server.py\nworker: while true; do echo tick; sleep 0.1; done\n")
    (folder / "anchor-app.toml").write_text('ram = "128MB"\nscale = {worker = 0}\n')
    (folder / "secrets").write_text(f'export GREETING="{SECRET}"\n')
    made = hosting("app", "deploy", str(folder), "--env-file", str(folder / "secrets"))
    assert made.returncode == 0, made.stderr
    assert "web.0 is healthy on " in made.stderr
    [url, *_] = made.stdout.split()
    assert get(url, hosting.url) == SECRET

    assert hosting("app", "env", "greeter").stdout == "GREETING\n"
    changed = hosting("app", "env", "greeter", "set", "GREETING=hi", "OTHER=1")
    assert changed.returncode == 0, changed.stderr
    assert get(url, hosting.url) == "hi"
    assert json.loads(hosting("app", "env", "greeter", "-o", "json").stdout) == ["GREETING", "OTHER"]
    assert hosting("app", "env", "greeter", "unset", "OTHER", "--detach").returncode == 0

    scaled = hosting("app", "scale", "greeter", "worker=1")
    assert scaled.returncode == 0, scaled.stderr
    with hosting.cli.start("app", "logs", "greeter", "-f", "--process", "worker") as following:
        assert following.stdout is not None
        lines = [following.stdout.readline() for _ in range(20)]
        following.kill()
    assert "worker.0 | tick\n" in lines
    assert all(line.startswith("worker.0 | ") for line in lines)
    whole = hosting("app", "logs", "greeter", "--process", "web").stdout
    assert "web.0 | greets with 13 letters" in whole
    assert "web.0 | greets with 2 letters" in whole
    assert "tick" not in whole
    [last] = json.loads(hosting("app", "logs", "greeter", "--tail", "1", "-o", "json").stdout)
    assert last["text"].count("\n") == 1
    for words in (["get", "greeter"], ["get", "greeter", "-o", "json"], ["logs", "greeter", "-o", "json"]):
        assert SECRET not in hosting("app", *words).stdout
    assert hosting("app", "rm", "greeter", "-y").returncode == 0


def test_what_is_no_app_and_what_there_is_not_is_told_with_what_to_do(
    hosting: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hosting.directory / "papers"
    folder.mkdir()
    (folder / "notes.doc").write_text("x")
    refused = hosting("app", "deploy", str(folder))
    assert (refused.returncode, refused.stdout) == (6, "")
    assert "no app that can be run" in refused.stderr
    assert "Found notes.doc" in refused.stderr
    assert hosting("app", "deploy", str(folder), "--kind", "static").returncode == 6
    site = hosting("app", "deploy", str(SITE), "--name", "sites", "--detach")
    assert (site.returncode, site.stdout) == (0, "sites\n"), site.stderr
    for words in (["get", "site"], ["logs", "site"], ["scale", "site", "2"], ["env", "Sites"], ["rm", "site", "-y"]):
        absent = hosting("app", *words)
        assert absent.returncode == 3, absent.stderr
        assert "Did you mean 'sites'?" in absent.stderr
    monkeypatch.setattr(app_attend, "NO_NODE_SECONDS", 1.0)
    nowhere = hosting("app", "deploy", str(SITE), "--name", "far", "--on", "moon")
    assert nowhere.returncode == 8, nowhere.stderr
    assert "far is still deploying after " in nowhere.stderr
    assert "moon" in nowhere.stderr
    assert "It goes on: `anchor app get far`" in nowhere.stderr
    assert hosting("app", "rm", "far", "-y").returncode == 0
    assert hosting("app", "rm", "sites", "-y").returncode == 0
