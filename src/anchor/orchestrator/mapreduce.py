"""A map-reduce job becomes a run of a graph: its input is cut into pieces, which are named and not copied."""

from importlib.resources import files
from itertools import pairwise
from typing import Any

from anchor.core.dag import Graph
from anchor.core.errors import NotFound, Unprocessable
from anchor.core.mapreduce import MAPS_MAX, MapReduce, batches, chunk_bytes, graph_of
from anchor.core.spec import MIB
from anchor.orchestrator.world import World

LINE_BYTES_MAX = 16 * MIB
"""How far behind a cut its line may end."""
LOOK_BYTES = 64 * 1024
_HARNESS = {
    language: (files("anchor.orchestrator.harness") / name).read_text(encoding="utf-8")
    for language, name in (("python", "shares.py"), ("javascript", "shares.js"))
}


async def drawn_up(world: World, job: MapReduce) -> Graph:
    """The graph of a job; NotFound where its blob is not here, Unprocessable where a line is too long to cut behind."""
    return graph_of(job, await _items(world, job), _HARNESS)


async def _items(world: World, job: MapReduce) -> list[Any]:
    if job.input.values is not None:
        return batches(job.input.values)
    if job.input.files is not None:
        return job.input.files
    digest = (job.input.blob or "").removeprefix("sha256:")
    size = await world.blobs.size(digest)
    if size is None:
        raise NotFound(f"The blob sha256:{digest} is not here.", hint="Upload it with PUT /api/blobs/{sha256} first.")
    cuts = await _cuts(world, digest, size, chunk_bytes(size, job.input.chunk_mb), lines=job.input.split == "lines")
    return [f"sha256:{digest}[{start}:{end}]" for start, end in pairwise(cuts)]


async def _cuts(world: World, digest: str, size: int, step: int, *, lines: bool) -> list[int]:
    """Where pieces begin, and the end of the last; only what is around a cut is read."""
    cuts = [0]
    while cuts[-1] < size and len(cuts) <= MAPS_MAX:
        wanted = cuts[-1] + step
        if wanted >= size or len(cuts) == MAPS_MAX:
            cuts.append(size)
        else:
            cuts.append(await _line_end(world, digest, size, wanted) if lines else wanted)
    return cuts


async def _line_end(world: World, digest: str, size: int, at: int) -> int:
    """The first byte behind the line that the byte before `at` is part of."""
    start = at - 1
    while start < size:
        looked = start
        async for chunk in world.blobs.get(digest, start, min(start + LOOK_BYTES, size)):
            found = chunk.find(b"\n")
            if found >= 0:
                return looked + found + 1
            looked += len(chunk)
        start = looked
        if start - at > LINE_BYTES_MAX:
            raise Unprocessable(
                f"A line of the blob is longer than {LINE_BYTES_MAX // MIB} MiB (around byte {at:,}).",
                hint="Cut it at any byte (split: bytes), or give files.",
                code="line_too_long",
            )
    return size
