"""Anchor and BullMQ on this machine, run alternately; prints ratios pair by pair and keeps them in results/."""

import argparse
import datetime
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine
import peer

from anchor.cli.bench_stand import a_directory_on_disk

RESULTS = Path(__file__).parent / "results"
CONCURRENCY = 100
OURS_SECONDS = 600
FIGURES = (
    # what it is called, unit, ours, theirs
    ("bulk submit, 1,000 slots", "tasks/s", ("bulkLargeLeases", "tasksPerSecond"), ("bulk",)),
    ("bulk submit, 100 slots", "tasks/s", ("bulk", "tasksPerSecond"), ("bulk",)),
    ("one task a request, against their bulk", "tasks/s", ("single", "tasksPerSecond"), ("bulk",)),
    ("one task a request, against one job a call", "tasks/s", ("single", "tasksPerSecond"), ("single",)),
    ("submit to result, idle, p50", "ms", ("idle", "p50Ms"), ("idle", "p50Ms")),
    ("submit to result, idle, p99", "ms", ("idle", "p99Ms"), ("idle", "p99Ms")),
    ("submit to result, beside 2,000/s, p50", "ms", ("busy", "p50Ms"), ("busy", "p50Ms")),
    ("submit to result, beside 2,000/s, p99", "ms", ("busy", "p99Ms"), ("busy", "p99Ms")),
)


def ours(directory: Path, tasks: int, samples: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "anchor", "bench", "-o", "json", "--directory", str(directory)]
    command += ["--tasks", str(tasks), "--samples", str(samples)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=OURS_SECONDS, check=False)
    if ran.returncode:
        sys.exit(f"anchor bench failed:\n{ran.stderr}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def value(run: dict[str, Any], path: tuple[str, ...]) -> float:
    found: Any = run
    for name in path:
        found = found[name]
    return float(found)


def rows(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each figure the medians, and ours over theirs within each pair."""
    found = []
    for name, unit, our_path, their_path in FIGURES:
        us = [value(pair["anchor"], our_path) for pair in pairs]
        them = [value(pair["bullmq"], their_path) for pair in pairs]
        ratios = [one / other for one, other in zip(us, them, strict=True)]
        found.append(
            {
                "figure": name,
                "unit": unit,
                "anchor": statistics.median(us),
                "bullmq": statistics.median(them),
                "ratio": round(statistics.median(ratios), 2),
                "ratios": [round(ratio, 2) for ratio in ratios],
            }
        )
    return found


def table(result: dict[str, Any]) -> str:
    """The result as a section of Markdown."""
    about, setup = result["machine"], result["setup"]
    versions = result["versions"]
    lines = [
        "| | Anchor | BullMQ | Anchor ÷ BullMQ | pair by pair |",
        "|---|--:|--:|--:|---|",
    ]
    for row in result["rows"]:
        shown = [
            f"{row[side]:,.0f}" if row["unit"] == "tasks/s" else f"{row[side]:.2f}" for side in ("anchor", "bullmq")
        ]
        ratios = " · ".join(f"{ratio:.2f}" for ratio in row["ratios"])
        lines.append(
            f"| {row['figure']}, {row['unit']} | {shown[0]} | {shown[1]} | **{row['ratio']:.2f}** | {ratios} |"
        )
    lines += [
        "",
        f"Medians of {len(result['pairs'])} alternating pairs, {setup['tasks']:,} no-op tasks and {setup['samples']} "
        f"latencies a run. {about['cpu']}, {about['memory']}, {about['kernel']}, Python {about['python']}, "
        f"{setup['filesystem']} with {setup['flushMs']:.2f} ms a flush. Anchor {versions['anchor']} at commit "
        f"`{about['commit']}`, SQLite `synchronous=FULL` on the server and on the agent; BullMQ {versions['bullmq']} "
        f"on Node {versions['node']}, concurrency {CONCURRENCY}, Valkey {versions['valkey']} with `appendonly yes`, "
        f"`appendfsync {setup['fsync']}`. {result['date']}.",
        f"Made by: `{setup['command']}`",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--fsync", choices=("everysec", "always"), default="everysec", help="appendfsync of Valkey")
    parser.add_argument("--directory", type=Path, default=a_directory_on_disk(), help="a directory on a real disk")
    parser.add_argument("--name", help="results/NAME.json and .md; default: latest-FSYNC")
    options = parser.parse_args()

    node = peer.node()
    peer.install(node)
    pairs: list[dict[str, Any]] = []
    for number in range(options.pairs):
        pair: dict[str, Any] = {}
        # Who goes first changes, so that neither always finds the machine as the other left it.
        for side in ("anchor", "bullmq") if number % 2 == 0 else ("bullmq", "anchor"):
            pair[side] = (
                ours(options.directory, options.tasks, options.samples)
                if side == "anchor"
                else peer.measure(
                    node,
                    options.directory,
                    jobs=options.tasks,
                    samples=options.samples,
                    concurrency=CONCURRENCY,
                    fsync=options.fsync,
                )
            )
        pairs.append(pair)
        print(f"pair {number + 1}: " + ", ".join(str(row["ratios"][0]) for row in rows([pair])), file=sys.stderr)

    first = pairs[0]
    place = first["anchor"]["place"]
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine.facts(),
        "versions": {
            "anchor": place["version"],
            "bullmq": first["bullmq"]["version"],
            "node": first["bullmq"]["node"],
            "valkey": first["bullmq"]["valkey"],
        },
        "setup": {
            "tasks": options.tasks,
            "samples": options.samples,
            "fsync": options.fsync,
            "filesystem": place["filesystem"],
            "flushMs": statistics.median(pair["anchor"]["place"]["flushMs"] for pair in pairs),
            "command": f"just bench --pairs {options.pairs} --fsync {options.fsync}",
        },
        "rows": rows(pairs),
        "pairs": pairs,
    }
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / f"{options.name or 'latest-' + options.fsync}.json"
    kept.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    kept.with_suffix(".md").write_text(table(result), encoding="utf-8")
    print(table(result))
    print(f"Kept in {kept} and .md", file=sys.stderr)


if __name__ == "__main__":
    main()
