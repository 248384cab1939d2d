"""The SDK's types: what a function returns is what its future gives, and a wrong word among the options is noticed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import anchor
from anchor import client

PROGRAM = """
import anchor


def square(number: int) -> int:
    return number * number


async def half(number: int) -> float:
    return number / 2


def program(client: anchor.Client) -> None:
    reveal_type(client.submit(square, 7, requirements=["numpy"]).result())
    reveal_type(client.submit(half, 7).result())
    reveal_type(client.gather(client.map(square, [1, 2])))
    reveal_type(client.submit("return 1", runtime="isolate").result())
    reveal_type(client.submit({"name": "t", "type": "noop"}).id)
    client.submit(square, 7, runtme="native")


async def twin(client: anchor.AsyncClient) -> None:
    reveal_type(await (await client.submit(half, 7)))
    reveal_type([await one async for one in client.as_completed(await client.map(square, [1]))])
"""
REVEALED = ["int", "float", "list[int]", "Any", "str", "float", "list[int]"]


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed here")
def test_a_type_checker_sees_through_futures(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    line = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"]
    ran = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    said = ran.stdout.replace("builtins.", "")
    revealed = [part.split('"')[1] for part in said.splitlines() if "Revealed type" in part]
    assert revealed == REVEALED, ran.stdout + ran.stderr
    wrong = PROGRAM.splitlines().index('    client.submit(square, 7, runtme="native")') + 1
    assert {part.split(":")[1] for part in said.splitlines() if ": error:" in part} == {str(wrong)}, ran.stdout


def test_the_package_offers_the_names_that_it_types() -> None:
    stub = Path(anchor.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    names = {line.rpartition(" as ")[2] for line in stub.splitlines() if " as " in line}
    assert names == anchor._SDK  # type: ignore[attr-defined]
    assert all(getattr(anchor, name) is getattr(client, name) for name in names)
