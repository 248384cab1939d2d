"""What a caller is told where an app cannot answer: a small page for people, a problem document for programs."""

import html
from typing import TYPE_CHECKING

import msgspec

from anchor.core.app import App, ReleaseState, Wanted
from anchor.server.http import new_request_id
from anchor.wire.problems import CONTENT_TYPE, Problem

if TYPE_CHECKING:
    from starlette.types import Scope, Send

TITLES = {
    400: "This request cannot be understood",
    404: "There is no such app",
    431: "This request is too large",
    501: "Not on this system",
    502: "The app did not answer properly",
    503: "The app is not available",
    504: "The app took too long",
}
_encode = msgspec.json.Encoder().encode
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}}
body{{color:#222;background:#fff}}
small{{color:#666}}@media(prefers-color-scheme:dark){{body{{color:#ddd;background:#1b1b1b}}small{{color:#999}}}}</style>
<h1>{title}</h1><p>{detail}</p><p>{hint}</p><p><small>{status} {code} · {request}</small></p></html>
"""


class Trouble(Exception):
    """Why there is no answer of the app's; `retry_after` in seconds."""

    def __init__(self, status: int, code: str, detail: str, hint: str = "", retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.hint = hint
        self.retry_after = retry_after


def page(trouble: Trouble, accept: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body: HTML where the caller would rather see that than JSON."""
    problem = Problem(
        title=TITLES[trouble.status],
        status=trouble.status,
        detail=trouble.detail,
        code=trouble.code,
        hint=trouble.hint,
        request_id=new_request_id(),
    )
    if b"text/html" in accept.lower():
        kind = "text/html; charset=utf-8"
        shown = {
            name: html.escape(str(text))
            for name, text in {
                "title": problem.title,
                "detail": problem.detail,
                "hint": problem.hint,
                "status": problem.status,
                "code": problem.code,
                "request": problem.request_id,
            }.items()
        }
        content = _PAGE.format_map(shown).encode()
    else:
        kind = CONTENT_TYPE
        content = _encode(problem)
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    ]
    if trouble.retry_after is not None:
        headers.append((b"retry-after", str(trouble.retry_after).encode()))
    return headers, content


def no_such_app(name: str) -> Trouble:
    """Nobody has an app of this name."""
    return Trouble(404, "no_such_app", f"There is no app {name[:63]!r} here.", "`anchor app ls` shows those there are.")


def out_of_reach(app: App) -> Trouble:
    """No replica can be routed to: why, as far as the app says."""
    name = app.name
    if app.wanted is Wanted.STOPPED:
        return Trouble(503, "app_stopped", f"{name} is stopped.", f"`anchor app start {name}` starts it.", 60)
    newest = app.releases[-1] if app.releases else None
    reason = app.reason or (newest.reason if newest is not None else None)
    reason = reason or next((one.reason for one in app.replicas if one.reason is not None), None)
    because = f" {reason.message}" if reason is not None else ""
    if newest is not None and newest.state is ReleaseState.FAILED and not app.live:
        return Trouble(503, "app_failed", f"{name} has failed.{because}", f"See `anchor app logs {name}`.", 30)
    if not app.live:
        return Trouble(503, "app_deploying", f"{name} is being deployed.{because}", "Try again in a moment.", 2)
    return Trouble(503, "no_healthy_replica", f"No replica of {name} is up.{because}", "Try again in a moment.", 2)


def disconnected(app: App) -> Trouble:
    """Replicas are up, and their nodes cannot be reached."""
    return Trouble(
        503,
        "no_replica_reached",
        f"No replica of {app.name} can be reached.",
        "Its nodes are connecting; try again.",
        1,
    )


async def say(trouble: Trouble, scope: "Scope", send: "Send") -> None:
    """Answer with a page, and read no more of the request."""
    if scope["type"] != "http":
        await send({"type": "websocket.close"})
        return
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    headers, content = page(trouble, accept)
    await send({"type": "http.response.start", "status": trouble.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
