"""Nodes: one small document each."""

import sqlite3

import msgspec

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.core.node import Node

_decode = msgspec.json.Decoder(Node).decode


class Nodes(Part):
    """The node part of the store."""

    async def insert_node(self, node: Node) -> bool:
        """Write a new node; False where the id is taken."""
        return await self._commits.submit(_INSERT, node)

    async def swap_node(self, old: Node, new: Node) -> bool:
        """Compare-and-set on `ver`."""
        return await self._commits.submit(_SWAP, (old, new))

    async def node(self, node_id: str) -> Node | None:
        """One node as it is now."""
        row = await self._reads.run(lambda db: db.execute("SELECT json FROM nodes WHERE id = ?", (node_id,)).fetchone())
        return None if row is None else _decode(row[0])

    async def nodes(self) -> list[Node]:
        """All nodes, by id."""
        rows = await self._reads.run(lambda db: db.execute("SELECT json FROM nodes ORDER BY id").fetchall())
        return [_decode(json) for (json,) in rows]


def _insert(db: sqlite3.Connection, node: Node) -> bool:
    values = (node.id, node.ver, msgspec.json.encode(node))
    return db.execute("INSERT OR IGNORE INTO nodes (id, ver, json) VALUES (?, ?, ?)", values).rowcount == 1


def _swap(db: sqlite3.Connection, change: tuple[Node, Node]) -> bool:
    old, new = change
    values = (new.ver, msgspec.json.encode(new), old.id, old.ver)
    return db.execute("UPDATE nodes SET ver = ?, json = ? WHERE id = ? AND ver = ?", values).rowcount == 1


_INSERT = Each(_insert)
_SWAP = Each(_swap)
