"""Who is asking, and may they: tokens, local callers, and the headers that give a web page away."""

import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from anchor.core.access import JOIN_TOKEN_SECONDS, Key, Principal, Role, is_live, may
from anchor.core.errors import Forbidden, Unauthenticated
from anchor.core.node import Status, lease_has_ended
from anchor.failpoints import reached
from anchor.ports.buckets import Buckets
from anchor.ports.clock import Clock
from anchor.ports.store import KeyStore, NodeStore
from anchor.server.limits import Limits
from anchor.server.sessions import Sessions, refuse_forged, refuse_other_origins

if TYPE_CHECKING:
    from starlette.types import Scope

LOCAL = Principal("local", Role.ADMIN)
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What a reverse proxy adds: behind one, every caller seems to be on this machine."""
PEER_TOKEN_MS = 60_000
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]@/]+))(?::[0-9]*)?")
CACHE_MS = 500
"""How long a key that was found live is believed without looking again."""


class Credentials(KeyStore, NodeStore, Protocol):
    """Where keys and nodes are looked up."""


class Gate:
    """Turns a request into a Principal, or refuses it.

    On a loopback address (`open_locally`) callers from this machine need no token; what a browser sends on behalf of
    another site is refused there by Host and Origin. On any other address everybody needs a token, or the cookie of a
    session. `own_url` is how browsers call this server where that is not what the Host header says.
    """

    def __init__(
        self,
        keys: Credentials,
        clock: Clock,
        buckets: Buckets,
        *,
        secret: bytes,
        open_locally: bool,
        requests_per_second: float,
        own_url: str = "",
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._limits = Limits(buckets, requests_per_second)
        self._secret = secret
        self.open_locally = open_locally
        self.own_url = own_url
        self.sessions = Sessions(keys, clock, self._live, secret=secret)
        self._seen: dict[str, tuple[Key, int]] = {}

    async def admit(self, needed: tuple[Role, ...], scope: "Scope", headers: Mapping[str, str]) -> Principal:
        """The caller, if it may do what takes one of the `needed` roles (none: anybody may)."""
        if not needed:
            return Principal("anybody", Role.VIEWER)
        token = bearer(headers)
        if token is not None:
            principal = await self._identify_within_limits(token, scope)
        elif (session := await self.sessions.of(scope, headers)) is not None:
            refuse_forged(scope, headers, session, self.own_url)
            principal = session.principal
            await self._limits.request(principal.name)
        elif self.open_locally:
            refuse_web_pages(scope, headers)
            principal = LOCAL
        else:
            raise Unauthenticated(
                "This server wants to know who is asking.",
                hint="Send Authorization: Bearer TOKEN (CLI: --token or ANCHOR_TOKEN). An admin makes tokens with "
                "`anchor key create`; the first one is in the file admin-token of the server's data directory.",
            )
        if not any(may(principal.role, role) for role in needed):
            raise Forbidden(
                f"This takes the role {needed[0]}; {principal.name} is {principal.role}.",
                hint=f"Ask an admin for a key with the role {needed[0]}.",
            )
        return principal

    async def _identify_within_limits(self, token: str, scope: "Scope") -> Principal:
        try:
            principal = await self.identify(token)
        except Unauthenticated:
            await self._limits.wrong_token(address_of(scope))
            raise
        await self._limits.request(principal.name)
        return principal

    async def identify(self, token: str) -> Principal:
        """Whose token this is."""
        if token.startswith("ancn_"):
            return await self._node_of(token)
        key = await self._live(digest_of(token))
        if key is None or key.uses_left is not None or key.session_of:
            raise wrong_token()
        return Principal(key.name, key.role)

    async def key_to_sign_in(self, token: str, scope: "Scope", headers: Mapping[str, str]) -> Key:
        """The key that a browser may sign in with, where the page that asks is ours."""
        refuse_other_origins(headers, self.own_url)
        principal = await self._identify_within_limits(token, scope)
        key = await self._live(digest_of(token))
        if principal.role is Role.NODE or key is None:
            raise wrong_token()
        return key

    async def sign_out(self, digest: str) -> None:
        """End a session."""
        await self.sessions.close(digest)
        self.forget(digest)

    async def live_join_token(self, token: str | None) -> Key:
        """A join token that still lets a machine join."""
        key = await self._keys.key(digest_of(token or ""))
        if key is None or key.uses_left is None:
            raise _dead_join_token("unknown")
        if key.uses_left == 0:
            raise _dead_join_token("used" if key.used_by else "void")
        if not is_live(key, now=self._clock.now()):
            raise _dead_join_token("expired")
        return key

    async def use_join_token(self, key: Key, *, node: str, address: str) -> None:
        """Take the one use of a join token, for this node."""
        left = (key.uses_left or 0) - 1
        used = replace(key, ver=key.ver + 1, uses_left=left, used_by=node, used_at=self._clock.now(), used_from=address)
        if not await self._keys.swap_key(key, used):
            raise _dead_join_token("used")
        reached("gate.join_token_used")

    async def new_key(self, name: str, role: Role, *, seconds: int | None) -> tuple[str, Key]:
        """A new API key: its secret, to be shown once, and what is kept of it."""
        now = self._clock.now()
        token = f"anc_{secrets.token_urlsafe(32)}"
        expires = None if seconds is None else now + seconds * 1000
        key = Key(digest=digest_of(token), name=name, role=role, created_at=now, expires_at=expires)
        await self._keys.add_key(key)
        reached("gate.key_added")
        return token, key

    async def new_join_token(self, name: str, *, seconds: int = JOIN_TOKEN_SECONDS) -> tuple[str, Key]:
        """A new join token, good for one machine."""
        now = self._clock.now()
        token = f"ancj_{secrets.token_urlsafe(24)}"
        key = Key(
            digest=digest_of(token),
            name=name,
            role=Role.NODE,
            created_at=now,
            expires_at=now + seconds * 1000,
            uses_left=1,
        )
        await self._keys.add_key(key)
        reached("gate.join_token_added")
        return token, key

    def forget(self, digest: str) -> None:
        """Believe a key no longer."""
        self._seen.pop(digest, None)

    def node_token(self, node: str, session: int) -> str:
        """A token with which a node's agent may fetch and keep blobs, for as long as this session of it lives."""
        body = f"{node}.{session}"
        return f"ancn_{body}.{self._sign(body)}"

    async def _node_of(self, token: str) -> Principal:
        body, _, signature = token.removeprefix("ancn_").rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(body).encode()):
            raise wrong_token()
        name, _, session = body.rpartition(".")
        node = await self._keys.node(name)
        if node is None or node.status is Status.BLOCKED or lease_has_ended(node, int(session), now=self._clock.now()):
            raise wrong_token()
        return Principal(name, Role.NODE)

    def peer_token(self) -> str:
        """A token by which another server of the same secret knows this one, for a minute."""
        body = str(self._clock.now())
        return f"ancp_{body}.{self._sign_as_peer(body)}"

    def is_peer(self, token: str) -> bool:
        """Whether a server of the same secret made this token within the last minute."""
        body, _, signature = token.removeprefix("ancp_").partition(".")
        is_signed = hmac.compare_digest(signature.encode(), self._sign_as_peer(body).encode())
        return is_signed and abs(self._clock.now() - int(body)) <= PEER_TOKEN_MS

    def _sign_as_peer(self, body: str) -> str:
        return hmac.new(self._secret, b"peer-token:" + body.encode(), sha256).hexdigest()

    def _sign(self, body: str) -> str:
        return hmac.new(self._secret, b"node-token:" + body.encode(), sha256).hexdigest()

    async def _live(self, digest: str) -> Key | None:
        now = self._clock.now()
        key, seen_at = self._seen.get(digest, (None, 0))
        if key is None or seen_at < now - CACHE_MS:
            key = await self._keys.key(digest)
            if key is None:
                return None
            if len(self._seen) > 1000:
                self._seen.clear()
            self._seen[digest] = (key, now)
        return key if is_live(key, now=now) else None


def address_of(scope: "Scope") -> str:
    """Where a request comes from, as far as the connection tells."""
    client = scope.get("client")
    return client[0] if client is not None else "unknown"


def refuse_web_pages(scope: "Scope", headers: Mapping[str, str]) -> None:
    """Refuse what a browser sends for a page of another site (also after DNS rebinding): it bears no token of ours."""
    host = _host_name(headers.get("host", ""))
    if host not in LOOPBACK_HOSTS:
        raise Forbidden(
            f"The Host header names {host[:100]!r}; without a token only localhost may be asked.",
            hint="Open http://localhost or http://127.0.0.1, or send a token.",
            code="host_not_allowed",
        )
    client = scope.get("client")
    if client is not None and not _is_loopback(client[0]):
        raise Forbidden("Only callers on this machine need no token.", hint="Send a token.", code="not_local")
    if any(name in headers for name in PROXY_HEADERS):
        raise Unauthenticated(
            "This request came through a proxy, so it may come from anywhere.",
            hint="Send Authorization: Bearer TOKEN; `anchor key create` on the server's machine makes one.",
            code="came_through_a_proxy",
        )
    refuse_other_origins(headers, "")


def wrong_token() -> Unauthenticated:
    """The error for a token that opens nothing; it does not say whether it ever did."""
    return Unauthenticated(
        "This token is not valid: unknown, expired or revoked.",
        hint="Ask an admin for a new one: `anchor key create`.",
        code="invalid_token",
    )


def bearer(headers: Mapping[str, str]) -> str | None:
    """The bearer token of a request."""
    value = headers.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header is not understood.", hint="Send Authorization: Bearer TOKEN.")
    return token.strip()


def digest_of(token: str) -> str:
    """How a token is filed: only its SHA-256 is kept."""
    return sha256(token.encode()).hexdigest()


_DEAD_JOIN_TOKENS = {
    "unknown": "This join token is not known here.",
    "used": "This join token was used before: each one lets one machine join.",
    "void": "This join token is void: it was used, or it is older than the backup that this server was restored from.",
    "expired": "This join token has expired: nobody used it in time.",
}


def _dead_join_token(how: str) -> Unauthenticated:
    return Unauthenticated(
        _DEAD_JOIN_TOKENS[how],
        hint="Get a new one: the dashboard's page Add a node shows it, and `anchor node token` prints it.",
        code="invalid_join_token",
    )


def _host_name(host: str) -> str:
    """The name in a Host header; all of it where it is none with a port."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else host


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in {"::1", "::ffff:127.0.0.1"}
