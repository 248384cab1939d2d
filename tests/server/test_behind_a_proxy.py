"""A reverse proxy makes every caller look local; what came through one needs a token all the same."""

import httpx
import pytest
from served import Served, assert_problem

from anchor.server.gate import PROXY_HEADERS


@pytest.mark.parametrize("header", PROXY_HEADERS)
def test_what_came_through_a_proxy_needs_a_token(server: Served, header: str) -> None:
    through = {header: "127.0.0.1"}
    refused = httpx.get(f"{server.url}/api/tasks", headers=through, trust_env=False)
    assert_problem(refused, 401, "came_through_a_proxy")
    token = {"Authorization": f"Bearer {server.key('ann', 'viewer')}"}
    assert httpx.get(f"{server.url}/api/tasks", headers=through | token, trust_env=False).status_code == 200
