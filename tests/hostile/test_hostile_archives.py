"""Archives made to do harm: each is refused with the entry named, within bounds, and nothing is written outside."""

import contextlib
import gzip
import io
import random
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from anchor.core.errors import InvalidRequest
from anchor.wire import source_archive
from anchor.wire.source_archive import SourceArchive, opened
from anchor.wire.source_packing import packed, packed_files

Member = tuple[str, bytes]


def tar(members: Iterable[Member | tarfile.TarInfo], *, zipped: bool = True) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz" if zipped else "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return made.getvalue()


def zipped(members: Iterable[Member], mode: int = 0o100644) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members:
            info = zipfile.ZipInfo(path)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return made.getvalue()


def special(path: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


def link(path: str, target: str) -> tarfile.TarInfo:
    return special(path, tarfile.SYMTYPE, target)


def refusal_of(content: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as told:
        opened(io.BytesIO(content))
    assert told.value.code == "bad_archive"
    assert told.value.hint
    return told.value


@pytest.mark.parametrize(
    "path",
    [
        "../out",
        "a/../../out",
        "/etc/out",
        "a/./../..//out",
        "C:/out",
        "c:out",
        "a\nb",
        "\x1b[2J",
        "a/" * 51 + "x",
        "n" * 256,
    ],
)
@pytest.mark.parametrize("make", [tar, zipped])
def test_a_path_that_leads_out_or_is_none_is_refused_by_name(path: str, make: object) -> None:
    error = refusal_of(make([("fine", b"1"), (path, b"2")]))  # type: ignore[operator]
    assert ascii(path)[1:20] in error.message
    assert "\n" not in error.message
    assert "\x1b" not in error.message


def test_backslashes_lead_nowhere_either() -> None:
    assert "leads out" in refusal_of(zipped([("a\\..\\..\\out", b"")])).message
    assert "backslash" in refusal_of(tar([("a\\..\\out", b"")])).message


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("l", "/etc/passwd"),
        ("l", "../out"),
        ("a/l", "../../out"),
        ("a/l", "b/../../../out"),
        ("l", "a/.."),
        ("l", ""),
        ("l", "x" * 2000),
    ],
)
def test_a_link_that_may_lead_out_is_refused(path: str, target: str) -> None:
    assert "link" in refusal_of(tar([("fine", b""), link(path, target)])).message
    zip_error = refusal_of(zipped([("l", b"../../etc/passwd")], mode=0o120777))
    assert "link" in zip_error.message


def test_links_over_links_stay_inside(tmp_path: Path) -> None:
    content = tar([("./d1/d2/f", b"in"), link("./d1/d2/up", "../.."), link("./y", "d1/d2/up/d1/d2/f")])
    opened(io.BytesIO(content)).extract_to(tmp_path)
    assert (tmp_path / "y").read_bytes() == b"in"
    refusal_of(tar([("./d1/d2/f", b""), link("./d1/d2/up", "../.."), link("./y", "d1/d2/up/../out")]))


def test_nothing_is_written_through_a_link() -> None:
    error = refusal_of(tar([link("./a", "b"), ("./b/x", b""), ("./a/x", b"")]))
    assert "which is no folder" in error.message


def test_a_single_folder_around_everything_is_left_out_and_links_out_of_it_are_refused() -> None:
    assert opened(io.BytesIO(tar([("app-1.2/package.json", b"{}")]))).files == {"package.json": b"{}"}
    refusal_of(tar([("app-1.2/x", b""), link("app-1.2/l", "../y")]))
    assert set(opened(io.BytesIO(tar([("./app/x", b"")]))).files) == {"app/x"}
    assert set(opened(io.BytesIO(zipped([("a/x", b""), ("__MACOSX/a/._x", b"")]))).files) == {"x"}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE])
def test_devices_pipes_and_hard_links_are_refused(kind: bytes) -> None:
    assert "'x'" in refusal_of(tar([("fine", b""), special("x", kind, "fine")])).message


def test_a_device_in_a_zip_is_refused() -> None:
    assert "neither a file nor a folder" in refusal_of(zipped([("x", b"")], mode=0o020666)).message


def test_the_same_path_twice_is_refused() -> None:
    assert "twice" in refusal_of(tar([("a", b"1"), ("b", b""), ("./a", b"2")])).message
    assert "twice" in refusal_of(tar([("a", b"1"), ("b", b""), special("a", tarfile.DIRTYPE)])).message


def test_a_bomb_is_given_up_long_before_it_has_unpacked() -> None:
    zeros = bytes(64 * 1024 * 1024)
    for bomb in (zipped([("bomb", zeros)]), tar([("bomb", zeros)])):
        assert len(bomb) < 100_000
        tracemalloc.start()
        began = time.perf_counter()
        assert "unpacks to more than" in refusal_of(bomb).message
        assert time.perf_counter() - began < 2
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
        tracemalloc.stop()


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_archive, "ENTRIES_MAX", 50)
    many = [(f"f{at}", b"") for at in range(51)]
    assert "more than 50 entries" in refusal_of(zipped(many)).message
    assert "more than 50 entries" in refusal_of(tar(many)).message
    assert len(opened(io.BytesIO(tar(many[:50]))).files) == 50


def test_a_header_made_to_fill_memory_is_refused() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        name = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
        name.size = 8 * 1024 * 1024
        archive.addfile(name, io.BytesIO(random.Random(1).randbytes(name.size)))
    refusal_of(made.getvalue())


def test_headers_upon_headers_are_refused() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for _ in range(2000):
            header = special("x", tarfile.XHDTYPE)
            header.size = 10
            archive.addfile(header, io.BytesIO(b"10 path=x\n"))
        archive.addfile(special("y", tarfile.REGTYPE))
    refusal_of(made.getvalue())


def test_a_zip_that_lies_about_a_size_or_hides_something_is_refused() -> None:
    honest = bytearray(zipped([("x", b"y" * 1000)]))
    central = honest.find(b"PK\x01\x02")
    for change in (999, 1001):
        lying = bytearray(honest)
        struct.pack_into("<L", lying, central + 24, change)
        assert "'x'" in refusal_of(bytes(lying)).message
    encrypted = bytearray(honest)
    struct.pack_into("<H", encrypted, central + 8, 1)
    assert "encrypted" in refusal_of(bytes(encrypted)).message
    elsewhere = bytearray(honest)
    struct.pack_into("<L", elsewhere, central + 42, 7)
    assert "not where its directory says" in refusal_of(bytes(elsewhere)).message


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"PK\x03\x04", b"\x1f\x8b", b"nonsense" * 200, gzip.compress(b"x", mtime=0), bytes(1024)]
)
def test_what_is_no_archive_is_told_so(content: bytes) -> None:
    refusal_of(content)


@pytest.mark.parametrize("make", [tar, zipped])
def test_whatever_is_damaged_ends_in_a_refusal_or_in_files(make: object, tmp_path: Path) -> None:
    whole = make([("a/b.txt", b"hello" * 50), ("c", b"")])  # type: ignore[operator]
    chance = random.Random(7)
    for at in range(400):
        broken = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        cut = bytes(broken[: chance.randrange(len(broken))] if at % 3 == 0 else broken)
        folder = tmp_path / str(at)
        folder.mkdir()
        with contextlib.suppress(InvalidRequest):
            SourceArchive(io.BytesIO(cut)).extract_to(folder)
    assert {path.name for path in tmp_path.iterdir()} == {str(at) for at in range(400)}


def test_a_folder_is_packed_the_same_each_time_and_comes_out_as_it_was(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "bin").mkdir(parents=True)
    (app / "bin/run").write_text("#!/bin/sh\n")
    (app / "bin/run").chmod(0o755)
    (app / "data").mkdir()
    (app / "data/ü.txt").write_text("x" * 300_000)
    (app / "link").symlink_to("bin/run")
    for name in (".env", "node_modules/a.js", ".git/config", "keep.log", "drop.log", "deep/build/x", "build/x"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("")
    (app / ".gitignore").write_text("*.log\n!keep.log\n/build/\n# no\n")
    first, second = io.BytesIO(), io.BytesIO()
    told = packed(app, first)
    (app / "data/ü.txt").touch()
    packed(app, second)
    assert first.getvalue() == second.getvalue()
    assert set(told.ignored) == {".env", "node_modules/", ".git/", "drop.log", "build/"}
    out = tmp_path / "out"
    out.mkdir()
    archive = opened(first)
    archive.extract_to(out)
    assert set(archive.files) == {".gitignore", "bin/run", "data/ü.txt", "link", "keep.log", "deep/build/x"}
    assert (out / "link").read_text() == "#!/bin/sh\n"
    assert (out / "bin/run").stat().st_mode & 0o111
    assert not (out / "data/ü.txt").stat().st_mode & 0o111
    assert told.files == 5


def test_a_link_out_of_a_folder_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "app/l").symlink_to("../secret")
    with pytest.raises(InvalidRequest, match="l is a link that leads out"):
        packed(tmp_path / "app", io.BytesIO())


def test_files_given_as_text_are_read_like_any_other_archive() -> None:
    assert opened(io.BytesIO(packed_files({"app.py": "1", "a/b": b"2"}))).files == {"app.py": b"1", "a/b": None}
    refusal_of(packed_files({"../x": ""}))
