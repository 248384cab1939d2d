"""Puts blobs into MongoDB as fast as it can, and says on stdout which were acknowledged, until it is killed."""

import asyncio
import os
import sys

from pymongo import AsyncMongoClient

from anchor.adapters.gridfs.blobs import GridFsBlobs


async def work(blobs: GridFsBlobs, size: int) -> None:
    async def chunks():
        yield os.urandom(size)

    while True:
        digest, _ = await blobs.put(chunks())
        os.write(1, f"{digest}\n".encode())


async def main(url: str) -> None:
    async with AsyncMongoClient(url, w="majority", journal=True) as client:
        blobs = GridFsBlobs(client.get_default_database())
        await asyncio.gather(*[work(blobs, size) for size in (1, 300_000, 2_500_000)])


asyncio.run(main(sys.argv[1]))
