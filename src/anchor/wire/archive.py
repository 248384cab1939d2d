"""What a backup file says: a manifest, and JSON documents in the same words whatever engine they came from."""

from hashlib import sha256

import msgspec
from msgspec.structs import replace

from anchor.core.task import Task

FORMAT = 4
MANIFEST = "manifest.json"
KINDS = {
    1: ("tasks", "logs", "claims", "nodes", "keys", "audit", "blobs"),
    2: ("runs", "tasks", "cases", "logs", "claims", "nodes", "keys", "audit", "blobs"),
    3: ("runs", "tasks", "cases", "apps", "logs", "claims", "nodes", "keys", "audit", "blobs"),
    4: ("runs", "tasks", "cases", "apps", "logs", "claims", "nodes", "keys", "usage", "audit", "blobs"),
}
"""By format: the members with documents, in the order they are written; `blobs` lists the files before it."""
BLOBS = "blobs/"
"""What the names of the members that are blobs begin with; the rest is the SHA-256 of the bytes."""
MISSING_SHOWN_MAX = 20


class Member(msgspec.Struct, frozen=True):
    """A member with documents, one a line."""

    name: str
    documents: int
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The first member. `at` is when the backup began (Unix ms), `blob_bytes` the size of all blobs together.

    `missing` are blobs that documents name and the store does not have (whole); the first few of `missing_count`.
    `seal` is the SHA-256 of everything else in here: it tells damage, not forgery.
    """

    format: int
    anchor: str
    engine: str
    schema: int
    epoch: int
    at: int
    members: tuple[Member, ...]
    blobs: int
    blob_bytes: int
    missing: tuple[str, ...] = ()
    missing_count: int = 0
    seal: str = ""


class TaskDocument(msgspec.Struct, frozen=True):
    """A task without its payload, and the payload as it was sent (null where it has none, or where it is a blob)."""

    task: Task
    payload: msgspec.Raw = msgspec.Raw(b"null")


class BlobDocument(msgspec.Struct, frozen=True):
    """A blob that follows."""

    digest: str
    size: int


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its seal."""
    bare = replace(manifest, seal="")
    return replace(bare, seal=sha256(msgspec.json.encode(bare)).hexdigest())
