"""How many nodes fit a task before it is submitted: counted, with reasons, and without leaving a trace."""

from collections.abc import Iterator
from typing import Any

import pytest
from puppet import Puppet
from served import Served

SCRIPT = {"name": "t", "payload": {"sourceCode": "1"}}


def fit(server: Served, **more: Any) -> Any:
    answer = server.client.post("/api/tasks/fit", json={**SCRIPT, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def fleet(server: Served) -> Iterator[None]:
    small = Puppet(server, name="Small", labels=("lab",), slots=1)
    Puppet(server, name="Never")
    session = small.connect()
    yield
    session.socket.close()


@pytest.mark.usefixtures("fleet")
def test_who_fits_is_counted_and_who_does_not_is_explained(server: Served) -> None:
    told = fit(server)
    assert (told["nodes"], told["online"], told["fit"], told["freeNow"], told["likelyWaitMs"]) == (2, 1, 1, 1, 0)
    assert told["reasons"] == [{"reason": "has no runtime isolate", "nodes": 1}]  # it never said what it has
    assert told["faults"] == []
    told = fit(server, requirements={"minCores": 64})
    assert (told["fit"], told["likelyWaitMs"]) == (0, None)
    assert {"reason": "has 4 cores of the 64 required", "nodes": 1} in told["reasons"]
    assert server.client.get("/api/tasks").json() == []
    task = server.client.post("/api/tasks", json=SCRIPT).json()["id"]
    told = fit(server)
    assert (told["fit"], told["freeNow"]) == (1, 0)
    assert told["likelyWaitMs"] is None  # nothing has ended here yet: there is no pace to guess from
    server.client.post(f"/api/tasks/{task}/cancel")


@pytest.mark.usefixtures("fleet")
def test_copies_need_owners_of_their_own_and_it_is_said_how_many_there_are(server: Served) -> None:
    told = fit(server, verify="quorum")
    assert (told["copies"], told["likelyWaitMs"]) == (3, None)
    assert told["apart"] <= 1
    assert fit(server, verify="adaptive")["copies"] == 1


@pytest.mark.usefixtures("fleet")
def test_what_is_wrong_with_a_task_is_said_with_its_place_and_it_is_compared_all_the_same(server: Served) -> None:
    told = fit(server, payload={"sourceCode": " "}, requirements={"expression": "node.rma > 1"})
    assert [fault["pointer"] for fault in told["faults"]] == ["/requirements/expression", "/payload/sourceCode"]
    assert told["nodes"] == 2
    wrong = fit(server, verify={"copies": 4, "agree": 2})
    assert [fault["pointer"] for fault in wrong["faults"]] == ["/verify/agree"]
