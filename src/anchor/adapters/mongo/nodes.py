"""Nodes: one small document each."""

import msgspec

from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import change, insert, new, swap
from anchor.core.node import Node

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Node).decode


class Nodes(Part):
    """The node part of the store."""

    async def insert_node(self, node: Node) -> bool:
        """Write a new node; False where the id is taken."""
        with self.writing():
            [done] = await insert(
                self.database["nodes"], [new({"_id": node.id, "ver": node.ver, "json": _encode(node)})]
            )
            return done

    async def swap_node(self, old: Node, new: Node) -> bool:
        """Compare-and-set on `ver`."""
        with self.writing():
            [done] = await swap(self.database["nodes"], [change(old.id, old.ver, new.ver, {"json": _encode(new)})])
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
