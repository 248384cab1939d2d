"""Which tasks somebody looks for: every field that is given has to fit."""

import msgspec

from anchor.core.task import State


class TaskQuery(msgspec.Struct, frozen=True):
    """`name` is a part of the name, whatever its case; `node` is the one that has or had them last; `run` is the key of
    the run they are part of; `since` and `until` bound when they were submitted (Unix ms, both included)."""

    state: State | None = None
    owner: str | None = None
    label: str | None = None
    name: str | None = None
    runtime: str | None = None
    node: str | None = None
    run: int | None = None
    since: int | None = None
    until: int | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the store knows how many there are without looking at them."""
        return self == TaskQuery(state=self.state, owner=self.owner)


def name_has(name: str, part: str) -> bool:
    """Whether a name has this part, whatever the case of either."""
    return part.casefold() in name.casefold()
