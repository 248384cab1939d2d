"""Secrets for one reader: sealed to its X25519 key by whoever knows the public half, opened by nobody else.

The construction is that of NaCl's sealed boxes and of HPKE's base mode (RFC 9180): an ephemeral X25519 key (RFC 7748)
for each box, HKDF-SHA256 (RFC 5869) over the shared secret with both public keys as its context, ChaCha20-Poly1305
(RFC 8439). A key encrypts once, so that its nonce is constant. A box is the ephemeral public key (32 bytes), then the
ciphertext with its tag.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anchor.core.errors import InvalidRequest

KEY_BYTES: Final = 32
"""A private key, a public key."""
OVERHEAD_BYTES: Final = KEY_BYTES + 16
"""What a box is longer than its content."""
_DOMAIN: Final = b"anchor-box-1:"
_NONCE: Final = bytes(12)


def new_private_key() -> bytes:
    """A new private key, raw."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(private_key: bytes) -> bytes:
    """The public key to a private one, both raw."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def sealed(public_key: bytes, content: bytes) -> bytes:
    """The content in a box that only the holder of the private key opens; InvalidRequest where `public_key` is none."""
    ephemeral = X25519PrivateKey.generate()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:  # another length, or a point of low order
        raise InvalidRequest("This is not a key that anything can be sealed to.", hint="Upgrade the agent.") from None
    mine = ephemeral.public_key().public_bytes_raw()
    return mine + ChaCha20Poly1305(_key(shared, mine, public_key)).encrypt(_NONCE, content, None)


def opened(private_key: bytes, box: bytes) -> bytes:
    """What is in a box; InvalidRequest where it was sealed to another key, or was changed."""
    mine, content = box[:KEY_BYTES], box[KEY_BYTES:]
    try:
        shared = X25519PrivateKey.from_private_bytes(private_key).exchange(X25519PublicKey.from_public_bytes(mine))
        return ChaCha20Poly1305(_key(shared, mine, public_of(private_key))).decrypt(_NONCE, content, None)
    except (ValueError, InvalidTag):
        raise InvalidRequest(
            "This box was not sealed to this key, or was changed on its way.",
            hint="Connect again: the server seals to the key that the last hello brought.",
            code="box_not_opened",
        ) from None


def _key(shared: bytes, ephemeral: bytes, reader: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_DOMAIN + ephemeral + reader).derive(shared)
