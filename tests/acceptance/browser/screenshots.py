"""Pictures of every page in both themes, wide and on a phone, of a real server with something of everything.

    python -m tests.acceptance.browser.screenshots [FOLDER]

For people to look at; nothing compares them. Needs Chromium and a build of the dashboard.
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright
from tests.acceptance.browser.conftest import CHROMIUM
from tests.acceptance.browser.looks import SOURCE_PATHS
from tests.acceptance.small_apps import ANSWERING
from tests.system.fleet import Agent, Server

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = {"day": "light", "night": "dark"}
LIAR = Path(__file__).parents[2] / "system" / "liar.py"
SETTLE_SECONDS = 20.0
PRIMES = """
const { to } = input;
const found = [];
for (let n = 2; n < to; n += 1) if (found.every((prime) => n % prime)) found.push(n);
console.log("primes", found.length);
return found.length;
"""
BLOCKS = """
for (let block = 1; block <= 600; block += 1) {
  const end = Date.now() + 600;
  while (Date.now() < end);
  console.log(`block ${block}/600 ok`);
}
"""
BROKEN = "const ledger = null;\nreturn ledger.rows.length;"
NOWHERE = {"requirements": {"labels": ["gpu:a100"]}}
NIGHTLY = {
    "name": "nightly-report",
    "tasks": [
        {"id": "fetch", "payload": {"sourceCode": "return [3, 1, 2]"}},
        {"id": "clean", "dependencies": ["fetch"], "payload": {"sourceCode": "return 1"}},
        {"id": "enrich", "dependencies": ["fetch"], "payload": {"sourceCode": "return 2"}},
        {"id": "convert", "dependencies": ["fetch"], "payload": {"sourceCode": BROKEN}, "retry": {"attempts": 1}},
        {"id": "verify", "dependencies": ["clean", "enrich"], "payload": {"sourceCode": "return true"}},
        {"id": "publish", "dependencies": ["verify", "convert"], "payload": {"sourceCode": "return 'out'"}},
    ],
}


class Cheat(Agent):
    """An agent that answers at once, and always the same."""

    def __init__(self, directory: Path, server: Server, name: str, *options: str) -> None:
        super().__init__(directory, server, name, *options, slots=2)
        self._arguments = [sys.executable, str(LIAR), "always", *self._arguments[3:]]


class Fleet:
    """A server, five machines of three sites, one of which cheats, and work for them."""

    def __init__(self, directory: Path) -> None:
        self.server = Server(directory, lease_seconds=30)
        self.http = httpx.Client(base_url=self.server.url, trust_env=False, timeout=60)
        sites = {"maria": "Lisbon", "joana": "Lisbon", "uni-porto": "Porto", "ferrol": "Ferrol"}
        self.agents = [
            Agent(directory, self.server, name, "--label", f"site:{site}", slots=2) for name, site in sites.items()
        ]
        self.agents.append(Cheat(directory, self.server, "eve", "--label", "site:Porto", "--label", "of:eve"))
        self.ids: dict[str, str] = {}
        self.rest = threading.Event()
        self._worker = threading.Thread(target=self.work)

    def start(self) -> None:
        self.server.start_and_wait()
        for agent in self.agents:
            agent.join(key=self.post("/api/keys", name=agent.name, role="operator")["token"])
        for agent in self.agents:
            agent.node = agent.wait_until_online()

    def stop(self) -> None:
        self.rest.set()
        if self._worker.ident is not None:
            self._worker.join()
        self.http.close()
        for program in (*self.agents, self.server):
            with contextlib.suppress(Exception):
                program.stop()
            program.kill()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.post(path, json=body).raise_for_status().json()
        return answer

    def submit(self, name: str, code: str, *, to: int = 0, **more: Any) -> str:
        payload = {"sourceCode": code, "input": {"to": to}}
        task: str = self.post("/api/tasks", name=name, payload=payload, **more)["id"]
        return task

    def until_over(self, *tasks: str) -> None:
        for task in tasks:
            self.http.get(f"/api/tasks/{task}/result", params={"wait": 60})

    def seed(self) -> None:
        """Some of everything; the ids of one of each."""
        honest = {"requirements": {"labels": ["site:Lisbon"]}}
        hers = {"requirements": {"labels": ["of:eve"]}}
        over = [self.submit("warm-up", "return 1", **hers)]
        over += [self.submit(f"primes-{n}", PRIMES, to=2000 + n, **honest) for n in range(60)]
        over += [self.submit("ledger", BROKEN, retry={"attempts": 1}, **honest) for _ in range(3)]
        self.until_over(*over)
        self.submit("prime-finder", "return -42", verify={"policy": "quorum", "copies": 3, "agree": 2})
        self.ids["run"] = self.post("/api/dags", **NIGHTLY)["id"]
        long = {"limits": {"timeoutSeconds": 600}}
        waiting = [self.submit(f"train-{n}", "return 1", **NOWHERE) for n in range(8)]
        self.http.post(f"/api/tasks/{waiting[0]}/cancel")
        self.ids["task"] = self.submit("matmul-4096", BLOCKS, **honest, **long)
        for _ in range(2):
            self.submit("render", BLOCKS, requirements={"labels": ["site:Ferrol"]}, **long)
        self.until(lambda: self.http.get("/api/verification/cases").json())
        self.ids["case"] = self.http.get("/api/verification/cases").json()[0]["id"]
        self.ids["node"] = self.agents[0].node
        small = {"ram": "128MB", "cpu": 0.5}
        made = self.http.post(
            "/api/clusters", json={"name": "docs-site", "type": "Web", "files": ANSWERING, "config": small}
        )
        if made.is_success:  # this machine may host no apps
            self.ids["app"] = made.json()["id"]
            self.until(lambda: self.http.get(f"/api/clusters/{self.ids['app']}").json()["state"] == "running")
        self._worker.start()

    def work(self) -> None:
        """Small tasks, one after the other, until `rest`: pages that show what happens have something to show."""
        number = 0
        while not self.rest.wait(0.4):
            number += 1
            busy = f"const end = Date.now() + {150 * (number * 7 % 11 + 1)}; while (Date.now() < end);"
            with contextlib.suppress(httpx.HTTPError):
                self.submit(f"resize-{number}", busy + (BROKEN if number % 23 == 0 else ""), retry={"attempts": 1})

    def until(self, holds: Any) -> None:
        end = time.monotonic() + 60
        while not holds() and time.monotonic() < end:
            time.sleep(0.1)


@contextmanager
def fleet() -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        one = Fleet(Path(directory))
        try:
            one.start()
            one.seed()
            yield one
        finally:
            one.stop()


def paths_of(ids: dict[str, str]) -> dict[str, str]:
    """The pages there is something to see on, by the names of their pictures."""
    kinds = {
        "/tasks/$id": "task",
        "/dags/$id": "run",
        "/clusters/$id": "app",
        "/nodes/$id": "node",
        "/cases/$id": "case",
    }
    found = {}
    for path in SOURCE_PATHS:
        kind = kinds.get(path)
        if kind is None:
            found[path.strip("/").replace("/", "-") or "watch"] = path
        elif kind in ids:
            found[kind] = path.replace("$id", ids[kind])
    return found


def take(browser: Browser, url: str, paths: dict[str, str], folder: Path) -> None:
    """Each page in each theme and size, into files named after them."""
    for theme, scheme in THEMES.items():
        for size, (width, height) in SIZES.items():
            context = browser.new_context(
                base_url=url,
                color_scheme=scheme,
                viewport={"width": width, "height": height},  # type: ignore[arg-type]
            )
            page = context.new_page()
            for name, path in paths.items():
                page.goto(path)
                page.locator("main h1").wait_for()
                page.wait_for_timeout(SETTLE_SECONDS * 1000 if name == "watch" and size == "wide" else 1000)
                page.screenshot(path=folder / f"{name}-{size}-{theme}.png")
            context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("screenshots"))
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        seeded = stack.enter_context(fleet())
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        take(browser, seeded.server.url, paths_of(seeded.ids), folder)
        browser.close()
    print(f"{len(list(folder.glob('*.png')))} pictures are in {folder}")  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
