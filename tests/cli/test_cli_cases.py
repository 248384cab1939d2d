"""Verification from the command line: receipts, what they prove, policies, cases."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import Cli, exit_code_in_process

from anchor.cli.verifying import Compare, Policy, wish_of
from anchor.client import Client
from anchor.core.spec import VerifyWish
from anchor.core.verification import Verify

NO_DETAILS: dict[str, Any] = {
    "copies": None,
    "agree": None,
    "copies_max": None,
    "compare": None,
    "ignore": None,
    "absolute": None,
    "relative": None,
    "same_owner": False,
}


@pytest.fixture(scope="module")
def receipt(anchor: Cli) -> Path:
    """The receipt of a small script, as a user gets it."""
    script = anchor.directory / "double.js"
    script.write_text("console.log('hello'); return {twice: input * 2}")
    ran = anchor("run", "double.js", "--input", "21", "--detach")
    assert ran.returncode == 0, ran.stderr
    task = ran.stdout.strip()
    ended = anchor("task", "result", task, "--wait", "30")
    assert ended.returncode == 0, ended.stderr
    written = anchor("task", "receipt", task)
    assert written.returncode == 0, written.stderr
    path = anchor.directory / "r.json"
    path.write_text(written.stdout)
    return path


def test_a_receipt_is_checked_offline_and_any_change_of_it_found(anchor: Cli, receipt: Path) -> None:
    with Client(anchor.url) as client:
        [node] = client.nodes()
    key = base64.b64encode(node.public_key).decode()
    nowhere = "http://127.0.0.1:9"
    good = anchor("verify", str(receipt), "--key", f"{node.node_id}={key}", ANCHOR_URL=nowhere)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "The key of" in good.stdout
    assert "WRONG" not in good.stdout
    whole = json.loads(receipt.read_text())
    assert json.loads(whole["payload"])["sourceCode"].startswith("console.log")
    assert list(whole["results"].values()) == ['{"twice":42}']
    assert whole["answer"]["seal"]
    changed = anchor.directory / "changed.json"
    changed.write_text(receipt.read_text().replace("input * 2", "input * 3"))
    bad = anchor("verify", str(changed), "-o", "json")
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert not told["holds"]
    assert [line["says"][:14] for line in told["lines"] if line["holds"] is False] == ["Code and input"]


def test_verify_says_what_it_cannot_use(receipt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = tmp_path / "cut.json"
    cut.write_text(receipt.read_text()[:-20])
    other = base64.b64encode(bytes(32)).decode()
    node = json.loads(receipt.read_text())["answer"]["node"]
    for words, code in (
        ([str(receipt)], 0),
        ([str(receipt), "--key", f"{node}={other}"], 1),
        ([str(cut)], 1),
        ([str(tmp_path / "absent.json")], 2),
        ([str(receipt), "--key", "nonsense"], 2),
        ([str(receipt), "--key", f"{node}=AAAA"], 2),
    ):
        assert exit_code_in_process(["verify", *words], {}, monkeypatch) == code, words


def test_nobody_has_dissented_where_there_is_one_machine(anchor: Cli) -> None:
    listed = anchor("case", "ls")
    assert (listed.returncode, listed.stdout) == (0, "")
    assert "No cases" in listed.stderr
    assert json.loads(anchor("case", "ls", "-o", "json").stdout) == []
    absent = anchor("case", "get", "case_0000000000001")
    assert absent.returncode == 3
    assert "anchor case ls" in absent.stderr


def test_a_verified_task_shows_what_it_waits_for(anchor: Cli) -> None:
    (anchor.directory / "one.js").write_text("return 1")
    ran = anchor("run", "one.js", "--verify", "quorum", "--copies", "5", "--detach")
    assert ran.returncode == 0, ran.stderr
    task = ran.stdout.strip()
    shown = json.loads(anchor("task", "get", task, "-o", "json").stdout)
    assert shown["verify"] == {"copies": 5, "agree": 3}
    assert shown["verification"]["state"] == "open"
    assert "open: 5 copies, at most 10" in anchor("task", "get", task).stdout
    assert anchor("task", "cancel", task).returncode == 0


@pytest.mark.parametrize(
    ("policy", "details", "wish"),
    [
        (None, {}, "none"),
        (Policy.NONE, {}, "none"),
        (Policy.QUORUM, {}, "quorum"),
        (Policy.ADAPTIVE, {}, "adaptive"),
        (None, {"copies": 5}, Verify(copies=5, agree=3)),
        (Policy.QUORUM, {"copies": 2}, Verify(copies=2, agree=2)),
        (Policy.QUORUM, {"agree": 3, "copies_max": 5}, Verify(agree=3, copies_max=5)),
        (Policy.ADAPTIVE, {"compare": Compare.LINES}, Verify(policy="adaptive", compare="lines")),
        (None, {"compare": Compare.JSON, "ignore": ["/at"]}, Verify(compare="json", ignore=["/at"])),
        (None, {"compare": Compare.NUMERIC, "relative": 0.01}, Verify(compare="numeric", relative=0.01)),
    ],
)
def test_the_options_of_run_make_a_policy(policy: Policy | None, details: dict[str, Any], wish: VerifyWish) -> None:
    assert wish_of(policy, **{**NO_DETAILS, **details}) == wish


@pytest.mark.parametrize(
    "words",
    [
        ["--verify", "none", "--copies", "3"],
        ["--verify", "perhaps"],
        ["--copies", "1"],
        ["--agree", "4"],
        ["--copies", "4", "--agree", "2"],
        ["--ignore", "/at"],
        ["--absolute", "0.1"],
    ],
    ids=" ".join,
)
def test_options_that_make_no_policy_are_a_matter_of_usage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "one.js"
    script.write_text("return 1")
    assert exit_code_in_process(["run", str(script), *words], {"ANCHOR_URL": "http://127.0.0.1:9"}, monkeypatch) == 2
