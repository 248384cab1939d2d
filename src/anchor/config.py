"""One frozen Settings, read once: flag over environment over anchor.toml over default."""

import difflib
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from anchor.agent.policy import ALL_RUNTIMES, SHARE_PATTERN, share_bytes
from anchor.core.access import SECRET_LENGTH_MIN, is_sample_secret
from anchor.core.errors import InvalidRequest
from anchor.core.spec import MIB, Label

FILE_NAME: Final = "anchor.toml"
ENV_PREFIX: Final = "ANCHOR_"
CLIENT_VARIABLES: Final = frozenset({"ANCHOR_URL", "ANCHOR_TOKEN", "ANCHOR_SKIP_WEB"})
"""Variables with our prefix that are read elsewhere, as is everything that begins with `ANCHOR_TEST_`."""
OTHER_NAMES: Final = {"PORT": "port", "JWT_SECRET": "secret", "MONGO_URI": "store"}
"""Names other software uses for the same settings; our own name wins where both are set."""
REDIS_PARTS: Final = ("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD")
"""Variables that together make a `queue`, where other software names it so."""
EMBEDDED_STORE: Final = "sqlite"
LOCAL_QUEUE: Final = "local"
SECRET_FIELDS: Final = frozenset({"secret", "store", "queue"})
"""Settings that may hold a password: no message repeats their value."""
LISTS: Final = frozenset({"labels", "runtimes", "programs"})
"""Settings of several words, which commas separate in an environment variable."""
RAM_MIB_MIN: Final = 64
DISK_MIB_MIN: Final = 256
"""The smallest shares of a machine that any task could use."""

_Share = Annotated[str, Meta(pattern=SHARE_PATTERN)]
_SHARE_WORDS = "an amount like 4GiB or 512MiB, or a share of the machine like 50%"
_Positive = Annotated[float, Meta(gt=0, le=86_400, description="a number of seconds above 0")]


def data_directory(env: Mapping[str, str]) -> Path:
    """Where this platform keeps what belongs to a user's programs."""
    if sys.platform == "win32":
        return Path(env.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Anchor"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Anchor"
    return Path(env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "anchor"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, in its unit. `slots` None means one per core; port 0 means any free one.

    From `runtimes` on it is what the owner of a machine lets tasks have of it (None: whatever there is).
    """

    data: Annotated[Path, Meta(description="a directory")]
    host: Annotated[str, Meta(min_length=1, description="an address to listen on, like 127.0.0.1")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="a port from 0 to 65535")] = 5000
    secret: Annotated[str | None, Meta(description="text")] = None
    store: Annotated[
        str, Meta(pattern=r"^(sqlite|mongodb(\+srv)?://.+)$", description="sqlite, or a URL like mongodb://host/anchor")
    ] = EMBEDDED_STORE
    queue: Annotated[
        str, Meta(pattern=r"^(local|rediss?://.+)$", description="local, or a URL like redis://:password@host:6379")
    ] = LOCAL_QUEUE
    public_url: Annotated[
        # It becomes part of commands that people paste into their shells.
        str, Meta(pattern=r"^(https?://[\w.:\[\]-]+)?/?$", description="a URL like https://anchor.example.org")
    ] = ""
    apps_domain: Annotated[
        str,
        Meta(pattern=r"^([a-z0-9-]+(\.[a-z0-9-]+)*)?$", description="a domain in lower case, like apps.example.org"),
    ] = ""
    peer_url: Annotated[
        str, Meta(pattern=r"^(https?://[^/\s]+)?/?$", description="a URL like http://10.0.0.5:5000")
    ] = ""
    requests_per_second: Annotated[float, Meta(gt=0, le=1e6, description="a number above 0")] = 1000.0
    lease_seconds: _Positive = 15.0
    heartbeat_seconds: _Positive = 3.0
    slots: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None, Meta(description="a whole number from 1 to 100000")
    ] = None
    labels: Annotated[tuple[Label, ...], Meta(max_length=32, description="up to 32 labels, separated by commas")] = ()
    node_name: Annotated[str, Meta(max_length=100, description="a name of at most 100 characters")] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="debug, info, warning or error")
    ] = "info"
    log_format: Annotated[Literal["text", "json"], Meta(description="text or json")] = "text"
    retention_days: Annotated[float, Meta(gt=0, le=36_500, description="a number of days above 0")] = 30.0
    graph_retention_hours: Annotated[float, Meta(gt=0, le=876_000, description="a number of hours above 0")] = 24.0
    evidence_days: Annotated[float, Meta(gt=0, le=36_500, description="a number of days above 0")] = 7.0
    spot_check_share: Annotated[float, Meta(ge=0, le=1, description="a share from 0 to 1")] = 0.05
    runtimes: Annotated[
        tuple[str, ...] | None, Meta(description=f"some of {', '.join(ALL_RUNTIMES)}, separated by commas")
    ] = None
    allow_network: Annotated[bool, Meta(description="true or false")] = False
    allow_apps: Annotated[bool, Meta(description="true or false")] = True
    allow_gpu: Annotated[bool, Meta(description="true or false")] = False
    allow_unconfined: Annotated[bool, Meta(description="true or false")] = False
    programs: Annotated[
        Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=1000)] | None,
        Meta(description="names or paths of programs, separated by commas"),
    ] = None
    cpus: Annotated[
        Annotated[float, Meta(ge=0.05, le=100_000)] | None,
        Meta(description="a number of cores from 0.05 on, like 2 or 0.5"),
    ] = None
    ram: Annotated[_Share | None, Meta(description=_SHARE_WORDS)] = None
    disk: Annotated[_Share | None, Meta(description=_SHARE_WORDS)] = None
    sources: dict[str, str] = {}
    """Where those that are not defaults were found; no setting itself."""

    @property
    def admin_token_file(self) -> Path:
        """The file that holds the admin token where the server needs one; readable by its owner only."""
        return self.data / "admin-token"

    @property
    def is_embedded(self) -> bool:
        """Whether the data directory holds the truth, which then belongs to this one server."""
        return self.store == EMBEDDED_STORE

    @property
    def is_alone(self) -> bool:
        """Whether no other server can share the work."""
        return self.queue == LOCAL_QUEUE


class _Given(msgspec.Struct, frozen=True):
    """A value as it was found, and what to call the place; text of the environment stands for any type."""

    source: str
    value: object
    is_text: bool = False


_SHARE_MIN: Final = {"ram": RAM_MIB_MIN, "disk": DISK_MIB_MIN}
_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings) if field.name != "sources"}


def load(
    overrides: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    file: Path | None = None,
    *,
    serving: bool = True,
) -> Settings:
    """The settings in force. `overrides` holds the flags given (None: not given), by field name.

    Without `file`, anchor.toml is looked for in the working directory, then in the data directory.
    With `serving` false (a client command), settings that only a server would refuse are let be.
    Raises InvalidRequest naming the flag, variable or file key that is wrong.
    """
    environment = os.environ if env is None else env
    flags = {name: value for name, value in (overrides or {}).items() if value is not None}
    given = {name: _Given(f"--{name.replace('_', '-')}", value) for name, value in flags.items()}
    for name, found in _from_environment(environment, serving=serving).items():
        given.setdefault(name, found)
    for name, found in _from_file(file, given, environment).items():
        given.setdefault(name, found)
    values = {name: _read(name, found) for name, found in given.items()}
    values.setdefault("data", data_directory(environment))
    values["data"] = values["data"].expanduser().absolute()
    sources = {name: found.source for name, found in given.items()}
    settings = Settings(**values, sources=sources)
    _check(settings, sources, serving=serving)
    return settings


def _from_environment(env: Mapping[str, str], *, serving: bool) -> dict[str, _Given]:
    found: dict[str, _Given] = {}
    for variable, value in env.items():
        if not variable.startswith(ENV_PREFIX) or variable in CLIENT_VARIABLES or variable.startswith("ANCHOR_TEST_"):
            continue
        name = variable.removeprefix(ENV_PREFIX).lower()
        if name not in _FIELDS:
            known = [*CLIENT_VARIABLES, *(ENV_PREFIX + field.upper() for field in _FIELDS)]
            raise InvalidRequest(
                f"The environment variable {variable} is not a setting of Anchor.",
                hint=_did_you_mean(variable, known),
                code="unknown_setting",
            )
        if value:
            found[name] = _Given(variable, value, is_text=True)
    for variable, name in OTHER_NAMES.items():
        if env.get(variable):
            found.setdefault(name, _Given(variable, env[variable], is_text=True))
    if env.get("REDIS_HOST"):
        found.setdefault("queue", _Given("REDIS_HOST", _redis_url(env), is_text=True))
    elif serving and (stray := [name for name in ("REDIS_PORT", "REDIS_PASSWORD") if env.get(name)]):
        raise InvalidRequest(
            f"{stray[0]} is set without REDIS_HOST.",
            hint="Set REDIS_HOST too, or ANCHOR_QUEUE to a URL like redis://:password@host:6379.",
        )
    return found


def _redis_url(env: Mapping[str, str]) -> str:
    host = env["REDIS_HOST"]
    password = f":{quote(env['REDIS_PASSWORD'], safe='')}@" if env.get("REDIS_PASSWORD") else ""
    return f"redis://{password}{f'[{host}]' if ':' in host else host}:{env.get('REDIS_PORT') or 6379}"


def _from_file(file: Path | None, given: Mapping[str, _Given], env: Mapping[str, str]) -> dict[str, _Given]:
    if file is None:
        data = _read("data", given["data"]).expanduser() if "data" in given else data_directory(env)
        file = next((path for path in (Path(FILE_NAME), data / FILE_NAME) if path.is_file()), None)
        if file is None:
            return {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"{file} cannot be read: {error}.", hint="Check the path and the file's permissions."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{file} is not valid TOML: {error}.", hint="Settings look like: port = 5000") from error
    for key in content:
        if key not in _FIELDS:
            raise InvalidRequest(
                f"{key!r} in {file} is not a setting of Anchor.",
                hint=_did_you_mean(key, _FIELDS),
                code="unknown_setting",
            )
    return {key: _Given(f"{key!r} in {file}", value) for key, value in content.items()}


def _read(name: str, given: _Given) -> Any:
    raw = given.value
    if name == "data":
        if isinstance(raw, str | Path) and str(raw) and "\0" not in str(raw):
            return Path(raw)
        raise _wrong(name, given)
    if name in LISTS and given.is_text:
        raw = words_of(str(raw))
    try:
        value = msgspec.convert(raw, _FIELDS[name].type, strict=not given.is_text)
    except msgspec.ValidationError as error:
        raise _wrong(name, given) from error
    if name == "runtimes":
        _check_runtimes(value, given)
    if name in _SHARE_MIN:
        _check_share(name, value, given)
    return value


def words_of(text: str) -> list[str]:
    """The words that commas separate."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _check_runtimes(names: Iterable[str], given: _Given) -> None:
    for name in names:
        if name not in ALL_RUNTIMES:
            raise InvalidRequest(
                f"{given.source} names the runtime {name!r}, which there is not.",
                hint=_did_you_mean(name, ALL_RUNTIMES),
                code="unknown_runtime",
            )


def _check_share(name: str, text: str, given: _Given) -> None:
    least = _SHARE_MIN[name]
    if not text.endswith("%") and share_bytes(text, sys.maxsize) < least * MIB:
        raise InvalidRequest(
            f"{given.source} is {text!r}; less than {least}MiB is of no use to any task.",
            hint="Give more, or leave it out for the default.",
        )


def _wrong(name: str, given: _Given) -> InvalidRequest:
    wanted = _FIELDS[name].type.__metadata__[-1].description
    shown = "not usable" if name in SECRET_FIELDS else repr(given.value)
    return InvalidRequest(
        f"{given.source} is {shown}; it must be {wanted}.",
        hint="Correct it, or leave it out for the default.",
    )


def _check(settings: Settings, sources: Mapping[str, str], *, serving: bool) -> None:
    if settings.heartbeat_seconds * 2 > settings.lease_seconds:
        raise InvalidRequest(
            f"heartbeat_seconds is {settings.heartbeat_seconds:g} and lease_seconds {settings.lease_seconds:g}: "
            "one lost heartbeat would end every lease.",
            hint="Make the lease at least twice as long as the heartbeat.",
        )
    if not serving:
        return
    if settings.is_embedded and not settings.is_alone:
        raise InvalidRequest(
            "The embedded store belongs to one server, which has no use for Redis.",
            hint="Leave the queue local (unset ANCHOR_QUEUE and REDIS_HOST), or keep the data in MongoDB: "
            "ANCHOR_STORE=mongodb://host/anchor.",
            code="unsupported_setting",
        )
    if not settings.is_alone and settings.secret is None:
        raise InvalidRequest(
            "Several servers have to share one secret, and none is set.",
            hint="Set ANCHOR_SECRET to the same value on all of them. Make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"',
            code="secret_needed",
        )
    if settings.secret is not None and is_sample_secret(settings.secret):
        raise InvalidRequest(
            f"{sources['secret']} is a sample secret or shorter than {SECRET_LENGTH_MIN} characters.",
            hint='Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            code="sample_secret",
        )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(sorted(known))}."
