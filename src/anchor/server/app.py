"""The server as one ASGI application, and its life: start, serve, stop."""

import asyncio
import gc
import socket
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import structlog
import uvicorn
from starlette.routing import BaseRoute, Router, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from anchor.core.attempt import Reason
from anchor.core.errors import NotFound
from anchor.orchestrator.reconcile import refill
from anchor.ports.store import Duty
from anchor.server.dashboard import Dashboard, send_asset
from anchor.server.desk import Desk
from anchor.server.http import Endpoint, Route, send_problem
from anchor.server.ingress.far import Far
from anchor.server.ingress.hosts import Hosts, Meant
from anchor.server.ingress.pages import Trouble, say
from anchor.server.ingress.relay import RelayLink
from anchor.server.ingress.tunnels import TunnelLink, Tunnels
from anchor.server.lines import Lines
from anchor.server.link import AgentLink
from anchor.server.live.hub import Live
from anchor.server.loops import (
    Retention,
    attending,
    attending_apps,
    counting_app_usage,
    dispatching,
    keeping_number,
    reconciling,
    retaining,
)
from anchor.server.openapi import pages
from anchor.server.routes import (
    audit,
    blobs,
    cluster_logs,
    cluster_releases,
    clusters,
    dag_items,
    dag_text,
    dags,
    files,
    fit,
    health,
    history,
    joining,
    keys,
    logs,
    mapreduce,
    nodes,
    queue,
    session,
    settings,
    task_bulk,
    tasks,
    usage,
    verification,
    waits,
)
from anchor.server.sockets import BoundedSocket
from anchor.wire.link import FRAME_BYTES_MAX
from anchor.wire.live import PATH as LIVE

log = structlog.get_logger("anchor.server")
Apps = Callable[[Scope, Receive, Send, Meant], Awaitable[None]]
"""Answers a request that means an app."""
PING_SECONDS = 60.0
"""How often a line is asked whether its other end is still there: heartbeats tell sooner, unless they cannot arrive."""
GC_THRESHOLDS = (50_000, 20, 100)
"""A fleet's heartbeats are more objects at a time than Python's own threshold, and each collection walks over many."""
GRACEFUL_SECONDS = 5
"""How long requests may go on once the server is asked to stop."""
LETTING_GO_SECONDS = 2.0
"""How long the last leases may take to be written and sent, and then how long agents may take to hang up."""
CANCEL_AGAIN_SECONDS = 0.5
ROUTES: list[Route] = [
    *tasks.ROUTES,
    *waits.ROUTES,
    *task_bulk.ROUTES,
    *fit.ROUTES,
    *dags.ROUTES,
    *dag_items.ROUTES,
    *dag_text.ROUTES,
    *mapreduce.ROUTES,
    *files.ROUTES,
    *logs.ROUTES,
    *nodes.ROUTES,
    *joining.ROUTES,
    *queue.ROUTES,
    *history.ROUTES,
    *keys.ROUTES,
    *session.ROUTES,
    *audit.ROUTES,
    *usage.ROUTES,
    *settings.ROUTES,
    *blobs.ROUTES,
    *verification.ROUTES,
    *clusters.ROUTES,
    *cluster_releases.ROUTES,
    *cluster_logs.ROUTES,
    *health.ROUTES,
]


def application(desk: Desk, lines: Lines, hosts: Hosts, tunnels: Tunnels, apps: Apps, live: Live) -> ASGIApp:
    """Everything this server answers; requests that mean an app are answered by `apps`."""
    table = [*ROUTES, *pages(ROUTES, desk.version)]
    by_path: dict[str, list[Route]] = {}
    for route in table:
        by_path.setdefault(route.path, []).append(route)
    endpoints = {path: Endpoint(desk, at_path) for path, at_path in by_path.items()}
    routes: list[BaseRoute] = [
        # A {name} may hold slashes: it is the last of its path.
        StarletteRoute(path.replace("{name}", "{name:path}"), endpoint, methods=None)
        for path, endpoint in endpoints.items()
    ]
    routes.append(WebSocketRoute("/agent", AgentLink(desk, lines)))
    routes.append(WebSocketRoute("/tunnel", TunnelLink(desk, tunnels)))
    routes.append(WebSocketRoute("/relay", RelayLink(desk.gate, tunnels)))
    # Socket.IO's own client puts a slash at the end.
    routes.extend(WebSocketRoute(path, live) for path in (LIVE, f"{LIVE}/"))
    dashboard = Dashboard()

    async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (page := dashboard.astray(scope)) is not None:
            await send_asset(page, scope, send, status=404)
        else:
            await _nothing_here(scope, receive, send)

    router = Router(routes, redirect_slashes=False, default=nothing_here)
    fixed = {path: endpoint for path, endpoint in endpoints.items() if "{" not in path}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            meant = hosts.meant(scope["headers"], scope["raw_path"])
        except ValueError as error:
            await say(Trouble(400, "bad_request", f"The request has {error}."), scope, send)
            return
        if meant is not None:
            await apps(scope, receive, send, meant)
            return
        # A path without parameters needs no matching, and the busiest ones are such.
        endpoint = fixed.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is not None:
            scope["path_params"] = {}
            await endpoint(scope, receive, send)
        elif (asset := dashboard.asset(scope)) is not None:
            await send_asset(asset, scope, send)
        else:
            await router(scope, receive, send)

    return answer


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4404})
        return
    await send_problem(
        send,
        NotFound(f"There is nothing at {scope['path'][:200]}.", hint="See /api/docs for what there is."),
    )


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handling (the CLI's), and with a word when it listens."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self._on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class _Front:
    """How connections are spoken with, who answers for apps, and what has to run for that."""

    protocol: "type[asyncio.Protocol] | Literal['auto']"
    apps: Apps
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None


def _front(desk: Desk, hosts: Hosts, tunnels: Tunnels) -> _Front:
    if sys.platform == "win32":  # no httptools there; h11 has bounds of its own
        return _Front("auto", _no_apps_here)
    from anchor.server.heads import heads_for  # noqa: PLC0415 - needs httptools
    from anchor.server.ingress.door import Ingress  # noqa: PLC0415
    from anchor.server.ingress.forward import Forwarder  # noqa: PLC0415

    ingress = Ingress(desk, hosts, tunnels)
    return _Front(heads_for(ingress), Forwarder(ingress), ingress.watch)


async def _no_apps_here(scope: Scope, receive: Receive, send: Send, meant: Meant) -> None:
    hint = "Run the server on Linux or macOS; agents on Windows are fine."
    await say(Trouble(501, "no_ingress", "A server on Windows passes no requests on to apps.", hint), scope, send)


async def run(
    desk: Desk,
    lines: Lines,
    listener: socket.socket,
    *,
    retention: Retention,
    number: Duty | None,
    queue_trouble: Callable[[], Reason | None],
    started: Callable[[], Awaitable[None]],
) -> None:
    """Serve on `listener` until cancelled, then stop within seconds; leases are left untouched.

    `number` is this server's duty among those of a shared store, `queue_trouble` says what is wrong with the queue.
    """
    hosts, tunnels = Hosts(desk.apps_domain, desk.url), Tunnels()
    front = _front(desk, hosts, tunnels)
    live = Live(desk)
    desk.history.waits = live.waits
    config = uvicorn.Config(
        application(desk, lines, hosts, tunnels, front.apps, live),
        lifespan="off",
        http=front.protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws=BoundedSocket,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        timeout_keep_alive=75,
        backlog=2048,
    )
    await refill(desk.world)

    async def on_start() -> None:
        desk.ready = True
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await started()

    server = _Server(config, on_start)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    kept_up = [
        dispatching(desk), reconciling(desk, queue_trouble), attending(desk), attending_apps(desk),
        retaining(desk, retention), counting_app_usage(desk),
        *([keeping_number(desk, number)] if number is not None else []),
        *([front.watch()] if front.watch is not None else []),
        Far(desk, tunnels).watch(), live.watch(), desk.history.sampling(desk.world),
    ]  # fmt: skip
    loops = [asyncio.create_task(loop) for loop in kept_up]
    try:
        await asyncio.shield(serving)
    finally:
        desk.ready = False
        desk.stopping.set()
        await _let_agents_go(desk, lines)
        tunnels.close()
        live.close()
        server.should_exit = True
        await _end(loops)
        await serving


async def _end(loops: Collection[asyncio.Task[None]]) -> None:
    """Cancel them until they are gone: `asyncio.wait_for` of Python 3.11, which drivers use, may swallow a cancel."""
    left = set(loops)
    while left:
        for loop in left:
            loop.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)


async def _let_agents_go(desk: Desk, lines: Lines) -> None:
    """Give out no more work, see what was given out on its way, then hang up: an attempt that is on record but never
    reached its node would have to be taken back later."""
    desk.world.fleet.closed = True
    await _until(lambda: desk.world.fleet.handing_out == 0)
    lines.close()
    await _until(lambda: lines.count == 0)


async def _until(done: Callable[[], bool]) -> None:
    """Wait for something that others are about to do, for `LETTING_GO_SECONDS` at most."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + LETTING_GO_SECONDS
    while not done() and loop.time() < give_up:  # noqa: ASYNC110 - nothing says when
        await asyncio.sleep(0.01)
