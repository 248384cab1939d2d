"""The requests about verification: receipts, and cases of dissent."""

import urllib.parse
import uuid
from typing import Literal

import msgspec

from anchor.client import answers
from anchor.client.answers import Page
from anchor.client.calls import Call
from anchor.wire.receipts import Receipt
from anchor.wire.rest import Created
from anchor.wire.verification import CaseAction, CaseRow, CaseView

CaseVerb = Literal["clear", "block"]


def receipt(task_id: str) -> Call[Receipt]:
    """Everything to check a finished task by."""
    path = f"/api/tasks/{urllib.parse.quote(task_id, safe='')}/receipt"
    return Call(method="GET", path=path, read=answers.json_as(Receipt))


def cases(*, limit: int = 100, cursor: str = "") -> Call[Page[CaseRow]]:
    """A page of cases, newest first."""
    query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
    return Call(method="GET", path="/api/verification/cases", read=answers.page_of(CaseRow), query=query)


def case(case_id: str) -> Call[CaseView]:
    """One case with its evidence."""
    return Call(method="GET", path=_of(case_id), read=answers.json_as(CaseView))


def act_on_case(case_id: str, verb: CaseVerb, reason: str) -> Call[CaseView]:
    """Clear the dissenters of a case, or block them."""
    body = msgspec.json.encode(CaseAction(reason))
    return Call(
        method="POST", path=f"{_of(case_id)}/{verb}", read=answers.json_as(CaseView), body=body, headers=_headers()
    )


def rerun_case(case_id: str, reason: str) -> Call[Created]:
    """Run the task of a case again, on more nodes."""
    body = msgspec.json.encode(CaseAction(reason))
    return Call(
        method="POST", path=f"{_of(case_id)}/rerun", read=answers.json_as(Created), body=body, headers=_headers()
    )


def _of(case_id: str) -> str:
    return f"/api/verification/cases/{urllib.parse.quote(case_id, safe='')}"


def _headers() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
