"""A request that is well formed and breaks rules: refused as a whole, with each fault and its place."""

from collections.abc import Sequence

from anchor.core.errors import Fault, InvalidRequest

FAULTS_SHOWN_MAX = 20


def require_none(faults: Sequence[Fault], *, what: str, code: str) -> None:
    """InvalidRequest with this code where there are faults; `what` stands for the whole where one has no place."""
    if faults:
        first = faults[0]
        sentence = f"{first.pointer or what} {first.message}"
        raise InvalidRequest(
            sentence if sentence.endswith("?") else f"{sentence}.",
            hint="Nothing was accepted. Mend what `errors` lists and send it again.",
            code=code,
            errors=faults[:FAULTS_SHOWN_MAX],
        )
