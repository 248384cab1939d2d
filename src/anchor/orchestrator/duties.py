"""What only one server does at a time: a duty is taken, renewed and fenced by its term."""

from msgspec.structs import replace

from anchor.core.errors import Conflict
from anchor.ports.store import Duty, DutyStore

NUMBERS = range(256)
"""The numbers that servers of one store may have in their keys."""


async def take(store: DutyStore, name: str, *, holder: str, now: int, lease_ms: int, note: str = "") -> Duty | None:
    """A duty in `holder`'s hands until `now + lease_ms`, taken or renewed; None while it is in somebody else's."""
    old = await store.duty(name)
    if old is None:
        mine = Duty(name=name, holder=holder, term=1, until=now + lease_ms, note=note)
    elif old.holder == holder:
        mine = replace(old, until=now + lease_ms, note=note)
    elif old.until <= now:
        mine = Duty(name=name, holder=holder, term=old.term + 1, until=now + lease_ms, note=note)
    else:
        return None
    return mine if await store.swap_duty(old, mine) else None


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
