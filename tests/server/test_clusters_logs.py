"""What replicas print: kept within bounds, shown together in the order in which it came, followed and gone on with."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from hosting_puppet import PATIENCE_SECONDS, HostingPuppet, create, remove_all, until
from puppet import Session
from served import Served, assert_problem

from anchor.wire.link import HostItem

PIECE = "x" * 30_000


@pytest.fixture(scope="module")
def puppet(server: Served) -> HostingPuppet:
    return HostingPuppet(server)


@pytest.fixture
def session(puppet: HostingPuppet) -> Iterator[Session]:
    with puppet.connect() as session:
        yield session
        remove_all(puppet.server, session)


def printed(server: Served, name: str, count: int, **query: str | int) -> list[dict[str, Any]]:
    """The log, once it has so many pieces."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        lines: list[dict[str, Any]] = server.client.get(f"/api/clusters/{name}/logs", params=query).json()
        if len(lines) >= count:
            return lines
        assert time.monotonic() < end, lines
        time.sleep(0.02)


def wide(server: Served, session: Session, name: str) -> list[HostItem]:
    """An app of two replicas, both healthy."""
    create(server, name, config={"scale": {"web": 2}})
    session.says(*session.hosts())
    items = sorted(session.hosts(2), key=lambda item: item.index)
    session.says(*items)
    until(server, name, lambda app: app["ready"] == 2)
    return items


def test_replicas_are_read_together_in_the_order_in_which_they_printed(
    server: Served, session: Session, puppet: HostingPuppet
) -> None:
    first, second = wide(server, session, "pair")
    for number in range(3):
        session.prints(first, number + 1, f"first {number}\n")
        session.prints(second, number + 1, f"second {number}\n", stream="stderr")
    lines = printed(server, "pair", 6)
    assert [line["text"] for line in lines] == [f"{who} {at}\n" for at in range(3) for who in ("first", "second")]
    assert [(line["process"], line["index"], line["release"], line["stream"]) for line in lines[:2]] == [
        ("web", 0, 1, "stdout"),
        ("web", 1, 1, "stderr"),
    ]
    assert {line["nodeId"] for line in lines} == {puppet.node}
    assert [int(line["id"]) for line in lines] == sorted({int(line["id"]) for line in lines})
    assert printed(server, "pair", 2, after=lines[3]["id"]) == lines[4:]
    assert printed(server, "pair", 2, tail=2) == lines[4:]
    assert printed(server, "pair", 2, limit=2) == lines[:2]
    assert printed(server, "pair", 3, generation=second.generation) == lines[1::2]
    assert printed(server, "pair", 0, process="other") == []
    wrong = server.client.get("/api/clusters/pair/logs", params={"after": "1.2"})
    assert_problem(wrong, 400, "invalid_position")


def test_the_tail_of_a_log_is_so_many_lines_of_however_many_pieces(server: Served, session: Session) -> None:
    first, second = wide(server, session, "tails")
    session.prints(first, 1, "a\n\nb\n")
    session.prints(second, 1, "c\nd\n")
    whole = printed(server, "tails", 2)
    for tail, texts in (
        (0, []),
        (1, ["d\n"]),
        (3, ["b\n", "c\nd\n"]),
        (4, ["\nb\n", "c\nd\n"]),
        (9, ["a\n\nb\n", "c\nd\n"]),
    ):
        lines = server.client.get("/api/clusters/tails/logs", params={"tail": tail}).json()
        assert [line["text"] for line in lines] == texts
        assert [line["id"] for line in lines] == [line["id"] for line in whole][2 - len(texts) :]
    asked = {"follow": "1", "tail": "3"}
    with server.client.stream("GET", "/api/clusters/tails/logs", params=asked) as answer:
        events = (event for event in events_of(answer) if event[0] == "output")
        assert [msgspec.json.decode(next(events)[2])["text"] for _ in range(2)] == ["b\n", "c\nd\n"]


def test_a_log_is_followed_and_gone_on_with_where_it_broke_off(server: Served, session: Session) -> None:
    first, second = wide(server, session, "live")
    seen: list[tuple[str, str]] = []
    with server.client.stream("GET", "/api/clusters/live/logs", params={"follow": "1"}) as answer:
        events = events_of(answer)
        assert next(events)[0] == "state"
        session.prints(first, 1, "one\n")
        session.prints(second, 1, "two\n")
        for _ in range(2):
            name, position, data = next(events)
            assert name == "output"
            seen.append((position, msgspec.json.decode(data)["text"]))
    assert [text for _, text in seen] == ["one\n", "two\n"]
    session.prints(first, 2, "three\n")
    going_on = {"Last-Event-ID": seen[-1][0]}
    with server.client.stream("GET", "/api/clusters/live/logs", params={"follow": "1"}, headers=going_on) as answer:
        events = events_of(answer)
        assert next(events)[0] == "state"
        name, _, data = next(events)
        assert (name, msgspec.json.decode(data)["text"]) == ("output", "three\n")
        remover = threading.Thread(target=remove_all, args=(server, session))
        remover.start()
        assert [event for event, _, _ in events if event != "state"] == ["end"]
        remover.join()


def events_of(answer: httpx.Response) -> Iterator[tuple[str, str, str]]:
    """The events of a stream: name, id, data."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield fields["event"], fields.get("id", ""), fields.get("data", "")
            fields = {}


def test_of_a_flood_only_so_much_is_kept_and_other_replicas_lose_nothing(server: Served, session: Session) -> None:
    loud, quiet = wide(server, session, "flood")
    session.prints(quiet, 1, "quiet\n")
    for number in range(100):
        session.prints(loud, number + 1, f"{number} {PIECE}")
    session.prints(quiet, 2, "still there\n")
    lines = printed(server, "flood", 2, generation=quiet.generation)
    assert [line["text"] for line in lines] == ["quiet\n", "still there\n"]
    kept = printed(server, "flood", 20, generation=loud.generation)
    assert len(kept) <= 45


def test_of_a_long_log_the_newest_is_kept(server: Served, puppet: HostingPuppet) -> None:
    numbers = iter(range(100))
    for half in range(2):
        with puppet.connect() as session:
            if half == 0:
                first, _ = wide(server, session, "long")
            else:
                session.says(*session.hosts(2))
            session.prints(first, 1, *(f"{next(numbers)} {PIECE}" for _ in range(15)))
            session.prints(first, 16, *(f"{next(numbers)} {PIECE}" for _ in range(15)))
            session.prints(first, 31, f"half {half}\n")
            lines = printed(server, "long", 1)
            while lines[-1]["text"] != f"half {half}\n":
                lines = printed(server, "long", 1)
            # A list is read page by page, so one read while pieces are cut off may have old and new ones; this has not.
            lines = printed(server, "long", 1)
            if half == 1:
                remove_all(server, session)
    kept = [line["text"].partition(" ")[0] for line in lines if line["text"].endswith(PIECE)]
    assert kept == [str(number) for number in range(60 - len(kept), 60)]
    assert 30 <= len(kept) <= 45
    assert lines[-1]["text"] == "half 1\n"
    assert lines[0]["process"] == "web"


def test_output_of_what_a_node_was_not_told_to_run_is_not_kept(server: Served, session: Session) -> None:
    first, _ = wide(server, session, "mine")
    other = HostingPuppet(server)
    with other.connect() as stranger:
        stranger.prints(first, 1, "forged\n")
        session.prints(msgspec.structs.replace(first, generation=99), 1, "no such replica\n")
        session.prints(msgspec.structs.replace(first, app=first.app + 1), 1, "no such app\n")
        session.prints(first, 1, "true\n")
        assert [line["text"] for line in printed(server, "mine", 1)] == ["true\n"]
    server.client.post(f"/api/nodes/{other.node}/block")


def test_an_agent_that_came_back_counts_anew_and_nothing_is_lost(server: Served, puppet: HostingPuppet) -> None:
    with puppet.connect() as session:
        first, _ = wide(server, session, "again")
        session.prints(first, 1, "before\n")
        printed(server, "again", 1)
    with puppet.connect() as session:
        session.prints(first, 1, "after\n")
        session.says(*session.hosts(2))
        assert [line["text"] for line in printed(server, "again", 2)] == ["before\n", "after\n"]
        remove_all(server, session)
