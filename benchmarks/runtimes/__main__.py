"""Measures the runtimes side by side with the bare engines, in one run.

    python -m benchmarks.runtimes [--rounds 7] [--samples 200] [--seconds 20] [--name NAME]

What a machine lacks (gcc, node, Python 3.12 for the sandboxed one) is left out of the table. With --name the report is
kept in benchmarks/results/ as JSON and as a page.
"""

import argparse
import datetime
from pathlib import Path

import msgspec
from benchmarks.machine import facts
from benchmarks.runtimes.compute import Row, compute
from benchmarks.runtimes.idle import idle
from benchmarks.runtimes.small import Figure, small
from benchmarks.runtimes.stage import stage

from anchor import wiring

RESULTS = Path(__file__).parents[1] / "results"


class Report(msgspec.Struct, rename="camel"):
    """Everything that was measured, and where."""

    machine: dict[str, str]
    runtimes: dict[str, str]
    command: str
    compute: list[Row]
    small: list[Figure]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of every program")
    parser.add_argument("--samples", type=int, default=200, help="samples of every latency")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the idle agent is looked at")
    parser.add_argument("--name", help="keep the report under this name in benchmarks/results/")
    wish = parser.parse_args()
    report = wiring.run(_measure(wish))
    page = _page(report)
    print(page)
    if wish.name:
        stem = RESULTS / f"{datetime.datetime.now(datetime.UTC).date()}-{wish.name}"
        stem.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        stem.with_suffix(".md").write_text(page, "utf-8")


async def _measure(wish: argparse.Namespace) -> Report:
    figures = idle(wish.seconds)
    async with stage() as there:
        runtimes = there.catalogue.offer.runtimes
        rows = await compute(there, wish.rounds)
        figures = await small(there, wish.samples) + figures
    command = (
        f"python -m benchmarks.runtimes --rounds {wish.rounds} --samples {wish.samples} --seconds {wish.seconds:g}"
    )
    return Report(facts(), dict(runtimes), command, rows, figures)


def _page(report: Report) -> str:
    lines = ["# The runtimes", ""]
    lines += [f"* {name}: {value}" for name, value in {**report.machine, **report.runtimes}.items()]
    lines += [f"* command: `{report.command}`", "", "| primes below 1,000,000 | runtime | ms | beside | ms | ratio |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {row.program} | {row.runtime} | {row.ours_ms:.1f} | {row.yardstick} "
        f"| {row.theirs_ms:.1f} | {row.ratio:.2f} |"
        for row in report.compute
    ]
    lines += ["", "| figure | value | target |", "|---|---|---|"]
    lines += [f"| {one.what} | {one.value:,.2f} {one.unit} | {one.target} |" for one in report.small]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
