"""What the two clients share of HTTP: options, requests, and failures put into words."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator
from typing import Any

import httpx

from anchor import __version__
from anchor.client.address import is_loopback
from anchor.client.answers import Answer, NoAnswer
from anchor.client.calls import Call
from anchor.client.follow import QUIET_SECONDS_MAX
from anchor.client.sources import Body

CONNECT_SECONDS = 5.0


class TokenIfAsked(httpx.Auth):
    """Sends a token only to a server that wants one: it answers 401 once, and is sent the token from then on."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token.strip()}"
        self._asked = False

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The requests that one request becomes."""
        if self._asked:
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code == 401 and not self._asked:
            self._asked = True
            request.headers["Authorization"] = self._header
            yield request


def options(url: str, token: str | None, token_if_asked: str | None) -> dict[str, Any]:
    """The arguments of an httpx client for this server."""
    headers = {"User-Agent": f"anchor/{__version__}", "Accept": "application/json, */*;q=0.1"}
    token = token or os.environ.get("ANCHOR_TOKEN")
    if token:
        headers["Authorization"] = f"Bearer {token.strip()}"
    auth = TokenIfAsked(token_if_asked) if token_if_asked and not token else None
    # A proxy meant for the way out must not stand between a client and its own machine.
    return {"base_url": url, "headers": headers, "auth": auth, "trust_env": not is_loopback(url)}


def request(call: Call[Any], *, streaming: bool = False, awaited: bool = False) -> dict[str, Any]:
    """The arguments of httpx's `request` or `stream` for a call; `awaited` for its asyncio client."""
    quiet = QUIET_SECONDS_MAX if streaming else call.timeout_seconds
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.query),
        "content": _awaited(call.body) if awaited and isinstance(call.body, Body) else call.body or None,
        "headers": dict(call.headers),
        "timeout": httpx.Timeout(quiet, connect=CONNECT_SECONDS),
    }


async def _awaited(body: Body) -> AsyncIterator[bytes]:
    chunks = iter(body)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk


def answer_of(response: httpx.Response) -> Answer:
    """A response whose body has been read."""
    return Answer(response.status_code, dict(response.headers), response.content)


def no_answer(error: httpx.HTTPError, took_seconds: float) -> NoAnswer:
    """Why no response came."""
    never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
    return NoAnswer(_why(error), not never_sent, took_seconds)


def _why(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} seconds"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    text = str(error).removeprefix("[Errno 111] ").strip()
    if isinstance(error, httpx.ConnectError):
        if "refused" in text.lower() or "all connection attempts failed" in text.lower():
            return "connection refused"
        return text or "cannot connect"
    return text or "the connection broke"
