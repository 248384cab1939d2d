"""Nodes: one small document each."""

import msgspec

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import change, insert, new, swap
from anchor.core.node import Node

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Node).decode


def _fence(node: Node) -> Document:
    """What must not go back, whatever a version stands for after a rollback: the session and its owner's word."""
    return {"session": node.session, "status": str(node.status)}


class Nodes(Part):
    """The node part of the store."""

    async def insert_node(self, node: Node) -> bool:
        """Write a new node; False where the id is taken."""
        with self.writing():
            document = {"_id": node.id, "ver": node.ver, "json": _encode(node), **_fence(node)}
            [done] = await insert(self.database["nodes"], [new(document)])
            return done

    async def swap_node(self, old: Node, new: Node) -> bool:
        """Compare-and-set on `ver`."""
        with self.writing():
            sets = {"json": _encode(new), **_fence(new)}
            [done] = await swap(self.database["nodes"], [change(old.id, old.ver, new.ver, sets, fence=_fence(old))])
            return done

    async def node(self, node_id: str) -> Node | None:
        """One node as it is now."""
        with in_our_words():
            doc = await self.database["nodes"].find_one({"_id": node_id}, {"json": 1})
        return None if doc is None else _decode(doc["json"])

    async def nodes(self) -> list[Node]:
        """All nodes, by id."""
        with in_our_words():
            return [_decode(doc["json"]) async for doc in self.database["nodes"].find({}, {"json": 1}).sort("_id", 1)]
