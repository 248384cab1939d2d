"""The settings of a server in words, for people to read: what each means, where its value comes from."""

import re
from typing import Final

import msgspec

from anchor.config import ENV_PREFIX, OTHER_NAMES, SECRET_FIELDS, Settings
from anchor.wire.records import SettingView

_SERVER, _STORAGE, _KEPT, _WORK, _MACHINE, _LOG = (
    "Address", "Storage", "How long things are kept", "Work", "What this machine lends", "Log",
)  # fmt: skip
MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "host": (_SERVER, "The address to listen on. On any but this machine's own, callers need a key."),
    "port": (_SERVER, "The port to listen on; 0 takes any free one."),
    "public_url": (_SERVER, "How agents and people call this network, where that is a proxy's address."),
    "apps_domain": (_SERVER, "Apps are at NAME. before this domain; with none, at NAME.apps. before this server's."),
    "peer_url": (_SERVER, "How the other servers of one store reach this one."),
    "requests_per_second": (_SERVER, "How often one key may ask before it is told to wait."),
    "secret": (_SERVER, "What node tokens are signed with, and what the variables of apps are encrypted under."),
    "data": (_STORAGE, "The directory that holds everything that is kept."),
    "store": (_STORAGE, "Where the truth is kept: SQLite in the data directory, or MongoDB."),
    "queue": (_STORAGE, "Hints between servers: within this one, or Redis."),
    "retention_days": (_KEPT, "How long finished tasks are kept."),
    "graph_retention_hours": (_KEPT, "How long finished runs of workflows are kept."),
    "evidence_days": (_KEPT, "How long the evidence of disagreeing results is kept."),
    "lease_seconds": (_WORK, "How long a node may be silent before its work is tried elsewhere."),
    "heartbeat_seconds": (_WORK, "How often an agent says that it is there; at most half of the lease."),
    "spot_check_share": (_WORK, "The least share of a trusted node's results that adaptive verification checks."),
    "log_level": (_LOG, "How much the server logs."),
    "log_format": (_LOG, "Whether the log is for people or for programs."),
    "slots": (_MACHINE, "Tasks that this machine's agent runs at a time; one per core where nothing is said."),
    "labels": (_MACHINE, "Labels of this machine's agent."),
    "node_name": (_MACHINE, "What this machine's node id begins with; else its host name."),
    "runtimes": (_MACHINE, "The runtimes that tasks may use; else all that work here."),
    "allow_network": (_MACHINE, "Whether native and container tasks that ask for the network get it."),
    "allow_apps": (_MACHINE, "Whether apps are hosted, where this machine can confine them."),
    "allow_gpu": (_MACHINE, "Whether tasks that ask for a GPU are shown this machine's."),
    "allow_unconfined": (_MACHINE, "Whether native tasks run even where they cannot be confined."),
    "programs": (_MACHINE, "The programs a native task may name as its command; else any."),
    "cpus": (_MACHINE, "Cores for the agent and all its tasks together; else all."),
    "ram": (_MACHINE, "Memory for all tasks together; else about 80 %."),
    "disk": (_MACHINE, "Disk for kept input files and directories of jobs together; else no bound."),
}
"""Of every setting: the group it is shown in, and what it means; in the order they are shown."""
_USERINFO: Final = re.compile(r"//[^/]*@")


def shown(settings: Settings) -> tuple[SettingView, ...]:
    """Every setting as it is shown to an admin: of those that may hold a password only whether they are set."""
    wanted = {
        field.name: field.type.__metadata__[-1].description
        for field in msgspec.structs.fields(Settings)
        if field.name in MEANINGS
    }
    others = {name: variable for variable, name in OTHER_NAMES.items()}
    return tuple(
        SettingView(
            name=name,
            group=group,
            value=_value(settings, name),
            source=settings.sources.get(name, "default"),
            meaning=meaning,
            wanted=wanted[name],
            variable=", ".join([ENV_PREFIX + name.upper(), *([others[name]] if name in others else [])]),
        )
        for name, (group, meaning) in MEANINGS.items()
    )


def _value(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if name in SECRET_FIELDS and value not in {"sqlite", "local"}:
        return "not set" if value is None else "set"
    match value:
        case None | "" | ():
            return "not set"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(value)
        case float():
            return f"{value:g}"
        case _:
            return _USERINFO.sub("//", str(value))
