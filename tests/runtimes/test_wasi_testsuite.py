"""The public test suite of WASI preview 1, built modules of it, in the engine as it runs in workers."""

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.runtimes.wasm_steps import Bench

FOLDER = os.environ.get("ANCHOR_TEST_WASI_TESTSUITE", "")
MODULES = sorted(Path(FOLDER).glob("**/testsuite/wasm32-wasip1/*.wasm")) if FOLDER else []

pytestmark = pytest.mark.skipif(
    not FOLDER, reason="set ANCHOR_TEST_WASI_TESTSUITE to the folder tests of WebAssembly/wasi-testsuite, built"
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def test_there_are_modules_in_the_folder() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("deterministic", [False, True], ids=["plain", "deterministic"])
@pytest.mark.parametrize("module", MODULES, ids=lambda module: f"{module.parts[-4]}-{module.stem}")
def test_the_public_suite_passes(bench: Bench, tmp_path: Path, module: Path, deterministic: bool) -> None:
    described = module.with_suffix(".json")
    wanted = json.loads(described.read_text()) if described.exists() else {}
    home: Path | None = None
    if wanted.get("root"):
        home = tmp_path / "home"
        given = module.parent / wanted["root"]
        if given.exists():
            shutil.copytree(given, home)
        else:
            home.mkdir()
    ended = bench.run(
        module.read_bytes(),
        home,
        args=tuple(wanted.get("args", ())),
        env=wanted.get("env", {}),
        deterministic=deterministic,
        memory=256,
    )
    code = wanted.get("exit_code", 0)
    if code:
        assert ended.message.startswith(f"The program exited with code {code}")
    else:
        assert ended.code is None, f"{ended.message}\n{bench.said['stderr']}"
    if "stdout" in wanted:
        assert bench.said["stdout"] == wanted["stdout"]
