"""Who may do what, and which keys still open anything."""

import pytest
from msgspec.structs import replace

from anchor.core.access import INCLUDES, SAMPLE_SECRETS, Key, Role, is_live, is_sample_secret, may

TABLE = {
    # needed:        viewer submitter operator admin  node
    Role.VIEWER:    (True,  True,     True,    True,  False),
    Role.SUBMITTER: (False, True,     True,    True,  False),
    Role.OPERATOR:  (False, False,    True,    True,  False),
    Role.ADMIN:     (False, False,    False,   True,  False),
    Role.NODE:      (False, False,    False,   False, True),
}  # fmt: skip


@pytest.mark.parametrize("needed", Role)
def test_a_role_may_do_what_it_includes_and_nothing_else(needed: Role) -> None:
    assert tuple(may(role, needed) for role in Role) == TABLE[needed]


def test_every_role_has_its_line() -> None:
    assert set(INCLUDES) == set(TABLE) == set(Role)


KEY = Key(digest="d", name="ann's laptop", role=Role.ADMIN, created_at=0)


def test_a_key_without_an_end_opens_for_ever() -> None:
    assert is_live(KEY, now=10**15)


def test_a_key_opens_until_the_millisecond_it_expires() -> None:
    key = replace(KEY, expires_at=1_000)
    assert is_live(key, now=999)
    assert not is_live(key, now=1_000)


def test_a_key_whose_uses_are_used_up_opens_nothing() -> None:
    assert is_live(replace(KEY, uses_left=1), now=0)
    assert not is_live(replace(KEY, uses_left=0), now=0)


@pytest.mark.parametrize("secret", sorted(SAMPLE_SECRETS))
def test_a_secret_out_of_a_tutorial_is_refused(secret: str) -> None:
    assert is_sample_secret(secret)
    assert is_sample_secret(f" {secret.upper()} ")


def test_a_short_secret_is_no_secret() -> None:
    assert is_sample_secret("k3v9x1q8z7m2w5t")
    assert not is_sample_secret("k3v9x1q8z7m2w5tp")
