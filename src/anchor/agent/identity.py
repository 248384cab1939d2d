"""Who this machine is to a server: a key made here that never leaves, and the node id it was given."""

import base64
import functools
import os
from pathlib import Path

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anchor.agent.trust import trusted
from anchor.core.errors import AnchorError, Unavailable
from anchor.failpoints import reached
from anchor.wire.problems import Problem, error_of
from anchor.wire.rest import Join, Joined

JOIN_SECONDS = 10.0


class Identity(msgspec.Struct, frozen=True):
    """A node's id and its private key (32 raw bytes)."""

    node: str
    private_key: bytes

    def sign(self, content: bytes) -> bytes:
        """The Ed25519 signature of `content`."""
        return _signer(self.private_key).sign(content)


@functools.lru_cache(maxsize=1)
def _signer(private_key: bytes) -> Ed25519PrivateKey:
    # Making the key costs as much as a signature does.
    return Ed25519PrivateKey.from_private_bytes(private_key)


def private_key_in(directory: Path) -> bytes:
    """This machine's private key, made on first use (file `node.key`, mode 0600)."""
    path = directory / "node.key"
    if not path.exists():
        write_privately(path, Ed25519PrivateKey.generate().private_bytes_raw())
    return path.read_bytes()


def public_key_of(private_key: bytes) -> bytes:
    """The raw public key that belongs to a private one."""
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def known_in(directory: Path) -> Identity | None:
    """The identity this machine was given before, or None."""
    path = directory / "node.id"
    if not path.exists():
        return None
    return Identity(path.read_text().strip(), private_key_in(directory))


def remember(directory: Path, node: str) -> Identity:
    """Keep the node id a server gave this machine."""
    write_privately(directory / "node.id", node.encode())
    return Identity(node, private_key_in(directory))


async def join(url: str, token: str, directory: Path, name: str) -> Identity:
    """Enrol this machine with a single-use join token.

    Raises what the server answered, or Unavailable where nothing that speaks Anchor does.
    """
    public_key = base64.b64encode(public_key_of(private_key_in(directory))).decode()
    try:
        async with httpx.AsyncClient(timeout=JOIN_SECONDS, trust_env=False, verify=trusted()) as client:
            answer = await client.post(
                f"{url}/api/nodes/join",
                content=msgspec.json.encode(Join(public_key=public_key, name=name)),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
    except httpx.HTTPError as error:
        raise unreachable(url, error) from None
    try:
        if answer.status_code == httpx.codes.CREATED:
            reached("identity.joined")
            return remember(directory, msgspec.json.decode(answer.content, type=Joined).node_id)
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        raise not_anchor(url) from None
    raise error_of(problem)


async def check_server(url: str) -> None:
    """Raise Unavailable where nothing answers at `url`, and AnchorError where it is not Anchor."""
    try:
        async with httpx.AsyncClient(timeout=JOIN_SECONDS, trust_env=False, verify=trusted()) as client:
            answer = await client.get(f"{url}/health")
        health = msgspec.json.decode(answer.content)
    except httpx.HTTPError as error:
        raise unreachable(url, error) from None
    except msgspec.MsgspecError:
        raise not_anchor(url) from None
    if not isinstance(health, dict) or "version" not in health:
        raise not_anchor(url)


def unreachable(url: str, error: Exception) -> Unavailable:
    """The error for a server that does not answer."""
    return Unavailable(
        f"No server answers at {url}: {error or type(error).__name__}.",
        hint="Check the address, that `anchor up` or `anchor server` runs there, and that no firewall is in between.",
        code="unreachable",
    )


def not_anchor(url: str) -> AnchorError:
    """The error for something else that answers."""
    return AnchorError(
        f"Something answers at {url}, but it is not an Anchor server.",
        hint="Check host and port; `anchor up` prints the right address.",
        code="not_anchor",
    )


def write_privately(path: Path, content: bytes) -> None:
    """Keep a secret in a file that only its owner can read: whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    reached("identity.staged")
    staged.replace(path)
    reached("identity.written")
