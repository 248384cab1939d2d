"""The word count of benchmarks/mapreduce.py on Dask distributed; `map` and `reduce` come on stdin."""

import json
import os
import sys
import time
import zlib
from itertools import pairwise
from typing import Any

import psutil
from dask.distributed import Client, LocalCluster


def mapped(code: str, path: str, start: int, end: int, shares: int) -> list[dict[str, list[int]]]:
    """What a byte range has for each share."""
    names: dict[str, Any] = {}
    exec(code, names)
    with open(path, "rb") as file:
        file.seek(start)
        text = file.read(end - start).decode()
    parts: list[dict[str, list[int]]] = [{} for _ in range(shares)]
    for key, value in names["map"](text).items():
        parts[zlib.crc32(key.encode()) % shares][key] = [value]
    return parts


def part_of(parts: list[dict[str, list[int]]], number: int) -> dict[str, list[int]]:
    """One share of what was mapped: its own task, so that a worker fetches no more."""
    return parts[number]


def reduced(code: str, parts: list[dict[str, list[int]]]) -> list[list[Any]]:
    """The counts of one share, by key."""
    names: dict[str, Any] = {}
    exec(code, names)
    groups: dict[str, list[int]] = {}
    for part in parts:
        for key, values in part.items():
            groups.setdefault(key, []).extend(values)
    return [[key, names["reduce"](key, groups[key])] for key in sorted(groups)]


def cuts(path: str, step: int) -> list[int]:
    """Where byte ranges begin: behind line ends."""
    size = os.path.getsize(path)
    found = [0]
    with open(path, "rb") as file:
        while found[-1] + step < size:
            file.seek(found[-1] + step - 1)
            file.readline()
            found.append(file.tell())
    return [*found, size] if found[-1] < size else found


def cpu_seconds() -> float:
    """CPU time of this process (client and scheduler) and its workers."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in [me, *me.children(recursive=True)])


def main(path: str, runs: int, workers: int, shares: int, chunk_mb: float) -> None:
    """Run it and print the figures and the counts as one line of JSON."""
    code = sys.stdin.read()
    figures = []
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        for _ in range(runs):
            began, used = time.monotonic(), cpu_seconds()
            at = cuts(path, int(chunk_mb * 1024 * 1024))
            maps = [client.submit(mapped, code, path, start, end, shares, pure=False) for start, end in pairwise(at)]
            reduces = [
                client.submit(reduced, code, [client.submit(part_of, one, number) for one in maps], pure=False)
                for number in range(shares)
            ]
            pairs = sorted(pair for share in client.gather(reduces) for pair in share)
            figures.append({"wall": time.monotonic() - began, "cpu": cpu_seconds() - used})
            del maps, reduces
    sys.stdout.write(json.dumps({"figures": figures, "counts": dict(pairs)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
