"""Secrets of apps: in a box on their way to a node, encrypted where they are kept."""

import pytest

from anchor.core.errors import Conflict, InvalidRequest
from anchor.server.app_secrets import AppSecrets, value_bytes
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


def test_what_is_kept_of_a_variable_tells_nothing_and_gives_it_back() -> None:
    secrets = AppSecrets(b"one server's secret")
    kept = secrets.encrypted("shop", {"TOKEN": "canary", "EMPTY": ""})
    assert b"canary" not in b"".join(kept.values())
    assert secrets.decrypted("shop", kept) == {"TOKEN": "canary", "EMPTY": ""}
    assert value_bytes(kept) == len("TOKENcanaryEMPTY")
    assert secrets.encrypted("shop", {"TOKEN": "canary"})["TOKEN"] != kept["TOKEN"]


@pytest.mark.parametrize(
    ("app", "name", "secret"),
    [
        ("shop", "OTHER", b"one server's secret"),
        ("pay", "TOKEN", b"one server's secret"),
        ("shop", "TOKEN", b"another secret"),
    ],
    ids=["another variable", "another app", "another secret"],
)
def test_a_variable_is_read_in_its_own_place_and_under_its_own_secret_only(app: str, name: str, secret: bytes) -> None:
    kept = AppSecrets(b"one server's secret").encrypted("shop", {"TOKEN": "canary"})["TOKEN"]
    with pytest.raises(Conflict, match="another secret") as caught:
        AppSecrets(secret).decrypted(app, {name: kept})
    assert caught.value.code == "secret_changed"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "kept",
    [b"", b"\x01", b"\x02" + bytes(40), b"\x01" + bytes(40)],
    ids=["nothing", "no nonce", "another form", "no tag"],
)
def test_what_is_no_kept_variable_is_not_read(kept: bytes) -> None:
    with pytest.raises(Conflict):
        AppSecrets(b"one server's secret").decrypted("shop", {"TOKEN": kept})
