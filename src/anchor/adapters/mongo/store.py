"""The shared store: connects to MongoDB, brings the database up to date and puts the parts together."""

import asyncio

from pymongo.errors import PyMongoError

from anchor.adapters.mongo.apps import Apps
from anchor.adapters.mongo.audit import Audit
from anchor.adapters.mongo.cases import Cases
from anchor.adapters.mongo.claims import Claims
from anchor.adapters.mongo.clock import MongoClock
from anchor.adapters.mongo.connection import Client, Database, connected
from anchor.adapters.mongo.duties import Duties
from anchor.adapters.mongo.keys import Keys
from anchor.adapters.mongo.logs import Logs
from anchor.adapters.mongo.nodes import Nodes
from anchor.adapters.mongo.retention import Retention
from anchor.adapters.mongo.runs import Runs
from anchor.adapters.mongo.schema import MARKS, migrate, refuse_half_restored
from anchor.adapters.mongo.tasks import Tasks
from anchor.adapters.mongo.trouble import explained, in_our_words
from anchor.adapters.mongo.writes import persist


class MongoStore(Tasks, Runs, Cases, Apps, Nodes, Logs, Claims, Keys, Duties, Audit, Retention):
    """All that is durable, in one MongoDB database that any number of servers share.

    Use it from the event loop it was opened on. `clock` tells the store's time; `database` is for the blobs.
    """

    def __init__(
        self, client: Client, database: Database, clock: MongoClock, *, has_snapshots: bool, last_key: int
    ) -> None:
        super().__init__(client, database, clock, has_snapshots=has_snapshots)
        self.last_key = last_key
        """The highest key in the store when it was opened."""
        self._following = asyncio.create_task(clock.follow(database))

    @classmethod
    async def open(cls, uri: str, *, half_restored: bool = False) -> "MongoStore":
        """Connect, and bring the database that the URI names (`anchor` where it names none) up to date.

        One that is being restored is opened with `half_restored` only.

        InvalidRequest where the URI cannot be read; Unavailable where MongoDB is not there or does not let us in;
        Conflict where the database is a stranger's, a newer Anchor's, or has an index that is not ours.
        """
        client, database = connected(uri)
        clock = MongoClock()
        try:
            hello = await client.admin.command("hello")
            await clock.ask(database)
            if not half_restored:
                await refuse_half_restored(database)
            await migrate(database)
            last_key = await _last_key(database)
        except BaseException as error:
            await client.close()
            if isinstance(error, PyMongoError):
                raise explained(error) from error
            raise
        # A snapshot read needs a replica set; a single mongod has no other servers to be consistent with.
        has_snapshots = "setName" in hello or hello.get("msg") == "isdbgrid"
        return cls(client, database, clock, has_snapshots=has_snapshots, last_key=last_key)

    async def epoch(self) -> int:
        """How often this truth was restored from a backup."""
        with in_our_words():
            mark = await self.database[MARKS].find_one({"_id": "epoch"})
        return 0 if mark is None else int(mark["value"])

    async def set_epoch(self, epoch: int) -> None:
        """Make this the store's epoch."""
        with self.writing():
            marks = self.database[MARKS]
            await persist(lambda: marks.update_one({"_id": "epoch"}, {"$set": {"value": epoch}}, upsert=True))

    async def close(self) -> None:
        """Finish what was asked, then let go of the connections."""
        await self._end_writing()
        while not self._following.done():
            # More than once: the driver's `asyncio.wait_for` may swallow a cancel (Python 3.11).
            self._following.cancel()
            await asyncio.wait([self._following], timeout=0.5)
        await self.client.close()


async def _last_key(database: Database) -> int:
    newest = await database["tasks"].find({}, {"_id": 1}).sort("_id", -1).limit(1).to_list()
    claimed = await database["claims"].find({}, {"last": 1}).sort("at", -1).limit(1).to_list()
    apps = await database["apps"].find({}, {"_id": 1}).sort("_id", -1).limit(1).to_list()
    mark = await database[MARKS].find_one({"_id": "last_key"})
    return max(
        int(newest[0]["_id"]) if newest else 0,
        int(apps[0]["_id"]) if apps else 0,
        int(claimed[0]["last"]) if claimed else 0,
        0 if mark is None else int(mark["value"]),
    )
