"""What type checkers know of the package itself: the names of the SDK, which `__init__.py` brings in on demand."""

from anchor.client import AsyncClient as AsyncClient
from anchor.client import AsyncFuture as AsyncFuture
from anchor.client import Client as Client
from anchor.client import DeployFailed as DeployFailed
from anchor.client import Future as Future
from anchor.client import Graph as Graph
from anchor.client import RunFuture as RunFuture
from anchor.client import Step as Step
from anchor.client import TaskFailed as TaskFailed

__version__: str
