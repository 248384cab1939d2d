"""`anchor run` against a real server and agent: output, result, exit code."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.cli.command import Cli, exit_code_in_process

EXAMPLES = Path(__file__).parents[2] / "examples"


def written(anchor: Cli, name: str, source: str) -> str:
    (anchor.directory / name).write_text(source, encoding="utf-8")
    return name


def test_a_script_prints_what_it_prints_and_its_result_on_stdout(anchor: Cli) -> None:
    file = written(
        anchor, "hello.js", "console.log('hello'); console.error('oops'); return {got: input, args: anchor.args}"
    )
    done = anchor("run", file, "a", "--input", '{"x": 1}')
    assert done.returncode == 0, done.stderr
    head, _, result = done.stdout.partition("\n")
    assert head == "hello"
    assert json.loads(result) == {"got": {"x": 1}, "args": ["a"]}
    assert "oops" in done.stderr


def test_with_json_output_stdout_holds_one_document_and_nothing_else(anchor: Cli) -> None:
    file = written(anchor, "talk.js", "console.log('to a person'); return 6 * 7")
    done = anchor("run", file, "-o", "json")
    answer = json.loads(done.stdout)
    assert (answer["state"], answer["result"]) == ("succeeded", 42)
    assert "to a person" in done.stderr


def test_a_wasi_program_takes_arguments_after_the_file(anchor: Cli) -> None:
    done = anchor("run", str(EXAMPLES / "wasi" / "primes.wasm"), "1000")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 168


def test_a_result_file_of_several_lines_is_a_result_like_any_other(anchor: Cli) -> None:
    done = anchor("run", "--", "sh", "-c", """printf '{\\n  "a": [1,\\n 2]\\n}\\n' > result.json""")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"a": [1, 2]}


def test_a_module_too_large_to_travel_inline_is_uploaded_first(anchor: Cli) -> None:
    padding = b"\x03pad" + bytes(100_000)
    size = bytes([len(padding) & 127 | 128, len(padding) >> 7 & 127 | 128, len(padding) >> 14])
    module = (EXAMPLES / "wasi" / "primes.wasm").read_bytes() + b"\0" + size + padding
    (anchor.directory / "large.wasm").write_bytes(module)
    done = anchor("run", "large.wasm", "100", "-o", "json")
    assert done.returncode == 0, done.stderr
    task = json.loads(anchor("task", "get", json.loads(done.stdout)["id"], "-o", "json").stdout)
    assert task["payload"]["module"].startswith("sha256:")


def test_a_command_runs_after_two_dashes_with_options_of_its_own(anchor: Cli) -> None:
    done = anchor("run", "--", "echo", "--timeout", "hi")
    assert (done.returncode, done.stdout) == (0, "--timeout hi\n"), done.stderr


def test_a_python_file_runs_natively(anchor: Cli) -> None:
    done = anchor("run", str(EXAMPLES / "primes.py"), "--input", "100", "-o", "json")
    assert json.loads(done.stdout)["result"]["count"] == 25, done.stderr


def test_a_failed_task_exits_with_1_and_says_why_without_a_traceback_of_ours(anchor: Cli) -> None:
    file = written(anchor, "boom.js", "throw new Error('kaboom')")
    done = anchor("run", file, "--retries", "0")
    assert done.returncode == 1
    assert "kaboom" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_that_ran_out_of_time_exits_with_8(anchor: Cli) -> None:
    file = written(anchor, "slow.js", "for (;;) {}")
    assert anchor("run", file, "--timeout", "0.3", "--retries", "0").returncode == 8


def test_what_waits_for_a_machine_that_does_not_exist_is_explained(anchor: Cli) -> None:
    file = written(anchor, "picky.js", "return 1")
    process = anchor.start("run", file, "--on", "no-such-label")
    assert process.stderr is not None
    said = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.communicate()
    assert "no-such-label" in said


def test_ctrl_c_cancels_the_task_and_exits_with_130(anchor: Cli) -> None:
    file = written(anchor, "endless.js", "for (;;) { console.log('on'); await new Promise(r => setTimeout(r, 50)) }")
    process = anchor.start("run", file, "--name", "interrupted", "--label", "ctrl-c")
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "The task is cancelled." in talk
    [row] = json.loads(anchor("task", "ls", "--label", "ctrl-c", "--name", "INTERRUPT", "-o", "json").stdout)
    assert row["state"] == "cancelled"


def test_a_detached_task_can_be_followed_cancelled_and_run_again(anchor: Cli) -> None:
    file = written(anchor, "long.js", "console.log('begun'); await new Promise(r => setTimeout(r, 20_000))")
    task = anchor("run", file, "--detach").stdout.strip()
    follower = anchor.start("task", "logs", "-f", task)
    assert follower.stdout is not None
    assert follower.stdout.readline() == "begun\n"
    assert anchor("task", "cancel", task).returncode == 0
    assert follower.wait(20) == 0
    follower.communicate()
    assert anchor("task", "result", task, "--wait", "10").returncode == 1
    again = anchor("task", "retry", task).stdout.strip()
    assert again != task
    assert json.loads(anchor("task", "get", again, "-o", "json").stdout)["retryOf"] == task
    assert anchor("task", "result", again).returncode == 8
    anchor("task", "cancel", again)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run"], 2, "nothing to run"),
        (["run", "nowhere.js"], 2, "cannot be read"),
        (["run", "x.js", "--input", "{x"], 2, "--input is not JSON"),
        (["run", "x.js", "--env", "NAME"], 2, "names no value"),
        (["run", "x.js", "--runtime", "jvm"], 2, "no runtime 'jvm'"),
        (["run", __file__[:-3] + ".txt"], 2, "cannot be read"),
        (["run", "--nonsense", "x.js"], 2, "No such option"),
        (["task", "get", "task_0000000000001"], 3, "There is no task"),
        (["task", "get", "nonsense"], 3, "There is no task"),
        (["task", "ls", "--state", "nonsense"], 6, "There is no task state"),
        (["task", "ls", "--token", "wrong"], 4, "token is not valid"),
        (["task", "ls", "--url", "http://127.0.0.1:1"], 7, "No Anchor server answers"),
        (["task", "ls", "--url", "not an address"], 2, "is not the address of a server"),
        (["node", "get", "NOP-000000"], 3, "There is no node"),
    ],
)
def test_every_mistake_has_its_message_and_exit_code(
    anchor: Cli,
    words: list[str],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    variables = {"ANCHOR_URL": anchor.url, "ANCHOR_DATA": str(anchor.directory / "data")}
    assert exit_code_in_process(words, variables, monkeypatch) == code
    printed, said = capfd.readouterr()
    assert printed == ""
    assert says in said
    assert "Traceback" not in said


def test_a_task_the_server_refuses_exits_with_6_and_names_the_place(anchor: Cli) -> None:
    file = written(anchor, "fine.js", "return 1")
    done = anchor("run", file, "--runtime", "isolate", "--dep", "lodash")
    assert done.returncode == 6
    assert "/payload/dependencies" in done.stderr


def test_a_program_that_is_no_anchor_server_is_recognised(anchor: Cli) -> None:
    stranger = subprocess.Popen(
        ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=anchor.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert stranger.stdout is not None
        port = stranger.stdout.readline().split(" port ")[1].split()[0]
        done = anchor("task", "ls", "--url", f"http://127.0.0.1:{port}")
    finally:
        stranger.kill()
        stranger.communicate()
    assert done.returncode == 7
    assert "not an Anchor server" in done.stderr


def test_a_machine_is_drained_and_resumed(anchor: Cli) -> None:
    [node] = json.loads(anchor("node", "ls", "-o", "json").stdout)
    assert node["labels"] == ["lab"]
    try:
        assert anchor("node", "drain", node["nodeId"], "--reason", "It moves.").returncode == 0
        drained = json.loads(anchor("node", "get", node["nodeId"], "-o", "json").stdout)
        assert drained["status"] == "draining"
        assert drained["reason"]["message"].endswith(": It moves.")
    finally:
        anchor("node", "resume", node["nodeId"])
    until = time.monotonic() + 10
    while json.loads(anchor("node", "get", node["nodeId"], "-o", "json").stdout)["status"] != "online":
        assert time.monotonic() < until


def test_a_machine_is_given_labels_and_loses_them_again(anchor: Cli) -> None:
    [node] = json.loads(anchor("node", "ls", "-o", "json").stdout)
    given = json.loads(anchor("node", "label", node["nodeId"], "by-the-sea", "site:Vigo", "-o", "json").stdout)
    assert given["labels"] == ["lab", "by-the-sea", "site:Vigo"]
    assert anchor("node", "label", node["nodeId"]).returncode == 0
    assert json.loads(anchor("node", "get", node["nodeId"], "-o", "json").stdout)["labels"] == ["lab"]


def test_tables_are_for_people_and_stay_whole_in_a_pipe(anchor: Cli) -> None:
    done = anchor("node", "ls")
    assert done.stdout.startswith("NODE")
    assert "isolate, wasm" in done.stdout
    queues = anchor("queue").stdout
    assert all(name in queues for name in ("TASKS", "DAG", "CONSENSUS"))


def test_a_key_is_made_used_and_revoked(anchor: Cli) -> None:
    token = anchor("key", "create", "bob", "--role", "viewer").stdout.strip()
    assert anchor("task", "ls", ANCHOR_TOKEN=token).returncode == 0
    file = written(anchor, "no.js", "return 1")
    assert anchor("run", file, "-d", ANCHOR_TOKEN=token).returncode == 4
    [key] = [key for key in json.loads(anchor("key", "ls", "-o", "json").stdout) if key["name"] == "bob"]
    assert anchor("key", "rm", key["id"]).returncode == 0
    assert anchor("task", "ls", ANCHOR_TOKEN=token).returncode == 4


def test_help_names_every_command_and_the_exit_codes(anchor: Cli) -> None:
    page = anchor("--help").stdout
    assert all(word in page for word in ("up", "run", "task", "node", "join", "doctor", "Exit codes"))
