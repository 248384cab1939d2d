"""Browsers' sessions: a cookie that stands for an API key, and what keeps other sites from using it."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from anchor.core.access import Key, Principal
from anchor.core.errors import Forbidden
from anchor.failpoints import reached
from anchor.ports.clock import Clock
from anchor.ports.store import KeyStore
from anchor.wire.session import COOKIE, CSRF_HEADER, SECURE_COOKIE

if TYPE_CHECKING:
    from starlette.types import Scope

SESSION_SECONDS = 12 * 3600
SESSIONS_PER_KEY_MAX = 20
"""Browsers signed in with one key; the one that signed in first is signed out for one more."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"127.0.0.1", "::1"})
_PREFIX = "ancs_"


class Session(msgspec.Struct, frozen=True):
    """A browser that is signed in. `digest` is how it is filed, `expires_at` is Unix milliseconds; `csrf` is what only
    pages of this server can know of it."""

    digest: str
    principal: Principal
    expires_at: int
    csrf: str


class Sessions:
    """Sessions are kept where keys are; `live` finds a key that still opens something."""

    def __init__(
        self, keys: KeyStore, clock: Clock, live: Callable[[str], Awaitable[Key | None]], *, secret: bytes
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._live = live
        self._secret = secret

    async def open(self, of: Key) -> tuple[str, Session]:
        """Sign a browser in with this key: the cookie's value, to be shown once, and the session."""
        now = self._clock.now()
        await self._make_room(of, now)
        value = f"{_PREFIX}{secrets.token_urlsafe(32)}"
        ends = [now + SESSION_SECONDS * 1000, *([of.expires_at] if of.expires_at is not None else [])]
        key = Key(
            digest=_digest_of(value),
            name=of.name,
            role=of.role,
            created_at=now,
            expires_at=min(ends),
            session_of=of.digest,
        )
        await self._keys.add_key(key)
        reached("sessions.opened")
        return value, self._session(key, of)

    async def of(self, scope: "Scope", headers: Mapping[str, str]) -> Session | None:
        """The session that a request's cookie names, if that is good for anything still."""
        if "cookie" not in headers:
            return None
        value = _cookie(headers, cookie_name(scope, headers))
        if value is None or not value.startswith(_PREFIX):
            return None
        key = await self._live(_digest_of(value))
        if key is None or not key.session_of:
            return None
        parent = await self._live(key.session_of)
        return None if parent is None else self._session(key, parent)

    async def close(self, digest: str) -> None:
        """Sign a browser out."""
        await self._keys.remove_key(digest)
        reached("sessions.closed")

    async def close_all(self, of: str) -> list[str]:
        """Sign out every browser that signed in with the key of this digest; the digests of their sessions. Those that
        a crash leaves behind open nothing: their key is gone."""
        digests = [key.digest for key in await self._keys.keys() if key.session_of == of]
        for digest in digests:
            await self.close(digest)
        return digests

    async def _make_room(self, of: Key, now: int) -> None:
        sessions = [key for key in await self._keys.keys() if key.session_of]  # newest first
        own = [key for key in sessions if key.session_of == of.digest]
        over = {key.digest for key in sessions if key.expires_at is not None and key.expires_at <= now}
        for digest in over | {key.digest for key in own[SESSIONS_PER_KEY_MAX - 1 :]}:
            await self.close(digest)

    def _session(self, key: Key, parent: Key) -> Session:
        csrf = hmac.new(self._secret, b"csrf:" + key.digest.encode(), sha256).hexdigest()
        return Session(key.digest, Principal(parent.name, parent.role), key.expires_at or 0, csrf)


def refuse_forged(scope: "Scope", headers: Mapping[str, str], session: Session, own_url: str) -> None:
    """Refuse what a page of another site makes a browser send along with our cookie. What only reads needs to come
    from no other site; what changes something has to show the session's own token, and an origin of ours."""
    refuse_other_origins(headers, own_url)
    if scope.get("method", "GET") in READING:
        return
    if "origin" not in headers:
        raise Forbidden(
            "A browser's request that changes something says which page it comes from; this one does not.",
            hint="Programs send a token instead of a cookie.",
            code="origin_not_allowed",
        )
    if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), session.csrf.encode()):
        raise Forbidden(
            "The header X-Anchor-CSRF does not belong to this session.",
            hint="Send what GET /api/session says under csrf.",
            code="csrf",
        )


def refuse_other_origins(headers: Mapping[str, str], own_url: str) -> None:
    """Refuse what a browser says comes from a page that is not this server's."""
    host = headers.get("host", "")
    ours = {f"http://{host}", f"https://{host}", _origin_of(own_url) or f"http://{host}"}
    from_here = headers.get("origin") is None or headers["origin"] in ours
    if not from_here or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Forbidden(
            "A web page of another site may not drive this server.",
            hint="Use a token from programs; pages have to come from this server itself.",
            code="origin_not_allowed",
        )


def cookie_name(scope: "Scope", headers: Mapping[str, str]) -> str:
    """What the cookie is called: over HTTPS a name that browsers take from nobody but this very host, by HTTPS."""
    return SECURE_COOKIE if is_https(scope, headers) else COOKIE


def set_cookie(scope: "Scope", headers: Mapping[str, str], value: str, seconds: int) -> str:
    """The Set-Cookie that keeps a session in a browser; 0 seconds take it out again."""
    secure = "; Secure" if is_https(scope, headers) else ""
    name = cookie_name(scope, headers)
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def is_https(scope: "Scope", headers: Mapping[str, str]) -> bool:
    """Whether the browser speaks HTTPS. A proxy that ends it is believed where it runs on this machine."""
    if scope.get("scheme") in {"https", "wss"}:
        return True
    client = scope.get("client")
    is_local = client is not None and client[0] in LOOPBACK
    return is_local and headers.get("x-forwarded-proto", "").strip().lower() == "https"


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _cookie(headers: Mapping[str, str], name: str) -> str | None:
    for pair in headers.get("cookie", "").split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value
    return None


def _digest_of(value: str) -> str:
    return sha256(value.encode()).hexdigest()
