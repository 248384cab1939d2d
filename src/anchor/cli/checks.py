"""The examinations of `anchor doctor`; each looks at one thing and never raises for what it finds."""

import asyncio
import email.utils
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import httpx
import msgspec

from anchor.agent.host import memory_bytes
from anchor.agent.policy import ALL_RUNTIMES, Policy, task_memory_mib
from anchor.agent.runtimes.catalogue import IN_WORKERS, NOT_OFFERED, Catalogue
from anchor.agent.runtimes.native.runtime import refusal
from anchor.agent.sandbox.probe import probe
from anchor.cli import remedies
from anchor.client import AsyncClient
from anchor.client.address import is_loopback
from anchor.config import Settings
from anchor.core.errors import AnchorError

PYTHON_MIN = (3, 11)
OPTIONAL = ("container",)
FREE_BYTES_MIN = 256 * 1024**2
FREE_BYTES_GOOD = 2 * 1024**3
SYNCS = 15
SYNC_SLOW_SECONDS = 0.02
CLOCK_OFF_SECONDS = 5.0
ANSWER_SECONDS = 3.0


class Check(msgspec.Struct, frozen=True):
    """What was looked at, how it is, and what to do about it."""

    name: str
    verdict: Literal["ok", "warning", "problem"]
    found: str
    hint: str = ""


async def checks(settings: Settings, policy: Policy, url: str, *, is_remote: bool) -> list[Check]:
    """Everything worth knowing before or after something goes wrong."""
    server = await _server(settings, url, is_remote=is_remote)
    local = await asyncio.to_thread(_local, settings)
    return [*local, _shares(policy), *await _runtimes(policy), _apps(policy), server, await _clock(url, server)]


def _local(settings: Settings) -> list[Check]:
    # A directory that does not exist yet is judged by where it would be made: looking leaves nothing behind.
    existing = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    found = [_python(), _directory(settings.data, existing)]
    if found[-1].verdict != "problem":
        found += [_space(existing), _sync(existing)]
    return found


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < PYTHON_MIN:
        return Check("Python", "problem", f"{version} is too old", "Install Python 3.11 or newer.")
    return Check("Python", "ok", version)


def _directory(directory: Path, existing: Path) -> Check:
    name = "Data directory"
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-") as file:
            file.write(b"anchor")
            file.flush()
    except OSError as error:
        hint = "Name another one with --data, or give this user the right to write there."
        return Check(name, "problem", f"{directory} cannot be written to: {error.strerror}", hint)
    return Check(name, "ok", f"{directory}" + ("" if directory == existing else " (not made yet)"))


def _space(directory: Path) -> Check:
    free = shutil.disk_usage(directory).free
    found = f"{free / 1024**3:.1f} GiB free"
    if free < FREE_BYTES_MIN:
        return Check("Disk space", "problem", found, "Make room, or name another directory with --data.")
    if free < FREE_BYTES_GOOD:
        return Check("Disk space", "warning", found, "It will do for now; results and environments take room.")
    return Check("Disk space", "ok", found)


def _sync(directory: Path) -> Check:
    times = []
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".doctor-") as file:
        for _ in range(SYNCS):
            file.write(b"\0" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    median = statistics.median(times)
    found = f"a durable write takes {median * 1000:.2f} ms (median of {SYNCS})"
    if median > SYNC_SLOW_SECONDS:
        return Check("Disk speed", "warning", found, "Every acknowledgement waits for it; a faster disk helps most.")
    return Check("Disk speed", "ok", found)


def _shares(policy: Policy) -> Check:
    cores = "all cores" if policy.cores is None else f"{policy.cores:g} core{'' if policy.cores == 1 else 's'}"
    ram = f"{task_memory_mib(policy, memory_bytes()) / 1024:.1f} GiB of RAM"
    disk = "no bound on the disk" if policy.disk_mib is None else f"{policy.disk_mib / 1024:.1f} GiB of disk"
    allowed = [word for word, yes in (("network", policy.network), ("GPU", policy.gpu)) if yes]
    asked = f"{' and '.join(allowed)} for those that ask" if allowed else "neither network nor GPU"
    return Check("Tasks get", "ok", f"{cores}, {ram}, {disk}, {asked}")


async def _runtimes(policy: Policy) -> list[Check]:
    """What an agent would offer here, found out as it does."""
    with tempfile.TemporaryDirectory(prefix="anchor-doctor-", ignore_cleanup_errors=True) as folder:
        catalogue = Catalogue(Path(folder), policy, task_memory_mib(policy, memory_bytes()))
        await catalogue.start()
        await catalogue.stop()
    machine = await asyncio.to_thread(remedies.look)
    offer = catalogue.offer
    return [_runtime(name, catalogue, machine) for name in ALL_RUNTIMES if name in {*offer.runtimes, *offer.missing}]


def _runtime(name: str, catalogue: Catalogue, machine: remedies.Machine) -> Check:
    what = f"Runtime {name}"
    steps = remedies.for_native(probe(), machine) if name == "native" else []
    version = catalogue.offer.runtimes.get(name)
    if version is None:
        why = catalogue.offer.missing[name]
        if why == NOT_OFFERED:
            return Check(what, "ok", why)
        return Check(what, "ok" if name in OPTIONAL else "warning", f"missing: {why}", _lines(steps))
    level = catalogue.offer.confinement[name]
    version = version.removesuffix(f", {level}")
    if level == "confined":
        return Check(what, "ok", f"{version}: confined, as a self-test showed", _lines(steps))
    if name in IN_WORKERS:
        found = f"{version}: held by its engine alone ({catalogue.workers.why})"
        return Check(what, "warning", found, _lines(remedies.for_workers(machine)))
    if name in OPTIONAL:
        return Check(what, "ok", f"{version}: held by its engine, which was not tested")
    found = f"{version}: not confined ({probe().why}); its tasks can read what this user can read"
    return Check(what, "warning", found, _lines(steps))


def _apps(policy: Policy) -> Check:
    if not policy.apps:
        return Check("Apps", "ok", "none are hosted here: its owner does not let them (setting: allow_apps)")
    confinement = probe()
    why = refusal(confinement, policy)
    if why is not None:
        steps = [] if "native" in policy.runtimes else remedies.for_native(confinement, remedies.look())
        return Check("Apps", "warning", f"none are hosted here: {why}", _lines(steps or ["See Runtime native."]))
    if confinement.level == "confined":
        return Check("Apps", "ok", "hosted here: confined as native tasks are")
    found = f"hosted here, not confined ({confinement.why}): they can read what this user can read"
    return Check("Apps", "warning", found)


def _lines(steps: list[str]) -> str:
    return "\n".join(steps)


async def _server(settings: Settings, url: str, *, is_remote: bool) -> Check:
    try:
        async with AsyncClient(url, patience_seconds=0) as client:
            health = await client.health()
    except AnchorError as error:
        if is_remote or error.code == "not_anchor":
            return Check("Server", "problem", error.message, error.hint)
        return await asyncio.to_thread(_port, settings)
    if health.problems:
        first = health.problems[0]
        return Check("Server", "warning", f"Anchor {health.version} at {url}: {first.message}", first.hint)
    return Check("Server", "ok", f"Anchor {health.version} answers at {url}")


def _port(settings: Settings) -> Check:
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        hint = "Choose another port with --port, or stop what runs there."
        return Check("Server", "problem", f"{where} cannot be listened on: {error.strerror}", hint)
    return Check("Server", "ok", f"none runs here; {where} is free for `anchor up`")


async def _clock(url: str, server: Check) -> Check:
    if is_loopback(url) or server.verdict == "problem":
        return Check("Clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
    try:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
            asked = time.time()
            answer = await http.get(f"{url}/health")
            middle = (asked + time.time()) / 2
    except httpx.HTTPError as error:
        return Check("Clock", "warning", f"cannot be compared with the server's: {error}")
    theirs = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
    off = middle - theirs - 0.5  # the header counts whole seconds
    if abs(off) > CLOCK_OFF_SECONDS:
        hint = "Switch time synchronisation on (timedatectl set-ntp true); times shown by the two do not agree."
        return Check("Clock", "warning", f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the server's", hint)
    return Check("Clock", "ok", "agrees with the server's")
