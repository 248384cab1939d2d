"""Servers to ask: real ones, in processes of their own, on free ports of this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from served import Served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on loopback, where callers of this machine need no token; the tests of a file share it."""
    served = Served(tmp_path_factory.mktemp("server"))
    served.start()
    yield served
    served.end()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Served]:
    """A server for one test alone, which may kill it."""
    served = Served(tmp_path)
    served.start()
    yield served
    served.end()
