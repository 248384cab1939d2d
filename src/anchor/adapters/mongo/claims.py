"""Idempotency keys: whoever writes first owns the key."""

import msgspec
from pymongo.errors import DuplicateKeyError

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.writes import persist
from anchor.core.ids import keys_from
from anchor.ports.store import Claim


class Claims(Part):
    """The claim part of the store."""

    async def claim(self, claim: Claim) -> Claim:
        """Write a claim, or return the one that was there first for this owner and key.

        The answer is what stands there, so a lost reply needs no telling whose it is.
        """
        with self.writing():
            return await persist(lambda: self._claim(claim))

    async def fulfil(self, claim: Claim) -> None:
        """Mark a claim as carried out."""
        with self.writing():
            await persist(lambda: self.database["claims"].update_one(_where(claim), {"$set": {"done": True}}))

    async def _claim(self, claim: Claim) -> Claim:
        last = keys_from(claim.first, claim.count)[-1] if claim.count else claim.first
        document = {
            **_where(claim),
            "digest": claim.digest,
            "first": claim.first,
            "last": last,
            "count": claim.count,
            "done": claim.done,
            "at": claim.at,
        }
        while True:
            try:
                await self.database["claims"].insert_one(document)
            except DuplicateKeyError:
                there = await self.database["claims"].find_one(_where(claim))
                if there is None:  # removed since: it is free again
                    continue
                return msgspec.structs.replace(
                    claim,
                    digest=there["digest"],
                    first=int(there["first"]),
                    count=int(there["count"]),
                    done=there["done"],
                    at=int(there["at"]),
                )
            return claim


def _where(claim: Claim) -> Document:
    return {"_id": {"owner": claim.owner, "key": claim.key}}
