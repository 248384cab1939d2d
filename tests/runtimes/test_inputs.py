"""Inputs by name in every runtime, and how values and blobs become the one JSON object that code is given."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.blob_server import blob_server
from tests.runtimes.native_bench import value_of
from wasmtime import wat2wasm

from anchor.agent.files import named
from anchor.agent.files.inputs import Inputs
from anchor.agent.job import Job, Ran, Runtime
from anchor.agent.parcels import Parcels
from anchor.agent.runtimes.container.engine import INPUTS, Container, Engine, run_line
from anchor.agent.runtimes.isolate.runtime import Isolate
from anchor.agent.runtimes.native.runtime import Native
from anchor.agent.runtimes.python.runtime import Python
from anchor.agent.runtimes.wasm.runtime import Wasm
from anchor.agent.sandbox.probe import probe
from anchor.agent.workers.pool import Pool
from anchor.core.errors import FailureCode
from anchor.core.inputs import InputValue
from anchor.core.spec import Payload, ResolvedLimits

pytestmark = pytest.mark.anyio

GIVEN = {"fetch": {"rows": [1, 2, 3]}, "the mean": 2.5, "__proto__": "ü", "nothing": None}
TEXT = json.dumps(GIVEN, ensure_ascii=False).encode()
needs_native = pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined")
CAT = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "inputs.json")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 11) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
    (i32.store (i32.const 8) (i32.const 1024))
    (i32.store (i32.const 12) (i32.const 32768))
    (drop (call $read (i32.load (i32.const 0)) (i32.const 8) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 12) (i32.load (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"""
"""A command that prints what is in inputs.json."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def pool(anyio_backend: str) -> AsyncIterator[Pool]:
    pool = Pool(warm=2)
    await pool.start()
    yield pool
    await pool.stop()


def job(directory: Path, inputs: bytes, *, module: bytes = b"", **payload: Any) -> Job:
    directory.mkdir(exist_ok=True)
    limits = ResolvedLimits(128, 20.0, 1 << 20)
    return Job(
        task="task_1",
        attempt=1,
        payload=Payload(**payload),
        limits=limits,
        directory=directory,
        inputs=inputs,
        module=module,
    )


async def answer(runtime: Runtime, given: Job) -> Any:
    return value_of(await runtime.run(given, lambda *_: None))


async def printed(runtime: Runtime, given: Job) -> str:
    chunks: list[str] = []
    await runtime.run(given, lambda _, text: chunks.append(text))
    return "".join(chunks)


async def test_a_script_in_an_isolate_has_its_inputs_and_an_empty_object_without_any(
    pool: Pool, tmp_path: Path
) -> None:
    isolate = Isolate(pool)
    assert await answer(isolate, job(tmp_path, TEXT, source_code="return inputs")) == GIVEN
    source = "inputs.fetch.rows.push(4); return [inputs.fetch.rows.length, Object.keys(inputs), inputs === inputs]"
    assert await answer(isolate, job(tmp_path, TEXT, source_code=source)) == [4, list(GIVEN), True]
    assert await answer(isolate, job(tmp_path, b"", source_code="return inputs")) == {}
    assert await answer(isolate, job(tmp_path, TEXT, source_code="inputs = 7; return inputs")) == 7
    assert await answer(isolate, job(tmp_path, TEXT, source_code="const inputs = 8; return inputs")) == 8
    both = job(tmp_path, TEXT, source_code="export default (given) => [given, inputs['the mean']]", input=1)
    assert await answer(isolate, both) == [1, 2.5]


@pytest.mark.skipif(importlib.util.find_spec("eryx") is None, reason="no pyeryx here: it needs Python 3.12")
async def test_sandboxed_python_has_its_inputs(pool: Pool, tmp_path: Path) -> None:
    python = Python(pool)
    assert await answer(python, job(tmp_path, TEXT, source_code="result = [input, inputs]", input=1)) == [1, GIVEN]
    assert await answer(python, job(tmp_path, b"", source_code="def main(): return inputs")) == {}


async def test_a_wasm_command_finds_its_inputs_in_a_file_of_its_directory(pool: Pool, tmp_path: Path) -> None:
    module = bytes(wat2wasm(CAT))
    wasm = Wasm(pool)
    assert await answer(wasm, job(tmp_path / "a", TEXT, module=module)) == GIVEN
    clash = await wasm.run(job(tmp_path / "b", TEXT, module=module, files={"inputs.json": "sha256:…"}), lambda *_: None)
    assert clash.reason is not None
    assert clash.reason.code == FailureCode.INVALID_PAYLOAD


@needs_native
async def test_native_scripts_and_commands_have_their_inputs(tmp_path: Path) -> None:
    native = Native(tmp_path / "agent")
    await native.start()
    jobs = [
        job(tmp_path / "p", TEXT, language="python", source_code="def main(given): return [given, inputs]", input=1),
        job(tmp_path / "q", b"", language="python", source_code="result = [input, inputs]", input=1),
        job(tmp_path / "j", TEXT, language="javascript", source_code="return [input, inputs]", input=1),
    ]
    commands = [
        job(tmp_path / "c", TEXT, command=["sh", "-c", "cat $ANCHOR_INPUTS"]),
        job(tmp_path / "d", b"", command=["sh", "-c", "echo ${ANCHOR_INPUTS-none}"]),
    ]
    try:
        found = await asyncio.gather(*(answer(native, one) for one in jobs))
        said = await asyncio.gather(*(printed(native, one) for one in commands))
    finally:
        await native.stop()
    assert found == [[1, GIVEN], [1, {}], [1, GIVEN]]
    assert said == [TEXT.decode(), "none\n"]


def test_a_container_sees_the_file_of_its_inputs_and_cannot_write_it() -> None:
    container = Container(
        name="a",
        label="b",
        image="alpine:3",
        command=[],
        directory=Path("/jobs/1"),
        variables=Path("/variables"),
        memory_mib=64,
        timeout_seconds=2,
        network=False,
        has_stdin=False,
        inputs=Path("/control/inputs.json"),
    )
    assert f"/control/inputs.json:{INPUTS}:ro" in run_line(Engine("docker", "/usr/bin/docker", "5"), container)


async def test_values_and_blobs_become_one_object_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "VALUES_BYTES_MAX", 100)
    parcels = Parcels()
    async with blob_server() as blobs:
        parcels.url, parcels.token = blobs.url, "token"
        kept = Inputs(tmp_path / "inputs", parcels, bytes_max=1 << 20)
        exact = b'{"exact": 1.00000000000000000001}'
        large = "sha256:" + blobs.add(exact)
        given = {'a "b"': InputValue(value=[1, None]), "large": InputValue(blob=large), "again": InputValue(blob=large)}
        for _ in range(2):
            assert await named.spliced(given, kept) == b'{"a \\"b\\"":[1,null],"large":%b,"again":%b}' % (exact, exact)
        assert blobs.asked["GET"] == 1

        async def refusal(content: bytes) -> str:
            ran = await named.spliced({"x": InputValue(blob="sha256:" + blobs.add(content))}, kept)
            assert isinstance(ran, Ran)
            assert ran.reason is not None
            assert ran.reason.code == FailureCode.INVALID_PAYLOAD
            return ran.reason.message

        assert "is not JSON" in await refusal(b'1, "y": 2')
        assert "is not JSON" in await refusal(b"")
        assert "more than the" in await refusal(b"1" * 101)
    await parcels.close()
