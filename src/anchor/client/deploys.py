"""How an app is deployed, step by step as in `exchange`: its source brought, a release made, and waited for."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from anchor.client import answers, apps
from anchor.client.calls import Call, get
from anchor.client.exchange import WAIT_SECONDS_MAX, Manners, Steps, brought, exchange
from anchor.client.packing import Packed
from anchor.core.app import AppConfig, ReleaseState
from anchor.core.errors import AnchorError
from anchor.wire.apps import AppView, ReleaseView

DEPLOY_SECONDS = 900.0
"""How long a deployment is waited for by default."""
UNDER_WAY = frozenset({"deploying", "stopping", "removing"})
"""States of an app that it does not stay in."""


class DeployFailed(AnchorError):
    """A release did not get to run: `code`, `reason` and `hint` say why; `app` is how the app is now."""

    code = "deploy_failed"

    def __init__(self, app: AppView, release: ReleaseView) -> None:
        reason = release.reason or app.reason
        message = f"Release {release.number} of {app.name} failed: "
        message += reason.message if reason is not None else "no reason was given."
        super().__init__(message, hint=reason.hint if reason else "", code=reason.code if reason else None)
        self.app = app
        self.reason = reason


def deployed(packed: Packed, manners: Manners) -> Steps[AppView]:
    """Bring a source to the server and make a release of it: the app's first one where there is no such app yet."""
    known = yield from exchange(_if_there(packed.name), manners)
    digest = "sha256:" + (yield from brought(packed.source, manners))
    if known is None:
        config = overlaid(AppConfig(), packed.config)
        return (yield from exchange(apps.create(packed.title, digest, config, packed.env), manners))
    before = AppConfig() if packed.fresh else newest(known).config
    changed = overlaid(before, packed.config) if packed.config or packed.fresh else None
    return (yield from exchange(apps.release(known.id, digest, changed, packed.env), manners))


def overlaid(config: AppConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config as JSON with these changes; those of `scale` and `processes` are made process by process."""
    merged: dict[str, Any] = msgspec.to_builtins(config)
    for name, value in changes.items():
        merged[name] = {**merged.get(name, {}), **value} if name in ("scale", "processes") else value
    return merged


def newest(app: AppView) -> ReleaseView:
    """The release that was asked for last."""
    return app.releases[-1]


def settled(name: str, seconds: float | None, manners: Manners) -> Steps[AppView]:
    """Ask for an app until nothing of it is under way, or for `seconds` (None: for as long as it takes)."""
    until = None if seconds is None else time.monotonic() + seconds
    version = ""
    while True:
        left = WAIT_SECONDS_MAX if until is None else max(0.0, min(until - time.monotonic(), WAIT_SECONDS_MAX))
        view = yield from exchange(apps.app(name, wait_seconds=left if version else 0, version=version), manners)
        if view.state not in UNDER_WAY or (until is not None and time.monotonic() >= until):
            return view
        version = view.version


def live_app(name: str, release: int, seconds: float | None, manners: Manners) -> Steps[AppView]:
    """The app once this release of it serves and nothing is under way any more; DeployFailed where it does not get
    there, TimeoutError after `seconds`."""
    view = yield from settled(name, seconds, manners)
    if (failed := failure_of(view, release)) is not None:
        raise failed
    if view.state in UNDER_WAY:
        raise TimeoutError(f"Release {release} of {view.name} is not there after {seconds:g} seconds: {view.state}.")
    return view


def failure_of(view: AppView, release: int) -> DeployFailed | None:
    """The error that a release stands for, None where it did not fail."""
    found = next((one for one in view.releases if one.number == release), None)
    if found is None or found.state != ReleaseState.FAILED:
        return None
    return DeployFailed(view, found)


def _if_there(name: str) -> Call[AppView | None]:
    view = answers.json_as(AppView)
    call = get(apps.path_of(name), lambda answer: None if answer.status == 404 else view(answer))
    return msgspec.structs.replace(call, also=frozenset({404}))
