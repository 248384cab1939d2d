"""Secrets of apps: in a box on their way to a node, encrypted where they are kept."""

import pytest

from anchor.core.errors import InvalidRequest
from anchor.wire import box

CONTENT = b'{"TOKEN":"a secret"}'


def test_a_box_is_opened_by_the_key_it_was_sealed_to() -> None:
    private = box.new_private_key()
    closed = box.sealed(box.public_of(private), CONTENT)
    assert box.opened(private, closed) == CONTENT
    assert len(closed) == len(CONTENT) + box.OVERHEAD_BYTES


def test_no_two_boxes_are_alike() -> None:
    public = box.public_of(box.new_private_key())
    assert box.sealed(public, CONTENT) != box.sealed(public, CONTENT)


def test_another_key_opens_nothing() -> None:
    closed = box.sealed(box.public_of(box.new_private_key()), CONTENT)
    with pytest.raises(InvalidRequest, match="not sealed to this key"):
        box.opened(box.new_private_key(), closed)


@pytest.mark.parametrize("at", [0, 31, 32, 40, -1])
def test_a_box_that_was_changed_is_not_opened(at: int) -> None:
    private = box.new_private_key()
    closed = bytearray(box.sealed(box.public_of(private), CONTENT))
    closed[at] ^= 1
    with pytest.raises(InvalidRequest):
        box.opened(private, bytes(closed))


@pytest.mark.parametrize("closed", [b"", b"x" * 31, b"x" * 32, bytes(48)], ids=len)
def test_what_is_no_box_is_not_opened(closed: bytes) -> None:
    with pytest.raises(InvalidRequest):
        box.opened(box.new_private_key(), closed)


@pytest.mark.parametrize("key", [b"", b"short", bytes(32), b"\x01" + bytes(31)], ids=["none", "short", "zero", "one"])
def test_nothing_is_sealed_to_what_is_no_key(key: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a key"):
        box.sealed(key, CONTENT)
