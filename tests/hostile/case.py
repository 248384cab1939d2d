"""One hostile piece of work, and how it has to end."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A payload (as in POST /api/tasks, without `runtime`) and its one right ending.

    `code` is the failure's code, or several that are as right, or None where it must succeed with `result` (any, if
    that is left out). `says` is a pattern that the reason's message has to contain. `limits` are REST limits that go
    over the suite's own. `alone`: nothing else hostile runs beside it, so that what the whole tree uses is its own.
    """

    name: str
    payload: dict[str, Any]
    code: str | tuple[str, ...] | None = None
    says: str = ""
    result: Any = ...
    limits: dict[str, Any] = field(default_factory=dict)
    alone: bool = False

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes that are right; none where it must succeed."""
        return () if self.code is None else (self.code,) if isinstance(self.code, str) else self.code
