"""Apps: what a user deploys and wants kept up, its releases, and the replicas that nodes run of it."""

from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from anchor.core.attempt import Reason
from anchor.core.spec import MIB, Requirements

REPLICAS_MAX = 100
"""Replicas of one process of an app."""
PROCESSES_MAX = 20
RELEASES_KEPT = 10
"""Releases one can go back to, the live one among them."""
ENV_BYTES_MAX = 64 * 1024
"""All of an app's variables together, names and values."""
ENV_COUNT_MAX = 1_000
"""Variables of an app; a cell's sandbox takes some thousands of options."""
SOURCE_BYTES_MAX = 256 * MIB
"""An app's source as uploaded."""
INNER_PORT: Final = 8080
"""Where a web process listens if its config names no port; it is told in the variable PORT."""
WEB: Final = "web"
"""The process that requests are routed to."""
RELEASE: Final = "release"
"""The process that runs once, to its end, before the first replica of a release does."""

AppName = Annotated[str, Meta(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?(?!\n)$")]
"""A DNS label: it is part of the app's address."""
ProcessName = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_-]{0,30}(?!\n)$", description="a name like web: small letters, digits, - and _"),
]
Amount = Annotated[
    str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})? ?([MG]i?B)(?!\n)$", description="an amount like 512MB or 1.5GB")
]
"""Memory or disk: `2048MB`, `512 MiB`, `1.5GB`."""
Command = Annotated[str, Meta(min_length=1, max_length=4000)]
Kind = Literal["node", "python", "static", "command"]
"""What an app's source is; `command` is one of programs that the machine has anyway, named in a Procfile."""


class AppConfig(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """How an app is run. `port` is where its web process listens, and where the machine that runs it finds it on its
    own localhost (None: the web process listens on INNER_PORT, and nothing is opened on the machine).

    `ram` and `disk` are limits of one replica, `cpu` its cores; `scale` says how many replicas of each process there
    are (of those it does not name: one). `health_path` is asked with GET and has to answer 2xx or 3xx; without it the
    port has to accept connections. `command` is that of the web process, `processes` those of any (instead of what
    the source says), `build` runs after the dependencies are there. A replica has `start_seconds` to become healthy,
    and `drain_seconds` to finish what it is answering. `network` asks for the network outwards, which the node's owner
    has to allow.
    """

    port: Annotated[int, Meta(ge=1, le=65_535, description="a port from 1 to 65535")] | None = None
    ram: Amount = "512MB"
    cpu: Annotated[float, Meta(gt=0, le=1024)] = 1.0
    disk: Amount = "1GB"
    scale: Annotated[
        dict[ProcessName, Annotated[int, Meta(ge=0, le=REPLICAS_MAX)]], Meta(max_length=PROCESSES_MAX)
    ] = {}
    health_path: Annotated[str, Meta(pattern=r"^/[!-~]{0,500}(?!\n)$", description="a path like /healthz")] | None = (
        None
    )
    kind: Kind | None = None
    command: Command | None = None
    processes: Annotated[dict[ProcessName, Command], Meta(max_length=PROCESSES_MAX)] = {}
    build: Command | None = None
    start_seconds: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    drain_seconds: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    network: bool = False
    requirements: Requirements = Requirements()


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the source turned out to be: `processes` are shell commands by name (RELEASE among them where there is
    one), `install` where its dependencies come from, `build` a shell command or nothing, `root` the folder that a
    static site is served from."""

    kind: Kind
    processes: dict[str, str]
    install: Literal["", "npm", "pip"] = ""
    build: str = ""
    root: str = ""


class ReleaseState(StrEnum):
    """Where a release is: `pending` until its first replica is healthy, `live` while it is what is wanted,
    `superseded` by a later one (or gone back from), `failed` where it never became healthy."""

    PENDING = "pending"
    LIVE = "live"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class Release(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of an app. `source` is the digest of the blob that holds its archive (zip or tar). `lock` is that
    of the blob with the versions its first build settled on, where the source itself pins none; `prepared` says that
    its `release` process has run. `env` are its variables, each encrypted by the server. `of` is the number of the
    release it repeats, where somebody went back to that one. `live_at` is when it came to serve (Unix ms, 0: never),
    and `settled` says that every replica wanted of it has been healthy at one time since it was asked for."""

    number: int
    source: str
    config: AppConfig
    plan: Plan
    created_at: int
    by: str
    env: dict[str, bytes] = {}
    state: ReleaseState = ReleaseState.PENDING
    lock: str = ""
    prepared: bool = False
    reason: Reason | None = None
    of: int = 0
    live_at: int = 0
    settled: bool = False


class ReplicaState(StrEnum):
    """Where a replica is. Requests are routed to `healthy` ones of the process WEB, and to no others.

    `unplaced`: no node fits, `reason` says why. `placed`: its node has not said anything of it yet. `draining`: it
    finishes what it is answering and is then stopped. `failed`: its node has given up on it.
    """

    UNPLACED = "unplaced"
    PLACED = "placed"
    BUILDING = "building"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    FAILED = "failed"


Place = tuple[str, int]
"""A process and a number from 0 on: where one replica belongs."""


class Replica(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One process of a release on one node. `generation` is its fence: numbered through the whole app and never used
    twice, so that an older one can neither be routed to nor speak. `index` is its place among those of its `process`;
    of each place at most one generation is healthy at a time. `since` is when it came into its state (Unix ms).
    `avoided` are nodes on which this place failed before, one after the other; `tries` counts how often it was given
    up on all of them and begun again. `moves`: its place goes to another node, with fewer of the
    app. While it is not healthy, `reason` is why it failed last."""

    process: str
    index: int
    generation: int
    release: int
    node: str = ""
    state: ReplicaState = ReplicaState.UNPLACED
    since: int = 0
    restarts: int = 0
    reason: Reason | None = None
    avoided: tuple[str, ...] = ()
    tries: int = 0
    moves: bool = False

    @property
    def place(self) -> Place:
        """Which of the app's replicas it is, whatever its generation."""
        return self.process, self.index


class Wanted(StrEnum):
    """What its owner wants of an app."""

    RUNNING = "running"
    STOPPED = "stopped"
    REMOVED = "removed"


class App(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An app and everything true of it; every change is one compare-and-set of this document. Times are Unix ms.

    `name` is unique among all apps; `title` is what its owner called it. `releases` are the newest ones by rising
    number, the last is what was asked for last; `live` is the number of the one that serves (0: none yet).
    `generations` is the highest generation given out; those up to `renewed` are to be replaced by new ones, since
    somebody asked for a restart.
    """

    id: int
    name: str
    title: str
    owner: str
    created_at: int
    ver: int = 1
    wanted: Wanted = Wanted.RUNNING
    releases: tuple[Release, ...] = ()
    live: int = 0
    replicas: tuple[Replica, ...] = ()
    generations: int = 0
    renewed: int = 0
    wake_at: int | None = None
    changed_at: int = 0
    reason: Reason | None = None

    def release(self, number: int) -> Release | None:
        """The release with this number, if it is still kept."""
        return next((one for one in self.releases if one.number == number), None)

    def replica(self, generation: int) -> Replica | None:
        """The replica of this generation, if there is (still) one."""
        return next((one for one in self.replicas if one.generation == generation), None)


def is_run(replica: Replica) -> bool:
    """Whether a node is to have this replica."""
    return replica.state not in (ReplicaState.UNPLACED, ReplicaState.FAILED)


def processes_of(release: Release) -> list[str]:
    """The processes a release keeps running: the web process first."""
    names = set(release.plan.processes) - {RELEASE} | ({WEB} if release.plan.kind == "static" else set())
    return sorted(names, key=lambda name: (name != WEB, name))


def places_of(release: Release) -> list[Place]:
    """Where a release wants replicas: the web process first, each process from 0 on."""
    scale = release.config.scale
    return [(name, index) for name in processes_of(release) for index in range(scale.get(name, 1))]


def routable(app: App) -> list[Replica]:
    """The replicas that requests may be sent to."""
    return [one for one in app.replicas if one.process == WEB and one.state is ReplicaState.HEALTHY]


def mib_of(amount: str) -> int:
    """The MiB that an `Amount` means, rounded down but never to 0; MB and MiB, GB and GiB are taken for the same."""
    number = amount.rstrip(" MGiB")
    return max(1, int(float(number) * (1024 if "G" in amount else 1)))
