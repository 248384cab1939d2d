"""Whether apps are as their owners want them: by what the server says, and by what there is on the machine."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
from tests.chaos.app_users import Deployed

from anchor.core.ids import wire_id

_REPLICA = re.compile(r"/apps/replicas/(\d+)-(\d+)/app ")
_ALONE = ["-I", "-S"]
Key = tuple[str, int]
"""The id of an app, and a generation."""


class Program(msgspec.Struct, frozen=True):
    """A process of a replica. `is_inlet`: the one through which its agent reaches it."""

    pid: int
    key: Key
    is_inlet: bool


def programs(directory: Path) -> list[Program]:
    """Every process on this machine that belongs to a replica below a directory, whoever started it."""
    found = []
    for process in psutil.process_iter():
        try:
            mounts = Path(f"/proc/{process.pid}/mountinfo").read_text(encoding="utf-8")
            command = process.cmdline()
        except (OSError, psutil.Error):
            continue
        mounted = _REPLICA.search(mounts)
        if mounted is not None and command and command[0] != "bwrap" and str(directory) in mounts:
            key = wire_id("app", int(mounted[1])), int(mounted[2])
            found.append(Program(process.pid, key, command[1:3] == _ALONE and command[3].endswith("inlet.py")))
    return found


def amiss(app: Deployed, view: dict[str, Any]) -> str:
    """What keeps an app from being as it is wanted; "" where nothing does."""
    replicas = view["replicas"]
    if app.is_stopped:
        return "" if (view["state"], replicas) == ("stopped", []) else f"is {view['state']}, not stopped"
    if view["state"] != "running":
        return f"is {view['state']}"
    counts = Counter(one["process"] for one in replicas)
    if counts != Counter(app.scale):
        return f"has {dict(counts)}, not {app.scale}"
    if any((one["state"], one["release"]) != ("healthy", view["live"]) for one in replicas):
        return "has replicas that are not healthy or not of the live release"
    newest = view["releases"][-1]["state"]
    if newest == "pending" or (newest == "failed") is not app.is_bad:
        return f"has a newest release that is {newest}"
    return ""


def two_at_a_place(view: dict[str, Any]) -> str:
    """Invariant 19, of what a server shows: "" where it holds."""
    healthy = [(one["process"], one["index"]) for one in view["replicas"] if one["state"] == "healthy"]
    generations = [one["generation"] for one in view["replicas"]]
    if len(set(healthy)) < len(healthy) or len(set(generations)) < len(generations):
        return f"{view['name']} has more than one at a place: {view['replicas']}"
    return ""


def left_or_lacking(directory: Path, views: Iterable[dict[str, Any]], agents: Sequence[tuple[str, Path, int]]) -> str:
    """Where processes, folders and ports differ from what the server says there is; "" where they do not.

    `agents` are each one's node, data directory and process.
    """
    wanted = {
        (view["id"], one["generation"]): (one["nodeId"], one["process"]) for view in views for one in view["replicas"]
    }
    running = programs(directory)
    keys = {one.key for one in running}
    if keys != wanted.keys():
        return f"processes run of {sorted(keys - wanted.keys())}, and none of {sorted(wanted.keys() - keys)}"
    inlets = Counter(one.key for one in running if one.is_inlet)
    webs = [key for key, (_, process) in wanted.items() if process == "web"]
    if inlets != Counter(webs):
        return f"there are the inlets {dict(inlets)} for {webs}"
    for node, data, pid in agents:
        folders = {_key_of(folder.name) for folder in (data / "agent" / "apps" / "replicas").iterdir()}
        mine = {key for key, (on, _) in wanted.items() if on == node}
        if folders != mine:
            return f"{node} has folders of {sorted(folders)}, and is to run {sorted(mine)}"
        listening = [one.laddr for one in psutil.Process(pid).net_connections("inet") if one.status == "LISTEN"]
        if listening:
            return f"{node} listens on {listening}"
    return ""


def _key_of(folder: str) -> Key:
    app, _, generation = folder.partition("-")
    return wire_id("app", int(app)), int(generation)
