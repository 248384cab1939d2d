"""Compiled modules on the agent's disk: what is kept, what is believed, what goes first."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anchor.agent.runtimes.wasm.kept import KeptModules
from anchor.agent.workers.frames import Program

FRESH: Any = SimpleNamespace(fresh=True, modules=[])
USED: Any = SimpleNamespace(fresh=False, modules=[])


def program(digest: bytes) -> Program:
    return Program(digest, b"module", None, [], {}, b"", 16, 1.0, 100)


def kept(folder: Path, bytes_max: int = 1 << 20) -> KeptModules:
    modules = KeptModules(folder, bytes_max)
    modules.open()
    return modules


def test_only_a_worker_that_never_ran_anything_is_asked_for_what_it_compiled(tmp_path: Path) -> None:
    modules = kept(tmp_path)
    assert modules.likes(program(b"a"), FRESH)
    assert not modules.likes(program(b"a"), USED)
    assert modules.fit(program(b"a"), FRESH).keep
    assert not modules.fit(program(b"a"), USED).keep


def test_what_was_kept_is_handed_to_every_worker_and_by_later_lives_too(tmp_path: Path) -> None:
    kept(tmp_path).keep(b"a", b"code")
    modules = kept(tmp_path)
    for worker in (FRESH, USED):
        fitted = modules.fit(program(b"a"), worker)
        assert (fitted.compiled, fitted.module, fitted.keep) == (b"code", b"module", False)
    assert not modules.likes(program(b"a"), FRESH)
    assert modules.fit(program(b"b"), USED).compiled == b""


def test_a_worker_that_holds_the_module_is_sent_nothing_of_it(tmp_path: Path) -> None:
    holder: Any = SimpleNamespace(fresh=False, modules=[b"a"])
    for modules in (kept(tmp_path), KeptModules(None)):
        assert modules.likes(program(b"a"), holder)
        fitted = modules.fit(program(b"a"), holder)
        assert (fitted.module, fitted.compiled, fitted.keep) == (b"", b"", False)


def test_without_a_folder_nothing_is_kept() -> None:
    modules = KeptModules(None)
    modules.open()
    assert not modules.fit(program(b"a"), FRESH).keep
    assert not modules.likes(program(b"a"), FRESH)


@pytest.mark.parametrize("harm", ["changed", "cut", "swapped", "empty", "gone", "another key"])
def test_what_is_not_exactly_what_was_written_is_not_believed(tmp_path: Path, harm: str) -> None:
    modules = kept(tmp_path)
    modules.keep(b"a", b"code of a")
    modules.keep(b"b", b"code of b")
    first, second = sorted(tmp_path.glob("*.compiled"), key=lambda file: file.read_bytes()[-1:])
    match harm:
        case "changed":
            first.write_bytes(first.read_bytes()[:-1] + b"x")
        case "cut":
            first.write_bytes(first.read_bytes()[:20])
        case "swapped":
            first.write_bytes(second.read_bytes())
        case "empty":
            first.write_bytes(b"")
        case "gone":
            first.unlink()
        case "another key":
            (tmp_path / "key").write_bytes(bytes(32))
            modules = kept(tmp_path)
    fitted = modules.fit(program(b"a"), FRESH)
    assert (fitted.compiled, fitted.keep) == (b"", True)
    modules.keep(b"a", b"code of a")
    assert modules.fit(program(b"a"), FRESH).compiled == b"code of a"


def test_the_module_that_was_not_used_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    modules = kept(tmp_path, 350)
    for name in (b"a", b"b", b"c"):
        modules.keep(name, bytes(80))
    assert modules.fit(program(b"a"), USED).compiled
    modules.keep(b"d", bytes(80))
    assert [bool(modules.fit(program(name), USED).compiled) for name in (b"a", b"b", b"c", b"d")] == [1, 0, 1, 1]
    assert sum(file.stat().st_size for file in tmp_path.glob("*.compiled")) <= 350
    modules.keep(b"e", bytes(400))
    assert not modules.fit(program(b"e"), USED).compiled


def test_what_an_earlier_life_left_unfinished_is_swept(tmp_path: Path) -> None:
    (tmp_path / "0011.unfinished").write_bytes(b"half")
    (tmp_path / "key").write_bytes(b"short")
    modules = kept(tmp_path)
    modules.keep(b"a", b"code")
    assert modules.fit(program(b"a"), USED).compiled == b"code"
    assert list(tmp_path.glob("*.unfinished")) == []


def test_a_folder_that_cannot_be_made_costs_the_keeping_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    modules = kept(tmp_path / "file" / "modules")
    fitted = modules.fit(program(b"a"), FRESH)
    assert (fitted.compiled, fitted.keep) == (b"", False)
