"""What a task may say of its files, its modules and its special wishes, and what is wrong where it may not."""

import base64
import fnmatch
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.core.file_names import clash_among, fault_in_name, fault_in_pattern
from anchor.core.globs import Glob
from anchor.core.spec import Need, TaskSpec, need_of
from anchor.core.spec_faults import faults_in

DIGEST = "sha256:" + "a" * 64
WASM = base64.b64encode(b"\0asm\1\0\0\0").decode()
SCRIPT = {"sourceCode": "1"}


def spec(payload: dict[str, Any], **fields: Any) -> TaskSpec:
    return msgspec.convert({"name": "t", "payload": payload, **fields}, TaskSpec)


@pytest.mark.parametrize(
    ("payload", "features"),
    [
        ({**SCRIPT, "files": {"in.csv": DIGEST, "data/20/a b.csv": DIGEST, ".env": DIGEST, "ü/…": DIGEST}}, ("files",)),
        ({**SCRIPT, "outputs": ["*.png", "plots/**/*.png", "**", "a[0-9]?.txt"]}, ("files",)),
        ({**SCRIPT, "modules": {"lib/sum.js": "export default 1", "util.mjs": ""}}, ("modules",)),
        ({**SCRIPT, "runtime": "native", "network": True}, ("network",)),
        ({"module": WASM, "deterministic": True}, ("deterministic",)),
        ({"image": "alpine:3.20", "runtime": "container"}, ()),
        ({"image": "ghcr.io/a/b@sha256:" + "0" * 64, "command": ["true"], "network": True}, ("network",)),
    ],
)  # fmt: skip
def test_a_task_may_bring_files_and_ask_for_what_its_runtime_has(
    payload: dict[str, Any], features: tuple[str, ...]
) -> None:
    assert faults_in(spec(payload), "") == []
    assert need_of(spec(payload)).features == features


def test_fuel_is_for_wasm() -> None:
    assert faults_in(spec({"module": WASM}, limits={"fuel": 5}), "") == []
    [fault] = faults_in(spec(SCRIPT, limits={"fuel": 5}), "/1")
    assert (fault.pointer, fault.message) == (
        "/1/limits/fuel",
        "is counted for wasm only, not for isolate; leave it out",
    )


NAMES = [
    ("", "is empty"),
    ("/etc/passwd", "is an absolute path"),
    ("a/../../b", "leads outside"),
    ("..", "leads outside"),
    ("./a", "round about"),
    ("a//b", "round about"),
    ("a/", "round about"),
    ("a\\b", "backslash"),
    ("a\nb", "control character"),
    ("a\0b", "control character"),
    ("x" * 256, "has 256 bytes; at most 255"),
    ("ü" * 128, "has 256 bytes; at most 255"),
    ("\ud800", "half a surrogate pair"),
]


@pytest.mark.parametrize(("name", "message"), NAMES)
def test_a_name_that_is_no_plain_path_inside_the_directory_is_refused(name: str, message: str) -> None:
    assert message in (fault_in_name(name) or "")
    [fault] = faults_in(spec({**SCRIPT, "files": {name: DIGEST}}), "")
    assert fault.pointer == "/payload/files/" + name.replace("~", "~0").replace("/", "~1")
    [fault] = faults_in(spec({**SCRIPT, "modules": {name: "1"}}), "")
    assert message in fault.message


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("/tmp/*", "is an absolute path"),
        ("../*.png", "leads outside the task's directory; only files inside it can be kept"),
        ("a/../../b", "leads outside"),
        ("./*.png", "single dot"),
        ("a//b", "an empty part"),
        ("plots/", "an empty part"),
        ("a**/b", "** beside other characters"),
        ("", "is empty"),
        ("a\\*", "backslash"),
    ],
)
def test_a_glob_that_leads_outside_or_means_nothing_is_refused(pattern: str, message: str) -> None:
    assert message in (fault_in_pattern(pattern) or "")
    [fault] = faults_in(spec({**SCRIPT, "outputs": ["ok", pattern]}), "")
    assert (fault.pointer, message in fault.message) == ("/payload/outputs/1", True)


@pytest.mark.parametrize(
    ("payload", "pointer", "message"),
    [
        ({**SCRIPT, "files": {"a": "b" * 64}}, "/payload/files/a", "is not sha256:… of an uploaded blob"),
        ({**SCRIPT, "files": {"a": DIGEST, "a/b": DIGEST}}, "/payload/files/a", "is a file, and the folder of a/b"),
        ({**SCRIPT, "modules": {"main.js": "1"}}, "/payload/modules/main.js", "the name of sourceCode itself"),
        ({**SCRIPT, "modules": {"a": "", "a/b": ""}}, "/payload/modules/a", "is also the folder of a/b"),
        ({**SCRIPT, "runtime": "native", "modules": {"a.js": ""}}, "/payload/modules", "in runtime isolate only"),
        ({"module": WASM, "modules": {"a.js": ""}}, "/payload/modules", "in runtime isolate only"),
        ({**SCRIPT, "network": True}, "/payload/network", "needs runtime native or container; isolate has no network"),
        ({**SCRIPT, "deterministic": True}, "/payload/deterministic", "needs runtime wasm"),
        ({**SCRIPT, "runtime": "native", "image": "a"}, "/payload/image", "needs runtime container"),
        ({"command": ["ls"], "runtime": "container"}, "/payload/image", "is missing; runtime container needs"),
        ({"image": "a", "sourceCode": "1"}, "/payload/sourceCode", "does not go with runtime container"),
        ({"image": "--privileged"}, "/payload/image", "is not the name of an image"),
        ({"image": "a\nb"}, "/payload/image", "is not the name of an image"),
    ],
)  # fmt: skip
def test_a_broken_rule_of_files_and_wishes_is_named_with_its_place(
    payload: dict[str, Any], pointer: str, message: str
) -> None:
    faults = faults_in(spec(payload), "")
    assert [(fault.pointer, message in fault.message) for fault in faults] == [(pointer, True)]


def test_a_noop_brings_no_files() -> None:
    [fault] = faults_in(spec({"files": {"a": DIGEST}}, type="noop"), "")
    assert fault.pointer == "/payload"


def test_tasks_with_other_features_are_other_needs() -> None:
    plain, wishful = need_of(spec(SCRIPT)), need_of(spec({**SCRIPT, "outputs": ["*"]}))
    assert isinstance(plain, Need)
    assert plain != wishful


parts = st.text(alphabet="ab.", min_size=1, max_size=3).filter(lambda part: part not in (".", ".."))
pattern_parts = st.one_of(parts, st.just("**"), st.sampled_from(["*", "?", "a*", "*b", "[ab]", "[!a]*", ".*"]))


def plainly(pattern: list[str], path: list[str]) -> bool:
    """What a glob means, as short as it can be said."""
    if not pattern or not path:
        return not pattern and not path
    first, hidden = pattern[0], path[0].startswith(".")
    if first == "**":
        return plainly(pattern[1:] or ["*"], path) or (not hidden and plainly(pattern, path[1:]))
    if hidden and not first.startswith("."):
        return False
    return fnmatch.fnmatchcase(path[0], first) and plainly(pattern[1:], path[1:])


@given(st.lists(pattern_parts, min_size=1, max_size=4), st.lists(parts, min_size=1, max_size=4))
def test_a_glob_followed_folder_by_folder_matches_what_it_means(pattern: list[str], path: list[str]) -> None:
    glob: Glob | None = Glob("/".join(pattern))
    for folder in path[:-1]:
        glob = glob and glob.entering(folder)
    assert bool(glob and glob.matches(path[-1])) == plainly(pattern, path)


def test_a_pattern_of_many_stars_costs_next_to_nothing() -> None:
    glob = Glob("/".join(["**"] * 60 + ["*a" * 40 + "b"]))
    for _ in range(20):
        entered = glob.entering("a" * 200)
        assert entered is not None
        glob = entered
    assert not glob.matches("a" * 200)


@given(st.lists(st.lists(parts, min_size=1, max_size=3).map("/".join), max_size=6))
def test_names_clash_where_one_is_the_folder_of_another(names: list[str]) -> None:
    paths = {PurePosixPath(name) for name in names}
    clashes = any(parent in paths for path in paths for parent in path.parents)
    assert (clash_among(names) is not None) == clashes
