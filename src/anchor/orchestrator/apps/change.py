"""What people ask of apps: each is one change of the document, and what follows from it is in the same write."""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from anchor.core.app import App, AppConfig, Plan, Wanted
from anchor.core.app_releases import back_to, released, restarted, scaled, started
from anchor.core.errors import Conflict, NotFound
from anchor.core.ids import wire_id
from anchor.failpoints import reached
from anchor.orchestrator.apps.advance import advance, rewrite
from anchor.orchestrator.audit import note
from anchor.orchestrator.world import World

Variables = Mapping[str, bytes]
"""An app's variables, each encrypted."""


async def create(
    world: World,
    *,
    name: str,
    title: str,
    owner: str,
    config: AppConfig,
    plan: Plan,
    source: str,
    env: Mapping[str, bytes],
    by: str,
    key: int | None = None,
) -> App:
    """A new app with its first release. Conflict (`name_taken`) where the name is some other app's.

    `key` is the app's id where an Idempotency-Key has claimed one: the same request again gets the same app.
    """
    now = world.clock.now()
    app_id = world.keys.take(1, now_ms=now)[0] if key is None else key
    bare = App(id=app_id, name=name, title=title, owner=owner, created_at=now, changed_at=now, wake_at=now)
    app = released(bare, config=config, plan=plan, source=source, env=dict(env), by=by, now=now)
    if not await world.store.insert_app(app):
        there = await world.store.app(app_id)
        if there is None:
            raise Conflict(
                f"There is an app {name!r} already.",
                hint="Choose another name, or deploy to that one.",
                code="name_taken",
            )
        app = there
    reached("apps.created")
    if world.apps.get(app_id) is None:  # else a sweep has taken it further already
        world.apps.keep(app)
    world.bus.apps_changed([app_id])
    after = await advance(world, app_id) or app
    await _note(world, after, "app_created", by)
    return after


async def release(
    world: World,
    app_id: int,
    *,
    owner: str | None,
    source: str | None = None,
    config: AppConfig | None = None,
    plan: Plan | None = None,
    env: Variables | Callable[[Variables], Variables] | None = None,
    by: str,
) -> App:
    """Put out a new release; what is None is as in the newest one, and `env` may be made of the newest one's.

    Processes that `config.scale` does not name keep as many replicas as they have. An app that was stopped is started
    by it.
    """

    def change(app: App) -> App:
        newest = app.releases[-1]
        scale = newest.config.scale if config is None else {**newest.config.scale, **config.scale}
        new = released(
            app,
            config=replace(config or newest.config, scale=scale),
            plan=plan or newest.plan,
            source=source or newest.source,
            env=newest.env if env is None else dict(env(newest.env) if callable(env) else env),
            by=by,
            now=world.clock.now(),
            lock=newest.lock if source in (None, newest.source) else "",
        )
        return replace(new, wanted=Wanted.RUNNING)

    return await _changed(world, app_id, owner, "app_released", by, change)


async def scale(world: World, app_id: int, *, owner: str | None, scale: Mapping[str, int], by: str) -> App:
    """Have so many replicas of these processes; Conflict (`no_such_process`) where the app has no such one."""
    return await _changed(world, app_id, owner, "app_scaled", by, lambda app: scaled(app, scale))


async def rollback(world: World, app_id: int, *, owner: str | None, to: int | None = None, by: str) -> App:
    """Go back to an earlier release (None: the one that was live before), with its source, config and variables; what
    is on its way out is given up."""
    return await _changed(
        world, app_id, owner, "app_rolled_back", by, lambda app: back_to(app, to, by=by, now=world.clock.now())
    )


async def restart(world: World, app_id: int, *, owner: str | None, by: str) -> App:
    """Replace every replica by a new one of the same release, one after the other; try again what failed."""
    return await _changed(world, app_id, owner, "app_restarted", by, restarted)


async def stop(world: World, app_id: int, *, owner: str | None, by: str) -> App:
    """Run nothing of it, until somebody starts it again."""
    return await _changed(world, app_id, owner, "app_stopped", by, _stopped)


async def start(world: World, app_id: int, *, owner: str | None, by: str) -> App:
    """Run it again as it was."""
    return await _changed(world, app_id, owner, "app_started", by, started)


async def remove(world: World, app_id: int, *, owner: str | None, by: str) -> None:
    """Let it drain, then forget it."""
    named: list[App] = []

    def change(app: App) -> App:
        named[:] = [app]
        return replace(app, wanted=Wanted.REMOVED)

    await rewrite(world, app_id, lambda app: change(_checked(app, owner)))
    if not named:
        raise _unknown(app_id)
    await _note(world, named[0], "app_removed", by)


async def _changed(
    world: World, app_id: int, owner: str | None, kind: str, by: str, change: Callable[[App], App]
) -> App:
    """An app after a change that its owner (None: an operator) asks for; NotFound to all others."""

    changed = await rewrite(world, app_id, lambda app: change(_checked(app, owner)))
    if changed is None:
        raise _unknown(app_id)
    await _note(world, changed, kind, by)
    return changed


def _checked(app: App, owner: str | None) -> App:
    if owner not in (None, app.owner):
        raise _unknown(app.id)
    if app.wanted is Wanted.REMOVED:
        raise Conflict(f"{app.name} is being removed.", hint="Wait until it is gone.", code="being_removed")
    return app


async def _note(world: World, app: App, kind: str, by: str) -> None:
    subject = wire_id("app", app.id)
    what = kind.removeprefix("app_").replace("_", " ")
    await note(world, kind=kind, subject=subject, message=f"{app.name} ({subject}) was {what} by {by}.", by=by)


def _stopped(app: App) -> App:
    return app if app.wanted is Wanted.STOPPED else replace(app, wanted=Wanted.STOPPED)


def _unknown(app_id: int) -> NotFound:
    return NotFound(f"There is no app {wire_id('app', app_id)}.", hint="`anchor app ls` lists those there are.")
