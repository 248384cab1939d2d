"""What a node's checked answers say of it, by runtime."""

import msgspec


class Reputation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers of one node in one runtime that a decided round has checked. `valid` and `invalid` decay with time, as of
    `at` (Unix ms); `valid_in_row` is broken by a dissent; `counted` are the newest rounds that are in here, so that
    none counts twice."""

    valid_in_row: int = 0
    valid: float = 0.0
    invalid: float = 0.0
    at: int = 0
    counted: tuple[int, ...] = ()
