"""`anchor mapreduce` against a real server and agent: from sources, from a file, at a terminal, interrupted."""

import json
import signal
import time

import pytest
from tests.cli.command import Cli, exit_code_in_process

from anchor.client import Client, dags

CODE = """function map(text) { return text.split(/\\s+/).filter(Boolean).map((word) => [word, 1]) }
function reduce(word, counts) { return counts.length }
"""
JOB = """
name: words
input: {files: [one.txt, two.txt]}
map: {sourceFile: words.js}
reduce: {sourceFile: words.js}
reducers: 2
"""
SLOW = """
name: slow
input: {list: [1]}
map: {sourceCode: 'function map() { return new Promise(() => {}) }'}
reduce: {sourceCode: 'function reduce() {}'}
"""
COUNTS = [["a", 2], ["b", 1], ["c", 1]]


@pytest.fixture
def folder(anchor: Cli) -> str:
    """A folder with a job and all it names."""
    folder = anchor.directory / "job"
    folder.mkdir(exist_ok=True)
    for name, text in {"words.js": CODE, "one.txt": "a b\n", "two.txt": "a c", "job.yaml": JOB}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return "job"


def test_a_job_in_a_file_brings_what_it_names(anchor: Cli, folder: str) -> None:
    done = anchor("mapreduce", f"{folder}/job.yaml", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, COUNTS), done.stderr
    assert done.stderr == ""


def test_a_person_at_a_terminal_sees_bars_and_gets_a_line_for_each_key(anchor: Cli, folder: str) -> None:
    words = ("mapreduce", "--map", f"{folder}/words.js", f"{folder}/one.txt", f"{folder}/two.txt")
    seen = anchor.at_a_terminal(*words, COLUMNS="100", LINES="30")
    text = seen.text
    assert (seen.code, seen.out) == (0, b"a\t2\nb\t1\nc\t1\n"), text
    assert f"map [{'#' * 24}] 2/2" in text
    assert f"reduce [{'#' * 24}]" in text


def test_ctrl_c_cancels_the_job(anchor: Cli) -> None:
    (anchor.directory / "slow.yaml").write_text(SLOW, encoding="utf-8")
    with Client(anchor.url) as client:
        process = anchor.start("mapreduce", "slow.yaml")
        assert process.stderr is not None
        run = process.stderr.readline().removeprefix("Started ").strip().removesuffix(".")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=40)
        assert process.returncode == 130, said
        assert f"Cancelled {run}." in said
        until = time.monotonic() + 30
        view = client.call(dags.run(run))
        while view.state in ("running", "cancelling"):
            assert time.monotonic() < until, view
            view = client.call(dags.run(run, wait_seconds=5, version=view.version))
        assert view.state == "cancelled"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("- 1\n", 2, "wrong.yaml holds no job"),
        ("name: [\n", 2, "wrong.yaml, line 2, column 1"),
        (JOB.replace("two.txt", "nowhere.txt"), 6, "line 3: {folder}/nowhere.txt is not a file"),
        (JOB.replace("reducers: 2", "reducers: 0"), 6, "line 6"),
        (JOB.replace("map: {sourceFile: words.js}", "map: {sourceFile: gone.js}"), 6, "gone.js cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(
    anchor: Cli,
    folder: str,
    text: str,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = anchor.directory / folder / "wrong.yaml"
    file.write_text(text, encoding="utf-8")
    assert exit_code_in_process(["mapreduce", str(file)], {"ANCHOR_URL": anchor.url}, monkeypatch) == code
    assert said.format(folder=file.parent) in " ".join(capsys.readouterr().err.split())
