"""What is said of a program that ended: why, and what to do about it."""

from typing import Any

import pytest

from anchor.agent.apps.endings import reason_of
from anchor.agent.sandbox.supervise import Ended
from anchor.core.app import AppConfig
from anchor.core.attempt import Usage


@pytest.mark.parametrize(
    ("config", "tail", "hint"),
    [
        ({}, "Error: getaddrinfo EAI_AGAIN db.example.com", "It has no network."),
        ({}, "connect ENETUNREACH 10.0.0.1:5432", "It has no network."),
        ({"network": True}, "connect ENETUNREACH 10.0.0.1:5432", "Mend what its last lines say"),
        ({}, "ValueError: no", "Mend what its last lines say"),
        ({}, "", "Have it print why it ends"),
    ],
)
def test_who_has_no_network_and_looks_for_one_is_told_how_to_have_it(
    config: dict[str, Any], tail: str, hint: str
) -> None:
    assert reason_of(Ended(code=1, usage=Usage()), AppConfig(**config), tail).hint.startswith(hint)
