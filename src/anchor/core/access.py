"""Who may do what: roles, what each includes, and the keys and tokens that prove them."""

from enum import StrEnum
from typing import Final

import msgspec


class Role(StrEnum):
    """What somebody is trusted with. `node` is a machine: it may speak as an agent and do nothing else."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"
    NODE = "node"


INCLUDES: Final[dict[Role, frozenset[Role]]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.SUBMITTER: frozenset({Role.VIEWER, Role.SUBMITTER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.SUBMITTER, Role.OPERATOR}),
    Role.ADMIN: frozenset({Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN}),
    Role.NODE: frozenset({Role.NODE}),
}
"""A person's role includes the ones before it; a route names the least role that may use it."""

JOIN_TOKEN_SECONDS: Final = 15 * 60

SAMPLE_SECRETS: Final = frozenset(
    {
        "", "secret", "changeme", "change-me", "change_me", "password", "admin", "token", "test", "example", "default",
        "your-secret", "your_jwt_secret", "your-jwt-secret", "your-secret-key", "your-super-secret-jwt-key",
        "supersecret", "super-secret", "jwt-secret", "jwt_secret", "anchor", "12345678", "123456",
    }
)  # fmt: skip
SECRET_LENGTH_MIN: Final = 16


class Principal(msgspec.Struct, frozen=True):
    """Somebody who asks: a name for the record, and a role."""

    name: str
    role: Role


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A credential as it is kept: only the SHA-256 of the secret. Times are Unix milliseconds.

    `uses_left` is None for keys that may be used for ever; a join token has exactly one use. `session_of` is the digest
    of the key that a browser signed in with, where this is such a session's: it lives no longer than that key.
    `used_by` is the node that joined with it, where this is a join token, `used_at` when and `used_from` whence.
    """

    digest: str
    name: str
    role: Role
    created_at: int
    expires_at: int | None = None
    uses_left: int | None = None
    ver: int = 1
    session_of: str = ""
    used_by: str = ""
    used_at: int = 0
    used_from: str = ""


def may(role: Role, needed: Role) -> bool:
    """Whether somebody with `role` may do what takes `needed`."""
    return needed in INCLUDES[role]


def is_live(key: Key, *, now: int) -> bool:
    """Whether a key still opens anything."""
    return (key.expires_at is None or key.expires_at > now) and key.uses_left != 0


def is_sample_secret(secret: str) -> bool:
    """Whether a secret is one that every scanner tries first, or too short to be one."""
    return secret.strip().lower() in SAMPLE_SECRETS or len(secret) < SECRET_LENGTH_MIN
