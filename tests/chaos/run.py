"""Chaos with real processes: `python -m tests.chaos.run --seconds 60 --kills 20 --tasks 1000`.

Prints two numbers that have to be 0, and after a red run the seed and the last events of what went wrong; exits 1 then.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.chaos import abilities
from tests.chaos.clients import Clients
from tests.chaos.cluster import Cluster
from tests.chaos.history import History, events_in
from tests.chaos.nemesis import KINDS, Nemesis, plan
from tests.chaos.oracle import Fault, Verdict, judge, last_events

SETTLE_SECONDS, SETTLE_SECONDS_A_TASK = 240.0, 0.03
"""After the last strike everything has to be over within this; a machine that is busy otherwise needs a good part."""
STORM_SHARE = 0.6
"""How much of the time is storm; the rest is for the start, for everything to end, and for reading it all."""
SHOWN_FAULTS = 5
INSIDE = "ANCHOR_TEST_CHAOS_INSIDE"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long the run should take (60)")
    parser.add_argument("--kills", type=int, default=20, help="how often something is killed (20)")
    parser.add_argument("--tasks", type=int, default=1000, help="how many tasks are submitted (1000)")
    parser.add_argument(
        "--engines", choices=["embedded", "shared"], default="embedded", help="what the truth is kept in"
    )
    parser.add_argument("--seed", type=int, help="repeat this schedule")
    parser.add_argument("--without", default="", help=f"kinds of strikes to leave out: {','.join(KINDS)}")
    parser.add_argument("--keep", type=Path, help="keep history and logs in this directory")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.randrange(2**32)
    without = {kind for kind in options.without.split(",") if kind}
    if without - set(KINDS):
        parser.error(f"there is no strike {', '.join(sorted(without - set(KINDS)))}; there are {', '.join(KINDS)}")
    with _directory(options.keep) as directory:
        if options.engines == "embedded" and "disk" not in without and INSIDE not in os.environ:
            why = abilities.why_no_disk(directory)
            if not why:
                return _again_with_a_small_disk(directory, options)
            _skip(without, "disk", why)
        return asyncio.run(until_told(_run(directory, options, without)))


def _again_with_a_small_disk(directory: Path, options: argparse.Namespace) -> int:
    """The same in a mount namespace of its own, with a small disk for the server's data."""
    disk = directory / "disk"
    disk.mkdir(exist_ok=True)
    megabytes = 64 + options.tasks // 100
    own = [sys.executable, "-m", "tests.chaos.run", "--keep", str(directory)]
    for name in ("seconds", "kills", "tasks", "engines", "seed", "without"):
        own += [f"--{name}", str(getattr(options, name))]
    script = f'mount -t tmpfs -o size={megabytes}m none "$0" && exec "$@"'
    command = [*abilities.UNSHARE, "sh", "-c", script, str(disk), *own]
    return subprocess.run(command, env=os.environ | {INSIDE: "1"}, check=False).returncode


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="anchor-chaos-") as made:
        yield Path(made)


def _skip(without: set[str], kind: str, why: str) -> None:
    if kind not in without:
        say(f"skipped: {kind}: {why}")
        without.add(kind)


def say(line: str) -> None:
    """To the person who watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def until_told(running: Coroutine[Any, Any, int]) -> int:
    """Run to the end, or until SIGTERM, which ends every process that was started, too."""
    task = asyncio.ensure_future(running)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _run(directory: Path, options: argparse.Namespace, without: set[str]) -> int:
    if not {"eio", "enospc"} <= without and options.engines == "embedded" and (why := abilities.why_no_strace()):
        _skip(without, "eio", why)
        _skip(without, "enospc", why)
    if why := abilities.why_no_clock():
        _skip(without, "clock", why)
    say(f"seed {options.seed}: {options.engines}, {options.tasks} tasks, {options.kills} kills")
    began = time.monotonic()
    slots = 4
    cluster = Cluster(directory, engines=options.engines, agents=3, slots=slots, can_set_clock="clock" not in without)
    history = History(directory / "history.jsonl")
    try:
        await cluster.open()
        clients = Clients(cluster.url, history, options.seed)
        storm = options.seconds * STORM_SHARE
        strikes = plan(options.seed, storm, options.kills, cluster, sorted(without))
        nemesis = Nemesis(cluster, history)
        try:
            settled = await _storm(clients, nemesis, strikes, options.tasks, storm)
            truth = await clients.truth()
            (directory / "truth.json").write_bytes(msgspec.json.encode(truth))
        finally:
            await clients.close()
    finally:
        history.close()
        await cluster.close()
    verdict = judge(events_in(history.path), truth, clients.expected)
    _report(verdict, nemesis, clients, settled, time.monotonic() - began)
    if not verdict.is_good:
        _explain(verdict, history.path, options.seed)
        say(cluster.sayings())
    return 0 if verdict.is_good else 1


async def _storm(clients: Clients, nemesis: Nemesis, strikes: Sequence[Any], tasks: int, seconds: float) -> float:
    """Strike while work comes in, then let everything end; the seconds that took after the last strike."""
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(nemesis.keep())
        attending = group.create_task(clients.attend())
        submitting = group.create_task(clients.submit(tasks, seconds))
        await nemesis.run(strikes)
        over = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS + tasks * SETTLE_SECONDS_A_TASK):
                await submitting
                await clients.everything_ended()
        attending.cancel()
        keeping.cancel()
        submitting.cancel()
        return time.monotonic() - over


def _report(verdict: Verdict, nemesis: Nemesis, clients: Clients, settled: float, seconds: float) -> None:
    say(f"strikes: {', '.join(f'{count} {kind}' for kind, count in sorted(nemesis.counts.items()))}")
    if nemesis.ended_by_themselves:
        say(f"ended by themselves and were started again: {', '.join(nemesis.ended_by_themselves)}")
    say(
        f"refused: {', '.join(f'{count} times {code}' for code, count in sorted(clients.refused.items())) or 'nothing'}"
    )
    ends = ", ".join(f"{count} {state}" for state, count in sorted(verdict.ended.items()))
    say(f"{verdict.acknowledged} acknowledged: {ends}; {verdict.reads} reads")
    say(f"everything was over {settled:.1f} s after the last strike")
    say(f"acknowledged but absent: {len(verdict.absent)}")
    say(f"recorded twice or rewritten: {len(verdict.rewritten)}")
    if verdict.unended or verdict.unexpected:
        say(f"not ended: {len(verdict.unended)}, ended otherwise than they should: {len(verdict.unexpected)}")
    say(f"{seconds:.0f} s")


def _explain(verdict: Verdict, path: Path, seed: int) -> None:
    faults: list[Fault] = [*verdict.absent, *verdict.rewritten, *verdict.unended, *verdict.unexpected]
    for fault in faults[:SHOWN_FAULTS]:
        say(f"\nseed {seed}, key {fault.key}, {', '.join(fault.tasks)}: {fault.why}")
        for event in last_events(events_in(path), fault):
            say(f"  {event.at:9.3f} {event.who:<10} {event.what:<12} {event.note} {event.seen or ''} {event.ids or ''}")


if __name__ == "__main__":
    sys.exit(main())
