"""Smaller tours: `anchor up`, a server that others can reach, backup and restore, and what no program of ours calls."""

import asyncio
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pymongo import AsyncMongoClient, MongoClient
from tests.failpoints.agents import LABEL, whole
from tests.failpoints.app_steps import have_an_app
from tests.failpoints.engines import Shared
from tests.failpoints.launch import Died, Program, call
from tests.failpoints.tour import Lost, Step, Tour, spec

from anchor.adapters.gridfs.blobs import GridFsBlobs
from anchor.failpoints import EXIT_CODE


class UpTour(Tour):
    """`anchor up`: the agent is the program's own."""

    def everybody_works(self) -> None:
        """It does already."""


def work_alone(tour: Tour) -> None:
    """The machine's own agent joins by itself."""
    tour.submit("alone", whole("alone", 1))
    tour.until(list(tour.told), "succeeded")


UP_STEPS: tuple[Step, ...] = (work_alone,)
UP = {"command": "up", "labels": LABEL, "node_name": "own"}
ELSEWHERE = {"host": "127.0.0.2"}
"""An address at which everybody needs a token."""


class BackupTour(Tour):
    """A server that is backed up and restored; the commands may die."""

    def start(self, **settings: object) -> None:
        """The server itself is not meant to die."""
        self.server.start(**settings)

    def run(self, *arguments: str) -> None:
        """Run a command to its end; again where it dies."""
        program = Program(self.directory / "commands.log", *arguments, "--data", str(self.server.data), **self.settings)
        program.start(failpoint=self.failpoint)
        code = program.wait()
        if code != 0 and not (code == EXIT_CODE and self.failpoint):
            raise Lost(f"{arguments} ended with {code}:\n{program.said()}")
        if code == EXIT_CODE:
            self.died = True
            self.look_in()
            self.run(*arguments)

    def everybody_works(self) -> None:
        """Once there is a server again."""
        self.server.start()
        super().everybody_works()

    def look_in(self) -> None:
        """After a death: the server starts with everything that was there, or says what to do."""
        try:
            self.server.start()
        except Died:
            if "anchor restore" not in self.server.said():
                raise
            return
        for task in self.told:
            self.task(task)
        self.seen_to_die(self.server.end(), expected=0)


def fill(tour: BackupTour) -> None:
    """Tasks that ended, with output and blobs, one that waits, and an app."""
    have_an_app(tour)
    for number, do in enumerate(("echo", "print", "big")):
        tour.submit(do, spec(do, number, "main"))
    tour.machine("main")
    tour.until(list(tour.told), "succeeded")
    tour.submit("waiting", spec("echo", 9, "nowhere"))
    tour.disconnect()
    tour.seen_to_die(tour.server.end(), expected=0)


def back_up(tour: BackupTour) -> None:
    """Into a file."""
    tour.run("backup", str(tour.directory / "backup.tar"))


def restore(tour: BackupTour) -> None:
    """In the place of what is there."""
    tour.run("restore", str(tour.directory / "backup.tar"), "--replace")


BACKUP_STEPS: tuple[Step, ...] = (fill, back_up, restore)


def sweep_twice(engines: Shared, failpoint: str) -> None:
    """An upload that broke off two days ago is swept away, by a second try where the first one dies."""
    url = engines.new_url()
    with MongoClient(url) as client:
        chunks = client.get_default_database()["fs.chunks"]
        key = ObjectId.from_datetime(datetime.now(UTC) - timedelta(days=2))
        chunks.insert_many([{"files_id": key, "n": number, "data": b"x"} for number in range(3)])
        assert call(_sweep, url, failpoint=failpoint) == EXIT_CODE
        assert chunks.count_documents({}) > 0
        assert call(_sweep, url) == 0
        assert chunks.count_documents({}) == 0


def _sweep(url: str) -> None:
    asyncio.run(_swept(url))


async def _swept(url: str) -> None:
    async with AsyncMongoClient(url) as client:
        await GridFsBlobs(client.get_default_database()).sweep()
