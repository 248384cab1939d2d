"""How long a server takes to start with 100,000 queued tasks: after a clean stop, and after kill -9."""

import argparse
import tempfile
import time
from pathlib import Path

from anchor import wiring
from anchor.cli.bench_http import Wire
from anchor.cli.bench_load import Load
from anchor.cli.bench_stand import Program, a_directory_on_disk


async def started(data: Path) -> tuple[Program, str, float]:
    """A server on this data, ready; and the seconds from its start as a process."""
    begun = time.perf_counter()
    server = await Program.start(data, "server", "--port", "0", "--data", str(data / "server"))
    url = await server.url()
    wire = await Wire.open(url)
    await wire.get("/ready")
    seconds = time.perf_counter() - begun
    wire.close()
    return server, url, seconds


async def measure(directory: Path, tasks: int) -> None:
    with tempfile.TemporaryDirectory(prefix="anchor-startup-", dir=directory) as kept:
        data = Path(kept)
        server, url, seconds = await started(data)
        print(f"empty:                 ready after {seconds:.2f} s", flush=True)
        async with Load(url) as load:
            await load.fill(tasks)
        await server.kill()
        server, _, seconds = await started(data)
        print(f"{tasks:,} queued, kill -9: ready after {seconds:.2f} s", flush=True)
        await server.stop()
        server, _, seconds = await started(data)
        print(f"{tasks:,} queued, stopped: ready after {seconds:.2f} s, {server.rss_mib():.0f} MiB", flush=True)
        await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, default=a_directory_on_disk(), help="a directory on a real disk")
    options = parser.parse_args()
    wiring.run(measure(options.directory, options.tasks))


if __name__ == "__main__":
    main()
