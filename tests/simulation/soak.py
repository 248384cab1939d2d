"""Run the simulation over many seeds, for a while, or one seed again: `python tests/simulation/soak.py --for 3h`.

Says once a minute how far it is, prints every failing seed with its invariant and its last 50 events, and goes on;
exits 1 where there was one.
"""

import argparse
import contextlib
import itertools
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from anchorsim.cluster import Failure, Wiring, run_seed
from anchorsim.many import Broken, outcomes
from anchorsim.planted import BUGS

SAY_SECONDS = 60.0
FAILURES_MAX = 100
"""With so many failing seeds the rest would say nothing new."""


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
    _say(f"faults: {', '.join(sorted(report.faults)) or 'none'}; {report.reported} writes reported as undone")
    took, bound = report.settled_after_ms / 1000, report.bound_ms / 1000
    _say(f"everything had ended {took:.1f} s after the faults; {bound:.0f} s are allowed")
    return 0


def _many(seeds: Iterable[int], processes: int) -> int:
    began = said = time.monotonic()
    run = tasks = events = 0
    failed: list[int] = []

    def summary() -> str:
        took = time.monotonic() - began
        names = f" ({', '.join(map(str, failed))})" if failed else ""
        return (
            f"{run} seeds, {len(failed)} failed{names}; {tasks} tasks, {events} events "
            f"in {took:.0f} s on {processes} processes"
        )

    for outcome in outcomes(seeds, processes):
        run += 1
        if isinstance(outcome, Broken):
            failed.append(outcome.seed)
            _say(outcome.text)
            if len(failed) >= FAILURES_MAX:
                break
        else:
            tasks += outcome.tasks
            events += outcome.events
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            _say(summary())
    _say(summary())
    return 1 if failed else 0


def _for(seconds: float, first: int) -> Iterator[int]:
    until = time.monotonic() + seconds
    return itertools.takewhile(lambda _: time.monotonic() < until, itertools.count(first))


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; try 90s, 10m or 3h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--for", dest="seconds", type=_duration, help="run seeds for so long: 90s, 10m, 3h")
    parser.add_argument("--seeds", type=int, default=2_000, help="else: how many seeds to run (2000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--processes", type=int, default=2, help="processes to share them (2)")
    parser.add_argument("--seed", type=int, help="run this one seed and say how it went")
    parser.add_argument("--bug", help="with --seed: plant this bug first")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.bug)
    if options.seconds is not None:
        return _many(_for(options.seconds, options.first), options.processes)
    return _many(range(options.first, options.first + options.seeds), options.processes)


if __name__ == "__main__":
    sys.exit(main())
