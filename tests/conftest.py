"""What holds for every test: async tests run on asyncio, and a slow machine is no failure."""

import pytest
from hypothesis import settings

settings.register_profile("anchor", deadline=None, print_blob=True)
settings.load_profile("anchor")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
