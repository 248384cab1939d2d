"""Variables of apps where they are kept: encrypted by the server, so that neither a store nor a backup tells them."""

import os
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anchor.core.errors import Conflict

SECRET_CHANGED: Final = "secret_changed"
_FORM: Final = b"\x01"
"""Which construction this is; another one would begin with another byte."""
_NONCE_BYTES: Final = 12
OVERHEAD_BYTES: Final = len(_FORM) + _NONCE_BYTES + 16
"""What a kept value is longer than the value."""


class AppSecrets:
    """AES-256-GCM under a key derived from the server's secret (HKDF-SHA256), with a nonce drawn for each value. The
    app's name and the variable's are authenticated with it: a value says nothing under another name."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"anchor-app-env").derive(secret))

    def encrypted(self, app: str, values: Mapping[str, str]) -> dict[str, bytes]:
        """Values by variable, as they are kept for the app of this name."""
        return {name: self._encrypted(_place(app, name), value.encode()) for name, value in values.items()}

    def _encrypted(self, place: bytes, value: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _FORM + nonce + self._cipher.encrypt(nonce, value, place)

    def decrypted(self, app: str, kept: Mapping[str, bytes]) -> dict[str, str]:
        """The values again; Conflict (code secret_changed) where they were encrypted under another secret."""
        return {name: self._decrypted(app, name, value) for name, value in kept.items()}

    def _decrypted(self, app: str, name: str, kept: bytes) -> str:
        start = len(_FORM)
        nonce, content = kept[start : start + _NONCE_BYTES], kept[start + _NONCE_BYTES :]
        try:
            if kept[:start] != _FORM:
                raise InvalidTag
            return self._cipher.decrypt(nonce, content, _place(app, name)).decode()
        except (InvalidTag, ValueError):
            raise Conflict(
                f"The variable {name} of {app} was encrypted under another secret than this server has now.",
                hint="Start the server with the secret it had (ANCHOR_SECRET, or the file secret among its data), "
                f"or set the variables anew: `anchor app env {app} set`.",
                code=SECRET_CHANGED,
            ) from None


def value_bytes(kept: Mapping[str, bytes]) -> int:
    """How many bytes variables have together, names and values, read off what is kept of them."""
    return sum(len(name) + len(value) - OVERHEAD_BYTES for name, value in kept.items())


def _place(app: str, name: str) -> bytes:
    return f"{app}/{name}".encode()
