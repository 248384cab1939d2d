"""Protocol 3 as it was, in frames that have not changed since protocol 2: its agents work here, and no version crashes
another."""

import time
from typing import Any

import msgspec
import pytest
from puppet import Puppet
from served import Served

from anchor.core.attempt import Ending, Outcome, Result, Usage
from anchor.core.node import Metrics, Profile
from anchor.core.spec import ResolvedLimits
from anchor.wire import link
from anchor.wire.link import Assignment, Chunk, Held

HELD = Held(7, 2)
NOW = 1_700_000_000_000
BODY = (
    b"\x94\xaaREX-A1B2C3\x03\x01\x91\x85\xa4task\x07\xa7attempt\x02\xa7outcome\xa9succeeded\xa6result\x82\xa4json"
    b"\xc4\x011\xa4size\x01\xa5usage\x81\xabwallSeconds\xcb?\xe0\x00\x00\x00\x00\x00\x00"
)
"""What protocol 2 signed; these bytes and those below are pinned: agents that send them are out there."""
OF_AGENTS: dict[bytes, Any] = {
    b"\x9b\xa5hello\xaaREX-A1B2C3\xc4@" + b"\x01" * 64 + b"\x01\x02\xa50.1.0\xcf\x00\x00\x01\x8b\xcf\xe5h\x00\x04\x85"
    b"\xa4host\xa3rex\xa5cores\x04\xa3ram\xcb@ \x00\x00\x00\x00\x00\x00\xa8runtimes\x81\xa7isolate\xa11"
    b"\xa6labels\x91\xa3gpu\x91\x92\x07\x02\x05": link.Hello(
        "REX-A1B2C3",
        b"\x01" * 64,
        1,
        2,
        "0.1.0",
        NOW,
        4,
        Profile(host="rex", cores=4, ram=8.0, runtimes={"isolate": "1"}, labels=("gpu",)),
        [HELD],
        5,
    ),
    b"\x92\xa8accepted\x91\x92\x07\x02": link.Accepted([HELD]),
    b"\x92\xa6output\x91\x96\x07\x02\x01\xcf\x00\x00\x01\x8b\xcf\xe5h\x00\xa6stdout\xa3hi\n": link.Output(
        [Chunk(7, 2, 1, NOW, "stdout", "hi\n")]
    ),
    b"\x95\xa9heartbeat\x03\x82\xa8cpuUsage\xcb?\xf8\x00\x00\x00\x00\x00\x00\xa6uptime<\x91\x92\x07\x02\xc2": (
        link.Heartbeat(3, Metrics(cpu_usage=1.5, uptime=60), [HELD], False)
    ),
    b"\x93\xa6report\xc4c" + BODY + b"\xc4@" + b"\x02" * 64: link.Report(BODY, b"\x02" * 64),
    b"\x92\xa4nack\xa5what?": link.Nack("what?"),
}
OF_SERVERS: dict[bytes, Any] = {
    b"\x97\xa9challenge\xc4 " + b"\x03" * 32 + b"\xa6anchor\xa50.1.0\x01\x02\xcf\x00\x00\x01\x8b\xcf\xe5h\x00": (
        link.Challenge(b"\x03" * 32, "anchor", "0.1.0", 1, 2, NOW)
    ),
    b"\x99\xa7welcome\x03\x02\xcb@.\x00\x00\x00\x00\x00\x00\xcb@\x08\x00\x00\x00\x00\x00\x00\xa6ancn_x\x91"
    b"\x92\x07\x02\x05\xcb?\xe0\x00\x00\x00\x00\x00\x00": (link.Welcome(3, 2, 15.0, 3.0, "ancn_x", [HELD], 5, 0.5)),
    b"\x95\xa7refused\xa7blocked\xa3No.\xa4Ask.\xc0": link.Refused("blocked", "No.", "Ask.", None),
    b"\x93\xa8recorded\x91\x92\x07\x02\x90": link.Recorded([HELD], []),
    b"\x93\xa7renewed\x03\x91\x92\x07\x02": link.Renewed(3, [HELD]),
    b"\x92\xa6cancel\x91\x92\x07\x02": link.Cancel([HELD]),
    b"\x93\xa4stop\xa3bye\xc3": link.Stop("bye", True),
    b"\x92\xa6assign\x91\x97\x07\x02\xa7isolate\x83\xaamemory_mib\xcc\x80\xaftimeout_seconds\xcb@>\x00\x00\x00\x00\x00"
    b"\x00\xacoutput_bytes\xce\x00\x10\x00\x00\xc4\x02{}\xa0\xa1t": link.Assign(
        [Assignment(7, 2, "isolate", ResolvedLimits(128, 30.0, 1 << 20), b"{}", "", "t")]
    ),
}


@pytest.fixture
def puppet(server: Served) -> Puppet:
    return Puppet(server, labels=("protocols",))


def kind_of(frame: Any) -> str:
    return type(frame).__name__


@pytest.mark.parametrize(("content", "frame"), OF_AGENTS.items(), ids=map(kind_of, OF_AGENTS.values()))
def test_what_an_agent_of_protocol_2_sends_is_understood(content: bytes, frame: Any) -> None:
    assert link.decode_from_agent(content) == frame


def test_what_an_agent_of_protocol_2_signed_is_understood() -> None:
    ending = Ending(7, 2, Outcome.SUCCEEDED, Result(json=b"1", size=1), usage=Usage(wall_seconds=0.5))
    assert link.decode_report(BODY) == link.ReportBody("REX-A1B2C3", 3, 1, [ending])


@pytest.mark.parametrize(("content", "frame"), OF_SERVERS.items(), ids=map(kind_of, OF_SERVERS.values()))
def test_what_a_server_of_protocol_2_sends_is_understood(content: bytes, frame: Any) -> None:
    assert link.decode_from_server(content) == frame


@pytest.mark.parametrize(
    ("content", "frame"),
    [*OF_AGENTS.items(), *OF_SERVERS.items()],
    ids=map(kind_of, [*OF_AGENTS.values(), *OF_SERVERS.values()]),
)
def test_what_is_sent_begins_as_it_did_in_protocol_2(content: bytes, frame: Any) -> None:
    before, now = msgspec.msgpack.decode(content), msgspec.msgpack.decode(link.encode(frame))
    assert cut_to(before, now) == before


def cut_to(before: Any, now: Any) -> Any:
    """`now` without what was appended to its arrays since, at any depth."""
    if isinstance(before, list):
        return [cut_to(*pair) for pair in zip(before, now, strict=False)]
    return now


class OldAgent:
    """An agent of protocol 3: it knows nothing of our structs, only arrays, and nothing of apps."""

    def __init__(self, puppet: Puppet) -> None:
        self.puppet = puppet
        self.session = 0
        self.reports = 0
        self._call = puppet.call()
        self.socket = self._call.socket

    def close(self) -> None:
        self._call.close()

    def send(self, *frame: Any) -> None:
        self.socket.send(msgspec.msgpack.encode(frame))

    def next(self, kind: str) -> list[Any]:
        while True:
            frame: list[Any] = msgspec.msgpack.decode(self.socket.recv(timeout=20))
            if frame[0] == kind:
                return frame[1:]

    def greet(self, held: list[list[int]], low: int = 2, high: int = 3, *, more: tuple[Any, ...] = (0,)) -> None:
        nonce = self.next("challenge")[0]
        now = int(time.time() * 1000)
        signature = self.puppet.key.sign(link.hello_bytes(nonce, self.puppet.node, now))
        profile = {"cores": 4, "ram": 8.0, "runtimes": {"isolate": "1"}, "labels": ["protocols"], "later": True}
        self.send("hello", self.puppet.node, signature, low, high, "0.1.0", now, 4, profile, held, *more)

    def welcomed(self) -> list[Any]:
        welcome = self.next("welcome")
        self.session = welcome[0]
        return welcome

    def report(self, task: int, attempt: int, value: bytes) -> None:
        self.reports += 1
        result = {"json": value, "size": len(value)}
        ending = {"task": task, "attempt": attempt, "outcome": "succeeded", "result": result}
        body = msgspec.msgpack.encode([self.puppet.node, self.session, self.reports, [ending]])
        self.send("report", body, self.puppet.key.sign(link.report_bytes(body)))


def test_an_agent_of_protocol_3_works_from_hello_to_recorded_and_across_a_reconnect(puppet: Puppet) -> None:
    agent = OldAgent(puppet)
    agent.greet([])
    welcome = agent.welcomed()
    assert (welcome[0], welcome[1], welcome[5], welcome[6]) == (1, 3, [], 0)
    first, second = (puppet.server.submit(requirements={"labels": ["protocols"]}) for _ in range(2))
    items = agent.next("assign")[0]
    while len(items) < 2:
        items += agent.next("assign")[0]
    held = [item[:2] for item in items]
    agent.send("accepted", held)
    agent.send("output", [[*held[0], 1, NOW, "stdout", "hello"]])
    agent.send("heartbeat", agent.session, {"cpuUsage": 3.0}, held, False)
    assert agent.next("renewed")[:2] == [1, []]
    agent.report(*held[0], b"1")
    assert agent.next("recorded")[:2] == [[held[0]], []]
    agent.close()
    agent = OldAgent(puppet)
    agent.greet([held[1]])
    assert agent.welcomed()[0] == 2
    agent.report(*held[1], b"2")
    assert agent.next("recorded")[:2] == [[held[1]], []]
    agent.close()
    assert {puppet.server.task(task)["result"] for task in (first, second)} == {1, 2}
    texts = [
        line["text"] for task in (first, second) for line in puppet.server.client.get(f"/api/tasks/{task}/logs").json()
    ]
    assert texts == ["hello"]


def test_fields_and_kinds_of_frames_that_came_later_do_no_harm(puppet: Puppet) -> None:
    agent = OldAgent(puppet)
    agent.greet([], high=9, more=(0, b"", b"", "a field of protocol 9", {"and": "another"}))
    assert agent.welcomed()[1] == link.PROTOCOL
    agent.send("gossip", "a frame of protocol 9")
    assert "Not understood" in agent.next("nack")[0]
    agent.send("heartbeat", agent.session, {"noise": 40}, [], False, "a field of protocol 9")
    assert agent.next("renewed")[0] == agent.session
    agent.close()


@pytest.mark.parametrize(
    ("low", "high"), [(5, 6), (2, 2), (0, 0)], ids=["only newer ones", "protocol 2", "only older ones"]
)
def test_an_agent_that_speaks_no_protocol_of_ours_is_told_to_upgrade(puppet: Puppet, low: int, high: int) -> None:
    agent = OldAgent(puppet)
    agent.greet([], low, high)
    code, message, hint, retry_after = agent.next("refused")[:4]
    assert (code, retry_after) == ("upgrade_required", None)
    assert f"{link.PROTOCOL_MIN} to {link.PROTOCOL}" in message
    assert "same version" in hint
    agent.close()


def test_the_welcome_carries_the_epoch_of_the_store(puppet: Puppet) -> None:
    with puppet.call() as session:
        session.send(puppet.hello(session.next(link.Challenge).nonce, epoch=0))
        assert session.next(link.Welcome).epoch == 0
