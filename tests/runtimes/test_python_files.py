"""Files of a python task: its inputs are where it starts, and what it writes there stays for the agent to collect."""

import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.python.runtime import Python, offer
from anchor.agent.workers.pool import Pool
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits

LACK = "" if importlib.util.find_spec("eryx") else offer()[1]

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(bool(LACK), reason=LACK)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def python(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Python]:
    assert offer()[0] is not None, offer()[1]
    runtime = Python(Pool(tmp_path_factory.mktemp("agent"), warm=1))
    await runtime.start()
    yield runtime
    await runtime.stop()


async def run(python: Python, directory: Path, source: str, disk_mib: int = 64) -> Ran:
    limits = ResolvedLimits(memory_mib=64, timeout_seconds=10, output_bytes=1000, disk_mib=disk_mib)
    payload = Payload(source_code=source, outputs=["*"])
    job = Job(task="task_1", attempt=1, payload=payload, limits=limits, directory=directory)
    return await python.run(job, lambda *_: None)


async def test_files_come_in_and_go_out(python: Python, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    (tmp_path / "own.py").write_text("def double(x): return 2 * x")
    source = """
import csv, os, own, tempfile
rows = list(csv.DictReader(open("data.csv")))
os.makedirs("out/deep")
with open("out/deep/x.txt", "w") as file: file.write("ü")
os.rename("data.csv", "out/data.csv")
with tempfile.TemporaryDirectory() as folder: open(folder + "/y", "w").close()
result = [rows, own.double(4), sorted(os.listdir("."))]
"""
    ran = await run(python, tmp_path, source)
    assert json.loads(ran.value) == [[{"a": "1", "b": "2"}], 8, ["out", "own.py"]], ran.reason
    assert (tmp_path / "out" / "deep" / "x.txt").read_text("utf-8") == "ü"
    assert (tmp_path / "out" / "data.csv").exists()
    assert not (tmp_path / "data.csv").exists()


async def test_files_stay_where_a_script_fails_or_is_stopped(python: Python, tmp_path: Path) -> None:
    for name, end in (("error", "1 / 0"), ("abort", "import os; os.abort()")):
        ran = await run(python, tmp_path, f"open('{name}', 'w').write('x')\n{end}")
        assert ran.reason is not None
        assert (tmp_path / name).read_text() == "x"


async def test_a_file_beyond_the_disk_limit_is_refused(python: Python, tmp_path: Path) -> None:
    source = "with open('big', 'wb') as file:\n    while True: file.write(b'x' * (1 << 20))"
    ran = await run(python, tmp_path, source, disk_mib=8)
    assert ran.reason is not None
    assert ran.reason.code in (FailureCode.SCRIPT_ERROR, FailureCode.DISK_LIMIT)
    assert (tmp_path / "big").stat().st_size <= 8 << 20


async def test_links_lead_nowhere_out_of_the_directory(python: Python, tmp_path: Path) -> None:
    inside = tmp_path / "job"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "link").symlink_to(tmp_path / "secret")
    for name in ("link", "../secret", str(tmp_path / "secret"), "/job/../secret"):
        ran = await run(python, inside, f"result = open({name!r}).read()")
        assert ran.reason is not None, ran.value
        assert ran.reason.code == FailureCode.SCRIPT_ERROR
