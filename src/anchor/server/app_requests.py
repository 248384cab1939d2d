"""What a request asks of an app, checked: its name, type, config, variables and numbers of replicas."""

import difflib
from collections.abc import Mapping
from typing import Final

from anchor.core.app import (
    ENV_BYTES_MAX,
    ENV_COUNT_MAX,
    RELEASE,
    WEB,
    AppConfig,
    Plan,
    mib_of,
)
from anchor.core.app_names import app_name_of
from anchor.core.comparison import WrongExpression
from anchor.core.errors import Fault, InvalidRequest
from anchor.core.expression import parse
from anchor.server.app_secrets import AppSecrets, value_bytes
from anchor.server.faults import require_none
from anchor.wire.apps import EnvChanges

TYPES: Final = ("Web", "Static", "Worker")
RAM_MIB_MIN: Final = 16
DISK_MIB_MIN: Final = 1
ANY_PROCESS: Final = "replicas"
"""Stands for the web process, or the only one."""
OURS: Final = frozenset({"PORT", "HOME", "PATH", "ANCHOR_APP", "ANCHOR_RELEASE", "ANCHOR_REPLICA"})
"""Variables that every replica is given by its node."""


def name_from(title: str) -> str:
    """The app's name, made of what its owner calls it; InvalidRequest where nothing in that can be part of one."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in title):
        require_none([Fault("/name", "has a control character in it")], what="The name", code="bad_name")
    try:
        return app_name_of(title)
    except InvalidRequest as error:
        fault = Fault("/name", "has no letter or digit that an address could have")
        raise InvalidRequest(error.message, hint=error.hint, code=error.code, errors=[fault]) from None


def type_from(text: str) -> str:
    """One of TYPES, in whatever case it was written."""
    for known in TYPES:
        if text.lower() == known.lower():
            return known
    close = difflib.get_close_matches(text.capitalize(), TYPES, n=1)
    raise InvalidRequest(
        f"There are no apps of the type {text[:20]!r}.",
        hint=f"Did you mean {close[0]}?" if close else f"Use one of {', '.join(TYPES)}.",
        code="invalid_type",
        errors=[Fault("/type", f"is not one of {', '.join(TYPES)}")],
    )


def checked(config: AppConfig) -> AppConfig:
    """The config, if it makes sense; InvalidRequest with each place where it does not."""
    faults: list[Fault] = []
    for name, amount, least in (("ram", config.ram, RAM_MIB_MIN), ("disk", config.disk, DISK_MIB_MIN)):
        if mib_of(amount) < least:
            faults.append(Fault(f"/config/{name}", f"is {amount}; an app needs {least} MB at least"))
    for word, names in (("scale", config.scale), ("processes", config.processes)):
        faults += [
            Fault(f"/config/{word}", f"names the process {name!r}, which has a line break")
            for name in names
            if "\n" in name
        ]
    if config.scale.get(RELEASE):
        faults.append(Fault(f"/config/scale/{RELEASE}", "is run once for each release, and has no replicas"))
    if config.requirements.expression:
        try:
            parse(config.requirements.expression)
        except WrongExpression as error:
            where = "/config/requirements/expression"
            faults.append(Fault(where, f"{error.message} (column {error.column})"))
    require_none(faults, what="The config", code="invalid_config")
    return config


def merged(secrets: AppSecrets, app: str, kept: Mapping[str, bytes], changes: EnvChanges) -> dict[str, bytes]:
    """An app's variables after changes (None takes one away), as they are kept.

    InvalidRequest where one is set that its node gives to every replica, holds a NUL, or where all together are more
    than ENV_COUNT_MAX or ENV_BYTES_MAX. No message repeats a value.
    """
    faults = [
        Fault(f"/env/{name}", f"is set by the node that runs the app{_instead(name)}")
        for name in changes
        if name in OURS
    ]
    faults += [Fault(f"/env/{name}", "has a NUL in it") for name, value in changes.items() if "\0" in (value or "")]
    require_none(faults, what="The env", code="invalid_env")
    left = {name: value for name, value in kept.items() if name not in changes}
    set_now = {name: value for name, value in changes.items() if value is not None}
    env = left | secrets.encrypted(app, set_now)
    if len(env) > ENV_COUNT_MAX:
        raise InvalidRequest(
            f"These are {len(env):,} variables; {ENV_COUNT_MAX:,} are taken.",
            hint="Put what is large into a file of the source.",
            code="invalid_env",
        )
    if value_bytes(env) > ENV_BYTES_MAX:
        raise InvalidRequest(
            f"The variables have {value_bytes(env):,} bytes together; {ENV_BYTES_MAX:,} are taken.",
            hint="Put what is large into a file of the source.",
            code="invalid_env",
        )
    return env


def _instead(name: str) -> str:
    return ": config.port says where the app listens" if name == "PORT" else ""


def scale_from(plan: Plan, wish: Mapping[str, int]) -> dict[str, int]:
    """How many replicas of which processes a request asks for; InvalidRequest where it names one there is not."""
    names = sorted(set(plan.processes) - {RELEASE})
    wanted = dict(wish)
    if ANY_PROCESS in wanted and ANY_PROCESS not in names:
        meant = WEB if WEB in names or len(names) != 1 else names[0]
        wanted.setdefault(meant, wanted[ANY_PROCESS])
        del wanted[ANY_PROCESS]
    for name in wanted:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            raise InvalidRequest(
                f"The app has no process {name[:40]!r} to scale.",
                hint=f"Did you mean {close[0]}?" if close else f"It has {', '.join(names)}.",
                code="no_such_process",
                errors=[Fault(f"/{name}", f"is not one of {', '.join(names)}")],
            )
    return wanted
