"""One table from errors to statuses, read forwards by servers and backwards by clients."""

import pytest

from anchor.core import errors
from anchor.core.errors import AnchorError, Fault
from anchor.wire.problems import STATUS, error_of, problem_of


def test_every_error_has_a_status_of_its_own() -> None:
    family = {kind for kind in AnchorError.__subclasses__() if kind.__module__ == errors.__name__}
    assert set(STATUS) == family
    assert len(set(STATUS.values())) == len(STATUS)


def test_every_error_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in STATUS}) == len(STATUS)


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_the_error_it_left_as(kind: type[AnchorError]) -> None:
    sent = kind("It broke.", hint="Mend it.", code="broken", errors=[Fault("/0/name", "is empty")])
    problem = problem_of(sent, "req-1")
    assert (problem.status, problem.request_id) == (STATUS[kind], "req-1")
    got = error_of(problem, 7)
    assert type(got) is kind
    assert (got.message, got.hint, got.code, got.errors) == (sent.message, sent.hint, sent.code, sent.errors)
    assert got.retry_after_seconds == 7


def test_an_error_outside_the_family_is_the_servers_own_fault() -> None:
    assert problem_of(AnchorError("?"), "").status == 500


def test_a_problem_is_titled_by_what_the_error_means() -> None:
    assert problem_of(errors.NotFound("x"), "").title == "There is no such thing, or it belongs to somebody else."
