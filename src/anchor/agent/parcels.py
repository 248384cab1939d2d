"""Large payloads, modules and results: fetched from and brought to the server's blobs over HTTP."""

import asyncio
import base64
import hashlib

import httpx

from anchor.agent.trust import trusted
from anchor.core.attempt import Result
from anchor.core.errors import AnchorError, Unavailable
from anchor.core.spec import INLINE_BYTES_MAX, blob_of
from anchor.failpoints import reached

TRANSFER_SECONDS = 60.0
RETRY_SECONDS = 1.0
TRIES_MAX = 5
BLOB_BYTES_MAX = 256 * 1024 * 1024


class Parcels:
    """Blobs of one server; `url` and `token` are set anew with every session."""

    def __init__(self) -> None:
        self.url = ""
        self.token = ""
        self._client = httpx.AsyncClient(timeout=TRANSFER_SECONDS, trust_env=False, verify=trusted())

    async def fetch(self, digest: str) -> bytes:
        """The bytes with this digest (64 hex digits), checked; Unavailable where they cannot be had."""
        if not digest:
            return b"{}"
        content = bytearray()
        for attempt in range(TRIES_MAX):
            content.clear()
            try:
                async with self._client.stream("GET", self._at(digest), headers=self._headers()) as answer:
                    if answer.status_code == httpx.codes.NOT_FOUND:
                        break
                    answer.raise_for_status()
                    async for chunk in answer.aiter_bytes():
                        content += chunk
                        if len(content) > BLOB_BYTES_MAX:
                            raise Unavailable(f"Blob {digest} is larger than this node takes.")
            except httpx.HTTPError:
                await asyncio.sleep(RETRY_SECONDS * attempt)
                continue
            if hashlib.sha256(content).hexdigest() == digest:
                return bytes(content)
        raise Unavailable(
            f"Blob sha256:{digest} could not be fetched.", hint="Upload it first: PUT /api/blobs/{sha256}."
        )

    async def module(self, module: str) -> bytes:
        """The bytes of a module given as base64 or as the name of a blob."""
        digest = blob_of(module)
        return base64.b64decode(module) if digest is None else await self.fetch(digest)

    async def pack(self, value: bytes) -> Result:
        """A result ready to travel: inline where it is small, else brought to the server first."""
        if len(value) <= INLINE_BYTES_MAX:
            return Result(json=value, size=len(value))
        digest = hashlib.sha256(value).hexdigest()
        while True:
            try:
                answer = await self._client.put(self._at(digest), content=value, headers=self._headers())
                answer.raise_for_status()
            except httpx.HTTPStatusError as error:
                if error.response.is_client_error and error.response.status_code != httpx.codes.UNAUTHORIZED:
                    raise AnchorError(f"The result was not taken: {error.response.text[:200]}") from None
                await asyncio.sleep(RETRY_SECONDS)
            except httpx.HTTPError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                reached("parcels.brought")
                return Result(blob=digest, size=len(value))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    def _at(self, digest: str) -> str:
        return f"{self.url}/api/blobs/{digest}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}
