"""Whoever asks too often is told when to come back, and nobody else pays for it."""

import time
from collections.abc import Iterator

import httpx
import pytest
from served import Served, assert_problem

RATE = 20
WRONG_TOKENS_MAX = 1_200


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("limited"), requests_per_second=RATE)
    served.start()
    yield served
    served.end()


def test_a_key_that_asks_too_often_is_told_when_to_come_back_and_then_served(limited: Served) -> None:
    token = limited.key("fast", "submitter")
    with limited.as_holder_of(token) as fast, limited.as_holder_of(limited.key("calm", "submitter")) as calm:
        answers = [fast.get("/api/tasks") for _ in range(4 * RATE)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert {answer.status_code for answer in answers} == {200, 429}
        assert_problem(refused[0], 429, "too_many_requests", says="fast asks more than 20", hints="one array")
        assert calm.get("/api/tasks").status_code == 200
        assert limited.client.get("/api/tasks").status_code == 200
        time.sleep(int(refused[-1].headers["retry-after"]))
        assert fast.get("/api/tasks").status_code == 200


def test_an_address_that_tries_one_token_after_the_other_is_slowed_down(limited: Served) -> None:
    def guess(client: httpx.Client, at: int) -> int:
        return client.get("/api/tasks", headers={"Authorization": f"Bearer anc_{at}"}).status_code

    with limited.as_holder_of(None) as guesser:
        assert next((at for at in range(WRONG_TOKENS_MAX) if guess(guesser, at) == 429), None) is not None
    with limited.as_holder_of(limited.key("honest", "viewer")) as honest:
        assert honest.get("/api/tasks").status_code == 200
