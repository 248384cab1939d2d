"""What a server's refusal means for an agent: to come back soon, once it was upgraded or taken back, or never."""

from anchor.core.errors import Conflict, Unauthenticated
from anchor.wire.link import Refused


class NotNow(Exception):
    """`seconds` is when the server wants to be asked again."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class TurnedAway(Exception):
    """Not before somebody did something about it."""

    event = ""
    meanwhile = ""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class UpgradeRequired(TurnedAway):
    """One of the two is too old."""

    event = "this agent and the server do not speak the same protocol"
    meanwhile = "The agent stays up and asks again every few minutes."


class Blocked(TurnedAway):
    """The node is not wanted until it is taken back."""

    event = "this node is blocked"
    meanwhile = "The agent stays up and asks again every few seconds."


def refusal_of(refused: Refused) -> Exception:
    """What to raise; an error that is none of the above ends the agent, since coming back would not help."""
    if refused.code == "upgrade_required":
        return UpgradeRequired(refused.message, refused.hint)
    if refused.code == "blocked":
        return Blocked(refused.message, refused.hint)
    if refused.retry_after is not None:
        return NotNow(refused.retry_after)
    kind = Unauthenticated if refused.code == "unknown_node" else Conflict
    return kind(refused.message, hint=refused.hint, code=refused.code)
