"""A million tasks through one server: its memory has to stay flat."""

import argparse
from pathlib import Path

from anchor import wiring
from anchor.cli.bench_load import Load
from anchor.cli.bench_stand import a_directory_on_disk, stand

STEPS = 20


async def measure(directory: Path, tasks: int) -> None:
    async with stand(directory, slots=1000) as there, Load(there.url) as load:
        print(f"{'tasks done':>12} {'tasks/s':>8} {'server MiB':>11} {'agent MiB':>10}")
        print(f"{0:>12,} {'':>8} {there.server.rss_mib():>11.1f} {there.agent.rss_mib():>10.1f}")
        for step in range(1, STEPS + 1):
            rate = await load.bulk(tasks // STEPS)
            print(
                f"{step * (tasks // STEPS):>12,} {rate.tasks_per_second:>8,.0f} {there.server.rss_mib():>11.1f} "
                f"{there.agent.rss_mib():>10.1f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, default=a_directory_on_disk(), help="a directory on a real disk")
    options = parser.parse_args()
    wiring.run(measure(options.directory, options.tasks))


if __name__ == "__main__":
    main()
