"""Anchor Network: ordinary computers pooled into one compute platform."""

import importlib
from typing import Any

__version__ = "0.1.0"
_SDK = frozenset(
    {"AsyncClient", "AsyncFuture", "Client", "DeployFailed", "Future", "Graph", "RunFuture", "Step", "TaskFailed"}
)


def __getattr__(name: str) -> Any:
    """A name of the SDK, brought in when it is first asked for: agents and their workers need none of it.

    Type checkers read the names in `__init__.pyi`.
    """
    if name in _SDK:
        return getattr(importlib.import_module("anchor.client"), name)
    raise AttributeError(f"module 'anchor' has no attribute {name!r}")
