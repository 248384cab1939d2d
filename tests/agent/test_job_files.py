"""What goes into a job's directory and what comes out of it, whatever the job has put there."""

import asyncio
import os
import random
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from tests.agent.blob_server import BlobServer, blob_server, digest_of

from anchor.agent import parcels as parcels_module
from anchor.agent.files import outputs
from anchor.agent.files.outputs import OutputProblem
from anchor.agent.files.removal import remove
from anchor.agent.files.staging import stage
from anchor.agent.parcels import Parcels
from anchor.core.attempt import OutputFile
from anchor.core.errors import FailureCode

MIB = 1024 * 1024
SECRET = b"this is nobody's business"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels_module, "RETRY_SECONDS", 0.01)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    directory = tmp_path / "job"
    directory.mkdir()
    return directory


@asynccontextmanager
async def brought_to(blobs: BlobServer) -> AsyncIterator[Parcels]:
    parcels = Parcels()
    parcels.url, parcels.token = blobs.url, "token"
    try:
        yield parcels
    finally:
        await parcels.close()


def found(job: Path, *patterns: str, bytes_max: int = MIB) -> list[str]:
    return [one.name for one in outputs.find(job, patterns, bytes_max=bytes_max)]


def problem_of(job: Path, *patterns: str, bytes_max: int = MIB) -> tuple[FailureCode, str]:
    with pytest.raises(OutputProblem) as problem:
        outputs.find(job, patterns, bytes_max=bytes_max)
    assert str(job) not in problem.value.message
    return problem.value.code, problem.value.message


def test_inputs_are_copies_that_a_task_may_change(tmp_path: Path, job: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept" * 1000)
    old = os.umask(0o077)
    try:
        stage(job, {"in.csv": kept, "data/2024/a.csv": kept, "data/b.csv": kept})
    finally:
        os.umask(old)
    for name in ("in.csv", "data/2024/a.csv", "data/b.csv"):
        assert (job / name).read_bytes() == kept.read_bytes()
        assert (job / name).stat().st_ino != kept.stat().st_ino
        assert stat.S_IMODE((job / name).stat().st_mode) == 0o644
    assert stat.S_IMODE((job / "data" / "2024").stat().st_mode) == 0o755
    (job / "in.csv").write_bytes(b"changed")
    assert kept.read_bytes() == b"kept" * 1000


def test_an_empty_input_is_an_empty_file(tmp_path: Path, job: Path) -> None:
    (tmp_path / "kept").touch()
    stage(job, {"empty": tmp_path / "kept"})
    assert (job / "empty").read_bytes() == b""


@pytest.mark.parametrize("trap", ["folder", "file"])
def test_inputs_never_go_where_a_link_leads(tmp_path: Path, job: Path, trap: str) -> None:
    kept, outside = tmp_path / "kept", tmp_path / "outside"
    kept.write_bytes(b"kept")
    outside.mkdir()
    (job / "data").symlink_to(outside)
    with pytest.raises((NotADirectoryError, FileExistsError)):
        stage(job, {"data/in.csv" if trap == "folder" else "data": kept})
    assert list(outside.iterdir()) == []


def test_patterns_name_regular_files_in_order(job: Path) -> None:
    for name in ("b.txt", "a.txt", "plots/1.png", "plots/deep/er/2.png", ".hidden", ".git/config", "plots/.x.png"):
        (job / name).parent.mkdir(parents=True, exist_ok=True)
        (job / name).write_text(name)
    assert found(job, "*.txt") == ["a.txt", "b.txt"]
    assert found(job, "plots/*.png", "a.txt") == ["a.txt", "plots/1.png"]
    assert found(job, "plots/**/*.png") == ["plots/1.png", "plots/deep/er/2.png"]
    assert found(job, "**") == ["a.txt", "b.txt", "plots/1.png", "plots/deep/er/2.png"]
    assert found(job, ".hidden", ".git/*") == [".git/config", ".hidden"]
    assert found(job, "[!a].txt", "?.txt") == ["a.txt", "b.txt"]


def test_a_pattern_that_matches_nothing_says_what_there_is(job: Path) -> None:
    assert problem_of(job, "*.png") == (
        FailureCode.OUTPUT_MISSING,
        "No file matches the output pattern *.png; the directory holds nothing.",
    )
    (job / "plots").mkdir()
    (job / "a.txt").touch()
    code, message = problem_of(job, "*.txt", "plots")
    assert code is FailureCode.OUTPUT_MISSING
    assert "pattern plots ('plots' is a folder, whose files are matched by its name and /**)" in message
    assert message.endswith("the directory holds a.txt, plots/.")


def test_links_and_what_is_no_file_are_never_read(tmp_path: Path, job: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(SECRET)
    (job / "link").symlink_to(secret / "key")
    (job / "folder").symlink_to(secret)
    os.mkfifo(job / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(job)
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        for pattern, why in (
            ("link", "is a link, which is not followed"),
            ("pipe", "is no regular file"),
            ("socket", "is no regular file"),
            ("folder", "is a link"),
            ("folder/key", "No file matches"),
            ("**", "is "),
        ):
            code, message = problem_of(job, pattern)
            assert code is FailureCode.OUTPUT_MISSING
            assert why in message


def test_outputs_are_bounded_in_number_size_and_length_of_their_names(job: Path) -> None:
    for number in range(201):
        (job / f"{number}.txt").touch()
    assert problem_of(job, "*.txt")[0] is FailureCode.OUTPUT_LIMIT
    with (job / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert problem_of(job, "sparse")[0] is FailureCode.DISK_LIMIT
    deep = job / "/".join(["d" * 60] * 5)
    deep.mkdir(parents=True)
    (deep / "x").touch()
    code, message = problem_of(job, "d*/**")
    assert code is FailureCode.OUTPUT_LIMIT
    assert "at most 255 are allowed" in message


def test_names_that_no_reader_could_trust_are_refused(job: Path) -> None:
    for name, why in ((b"\xff.bin", "is not UTF-8"), (b"a\nb.bin", "control character"), (b"c\\d.bin", "backslash")):
        path = os.fsencode(job) + b"/" + name
        with open(path, "wb"):
            pass
        code, message = problem_of(job, "*.bin")
        assert (code, why in message) == (FailureCode.RESULT_INVALID, True)
        os.unlink(path)


def test_a_tree_too_large_to_look_through_is_not_looked_through(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "ENTRIES_MAX", 1000)
    for number in range(1001):
        (job / str(number)).touch()
    assert problem_of(job, "1")[0] is FailureCode.OUTPUT_LIMIT


def keep(
    job: Path, patterns: Sequence[str], blobs: BlobServer, bytes_max: int = 64 * MIB
) -> "asyncio.Task[tuple[OutputFile, ...]]":
    async def run() -> tuple[OutputFile, ...]:
        async with brought_to(blobs) as parcels:
            return await outputs.keep(job, patterns, parcels, bytes_max=bytes_max)

    return asyncio.create_task(run())


@pytest.mark.anyio
async def test_outputs_are_blobs_of_the_server_and_those_it_has_are_not_sent_again(job: Path) -> None:
    (job / "a").write_bytes(b"one")
    (job / "b").write_bytes(b"two")
    (job / "c").write_bytes(b"")
    async with blob_server() as blobs:
        blobs.add(b"two")
        files = await keep(job, ["*"], blobs)
        assert [(file.name, file.sha256, file.size) for file in files] == [
            ("a", digest_of(b"one"), 3), ("b", digest_of(b"two"), 3), ("c", digest_of(b""), 0),
        ]  # fmt: skip
        assert set(blobs.blobs.values()) == {b"one", b"two", b""}
        assert blobs.bytes_in == 3


@pytest.mark.anyio
async def test_a_large_output_goes_on_where_the_line_was_cut(job: Path) -> None:
    content = random.Random(1).randbytes(20 * MIB)
    (job / "large").write_bytes(content)
    async with blob_server() as blobs:
        blobs.cuts = [3 * MIB, 9 * MIB, 5 * MIB]
        [file] = await keep(job, ["large"], blobs)
        assert blobs.blobs[file.sha256] == content
        assert blobs.bytes_in < len(content) + 1 * MIB


@pytest.mark.anyio
async def test_an_output_that_the_server_does_not_take_fails_the_attempt_with_its_words(job: Path) -> None:
    (job / "large").write_bytes(b"x")
    async with blob_server() as blobs:
        blobs.refuses = 413
        with pytest.raises(OutputProblem, match=r"large was not kept: .* Too large\."):
            await keep(job, ["large"], blobs)


@contextmanager
def in_a_thread(act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again until the context is left."""
    enough = threading.Event()

    def run() -> None:
        while not enough.is_set():
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["folder", "file"])
async def test_a_task_that_swaps_outputs_for_links_gets_nothing_from_outside(
    tmp_path: Path, job: Path, what: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(SECRET)
    (job / "out").mkdir()
    (job / "out" / "key").write_bytes(b"harmless")
    target, trap, aside = (
        (job / "out", secret, tmp_path / "aside")
        if what == "folder"
        else (job / "out" / "key", secret / "key", tmp_path / "aside")
    )

    def swap() -> None:
        target.rename(aside)
        target.symlink_to(trap)
        target.unlink()
        aside.rename(target)

    outcomes = set()
    async with blob_server() as blobs, brought_to(blobs) as parcels:
        with in_a_thread(swap):
            for _ in range(150):
                try:
                    await outputs.keep(job, ["out/*"], parcels, bytes_max=MIB)
                    outcomes.add("kept")
                except OutputProblem as problem:
                    outcomes.add(problem.code)
        assert set(blobs.blobs.values()) <= {b"harmless"}
    assert FailureCode.OUTPUT_MISSING in outcomes <= {FailureCode.OUTPUT_MISSING, "kept"}


@pytest.mark.anyio
async def test_a_file_that_is_written_to_while_it_is_read_is_an_error_that_says_so(job: Path) -> None:
    (job / "log").write_bytes(bytes(30 * MIB))

    def grow() -> None:
        with (job / "log").open("ab") as file:
            file.write(b"x")

    async with blob_server() as blobs:
        with in_a_thread(grow), pytest.raises(OutputProblem, match="changed or went away while it was collected"):
            await keep(job, ["log"], blobs)


@pytest.mark.anyio
async def test_who_is_cancelled_in_the_middle_of_an_upload_leaves_no_open_file(job: Path) -> None:
    (job / "large").write_bytes(bytes(20 * MIB))
    async with blob_server() as blobs:
        keeping = keep(job, ["large"], blobs)
        async with asyncio.timeout(20):
            while not blobs.bytes_in:  # noqa: ASYNC110 - the other side of a socket tells no event
                await asyncio.sleep(0.001)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
    assert open_below(job) == []


def test_a_directory_that_was_replaced_by_a_link_is_neither_followed_nor_left(tmp_path: Path, job: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "key").write_bytes(SECRET)
    job.rmdir()
    job.symlink_to(outside)
    with pytest.raises(OutputProblem, match="changed or went away"):
        outputs.find(job, ["*"], bytes_max=MIB)
    remove(job)
    assert not job.is_symlink()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert (outside / "key").exists()
    remove(job)


def open_below(directory: Path) -> list[str]:
    """The files there that this process has open, where the system tells."""
    own = Path("/proc/self/fd")
    files = [os.path.realpath(fd) for fd in own.iterdir()] if own.exists() else []
    return [file for file in files if file.startswith(str(directory))]


def test_a_tree_of_any_depth_and_any_permissions_is_removed(tmp_path: Path, job: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "stays").touch()
    here = os.getcwd()
    os.chdir(job)
    try:
        for _ in range(3000):
            os.mkdir("d" * 50)
            os.chdir("d" * 50)
        Path("file").touch()
    finally:
        os.chdir(here)
    (job / "link").symlink_to(outside)
    (job / "closed" / "inner").mkdir(parents=True)
    (job / "closed" / "inner" / "file").touch()
    (job / "closed" / "inner").chmod(0o000)
    (job / "closed").chmod(0o500)
    job.chmod(0o000)
    remove(job)
    assert not job.exists()
    assert (outside / "stays").exists()
