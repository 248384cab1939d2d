"""What travels when a browser signs in: a token for a cookie, and who is signed in."""

import msgspec

from anchor.wire.rest import Time

CSRF_HEADER = "x-anchor-csrf"
COOKIE = "anchor"
SECURE_COOKIE = "__Host-anchor"


class SignIn(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The API key that a browser's session is to act for."""

    token: str


class SessionView(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    """Who asks. `by` is how that is known: `session` (a cookie), `token`, or `local` (a caller of the server's own
    machine, who needs neither). Of a session: `csrf` is what the header X-Anchor-CSRF of every request has to say that
    changes something, `expires_at` is its end; null otherwise."""

    name: str
    role: str
    by: str
    csrf: str | None
    expires_at: Time | None
