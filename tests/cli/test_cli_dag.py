"""`anchor dag` against a real server and agent, and every example of docs/graphs.md as it stands there."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import Cli, exit_code_in_process

from anchor.client import Client, dags
from anchor.client.graph_files import read_graph, with_files

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "graphs.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples" / "graphs"
RUN_SECONDS = 60.0
SLOW = "name: slow\nsteps:\n  - id: nap\n    payload: {runtime: native, command: [sleep, '60']}\n"


def written(anchor: Cli, name: str, text: str) -> str:
    (anchor.directory / name).write_text(text, encoding="utf-8")
    return name


def results_of(client: Client, run: str) -> tuple[str, dict[str, str], Any]:
    """How a run ended, the state of each step, and what its last steps came to."""
    until = time.monotonic() + RUN_SECONDS
    view = client.call(dags.run(run))
    while view.state == "running":
        assert time.monotonic() < until, view
        view = client.call(dags.run(run, wait_seconds=5, version=view.version))
    assert view.step_list is not None
    inner = {name for one in view.step_list for name in (*one.dependencies, *one.soft_dependencies)}
    last = {one.id: client.result(one.task_id).result for one in view.step_list if one.task_id and one.id not in inner}
    states = {one.id: one.state for one in view.step_list}
    return view.state, states, next(iter(last.values())) if len(last) == 1 else last


def test_every_example_of_the_page_and_of_the_folder_does_what_is_said_of_it(anchor: Cli, tmp_path: Path) -> None:
    blocks = re.findall(r"```(yaml|json)\n(.*?)```", PAGE, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["yaml", "json"] * 3 + ["yaml"]
    said: dict[str, Any] = {
        **{f"{at}.yaml": json.loads(blocks[at + 1][1]) for at in (0, 2, 4)},
        str(EXAMPLES / "prices.yaml"): {"apples": 4, "pears": 7},
        str(EXAMPLES / "lighthouse.yaml"): {"the": 3, "lamp": 2, "turns": 2, "keeper": 1, "sleeps": 1, "again": 1},
        str(EXAMPLES / "pipeline.json"): [1, 2, 3],
    }
    for at in (0, 2, 4, 6):
        (tmp_path / f"{at}.yaml").write_text(blocks[at][1], encoding="utf-8")
    [tasks] = re.findall(r"-d '(\{.*?\n\})'", PAGE, re.DOTALL)
    with Client(anchor.url) as client:
        runs = {name: client.call(dags.schedule(_read(client, tmp_path / name))).id for name in (*said, "6.yaml")}
        pipeline = client.call(dags.schedule(json.loads(tasks))).id
        for name, value in said.items():
            assert results_of(client, runs[name])[::2] == ("succeeded", value), name
        assert results_of(client, runs["6.yaml"])[:2] == (
            "failed",
            {"luck": "failed", "pride": "skipped", "report": "succeeded", "tidy": "succeeded"},
        )
        assert results_of(client, pipeline)[::2] == ("succeeded", None)


def _read(client: Client, path: Path) -> dict[str, Any]:
    return with_files(read_graph(path), client.module_text)


def test_a_graph_is_watched_in_lines_and_its_result_is_all_there_is_on_stdout(anchor: Cli) -> None:
    done = anchor("dag", "run", str(EXAMPLES / "prices.yaml"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"apples": 4, "pears": 7}
    assert {"apples", "pears", "both", "means"} <= {line.split(":")[0] for line in done.stderr.splitlines()}
    found = anchor("dag", "ls", "-o", "json")
    run = json.loads(found.stdout)[0]["id"]
    shown = anchor("dag", "get", run).stdout
    assert re.search(r"✔ means  succeeded", shown)
    drawn = anchor("dag", "graph", run, "-f", "dot")
    assert drawn.stdout.startswith("digraph run {")
    again = anchor("dag", "rerun", run, "--from", "means", "-o", "json")
    view = json.loads(again.stdout)
    assert (view["state"], view["rerunOf"], view["counts"]) == ("succeeded", run, {"reused": 3, "succeeded": 1})


def test_modules_and_sources_beside_the_file_come_along(anchor: Cli) -> None:
    (anchor.directory / "parts").mkdir()
    (anchor.directory / "parts" / "primes.wasm").write_bytes((ROOT / "examples/wasi/primes.wasm").read_bytes())
    written(anchor, "parts/twice.py", "result = {'count': 2 * inputs['primes']['count']}")
    text = """
        name: parts
        steps:
          - id: primes
            type: wasm
            payload: {module: ./primes.wasm, args: ["1000"]}
          - id: twice
            dependencies: [primes]
            payload: {sourceFile: twice.py}
    """
    with Client(anchor.url) as client:
        run = client.call(dags.schedule(_read(client, anchor.directory / written(anchor, "parts/graph.yaml", text)))).id
        assert results_of(client, run)[::2] == ("succeeded", {"count": 336})


def test_a_failure_says_which_step_and_why(anchor: Cli) -> None:
    text = "name: sad\nsteps:\n- {id: one, retry: {attempts: 1}, payload: {runtime: isolate, sourceCode: 'throw 1'}}\n"
    done = anchor("dag", "run", written(anchor, "sad.yaml", text))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Step 'one' failed" in done.stderr
    assert "--only-failed" in done.stderr


def test_what_failed_of_a_list_is_listed_and_run_again(anchor: Cli) -> None:
    payload = "{sourceCode: \"if (input === 7) throw new Error('not seven'); return input\"}"
    each = f"id: each, type: parallel, items: [6, 7, 8], enough: 0.5, retry: {{attempts: 1}}, payload: {payload}"
    run = anchor("dag", "run", "-o", "json", written(anchor, "list.yaml", f"name: l\nsteps: [{{{each}}}]"))
    assert run.returncode == 0, run.stderr
    name = json.loads(run.stdout)["id"]
    shown = anchor("dag", "items", name, "each", "--state", "failed")
    assert "3 items: 2 succeeded, 1 failed." in shown.stderr
    assert re.search(r"1 +failed +task_\w+ +\S+ +1 +.*not seven", shown.stdout), shown.stdout
    listed = json.loads(anchor("dag", "items", name, "each", "-o", "json").stdout)
    assert [(one["number"], one["state"]) for one in listed] == [(0, "succeeded"), (1, "failed"), (2, "succeeded")]
    again = json.loads(anchor("dag", "rerun", name, "--failed-items", "each", "-o", "json").stdout)
    listed = json.loads(anchor("dag", "items", again["id"], "each", "-o", "json").stdout)
    assert [one["attempt"] for one in listed] == [0, 1, 0]


def test_ctrl_c_cancels_the_run(anchor: Cli) -> None:
    process = anchor.start("dag", "run", written(anchor, "slow.yaml", SLOW))
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("nap: running"), line
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=40)
    assert process.returncode == 130, said
    assert "The run is cancelled." in said


def test_what_waits_for_a_machine_that_is_not_there_says_so_while_it_is_watched(anchor: Cli) -> None:
    script = written(anchor, "one.js", "return 1")
    stuck = (
        "name: stuck\nsteps:\n  - id: far\n    requirements: {labels: [moon]}\n    payload: {sourceCode: return 1}\n"
    )
    watched = {
        "far is still queued: No node fits": anchor.start("dag", "run", written(anchor, "stuck.yaml", stuck)),
        "Still verifying: ": anchor.start("run", script, "--copies", "3"),
        "does not meet node.cores > 9999": anchor.start("run", script, "--where", "node.cores > 9999"),
    }
    for says, process in watched.items():
        assert process.stderr is not None
        line = process.stderr.readline()
        assert says in line, line
        process.send_signal(signal.SIGINT)
    for process in watched.values():
        process.communicate(timeout=40)
        assert process.returncode == 130


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("torn.yaml", "name: g\nsteps: [\n", "torn.yaml, line 3, column 1"),
        ("twice.yaml", "name: g\nname: h\n", "line 2, column 1: the key 'name' is given twice"),
        ("torn.json", '{"name": "g",\n "steps": [}', "line 2, column 12"),
        ("twice.json", '{"name": "g", "name": "h"}', "the key 'name' is given twice"),
        ("nan.json", '{"name": NaN}', "NaN is not a JSON number"),
        ("tag.yaml", "name: !!python/object/apply:os.system [ls]\n", "line 1, column 7: the tag"),
        ("list.yaml", "- a\n", "it is not a mapping"),
        ("none.yaml", "", "is empty"),
        ("deep.yaml", "a: " + "[" * 150 + "]" * 150, "nested more than 100 levels deep"),
        ("self.yaml", "name: &a [*a]\n", "contains itself"),
        (
            "ladder.yaml",
            "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000)),
            "its aliases nest it more than 100 levels deep",
        ),
        (
            "bomb.yaml",
            "a0: &a0 {x: 1}\n"
            + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)),
            "its aliases make it grow",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_line(
    anchor: Cli,
    name: str,
    text: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(anchor, name, text)
    words = ["dag", "run", str(anchor.directory / name)]
    assert exit_code_in_process(words, {"ANCHOR_URL": anchor.url}, monkeypatch) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_file_of_absurd_size_is_refused_unread(
    anchor: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, limit in (("huge.yaml", 16), ("huge.json", 64)):
        with (anchor.directory / name).open("wb") as file:
            file.truncate(200 << 20)
        words = ["dag", "run", str(anchor.directory / name)]
        assert exit_code_in_process(words, {"ANCHOR_URL": anchor.url}, monkeypatch) == 2
        assert f"larger than {limit} MiB" in " ".join(capsys.readouterr().err.split())


def test_what_the_server_refuses_is_told_with_its_line(
    anchor: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {
        "name: g\nsteps:\n  - id: fetch\n  - id: b\n    dependencies: [fetsh]\n": ("line 5", "did you mean 'fetch'"),
        '{"name": "g",\n "steps": [{"id": "a"},\n {"id": "a"}]}': ("line 3", "each step needs its own"),
        "name: g\nsteps:\n  - id: a\n    tyep: noop\n": ("line 4", "There is no field 'tyep'"),
        "name: g\nsteps:\n  - id: a\n    payload: {sourceFile: nowhere.js}\n": ("line 4", "nowhere.js cannot be read"),
    }
    for text, said in cases.items():
        written(anchor, "wrong.json" if text.startswith("{") else "wrong.yaml", text)
        file = anchor.directory / ("wrong.json" if text.startswith("{") else "wrong.yaml")
        code = exit_code_in_process(["dag", "run", str(file)], {"ANCHOR_URL": anchor.url}, monkeypatch)
        error = " ".join(capsys.readouterr().err.split())
        assert code == 6, error
        for part in said:
            assert part in error


def test_a_person_at_a_terminal_sees_a_tree_that_is_taken_away_at_the_end(anchor: Cli) -> None:
    seen = anchor.at_a_terminal(
        "dag", "run", str(EXAMPLES / "prices.yaml"), seconds=RUN_SECONDS, COLUMNS="100", LINES="30"
    )
    text, drawn = seen.text, seen.drawn
    assert (seen.code, json.loads(seen.out)) == (0, {"apples": 4, "pears": 7}), text
    assert "prices  succeeded  100% of 4 steps" in text
    assert "✔ means  succeeded" in text
    assert drawn.endswith((b"\x1b[2K", b"\x1b[?25h\n", b"\x1b[?25h"))
