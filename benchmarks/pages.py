"""What a page of the task list costs with a thousand and with a million tasks behind it."""

import argparse
import time
from pathlib import Path

import msgspec

from anchor import wiring
from anchor.cli.bench_http import Wire
from anchor.cli.bench_load import Latency, Load, summary
from anchor.cli.bench_stand import a_directory_on_disk, stand
from anchor.core.ids import key_of, wire_id

SAMPLES = 200
STEP = 50_000


class Row(msgspec.Struct):
    """As much of a row as is needed here."""

    id: str


_rows = msgspec.json.Decoder(list[Row]).decode


async def cost(wire: Wire, query: str) -> Latency:
    taken: list[float] = []
    for _ in range(SAMPLES):
        begun = time.perf_counter()
        content = await wire.get(f"/api/tasks?limit=50{query}")
        taken.append((time.perf_counter() - begun) * 1000)
    assert len(_rows(content)) == 50, query
    return summary(taken)


async def look(url: str, oldest: str, tasks: int) -> None:
    wire = await Wire.open(url)
    newest = _rows(await wire.get("/api/tasks?limit=1"))[0].id
    middle = wire_id("c", (key_of("task", newest) + key_of("task", oldest)) // 2)
    for name, query in (
        ("first page", ""),
        ("first page, state=succeeded", "&state=succeeded"),
        ("a page from the middle", f"&cursor={middle}"),
    ):
        one = await cost(wire, query)
        print(f"{tasks:>10,} tasks  {name:<28} p50 {one.p50_ms:.2f} ms, p99 {one.p99_ms:.2f} ms", flush=True)
    wire.close()


async def measure(directory: Path, sizes: list[int]) -> None:
    async with stand(directory, slots=1000) as there, Load(there.url) as load:
        done, oldest = 0, ""
        for size in sorted(sizes):
            while done < size:
                step = min(STEP, size - done)
                await load.bulk(step)
                done += step
                if not oldest:
                    wire = await Wire.open(there.url)
                    oldest = _rows(await wire.get("/api/tasks?limit=1000"))[-1].id
                    wire.close()
            await look(there.url, oldest, done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--directory", type=Path, default=a_directory_on_disk(), help="a directory on a real disk")
    options = parser.parse_args()
    wiring.run(measure(options.directory, options.sizes))


if __name__ == "__main__":
    main()
