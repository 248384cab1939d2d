"""A task over a list: its items are tasks of their own, and their results in order are its result."""

import msgspec


class Items(msgspec.Struct, frozen=True, omit_defaults=True, tag="items"):
    """The items of a waiting task. Item i has the key first + i times STEP; a second copy of it, made where it is the
    last to end, first + (count + i) times STEP. `needed` of them have to succeed."""

    first: int
    count: int
    needed: int
