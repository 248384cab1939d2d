"""What the REST API takes and shows of apps (its word for one is `cluster`)."""

import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from anchor.core.app import REPLICAS_MAX, AppConfig, Plan, ProcessName
from anchor.core.attempt import Reason
from anchor.core.spec import Name

Time = datetime.datetime
ENV_VALUE_BYTES_MAX: Final = 32 * 1024
FILES_MAX: Final = 1_000
"""Files in a request; more travel as one archive."""

EnvName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}(?!\n)$", description="a name of letters, digits and _, like API_TOKEN"
    ),
]
EnvChanges = dict[EnvName, Annotated[str, Meta(max_length=ENV_VALUE_BYTES_MAX)] | None]
"""Variables by name; null takes one away."""
Digest = Annotated[
    str, Meta(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71, description="sha256: and the 64 hex digits of a blob")
]
Files = Annotated[dict[Annotated[str, Meta(min_length=1, max_length=1_000)], str], Meta(max_length=FILES_MAX)]


class _Request(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class _View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    pass


class AppRequest(_Request, frozen=True):
    """A new app. `name` may be any words: the app's name in addresses is made of it. `type` is Web, Static or Worker
    in any case: what a Worker runs is no `web` process, so that nothing is routed to it. Its source is an archive
    that was uploaded (`source`), or `files` (path → text); with neither, it is a small app to begin with. `env` are
    its variables, which are shown to nobody afterwards."""

    name: Name
    type: Annotated[str, Meta(max_length=20)] = "Web"
    config: AppConfig = AppConfig()
    source: Digest | None = None
    files: Files | None = None
    env: EnvChanges = {}


class ReleaseRequest(_Request, frozen=True):
    """A new release of an app: another source, another config, other variables; what is left out is as it was.
    `config` is taken whole; `env` changes the variables it names (null takes one away)."""

    source: Digest | None = None
    files: Files | None = None
    config: AppConfig | None = None
    env: EnvChanges = {}


class PlanRequest(_Request, frozen=True):
    """An archive that was uploaded, and how its owner would run it; `type` as in `AppRequest`."""

    source: Digest
    type: Annotated[str, Meta(max_length=20)] = "Web"
    config: AppConfig = AppConfig()


class RollbackRequest(_Request, frozen=True):
    """Back to an earlier release: the one with this number, or the one that was live before."""

    release: Annotated[int, Meta(ge=1)] | None = None


ScaleRequest = Annotated[dict[ProcessName, Annotated[int, Meta(ge=0, le=REPLICAS_MAX)]], Meta(min_length=1)]
"""Replicas by process; `replicas` stands for those of `web`, or of the only process."""


class AppRow(_View, frozen=True):
    """An app in a list. `urls` are where its web process is reached, the one that works best first; `live` is the
    number of the release that serves (0: none yet). Of its replicas, `wanted` are asked for and `ready` are healthy;
    they are on `nodes`, were started again `restarts` times, and use so much `cpu` (cores) and memory together (null
    where nobody has said)."""

    id: str
    name: str
    title: str
    state: str
    reason: Reason | None
    urls: list[str]
    live: int
    ready: int
    wanted: int
    nodes: list[str]
    restarts: int
    cpu: float | None
    memory_mib: float | None
    created_at: Time
    changed_at: Time


class ReplicaView(_View, frozen=True):
    """One process on one node. `local_url` is where the machine that runs it finds it. CPU in cores, memory in MiB;
    null where its node is connected to another server or has not said."""

    process: str
    index: int
    generation: int
    release: int
    state: str
    node_id: str | None
    since: Time
    restarts: int
    reason: Reason | None
    local_url: str | None
    cpu: float | None
    memory_mib: float | None


class ReleaseView(_View, frozen=True):
    """A version of an app. `source` is the archive's digest; `of` is the number of the release it repeats (0: none);
    `env` are the names of its variables."""

    number: int
    state: str
    source: str
    config: AppConfig
    plan: Plan
    env: list[str]
    created_at: Time
    by: str
    of: int
    reason: Reason | None


class AppView(AppRow, frozen=True):
    """An app, whole. `version` changes with it; `port` is its port on the machines that run it (null: it has none);
    `config` and `env` (names only) are those of its newest release; `releases` are the newest ones, newest last."""

    owner: str
    version: str
    port: int | None
    config: AppConfig
    env: list[str]
    replicas: list[ReplicaView]
    releases: list[ReleaseView]


class AppLine(_View, frozen=True):
    """A piece of what a replica printed, or of how it was built: whole lines as a rule. `id` is where one goes on."""

    id: str
    at: Time
    process: str
    index: int
    release: int
    generation: int
    node_id: str
    stream: str
    text: str
