"""Idempotency keys: whoever writes first owns the key."""

import sqlite3

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.core.ids import keys_from
from anchor.ports.store import Claim


class Claims(Part):
    """The claim part of the store."""

    async def claim(self, claim: Claim) -> Claim:
        """Write a claim, or return the one that was there first for this owner and key."""
        return await self._commits.submit(_CLAIM, claim)

    async def fulfil(self, claim: Claim) -> None:
        """Mark a claim as carried out."""
        await self._commits.submit(_FULFIL, claim)


def _claim(db: sqlite3.Connection, claim: Claim) -> Claim:
    last = keys_from(claim.first, claim.count)[-1] if claim.count else claim.first
    values = (claim.owner, claim.key, claim.digest, claim.first, last, claim.count, claim.done, claim.at)
    inserted = db.execute(
        "INSERT OR IGNORE INTO claims (owner, key, digest, first, last, count, done, at) VALUES (?,?,?,?,?,?,?,?)",
        values,
    )
    if inserted.rowcount == 1:
        return claim
    digest, first, count, done, at = db.execute(
        "SELECT digest, first, count, done, at FROM claims WHERE owner = ? AND key = ?", (claim.owner, claim.key)
    ).fetchone()
    return Claim(claim.owner, claim.key, digest, first, count, bool(done), at)


def _fulfil(db: sqlite3.Connection, claim: Claim) -> None:
    db.execute("UPDATE claims SET done = 1 WHERE owner = ? AND key = ?", (claim.owner, claim.key))


_CLAIM = Each(_claim)
_FULFIL = Each(_fulfil)
