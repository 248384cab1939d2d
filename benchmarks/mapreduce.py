"""Word count of a text by the same code: Anchor with four agents of one slot each, Dask with four workers.

usage: python benchmarks/mapreduce.py [--mb 100] [--runs 3] [--dask PYTHON] [--output FILE]

Both run the same `map` and `reduce` over the same byte ranges, on workers that wait for them already; of Dask's three
ways (benchmarks/peers/dask_word_count.py) the quickest counts. CPU is that of all processes of each side, from the
submit to the result: what those that live have used, and what their children that have ended had used, which the kernel
adds to the parent when it is told of the end. So a process that lives for one task only is counted, and none twice.
Figures are medians. Anchor's upload of the text stands by itself, since Dask's workers read the file where it lies. The
answers of both are compared with that of one loop over the words.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

WORKERS = 4
SHARES = 4
START_SECONDS = 60.0
RUN_SECONDS = 600.0
CODE = """
from collections import Counter
def map(text):
    return Counter(text.split())
def reduce(key, values):
    return sum(values)
"""
DASK = Path(__file__).parent / "peers" / "dask_word_count.py"


def text_of(path: Path, megabytes: int) -> None:
    """A text whose words are as unequal as those of a language (the nth is 1/n as frequent)."""
    dice = random.Random(7)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) for _ in range(50_000)]
    weights = [1 / (at + 1) for at in range(len(words))]
    with path.open("w") as file:
        left = megabytes * 1_000_000
        while left > 0:
            some = dice.choices(words, weights, k=12_000)
            left -= file.write("\n".join(" ".join(some[at : at + 12]) for at in range(0, len(some), 12)) + "\n")


def cpu_seconds(roots: list[psutil.Process]) -> float:
    """CPU time of these processes and all they started, ended or not."""
    used = 0.0
    for root in roots:
        for process in [root, *root.children(recursive=True)]:
            try:
                used += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
    return used


@contextmanager
def program(*arguments: str, said: Path, environment: dict[str, str]) -> Iterator[psutil.Process]:
    with said.open("wb") as log, subprocess.Popen(arguments, stdout=log, stderr=log, env=environment) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


@contextmanager
def anchor(folder: Path) -> Iterator[tuple[httpx.Client, list[psutil.Process]]]:
    """A server and four agents of one slot each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANCHOR_")}
    command = [sys.executable, "-m", "anchor"]
    with ExitStack() as stack:
        said = folder / "server.txt"
        data = str(folder / "server")
        roots = [
            stack.enter_context(
                program(*command, "server", "--port", "0", "--data", data, said=said, environment=environment)
            )
        ]
        until = time.monotonic() + START_SECONDS
        while "Anchor is up: http" not in said.read_text():
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.05)
        url = said.read_text().split("Anchor is up: ")[1].split()[0]
        client = stack.enter_context(httpx.Client(base_url=url, timeout=120))
        for number in range(WORKERS):
            token = client.post("/api/nodes/join-tokens", json={}).raise_for_status().json()["token"]
            data = str(folder / f"agent-{number}")
            log = folder / f"agent-{number}.txt"
            agent = [*command, "agent", url, "--slots", "1", "--data", data, "--token", token]
            roots.append(stack.enter_context(program(*agent, said=log, environment=environment)))
        while sum(node["status"] == "online" for node in client.get("/api/nodes").json()) < WORKERS:
            assert time.monotonic() < until, "the agents did not connect"
            time.sleep(0.1)
        yield client, roots


def by_anchor(text: Path, runs: int, folder: Path, chunk_mb: float) -> tuple[list[dict[str, float]], dict[str, int]]:
    """Figures of each run but the first, which warms up, and the counts of the last."""
    figures = []
    with anchor(folder) as (client, roots):
        content = text.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        began, used = time.monotonic(), cpu_seconds(roots)
        client.put(f"/api/blobs/{digest}", content=content).raise_for_status()
        uploading = {"upload_wall": time.monotonic() - began, "upload_cpu": cpu_seconds(roots) - used}
        payload = {"runtime": "native", "language": "python", "sourceCode": CODE}
        for _ in range(1 + runs):
            began, used = time.monotonic(), cpu_seconds(roots)
            job = {
                "name": "word count",
                "input": {"blob": f"sha256:{digest}", "chunkMb": chunk_mb},
                "map": payload,
                "reduce": payload,
                "reducers": SHARES,
                "speculate": False,
            }
            answer = client.post("/api/mapreduce", json=job)
            answer.raise_for_status()
            view: dict[str, Any] = {"state": "running", "version": "", "id": answer.json()["id"]}
            while view["state"] == "running" and time.monotonic() < began + RUN_SECONDS:
                query = {"wait": 20, "version": view["version"]}
                view = client.get(f"/api/mapreduce/{view['id']}", params=query).json()
            assert view["state"] == "succeeded", view
            result = view["result"]["result"]
            if result is None:
                blob = view["result"]["resultBlob"].removeprefix("sha256:")
                result = client.get(f"/api/blobs/{blob}").json()
            figures.append({"wall": time.monotonic() - began, "cpu": cpu_seconds(roots) - used} | uploading)
    return figures[1:], dict(result)


def by_dask(python: str, text: Path, runs: int, chunk_mb: float) -> tuple[list[dict[str, float]], dict[str, int], str]:
    """As `by_anchor`, and which way was quicker."""
    command = [python, str(DASK), str(text), str(runs), str(WORKERS), str(SHARES), str(chunk_mb)]
    told = subprocess.run(command, input=CODE, text=True, stdout=subprocess.PIPE, check=True).stdout
    answer = json.loads(told.splitlines()[-1])
    return answer["figures"], answer["counts"], answer["way"]


def main() -> None:
    """Measure both, compare what they say, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mb", type=int, default=100, help="size of the text")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--chunk-mb", type=float, default=6.25, help="size of what one map task gets")
    parser.add_argument("--dask", default=sys.executable, help="a Python with dask[distributed]")
    parser.add_argument("--output", type=Path, help="write the figures there as JSON, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="anchor-bench-") as temporary:
        text = Path(temporary) / "text.txt"
        text_of(text, options.mb)
        expected = dict(Counter(text.read_text().split()))
        ours, counts = by_anchor(text, options.runs, Path(temporary), options.chunk_mb)
        assert counts == expected, "Anchor counted something else"
        theirs, counts, way = by_dask(options.dask, text, options.runs, options.chunk_mb)
        assert counts == expected, "Dask counted something else"
    middle: dict[str, dict[str, float]] = {}
    for name, figures in (("anchor", ours), ("dask", theirs)):
        middle[name] = {key: median(one[key] for one in figures) for key in figures[0]}
        wall, cpu = middle[name]["wall"], middle[name]["cpu"]
        sys.stdout.write(f"{name:7} wall {wall:6.2f} s   CPU {cpu:6.2f} s   {1000 * cpu / options.mb:6.1f} ms/MB\n")
    upload = middle["anchor"]
    sys.stdout.write(
        f"upload  wall {upload['upload_wall']:6.2f} s   CPU {upload['upload_cpu']:6.2f} s   (anchor, once)\n"
    )
    ratios = {key: middle["anchor"][key] / middle["dask"][key] for key in ("wall", "cpu")}
    sys.stdout.write(f"anchor / dask ({way}): wall {ratios['wall']:.2f}, CPU {ratios['cpu']:.2f}\n")
    if options.output:
        what = {"mb": options.mb, "anchor": ours, "dask": theirs, "way": way, "ratios": ratios}
        options.output.write_text(json.dumps(what, indent=2) + "\n")


if __name__ == "__main__":
    main()
