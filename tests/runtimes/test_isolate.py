"""The isolate runtime, with real worker processes: what a script may do, and every way in which it can end."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.isolate.runtime import Isolate, offer
from anchor.agent.workers.pool import Pool
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def isolate(anyio_backend: str) -> AsyncIterator[Isolate]:
    runtime = Isolate(Pool(warm=2))
    await runtime.start()
    yield runtime
    await runtime.stop()


def job(source: str | None, *, memory: int = 128, seconds: float = 10.0, output: int = 1 << 20, **payload: Any) -> Job:
    return Job(
        task="task_000000000000h",
        attempt=2,
        payload=Payload(source_code=source, **payload),
        limits=ResolvedLimits(memory, seconds, output),
        directory=Path("/nowhere"),
    )


class Said(list[tuple[str, str]]):
    def __call__(self, stream: str, text: str) -> None:
        self.append((stream, text))

    def on(self, stream: str) -> str:
        return "".join(text for one, text in self if one == stream)


async def result(isolate: Isolate, source: str, **more: Any) -> Any:
    ran = await isolate.run(job(source, **more), Said())
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    return json.loads(bytes(ran.value))


def failure(ran: Ran) -> tuple[str, str]:
    assert ran.reason is not None, ran.value
    return ran.reason.code, ran.reason.message


def test_the_offer_names_the_engine_and_its_version() -> None:
    version, why = offer()
    assert version is not None
    assert version.startswith("mini-racer 0.14")
    assert why == ""


async def test_a_returned_value_is_the_result_as_json(isolate: Isolate) -> None:
    assert await result(isolate, "return {a: [1, 2.5, null, 'é😀', true], b: new Date(0)}") == {
        "a": [1, 2.5, None, "é😀", True],
        "b": "1970-01-01T00:00:00.000Z",
    }


async def test_returning_nothing_is_null(isolate: Isolate) -> None:
    assert await result(isolate, "1 + 1") is None


async def test_a_script_sees_its_input_and_which_attempt_of_which_task_it_is(isolate: Isolate) -> None:
    seen = await result(
        isolate,
        "return [input, anchor, Object.isFrozen(anchor)]",
        input={"__proto__": [1, {"deep": "</script>\u2028"}]},
        args=["a"],
        env={"B": "c"},
    )
    anchor = {"task": "task_000000000000h", "attempt": 2, "args": ["a"], "env": {"B": "c"}}
    assert seen == [{"__proto__": [1, {"deep": "</script>\u2028"}]}, anchor, True]


async def test_top_level_await_works_with_timers(isolate: Isolate) -> None:
    source = """
        const order = [];
        const every = setInterval(() => order.push("tick"), 100);
        setTimeout((word) => order.push(word), 1, "first");
        clearTimeout(setTimeout(() => order.push("never"), 2));
        queueMicrotask(() => order.push("microtask"));
        await new Promise((resolve) => setTimeout(resolve, 150));
        clearInterval(every);
        return order.slice(0, 3);
    """
    assert await result(isolate, source) == ["microtask", "first", "tick"]


async def test_a_first_line_for_the_shell_is_ignored(isolate: Isolate) -> None:
    assert await result(isolate, "#!/usr/bin/env node\nreturn 5 // at last") == 5


async def test_console_writes_to_stdout_and_stderr_in_order(isolate: Isolate) -> None:
    said = Said()
    source = """
        console.log("count: %d", 3, {a: [1, {b: "c"}]});
        console.info(new Map([[1, new Set(["x"])]]), null, undefined, -0, 10n, () => 1, Symbol("s"));
        console.warn("careful");
        console.error(new TypeError("bad").message);
        console.group("in"); console.debug("half \\ud800 pair 😀"); console.groupEnd();
        const self = {}; self.self = self; console.log(self);
    """
    ran = await isolate.run(job(source), said)
    assert ran.outcome is Outcome.SUCCEEDED
    assert said.on("stderr") == "careful\nbad\n"
    assert said.on("stdout").splitlines() == [
        'count: 3 { a: [ 1, { b: "c" } ] }',
        'Map(1) { 1 => Set(1) { "x" } } null undefined -0 10n [Function: anonymous] Symbol(s)',
        "in",
        "  half \ufffd pair 😀",
        "{ self: [Circular] }",
    ]
    assert [stream for stream, _ in itertools.groupby(stream for stream, _ in said)] == ["stdout", "stderr", "stdout"]


async def test_a_loop_that_never_yields_prints_live(isolate: Isolate) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    source = "console.log('begun'); const end = Date.now() + 1000; while (Date.now() < end); console.log('done')"
    await isolate.run(job(source), lambda stream, text: times.append(loop.time()))
    assert len(times) == 2
    assert times[1] - times[0] > 0.5


async def test_progress_arrives_while_the_script_still_computes(isolate: Isolate) -> None:
    loop = asyncio.get_running_loop()
    seen: list[tuple[float, str, str]] = []
    source = "anchor.progress(0.4, 'resizing'); const end = Date.now() + 700; while (Date.now() < end);"
    await isolate.run(job(source), lambda stream, text: seen.append((loop.time(), stream, text)))
    ended = loop.time()
    assert [(stream, text) for _, stream, text in seen] == [("progress", "40% resizing\n")]
    # 700 ms of computing came after it: it was here within 200 ms of being said.
    assert ended - seen[0][0] > 0.5


async def test_output_beyond_its_limit_is_dropped_and_marked(isolate: Isolate) -> None:
    said = Said()
    ran = await isolate.run(job("for (let i = 0; i < 1e5; i++) console.log('é'); return 7", output=1000), said)
    assert (ran.outcome, ran.value, ran.output_truncated) == (Outcome.SUCCEEDED, b"7", True)
    assert len(said.on("stdout").encode()) in (999, 1000)


async def test_megabytes_of_output_arrive_whole_and_in_order(isolate: Isolate) -> None:
    said = Said()
    source = "for (let i = 0; i < 200; i++) console.log(String(i).padStart(10000, '.'))"
    ran = await isolate.run(job(source, output=4 << 20), said)
    assert not ran.output_truncated
    assert said.on("stdout") == "".join(str(i).rjust(10000, ".") + "\n" for i in range(200))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('throw new TypeError("nope")', "TypeError: nope (line 1, column 7)"),
        ("const f = () => {\n  null.x }\nf()", "Cannot read properties of null (reading 'x') (line 2, column 8)"),
        ("\n\nawait 1;\n  missing()", "ReferenceError: missing is not defined (line 4, column 3)"),
        ("class Odd extends Error { name = 'Odd' }\nthrow new Odd('why')", "Odd: why (line 2, column 7)"),
        ("let x = ;", "SyntaxError: Unexpected token ';' (line 1, column 9)"),
        ("let a;\n  let a;", "SyntaxError: Identifier 'a' has already been declared (line 2, column 7)"),
        ("if (true) {\n  f(", "SyntaxError: Unexpected end of input (line 2, column 5)"),
        ("}); 5; (async()=>{", "SyntaxError: Unexpected token '}'"),
        ("throw {a: 1}", "Thrown: { a: 1 }"),
        ("throw null", "Thrown: null"),
        ("throw {get stack() { throw 1 }, get name() { throw 2 }}", "Thrown: something that cannot be described"),
        ("const f = () => f(); f()", "RangeError: Maximum call stack size exceeded"),
        (
            'setTimeout(() => { throw new Error("late") }, 1); await new Promise(() => {})',
            "Error: late (line 1, column",
        ),
        ('await import("fs")', "TypeError: Cannot find module 'fs' (line 1, column 7)"),
    ],
)
async def test_an_error_is_told_with_its_place_in_the_authors_source(
    isolate: Isolate, source: str, message: str
) -> None:
    ran = await isolate.run(job(source), Said())
    assert ran.outcome is Outcome.ERRORED
    code, told = failure(ran)
    assert code == FailureCode.SCRIPT_ERROR
    assert message in told
    assert "anchor:" not in told


async def test_whoever_wants_modules_is_told_where_to_find_them(isolate: Isolate) -> None:
    ran = await isolate.run(job('const _ = require("lodash")'), Said())
    assert ran.reason is not None
    assert "runtime native" in ran.reason.hint


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("return () => 1", "it is a function"),
        ("return Symbol('s')", "it is a symbol"),
        ("return {a: [1n]}", "it contains a BigInt"),
        ("const a = []; a.push(a); return a", "it contains itself"),
        ("return {toJSON() { throw new Error('my own') }}", "my own"),
        ("let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a", "it is nested too deeply"),
        ("let a = []; for (let i = 0; i < 3000; i++) a = [a]; return a", "it is nested too deeply"),
        ("return 'half \\ud800'", "a text in it holds half a surrogate pair"),
    ],
)
async def test_a_result_that_is_not_json_is_refused_in_one_sentence(isolate: Isolate, source: str, why: str) -> None:
    ran = await isolate.run(job(source), Said())
    assert failure(ran) == (FailureCode.RESULT_INVALID, f"The result cannot be written as JSON: {why}.")


async def test_a_result_above_the_limit_is_too_large_and_one_just_below_is_not(isolate: Isolate) -> None:
    ran = await isolate.run(job("return 'x'.repeat(17 << 20)"), Said())
    assert failure(ran)[0] == FailureCode.RESULT_TOO_LARGE
    ran = await isolate.run(job("return 'é'.repeat(9 << 20)"), Said())
    assert failure(ran)[0] == FailureCode.RESULT_TOO_LARGE
    assert len(await result(isolate, "return 'x'.repeat((16 << 20) - 2)")) == (16 << 20) - 2


@pytest.mark.parametrize(
    "source",
    [
        "for (;;);",
        "for (;;) { try { for (;;); } catch {} finally { continue } }",
        "const again = () => Promise.resolve().then(again); again(); await new Promise(() => {})",
        "await new Promise((resolve) => setTimeout(resolve, 60000))",
        "/(a+)+b/.test('a'.repeat(40))",
        "for (;;) console.log('x'.repeat(100))",
    ],
)
async def test_whatever_runs_past_its_time_is_stopped(isolate: Isolate, source: str) -> None:
    ran = await isolate.run(job(source, seconds=0.4, memory=512), Said())
    assert ran.outcome is Outcome.TIMED_OUT
    assert failure(ran) == (FailureCode.TIMEOUT, "It was stopped after its 0.4 s.")
    assert 0.4 <= ran.usage.wall_seconds < 1.4


@pytest.mark.parametrize(
    "source",
    [
        "const all = []; for (;;) all.push(new Array(1000).fill(1.5))",
        "const all = []; for (;;) all.push(new Uint8Array(1e6).fill(1))",
        "new ArrayBuffer(3e9)",
        "const all = []; for (let i = 0; ; i++) all.push('x'.repeat(1e6) + i)",
        "const all = []; for (;;) { all.push(new Array(1000).fill(1.5)); await 1 }",
    ],
)
async def test_whatever_takes_more_memory_than_its_limit_is_stopped(isolate: Isolate, source: str) -> None:
    ran = await isolate.run(job(source, memory=32), Said())
    assert ran.outcome is Outcome.LIMIT_EXCEEDED
    assert failure(ran)[0] == FailureCode.MEMORY_LIMIT


async def test_memory_within_the_limit_is_there_to_be_used(isolate: Isolate) -> None:
    assert await result(isolate, "return new Uint8Array(100e6).fill(1).length", memory=128) == 100_000_000


async def test_a_promise_that_nothing_can_settle_is_an_error_at_once(isolate: Isolate) -> None:
    ran = await isolate.run(job("setTimeout(() => {}, 5); await new Promise(() => {})", seconds=5), Said())
    assert failure(ran) == (
        FailureCode.SCRIPT_ERROR,
        "The script waits for a promise that nothing is left to settle.",
    )
    assert ran.usage.wall_seconds < 2


async def test_what_could_reach_beyond_the_memory_limit_or_the_host_is_not_there(isolate: Isolate) -> None:
    names = ["WebAssembly", "SharedArrayBuffer", "__timer_manager", "process", "require", "fetch", "Deno", "d8"]
    source = f"return {json.dumps(names)}.filter((name) => name in globalThis)"
    assert await result(isolate, source) == []


async def test_a_script_finds_no_trace_of_the_one_before(anyio_backend: str) -> None:
    runtime = Isolate(Pool(warm=1))
    await runtime.start()
    try:
        tampering = """
            Array.prototype.map = () => "evil"; Object.prototype.evil = 1; JSON.stringify = () => '"evil"';
            globalThis.left = 1; Promise.prototype.then = null; console.log = null;
            return {honest: true};
        """
        said = Said()
        assert await result(runtime, tampering) == {"honest": True}
        ran = await runtime.run(job("console.log('hi'); return [[1].map(String), 'evil' in {}, typeof left]"), said)
        assert json.loads(ran.value) == [["1"], False, "undefined"]
        assert said.on("stdout") == "hi\n"
    finally:
        await runtime.stop()


async def test_usage_is_measured(isolate: Isolate) -> None:
    source = "const all = new Uint8Array(40e6).fill(1); let x = 1; for (let i = 0; i < 2e8; i++) x ^= i; return x"
    ran = await isolate.run(job(source), Said())
    assert 0.05 < ran.usage.cpu_seconds < ran.usage.wall_seconds * 2
    assert 35 < ran.usage.peak_memory_mb < 128


async def test_a_job_without_source_is_an_invalid_payload(isolate: Isolate) -> None:
    ran = await isolate.run(job(None), Said())
    assert failure(ran)[0] == FailureCode.INVALID_PAYLOAD
