"""Chaos for apps, with real processes: `python -m tests.chaos.apps --minutes 3`.

Each minute a storm: servers, agents, apps and inlets are killed, frozen and cut off while people deploy, scale, go
back, stop and start, and look; then all is left alone, and has to become what it was asked to be: exits 1 if it is not.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil
from tests.chaos.app_checks import amiss, left_or_lacking, programs, two_at_a_place
from tests.chaos.app_users import AppUsers
from tests.chaos.cluster import AnchorPart, Cluster
from tests.chaos.history import History
from tests.chaos.nemesis import Nemesis, Strike
from tests.chaos.proxy import Fault
from tests.chaos.run import say, until_told

AGENTS = 3
SETTLE_SECONDS = 150.0
"""After the storm everything has to be as it is wanted within this: a bad release may be tried on three nodes first."""
LOOK_SECONDS = 0.25
ANSWERS = 10
"""Right answers of each app, one after the other, at the end of each minute."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=3, help="how many storms (3)")
    parser.add_argument("--storm", type=float, default=40, help="how many seconds each of them takes (40)")
    parser.add_argument("--pace", type=float, default=2, help="seconds between two strikes, and between two changes")
    parser.add_argument("--engines", choices=["embedded", "shared"], default="embedded", help="what keeps the truth")
    parser.add_argument("--seed", type=int, help="repeat this plan")
    parser.add_argument("--keep", type=Path, help="keep logs in this directory")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.randrange(2**32)
    with contextlib.ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anchor-chaos-")))
        directory.mkdir(parents=True, exist_ok=True)
        return asyncio.run(until_told(_run(directory.absolute(), options)))


async def _run(directory: Path, options: argparse.Namespace) -> int:
    say(f"seed {options.seed}: {options.engines}, {options.minutes} times {options.storm:g} s")
    cluster = Cluster(directory, engines=options.engines, agents=AGENTS, slots=2, can_set_clock=False)
    history = History(directory / "history.jsonl")
    faults: list[str] = []
    try:
        await cluster.open()
        users = AppUsers(cluster.url, options.seed, f"c{options.seed % 10**6}")
        try:
            storms = Storms(cluster, history, users, options.seed)
            await storms.begin()
            for number in range(options.minutes):
                faults = await storms.storm(options.storm, options.pace)
                if faults:
                    say(f"storm {number + 1} of seed {options.seed}: {'; '.join(faults)}")
                    break
        finally:
            await users.close()
    finally:
        history.close()
        await cluster.close()
    left = [one for one in programs(directory) if not _ends(one.pid)]
    if left:
        faults.append(f"processes outlived their agents: {left}")
    say("; ".join(faults) or "all was as it should be")
    return 1 if faults else 0


class Storms:
    """One network and its users; each storm ends with everything looked at."""

    def __init__(self, cluster: Cluster, history: History, users: AppUsers, seed: int) -> None:
        self._cluster = cluster
        self._users = users
        self._nemesis = Nemesis(cluster, history)
        self._history = history
        self._dice = random.Random(seed + 1)
        self._nodes: dict[str, AnchorPart] = {}
        self._out: set[str] = set()
        self._amiss: list[str] = []

    async def begin(self) -> None:
        """Deploy the apps and wait for them."""
        for part in self._cluster.agents:
            known = re.search(r"node=(\S+)", part.said())
            assert known is not None, part.said()
            self._nodes[known[1]] = part
        await self._users.create()
        self._amiss = await self._settle()
        assert not self._amiss, self._amiss

    async def storm(self, seconds: float, pace: float) -> list[str]:
        """Strike and change for a while, then look at everything; what is not as it should be."""
        keeping = asyncio.create_task(self._nemesis.keep())
        looking = [asyncio.create_task(self._users.look()), asyncio.create_task(self._watch())]
        try:
            until = time.monotonic() + seconds
            async with asyncio.TaskGroup() as group:
                group.create_task(self._again_and_again(self._users.change, until, pace))
                group.create_task(self._again_and_again(self._strike, until, pace))
                group.create_task(self._again_and_again(self._move, until, 3 * pace))
            for node in list(self._out):
                await self._users.put_node(node, "resume")
            self._out.clear()
            began = time.monotonic()
            faults = await self._settle()
            self._report(time.monotonic() - began)
            return faults + self._amiss + self._users.wrong
        finally:
            for task in (*looking, keeping):
                task.cancel()
            await asyncio.gather(*looking, keeping, return_exceptions=True)

    async def _again_and_again(self, do: Callable[[], Awaitable[None]], until: float, pace: float) -> None:
        while time.monotonic() < until:
            await do()
            await asyncio.sleep(self._dice.uniform(0, 2 * pace))

    async def _strike(self) -> None:
        servers = [part.name for part in self._cluster.servers]
        agents = [part.name for part in self._cluster.agents]
        kinds = {"server": 2, "agent": 3, "program": 4, "freeze": 3, "net": 3}
        kind = self._dice.choices(list(kinds), list(kinds.values()))[0]
        match kind:
            case "server":
                strike = Strike(0, "kill", self._dice.choice(servers), self._dice.random())
            case "agent":
                strike = Strike(0, "kill", self._dice.choice(agents), self._dice.random())
            case "freeze":
                strike = Strike(0, "freeze", self._dice.choice([*servers, *agents]), self._dice.uniform(0.2, 9))
            case "net":
                fault = self._dice.choice(list(Fault))
                strike = Strike(0, "net", self._dice.choice(agents), self._dice.uniform(0.2, 9), fault)
            case _:
                self._kill_a_program()
                return
        await self._nemesis.run([strike])

    def _kill_a_program(self) -> None:
        running = programs(self._cluster.directory)
        if running:
            struck = self._dice.choice(running)
            kind = "kill inlet" if struck.is_inlet else "kill app"
            self._nemesis.counts[kind] = self._nemesis.counts.get(kind, 0) + 1
            self._history.note("nemesis", "strike", note=f"{kind} {struck.key}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(struck.pid, signal.SIGKILL)

    async def _move(self) -> None:
        """Take a node out of service, or back into it; two of three stay."""
        if self._out:
            node = self._out.pop()
            await self._users.put_node(node, "resume")
        else:
            node = self._dice.choice(sorted(self._nodes))
            self._out.add(node)
            await self._users.put_node(node, self._dice.choice(["drain", "drain", "block"]))

    async def _watch(self) -> None:
        while True:
            for app in self._users.apps:
                fault = two_at_a_place(await self._users.view(app))
                if fault:
                    self._amiss.append(fault)
            await asyncio.sleep(LOOK_SECONDS)

    async def _settle(self) -> list[str]:
        """Wait until all is as it is wanted; what is not."""
        began = time.monotonic()
        said: list[str] = []
        while faults := await self._faults():
            waited = time.monotonic() - began
            if waited > SETTLE_SECONDS:
                return faults
            if faults != said:
                say(f"  {waited:.1f} s: {'; '.join(faults)}")
            said = faults
            await asyncio.sleep(LOOK_SECONDS)
        return []

    async def _faults(self) -> list[str]:
        away = [node["nodeId"] for node in await self._users.nodes() if node["status"] != "online"]
        if away:
            return [f"not online: {', '.join(away)}"]
        views = []
        for app in self._users.apps:
            view = await self._users.view(app)
            if fault := amiss(app, view):
                return [f"{app.name} {fault}"]
            views.append(view)
        agents = [(node, self._cluster.directory / part.name, part.pid) for node, part in self._nodes.items()]
        if fault := await asyncio.to_thread(left_or_lacking, self._cluster.directory, views, agents):
            return [fault]
        for app, view in zip(self._users.apps, views, strict=True):
            if app.is_stopped:
                continue
            for _ in range(ANSWERS):
                answer = await self._users.answer(app)
                if answer != app.label:
                    return [f"{app.name} answers {answer}, not {app.label}"]
            if not any("starting" in line["text"] for line in await self._users.log(app)):
                return [f"the log of {app.name} says nothing"]
            app.settled(view["live"])
        return await asyncio.to_thread(self._audit)

    def _audit(self) -> list[str]:
        command = [sys.executable, "-m", "anchor", "audit", "verify", "--url", self._cluster.url]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return [] if said.returncode == 0 else [f"anchor audit verify: {said.stdout}{said.stderr}"]

    def _report(self, seconds: float) -> None:
        def counted(counts: dict[str, int]) -> str:
            return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))

        say(f"strikes: {counted(self._nemesis.counts)}; asked: {counted(self._users.asked)}")
        say(f"looks: {counted(self._users.answers)}; all was well {seconds:.1f} s after the last strike")
        for part in self._cluster.agents:
            process = psutil.Process(part.pid)
            say(f"{part.name}: {process.num_fds()} descriptors, {process.memory_info().rss >> 20} MiB")


def _ends(pid: int) -> bool:
    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
