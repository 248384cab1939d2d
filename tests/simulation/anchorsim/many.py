"""Many seeds on several processes: what came of each, in any order, with nothing kept."""

import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anchorsim.cluster import Failure, Report, run_seed

CHUNK = 10
SEEDS_PER_PROCESS = 5_000
"""After so many seeds a process is replaced, so that a run of hours holds no more memory than one of minutes."""


@dataclass(frozen=True)
class Broken:
    """A seed that failed; `text` names the invariant and the last events."""

    seed: int
    text: str


def outcome_of(seed: int) -> Report | Broken:
    """Run one seed, whatever comes of it."""
    try:
        return run_seed(seed)
    except Failure as failure:
        return Broken(seed, str(failure))
    except Exception as error:  # the simulator itself is at fault: a finding like any other
        return Broken(seed, f"seed {seed}: the simulator raised {error!r}")


def outcomes(seeds: Iterable[int], processes: int) -> Iterator[Report | Broken]:
    """Run seeds (which may be endless) on some processes."""
    context = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
    with context.Pool(processes, maxtasksperchild=SEEDS_PER_PROCESS // CHUNK) as pool:
        waiting = []
        for chunk in _chunks(seeds):
            waiting.append(pool.apply_async(_run_all, (chunk,)))
            if len(waiting) >= 3 * processes:
                yield from waiting.pop(0).get()
        for one in waiting:
            yield from one.get()


def _run_all(seeds: list[int]) -> list[Report | Broken]:
    return [outcome_of(seed) for seed in seeds]


def _chunks(seeds: Iterable[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for seed in seeds:
        chunk.append(seed)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
