"""The wasm runtime, with real worker processes: commands, exported functions, and every way in which they can end."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.wasm_steps import CREATE, Steps
from wasmtime import wat2wasm

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.wasm.runtime import Wasm, offer
from anchor.agent.workers.frames import MODULE_BYTES_MAX
from anchor.agent.workers.pool import Pool
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits

pytestmark = pytest.mark.anyio

PRIMES = Path(__file__).parents[2] / "examples" / "wasi" / "primes.wasm"

FUNCTIONS = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "nan") (result f64) (f64.div (f64.const 0) (f64.const 0)))
  (func (export "pair") (param i64) (result i32 i64) i32.const 1 local.get 0)
  (func (export "nothing"))
  (func (export "reference") (param externref))
  (func (export "forever") (loop (br 0)))
  (func $divide (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "trap") (result i32) (call $divide (i32.const 0)))
  (func $deep (export "deep") (call $deep)))"""


def writer(text: str, *, descriptor: int = 1, forever: bool = False, then: str = "") -> str:
    """A command that writes `text`; it must be free of characters that WAT escapes."""
    write = f"(drop (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 8)))"
    return f"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 16) "{text}")
      (func (export "_start")
        (i32.store (i32.const 0) (i32.const 16))
        (i32.store (i32.const 4) (i32.const {len(text)}))
        {f"(loop {write} (br 0))" if forever else write}
        {then}))"""


def long_to_compile(functions: int) -> bytes:
    """A module of many functions, each of them a few additions."""

    def number(value: int) -> bytes:
        return bytes([value & 127 | 128]) + number(value >> 7) if value > 127 else bytes([value])

    def section(kind: int, content: bytes) -> bytes:
        return bytes([kind]) + number(len(content)) + content

    body = b"\0" + bytes([0x41, 1, 0x41, 2, 0x6A, 0x1A]) * 40 + b"\x0b"
    return (
        b"\0asm\1\0\0\0"
        + section(1, b"\1\x60\0\0")
        + section(3, number(functions) + bytes(functions))
        + section(10, number(functions) + (number(len(body)) + body) * functions)
    )


SLEEP = """
  (i64.store (i32.const 1024) (i64.const 0)) (i32.store8 (i32.const 1032) (i32.const 0))
  (i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 600000000))
  (drop (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 4096)))"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where jobs have their directories, as the executor makes them."""
    Homes.folder = tmp_path_factory.mktemp("homes")
    return Homes.folder


class Homes:
    folder: Path
    given = itertools.count()

    @classmethod
    def next(cls) -> Path:
        home = cls.folder / str(next(cls.given))
        home.mkdir()
        return home


@pytest.fixture(scope="module")
async def wasm(anyio_backend: str) -> AsyncIterator[Wasm]:
    runtime = Wasm(Pool(warm=2))
    await runtime.start()
    yield runtime
    await runtime.stop()


def job(
    module: str | bytes,
    *,
    memory: int = 64,
    seconds: float = 10.0,
    output: int = 1 << 20,
    fuel: int = 0,
    **payload: Any,
) -> Job:
    return Job(
        task="task_000000000000h",
        attempt=1,
        payload=Payload(**payload),
        module=module if isinstance(module, bytes) else bytes(wat2wasm(module)),
        limits=ResolvedLimits(memory, seconds, output, fuel=fuel),
        directory=Homes.next(),
    )


class Said(list[tuple[str, str]]):
    def __call__(self, stream: str, text: str) -> None:
        self.append((stream, text))

    def on(self, stream: str) -> str:
        return "".join(text for one, text in self if one == stream)


async def result(wasm: Wasm, module: str | bytes, **more: Any) -> Any:
    ran = await wasm.run(job(module, **more), Said())
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    return json.loads(ran.value)


def failure(ran: Ran) -> tuple[str, str]:
    assert ran.reason is not None, ran.value
    return ran.reason.code, ran.reason.message


def test_the_offer_names_the_engine_and_its_version() -> None:
    version, why = offer()
    assert version is not None
    assert version.startswith("wasmtime ")
    assert why == ""


@pytest.mark.parametrize("given", [{"args": ["1000"]}, {"stdin": "1000\n"}, {"input": 1000}])
async def test_a_command_gets_arguments_stdin_or_its_input_as_stdin(wasm: Wasm, given: dict[str, Any]) -> None:
    said = Said()
    ran = await wasm.run(job(PRIMES.read_bytes(), **given), said)
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    assert json.loads(ran.value) == {"below": 1000, "count": 168, "largest": 997}
    assert said.on("stdout") == '{"below": 1000, "count": 168, "largest": 997}\n'


async def test_a_command_sees_its_environment_and_nothing_of_the_hosts(wasm: Wasm) -> None:
    # environ_sizes_get, environ_get, then the block of names and values is written to stdout.
    module = """(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $sizes (i32.const 100) (i32.const 4)))
        (drop (call $get (i32.const 200) (i32.const 1000)))
        (i32.store (i32.const 0) (i32.const 1000))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 104)))))"""
    assert await result(wasm, module, env={"A": "1", "WORD": "é"}) == "A=1\0WORD=é\0"
    assert await result(wasm, module) is None


async def test_a_command_finds_no_directory_open(wasm: Wasm) -> None:
    module = """(module
      (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "first") (result i32) (call $prestat (i32.const 3) (i32.const 0))))"""
    bad_descriptor = 8
    assert await result(wasm, module, function="first") == bad_descriptor


@pytest.mark.parametrize(
    ("text", "value"),
    [("42", 42), ("[1, 2]  ", [1, 2]), ("hello", "hello"), ("1 2", "1 2"), ("NaN", "NaN"), ("[" * 5000, "[" * 5000)],
)
async def test_the_result_of_a_command_is_the_json_value_or_else_the_text_it_printed(
    wasm: Wasm, text: str, value: Any
) -> None:
    assert await result(wasm, writer(text)) == value


async def test_a_command_that_exits_with_0_succeeded(wasm: Wasm) -> None:
    assert await result(wasm, writer("7", then="(call $exit (i32.const 0))")) == 7


async def test_another_exit_code_is_an_error_that_says_the_last_words(wasm: Wasm) -> None:
    said = Said()
    ran = await wasm.run(job(writer("oh no", descriptor=2, then="(call $exit (i32.const 3))")), said)
    assert failure(ran) == (FailureCode.SCRIPT_ERROR, "The program exited with code 3: oh no")
    assert said == [("stderr", "oh no")]
    ran = await wasm.run(job(PRIMES.read_bytes(), args=["many"]), said)
    assert failure(ran)[1].startswith("The program exited with code 2: give a whole number")


async def test_output_arrives_while_the_command_runs(wasm: Wasm) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    await wasm.run(job(writer("begun", then=SLEEP)), lambda stream, text: times.append(loop.time()))
    assert len(times) == 1
    assert loop.time() - times[0] > 0.4


async def test_output_beyond_its_limit_is_dropped_and_marked_and_the_result_is_whole(wasm: Wasm) -> None:
    said = Said()
    ran = await wasm.run(job(writer("x" * 500), output=100), said)
    assert (ran.outcome, ran.output_truncated, said.on("stdout")) == (Outcome.SUCCEEDED, True, "x" * 100)
    assert json.loads(ran.value) == "x" * 500


async def test_bytes_that_are_no_text_are_replaced_not_fatal(wasm: Wasm) -> None:
    said = Said()
    ran = await wasm.run(job(writer("ABC").replace('"ABC"', '"\\22\\ff\\22"')), said)
    assert (json.loads(ran.value), said.on("stdout")) == ('"\ufffd"', '"\ufffd"')


@pytest.mark.parametrize(
    ("function", "args", "value"),
    [
        ("add", [2, 3], 5),
        ("add", [-1, 4294967295], -2),
        ("half", [3], 1.5),
        ("pair", [18446744073709551615], [1, -1]),
        ("pair", [-9223372036854775808], [1, -9223372036854775808]),
        ("pair", ["9007199254740993"], [1, 9007199254740993]),
        ("pair", ["-1"], [1, -1]),
        ("pair", ["18446744073709551615"], [1, -1]),
        ("nothing", [], None),
    ],
)
async def test_an_exported_function_is_called_with_numbers(
    wasm: Wasm, function: str, args: list[Any], value: Any
) -> None:
    assert await result(wasm, FUNCTIONS, function=function, args=args) == value


@pytest.mark.parametrize(
    ("function", "args", "sentence"),
    [
        ("add", [1], "The function add(i32, i32) takes 2 arguments, and payload.args has 1."),
        ("add", [1, "2"], 'Argument 2 of add(i32, i32) must be an integer of 32 bits, not "2".'),
        ("add", [1.5, 2], "Argument 1 of add(i32, i32) must be an integer of 32 bits, not 1.5."),
        ("add", [True, 2], "Argument 1 of add(i32, i32) must be an integer of 32 bits, not true."),
        ("add", [4294967296, 2], "Argument 1 of add(i32, i32) must be an integer of 32 bits, not 4294967296."),
        ("half", [None], "Argument 1 of half(f64) must be a number, not null."),
        ("half", [10**400], "payload.args has a whole number of more than 64 bits."),
        ("pair", ["18446744073709551616"], "Argument 1 of pair(i64) must be an integer of 64 bits, not "),
        ("pair", ["0x10"], "Argument 1 of pair(i64) must be an integer of 64 bits, not "),
        ("pairs", [1], "The module exports no function 'pairs'. Did you mean pair?"),
        ("reference", [1], "cannot be given as JSON; only numbers can."),
        ("subtract", [], "The module exports no function 'subtract'. It exports add, half, nan, pair, nothing,"),
        (None, [], "The module is no command: it does not export _start. It exports add, half,"),
    ],
)
async def test_a_payload_that_does_not_fit_the_module_is_refused_in_one_sentence(
    wasm: Wasm, function: str | None, args: list[Any], sentence: str
) -> None:
    ran = await wasm.run(job(FUNCTIONS, function=function, args=args), Said())
    code, message = failure(ran)
    assert code == FailureCode.INVALID_PAYLOAD
    assert sentence in message


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (b"hello", "The module is not WebAssembly: it does not begin with"),
        (b"(module)", "The module is not WebAssembly: it does not begin with"),
        (b"\0asm\1\0\0\0\1", "The module is not valid WebAssembly: unexpected end"),
        (b"\0asm\1\0\0\0" + b"\xff" * 50, "The module is not valid WebAssembly:"),
        (b"\0asm\x0d\0\1\0", "The module is a WebAssembly component"),
        ('(module (import "wasi_unstable" "fd_write" (func)))', "The module imports wasi_unstable"),
        ('(module (import "env" "emscripten" (func)))', "The module imports env.emscripten, which"),
        ('(module (import "wasi_snapshot_preview1" "fd_new" (func)))', "imports wasi_snapshot_preview1.fd_new, which"),
        ('(module (import "wasi_snapshot_preview1" "fd_write" (func)))', "types incompatible"),
        (b"\0asm\1\0\0\0" + bytes(MODULE_BYTES_MAX), "a node compiles at most 64 MiB"),
    ],
)
async def test_a_module_that_cannot_run_here_is_refused_in_one_sentence(
    wasm: Wasm, module: str | bytes, sentence: str
) -> None:
    ran = await wasm.run(job(module), Said())
    code, message = failure(ran)
    assert code == FailureCode.INVALID_MODULE
    assert sentence in message
    assert "\n" not in message


async def test_an_old_wasi_module_is_told_what_to_rebuild_for(wasm: Wasm) -> None:
    ran = await wasm.run(job('(module (import "wasi_unstable" "fd_write" (func)))'), Said())
    assert ran.reason is not None
    assert "wasi_snapshot_preview1" in ran.reason.hint


async def test_a_job_without_a_module_is_an_invalid_payload(wasm: Wasm) -> None:
    assert failure(await wasm.run(job(b""), Said()))[0] == FailureCode.INVALID_PAYLOAD


@pytest.mark.parametrize(
    ("function", "words"),
    [("trap", "The program trapped: integer divide by zero (in divide)."), ("deep", "call stack exhausted")],
)
async def test_a_trap_is_an_error_in_the_traps_words(wasm: Wasm, function: str, words: str) -> None:
    ran = await wasm.run(job(FUNCTIONS, function=function), Said())
    code, message = failure(ran)
    assert (code, ran.outcome) == (FailureCode.SCRIPT_ERROR, Outcome.ERRORED)
    assert words in message


async def test_a_number_that_json_cannot_express_is_no_result(wasm: Wasm) -> None:
    ran = await wasm.run(job(FUNCTIONS, function="nan"), Said())
    assert failure(ran) == (FailureCode.RESULT_INVALID, "The function returned nan, which JSON cannot express.")


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (FUNCTIONS, "forever"),
        ("(module (func $loop (loop (br 0))) (start $loop))", None),
        (writer("x" * 100, forever=True), None),
        (writer("sleeping", then=SLEEP.replace("600000000", "600000000000")), None),
    ],
    ids=["a loop", "a loop in the start function", "a flood", "a sleep"],
)
async def test_whatever_runs_past_its_time_is_stopped(wasm: Wasm, module: str, function: str | None) -> None:
    ran = await wasm.run(job(module, function=function, seconds=0.4), Said())
    assert ran.outcome is Outcome.TIMED_OUT
    assert failure(ran) == (FailureCode.TIMEOUT, "It was stopped after its 0.4 s.")
    assert 0.4 <= ran.usage.wall_seconds < 1.4


async def test_compiling_counts_as_running(wasm: Wasm) -> None:
    ran = await wasm.run(job(long_to_compile(30_000), seconds=0.3, memory=512), Said())
    assert failure(ran)[0] == FailureCode.TIMEOUT
    assert ran.usage.wall_seconds < 1.3


async def test_memory_stops_growing_at_the_limit_and_the_trap_that_follows_is_told_as_such(wasm: Wasm) -> None:
    grow = """(module (memory (export "memory") 1)
      (func (export "until_refused") (result i32)
        (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) memory.size)
      (func (export "until_trap")
        (loop (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) (br 0))))"""
    pages = 32 * 1024 * 1024 // 65536
    assert await result(wasm, grow, function="until_refused", memory=32) == pages
    ran = await wasm.run(job(grow, function="until_trap", memory=32), Said())
    assert (ran.outcome, failure(ran)[0]) == (Outcome.LIMIT_EXCEEDED, FailureCode.MEMORY_LIMIT)


async def test_a_module_that_starts_with_more_memory_than_its_limit_is_refused(wasm: Wasm) -> None:
    ran = await wasm.run(job('(module (memory 10000) (func (export "_start")))'), Said())
    assert failure(ran)[0] == FailureCode.MEMORY_LIMIT


async def test_more_stdout_than_a_result_may_have_is_too_large(wasm: Wasm) -> None:
    kilobyte = "x" * 1000
    loop = f"(loop {'(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))' * 20}"
    count = "(i32.store (i32.const 12) (i32.add (i32.load (i32.const 12)) (i32.const 1)))"
    again = "(br_if 0 (i32.lt_u (i32.load (i32.const 12)) (i32.const 1000))))"
    ran = await wasm.run(job(writer(kilobyte, then=loop + count + again)), Said())
    assert failure(ran)[0] == FailureCode.RESULT_TOO_LARGE


async def test_one_run_finds_nothing_of_the_one_before(anyio_backend: str) -> None:
    counter = """(module (global $calls (mut i32) (i32.const 0))
      (func (export "next") (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls)))"""
    runtime = Wasm(Pool(warm=1))
    await runtime.start()
    try:
        assert [await result(runtime, counter, function="next") for _ in range(3)] == [1, 1, 1]
    finally:
        await runtime.stop()


async def test_usage_is_measured(wasm: Wasm) -> None:
    ran = await wasm.run(job(PRIMES.read_bytes(), args=["20000000"]), Said())
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    assert 0 < ran.usage.cpu_seconds <= ran.usage.wall_seconds * 2
    assert 18 < ran.usage.peak_memory_mb < 60


async def test_fuel_is_counted_where_it_is_limited_and_the_limit_holds(wasm: Wasm) -> None:
    ran = await wasm.run(job(FUNCTIONS, function="add", args=[1, 2], fuel=1000), Said())
    assert (ran.outcome, ran.value) == (Outcome.SUCCEEDED, b"3")
    assert 0 < ran.usage.fuel < 20
    ran = await wasm.run(job(FUNCTIONS, function="forever", fuel=1_000_000), Said())
    assert (ran.outcome, *failure(ran)) == (
        Outcome.LIMIT_EXCEEDED,
        FailureCode.FUEL_LIMIT,
        "It used up its fuel of 1000000.",
    )
    assert ran.usage.fuel == 1_000_000
    ran = await wasm.run(job(FUNCTIONS, function="add", args=[1, 2]), Said())
    assert ran.usage.fuel == 0


async def test_the_files_of_a_job_are_in_the_root_of_a_command(wasm: Wasm) -> None:
    steps = Steps()
    into, _ = steps.read(steps.open("in.txt"), 4)
    steps.load(into)
    steps.write(steps.open("out.txt", CREATE), "written")
    given = job(steps.wat, function="go", outputs=["out.txt"])
    (given.directory / "in.txt").write_text("abcd")
    ran = await wasm.run(given, Said())
    assert json.loads(ran.value) == [0, 0, int.from_bytes(b"abcd", "little"), 0, 0]
    assert (given.directory / "out.txt").read_text() == "written"


async def test_copies_of_a_deterministic_task_agree_to_the_byte(anyio_backend: str) -> None:
    steps = Steps()
    for at in range(0, 64, 8):
        steps.call("clock_time_get", at % 2, 0, 512 + at)
    steps.call("random_get", 576, 64)
    steps.call("fd_readdir", 3, 1024, 1024, 0, 512)
    for at in range(512, 1600, 4):
        steps.load(at)
    outcomes = []
    for warm, names in ((1, "bca"), (1, "cab")):
        runtime = Wasm(Pool(warm=warm))
        await runtime.start()
        try:
            for _ in range(3):
                given = job(steps.wat, function="go", deterministic=True, outputs=["a"], input=1)
                for name in names:
                    (given.directory / name).write_text(name)
                ran = await runtime.run(given, Said())
                assert ran.outcome is Outcome.SUCCEEDED, ran.reason
                outcomes.append((ran.value, ran.usage.fuel))
        finally:
            await runtime.stop()
    assert len(set(outcomes)) == 1
    runtime = Wasm(Pool(warm=1))
    await runtime.start()
    try:
        other = job(steps.wat, function="go", deterministic=True, outputs=["a"], input=2)
        assert (await runtime.run(other, Said())).value != outcomes[0][0]
    finally:
        await runtime.stop()


async def test_a_module_is_compiled_once_a_machine_and_its_code_is_the_agents_alone(
    anyio_backend: str, tmp_path: Path
) -> None:
    folder = tmp_path / "modules"
    seconds = []
    for _ in range(2):
        runtime = Wasm(Pool(warm=1), folder)
        await runtime.start()
        try:
            ran = await runtime.run(job(long_to_compile(6_000), function="none", memory=512), Said())
            assert failure(ran)[0] == FailureCode.INVALID_PAYLOAD
            seconds.append(ran.usage.cpu_seconds)
        finally:
            await runtime.stop()
    [kept] = folder.glob("*.compiled")
    assert seconds[1] < seconds[0] / 2
    assert folder.stat().st_mode & 0o077 == 0
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    runtime = Wasm(Pool(warm=1), folder)
    await runtime.start()
    try:
        ran = await runtime.run(job(long_to_compile(6_000), function="none", memory=512), Said())
        assert failure(ran)[0] == FailureCode.INVALID_PAYLOAD
    finally:
        await runtime.stop()
    assert kept.read_bytes() != content
