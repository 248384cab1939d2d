"""What somebody asks of an app's releases: a new one, an earlier one, more replicas, all of them anew."""

from collections.abc import Mapping

from msgspec.structs import replace

from anchor.core.app import RELEASES_KEPT, App, AppConfig, Plan, Release, ReleaseState, Wanted, processes_of
from anchor.core.attempt import Reason
from anchor.core.errors import Conflict, NotFound
from anchor.core.rollout import pending_of


def released(
    app: App,
    *,
    config: AppConfig,
    plan: Plan,
    source: str,
    env: dict[str, bytes],
    by: str,
    now: int,
    lock: str = "",
    of: int = 0,
) -> App:
    """The app with one more release on its way out; one that was so before is superseded unproved."""
    number = app.releases[-1].number + 1 if app.releases else 1
    new = Release(
        number=number,
        source=source,
        config=config,
        plan=plan,
        created_at=now,
        by=by,
        env=env,
        lock=lock,
        of=of,
    )
    return replace(app, releases=_kept(app, (*_without_pending(app, f"Release {number} came after it."), new)))


def back_to(app: App, number: int | None, *, by: str, now: int) -> App:
    """The app on its way back to an earlier release, which gets a new number.

    Without a number: what is on its way out is given up where something is live, else the release that was live
    before is repeated. NotFound where there is no such release, Conflict where there is nowhere to go back to.
    """
    pending, live = pending_of(app.releases), app.release(app.live)
    if live is not None and pending is not None and number in (None, live.number):
        return replace(app, releases=_without_pending(app, f"{by} went back to release {live.number}."), reason=None)
    if number is None:
        before = [one for one in app.releases if one.live_at and one.number != app.live]
        if not before:
            raise Conflict(
                "There is no earlier release to go back to.",
                hint="`anchor app get` lists the releases there are.",
                code="no_earlier_release",
            )
        number = max(before, key=lambda one: one.live_at).number
    chosen = app.release(number)
    if chosen is None:
        kept = ", ".join(str(one.number) for one in app.releases)
        raise NotFound(f"There is no release {number} of {app.name} (any more).", hint=f"There are {kept}.")
    if number == app.live:
        raise Conflict(
            f"Release {number} is the live one.", hint="Restart the app to run it anew.", code="already_live"
        )
    newest = app.releases[-1]
    return released(
        app,
        config=replace(chosen.config, scale={**chosen.config.scale, **newest.config.scale}),
        plan=chosen.plan,
        source=chosen.source,
        env=chosen.env,
        by=by,
        now=now,
        lock=chosen.lock,
        of=chosen.number,
    )


def scaled(app: App, scale: Mapping[str, int]) -> App:
    """The app with so many replicas of these processes, in the live release and in the one on its way out."""
    known = processes_of(app.releases[-1])
    unknown = sorted(scale.keys() - set(known))
    if unknown:
        raise Conflict(
            f"{app.name} has no process {unknown[0]!r}.",
            hint=f"Its processes are {', '.join(known) or 'none'}.",
            code="no_such_process",
        )
    changed = {one.number for one in (app.release(app.live), app.releases[-1]) if one is not None}
    return replace(
        app, releases=tuple(_with_scale(one, scale) if one.number in changed else one for one in app.releases)
    )


def restarted(app: App) -> App:
    """The app with every replica to be replaced by a new one. A newest release that failed, with nothing live, is
    tried again."""
    newest = app.releases[-1]
    again = replace(newest, state=ReleaseState.PENDING, reason=None, settled=False)
    if app.live == 0 and newest.state is ReleaseState.FAILED:
        return replace(app, releases=(*app.releases[:-1], again), reason=None, renewed=app.generations)
    releases = tuple(replace(one, settled=False) if one.number == app.live else one for one in app.releases)
    return replace(app, releases=releases, renewed=app.generations, reason=None)


def started(app: App) -> App:
    """The app to be run again, if it was stopped: as it was."""
    if app.wanted is not Wanted.STOPPED:
        return app
    releases = tuple(replace(one, settled=False) if one.number == app.live else one for one in app.releases)
    return replace(app, releases=releases, wanted=Wanted.RUNNING)


def _with_scale(release: Release, scale: Mapping[str, int]) -> Release:
    config = replace(release.config, scale={**release.config.scale, **scale})
    return release if config == release.config else replace(release, config=config, settled=False)


def _without_pending(app: App, why: str) -> tuple[Release, ...]:
    reason = Reason("superseded", why)
    return tuple(
        replace(one, state=ReleaseState.SUPERSEDED, reason=reason) if one.state is ReleaseState.PENDING else one
        for one in app.releases
    )


def _kept(app: App, releases: tuple[Release, ...]) -> tuple[Release, ...]:
    """The newest releases, and those that replicas still are of."""
    needed = {app.live, *(one.release for one in app.replicas)}
    newest = {one.number for one in releases[-RELEASES_KEPT:]}
    return tuple(one for one in releases if one.number in newest or one.number in needed)
