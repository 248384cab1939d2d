"""The word count of benchmarks/mapreduce.py on Dask distributed; `map` and `reduce` come on stdin.

It is written in three ways, and the figures are those of the quickest: shares of keys that are reduced side by side, as
Anchor does it; a tree that merges the counts of some byte ranges at a time, as `dask.bag.frequencies` does it; and a
tree of `Counter.update`, which does without `reduce` and so is for counts only.
"""

import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import psutil
from dask.distributed import Client, Future, LocalCluster

FAN_IN = 4


def counted(code: str, path: str, start: int, end: int) -> dict[str, list[int]]:
    """What a byte range has: a list of one count per word."""
    names: dict[str, Any] = {}
    exec(code, names)
    with open(path, "rb") as file:
        file.seek(start)
        text = file.read(end - start).decode()
    return {key: [value] for key, value in names["map"](text).items()}


def mapped(code: str, path: str, start: int, end: int, shares: int) -> list[dict[str, list[int]]]:
    """What a byte range has for each share."""
    parts: list[dict[str, list[int]]] = [{} for _ in range(shares)]
    for key, values in counted(code, path, start, end).items():
        parts[zlib.crc32(key.encode()) % shares][key] = values
    return parts


def part_of(parts: list[dict[str, list[int]]], number: int) -> dict[str, list[int]]:
    """One share of what was mapped: its own task, so that a worker fetches no more."""
    return parts[number]


def merged(code: str, parts: list[dict[str, list[int]]]) -> dict[str, list[int]]:
    """Some groups as one, with one count per word."""
    return {key: [value] for key, value in reduced(code, parts)}


def reduced(code: str, parts: list[dict[str, list[int]]]) -> list[list[Any]]:
    """The counts of some groups, by key."""
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
    """CPU time of this process (client and scheduler) and of all it started, ended or not, as ours is measured."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in [me, *me.children(recursive=True)])


def by_shares(client: Client, code: str, path: str, ranges: list[tuple[int, int]], shares: int) -> list[list[Any]]:
    """Each share is fetched and reduced by one worker; their lists are put together here."""
    maps = [client.submit(mapped, code, path, start, end, shares, pure=False) for start, end in ranges]
    reduces = [
        client.submit(reduced, code, [client.submit(part_of, one, number) for one in maps], pure=False)
        for number in range(shares)
    ]
    return sorted(pair for share in client.gather(reduces) for pair in share)


def by_tree(client: Client, code: str, path: str, ranges: list[tuple[int, int]], _: int) -> list[list[Any]]:
    """A few groups at a time are merged, until there is one list."""
    left: list[Future] = [client.submit(counted, code, path, start, end, pure=False) for start, end in ranges]
    while len(left) > FAN_IN:
        few = [left[at : at + FAN_IN] for at in range(0, len(left), FAN_IN)]
        left = [client.submit(merged, code, some, pure=False) for some in few]
    pairs: list[list[Any]] = client.submit(reduced, code, left, pure=False).result()
    return pairs


def counter(code: str, path: str, start: int, end: int) -> Any:
    """What a byte range has, as the user's own function gives it."""
    names: dict[str, Any] = {}
    exec(code, names)
    with open(path, "rb") as file:
        file.seek(start)
        return names["map"](file.read(end - start).decode())


def added(counters: list[Any]) -> Any:
    """Some counters as one."""
    whole = counters[0].copy()
    for one in counters[1:]:
        whole.update(one)
    return whole


def by_counters(client: Client, code: str, path: str, ranges: list[tuple[int, int]], _: int) -> list[list[Any]]:
    """A tree of `Counter.update`: quick, and for counts only, since it never calls `reduce`."""
    left: list[Future] = [client.submit(counter, code, path, start, end, pure=False) for start, end in ranges]
    while len(left) > 1:
        few = [left[at : at + FAN_IN] for at in range(0, len(left), FAN_IN)]
        left = [client.submit(added, some, pure=False) for some in few]
    return sorted([key, count] for key, count in left[0].result().items())


Way = Callable[[Client, str, str, list[tuple[int, int]], int], list[list[Any]]]


def main(path: str, runs: int, workers: int, shares: int, chunk_mb: float) -> None:
    """Run it and print the figures and the counts as one line of JSON."""
    code = sys.stdin.read()
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    figures: dict[str, list[dict[str, float]]] = {}
    ways: list[Way] = [by_shares, by_tree, by_counters]
    with cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        for way in ways:
            for _ in range(1 + runs):
                began, used = time.monotonic(), cpu_seconds()
                ranges = list(pairwise(cuts(path, int(chunk_mb * 1024 * 1024))))
                pairs = way(client, code, path, ranges, shares)
                took = {"wall": time.monotonic() - began, "cpu": cpu_seconds() - used}
                figures.setdefault(way.__name__, []).append(took)
            del figures[way.__name__][0]  # it warms up
    quickest = min(figures, key=lambda name: median(one["wall"] for one in figures[name]))
    told = {"figures": figures[quickest], "way": quickest, "counts": dict(pairs)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
