"""The SDK: submit work, follow it, fetch its result; blocking and asyncio clients that say and mean the same."""

from anchor.client.async_client import AsyncClient
from anchor.client.client import Client
from anchor.client.follow import StateChange

__all__ = ["AsyncClient", "Client", "StateChange"]
