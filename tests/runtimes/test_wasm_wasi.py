"""WASI preview 1 as commands find it: files of the job and no others, clocks, chance, arguments, waiting."""

import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.wasm_steps import (
    ACCESS,
    APPEND,
    BADF,
    CREATE,
    DIRECTORY,
    EXCLUSIVE,
    EXIST,
    HOME,
    INVAL,
    IO,
    ISDIR,
    LOOP,
    MFILE,
    NAMETOOLONG,
    NOENT,
    NOTCAPABLE,
    NOTDIR,
    NOTEMPTY,
    NOTSOCK,
    OK,
    PERM,
    TRUNCATE,
    Bench,
    Steps,
)

from anchor.core.errors import FailureCode

OUTSIDE = 0xFFFFFF00
REFUSED = {PERM, NOTCAPABLE, ACCESS}


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.fixture(params=[False, True], ids=["plain", "deterministic"])
def deterministic(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def go(bench: Bench, tmp_path: Path, deterministic: bool) -> Any:
    def run(steps: Steps) -> list[int]:
        ended = bench.run(steps.wat, tmp_path, function="go", deterministic=deterministic)
        assert ended.code is None, ended.message
        value = json.loads(ended.value)
        return value if isinstance(value, list) else [value]

    return run


def test_a_file_is_made_written_sought_read_and_found_afterwards(go: Any, tmp_path: Path) -> None:
    steps = Steps()
    made = steps.open("notes.txt", CREATE | EXCLUSIVE)
    written = steps.write(made, "hello, world")
    steps.load(written)
    steps.call("fd_seek", made, 7, 0, position := steps.room())
    steps.load(position)
    text, size = steps.read(made, 100)
    steps.load(size)
    steps.load(text)
    steps.call("fd_tell", made, position)
    steps.load(position)
    steps.call("fd_close", made)
    steps.call("fd_close", made)
    worl = int.from_bytes(b"worl", "little")
    assert go(steps) == [OK, OK, 12, OK, 7, OK, 5, worl, OK, 12, OK, BADF]
    assert (tmp_path / "notes.txt").read_text() == "hello, world"


def test_input_files_are_there_and_can_be_cut_and_added_to(go: Any, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\n")
    (tmp_path / "old.txt").write_text("something longer")
    steps = Steps()
    steps.write(steps.open("in.txt", how=APPEND), "two\n")
    steps.write(steps.open("old.txt", TRUNCATE), "new")
    steps.call("fd_filestat_set_size", steps.open("sparse", CREATE), 1 << 20)
    assert go(steps) == [OK] * 6
    assert (tmp_path / "in.txt").read_text() == "one\ntwo\n"
    assert (tmp_path / "old.txt").read_text() == "new"
    assert (tmp_path / "sparse").stat().st_size == 1 << 20


def test_reading_and_writing_at_a_place_leaves_the_position_alone(go: Any, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("0123456789")
    steps = Steps()
    opened = steps.open("in.txt")
    into = steps.room()
    pieces = steps.pieces(into, 4)
    steps.call("fd_pread", opened, pieces, 1, 6, pieces + 8)
    steps.load(into)
    steps.call("fd_pwrite", opened, steps.pieces(*steps.text("xx")), 1, 2, pieces + 8)
    steps.call("fd_tell", opened, position := steps.room())
    steps.load(position)
    assert go(steps) == [OK, OK, int.from_bytes(b"6789", "little"), OK, OK, 0]
    assert (tmp_path / "in.txt").read_text() == "01xx456789"


def test_directories_are_made_renamed_listed_and_removed(go: Any, tmp_path: Path) -> None:
    steps = Steps()
    steps.call("path_create_directory", HOME, *steps.text("sub"))
    steps.call("path_create_directory", HOME, *steps.text("sub"))
    steps.write(steps.open("sub/a", CREATE), "1")
    steps.call("path_rename", HOME, *steps.text("sub/a"), HOME, *steps.text("b"))
    steps.call("path_remove_directory", HOME, *steps.text("b"))
    steps.call("path_unlink_file", HOME, *steps.text("sub"))
    steps.open("sub/c", CREATE)
    steps.call("path_remove_directory", HOME, *steps.text("sub"))
    steps.call("path_unlink_file", HOME, *steps.text("sub/c"))
    steps.call("path_remove_directory", HOME, *steps.text("sub"))
    steps.open("sub")
    steps.open("b", DIRECTORY)
    assert go(steps) == [OK, EXIST, OK, OK, OK, NOTDIR, ISDIR, OK, NOTEMPTY, OK, OK, NOENT, NOTDIR]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_directory_is_listed_whole_in_pieces_of_any_size(bench: Bench, tmp_path: Path, deterministic: bool) -> None:
    names = [f"file-{number:03}" for number in range(300)]
    for name in names:
        (tmp_path / name).touch()
    # Lists with a buffer of 100 bytes: a whole entry at least, the rest cut; goes on after the last whole one.
    body = """(local $used i32) (local $at i32) (local $end i32) (local $cookie i64) (local $count i32)
      (loop $more
        (if (call $fd_readdir (i32.const 3) (i32.const 1024) (i32.const 100) (local.get $cookie) (i32.const 8))
          (then unreachable))
        (local.set $used (i32.load (i32.const 8)))
        (local.set $at (i32.const 0))
        (block $over (loop $entry
          (br_if $over (i32.gt_u (i32.add (local.get $at) (i32.const 24)) (local.get $used)))
          (local.set $end (i32.add (local.get $at)
            (i32.add (i32.const 24) (i32.load offset=1040 (local.get $at)))))
          (br_if $over (i32.gt_u (local.get $end) (local.get $used)))
          (local.set $cookie (i64.load offset=1024 (local.get $at)))
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $at (local.get $end))
          (br $entry)))
        (br_if $more (i32.eq (local.get $used) (i32.const 100))))
      (local.get $count)"""
    steps = Steps()
    wat = steps.wat.replace('(export "go") (result )', f'(export "go") (result i32) {body}')
    ended = bench.run(wat, tmp_path, function="go", deterministic=deterministic)
    assert ended.code is None, ended.message
    assert json.loads(ended.value) == len(names) + 2


@pytest.mark.parametrize(
    "path",
    ["..", "../secret", "sub/../../secret", "/../secret", "./.././../etc/passwd", "/etc/passwd", "//etc/passwd"],
)
def test_no_path_leads_out_of_the_directory(go: Any, tmp_path: Path, path: str) -> None:
    (tmp_path / "sub").mkdir()
    steps = Steps()
    steps.open(path)
    steps.open(path, CREATE)
    steps.call("path_filestat_get", HOME, 1, *steps.text(path), steps.room(64))
    steps.call("path_unlink_file", HOME, *steps.text(path))
    steps.call("path_rename", HOME, *steps.text("sub"), HOME, *steps.text(path))
    assert set(go(steps)) <= REFUSED


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "/", "..", "/proc/self/environ"])
def test_no_symlink_leads_out_of_the_directory(go: Any, tmp_path: Path, target: str) -> None:
    (tmp_path / "planted").symlink_to(target)
    (tmp_path / "sub").mkdir()
    steps = Steps()
    # A link is followed where the second argument of path_filestat_get says so.
    steps.call("path_filestat_get", HOME, 1, *steps.text("planted"), steps.room(64))
    steps.call("path_filestat_get", HOME, 1, *steps.text("planted/passwd"), steps.room(64))
    at = steps.room()
    steps.call("path_open", HOME, 1, *steps.text("planted"), 0, 2, 2, 0, at)
    steps.call("path_open", HOME, 1, *steps.text("planted/x"), CREATE, 2, 2, 0, at)
    answers = go(steps)
    assert set(answers) <= REFUSED | {NOENT, NOTDIR, LOOP}
    assert OK not in answers
    steps = Steps()
    steps.call("path_symlink", *steps.text("/etc"), HOME, *steps.text("mine"))
    steps.open("mine/passwd")
    assert OK not in go(steps)


def test_symlinks_inside_are_made_read_and_followed_and_loops_end(go: Any, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("real")
    steps = Steps()
    steps.call("path_symlink", *steps.text("real"), HOME, *steps.text("link"))
    steps.call("path_readlink", HOME, *steps.text("link"), into := steps.room(16), 16, used := steps.room())
    steps.load(into)
    steps.load(used)
    steps.call("path_open", HOME, 1, *steps.text("link"), 0, 2, 2, 0, steps.room())
    steps.call("path_open", HOME, 0, *steps.text("link"), 0, 2, 2, 0, steps.room())
    steps.call("path_symlink", *steps.text("round"), HOME, *steps.text("round"))
    steps.call("path_open", HOME, 1, *steps.text("round"), 0, 2, 2, 0, steps.room())
    assert go(steps) == [OK, OK, int.from_bytes(b"real", "little"), 4, OK, LOOP, OK, LOOP]


def test_hard_links_stay_inside(go: Any, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("real")
    steps = Steps()
    steps.call("path_link", HOME, 0, *steps.text("real"), HOME, *steps.text("second"))
    steps.call("path_link", HOME, 0, *steps.text("/etc/passwd"), HOME, *steps.text("third"))
    steps.call("path_link", HOME, 0, *steps.text("real"), HOME, *steps.text("../fourth"))
    first, *rest = go(steps)
    assert first == OK
    assert set(rest) <= REFUSED
    assert (tmp_path / "second").read_text() == "real"


def test_names_that_no_file_can_have_are_refused(go: Any) -> None:
    steps = Steps()
    for path in ("", "a\0b", "n" * 300, "d/" * 5000):
        steps.open(path, CREATE)
    steps.open(b"\xff\xfe".decode("latin-1"), CREATE)
    answers = go(steps)
    assert answers[2:4] == [NAMETOOLONG, NAMETOOLONG]
    assert OK not in answers[:4]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("random_get", [OUTSIDE, 4096]),
        ("random_get", [0, 0xFFFFFFFF]),
        ("clock_time_get", [0, 0, OUTSIDE]),
        ("clock_time_get", [77, 0, 0]),
        ("clock_res_get", [1, OUTSIDE]),
        ("fd_filestat_get", [1, OUTSIDE]),
        ("path_filestat_get", [HOME, 0, OUTSIDE, 100, 0]),
        ("path_rename", [HOME, OUTSIDE, 9, HOME, OUTSIDE, 9]),
        ("poll_oneoff", [OUTSIDE, 0, 1, 0]),
        ("fd_write", [1, OUTSIDE, 1, 0]),
    ],
)
def test_pointers_outside_the_memory_end_the_program_in_one_sentence(
    bench: Bench, tmp_path: Path, deterministic: bool, name: str, arguments: list[int]
) -> None:
    steps = Steps()
    steps.call(name, *arguments)
    ended = bench.run(steps.wat, tmp_path, function="go", deterministic=deterministic)
    assert ended.code == FailureCode.SCRIPT_ERROR
    assert ended.message.startswith("The program called WASI wrongly: ")
    assert "\n" not in ended.message


def test_clocks_go_forward_and_those_that_are_not_there_say_so(go: Any, deterministic: bool) -> None:
    steps = Steps()
    real, first, second = steps.room(), steps.room(), steps.room()
    steps.call("clock_time_get", 0, 1, real)
    steps.call("clock_time_get", 1, 1, first)
    steps.call("clock_time_get", 1, 1, second)
    steps.value(f"(i64.ge_u (i64.load (i32.const {second})) (i64.load (i32.const {first})))")
    steps.value(f"(i32.wrap_i64 (i64.div_u (i64.load (i32.const {real})) (i64.const 1000000000)))")
    steps.call("clock_res_get", 1, 64)
    steps.value("(i64.gt_u (i64.load (i32.const 64)) (i64.const 0))")
    steps.call("clock_time_get", 2, 1, real)
    *answers, cpu = go(steps)
    assert [answers[at] for at in (0, 1, 2, 3, 5, 6)] == [OK, OK, OK, 1, OK, 1]
    assert abs(answers[4] - (1_577_836_800 if deterministic else time.time())) < 60
    assert cpu == BADF


def test_chance_is_different_in_every_word(go: Any) -> None:
    steps = Steps()
    at = steps.room(64)
    steps.call("random_get", at, 64)
    for word in range(16):
        steps.load(at + 4 * word)
    answer, *words = go(steps)
    assert answer == OK
    assert len(set(words)) > 12


def test_what_has_no_descriptor_and_what_is_no_socket_is_refused(go: Any) -> None:
    steps = Steps()
    steps.call("fd_tell", 99, 0)
    steps.call("fd_filestat_get", 99, 0)
    steps.call("fd_readdir", 99, 1024, 100, 0, 0)
    steps.call("fd_renumber", 99, 1)
    steps.call("fd_prestat_get", 4, 0)
    steps.call("sock_shutdown", 1, 3)
    assert go(steps) == [BADF, BADF, BADF, BADF, BADF, NOTSOCK]


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_descriptors")
def test_descriptors_come_to_an_end_as_an_error_and_come_back(bench: Bench, tmp_path: Path) -> None:
    flood = """(local $n i32) (local $answer i32)
      (loop $more
        (local.set $answer (call $path_open (i32.const 3) (i32.const 0) (i32.const 4096) (i32.const 1) (i32.const 1)
          (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 8)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $more (i32.eqz (local.get $answer))))
      (local.get $answer)"""
    steps = Steps()
    steps.text("f")
    wat = steps.wat.replace('(export "go") (result )', f'(export "go") (result i32) {flood}')
    for _ in range(2):
        assert json.loads(bench.run(wat, tmp_path, function="go").value) in (MFILE, IO)


def test_a_sleep_takes_its_time_or_in_the_deterministic_profile_none(go: Any, deterministic: bool) -> None:
    steps = Steps()
    asleep = bytes(16) + (1).to_bytes(8, "little") + (300_000_000).to_bytes(8, "little") + bytes(16)
    where, _ = steps.text(asleep)
    before, after = steps.room(), steps.room()
    steps.call("clock_time_get", 1, 0, before)
    steps.call("poll_oneoff", where, steps.room(32), 1, count := steps.room())
    steps.load(count)
    steps.call("clock_time_get", 1, 0, after)
    spent = f"(i64.sub (i64.load (i32.const {after})) (i64.load (i32.const {before})))"
    steps.value(f"(i64.ge_u {spent} (i64.const 300000000))")
    steps.value(f"(i64.lt_u {spent} (i64.const 900000000))")
    began = time.monotonic()
    assert go(steps) == [OK, OK, 1, OK, 1, 1]
    assert (time.monotonic() - began < 0.25) is deterministic


def test_waiting_for_what_is_ready_does_not_wait(go: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    steps = Steps()
    clock = bytes(16) + (1).to_bytes(8, "little") + (10**12).to_bytes(8, "little") + bytes(16)
    stdout = (7).to_bytes(8, "little") + b"\2" + bytes(7) + (1).to_bytes(4, "little") + bytes(28)
    where, _ = steps.text(clock + stdout)
    events = steps.room(64)
    steps.call("poll_oneoff", where, events, 2, count := steps.room())
    steps.load(count)
    steps.load(events)
    steps.call("poll_oneoff", where, events, 0, count)
    began = time.monotonic()
    assert go(steps) == [OK, 1, 7, INVAL]
    assert time.monotonic() - began < 5


def test_a_command_finds_its_directory_as_root_and_nothing_else_open(go: Any) -> None:
    steps = Steps()
    steps.call("fd_prestat_get", HOME, kind := steps.room())
    steps.load(kind)
    steps.load(kind + 4)
    steps.call("fd_prestat_dir_name", HOME, name := steps.room(), 1)
    steps.load(name)
    steps.call("fd_prestat_get", HOME + 1, kind)
    assert go(steps) == [OK, 0, 1, OK, ord("/"), BADF]


def test_arguments_and_environment_are_those_of_the_payload(bench: Bench, deterministic: bool) -> None:
    steps = Steps()
    steps.call("args_sizes_get", count := steps.room(), size := steps.room())
    steps.load(count)
    steps.load(size)
    steps.call("environ_sizes_get", count, size)
    steps.load(count)
    wat = steps.wat
    ended = bench.run(wat, function="go", args=(), env={"A": "1", "B": "2"}, deterministic=deterministic)
    assert json.loads(ended.value) == [OK, 1, len("program") + 1, OK, 2]
