"""What only one server does at a time: a duty is taken, renewed and fenced by its term."""

from msgspec.structs import replace

from anchor.core.errors import Conflict
from anchor.core.ids import KeySequence, first_key_of
from anchor.failpoints import reached
from anchor.orchestrator.world import World
from anchor.ports.store import Duty, DutyStore

NUMBERS = range(256)
"""The numbers that servers of one store may have in their keys."""
NUMBER_LEASE_MS = 30_000
KEYS_MARGIN_MS = 2_000
"""How long before its number's lease ends a server stops making keys: more than any two servers' clocks differ."""


async def take(
    store: DutyStore, name: str, *, holder: str, now: int, lease_ms: int, note: str = "", by_force: bool = False
) -> Duty | None:
    """A duty in `holder`'s hands until `now + lease_ms`, taken or renewed; None while it is in somebody else's, unless
    it is taken `by_force`, since whoever comes last has it."""
    old = await store.duty(name)
    if old is None:
        mine = Duty(name=name, holder=holder, term=1, until=now + lease_ms, note=note)
    elif old.holder == holder:
        mine = replace(old, until=now + lease_ms, note=note)
    elif old.until <= now or by_force:
        mine = Duty(name=name, holder=holder, term=old.term + 1, until=now + lease_ms, note=note)
    else:
        return None
    taken = await store.swap_duty(old, mine)
    reached("duties.taken")
    return mine if taken else None


async def take_number(store: DutyStore, *, holder: str, now: int, lease_ms: int, note: str) -> Duty:
    """A number of one's own among the servers of a store, as the duty `server/<number>`.

    The one this holder had before where it is still its own, else the lowest that nobody has. Conflict where there
    is none.
    """
    known = {duty.name: duty for duty in await store.duties()}
    names = [f"server/{number}" for number in NUMBERS]
    names.sort(key=lambda name: name not in known or known[name].holder != holder)
    for name in names:
        if (mine := await take(store, name, holder=holder, now=now, lease_ms=lease_ms, note=note)) is not None:
            return mine
    raise Conflict(f"{len(NUMBERS)} servers share this store already.", hint="Stop one of them first.")


async def keep_number(world: World, mine: Duty) -> Duty:
    """Renew this server's number, or take another one where it was lost; its keys are made with it from now on."""
    now = world.clock.now()
    kept = await take(world.store, mine.name, holder=world.server, now=now, lease_ms=NUMBER_LEASE_MS, note=mine.note)
    if kept is None:
        kept = await take_number(world.store, holder=world.server, now=now, lease_ms=NUMBER_LEASE_MS, note=mine.note)
    if (kept.name, kept.term) != (mine.name, mine.term):
        world.keys = KeySequence(number_of(kept), last_key=first_key_of(now))
    world.keys.valid_until = kept.until - KEYS_MARGIN_MS
    return kept


async def lay_down(store: DutyStore, name: str, *, holder: str, now: int) -> None:
    """Let somebody else have a duty at once."""
    held = await store.duty(name)
    if held is not None and held.holder == holder:
        await store.swap_duty(held, replace(held, until=now))
        reached("duties.laid_down")


async def others(store: DutyStore, *, holder: str, now: int) -> list[Duty]:
    """The other servers that live on this store."""
    return [
        duty
        for duty in await store.duties()
        if duty.name.startswith("server/") and duty.holder != holder and duty.until > now
    ]


def number_of(duty: Duty) -> int:
    """`server/7` → 7."""
    return int(duty.name.removeprefix("server/"))
