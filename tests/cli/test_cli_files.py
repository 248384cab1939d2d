"""Files and progress on the command line: brought along, kept, listed, saved; against a real server and agent."""

import json
import os
import time
from pathlib import Path

import pytest
from tests.cli.command import Cli, exit_code_in_process

from anchor.cli.attached import files_of
from anchor.cli.exits import Usage
from anchor.cli.imports import relative_imports
from anchor.cli.program import program_of
from anchor.client import Client, StateChange
from anchor.wire.rest import LogLine, TaskResult

COUNT = """
import pathlib
lines = pathlib.Path("in.csv").read_text().splitlines() + pathlib.Path("more/deep/b.txt").read_text().splitlines()
pathlib.Path("out").mkdir()
pathlib.Path("out/count.txt").write_text(str(len(lines)))
pathlib.Path("out/copy.csv").write_bytes(pathlib.Path("in.csv").read_bytes())
"""


def written(anchor: Cli, name: str, content: str) -> str:
    path = anchor.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return name


def test_files_go_along_and_what_is_kept_is_saved(anchor: Cli) -> None:
    program = written(anchor, "count.py", COUNT)
    written(anchor, "table.csv", "a\nb\nc\n")
    written(anchor, "more/deep/b.txt", "d\n")
    written(anchor, "more/empty", "")
    files = ("--file", "table.csv=in.csv", "--file", "more")
    done = anchor("run", program, *files, "--out", "out/*", "--save", "got")
    assert done.returncode == 0, done.stderr
    assert (anchor.directory / "got/out/count.txt").read_text() == "4"
    assert (anchor.directory / "got/out/copy.csv").read_text() == "a\nb\nc\n"
    again = anchor("run", program, *files, "--out", "out/*", "-o", "json", "--save", "got")
    assert again.returncode == 5, again.stderr
    assert "is there already" in again.stderr
    task = json.loads(again.stdout)["id"]
    listed = anchor("task", "files", task)
    assert listed.returncode == 0, listed.stderr
    assert "out/copy.csv" in listed.stdout
    assert "6 B" in listed.stdout
    saved = anchor("task", "files", task, "--save", "elsewhere", "--overwrite")
    assert sorted(saved.stdout.split()) == ["elsewhere/out/copy.csv", "elsewhere/out/count.txt"]
    shown = anchor("task", "get", task).stdout
    assert "out/copy.csv (6 B), out/count.txt (1 B)" in shown
    assert " in, " in shown, shown
    assert anchor("task", "files", task, "--save", "elsewhere").returncode == 5


def test_what_is_kept_is_listed_where_nobody_asked_to_save_it(anchor: Cli) -> None:
    done = anchor("run", "--out", "*.txt", "--", "sh", "-c", "echo hi > a.txt")
    assert done.returncode == 0, done.stderr
    assert "Files: a.txt (3 B)" in done.stderr
    assert "anchor task files task_" in done.stderr
    nothing = anchor("run", "--", "true")
    assert "Files" not in nothing.stderr


def test_a_module_runs_with_the_modules_it_imports(anchor: Cli) -> None:
    written(anchor, "app/lib/twice.mjs", "import { two } from './two.mjs'; export const twice = x => x * two")
    written(anchor, "app/lib/two.mjs", "export const two = 2")
    main = written(anchor, "app/main.mjs", "import { twice } from './lib/twice.mjs'; export default twice(input)")
    done = anchor("run", main, "--input", "21")
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr


def test_progress_that_nobody_watches_is_passed_on_in_lines(anchor: Cli) -> None:
    file = written(anchor, "slow.js", "anchor.progress(0.25, 'a quarter'); anchor.progress(0.5); return 1")
    done = anchor("run", file)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert "50%" in done.stderr


def test_on_a_terminal_a_bar_is_drawn_and_a_strangers_words_in_it_are_no_markup(anchor: Cli) -> None:
    source = """
    const pause = () => new Promise(done => setTimeout(done, 300))
    anchor.progress(0.25, 'resizing [bold]x'); await pause()
    console.log('a word'); await pause()
    anchor.progress(0.75, 'nearly'); await pause()
    return 1
    """
    seen = anchor.at_a_terminal("run", written(anchor, "bar.js", source), COLUMNS="120")
    text = seen.text
    assert (seen.code, seen.out) == (0, b"a word\n1\n"), seen.drawn
    assert "bar.js: resizing [bold]x" in text
    assert " 25%" in text
    assert "bar.js: nearly" in text
    assert " 75%" in text


def test_a_node_shows_how_its_runtimes_are_held(anchor: Cli) -> None:
    [node] = json.loads(anchor("node", "ls", "-o", "json").stdout)
    assert set(node["specs"]["confinement"]) == set(node["specs"]["runtimes"])
    shown = anchor("node", "get", node["nodeId"]).stdout
    assert "HELD" in shown
    assert node["specs"]["confinement"]["isolate"] in shown


def test_lines_and_progress_reach_whoever_follows_within_a_fifth_of_a_second(anchor: Cli) -> None:
    """From the moment it is printed on the node to the moment the client has it; both read this machine's clock."""
    source = """
    const pause = () => new Promise(done => setTimeout(done, 150))
    for (let turn = 0; turn < 6; turn++) {
        console.log(`line ${Date.now()}`); await pause()
        anchor.progress(turn / 10, `share ${Date.now()}`); await pause()
    }
    """
    late: dict[str, list[float]] = {"line": [], "share": []}
    with Client(anchor.url) as client:
        task = client.submit({"name": "brisk", "payload": {"sourceCode": source, "runtime": "isolate"}}).id
        for happening in client.follow(task):
            now = time.time() * 1000
            if isinstance(happening, LogLine):
                words = happening.text.split()
                late[words[-2]].append(now - float(words[-1]))
            elif isinstance(happening, StateChange):
                continue
        assert isinstance(happening, TaskResult)
        assert happening.state == "succeeded", happening
    for waits in late.values():
        assert len(waits) == 6, late
        assert sorted(waits)[2] <= 200, late


# --- without a server


def test_a_file_is_named_as_asked_or_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    odd, inner = tmp_path / "a=b.txt", tmp_path / "deep" / "c.txt"
    odd.write_text("x")
    inner.write_text("x")
    assert files_of([str(odd)]) == {"a=b.txt": odd}
    assert files_of([f"{odd}=in/x"]) == {"in/x": odd}
    assert files_of([str(tmp_path / "deep")]) == {"deep/c.txt": inner}
    assert files_of([f"{tmp_path / 'deep'}=."]) == {"c.txt": inner}
    assert files_of([f"{tmp_path / 'deep'}=data"]) == {"data/c.txt": inner}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["absent"], "no file"),
        (["a.txt=../up"], "outside"),
        (["a.txt=/etc/passwd"], "absolute"),
        (["a.txt", "other/a.txt"], "both named a.txt"),
        (["many"], "201 files"),
    ],
)
def test_files_that_cannot_go_along_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("other", "many"):
        (tmp_path / folder).mkdir()
    for name in ("a.txt", "other/a.txt", *(f"many/{number}" for number in range(201))):
        (tmp_path / name).write_text("x")
    with pytest.raises(Usage, match=says):
        files_of(words)


def test_imports_are_found_however_they_are_written(tmp_path: Path) -> None:
    names = ["a.js", "b.js", "lib/c.js", "d.js", "e.js"]
    (tmp_path / "lib").mkdir()
    for name in names:
        (tmp_path / name).write_text("// " + name)
    (tmp_path / "lib/c.js").write_text("export * from '../d.js'; import '../main.mjs'")
    main = tmp_path / "main.mjs"
    source = """
    import './a.js'
    import b, {
      x as y
    } from "./b.js"
    const c = await import('./lib/c.js')
    export {e} from './e.js'
    import './absent.js'
    import fs from 'node:fs'
    """
    main.write_text(source)
    assert set(relative_imports(main, source)) == {*names, "main.mjs"}


def test_an_import_from_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "up.js").write_text("")
    with pytest.raises(Usage, match="outside"):
        relative_imports(tmp_path / "app" / "main.js", "import '../up.js'")


def program(words: list[str], **more: object):
    given = {"runtime": None, "dependencies": [], "function": None, "input_text": None, "stdin": None, "env": []}
    return program_of(None, [], words, **(given | more)).payload  # type: ignore[arg-type]


def test_an_image_makes_a_command_run_in_a_container() -> None:
    payload = program(["echo", "hi"], image="alpine:3.20", network=True, outputs=["*.txt"])
    assert (payload.runtime, payload.image, payload.network, payload.outputs) == (
        "container",
        "alpine:3.20",
        True,
        ["*.txt"],
    )
    assert program(["echo"]).runtime == "native"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "x.js", "--detach", "--save", "d"],
        ["run", "x.js", "--file", "absent"],
        ["run", "x.js", "--image", "alpine"],
        ["run", "x.js", "--runtime", "container"],
    ],
)
def test_what_does_not_go_together_is_a_matter_of_usage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.js").write_text("return 1")
    monkeypatch.chdir(tmp_path)
    assert exit_code_in_process(words, {"ANCHOR_DATA": os.fspath(tmp_path)}, monkeypatch) == 2
