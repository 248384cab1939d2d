"""The same small word count in every runtime, with a piece that says nothing: the same answer everywhere."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.own_image import IMAGE, podman_with_image
from tests.system.offering import Offering

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT = (EXAMPLES / "lighthouse.txt").read_bytes() + b'"quoted" back\\slash na\xc3\xafve\n'
JOB_SECONDS = 60
PYTHON = (EXAMPLES / "mapreduce" / "word_count.py").read_text()
JAVASCRIPT = """
function map(text) { return text.split(/\\s+/).filter(Boolean).map((word) => [word, 1]) }
function reduce(word, counts) { return counts.reduce((sum, count) => sum + count, 0) }
"""
MAP_LINES = '{ for (i = 1; i <= NF; i++) print $i "\\t" 1 }'
REDUCE_LINES = '{ c[$1] += $2 } END { for (word in c) print word "\\t" c[word] }'
MAP_FILES = """awk '{ for (i = 1; i <= NF; i++) { gsub(/["\\\\]/, "\\\\\\\\&", $i); c[$i]++ } }
END { printf "{"; for (w in c) { printf "%s\\"%s\\":[%d]", sep, w, c[w]; sep = ",\\n" } printf "}" }' \\
item > part-0000"""
REDUCE_FILES = """awk '{ sub(/^{/, ""); match($0, /":\\[[0-9]+\\]/)
if (RSTART) c[substr($0, 2, RSTART - 2)] += substr($0, RSTART + 3, RLENGTH - 4) }
END { printf "["; for (w in c) { printf "%s[\\"%s\\",%d]", sep, w, c[w]; sep = "," } printf "]" }' 0* > result.json"""


def command(*words: str) -> dict[str, Any]:
    return {"runtime": "native", "command": [*words]}


def container(script: str) -> dict[str, Any]:
    return {"runtime": "container", "image": IMAGE, "command": ["sh", "-c", script]}


def both(**payload: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return payload, payload


JOBS = {
    "isolate": both(runtime="isolate", sourceCode=JAVASCRIPT),
    "python": both(runtime="python", sourceCode=PYTHON),
    "native, Python": both(runtime="native", language="python", sourceCode=PYTHON),
    "native, JavaScript": both(runtime="native", language="javascript", sourceCode=JAVASCRIPT),
    "native, commands": (command("awk", MAP_LINES), command("awk", "-F", "\t", REDUCE_LINES)),
    "wasm": both(runtime="wasm", module="module"),
    "container": (container(MAP_FILES), container(REDUCE_FILES)),
}


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offering]:
    with Offering(tmp_path_factory.mktemp("mapreduce")) as made:
        yield made


@pytest.fixture(scope="module")
def started(offered: Offering) -> dict[str, str]:
    """The jobs of all runtimes that are offered, side by side."""
    return {kind: start(offered, *JOBS[kind]) for kind in JOBS if kind != "container" and offered.has(runtime_of(kind))}


def runtime_of(kind: str) -> str:
    return kind.partition(",")[0]


def start(offered: Offering, mapping: dict[str, Any], reducing: dict[str, Any]) -> str:
    if "module" in mapping:
        module = offered.upload((EXAMPLES / "mapreduce" / "word_count.wasm").read_bytes())
        mapping, reducing = ({**payload, "module": module} for payload in (mapping, reducing))
    text = offered.upload(TEXT)
    files = [text, offered.upload(b" \n"), f"{text}[0:{TEXT.index(b' ')}]"]
    job: dict[str, Any] = {
        "name": "words",
        "input": {"files": files},
        "map": mapping,
        "reduce": reducing,
        "retry": {"attempts": 1},
    }
    # Which share a key belongs to is for a program to work out: with one there is nothing to it.
    job["reducers"] = 1 if mapping["runtime"] == "container" else 3
    answer = offered.http.post("/api/mapreduce", json=job)
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["id"]
    return run


def counted(offered: Offering, job: str) -> dict[str, int]:
    view: dict[str, Any] = {"state": "running", "version": ""}
    while view["state"] == "running":
        query = {"wait": JOB_SECONDS, "version": view["version"]}
        view = offered.http.get(f"/api/mapreduce/{job}", params=query).raise_for_status().json()
    assert view["state"] == "succeeded", view
    pairs = view["result"]["result"]
    assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
    return {key: int(value) for key, value in pairs}


EXPECTED = Counter(TEXT.decode().split()) + Counter(TEXT.decode().split()[:1])


@pytest.mark.parametrize("kind", [kind for kind in JOBS if kind != "container"])
def test_words_are_counted_alike_in_every_runtime(offered: Offering, started: dict[str, str], kind: str) -> None:
    offered.require(runtime_of(kind))
    if "commands" in kind and shutil.which("awk") is None:
        pytest.skip("awk is not installed")
    assert counted(offered, started[kind]) == EXPECTED


def test_words_are_counted_alike_in_containers(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Podman gets slow in a folder whose path is long.
    folder = tmp_path_factory.mktemp("pod")
    with podman_with_image(folder), Offering(folder) as offered:
        offered.require("container")
        assert counted(offered, start(offered, *JOBS["container"])) == EXPECTED
