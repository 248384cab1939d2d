"""What holds for every test: async tests run on asyncio, a slow machine is no failure, long files come first."""

from collections import Counter

import pytest
from hypothesis import settings

settings.register_profile("anchor", deadline=None, print_blob=True)
settings.load_profile("anchor")
FIRST = frozenset({"test_chaos.py", "test_graphs_killed.py"})
"""Few tests that take minutes: begun last, one worker would be busy with them long after the other is through."""


def pytest_configure(config: pytest.Config) -> None:
    """Leave the order to the function below."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several work side by side: begin with the files of FIRST, then those of many tests."""
    if hasattr(config, "workerinput"):
        counts = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path.name not in FIRST, -counts[item.path]))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
