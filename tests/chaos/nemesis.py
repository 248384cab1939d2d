"""What strikes, when, and for how long: a plan drawn from a seed, and the hand that carries it out."""

import asyncio
import contextlib
import os
import random
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tests.chaos import abilities
from tests.chaos.cluster import Cluster, EnginePart, Part
from tests.chaos.history import History
from tests.chaos.proxy import LASTING, Fault

KINDS = ("kill", "freeze", "net", "disk", "eio", "enospc", "clock", "flush", "empty")
DOWN_SECONDS = 1.0
KEEP_SECONDS = 0.2
FILLER = "filler"


class Strike(msgspec.Struct, frozen=True):
    """`kind` is one of KINDS; `on` a part or a line; `how` a network fault or a clock's setting."""

    at: float
    kind: str
    on: str = ""
    seconds: float = 0.0
    how: str = ""


def plan(seed: int, seconds: float, kills: int, cluster: Cluster, without: Sequence[str]) -> list[Strike]:
    """Strikes within `seconds`, the same for the same seed. The one FLUSHALL and the one start of Valkey on an empty
    directory come in the second half."""
    dice = random.Random(seed)
    servers = [part.name for part in cluster.servers]
    agents = [part.name for part in cluster.agents]
    engines = [part.name for part in cluster.engines]
    strikes = [
        Strike(dice.uniform(0, seconds), "kill", dice.choice([*servers, *servers, *agents, *engines]), dice.random())
        for _ in range(kills)
    ]

    def some(kind: str, count: int, on: Sequence[str], longest: float, how: Sequence[str] = ("",)) -> None:
        if kind not in without and on:
            strikes.extend(
                Strike(dice.uniform(0, seconds), kind, dice.choice(on), dice.uniform(0.2, longest), dice.choice(how))
                for _ in range(max(count, 1))
            )

    some("freeze", kills // 4, [*servers, *agents, *engines], 5.0)
    some("net", kills, list(cluster.lines), 4.0, [*Fault])
    some("clock", kills // 4, [*servers, *agents], 4.0, ["+2h", "-2h"])
    some("eio", kills // 10, servers if not engines else [], 2.0)
    some("enospc", kills // 10, servers if not engines else [], 2.0)
    some("disk", kills // 10, ["disk"] if not engines else [], 3.0)
    if "valkey" in engines:
        strikes += [
            Strike(dice.uniform(seconds / 2, seconds), kind, "valkey", 0.5)
            for kind in ("flush", "empty")
            if kind not in without
        ]
    return sorted(strikes, key=lambda strike: strike.at)


class Nemesis:
    """Carries out a plan, every strike on its own; `counts` says what was done."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self.counts: dict[str, int] = {}
        self.ended_by_themselves: list[str] = []
        self._cluster = cluster
        self._history = history
        self._parts: dict[str, Part] = {part.name: part for part in cluster.parts}
        self._busy: dict[str, asyncio.Lock] = {}

    async def run(self, strikes: Sequence[Strike]) -> None:
        """Returns when every strike is over and everything runs again."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for strike in strikes:
                await asyncio.sleep(began + strike.at - asyncio.get_running_loop().time())
                group.create_task(self._strike(strike))

    async def keep(self) -> None:
        """Start again whatever ended by itself, as a service manager would, until cancelled."""
        while True:
            for part in [*self._cluster.servers, *self._cluster.agents]:
                lock = self._lock(part.name)
                if part.running is None and not lock.locked():
                    async with lock:
                        self.ended_by_themselves.append(f"{part.name} ({part.exit_code})")
                        self._history.note("keeper", "strike", note=f"{part.name} had ended by itself")
                        await asyncio.to_thread(part.start)
            await asyncio.sleep(KEEP_SECONDS)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._busy.setdefault(name, asyncio.Lock())

    async def _strike(self, strike: Strike) -> None:
        # Nothing is frozen while it is being killed; a fault of a kind is over before the next of its kind begins.
        ends_or_freezes = strike.kind in {"kill", "empty", "freeze"}
        async with self._lock(strike.on if ends_or_freezes else f"{strike.on} {strike.kind}"):
            self._history.note("nemesis", "strike", note=f"{strike.kind} {strike.on} {strike.how}".strip())
            self.counts[strike.kind] = self.counts.get(strike.kind, 0) + 1
            await self._blow(strike)
            self._history.note("nemesis", "relief", note=f"{strike.kind} {strike.on}")

    async def _blow(self, strike: Strike) -> None:
        match strike.kind:
            case "kill" | "empty":
                await self._kill(strike)
            case "freeze":
                await self._freeze(strike)
            case "net":
                await self._net(strike)
            case "clock":
                await self._clock(strike)
            case "eio":
                await self._inject(strike, "fdatasync:error=EIO", "fsync:error=EIO")
            case "enospc":
                await self._inject(strike, "pwrite64:error=ENOSPC")
            case "disk":
                await self._fill(strike)
            case "flush":
                await asyncio.to_thread(self._flush, strike)
            case _:
                raise AssertionError(f"nobody knows how to strike with {strike.kind}")

    async def _kill(self, strike: Strike) -> None:
        part = self._parts[strike.on]
        await asyncio.to_thread(part.kill)
        if strike.kind == "empty" and isinstance(part, EnginePart):
            await asyncio.to_thread(part.forget)
        await asyncio.sleep(strike.seconds * DOWN_SECONDS)
        await asyncio.to_thread(part.start)

    async def _freeze(self, strike: Strike) -> None:
        pid = self._parts[strike.on].running
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(strike.seconds)
            finally:
                os.kill(pid, signal.SIGCONT)  # it is still there: nobody else ends it while this lock is held

    async def _net(self, strike: Strike) -> None:
        line = self._cluster.lines[strike.on]
        fault = Fault(strike.how)
        await line.begin(fault, delay_seconds=strike.seconds / 10 if fault is Fault.DELAY else 0)
        if fault in LASTING:
            try:
                await asyncio.sleep(strike.seconds)
            finally:
                await line.heal()

    async def _clock(self, strike: Strike) -> None:
        clock = self._parts[strike.on].clock
        assert clock is not None, "plan() sets no clock that cannot be set"
        clock.write_text(strike.how, encoding="ascii")
        try:
            await asyncio.sleep(strike.seconds)
        finally:
            clock.write_text("+0", encoding="ascii")

    async def _inject(self, strike: Strike, *rules: str) -> None:
        pid = self._parts[strike.on].running
        if pid is not None:
            tracer = abilities.attach(pid, *rules)
            try:
                await asyncio.sleep(strike.seconds)
            finally:
                await asyncio.to_thread(abilities.detach, tracer)

    async def _fill(self, strike: Strike) -> None:
        filler = self._cluster.disk / FILLER
        try:
            await asyncio.to_thread(_fill_up, filler)
            await asyncio.sleep(strike.seconds)
        finally:
            filler.unlink(missing_ok=True)

    def _flush(self, strike: Strike) -> None:
        part = self._parts[strike.on]
        assert isinstance(part, EnginePart)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", part.port), timeout=5) as line:
            line.sendall(b"FLUSHALL\r\n")
            line.recv(64)


def _fill_up(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        for step in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(step))
