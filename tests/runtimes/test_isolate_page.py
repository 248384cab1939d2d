"""The code on docs/isolate.md does what the page says."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from anchor.agent.job import Job
from anchor.agent.runtimes.isolate.runtime import Isolate
from anchor.agent.workers.pool import Pool
from anchor.core.spec import Payload, ResolvedLimits

PAGE = (Path(__file__).parents[2] / "docs" / "isolate.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```js\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def isolate(anyio_backend: str) -> AsyncIterator[Isolate]:
    runtime = Isolate(Pool(warm=1))
    await runtime.start()
    yield runtime
    await runtime.stop()


def test_the_page_has_examples() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0])
async def test_an_example_does_what_the_page_says(isolate: Isolate, block: str, tmp_path: Path) -> None:
    notes = re.findall(r"^// (\w+)(?: ([\w./]+))?: (.*)$", block, re.MULTILINE)
    told = {word: text for word, _, text in notes}
    files = {name: text for word, name, text in notes if word == "file"}
    modules = {name: text for word, name, text in notes if word == "module"}
    directory = tmp_path / "job"
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True)
        (directory / name).write_text(text)
    job = Job(
        task="task_000000000000h",
        attempt=1,
        payload=Payload(
            source_code=block,
            input=json.loads(told.get("input", "null")),
            modules=modules,
            files=dict.fromkeys(files, "sha256:" + "0" * 64),
        ),
        limits=ResolvedLimits(128, 10.0, 1 << 20),
        directory=directory,
    )
    ran = await isolate.run(job, lambda stream, text: None)
    if "error" in told:
        assert ran.reason is not None
        assert ran.reason.message == told["error"]
    else:
        assert ran.reason is None
        assert json.loads(ran.value) == json.loads(told["result"])
