"""How this store talks to MongoDB: what counts as written, and how long anything may take."""

from typing import Any, Final

from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.uri_parser import parse_uri

from anchor.core.errors import InvalidRequest

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]

DATABASE: Final = "anchor"
SELECT_MS: Final = 3_000
"""How long to look for a primary before saying that there is none."""
SOCKET_MS: Final = 10_000
CONFIRM_MS: Final = 8_000
"""How long a majority may take to confirm a write before its outcome counts as unknown."""


def connected(uri: str) -> tuple[Client, Database]:
    """A client that has not spoken yet, and the database the URI names (`anchor` where it names none).

    A write is acknowledged once a majority has it in its journal, and a read sees what a majority has: neither can be
    rolled back by a failover. The driver's own retries of writes are off, for `writes` repeats them and has to know
    which try an answer belongs to.

    InvalidRequest where the URI cannot be read.
    """
    try:
        name = parse_uri(uri, validate=True)["database"] or DATABASE
        client: Client = AsyncMongoClient(
            uri,
            appname="anchor",
            w="majority",
            journal=True,
            wTimeoutMS=CONFIRM_MS,
            readConcernLevel="majority",
            readPreference=ReadPreference.PRIMARY.mongos_mode,
            retryWrites=False,
            retryReads=True,
            serverSelectionTimeoutMS=SELECT_MS,
            connectTimeoutMS=SELECT_MS,
            socketTimeoutMS=SOCKET_MS,
            waitQueueTimeoutMS=SOCKET_MS,
            tz_aware=True,
        )
    except (InvalidURI, PyMongoError, ValueError) as error:
        raise InvalidRequest(
            f"The address of the MongoDB store cannot be used: {error}",
            hint="It looks like mongodb://user:password@host:27017/anchor?replicaSet=rs0.",
            code="store_url_invalid",
        ) from error
    return client, client[name]
