"""What the records and the setup of a network look like over REST: usage, settings, keys and join tokens."""

import datetime

import msgspec

from anchor.wire.rest import KeyView, Time


class _View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    pass


class UsageRow(_View, frozen=True):
    """What one owner, node or app used (a node: gave). `tasks` ended, `failed` of them without an answer, after
    `attempts`. `owner` is whose node it is, or empty. Apps have CPU and time only."""

    name: str
    owner: str
    tasks: int
    failed: int
    attempts: int
    cpu_seconds: float
    wall_seconds: float


class UsageDay(_View, frozen=True):
    """What was used on one day (UTC)."""

    day: datetime.date
    tasks: int
    failed: int
    attempts: int
    cpu_seconds: float
    wall_seconds: float


class UsageView(_View, frozen=True):
    """What was used since the beginning of a day (UTC): by one thing, those that used most first, and day by day.

    `days` are all uses, of tasks and apps; rows by app are those of apps alone."""

    since: Time
    by: str
    rows: list[UsageRow]
    days: list[UsageDay]


class AccessKey(KeyView, frozen=True):
    """An API key, or a join token. `sessions` are the browsers signed in with it. Of a join token, `state` is waiting,
    used or expired, and `used_by` the node that joined with it, if that is known."""

    kind: str
    state: str
    sessions: int
    used_by: str


class SettingView(_View, frozen=True):
    """A setting: its value as text (of what may hold a password only whether it is set), where that comes from
    (`default`, or a variable, flag or file), what it means, and how it is set."""

    name: str
    group: str
    value: str
    source: str
    meaning: str
    wanted: str
    variable: str


class EngineView(_View, frozen=True):
    """What the network stands on: `part` (store, queue, blobs), `kind`, and what is wrong with it, if anything."""

    part: str
    kind: str
    trouble: str | None


class SettingsView(_View, frozen=True):
    """What is set and what runs. `data_bytes` is the size of the data directory, null where it is too large to look
    through."""

    settings: list[SettingView]
    engines: list[EngineView]
    version: str
    epoch: int
    started_at: Time
    url: str
    data: str
    data_bytes: int | None
