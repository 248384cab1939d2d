"""Whether a hello comes from the node it names, and with it the key that apps' secrets are sealed to."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from anchor.core.errors import InvalidRequest
from anchor.core.node import Node
from anchor.wire import box, link
from anchor.wire.link import Hello


def signed_by(node: Node, nonce: bytes, hello: Hello) -> bool:
    """Whether the node signed this hello, and for this connection."""
    return _verifies(node, hello.signature, link.hello_bytes(nonce, hello.node, hello.now))


def box_signed_by(node: Node, hello: Hello) -> bool:
    """Whether the hello's `box_key` is one, and the node's own."""
    try:
        box.sealed(hello.box_key, b"")
    except InvalidRequest:
        return False
    return _verifies(node, hello.box_signature, link.box_bytes(hello.node, hello.box_key))


def _verifies(node: Node, signature: bytes, content: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(node.public_key).verify(signature, content)
    except InvalidSignature:
        return False
    return True
