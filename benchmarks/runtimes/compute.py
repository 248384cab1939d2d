"""Prime search below a million, by trial division and by a sieve: each runtime beside the engine it is held against."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import wasmtime
from benchmarks.runtimes.stage import Stage

from anchor.agent.runtimes.native.toolchains import node_on_path
from anchor.core.spec import Payload

PROGRAMS = Path(__file__).parent / "programs"
BELOW = 1_000_000
PRIMES = 78_498
TIMES = {"trial": 1, "sieve": 10}
"""How often a program is run within one measurement: a sieve is over before a coarse clock has ticked."""


class Row(msgspec.Struct, rename="camel"):
    """A runtime against its yardstick: medians in milliseconds, and the median of the ratios within each round."""

    program: str
    runtime: str
    yardstick: str
    ours_ms: float
    theirs_ms: float
    ratio: float


Run = Callable[[str], Awaitable[float]]


async def compute(there: Stage, rounds: int) -> list[Row]:
    """Every runtime of this machine and its yardstick by turns, `rounds` times."""
    with tempfile.TemporaryDirectory() as folder:
        return await _compute(there, rounds, Path(folder))


async def _compute(there: Stage, rounds: int, folder: Path) -> list[Row]:
    javascript = (PROGRAMS / "primes.js").read_text("utf-8")
    python = (PROGRAMS / "primes.py").read_text("utf-8")
    module = bytes(wasmtime.wat2wasm((PROGRAMS / "primes.wat").read_text("utf-8")))

    async def isolate(kind: str) -> float:
        given = Payload(source_code=javascript, input=_wanted(kind))
        return _checked(await there.value("isolate", given))

    async def wasm(kind: str) -> float:
        ran, _ = await there.run("wasm", Payload(function=kind, args=[BELOW, TIMES[kind]]), module=module)
        if ran.value != str(PRIMES).encode():
            raise SystemExit(f"wasm {kind}: {ran.reason or ran.value!r}")
        return ran.usage.wall_seconds * 1000 / TIMES[kind]

    async def sandboxed_python(kind: str) -> float:
        given = Payload(source_code=python, input=_wanted(kind))
        return _checked(await there.value("python", given))

    async def native_python(kind: str) -> float:
        given = Payload(source_code=python, language="python", input=_wanted(kind))
        return _checked(await there.value("native", given))

    async def native_node(kind: str) -> float:
        given = Payload(source_code=javascript, language="javascript", input=_wanted(kind))
        return _checked(await there.value("native", given))

    ours: dict[str, tuple[Run, str]] = {
        "isolate": (isolate, "node"),
        "wasm": (wasm, "gcc -O2"),
        "python": (sandboxed_python, "CPython"),
        "native (Python)": (native_python, "CPython"),
        "native (Node)": (native_node, "node"),
    }
    theirs = _yardsticks(folder)
    rows = []
    for name, (run, yardstick) in ours.items():
        if name.split()[0] not in there.catalogue.runtimes or yardstick not in theirs:
            continue
        for kind in TIMES:
            pairs = [(await run(kind), theirs[yardstick](kind)) for _ in range(rounds + 1)][1:]
            rows.append(
                Row(
                    kind,
                    name,
                    yardstick,
                    statistics.median(mine for mine, _ in pairs),
                    statistics.median(other for _, other in pairs),
                    statistics.median(mine / other for mine, other in pairs),
                )
            )
    return rows


def _yardsticks(folder: Path) -> dict[str, Callable[[str], float]]:
    found: dict[str, Callable[[str], float]] = {"CPython": lambda kind: _cpython(kind)}
    node = node_on_path()
    if node is not None:
        script = folder / "primes.cjs"
        source = (PROGRAMS / "primes.js").read_text("utf-8")
        script.write_text(
            "const input = JSON.parse(process.argv[2]);\n"
            f"const answer = (() => {{\n{source}\n}})();\nconsole.log(JSON.stringify(answer));\n"
        )
        found["node"] = lambda kind: _checked(_output(str(node.program), str(script), json.dumps(_wanted(kind))))
    gcc = shutil.which("gcc")
    if gcc is not None:
        program = folder / "primes"
        subprocess.run([gcc, "-O2", "-o", program, PROGRAMS / "primes.c"], check=True)
        found["gcc -O2"] = lambda kind: _gcc(program, kind)
    return found


def _cpython(kind: str) -> float:
    program = str(PROGRAMS / "primes.py")
    told = f"import json, runpy; print(json.dumps(runpy.run_path({program!r})['main']({json.dumps(_wanted(kind))})))"
    return _checked(_output(getattr(sys, "_base_executable", sys.executable), "-c", told))


def _gcc(program: Path, kind: str) -> float:
    count, milliseconds = _output(str(program), kind, str(BELOW), str(TIMES[kind])).split()
    return _checked(f"[{int(count)}, {float(milliseconds)}]")


def _wanted(kind: str) -> dict[str, str | int]:
    return {"how": kind, "below": BELOW, "times": TIMES[kind]}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _checked(answer: str | bytes | memoryview) -> float:
    count, milliseconds = json.loads(answer if isinstance(answer, str) else bytes(answer))
    if count != PRIMES:
        raise SystemExit(f"{count} primes below {BELOW}: that is wrong")
    return float(milliseconds)
