"""Run the simulation over many seeds, or one seed again: `python tests/simulation/soak.py --seeds 500`.

Prints every failing seed with its invariant and its last 50 events; exits 1 where there was one.
"""

import argparse
import contextlib
import multiprocessing
import sys
import time
from collections.abc import Sequence

from anchorsim.cluster import Failure, Report, Wiring, run_seed
from anchorsim.planted import BUGS


def _run(seed: int) -> Report | Failure:
    try:
        return run_seed(seed)
    except Failure as failure:
        return failure


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _one(seed: int, bug_name: str | None) -> int:
    bugs = [bug for bug in BUGS if bug.name == bug_name]
    if bug_name is not None and not bugs:
        _say("No such bug; there are: " + ", ".join(bug.name for bug in BUGS))
        return 2
    with bugs[0].planted() if bugs else contextlib.nullcontext():
        try:
            report = run_seed(seed, bugs[0].wiring if bugs else Wiring())
        except Failure as failure:
            _say(str(failure))
            return 1
    _say(f"seed {seed}: {report.tasks} tasks, {report.events} events, trace {report.fingerprint}")
    _say(f"faults: {', '.join(sorted(report.faults)) or 'none'}")
    took, bound = report.settled_after_ms / 1000, report.bound_ms / 1000
    _say(f"everything had ended {took:.1f} s after the faults; {bound:.0f} s are allowed")
    return 0


def _many(seeds: range, processes: int) -> int:
    began = time.monotonic()
    failures = tasks = events = 0
    with multiprocessing.Pool(processes) as pool:
        for outcome in pool.imap_unordered(_run, seeds, chunksize=10):
            if isinstance(outcome, Failure):
                failures += 1
                _say(str(outcome))
            else:
                tasks += outcome.tasks
                events += outcome.events
    _say(
        f"{len(seeds)} seeds from {seeds.start}: {failures} failed; {tasks} tasks, {events} events "
        f"in {time.monotonic() - began:.0f} s on {processes} processes"
    )
    return 1 if failures else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds to run (500)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--processes", type=int, default=2, help="processes to share them (2)")
    parser.add_argument("--seed", type=int, help="run this one seed and say how it went")
    parser.add_argument("--bug", help="with --seed: plant this bug first")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.bug)
    return _many(range(options.first, options.first + options.seeds), options.processes)


if __name__ == "__main__":
    sys.exit(main())
