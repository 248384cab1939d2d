"""Anchor on the shared engines on this machine: where time goes per task, and what one and two servers take in.

    python benchmarks/shared.py [--tasks 4000] [--rounds 5] [--seconds 4] [--name NAME]

The MongoDB wire emulator is started, or ANCHOR_TEST_MONGO_URL names a real mongod that is used in its place.
"""

import argparse
import datetime
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import intake
import machine
import where_time_goes
from engines import Engines, engines

from anchor import wiring
from anchor.cli.bench_stand import a_directory_on_disk, filesystem_of, flush_ms
from anchor.core.errors import AnchorError

RESULTS = Path(__file__).parent / "results"
PROCESSES = ("mongo", "server", "agent", "valkey", "client")
COMMANDS = ("insert", "update", "queries", "getmore", "commands")
KINDS = {
    "single": "one task a request",
    "bulk": "arrays of 100",
    "refused_single": "one task a request",
    "refused_bulk": "arrays of 100",
}

Document = dict[str, Any]


def limits_table(limits: Document) -> list[str]:
    """What the engine does alone."""
    lines = ["| MongoDB alone, plain pymongo | documents/s | its CPU, µs a document |", "|---|--:|--:|"]
    lines += [f"| {name} | {one['documentsPerSecond']:,} | {one['mongoUs']:,} |" for name, one in limits.items()]
    return lines


def tasks_table(rows: list[Document]) -> list[str]:
    """Rates, and the CPU time of each process for a task."""
    lines = [
        "| | tasks/s | " + " | ".join(f"{name} µs" for name in PROCESSES) + " | busiest |",
        "|---|--:|" + "--:|" * len(PROCESSES) + "---|",
    ]
    for row in rows:
        used = " | ".join(f"{row['cpuUs'].get(name, 0):,.0f}" for name in PROCESSES)
        name, cores = max(row["cores"].items(), key=lambda item: item[1])
        lines.append(
            f"| {row['figure']} | {row['tasksPerSecond']:,.0f} | {used} | {name}, {cores:.0%} of a core; "
            f"other programs {row['elsewhereCores']:.0%} |"
        )
    return lines


def commands_table(rows: list[Document]) -> list[str]:
    """Commands to the engines, and how long the engines took for them."""
    kinds = [kind for kind in COMMANDS if any(row["mongoCommands"].get(kind, 0) >= 0.00005 for row in rows)]
    lines = [
        "| commands for 1,000 tasks (µs in them a task) | " + " | ".join(kinds) + " | Valkey |",
        "|---|" + "--:|" * (len(kinds) + 1),
    ]
    for row in rows:
        asked = " | ".join(
            f"{row['mongoCommands'].get(kind, 0) * 1000:,.0f} ({row['mongoUs'].get(kind, 0):,.0f})" for kind in kinds
        )
        lines.append(f"| {row['figure']} | {asked} | {row['valkeyCommands'] * 1000:,.0f} ({row['valkeyUs']:,.1f}) |")
    return lines


def intake_table(rows: list[Document]) -> list[str]:
    """One server and two."""
    lines = [
        "| intake | one server, tasks/s | two servers | two ÷ one | pair by pair | server µs a task "
        "| cores used with one | with two |",
        "|---|--:|--:|--:|---|--:|---|---|",
    ]
    for row in rows:
        one, two = row["one"], row["two"]
        ratios = " · ".join(f"{ratio:.2f}" for ratio in row["ratios"])
        lines.append(
            f"| {KINDS[row['kind']]}, {row['outcome']} | {one['tasksPerSecond']:,.0f} | {two['tasksPerSecond']:,.0f} "
            f"| **{row['ratio']:.2f}** | {ratios} | {one['serverUs']:,.0f}; {two['serverUs']:,.0f} "
            f"| {_cores(one)} | {_cores(two)} |"
        )
    return lines


def _cores(run: Document) -> str:
    used = [f"{name} {cores:.2f}" for name, cores in run["cores"].items() if cores >= 0.02]
    return ", ".join([*used, f"other programs {run['elsewhereCores']:.2f}"])


def report(result: Document) -> str:
    """The result as a section of Markdown."""
    about, setup, versions = result["machine"], result["setup"], result["versions"]
    parts = [limits_table(result["limits"])]
    if result["tasks"]:
        idle = result["tasks"]["idle"]
        parts += [tasks_table(result["tasks"]["rows"]), commands_table(result["tasks"]["rows"])]
        parts.append([f"Submit to result, idle: p50 {idle['p50Ms']:.1f} ms, p99 {idle['p99Ms']:.1f} ms."])
    if result["intake"]:
        parts.append(intake_table(result["intake"]))
    parts.append(
        [
            f"{setup['tasks']:,} no-op tasks a figure (half of it one a request), {setup['samples']} latencies; "
            f"intake: medians of {setup['rounds']} alternating pairs of {setup['seconds']:g} s, {intake.CLIENTS} "
            f"processes of clients. {about['cpu']}, {about['memory']}, {about['kernel']}, Python {about['python']}, "
            f"{setup['filesystem']} with {setup['flushMs']:.2f} ms a flush. Commit `{about['commit']}`, "
            f"{versions['mongo']}, `w=majority, j=true`; Valkey {versions['valkey']}, `appendfsync everysec`. "
            f"{result['date']}.",
            f"Made by: `{setup['command']}`",
        ]
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


async def measure(there: Engines, directory: Path, options: argparse.Namespace) -> Document:
    """Everything, in one go."""
    say("What MongoDB does alone …")
    limits = await where_time_goes.limits(there)
    tasks: Document = {}
    if options.tasks:
        say("Tasks from submit to result …")
        tasks = await where_time_goes.measure(there, directory, tasks=options.tasks, samples=options.samples)
    taken_in: list[Document] = []
    if options.rounds:
        say("Intake of one server and of two …")
        taken_in = await intake.measure(there, directory, rounds=options.rounds, seconds=options.seconds)
    return {"versions": there.versions(), "limits": limits, "tasks": tasks, "intake": taken_in}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=4_000, help="of each figure; 0 leaves them out")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of the intake; 0 leaves it out")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round of the intake")
    parser.add_argument("--directory", type=Path, default=a_directory_on_disk(), help="a directory on a real disk")
    parser.add_argument("--name", help="keep results/NAME.json and .md; default: print only")
    options = parser.parse_args()
    # So that the engines and servers end with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))

    with (
        tempfile.TemporaryDirectory(prefix="anchor-shared-", dir=options.directory) as kept,
        engines(Path(kept)) as there,
    ):
        try:
            measured = wiring.run(measure(there, Path(kept), options))
        except AnchorError as error:
            sys.exit(f"{error.message}\n{error.hint}")
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine.facts(),
        "setup": {
            "tasks": options.tasks,
            "samples": options.samples,
            "rounds": options.rounds,
            "seconds": options.seconds,
            "filesystem": filesystem_of(options.directory),
            "flushMs": flush_ms(options.directory),
            "command": f"just bench-shared --tasks {options.tasks} --samples {options.samples} "
            f"--rounds {options.rounds} --seconds {options.seconds:g}",
        },
        **measured,
    }
    text = report(result)
    if options.name:
        RESULTS.mkdir(exist_ok=True)
        place = RESULTS / f"{options.name}.json"
        place.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        place.with_suffix(".md").write_text(text, encoding="utf-8")
        say(f"Kept in {place} and .md")
    print(text)


if __name__ == "__main__":
    main()
