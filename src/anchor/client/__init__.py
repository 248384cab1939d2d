"""The SDK: submit work, follow it, fetch its result; blocking and asyncio clients that say and mean the same."""

from anchor.client.async_client import AsyncClient
from anchor.client.async_futures import AsyncFuture, AsyncJobFuture, AsyncRunFuture
from anchor.client.client import Client
from anchor.client.deploys import DeployFailed
from anchor.client.follow import StateChange
from anchor.client.futures import Future, JobFuture, RunFuture
from anchor.client.graph import Graph, Step
from anchor.client.outcomes import TaskFailed

__all__ = [
    "AsyncClient",
    "AsyncFuture",
    "AsyncJobFuture",
    "AsyncRunFuture",
    "Client",
    "DeployFailed",
    "Future",
    "Graph",
    "JobFuture",
    "RunFuture",
    "StateChange",
    "Step",
    "TaskFailed",
]
