"""The same story with everything real: `anchor up` in a process of its own, asked through the SDK."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anchor.client import Client
from anchor.core.errors import InvalidRequest

START_SECONDS = 60.0
END_SECONDS = 60.0


class House:
    """A server and its agent on one data directory."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "data"
        self._words = directory / "words.txt"

    def open(self) -> str:
        """Start, and say under which URL it is found."""
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "anchor", "up", "--port", "0", "--data", str(self._data)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            found = re.search(r"Anchor is up: (http://\S+)", self._words.read_text())
            if found:
                return found[1]
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"anchor up did not start:\n{self._words.read_text()}")

    def close(self) -> None:
        """Stop as Ctrl-C does."""
        self._process.terminate()
        self._process.wait(30)

    def kill(self) -> None:
        """End it as a power failure would."""
        self._process.kill()
        self._process.wait(30)


@pytest.fixture(scope="module")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    house = House(tmp_path_factory.mktemp("house"))
    with Client(house.open()) as client:
        yield client
    house.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.kill()


def script(source: str, **payload: object) -> dict[str, object]:
    return {"name": "fundamental", "payload": {"sourceCode": source, **payload}}


def test_what_the_code_returns_is_the_result(anchor: Client) -> None:
    task = anchor.submit(script("return input.a * input.b", input={"a": 6, "b": 7}))
    outcome = anchor.result(task.id, wait_seconds=END_SECONDS)
    assert (outcome.state, outcome.result) == ("succeeded", 42)


def test_what_the_code_prints_can_be_read(anchor: Client) -> None:
    task = anchor.submit(script("console.log('hello'); return null"))
    anchor.result(task.id, wait_seconds=END_SECONDS)
    assert "".join(line.text for line in anchor.logs(task.id)) == "hello\n"


def test_code_that_throws_is_tried_again_and_then_says_what_it_threw(anchor: Client) -> None:
    spec = script("throw new Error('no luck')") | {"retry": {"attempts": 2, "backoffSeconds": 0}}
    outcome = anchor.result(anchor.submit(spec).id, wait_seconds=END_SECONDS)
    assert (outcome.state, outcome.attempt) == ("failed", 2)
    assert outcome.reason is not None
    assert outcome.reason.code == "script_error"
    assert "no luck" in outcome.reason.message


def test_code_that_never_ends_is_ended(anchor: Client) -> None:
    spec = script("while (true) {}") | {"retry": {"attempts": 1}, "limits": {"timeoutSeconds": 0.5}}
    outcome = anchor.result(anchor.submit(spec).id, wait_seconds=END_SECONDS)
    assert outcome.reason is not None
    assert (outcome.state, outcome.reason.code) == ("failed", "timeout")


def test_a_task_that_nobody_can_run_says_what_every_machine_lacks(anchor: Client) -> None:
    task = anchor.submit({"name": "big", "type": "noop", "requirements": {"minRam": 900_000}})
    [node] = anchor.why(task.id)["nodes"]
    assert "of the 900000 required" in node["unmet"]
    assert anchor.cancel(task.id).state == "cancelled"


def test_a_request_that_makes_no_sense_is_refused_with_the_place_that_is_wrong(anchor: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        anchor.submit(script(""))
    assert [fault.pointer for fault in caught.value.errors] == ["/payload/sourceCode"]


def test_what_was_acknowledged_survives_the_death_of_the_server(house: House) -> None:
    with Client(house.open()) as client:
        created = client.submit_many({"name": f"noop {n}", "type": "noop"} for n in range(100))
    house.kill()
    with Client(house.open()) as client:
        outcomes = [client.result(task.id, wait_seconds=END_SECONDS) for task in created]
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
