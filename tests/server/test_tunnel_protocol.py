"""The tunnel's protocol: however two ends take turns, bytes arrive whole, and no window is passed."""

import struct
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.wire import tunnel
from anchor.wire.tunnel import Kind, Stream, Target, TunnelBroken, TunnelEnd

TARGET = Target(7, 3)


class Heard:
    """A sink that keeps what it is told, and consumes only when asked to."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.unconsumed = 0
        self.events: list[str] = []

    def accepted(self) -> None:
        self.events.append("accepted")

    def refused(self, code: str) -> None:
        self.events.append(f"refused {code}")

    def data(self, content: bytes) -> None:
        assert "ended" not in self.events
        self.bytes += content
        self.unconsumed += len(content)

    def ended(self) -> None:
        self.events.append("ended")

    def reset(self, code: str) -> None:
        self.events.append(f"reset {code}")

    def drained(self) -> None:
        self.events.append("drained")

    def lost(self) -> None:
        self.events.append("lost")


class Pair:
    """Two ends with a line in between that delivers when it is told to."""

    def __init__(self) -> None:
        self.opened: list[tuple[Stream, Target, Heard]] = []
        self.server = TunnelEnd(lambda: None)
        self.agent = TunnelEnd(lambda: None, self._on_open)
        self.down: deque[bytes] = deque()
        self.up: deque[bytes] = deque()

    def _on_open(self, stream: Stream, target: Target) -> Heard:
        heard = Heard()
        self.opened.append((stream, target, heard))
        return heard

    def open(self) -> tuple[Stream, Heard]:
        heard = Heard()
        return self.server.open(TARGET, heard), heard

    def send(self, is_down: bool) -> None:
        end, line = (self.server, self.down) if is_down else (self.agent, self.up)
        if message := end.next_message():
            assert len(message) < tunnel.MESSAGE_BYTES_READ_MAX
            line.append(message)

    def hear(self, is_down: bool) -> None:
        end, line = (self.agent, self.down) if is_down else (self.server, self.up)
        if line:
            end.receive(line.popleft())

    def settle(self) -> None:
        before = -1
        while before != self.server.frames + self.agent.frames:
            before = self.server.frames + self.agent.frames
            for is_down in (True, False):
                self.send(is_down)
                self.hear(is_down)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "send", "hear", "consume", "end"]),
        st.integers(0, 2),
        st.booleans(),
        st.integers(1, 200_000),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_interleaving_delivers_the_bytes_in_order_and_stays_within_the_windows(
    steps: list[tuple[str, int, bool, int]],
) -> None:
    pair = Pair()
    mine = [pair.open() for _ in range(3)]
    pair.settle()
    theirs = [(stream, heard) for stream, _, heard in pair.opened]
    written: dict[tuple[int, bool], bytearray] = {
        (at, is_down): bytearray() for at in range(3) for is_down in (True, False)
    }
    ended: set[tuple[int, bool]] = set()
    for step, at, is_down, size in steps:
        writer, reader = (mine, theirs) if is_down else (theirs, mine)
        if step == "write" and (at, is_down) not in ended:
            content = bytes([len(written[at, is_down]) % 251]) * size
            written[at, is_down] += content
            writer[at][0].write(content)
        elif step == "end":
            ended.add((at, is_down))
            writer[at][0].end()
        elif step == "consume":
            heard = reader[at][1]
            count = min(size, heard.unconsumed)
            heard.unconsumed -= count
            reader[at][0].consumed(count)
        elif step == "send":
            pair.send(is_down)
        elif step == "hear":
            pair.hear(is_down)
        for _, heard in mine + theirs:
            assert heard.unconsumed <= 2 * tunnel.WINDOW_BYTES_MAX
    for _ in range(400):
        pair.settle()
        for stream, heard in mine + theirs:
            stream.consumed(heard.unconsumed)
            heard.unconsumed = 0
    for (at, is_down), content in written.items():
        heard = (theirs if is_down else mine)[at][1]
        assert bytes(heard.bytes) == bytes(content)
        assert ("ended" in heard.events) == ((at, is_down) in ended)
    open_still = sum(not {(at, True), (at, False)} <= ended for at in range(3))
    assert (len(pair.server), len(pair.agent)) == (open_still, open_still)


def test_a_reader_that_stops_is_sent_one_window_and_no_more() -> None:
    pair = Pair()
    stream, _ = pair.open()
    assert not stream.write(bytes(1_000_000))
    pair.settle()
    (theirs, _, heard) = pair.opened[0]
    assert len(heard.bytes) == tunnel.WINDOW_BYTES
    theirs.consumed(tunnel.WINDOW_BYTES)
    pair.settle()
    assert len(heard.bytes) == tunnel.WINDOW_BYTES + 2 * tunnel.WINDOW_BYTES  # it kept up, so its window doubled
    assert stream.waiting == 1_000_000 - len(heard.bytes)


def test_a_large_writer_does_not_hold_up_a_small_one() -> None:
    pair = Pair()
    large, _ = pair.open()
    small, _ = pair.open()
    large.write(bytes(tunnel.WINDOW_BYTES))
    small.write(b"me too")
    pair.agent.receive(pair.server.next_message())
    assert bytes(pair.opened[1][2].bytes) == b"me too"


def test_windows_of_a_tunnel_grow_within_a_bound_and_shrink_when_streams_go() -> None:
    pair = Pair()
    streams = [pair.open()[0] for _ in range(100)]
    for _ in range(8):
        for stream in streams:
            stream.write(bytes(tunnel.WINDOW_BYTES))
        pair.settle()
        for theirs, _, heard in pair.opened:
            theirs.consumed(heard.unconsumed)
            heard.unconsumed = 0
    assert 0 < pair.agent.grown <= tunnel.GROWN_BYTES_MAX
    for stream in streams:
        stream.reset()
    pair.settle()
    assert (pair.agent.grown, len(pair.agent), len(pair.server)) == (0, 0, 0)


def test_a_writer_that_filled_its_stream_is_told_when_there_is_room() -> None:
    pair = Pair()
    stream, heard = pair.open()
    assert stream.write(bytes(tunnel.FULL_BYTES - 1))
    assert not stream.write(b"x")
    for _ in range(4):
        pair.settle()
        theirs, _, there = pair.opened[0]
        theirs.consumed(there.unconsumed)
        there.unconsumed = 0
    assert heard.events.count("drained") == 1


def test_refusing_and_giving_up_are_heard_once_and_what_comes_later_is_passed_over() -> None:
    pair = Pair()
    refused, heard = pair.open()
    refused.write(b"never read")
    pair.send(True)
    pair.hear(True)
    pair.opened[0][0].refuse("not_hosted")
    pair.settle()
    given_up, other = pair.open()
    pair.settle()
    there = pair.opened[1]
    there[0].write(b"on its way")
    given_up.reset("enough")
    pair.settle()
    assert heard.events == ["refused not_hosted"]
    assert (other.events, bytes(other.bytes)) == ([], b"")
    assert there[2].events == ["reset enough"]
    assert (len(pair.server), len(pair.agent)) == (0, 0)


def test_a_stream_too_many_is_refused() -> None:
    pair = Pair()
    heard = [pair.open()[1] for _ in range(tunnel.STREAMS_MAX)]
    assert pair.server.is_full
    pair.settle()
    assert len(pair.agent) == tunnel.STREAMS_MAX
    last = pair.open()[1]
    pair.settle()
    assert last.events == ["refused too_many_streams"]
    assert not any(one.events for one in heard)


def test_whoever_loses_the_line_tells_every_stream_and_opens_no_more() -> None:
    pair = Pair()
    heard = [pair.open()[1] for _ in range(3)]
    assert not pair.server.is_full
    pair.server.lose()
    assert [one.events for one in heard] == [["lost"]] * 3
    assert len(pair.server) == 0
    assert pair.server.is_full


def frame(kind: int, stream: int, value: int, content: bytes = b"") -> bytes:
    return struct.pack("!BII", kind, stream, value) + content


OPEN = frame(Kind.OPEN, 1, 3, b"\x92\x07\x03")


@pytest.mark.parametrize(
    "message",
    [
        b"\x04",
        frame(Kind.DATA, 1, 5, b"abc"),
        frame(Kind.DATA, 9, 3, b"abc"),
        frame(Kind.DATA, 1, 0),
        frame(Kind.DATA, 1, tunnel.WINDOW_BYTES + 1, bytes(tunnel.WINDOW_BYTES + 1)),
        frame(Kind.END, 1, 0) + frame(Kind.DATA, 1, 1, b"a"),
        frame(Kind.END, 1, 0) * 2,
        frame(Kind.CREDIT, 1, 0),
        frame(Kind.CREDIT, 1, (1 << 32) - 1),
        frame(Kind.ACCEPTED, 1, 0),
        frame(Kind.REFUSED, 1, 0),
        frame(99, 1, 0),
        OPEN,
        frame(Kind.OPEN, 0, 3, b"\x92\x07\x03"),
        frame(Kind.OPEN, 2, 3, b"\x92\x07\x00"),
        frame(Kind.OPEN, 2, 1, b"\xc1"),
        frame(Kind.OPEN, 2, 300, bytes(300)),
        frame(Kind.OPEN, 2, 0),
    ],
)
def test_an_end_that_breaks_the_rules_is_not_listened_to_any_more(message: bytes) -> None:
    agent = TunnelEnd(lambda: None, lambda stream, target: Heard())
    agent.receive(OPEN)
    with pytest.raises(TunnelBroken):
        agent.receive(message)


def test_an_agent_opens_nothing() -> None:
    server = TunnelEnd(lambda: None)
    with pytest.raises(TunnelBroken):
        server.receive(OPEN)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(message: bytes) -> None:
    agent = TunnelEnd(lambda: None, lambda stream, target: Heard())
    agent.receive(OPEN)
    try:
        agent.receive(message)
    except TunnelBroken:
        agent.lose()
    assert len(agent) <= 3 + len(message) // 9
