"""An app's log as it is kept: one part for each generation, read together in the order in which it came."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from anchor.core.app import App
from anchor.failpoints import reached
from anchor.orchestrator.world import World
from anchor.ports.store import LogChunk, LogStore
from anchor.server.app_output import ORIGIN_SEQ, PAGE, Origin

GENERATIONS_KEPT: Final = 20
"""Of those that are over, so many newest ones keep their log."""
_decode_origin = msgspec.json.Decoder(Origin).decode


async def generations_in(store: LogStore, app_id: int, after: int = 0) -> dict[int, Origin]:
    """The generations above `after` that have a log, each with the replica that it was."""
    found: dict[int, Origin] = {}
    while page := await store.read(app_id, attempt=after, seq=ORIGIN_SEQ, limit=1):
        after = page[0].attempt
        last = await store.read(app_id, attempt=after, seq=ORIGIN_SEQ - 1, limit=1)
        if last and last[0].attempt == after:
            found[after] = _decode_origin(last[0].text)
    return found


async def read_behind(store: LogStore, app_id: int, places: Mapping[int, int], *, up_to: int) -> list[LogChunk]:
    """The next pieces behind the number given for each generation, up to the number `up_to`, in the order in which they
    came; empty where there are none."""
    found: list[LogChunk] = []
    for generation, seq in places.items():
        # One first: of a generation that has nothing new, a page would be one of the next.
        page = await store.read(app_id, attempt=generation, seq=seq, limit=1)
        if page and page[0].attempt == generation and page[0].seq <= up_to:
            page = await store.read(app_id, attempt=generation, seq=seq, limit=PAGE)
            mine = [piece for piece in page if piece.attempt == generation and piece.seq <= up_to]
            found += mine
            if len(mine) == PAGE:  # what it has beyond comes before what others have beyond it
                up_to = mine[-1].seq
    return sorted((piece for piece in found if piece.seq <= up_to), key=lambda piece: piece.seq)


async def forget_old(world: World) -> None:
    """Remove the logs of generations that were over long ago."""
    for app in world.apps.all():
        logged = await generations_in(world.store, app.id)
        for generation in _forgotten(app, logged):
            await world.store.trim_log(app.id, generation, None)
            reached("retention.app_log_removed")


def _forgotten(app: App, logged: Collection[int]) -> list[int]:
    live = {one.generation for one in app.replicas}
    over = sorted(generation for generation in logged if generation not in live)
    return over[:-GENERATIONS_KEPT]
