"""A MongoDB for tests: the MongoDB wire emulator as a process of its own, or a real mongod that somebody else runs."""

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
LOG_TAIL = 3000
GIVEN = os.environ.get("ANCHOR_TEST_MONGO_URL", "")
"""The URL of a real mongod to use instead of the emulator."""


class MongoEngine:
    """A MongoDB wire emulator on the loopback that can be killed and started again on the same port and data."""

    def __init__(self, directory: Path, *, port: int | None = None, syncs: bool = True) -> None:
        if importlib.util.find_spec("secantus") is None:
            pytest.skip("there is no MongoDB wire emulator here: install the test extra (secantusdb)")
        self.directory = directory
        self.port = port or _free_port()
        self._durability = ["--sync-on-commit"] if syncs else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a store can be opened."""
        return self.url_of("anchor")

    def url_of(self, database: str) -> str:
        """The URL of another database in the same engine."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?directConnection=true"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the MongoDB wire emulator is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "secantus", *self._durability, "--host", "127.0.0.1", "--port", str(self.port),
            "--storage-path", str(self.directory / "data"), "--log-level", "WARNING",
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory
            )
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(self.url):
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                self.kill()
                said = self._log.read_text(errors="replace")[-LOG_TAIL:]
                raise AssertionError(f"the MongoDB wire emulator does not answer (exit code {code}):\n{said}")

    def kill(self) -> None:
        """kill -9: nothing is flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def restart(self) -> None:
        """Start it again on the same port and data, after `kill` or `stop` or instead of them."""
        self.stop()
        self.start()

    @property
    def _log(self) -> Path:
        return self.directory / "mongo.log"


class GivenMongo:
    """A real mongod that the tests did not start and so may not end."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._databases = [f"anchor_test_{secrets.token_hex(6)}"]
        self.port = self._parts.port or 27017

    @property
    def url(self) -> str:
        """Where a store can be opened: a database of its own, dropped at the end."""
        return self._parts._replace(path=f"/{self._databases[0]}").geturl()

    def url_of(self, database: str) -> str:
        """The URL of another database, dropped at the end as well."""
        name = f"{self._databases[0]}_{database}"[:60]
        self._databases.append(name)
        return self._parts._replace(path=f"/{name}").geturl()

    @property
    def pid(self) -> int:
        return _not_ours()

    def kill(self) -> None:
        _not_ours()

    def restart(self) -> None:
        _not_ours()

    def stop(self) -> None:
        """Leave nothing behind."""
        client: MongoClient[dict[str, object]]
        with MongoClient(self._parts.geturl()) as client:
            for name in self._databases:
                client.drop_database(name)


Engine = MongoEngine | GivenMongo


@contextlib.contextmanager
def running_mongo(directory: Path, *, port: int | None = None) -> Iterator[Engine]:
    """An engine that answers; ended, with its databases, on the way out. Skips where there is none."""
    if GIVEN:
        engine: Engine = GivenMongo(GIVEN)
    else:
        engine = MongoEngine(directory, port=port)
        engine.start()
    try:
        yield engine
    finally:
        if isinstance(engine, GivenMongo):
            engine.stop()
        else:
            # The directory is thrown away: there is nothing an orderly end would save.
            engine.kill()


def _not_ours() -> int:
    pytest.skip("ANCHOR_TEST_MONGO_URL names a mongod that these tests may not kill")


def _answers(url: str) -> bool:
    try:
        client: MongoClient[dict[str, object]]
        with MongoClient(url, serverSelectionTimeoutMS=200, connectTimeoutMS=200, socketTimeoutMS=5000) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
