"""The durable truth in MongoDB, shared by any number of servers."""

from anchor.adapters.mongo.store import MongoStore

__all__ = ["MongoStore"]
